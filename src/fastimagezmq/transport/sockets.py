"""imageZMQ's socket and context classes, whose end never hangs.

Two invariants hold here. A socket lingers at most ``CLOSE_SECONDS`` on its way out, so
that what can be delivered is, and nobody waits for a peer that is gone. And a context
that the garbage collector finishes before its sockets (both are in one cycle, and the
order is the collector's) is terminated by the last of them to close: terminating it
earlier would wait for sockets that only this very thread could close.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import zmq

from .. import wire
from . import addresses, bodies, messages

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from .cuts import Cuts
    from .guard import Guard

__all__ = ["CLOSE_SECONDS", "SerializingContext", "SerializingSocket", "line_of"]

CLOSE_SECONDS = 0.9
"""How long, in seconds, a closing socket goes on delivering what was sent."""

_REPLACEABLE = frozenset(("send_array", "send_jpg", "send", "recv_array", "recv_jpg", "recv"))

_LINGER_MS = int(CLOSE_SECONDS * 1000)


class _Events(zmq.Socket[bytes]):
    """Closed by the socket that it tells of, which must not outlive it: see there."""

    def __del__(self) -> None:
        """Do nothing: the collector's order is not that of closing."""


class SerializingSocket(zmq.Socket[bytes]):
    """A ``zmq.Socket`` that sends and receives numpy arrays and JPEG blobs.

    The methods are imageZMQ's; a message is written as one, or not at all.
    """

    # pyzmq's sockets take no attributes but those that the class knows.
    endpoints: tuple[str, ...] = ()
    """The addresses that this socket has connected to, in order."""

    port: messages.Port | None = None
    """This socket as libzmq knows it, if whole messages go straight there."""

    bound: tuple[str, ...] = ()
    """The addresses that this socket is bound to, as libzmq has understood them."""

    cuts: Cuts | None = None
    """What sees to it that this SUB socket stays connected."""

    guard: Guard | None = None
    """What ``security=`` and ``allow=`` have made of this socket."""

    _sending: ClassVar[messages.Methods]  # without which whole messages do not pass natively
    _receiving: ClassVar[messages.Methods]
    _counted = False  # among the sockets alive of its context
    _events: _Events | None = None  # on which its monitor tells of its connections

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.port = self._port_of_its_own()
        # Also one that was not made by context.socket().
        if isinstance(self.context, SerializingContext) and not self._shadow:
            self.context._add_socket(self)

    def _port_of_its_own(self) -> messages.Port | None:
        return messages.port_of(self)

    def __setattr__(self, key: str, value: Any) -> None:
        """Set an attribute or option, as ``zmq.Socket`` does; a replaced method is called."""
        super().__setattr__(key, value)
        if key in _REPLACEABLE and self.port is not None:
            self.port.overridden = True

    def bind(self, addr: str) -> Any:
        """Bind, as ``zmq.Socket.bind`` does; what fails is told in one sentence.

        Raises:
            AddressError: also a ``zmq.ZMQError``, with libzmq's errno.
            SecurityError: this socket has security, and the address can have none.
        """
        if self.guard is not None:
            self.guard.look_at(self, _text(addr), binding=True)
        with addresses.explained(self.type, addr, binding=True):
            manager = super().bind(addr)
        self.bound += (self.getsockopt_string(zmq.LAST_ENDPOINT),)
        return manager

    def unbind(self, addr: str | bytes) -> None:
        """Unbind, as ``zmq.Socket.unbind`` does."""
        super().unbind(addr)
        self.bound = tuple(known for known in self.bound if known != _text(addr))

    def connect(self, addr: str) -> Any:
        """Connect, as ``zmq.Socket.connect`` does; what fails is told in one sentence.

        Raises:
            AddressError: also a ``zmq.ZMQError``, with libzmq's errno.
            SecurityError: this socket has security, and the address can have none.
        """
        if self.guard is not None:
            self.guard.look_at(self, _text(addr), binding=False)
        if self.cuts is not None:
            self.cuts.make_way(self)
        with addresses.explained(self.type, addr, binding=False):
            manager = super().connect(addr)
        address = _text(addr)
        if self.cuts is not None:
            self.cuts.connected(address)
        if address not in self.endpoints:
            self.endpoints += (address,)
        return manager

    def disconnect(self, addr: str | bytes) -> None:
        """Disconnect, as ``zmq.Socket.disconnect`` does."""
        if self.cuts is None or not self.cuts.forget(_text(addr)):
            super().disconnect(addr)
        self.endpoints = tuple(known for known in self.endpoints if known != _text(addr))

    def watch(self, events: int, *, bounded: bool = True) -> zmq.Socket[bytes]:
        """Return a socket on which libzmq tells of this one's connections; once.

        It belongs to the thread that uses this socket, and ends with it.

        Args:
            events: which, ``zmq.EVENT_DISCONNECTED`` for example.
            bounded: with some 2000 of them unread libzmq's thread waits, and with it all that
                is sent and received. False: as many wait as come.
        """
        address = f"inproc://fastimagezmq-events-{id(self)}"
        self.monitor(address, events)
        self._events = _Events(self.context, zmq.PAIR)
        if not bounded:
            self._events.setsockopt(zmq.RCVHWM, 0)
        self._events.connect(address)
        return self._events

    def _stop_watching(self, events: _Events) -> None:
        context = self.context
        if isinstance(context, SerializingContext) and context._owner_process != os.getpid():
            return  # the parent process's
        # While the monitor waits for room to tell something it holds what closing needs.
        # (At the end of the interpreter no exception can be made.)
        with contextlib.suppress(zmq.ZMQError):
            while int(events.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                events.recv(zmq.DONTWAIT)
        with contextlib.suppress(zmq.ZMQError):
            self.monitor(None, 0)
        events.close(0)

    def close(self, linger: int | None = None) -> None:
        """Close; what was sent goes on being delivered for ``CLOSE_SECONDS`` at most.

        Args:
            linger: milliseconds to set as LINGER instead. A LINGER that was set before
                and is shorter than ``CLOSE_SECONDS`` is kept.
        """
        context = self.context
        if self.port is not None:
            self.port.close()
        if self._events is not None:
            self._stop_watching(self._events)
        super().close(_bounded_linger(self) if linger is None else linger)
        if isinstance(context, SerializingContext):
            context._forget(self)

    def send_array(
        self,
        A: NDArray[Any],
        msg: Any = "NoName",
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
    ) -> Any:
        """Send an array with a message, as imageZMQ frames them.

        Args:
            A: an array of any shape, strides and plain dtype; see ``checked_dtype``.
            msg: any JSON value.
            flags: libzmq's, such as ``zmq.NOBLOCK``.
            copy: copy the pixels before returning; with False the caller leaves them
                alone until they are sent (a tracker tells when).
            track: return a ``zmq.MessageTracker`` (with ``copy=False``).

        Raises:
            TypeError: not an array, or a message or dtype that cannot be sent. Nothing
                has been sent then.
        """
        array = bodies.checked_array(A)
        header = wire.pixels_header(msg, array.dtype, array.shape)
        return self.send_parts(header, bodies.of_array(array), flags, copy=copy, track=track)

    def send_jpg(
        self,
        msg: Any = "NoName",
        jpg_buffer: Buffer = b"00",
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
    ) -> Any:
        """Send a blob (a JPEG, or any bytes) with a message, as imageZMQ frames them.

        Args:
            msg: any JSON value.
            jpg_buffer: any contiguous buffer; it is not looked into.
            flags: libzmq's, such as ``zmq.NOBLOCK``.
            copy: as for ``send_array``.
            track: as for ``send_array``.

        Raises:
            TypeError: not a buffer (text, for one), or a message that cannot be sent.
                Nothing has been sent then.
        """
        body = bodies.of_blob(jpg_buffer)
        return self.send_parts(wire.blob_header(msg), body, flags, copy=copy, track=track)

    def send_parts(
        self, header: bytes, body: Buffer, flags: int = 0, *, copy: bool, track: bool = False
    ) -> Any:
        """Send a header and a body that were checked before as one message.

        Raises:
            zmq.ZMQError: libzmq refused; nothing has been sent then.
        """
        line = line_of(self, self._sending)
        if track or line is None:
            return messages.send_by_pyzmq(self, header, body, flags, copy=copy, track=track)
        return messages.send(line, header, body, int(flags), copy_below=messages.ALL if copy else 0)

    def recv_array(
        self, flags: int = 0, copy: bool = True, track: bool = False
    ) -> tuple[Any, NDArray[Any]]:
        """Receive an array and its message.

        Args:
            flags: libzmq's, such as ``zmq.NOBLOCK``.
            copy: accepted for imageZMQ's sake; the array is always backed by the
                received message, writable, and outlives the socket.
            track: accepted likewise.

        Returns:
            ``(msg, array)``.

        Raises:
            WireError: not an array message. It has been taken from the socket whole.
        """
        del copy, track
        header, body = wire.parse_parts(self._receive_parts(flags))
        return header.message, wire.parse_array(header, body)

    def recv_jpg(self, flags: int = 0, copy: bool = True, track: bool = False) -> tuple[Any, Any]:
        """Receive a blob and its message.

        Args:
            flags: libzmq's, such as ``zmq.NOBLOCK``.
            copy: return the blob as ``bytes``; with False as a ``Message`` or ``zmq.Frame``,
                which have the buffer protocol, ``.bytes``, ``.buffer`` and a length.
            track: accepted for imageZMQ's sake.

        Returns:
            ``(msg, blob)``. The blob is not looked into.

        Raises:
            WireError: not two parts, or a malformed header. The message has been taken
                from the socket whole.
        """
        del track
        parts = self._receive_parts(flags)
        header, _ = wire.parse_parts(parts)
        return header.message, parts[1].bytes if copy else parts[1]

    def _receive_parts(self, flags: int) -> list[Any]:
        if self.cuts is not None:
            self.cuts.look_in_time(self)
        line = line_of(self, self._receiving)
        if line is not None:
            return messages.receive(line, flags=int(flags)) or []
        return messages.receive_by_pyzmq(self, flags)


def _text(addr: str | bytes) -> str:
    return addr if isinstance(addr, str) else addr.decode("utf-8", "replace")


def _bounded_linger(socket: zmq.Socket[Any]) -> int | None:
    """Tell which LINGER to close a socket with; None to leave it as it is."""
    if not socket.closed:
        with contextlib.suppress(zmq.ZMQError):  # the context is being terminated
            if not 0 <= int(socket.getsockopt(zmq.LINGER)) <= _LINGER_MS:
                return _LINGER_MS
    return None


SerializingSocket._sending = messages.Methods(SerializingSocket, "send")
SerializingSocket._receiving = messages.Methods(SerializingSocket, "recv")


def line_of(socket: Any, methods: messages.Methods) -> messages.Line | None:
    """Tell what whole messages of ours may go through.

    None: a socket of the program's own, which has its own idea of these methods.
    """
    if not isinstance(socket, SerializingSocket):
        return None
    port = socket.port
    if port is None:
        return socket if methods.kept_by(socket) else None
    return port if methods.unchanged(port) else None


class SerializingContext(zmq.Context[SerializingSocket]):
    """A ``zmq.Context`` that makes ``SerializingSocket``, and never hangs when dropped."""

    _socket_class = SerializingSocket

    _alive = 0  # sockets made here and not yet closed
    _orphaned = False  # finished by the collector while sockets were alive
    _owner_process = 0
    _ending: Any = None  # a lock, re-entrant for a signal handler that closes

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ending = threading.RLock()
        self._owner_process = os.getpid()

    def _add_socket(self, socket: Any) -> None:
        super()._add_socket(socket)
        if isinstance(socket, SerializingSocket) and not socket._counted:
            socket._counted = True
            self._alive += 1
            # close() sees to it too, except where another thread is terminating the
            # context: no option can be set any more then. (SUB's default is 0 already.)
            if int(socket.getsockopt(zmq.LINGER)) < 0:
                socket.setsockopt(zmq.LINGER, _LINGER_MS)

    def _forget(self, socket: SerializingSocket) -> None:
        if socket._counted:
            socket._counted = False
            self._alive -= 1
        if self._orphaned and self._alive == 0:
            self._orphaned = False
            self.term()

    def term(self) -> None:
        """Terminate, as ``zmq.Context.term`` does; every body that was sent is let go of."""
        # Two threads in zmq_ctx_term hang, or abort the process. In a forked child a thread
        # that is not there may hold the lock, and pyzmq does nothing.
        here = self._owner_process == os.getpid()
        with self._ending if here else contextlib.nullcontext():
            super().term()
        messages.release_done()

    def close_all(self, besides: object = None) -> None:
        """Close every socket made here and terminate: within ``CLOSE_SECONDS``.

        Args:
            besides: a socket that another thread uses. Terminating wakes that thread, and
                is complete when it has closed its socket.
        """
        for socket in self._known_sockets():
            if socket is not besides and not socket.closed:
                socket.close(_bounded_linger(socket))
        self.term()

    def _close_last(self) -> None:
        """Terminate as soon as the last socket made here is closed."""
        if self._alive > 0:
            self._orphaned = True
        else:
            self.term()

    def _known_sockets(self) -> list[zmq.Socket[Any]]:
        while True:
            try:
                return list(self._sockets or ())
            except RuntimeError:  # another thread has just closed one of them
                continue

    def __del__(self) -> None:
        if self._alive > 0:
            self._orphaned = True
        else:
            super().__del__()
