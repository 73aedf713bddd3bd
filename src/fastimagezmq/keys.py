"""CURVE keys, and the files that they are kept in.

A file holds one key in ZPL (https://rfc.zeromq.org/spec/4/), as the certificates of pyzmq
and CZMQ do, and those are read too. Keys are written in Z85, 40 characters.

No text that holds a secret key is in reach of a frame that raises: tracebacks that show
variables show none. What raises is given a problem in words.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any, NamedTuple, NoReturn, TypeAlias

import zmq

from .errors import SecurityError

__all__ = [
    "PUBLIC_SUFFIX",
    "SECRET_SUFFIX",
    "PathLike",
    "PublicKey",
    "SecretKey",
    "generate",
    "has_curve",
    "public_keys_in",
    "public_text",
    "writable_by_all",
    "write",
]

PathLike: TypeAlias = "str | os.PathLike[str]"

PUBLIC_SUFFIX = ".pub"
SECRET_SUFFIX = ".key"  # noqa: S105 (no password)

_MAX_BYTES = 1 << 20
_Z85_CHARACTERS = 40


def has_curve() -> bool:
    """Tell whether pyzmq's libzmq was built with CURVE."""
    return bool(zmq.has("curve"))


class PublicKey:
    """What one end is known by; anybody may see it.

    Args:
        text: the key in Z85, 40 characters.

    Raises:
        SecurityError: that is no key.
    """

    __slots__ = ("text",)

    text: str
    """The key in Z85."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or _decoded(text) is None:
            # What was given is not shown: it may be meant for a secret.
            raise SecurityError(
                "this is no public key: one has 40 characters in Z85, and stands in a"
                f" {PUBLIC_SUFFIX} file after 'public-key ='"
            )
        object.__setattr__(self, "text", text)

    @classmethod
    def load(cls, path: PathLike) -> PublicKey:
        """Read a file that holds one public key, and nothing secret.

        Raises:
            SecurityError: it cannot be read, others may write to it, or it holds no such key.
        """
        keys = public_keys_in(path)
        if len(keys) != 1:
            raise SecurityError(
                f"{path} holds {len(keys)} public keys, and one is wanted: give the"
                f" {PUBLIC_SUFFIX} file that 'fastimagezmq keygen' has written at the other end"
            )
        return keys[0]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a key does not change")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"PublicKey({getattr(self, 'text', None)!r})"

    def __reduce__(self) -> tuple[type[PublicKey], tuple[str]]:
        return PublicKey, (self.text,)


class SecretKey:
    """The key pair of one end. It shows its public half only, and cannot be pickled."""

    __slots__ = ("_secret", "public")

    public: PublicKey
    _secret: _Hidden

    def __init__(self) -> None:
        """Make a new key pair.

        Raises:
            SecurityError: this libzmq was built without CURVE.
        """
        _check_curve()
        public, secret = zmq.curve_keypair()
        self._keep(public.decode(), _Hidden(secret))

    @classmethod
    def load(cls, path: PathLike) -> SecretKey:
        """Read a file that ``fastimagezmq keygen`` has written.

        Raises:
            SecurityError: it cannot be read, others than its owner may read it, or it holds
                no key pair.
        """
        _check_curve()
        fields = _read(path, secret=True)
        if len(fields.public) != 1 or len(fields.secret) != 1:
            raise SecurityError(
                f"{path} holds no secret key: give the {SECRET_SUFFIX} file that"
                " 'fastimagezmq keygen' has written on this machine"
            )
        if not fields.secret[0].belongs_to(fields.public[0]):
            raise SecurityError(
                f"the secret key in {path} is damaged, or is not the one of the public key there:"
                " make new ones with 'fastimagezmq keygen'"
            )
        key = cls.__new__(cls)
        key._keep(fields.public[0], fields.secret[0])
        return key

    def _keep(self, public: str, secret: _Hidden) -> None:
        object.__setattr__(self, "public", PublicKey(public))
        object.__setattr__(self, "_secret", secret)

    def give_to(self, socket: zmq.Socket[Any]) -> None:
        """Set this key pair as a socket's own."""
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public.text.encode())
        self._secret.give_to(socket)

    def write(self, path: PathLike, name: str) -> None:
        """Write the file that ``load`` reads, for its owner's eyes only.

        Raises:
            SecurityError: the file is there already, or cannot be written.
        """
        write(path, self._secret.told(name, self.public.text), 0o600)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a key does not change")

    def __repr__(self) -> str:
        return f"<SecretKey of {getattr(self, 'public', None)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key is not pickled: it stays in its file")


class _Hidden:
    """Text that no representation shows."""

    __slots__ = ("_text",)

    def __init__(self, text: bytes) -> None:
        self._text = text

    def belongs_to(self, public: str) -> bool:
        """Tell whether it is the secret half of ``public``."""
        try:
            return bool(zmq.curve_public(self._text) == public.encode())
        except (zmq.ZMQError, ValueError):
            return False

    def give_to(self, socket: zmq.Socket[Any]) -> None:
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._text)

    def told(self, name: str, public: str) -> _Hidden:
        """Give the contents of a secret file."""
        return _Hidden(
            (
                "# The secret key of one end. It stays on this machine: never copy, send or show"
                " it.\n"
                f"{_metadata(name)}"
                "curve\n"
                f'    public-key = "{public}"\n'
                f'    secret-key = "{self._text.decode()}"\n'
            ).encode()
        )

    def written(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._text)

    def __repr__(self) -> str:
        return "<hidden>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


