"""Whole messages, in and out: through libzmq without the GIL, or through pyzmq's public calls.

The first way is taken on sockets that have proved to be of the libzmq whose functions were
found (see ``port_of``), the second on all others; both put the same bytes on the wire and
raise the same errors. The environment variable ``FASTIMAGEZMQ_MESSAGES=pyzmq`` turns the
first off.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import zmq
from zmq.backend import Socket as _BackendSocket

from .. import _libzmq
from .._libzmq import Methods, Port, Request

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "ALL",
    "Line",
    "Methods",
    "Part",
    "Port",
    "Request",
    "Way",
    "port_of",
    "receive",
    "receive_by_pyzmq",
    "release_done",
    "send",
    "send_by_pyzmq",
    "way",
]

Part: TypeAlias = "_libzmq.Message | zmq.Frame"
"""One part of a received message; both kinds have the same buffer, ``bytes`` and ``get``."""

Line: TypeAlias = "Port | zmq.Socket[Any]"
"""What messages go through: a port natively, a socket by pyzmq's public calls."""

# Parts kept of one message: one more than a frame has, enough to tell that it is none.
_KEPT_PARTS = 3

ALL = sys.maxsize
"""For ``copy_below``: copy whatever its size."""

_SUGAR = "zmq.sugar.socket"  # pyzmq's module of Socket.send

_SNDMORE = int(zmq.SNDMORE)  # the enum's own | costs more than the call


class Way(NamedTuple):
    """How messages pass between this library and libzmq."""

    native: bool
    reason: str
    """Through which file the functions were found, or why they were not."""


def _attached() -> Way:
    if os.environ.get("FASTIMAGEZMQ_MESSAGES") == "pyzmq":
        return Way(False, "FASTIMAGEZMQ_MESSAGES=pyzmq is set")
    # Somebody may have replaced them before this import (zmq.green does): theirs are called.
    if zmq.Socket.recv is not _BackendSocket.recv or zmq.Socket.send.__module__ != _SUGAR:
        return Way(False, "zmq.Socket's send or recv is not pyzmq's own")
    file = getattr(sys.modules.get(_BackendSocket.__module__), "__file__", None)
    if file is None:
        return Way(False, f"pyzmq's {_BackendSocket.__module__} is no extension file")
    try:
        version = _libzmq.attach(file)
    except OSError as error:
        return Way(False, str(error))
    if version != zmq.zmq_version_info()[:3]:
        return Way(False, f"libzmq {version} was found, and pyzmq uses {zmq.zmq_version()}")
    return Way(True, file)


way = _attached()


def port_of(socket: zmq.Socket[Any], request: Request | None = None) -> Port | None:
    """Return the port of a socket that was just made; None: it goes pyzmq's way.

    ``request``: the socket is a ROUTER that is to be used as a REP.
    """
    if not way.native:
        return None
    try:
        return Port(socket, request)
    except zmq.ZMQError:
        return None


def send(
    line: Line,
    header: bytes,
    body: Buffer | None,
    flags: int = 0,
    *,
    copy_below: int,
    delimited: bool = False,
) -> None:
    """Send a header and a body, or one part alone (``body=None``), as one message.

    Args:
        line: a port, or a socket whose ``send`` is not overridden.
        header: the first part.
        body: a contiguous buffer.
        flags: ``zmq.DONTWAIT`` or 0, and then SNDTIMEO holds.
        copy_below: a body of fewer bytes is copied; another must not change until libzmq
            has read it.
        delimited: send an empty part before them, as a DEALER must to a REP.

    Raises:
        zmq.ZMQError: libzmq refused; nothing has been sent then.
    """
    if type(line) is Port:
        _libzmq.send(line, header, body, copy_below, flags, delimited)
        return
    if delimited:
        line.send(b"", int(flags) | _SNDMORE)
    if body is None:
        line.send(header, flags)
    else:
        send_by_pyzmq(line, header, body, flags, copy=memoryview(body).nbytes < copy_below)


def send_by_pyzmq(
    socket: zmq.Socket[Any],
    header: bytes,
    body: Buffer,
    flags: int = 0,
    *,
    copy: bool,
    track: bool = False,
) -> Any:
    """Send a message by the socket's own ``send``; return what the last call of it does."""
    socket.send(header, int(flags) | _SNDMORE)
    # libzmq takes the rest of a message whose first part it took: it counts messages,
    # not parts, against the high-water mark. Only an interrupt can come in between.
    try:
        return socket.send(body, flags, copy=copy, track=track)
    except KeyboardInterrupt:
        # Half a message would join with the next one: finish this one. A REQ socket tells
        # by POLLOUT that the body is not out yet. A PUB socket always says so: there it is
        # left alone, since a body sent twice would be a message of its own.
        if socket.type == zmq.REQ and int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT:
            socket.send(body, flags | zmq.NOBLOCK, copy=copy)
        raise


def receive(line: Line, slice_ms: int = -1, flags: int = 0) -> list[Any] | None:
    """Wait for a message and take it whole; its first three parts are kept.

    Args:
        line: a port, or a socket whose ``recv`` is not overridden.
        slice_ms: how long to wait at most, if RCVTIMEO is not shorter; below 0 as long as
            RCVTIMEO says.
        flags: ``zmq.DONTWAIT`` or 0.

    Returns:
        The parts (``Part``), or None when the slice is over.

    Raises:
        zmq.Again: nothing came within RCVTIMEO, or at once with ``zmq.DONTWAIT``.
    """
    if type(line) is Port:
        return _libzmq.receive(line, slice_ms, flags)
    return _receive_slice(line, slice_ms, flags)


def _receive_slice(socket: zmq.Socket[Any], slice_ms: int, flags: int) -> list[Any] | None:
    limit_ms = int(socket.getsockopt(zmq.RCVTIMEO))
    if slice_ms < 0 or int(flags) & zmq.DONTWAIT or 0 <= limit_ms <= slice_ms:
        return receive_by_pyzmq(socket, flags)
    # Borrowing RCVTIMEO costs less than a poll before each receive.
    socket.setsockopt(zmq.RCVTIMEO, slice_ms)
    try:
        return receive_by_pyzmq(socket)
    except zmq.Again:
        return None
    finally:
        with contextlib.suppress(zmq.ZMQError):  # closed meanwhile, or being terminated
            socket.setsockopt(zmq.RCVTIMEO, limit_ms)


def receive_by_pyzmq(socket: zmq.Socket[Any], flags: int = 0) -> list[zmq.Frame]:
    """Receive a message by the socket's own ``recv``."""
    last = socket.recv(flags, copy=False)
    parts = [last]
    while last.more:
        last = socket.recv(copy=False)
        if len(parts) < _KEPT_PARTS:
            parts.append(last)
    return parts


def release_done() -> None:
    """Let go of the bodies that libzmq has read since the last message was sent or received."""
    if way.native:
        _libzmq.release_done()
