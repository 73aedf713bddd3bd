"""setup.py: finds libjpeg-turbo or says in one line what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MISSING = (
    "fastimagezmq needs libjpeg-turbo 2.1 or newer with its headers: "
    "apt-get install libjpeg-dev (Debian, Ubuntu), dnf install libjpeg-turbo-devel (Fedora), "
    "brew install jpeg-turbo (macOS), or set LIBJPEG_TURBO_PREFIX to where it is"
)
HEADERS = {
    "no library": '#error "there is none"\n',
    "plain IJG": """
        #define JPEG_LIB_VERSION 90
        struct jpeg_error_mgr { int x; };
        struct jpeg_error_mgr *jpeg_std_error(struct jpeg_error_mgr *);
    """,
    "too old": """
        #define LIBJPEG_TURBO_VERSION_NUMBER 2000006
        struct jpeg_error_mgr { int x; };
        struct jpeg_error_mgr *jpeg_std_error(struct jpeg_error_mgr *);
    """,
}

pytest.importorskip("Cython", reason="building needs Cython")
pytest.importorskip("setuptools", reason="building needs setuptools")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of what a build needs."""
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "README.md").write_text("for the build", encoding="ascii")
    built = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=built)
    return tmp_path


def build(tree: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k != "LIBJPEG_TURBO_PREFIX"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=tree,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


def shadowing(tree: Path, header: str) -> str:
    """Return a folder whose jpeglib.h is found before the system's."""
    folder = tree / "shadow" / "include"
    folder.mkdir(parents=True)
    (folder / "jpeglib.h").write_text(header, encoding="ascii")
    return str(folder)


def refused(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode != 0
    assert done.stderr.rstrip().splitlines()[-1] == MISSING
    assert "Traceback" not in done.stdout + done.stderr
    assert "jpeglib.h" not in done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="CPATH is gcc's and clang's")
@pytest.mark.parametrize("kind", HEADERS)
def test_without_libjpeg_turbo_one_line_says_what_to_install(tree: Path, kind: str) -> None:
    shadow = shadowing(tree, HEADERS[kind])
    refused(build(tree, "setup.py", "build_ext", CPATH=shadow))


def test_a_prefix_without_headers_is_not_passed_over(tree: Path) -> None:
    refused(build(tree, "setup.py", "build_ext", LIBJPEG_TURBO_PREFIX=str(tree / "nowhere")))


def test_a_prefix_with_other_headers_is_refused(tree: Path) -> None:
    prefix = Path(shadowing(tree, HEADERS["plain IJG"])).parent
    refused(build(tree, "setup.py", "build_ext", LIBJPEG_TURBO_PREFIX=str(prefix)))


@pytest.mark.skipif(sys.platform == "win32", reason="CPATH is gcc's and clang's")
def test_pips_way_of_building_says_it_too(tree: Path) -> None:
    shadow = shadowing(tree, HEADERS["no library"])
    hook = "from setuptools import build_meta; build_meta.build_wheel('.')"
    refused(build(tree, "-c", hook, CPATH=shadow))
