"""Who may connect is asked here: a handler of ZAP 1.0 (https://rfc.zeromq.org/spec/27/).

libzmq asks it for each connection to a socket that demands so, within the socket's
context, and goes on with those alone that it says yes to. Each handler is one thread, which
alone touches its socket and knows nobody but whom it asks.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import zmq

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Handler", "Request"]

_ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_YES = b"200"
# "Temporary": the peer tries again after a while, so it gets in as soon as it is let. After any
# other no, libzmq's sockets never try again.
_NO = b"300"

_JOIN_SECONDS = 1.0


class Request(NamedTuple):
    """Who wants to connect."""

    address: str
    """The peer's IP address; of other transports what libzmq makes of it."""
    mechanism: str
    """"NULL" or "CURVE"."""
    key: bytes
    """With CURVE the peer's public key, 32 bytes, which it has proved to be its own."""


class Handler:
    """Answers the questions of one context until it is closed, or the context terminated.

    Args:
        context: whose sockets ask. It has one handler at most.
        decide: called with each request on the handler's thread; returns the ``User-Id`` of
            the messages of that peer, or None to refuse it. If it raises, that is a no.
    """

    def __init__(self, context: zmq.Context[Any], decide: Callable[[Request], str | None]) -> None:
        # Here, since `import fastimagezmq` would pay for it.
        from socket import socketpair  # noqa: PLC0415

        self.context = context
        self._decide = decide
        self._process = os.getpid()
        self._ended = False
        # Not by context.socket(): the context would close it from another thread.
        self._socket: zmq.Socket[Any] = zmq.Socket(context, zmq.REP)
        # The thread closes them as soon as it sees that it is to end: nobody may write to them
        # meanwhile. (Re-entrant for signal handlers.)
        self._waking = threading.RLock()
        self._wakes, self._woken = socketpair()
        self._thread = threading.Thread(target=self._run, name="fastimagezmq-zap", daemon=True)
        try:
            self._socket.linger = 0
            self._socket.bind(_ENDPOINT)
            self._thread.start()
        except BaseException:
            self._close_all()
            raise
        _alive.add(self)

    def close(self) -> None:
        """End the thread; from now on nobody is let in."""
        if self._process != os.getpid():
            return  # the thread and its socket are the parent's
        self._ended = True
        _alive.discard(self)
        if threading.current_thread() is self._thread:
            # Called by the garbage collector, say. Whoever terminates the context next waits for
            # this socket, and only this thread may close it.
            self._socket.close()
            return
        with self._waking, contextlib.suppress(OSError):  # it has ended already
            self._wakes.send(b"e")
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        try:
            poller = zmq.Poller()
            poller.register(self._socket, zmq.POLLIN)
            poller.register(self._woken, zmq.POLLIN)
            with contextlib.suppress(zmq.ZMQError):  # terminated, or closed by this thread
                while not self._ended:
                    if self._socket in dict(poller.poll()):
                        self._answer(self._socket.recv_multipart())
        finally:
            self._close_all()

    def _answer(self, parts: list[bytes]) -> None:
        user_id = self._asked(parts)
        status, text = (_NO, b"refused") if user_id is None else (_YES, b"OK")
        request_id = parts[1] if len(parts) > 1 else b""
        reply = [_VERSION, request_id, status, text, (user_id or "").encode(), b""]
        self._socket.send_multipart(reply)

    def _asked(self, parts: list[bytes]) -> str | None:
        if len(parts) < 6 or parts[0] != _VERSION:
            return None
        address, mechanism = (
            parts[3].decode("ascii", "replace"),
            parts[5].decode("ascii", "replace"),
        )
        key = parts[6] if len(parts) == 7 else b""
        with contextlib.suppress(Exception):
            return self._decide(Request(address, mechanism, key))
        return None

    def _close_all(self) -> None:
        self._socket.close()
        with self._waking:
            self._wakes.close()
        self._woken.close()


_alive: weakref.WeakSet[Handler] = weakref.WeakSet()


@atexit.register
def _close_at_exit() -> None:
    """End the threads while they can still run.

    A daemon thread stands still once the interpreter is being torn down, and whoever then
    terminates its context, as the collector may, would wait for its socket for ever.
    """
    for handler in list(_alive):
        handler.close()
