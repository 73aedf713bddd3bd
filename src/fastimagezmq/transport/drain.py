"""The thread that takes what arrives at a hub at once, and keeps the newest frames of it.

It alone touches the socket: libzmq's sockets do not stand two threads. What others want of
the socket they give it as functions to call. Natively the thread is in C, without the GIL,
until it is woken by a byte on a socket pair; else it does the same in Python.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import zmq

from .. import log, wire
from .._libzmq import Drain as NativeDrain
from .._libzmq import Newest, Ticket

if TYPE_CHECKING:
    import socket as sockets
    from collections.abc import Callable

    from .messages import Part, Port
    from .sockets import SerializingSocket

__all__ = ["STALE_REPLY", "Arrived", "CameraKey", "Drain"]

_T = TypeVar("_T")

STALE_REPLY = b"OK"
"""What a REQ sender is answered whose frame nobody will be given."""

_MALFORMED_REPLY = wire.ERROR_REPLY + b"the message is no frame"

_STOP = b"s"
_LOOK = b"r"

_JOIN_SECONDS = 5.0
_LOST_COMMAND_SECONDS = 0.05
_AT_A_TIME = 64
_ENVELOPE_MAX = 4  # as in native/drain.h, where it is explained
_KEPT_PARTS = 3

_DONTWAIT = int(zmq.DONTWAIT)
_SNDMORE = int(zmq.SNDMORE)


class CameraKey(NamedTuple):
    """What tells a camera, where the drain can see it. Neither: all of ``msg``."""

    member: bytes | None = None
    """A field of ``msg``, spelled as in JSON, without quotes."""
    by_peer: bool = False


class Arrived(Protocol):
    """A message that the drain took."""

    @property
    def parts(self) -> list[Any]:
        """Its parts, without what a reply needs; of many only the first three."""


class Drain:
    """Takes everything from a socket into a table of newest frames, on a thread of its own.

    Args:
        socket: a SUB, or a ROUTER that REQ senders connect to; this object's from now on.
        key: what tells a camera.
        max_cameras: how many of them ``newest`` keeps.
    """

    def __init__(self, socket: SerializingSocket, key: CameraKey, max_cameras: int) -> None:
        # Here, since `import fastimagezmq` would pay for it.
        from socket import socketpair  # noqa: PLC0415

        self._socket = socket
        self._cuts = socket.cuts
        events = -1 if self._cuts is None else self._cuts.fileno()
        port = socket.port
        self.newest = Newest(max_cameras, native=port is not None)
        self._commands: deque[_Command] = deque()
        self._process = os.getpid()  # elsewhere there is no such thread
        self._ending = False
        self._ended = threading.Event()
        # The thread closes them when it sees that it is to end, be it before it is woken: then
        # the descriptor may be another file's. (Re-entrant for signal handlers.)
        self._waking = threading.RLock()
        self._wakes, self._woken = socketpair()
        self._wakes.setblocking(False)
        self._woken.setblocking(False)
        routed = socket.type == zmq.ROUTER
        self._way: _Way = (
            _NativeWay(self.newest, port, key, routed, self._woken, events)
            if port is not None
            else _PyzmqWay(self.newest, socket, key, routed, self._woken, events)
        )
        self._thread = threading.Thread(target=self._run, name="fastimagezmq-drain", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._wakes.close()
            self._woken.close()
            raise
        _alive.add(self)

    # --- for the program's threads ----------------------------------------------------

    def call(self, function: Callable[[SerializingSocket], _T]) -> _T:
        """Call ``function`` with the socket, on the thread that uses it; return what it does.

        Raises:
            zmq.ZMQError: ENOTSOCK: the socket is closed.
            Exception: what the function raised.
        """
        if threading.current_thread() is self._thread:  # the collector's, or a log handler's
            return function(self._socket)
        if self._process != os.getpid():
            raise zmq.ZMQError(zmq.ENOTSOCK)
        command = _Command(function)
        self._commands.append(command)
        self._wake(_STOP)
        while not command.done.wait(_LOST_COMMAND_SECONDS):
            if self._ended.is_set() and not command.done.is_set():
                raise zmq.ZMQError(zmq.ENOTSOCK)
            self._wake(_STOP)
        if command.error is not None:
            try:
                raise command.error
            finally:
                command.error = None  # or its traceback would keep itself alive
        result: _T = command.result
        return result

    def reply(self, arrived: Any, data: bytes) -> None:
        """Send ``data`` to the sender of a message; if it has gone, nobody is told."""
        self._way.reply(arrived, data)
        self._wake(_LOOK)

    def end(self) -> bool:
        """End the thread, which closes the socket; False: this is the thread, and it will.

        Replies given before are sent. Who waits for a frame gets ``zmq.ContextTerminated``.
        """
        self.newest.close()
        return self.stop()

    def stop(self) -> bool:
        """End the thread as ``end`` does, but leave those alone who wait for a frame."""
        if self._process != os.getpid():
            return True
        self._ending = True
        self._wake(_STOP)
        if threading.current_thread() is self._thread:
            return False
        return self._ended.wait(_JOIN_SECONDS)

    @property
    def ended(self) -> bool:
        """Whether the thread has closed the socket."""
        return self._ended.is_set()

    def _wake(self, byte: bytes) -> None:
        # Full: it is awake, or will be. Closed: the thread has ended.
        with self._waking, contextlib.suppress(OSError):
            self._wakes.send(byte)

    # --- the thread -------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ending:
                try:
                    self._way.run(-1 if self._cuts is None else self._cuts.wait_ms())
                    if self._cuts is not None:
                        self._cuts.look(self._socket)
                except zmq.ZMQError as error:
                    if error.errno in (zmq.ETERM, zmq.ENOTSOCK):
                        self.newest.close()
                        break
                    log.warning("fastimagezmq: receiving failed, and is tried again: %s", error)
                    time.sleep(0.1)
                self._obey()
        finally:
            self._socket.close()
            with self._waking:
                self._wakes.close()
            self._woken.close()
            self._ended.set()  # last: who waits for it may end the interpreter

    def _obey(self) -> None:
        while self._commands:
            command = self._commands.popleft()
            try:
                command.result = command.function(self._socket)
            except BaseException as error:
                command.error = error
            command.done.set()


class _Command:
    """A function for the thread to call, and what came of it."""

    __slots__ = ("done", "error", "function", "result")

    def __init__(self, function: Callable[[SerializingSocket], Any]) -> None:
        self.function = function
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None


class _Way(Protocol):
    """How a drain goes: natively, or by pyzmq's calls."""

    def run(self, limit_ms: int) -> None:
        """Take what comes until told to stop, or there are events, or for ``limit_ms``.

        Below 0: that is for ever.
        """

    def reply(self, arrived: Any, data: bytes) -> None:
        """Send a reply as soon as the thread is woken."""


