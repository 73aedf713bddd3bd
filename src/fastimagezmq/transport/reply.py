"""The socket of a hub that answers: a REP to whoever uses it, and a ROUTER underneath.

libzmq 4.3.5's REP drops the reply to an honest peer after a message without delimiter whose
sender has gone: docs/decisions/0017-envelopes.md. Here the envelopes are ours, natively
(native/request.h) or by pyzmq's public calls. What takes the socket's C handle (``zmq.Poller``,
``zmq.proxy``, ``underlying``) sees the ROUTER.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import zmq
from zmq.backend import Socket as _BackendSocket

from .. import log
from ..throttle import Throttle
from . import messages
from .sockets import SerializingSocket

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ReplySocket"]

_HOPS_MAX = 32  # as in native/request.h

# The enums' own operators, and pyzmq's look at them, cost more than the calls.
_DONTWAIT = int(zmq.DONTWAIT)
_SNDMORE = int(zmq.SNDMORE)
_AT_ONCE = _DONTWAIT | _SNDMORE
_RCVMORE = int(zmq.RCVMORE)
_TYPE = int(zmq.TYPE)
_EVENTS = int(zmq.EVENTS)
_REP = int(zmq.REP)


class ReplySocket(SerializingSocket):
    """Receives requests and sends their replies in turn, as a REP socket.

    A reply goes to where its request came from, or, where that has gone or reads nothing,
    nowhere. A message without delimiter is passed over: counted, and told of once a minute.
    """

    _request: _Turns
    _strangers: _Strangers

    def __init__(self, context: zmq.Context[Any]) -> None:
        super().__init__(context, zmq.ROUTER)

    def _port_of_its_own(self) -> messages.Port | None:
        self._strangers = _Strangers()
        request = messages.Request(self._strangers)
        port = messages.port_of(self, request)
        self._request = request if port is not None else _Request(self._strangers)
        return port

    @property
    def passed_over(self) -> int:
        """How many messages had no delimiter."""
        return self._strangers.count

    def recv(self, flags: int = 0, copy: bool = True, track: bool = False) -> Any:
        """Receive the next part of a request, as ``zmq.Socket.recv`` does.

        Raises:
            zmq.ZMQError: EFSM: the request before has not been answered.
        """
        self._request.open(self.port or self, int(flags))
        part: Any = super().recv(flags, copy, track)
        if not copy:
            self._request.took(part.more)
        return part

    def recv_into(self, buffer: Any, /, **options: Any) -> Any:
        """Receive the next part of a request, as ``zmq.Socket.recv_into`` does.

        Raises:
            zmq.ZMQError: EFSM: the request before has not been answered.
        """
        self._request.open(self.port or self, int(options.get("flags", 0)))
        return super().recv_into(buffer, **options)

    def send(
        self,
        data: Any,
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        routing_id: int | None = None,
        group: str | None = None,
    ) -> Any:
        """Send the next part of a reply, as ``zmq.Socket.send`` does.

        Raises:
            zmq.ZMQError: EFSM: there is nothing to reply to.
        """
        request = self._request
        try:
            request.answer(self.port or self)
        except zmq.ZMQError:
            zmq.Frame(data)  # what could not be sent in turn either is told of first
            raise
        last = not int(flags) & _SNDMORE
        if last:
            request.finish()
        try:
            return super().send(data, flags, copy, track, routing_id, group)
        except BaseException:
            request.finish(False)
            raise

    def poll(self, timeout: int | None = None, flags: int = zmq.POLLIN) -> int:
        """Wait as ``zmq.Socket.poll`` does: for a request, or for the reply's turn."""
        if flags and not self.closed:
            # Without any event libzmq would not notice the end of its context.
            flags = int(flags) & ~self._other_turn() or zmq.POLLERR
        return super().poll(timeout, flags)

    def get(self, option: int) -> Any:
        """Read an option, as ``zmq.Socket.get`` does."""
        value: Any = super().get(option)
        if option == _EVENTS:
            return value & ~self._other_turn()
        return _REP if option == _TYPE else value

    getsockopt = get

    def _other_turn(self) -> int:
        """Return the event for which it is not the turn."""
        return int(zmq.POLLIN if self._request.to_reply(self.port or self) else zmq.POLLOUT)


ReplySocket._sending = messages.Methods(ReplySocket, "send", beneath=SerializingSocket)
ReplySocket._receiving = messages.Methods(ReplySocket, "recv", beneath=SerializingSocket)


