"""What is wrong with an address, in one sentence that says what to write instead."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Any

import zmq

from ..errors import AddressError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["explained", "is_local"]

_TRANSPORTS = ("tcp", "ipc", "inproc", "udp", "pgm", "epgm", "norm", "tipc", "vmci", "ws", "wss")

# What ImageSender and ImageHub call these sockets.
_NAMES: dict[int, str] = {
    zmq.REQ: "an ImageSender",
    zmq.PUB: "a PUB sender (REQ_REP=False)",
    zmq.REP: "an ImageHub",
    zmq.SUB: "a SUB hub (REQ_REP=False)",
}


@contextlib.contextmanager
def explained(socket_type: Any, address: Any, *, binding: bool) -> Iterator[None]:
    """Turn libzmq's word on an address that failed into ``AddressError``.

    Raises:
        AddressError: with libzmq's errno and a sentence that names the address.
        TypeError: the address is no text.
    """
    if not isinstance(address, str | bytes):
        raise TypeError(f'an address is text such as "tcp://127.0.0.1:5555", not {address!r:.60}')
    text = address if isinstance(address, str) else address.decode(errors="replace")
    # libzmq takes a port above 65535 modulo 65536: a connection to nowhere, in silence.
    if wrong := _port(text):
        raise AddressError(errno.EINVAL, wrong)
    try:
        yield
    except zmq.ContextTerminated:
        raise
    except zmq.ZMQError as error:
        who = _NAMES.get(socket_type, "this socket")
        sentence = _binding if binding else _connecting
        code = error.errno or 0
        raise AddressError(code, sentence(code, who, socket_type, text, error)) from None


def is_local(address: str) -> bool:
    """Tell whether only this machine reaches an address that libzmq has bound."""
    transport, _, rest = address.partition("://")
    return transport in ("ipc", "inproc") or rest.startswith(("127.", "[::1]", "localhost:"))


def _spelling(code: int, text: str, place: str) -> str | None:
    """Tell what is wrong with the spelling; ``place`` stands for a host that is missing."""
    transport, separator, rest = text.partition("://")
    if not separator:
        return f'the address "{text}" has no transport: write "tcp://{text}"'
    if transport not in _TRANSPORTS or code == zmq.EPROTONOSUPPORT:
        return f'the address "{text}" begins with "{transport}://": write "tcp://{rest}"'
    if transport == "tcp":
        host, colon, port = rest.rpartition(":")
        if not colon and rest.isdecimal():
            return f'the address "{text}" has no host: write "tcp://{place}:{rest}"'
        if not colon:
            return f'the address "{text}" has no port: write "{text}:5555"'
        if not host:
            return f'the address "{text}" has no host: write "tcp://{place}:{port}"'
    return None


def _port(text: str) -> str | None:
    """Tell what is wrong with a port, if anything."""
    host, colon, port = text.partition("tcp://")[2].rpartition(":")
    if not colon or "]" in port or port in ("*", "!") or (port.isdecimal() and int(port) < 65536):
        return None
    return (
        f'the port "{port}" in "{text}" is not a number from 1 to 65535: write "tcp://{host}:5555"'
    )


def _binding(code: int, who: str, socket_type: int, text: str, error: zmq.ZMQError) -> str:
    if wrong := _spelling(code, text, "*"):
        return wrong
    port = text.rpartition(":")[2]
    if code == zmq.EADDRINUSE:
        return (
            f"{text} is in use: another program, or an earlier ImageHub or ImageSender that"
            " is still open (in a notebook: close() it or restart the kernel), listens there"
        )
    if code in (errno.ENODEV, zmq.EADDRNOTAVAIL, errno.EINVAL, errno.ENXIO):
        if socket_type == zmq.PUB:
            return (
                f"{text} is not an address of this machine, and a PUB sender binds: use"
                f" tcp://*:{port}; the hub connects to it"
            )
        return (
            f"{text} is not an address of this machine, and {who} binds: use tcp://*:{port}"
            " to listen on all of its interfaces; the senders connect to it"
        )
    if code == errno.EACCES:
        return f"no permission to listen at {text}: ports below 1024 are the system's"
    return f"cannot listen at {text}: {error}"


def _connecting(code: int, who: str, socket_type: int, text: str, error: zmq.ZMQError) -> str:
    if wrong := _spelling(code, text, "127.0.0.1"):
        return wrong
    host, _, port = text.partition("://")[2].rpartition(":")
    other = "sender" if socket_type == zmq.SUB else "hub"
    if host == "*":
        return f"{text} names no machine, and {who} connects: put the {other}'s in place of *"
    if port in ("0", "*", "!"):
        return f"{text} names no port, and {who} connects: use the one that the {other} binds"
    return f"cannot connect to {text}: {error}"
