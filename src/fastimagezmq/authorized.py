"""The list of public keys that one end lets in: a folder of .pub files, or one file.

It is read again when it changes, and what was once read of it is trusted only as long as
the file that it stands in is the same: who is taken off the list is off at once, without
anybody being told. What cannot be read lets nobody in.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from . import keys
from .errors import SecurityError
from .keys import PUBLIC_SUFFIX, PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .keys import PathLike

__all__ = ["FixedKeys", "ListedKeys", "authorize", "default_path", "revoke"]

# A file that was changed within the time that a file system's clock may stand still could be
# changed again without a trace: what was read of it before so much time has passed is read anew.
_SETTLED_NS = 2_500_000_000

_Identity: TypeAlias = tuple[int, ...]
_NO_FILE: _Identity = ()


def default_path() -> Path:
    """Give the list's path where none is given: in the user's configuration."""
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming"
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "fastimagezmq" / "authorized"


class FixedKeys:
    """Keys that the program gives; they stay as they are.

    Raises:
        TypeError: one is no PublicKey.
    """

    def __init__(self, some: Iterable[PublicKey]) -> None:
        some = tuple(some)
        if not all(isinstance(key, PublicKey) for key in some):
            raise TypeError("a list of keys is a path, or holds PublicKey objects only")
        self._keys = frozenset(key.text for key in some)

    def admits(self, key: str) -> bool:
        """Tell whether the key (Z85) is one of them."""
        return key in self._keys

    def __repr__(self) -> str:
        return f"<{len(self._keys)} public keys>"


class _File(NamedTuple):
    """A file as it was when it was read."""

    path: str
    identity: _Identity
    settled: bool  # a later change will show in `identity`
    keys: tuple[str, ...]
    problem: str

    def is_same(self) -> bool:
        return self.settled and _identity(self.path) == self.identity


class _Snapshot(NamedTuple):
    """A list as it was when it was read."""

    files: tuple[_File, ...]
    by_key: dict[str, _File]
    problem: str


class ListedKeys:
    """The keys in a folder's .pub files, or in one file, as they are at any moment.

    Any thread may ask; snapshots are replaced as a whole, and each is compared with the
    files themselves before it is believed.

    Args:
        path: the folder or the file.
        warn: called with a sentence when something can no longer be read, once until it can.

    Raises:
        SecurityError: it cannot be read, everybody may write to it, or a file of it holds
            something that is no key, or something secret.
    """

    def __init__(self, path: PathLike, warn: Callable[[str], None] = lambda _: None) -> None:
        self.path = os.path.abspath(path)  # wherever the program goes later
        self.warn = warn
        self._warned = ""
        self._snapshot = _read(self.path)
        if self._snapshot.problem:
            raise SecurityError(self._snapshot.problem)

    def admits(self, key: str) -> bool:
        """Tell whether the key (Z85) is on the list as it is now."""
        file = self._snapshot.by_key.get(key)
        if file is not None:
            if file.is_same():
                return True
            now = _read_file(file.path)
            if key in now.keys and not now.settled:
                return True  # soon it will be; until then this file alone is read each time
        return key in self._current().by_key

    def __len__(self) -> int:
        return len(self._current().by_key)

    def __repr__(self) -> str:
        return f"<public keys in {self.path}>"

    def _current(self) -> _Snapshot:
        snapshot = self._snapshot = _read(self.path, self._snapshot.files)
        if snapshot.problem != self._warned:
            self._warned = snapshot.problem
            if snapshot.problem:
                self.warn(snapshot.problem)
        return snapshot


def _identity(path: str) -> _Identity:
    """Tell a file from what it becomes when it is written to or replaced."""
    try:
        found = os.stat(path)
    except OSError:
        return _NO_FILE
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _paths(path: str) -> tuple[list[str], str]:
    """Give the files of a list, and what keeps it from being read."""
    try:
        found = os.stat(path)
        if problem := keys.writable_by_all(path, found):
            return [], problem
        if not stat.S_ISDIR(found.st_mode):
            return [path], ""
        return [
            os.path.join(path, name)
            for name in sorted(os.listdir(path))
            if name.endswith(PUBLIC_SUFFIX) and not name.startswith(".")
        ], ""
    except OSError as error:
        if error.errno == errno.ENOENT:
            return [], (
                f"there is no list of public keys at {path}: add the first one with 'fastimagezmq"
                f" authorize camera{PUBLIC_SUFFIX}', and with --to PATH if it is to be elsewhere"
            )
        return [], f"cannot read the list of public keys at {path}: {error.strerror}"


def _read(path: str, known: tuple[_File, ...] = ()) -> _Snapshot:
    """Read a list. A file that cannot be read is told as a problem, and the others stand."""
    paths, problem = _paths(path)
    same = {file.path: file for file in known if file.settled}
    files: list[_File] = []
    for name in paths:
        file = same.get(name)
        files.append(file if file is not None and file.is_same() else _read_file(name))
    problem = problem or next((file.problem for file in files if file.problem), "")
    by_key = {key: file for file in files for key in file.keys}
    return _Snapshot(tuple(files), by_key, problem)


def _read_file(path: str) -> _File:
    # Time and identity first: what changes while it is read will show.
    settled_before = time.time_ns() - _SETTLED_NS
    identity = _identity(path)
    settled = identity != _NO_FILE and max(identity[-2:]) < settled_before
    try:
        some = tuple(key.text for key in keys.public_keys_in(path))
    except SecurityError as error:
        return _File(path, identity, settled, (), str(error))
    return _File(path, identity, settled, some, "")


# --- changing a list -----------------------------------------------------------------


def authorize(path: PathLike, to: PathLike) -> bool:
    """Add the public key in a file to a list; False: it was there already.

    Args:
        path: the .pub file.
        to: the list. A folder is made if there is nothing.

    Raises:
        SecurityError: the file holds no public key, the list has another key of this name,
            or it cannot be written.
    """
    key = PublicKey.load(path)
    try:
        if not os.path.exists(to):
            os.makedirs(to, mode=0o755)
        if ListedKeys(to).admits(key.text):
            return False
        name = os.path.basename(path).removesuffix(PUBLIC_SUFFIX)
        text = keys.public_text(name, key)
        if os.path.isdir(to):
            keys.write(os.path.join(to, name + PUBLIC_SUFFIX), text, 0o644)
        else:
            _replace(os.fspath(to), Path(to).read_bytes().rstrip() + b"\n\n" + text)
    except OSError as error:
        raise SecurityError(f"cannot write to the list {to}: {error.strerror}") from None
    return True


def revoke(what: PathLike, of: PathLike) -> bool:
    """Take a public key off a list; False: it was not there.

    Args:
        what: a .pub file, or the name of one in the folder that is the list.
        of: the list.

    Raises:
        SecurityError: there is no such file, or the list cannot be written.
    """
    listed = os.path.join(of, os.path.basename(what).removesuffix(PUBLIC_SUFFIX) + PUBLIC_SUFFIX)
    key = PublicKey.load(what if os.path.exists(what) or not os.path.exists(listed) else listed)
    found = False
    paths, problem = _paths(os.fspath(of))
    if problem:
        raise SecurityError(problem)
    try:
        for name in paths:
            with contextlib.suppress(SecurityError):  # a file that admits nobody is left alone
                found = _take_out(name, key, folder=os.path.isdir(of)) or found
    except OSError as error:
        raise SecurityError(f"cannot write to the list {of}: {error.strerror}") from None
    return found


def _take_out(path: str, key: PublicKey, *, folder: bool) -> bool:
    some = keys.public_keys_in(path)
    if key not in some:
        return False
    if folder and len(some) == 1:
        os.unlink(path)
        return True
    text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    entries = [_without(entry, key) for entry in text.split("\n\n")]
    kept = "\n\n".join(entry for entry in entries if entry)
    _replace(path, kept.encode("utf-8", "surrogateescape"))
    return True


def _without(entry: str, key: PublicKey) -> str:
    """Take a key out of a paragraph; what stands beside it is about it, if it is the only one."""
    lines = entry.splitlines(True)
    kept = [line for line in lines if _key_in(line) != key.text]
    if len(kept) < len(lines) and not any(map(_key_in, kept)):
        return ""
    return "".join(kept)


def _key_in(line: str) -> str:
    name, _, value = line.strip().partition("=")
    return value.strip().strip("\"'") if name.strip() == "public-key" else ""


def _replace(path: str, contents: bytes) -> None:
    """Put other contents in a file's place, at once: nobody reads half of it."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    new = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    keys.write(new, contents, mode)
    os.replace(new, path)