class _Strangers:
    """Counts the messages that had no delimiter, and warns of them."""

    def __init__(self) -> None:
        self.count = 0
        self._warnings = Throttle()

    def __call__(self, peer: str) -> None:
        self.count += 1
        peer = peer or "an unknown address"
        if self._warnings.due(peer):
            log.warning(
                "fastimagezmq: skipped a malformed message from %s: the empty part that REQ"
                " sockets put in front is missing, so it cannot be answered (more of them within a"
                " minute are only counted)",
                peer,
            )


class _Turns(Protocol):
    """Whose turn it is, and the envelope: a ``Request`` natively, or a ``_Request``."""

    def open(self, line: Any, flags: int = 0, /) -> None: ...
    def took(self, more: bool, /) -> None: ...
    def to_reply(self, line: Any, /) -> bool: ...
    def answer(self, line: Any, /) -> None: ...
    def finish(self, finished: bool = True, /) -> None: ...


_TO_RECEIVE, _RECEIVING, _TO_REPLY, _REPLYING = range(4)  # as in native/request.h


class _Request:
    """What ``_libzmq.Request`` does, by pyzmq's public calls."""

    def __init__(self, passed_over: Callable[[str], None]) -> None:
        self._passed_over = passed_over
        self._turn = _TO_RECEIVE
        self._more: bool | None = None  # while receiving: whether a part follows, if that is known
        self._envelope: deque[zmq.Frame] = deque()

    def to_reply(self, socket: zmq.Socket[Any]) -> bool:
        if self._turn == _RECEIVING:
            more = self._more
            if more is None:
                more = bool(zmq.Socket.get(socket, _RCVMORE))
            if not more:
                self._turn = _TO_REPLY
        return self._turn >= _TO_REPLY

    def took(self, more: bool) -> None:
        self._more = more

    def open(self, socket: zmq.Socket[Any], flags: int = 0) -> None:
        if self.to_reply(socket):
            _refuse(socket)
        self._more = None  # until the part has been received
        if self._turn == _RECEIVING or self._take_envelope(socket, flags):
            return
        # From now on the time is kept here: each such message would start RCVTIMEO anew.
        limit_ms = -1 if flags & _DONTWAIT else int(zmq.Socket.get(socket, zmq.RCVTIMEO))
        end = time.monotonic() + limit_ms / 1000
        left_ms = limit_ms
        try:
            while True:
                if limit_ms >= 0:
                    left_ms = int((end - time.monotonic()) * 1000)
                    if left_ms <= 0:
                        raise zmq.Again
                    socket.setsockopt(zmq.RCVTIMEO, left_ms)
                if self._take_envelope(socket, flags):
                    return
        finally:
            if left_ms != limit_ms:
                with contextlib.suppress(zmq.ZMQError):  # it is being terminated
                    socket.setsockopt(zmq.RCVTIMEO, limit_ms)

    def _take_envelope(self, socket: zmq.Socket[Any], flags: int) -> bool:
        """Take it, or all of a message that has none."""
        envelope = self._envelope
        envelope.clear()
        first = part = zmq.Socket.recv(socket, flags, copy=False)
        bottom = False
        while True:
            if len(envelope) < _HOPS_MAX:
                envelope.append(part)
                bottom = not len(part)
            if not part.more:
                envelope.clear()
                self._passed_over(_address_of(first))
                return False
            if bottom:
                self._turn = _RECEIVING
                return True
            part = zmq.Socket.recv(socket, copy=False)

    def answer(self, socket: zmq.Socket[Any]) -> None:
        if not self.to_reply(socket):
            _refuse(socket)
        try:
            while self._envelope:
                _BackendSocket.send(socket, self._envelope.popleft(), _AT_ONCE)
        except zmq.ZMQError:  # with ROUTER_MANDATORY, or closed
            self._envelope.clear()
            self._turn = _TO_RECEIVE
            raise
        self._turn = _REPLYING

    def finish(self, finished: bool = True) -> None:
        self._turn = _TO_RECEIVE if finished else _REPLYING


def _address_of(part: zmq.Frame) -> str:
    try:
        return str(part.get("Peer-Address"))
    except zmq.ZMQError:
        return ""


def _refuse(socket: zmq.Socket[Any]) -> NoReturn:
    zmq.Socket.get(socket, zmq.TYPE)  # closed, or being terminated: that is told of first
    raise zmq.ZMQError(zmq.EFSM)