def generate(stem: PathLike) -> tuple[str, str]:
    """Make a key pair; returns the paths of its public and its secret file.

    Args:
        stem: the path of both without their suffixes; its last part is the key's name.

    Raises:
        SecurityError: a file is there already or cannot be written, or the file system does
            not keep others from reading the secret one. No file is left then.
    """
    public, secret = os.fspath(stem) + PUBLIC_SUFFIX, os.fspath(stem) + SECRET_SUFFIX
    name = os.path.basename(stem)
    key = SecretKey()
    made: list[str] = []
    try:
        key.write(secret, name)
        made.append(secret)
        SecretKey.load(secret)  # as whoever uses it will: are the permissions what was asked for?
        write(public, public_text(name, key.public), 0o644)
    except BaseException:
        for path in made:
            os.unlink(path)
        raise
    return public, secret


def public_text(name: str, key: PublicKey) -> bytes:
    """Give the contents of a public file, or of one entry of a list."""
    return (
        "# The public key of one end, for the machine that is to know it.\n"
        f'{_metadata(name)}curve\n    public-key = "{key.text}"\n'
    ).encode()


def _metadata(name: str) -> str:
    plain = "".join(character if character.isprintable() else "?" for character in name)
    return f'metadata\n    name = "{plain.replace(chr(34), chr(39))}"\n'


def public_keys_in(path: PathLike) -> list[PublicKey]:
    """Read every public key that a file holds, in order.

    Raises:
        SecurityError: it cannot be read, others may write to it, it holds something that is
            no key, or something secret.
    """
    fields = _read(path, secret=False)
    if fields.secret:
        raise SecurityError(
            f"{path} holds a secret key, which stays on the machine it was made on: take it away"
            f" from here, and give the {PUBLIC_SUFFIX} file beside it"
        )
    return [PublicKey(text) for text in fields.public]


def write(path: PathLike, contents: bytes | _Hidden, mode: int) -> None:
    """Write a file that must not be there yet.

    Raises:
        SecurityError: it is there already, or cannot be written.
    """
    contents = contents if isinstance(contents, _Hidden) else _Hidden(contents)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            contents.written(descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
    except FileExistsError:
        raise SecurityError(
            f"{path} is there already, and keys are not overwritten: choose another name, or take"
            " that file away first"
        ) from None
    except OSError as error:
        raise SecurityError(f"cannot write {path}: {error.strerror}") from None


class _Fields(NamedTuple):
    public: list[str]
    secret: list[_Hidden]


def _read(path: PathLike, *, secret: bool) -> _Fields:
    """Read a file of keys.

    Raises:
        SecurityError: with one sentence that says what to do.
    """
    problem, fields = _fields_or_problem(path, secret=secret)
    if fields is None:
        raise SecurityError(problem)
    return fields


def _fields_or_problem(path: PathLike, *, secret: bool) -> tuple[str, _Fields | None]:
    """Read a file of keys; never raises, and returns secrets hidden."""
    try:
        with open(path, "rb") as file:
            # Of the file that is open: another one may soon be at this path.
            if problem := _permissions(path, os.fstat(file.fileno()), secret=secret):
                return problem, None
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return f"cannot read the key file {path}: {reason}", None
    if len(data) > _MAX_BYTES:
        return f"{path} is no file of keys: it is larger than {_MAX_BYTES} bytes", None
    fields = _Fields([], [])
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(), 1):
        name, equals, value = line.strip().partition("=")
        if not equals or name.strip() not in ("public-key", "secret-key"):
            continue  # ZPL's sections, comments and other properties
        key = value.strip().strip("\"'")
        if _decoded(key) is None:
            return f"{path}, line {number}: what stands after '{name.strip()} =' is no key", None
        if name.strip() == "public-key":
            fields.public.append(key)
        else:
            fields.secret.append(_Hidden(key.encode()))
    return "", fields


def _permissions(path: PathLike, status: os.stat_result, *, secret: bool) -> str:
    """Say what is wrong with who may touch a file, if anything."""
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is no file"
    if os.name != "posix":
        return ""
    if secret and stat.S_IMODE(status.st_mode) & 0o077:
        return (
            f"the secret key {path} may be read by others than its owner: say"
            f" 'chmod 600 {path}', and make new keys if it may have been copied"
        )
    return writable_by_all(path, status)


def writable_by_all(path: PathLike, status: os.stat_result) -> str:
    """Say that everybody on this machine may write to a file or folder, if so."""
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o002:
        return f"{path} may be written to by everybody on this machine: say 'chmod o-w {path}'"
    return ""


def _decoded(text: str) -> bytes | None:
    """Decode a key from Z85; None: it is none."""
    # Here, since most programs need it never.
    from zmq.utils import z85  # noqa: PLC0415

    if len(text) != _Z85_CHARACTERS or not text.isascii():
        return None
    try:
        return z85.decode(text.encode())
    except Exception:
        return None


def _check_curve() -> None:
    """Refuse a libzmq without CURVE.

    Raises:
        SecurityError: with one sentence that says what to do.
    """
    if not has_curve():
        raise SecurityError(
            f"this libzmq ({zmq.zmq_version()}) was built without CURVE: install pyzmq's own wheel,"
            " 'pip install --force-reinstall --only-binary pyzmq pyzmq'"
        )
