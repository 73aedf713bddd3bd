"""Builds the extensions; all else stands in pyproject.toml.

``LIBJPEG_TURBO_PREFIX`` names a libjpeg-turbo (``include/``, ``lib/`` or
``lib64/``) to be used instead of the system's; its static library is preferred.
``FASTIMAGEZMQ_SANITIZE=address|undefined|thread|address,undefined`` builds with
these sanitizers, for tests.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError

PACKAGE = Path("src/fastimagezmq")
NATIVE = PACKAGE / "native"
OLDEST_LIBJPEG_TURBO = 2_001_000
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

# Compiled only: what is wrong with the headers is an #error of its own.
PROBE = f"""
#include <stddef.h>
#include <stdio.h>
#include <jpeglib.h>
#ifndef LIBJPEG_TURBO_VERSION_NUMBER
#error "not libjpeg-turbo"
#endif
#if LIBJPEG_TURBO_VERSION_NUMBER < {OLDEST_LIBJPEG_TURBO}
#error "too old"
#endif
int probe(void);
int probe(void)
{{
    struct jpeg_error_mgr error;
    return jpeg_std_error(&error) == NULL;
}}
"""
MISSING = (
    "fastimagezmq needs libjpeg-turbo 2.1 or newer with its headers: "
    "apt-get install libjpeg-dev (Debian, Ubuntu), dnf install libjpeg-turbo-devel (Fedora), "
    "brew install jpeg-turbo (macOS), or set LIBJPEG_TURBO_PREFIX to where it is"
)


def _from_prefix(prefix: Path) -> list[dict[str, list[str]]]:
    """List the flags for a libjpeg-turbo that was installed into ``prefix``, static first."""
    if not (prefix / "include/jpeglib.h").exists():
        return []
    include = {"include_dirs": [str(prefix / "include")]}
    libs = [lib for lib in (prefix / "lib", prefix / "lib64") if lib.is_dir()]
    static = [lib / name for lib in libs for name in ("libjpeg.a", "jpeg-static.lib")]
    shared = {"libraries": ["jpeg"], "library_dirs": [str(lib) for lib in libs]}
    if os.name == "posix":
        shared["runtime_library_dirs"] = shared["library_dirs"]
    return [
        *(include | {"extra_objects": [str(file)]} for file in static if file.exists()),
        include | shared,
    ]


def _from_pkg_config() -> dict[str, list[str]] | None:
    """Return the flags of the system's libjpeg as pkg-config tells them."""
    try:
        told = subprocess.run(  # noqa: S603
            [os.environ.get("PKG_CONFIG", "pkg-config"), "--cflags", "--libs", "libjpeg"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    flags = shlex.split(told)
    return {
        "include_dirs": [flag[2:] for flag in flags if flag.startswith("-I")],
        "library_dirs": [flag[2:] for flag in flags if flag.startswith("-L")],
        "libraries": [flag[2:] for flag in flags if flag.startswith("-l")],
    }


def _places() -> list[dict[str, list[str]]]:
    """List where libjpeg-turbo may be; the first that works is taken."""
    prefix = os.environ.get("LIBJPEG_TURBO_PREFIX")
    if prefix:
        return _from_prefix(Path(prefix).resolve())
    told = _from_pkg_config()
    return ([told] if told else []) + [{"libraries": ["jpeg"]}]


@contextlib.contextmanager
def _silenced():
    """Hide what a compiler says about a probe that fails, also its own output."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)


class _BuildExt(build_ext):
    def build_extensions(self) -> None:
        place = self._find_libjpeg_turbo()  # first: it takes a second, Cython many
        for extension in self.extensions:
            if extension is CODEC:
                for name, values in place.items():
                    getattr(extension, name).extend(values)
            self._add_flags(extension)
            extension.sources = cythonize(
                [extension],
                build_dir="build/cython",  # no generated C among the sources
                include_path=["src"],
                compiler_directives={"language_level": 3},
                quiet=True,
            )[0].sources
        super().build_extensions()

    def _find_libjpeg_turbo(self) -> dict[str, list[str]]:
        for place in _places():
            if self._works(place):
                return place
        raise SystemExit(MISSING)

    def _works(self, place: dict[str, list[str]]) -> bool:
        """Tell whether the probe compiles and links, as a shared library like the extension."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(PROBE, encoding="ascii")
            try:
                with _silenced():
                    objects = self.compiler.compile(
                        [str(source)],
                        output_dir=folder,
                        include_dirs=place.get("include_dirs"),
                    )
                    self.compiler.link_shared_object(
                        objects + place.get("extra_objects", []),
                        str(Path(folder, "probe.so")),
                        libraries=place.get("libraries"),
                        library_dirs=place.get("library_dirs"),
                    )
            except CCompilerError:
                return False
            return True

    def _add_flags(self, extension: Extension) -> None:
        if self.compiler.compiler_type == "msvc":
            return
        extension.extra_compile_args += ["-fvisibility=hidden"]
        if sys.platform == "darwin":
            name = extension.name.rpartition(".")[2]
            extension.extra_link_args += [f"-Wl,-exported_symbol,_PyInit_{name}"]
        else:
            # A static libjpeg's functions stay ours: cv2 and Pillow bring theirs.
            extension.extra_link_args += ["-Wl,--exclude-libs,ALL"]
        sanitizers = os.environ.get("FASTIMAGEZMQ_SANITIZE")
        if sanitizers:
            flags = [f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer", "-g", "-O1"]
            extension.extra_compile_args += flags
            extension.extra_link_args += flags[:1]


limited_api = not FREE_THREADED


def _extension(name: str, sources: set[str], **flags: list[str]) -> Extension:
    return Extension(
        f"fastimagezmq.{name}",
        [str(PACKAGE / f"{name}.pyx"), *(str(NATIVE / file) for file in sorted(sources))],
        include_dirs=[str(PACKAGE)],
        depends=sorted(map(str, [*NATIVE.glob("*.h"), *PACKAGE.glob("*.pxd")])),
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if limited_api else [],
        py_limited_api=limited_api,
        **flags,
    )


# Three, since nothing is shared between them: one knows pictures and no sockets, one sockets and no
# pictures, and one neither.
MESSAGES = {"drain.c", "header.c", "libzmq.c", "messages.c", "newest.c", "request.c", "spin.c"}
COMMON = {"cpus.c", "fork.c", "status.c"}  # a copy of their own each: they keep no state in common
CODEC = _extension("_codec", {file.name for file in NATIVE.glob("*.c")} - MESSAGES)
LIBZMQ = _extension(
    "_libzmq",
    MESSAGES | COMMON,
    # dlopen has a library of its own before glibc 2.34.
    libraries=["dl"] if sys.platform == "linux" else [],
)
GATE = _extension("_gate", set())
setup(
    ext_modules=[CODEC, LIBZMQ, GATE],
    cmdclass={"build_ext": _BuildExt},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if limited_api else {},
)
