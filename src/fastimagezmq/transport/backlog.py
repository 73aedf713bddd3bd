"""How many frames may wait in a queue: so many as fit 64 MB at the size of the stream's.

libzmq counts messages: 1000 of them are ten megabytes of small JPEGs and six gigabytes of raw
pictures. So the high-water mark is set when the first frame shows how large they are.

It can be raised at any time, but hardly ever lowered. libzmq's reader of a queue tells its writer
how much it has read once every half of the mark only: after a lower mark the writer may take for
full what has been read and not been told, and as it writes no more, it never will be. That
cannot happen while less has passed than the new mark.

A hub that connects later gets the mark that a PUB socket had when it was bound. So the mark is set
again before as many frames have passed, which changes nothing for the others.

Setting it while a hub leaves would crash the process. libzmq (4.3.5) tells the mark to the other
end of each queue, on its own thread, which may have let go of that end: from the moment when a
call on the socket hears that it goes, until one hears that it has gone. That a connection has
ended is told by the socket's monitor before either. So before the mark is set the monitor is
read, and if it tells of an end, libzmq's thread is given time to let go.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

import zmq

if TYPE_CHECKING:
    from .sockets import SerializingSocket

__all__ = ["PUB_SNDBUF", "Bound"]

PUB_SNDBUF = 128 << 10
"""Bytes that may wait in the system's buffer for one hub: a queue too, of megabytes if let."""

_LIBZMQ_HWM = 1000  # another number was set by the program

_BYTES = 64 << 20
_FEWEST, _MOST = 2, 1000
_SMALLER_IN_A_ROW = 100

_LEAVING_SECONDS = 0.5
"""An end of a connection that was told of so long ago is over."""
_PAUSES, _PAUSE_SECONDS = 20, 0.005
"""What ends one that was told of just now. Counted, since time passes also where both threads
stand still; of so many pauses libzmq's thread gets one, which is all that it needs."""
_PATIENCE = 3
_LOOK_EVERY = 64
"""Frames. What the monitor tells waits in memory, some 130 bytes each time, until it is read."""


class Bound:
    """Sets SNDHWM of a PUB socket, or RCVHWM of a SUB socket, by the size of frames.

    Args:
        socket: before it is bound or connected. Its high-water mark is left alone once it is
            not what this object, or libzmq, made it.
    """

    def __init__(self, socket: SerializingSocket) -> None:
        self.socket = socket
        self._publishes = socket.type == zmq.PUB
        self._option = zmq.SNDHWM if self._publishes else zmq.RCVHWM
        self._limit = _LIBZMQ_HWM
        self._nbytes = 0  # what the limit was reckoned for
        self._smaller = 0  # frames in a row
        self._passed = 0  # frames
        self._since = 0  # frames, since the limit was set
        self._events: zmq.Socket[bytes] | None = None
        if self._publishes:  # a SUB socket keeps its queues when connections end
            self._events = socket.watch(
                zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED, bounded=False
            )
        self._left = -_LEAVING_SECONDS  # when the end of a connection was told of last

    def fit(self, nbytes: int) -> None:
        """Take note of the size of a frame: before it is sent, or after it was received."""
        known = self._nbytes
        # A few small messages among the frames do not make it a stream of small frames.
        self._smaller = self._smaller + 1 if 2 * nbytes < known else 0
        if nbytes > 2 * known or self._smaller > _SMALLER_IN_A_ROW:
            self._reckon(nbytes)
        elif self._publishes and self._since >= self._limit // 2 and self._limit < _LIBZMQ_HWM:
            self._set(self._limit)
        elif self._passed % _LOOK_EVERY == 0:
            self._look()
        self._passed += 1
        self._since += 1

    def _reckon(self, nbytes: int) -> None:
        self._nbytes, self._smaller = nbytes, 0
        limit = max(_FEWEST, min(_MOST, _BYTES // max(1, nbytes)))
        is_safe = limit > self._limit or self._passed + 1 < limit
        if is_safe:
            self._set(limit)

    def _set(self, limit: int) -> None:
        self._since = 0
        if self._limit == int(self.socket.getsockopt(self._option)) and self._is_quiet():
            self.socket.setsockopt(self._option, limit)
            self._limit = limit

    def _is_quiet(self) -> bool:
        """Tell whether no queue is ending; no call on the socket may come before the next."""
        if not self._publishes:
            return True
        for _ in range(_PATIENCE):
            self._look()
            if self._events is None:
                return False
            if time.monotonic() - self._left >= _LEAVING_SECONDS:
                return True
            for _ in range(_PAUSES):
                self.socket.getsockopt(zmq.EVENTS)  # it hears what there is to hear
                time.sleep(_PAUSE_SECONDS)
            self.socket.getsockopt(zmq.EVENTS)
            self._left = -_LEAVING_SECONDS
        # Hubs come and go all the time. From now on too many frames may have passed.
        self._give_up()
        return False

    def _look(self) -> None:
        """Read the monitor."""
        while self._events is not None and int(self._events.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            event = self._events.recv_multipart(zmq.DONTWAIT)[0]
            if int.from_bytes(event[:2], sys.byteorder) == zmq.EVENT_DISCONNECTED:
                self._left = time.monotonic()
            else:  # the program has a monitor of its own
                self._events = None

    def _give_up(self) -> None:
        with contextlib.suppress(zmq.ZMQError):  # the context is being terminated
            self.socket.monitor(None, 0)
        self._events = None