class _NativeWay:
    def __init__(
        self,
        newest: Newest,
        port: Port,
        key: CameraKey,
        routed: bool,
        woken: sockets.socket,
        events: int,
    ) -> None:
        self._native = NativeDrain(newest, routed, key.member, key.by_peer)
        self._port = port
        self._events = events
        self._woken = woken
        self.reply = self._native.reply

    def run(self, limit_ms: int) -> None:
        self._native.run(self._port, self._woken.fileno(), self._events, limit_ms)


class _Message:
    """An ``Arrived`` of pyzmq's frames."""

    __slots__ = ("envelope", "malformed", "parts")

    def __init__(self) -> None:
        self.envelope: list[Part] = []
        self.parts: list[Part] = []
        self.malformed = False


class _PyzmqWay:
    """What native/drain.c does, by pyzmq's public calls."""

    def __init__(
        self,
        newest: Newest,
        socket: SerializingSocket,
        key: CameraKey,
        routed: bool,
        woken: sockets.socket,
        events: int,
    ) -> None:
        self._newest = newest
        self._socket = socket
        self._key = key
        self._routed = routed
        self._woken = woken
        self._events = events
        self._replies: deque[tuple[_Message, bytes]] = deque()

    def reply(self, arrived: _Message, data: bytes) -> None:
        self._replies.append((arrived, data))

    def run(self, limit_ms: int) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._woken, zmq.POLLIN)
        if self._events >= 0:
            poller.register(self._events, zmq.POLLIN)
        end = None if limit_ms < 0 else time.monotonic() + limit_ms / 1000
        stop = False
        while not stop:
            left_ms = -1 if end is None else max(0, math.ceil((end - time.monotonic()) * 1000))
            ready = dict(poller.poll(left_ms))
            stop = left_ms == 0 or self._events in ready
            if self._woken.fileno() in ready:
                stop = self._is_stopped() or stop
                while self._replies:
                    self._send(*self._replies.popleft())
            if self._socket in ready:
                self._take_some()

    def _is_stopped(self) -> bool:
        told = b""
        with contextlib.suppress(BlockingIOError):
            while some := self._woken.recv(64):
                told += some
        return _STOP in told

    def _take_some(self) -> None:
        with contextlib.suppress(zmq.Again):
            for _ in range(_AT_A_TIME):
                message = self._receive()
                if message is not None:
                    self._store(message)

    def _receive(self) -> _Message | None:
        message = _Message()
        enveloped, complete = self._routed, not self._routed
        flags, more = _DONTWAIT, True
        while more:
            part = self._socket.recv(flags, copy=False)
            flags, more = 0, part.more
            if enveloped:
                enveloped = not message.envelope or len(part) > 0
                if len(message.envelope) < _ENVELOPE_MAX:
                    message.envelope.append(part)
                    complete = not enveloped
            elif len(message.parts) < _KEPT_PARTS:
                message.parts.append(part)
        return message if complete and message.parts else None

    def _store(self, message: _Message) -> None:
        header = message.parts[0]
        ticket = Ticket.of_key(b"")
        if len(message.parts) == 2:
            ticket = Ticket(header.bytes, self._peer(header), *self._key)
        message.malformed = not ticket.key
        homeless = self._newest.put(ticket, message)
        if homeless is not None:
            self._send(homeless, _MALFORMED_REPLY if homeless.malformed else STALE_REPLY)

    def _peer(self, header: Part) -> bytes | None:
        if self._key.by_peer:
            with contextlib.suppress(zmq.ZMQError):
                return str(header.get("Peer-Address")).encode()
        return None

    def _send(self, message: _Message, data: bytes) -> None:
        if message.envelope:
            with contextlib.suppress(zmq.Again):
                for part in message.envelope:
                    self._socket.send(part.bytes, _DONTWAIT | _SNDMORE)
                self._socket.send(data, _DONTWAIT)


# A thread in C stands no interpreter that is being taken apart. Who waits for a frame then, on
# a daemon thread of the program's, is left waiting: an exception would only be printed.
_alive: weakref.WeakSet[Drain] = weakref.WeakSet()


def _stop_at_exit() -> None:
    for drain in list(_alive):
        drain.stop()


atexit.register(_stop_at_exit)
