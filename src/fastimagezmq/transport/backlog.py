"""How much may wait for the slowest of a PUB sender's hubs: little where the link is slow.

A PUB socket drops a frame for a hub for which SNDHWM frames wait already, and tells nobody. So
over a link that is slower than the camera the queue is always full, and what the hub gets is as
old as the queue is long. How many frames are too many depends on the link, and a burst on a
fast one should come through whole. So one frame after the other is watched: whether libzmq
still has it 0.15 seconds later. Then the high-water mark is lowered to half of what
has been sent since; after a second of frames that left at once it is doubled.
"""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING

import zmq

from . import bodies, messages

if TYPE_CHECKING:
    from ..wire import BytesLike
    from .sockets import SerializingSocket

__all__ = ["PUB_SNDBUF", "Backlog"]

PUB_SNDBUF = 128 << 10
"""Bytes that may wait in the system's buffer for one hub: a queue too, of megabytes if let."""

_QUEUE_BYTES = 64 << 20
_FEWEST, _MOST = 2, 1000
_LATE_SECONDS = 0.15
_PROMPT_SECONDS = _LATE_SECONDS / 4
_PROMPT_IN_A_ROW = 16
_CALM_SECONDS = 1.0


class Backlog:
    """Sets a PUB socket's SNDHWM by what is sent on it.

    Args:
        socket: it is left alone once its SNDHWM is not what this object made it.
    """

    def __init__(self, socket: SerializingSocket) -> None:
        self.socket = socket
        self._limit = self._set = int(socket.getsockopt(zmq.SNDHWM))
        self._nbytes = 0  # of the frame that the most was reckoned for
        self._most = _MOST
        self._watched: weakref.ref[memoryview] | None = None
        self._since = 0.0  # the watched frame was sent, by the monotonic clock
        self._late_at = 0.0  # it is late, or late again
        self._sent_since = 0
        self._prompt = 0  # frames in a row that left at once
        self._calm_since = 0.0

    def watch(self, body: BytesLike) -> tuple[BytesLike, bool]:
        """Look after the queue before a frame is sent.

        Args:
            body: what will be sent; if it is below ``COPY_BELOW`` bytes it may be written to.

        Returns:
            What to send instead, and whether libzmq has to read that in place.
        """
        now = time.monotonic()
        view = memoryview(body)
        nbytes = view.nbytes
        if not self._nbytes <= 2 * nbytes <= 4 * self._nbytes:
            self._fit(nbytes)
        if self._watched is not None:
            self._look(now)
            self._sent_since += 1
        if self._watched is not None or not view.c_contiguous or not nbytes:
            return body, False
        self._since, self._sent_since = now, 0
        self._late_at = now + _LATE_SECONDS
        if nbytes < bodies.COPY_BELOW:
            view = memoryview(view.tobytes())
        self._watched = weakref.ref(view)
        return view, True

    def _fit(self, nbytes: int) -> None:
        """Reckon how many frames of this size may wait at all."""
        self._nbytes = nbytes
        most = max(_FEWEST, min(_MOST, _QUEUE_BYTES // max(1, nbytes)))
        grown = self._limit == self._most
        self._most = most
        self._change(most if grown or self._limit > most else self._limit)

    def _look(self, now: float) -> None:
        assert self._watched is not None
        if now > self._late_at:
            messages.release_done()
        if self._watched() is not None:
            if now > self._late_at:
                self._late_at = now + _LATE_SECONDS
                self._calm_since, self._prompt = now, 0
                self._change(max(_FEWEST, min(self._limit, self._sent_since + 1) // 2))
            return
        self._watched = None
        # Gone at the first look: there was no queue, however long ago it was sent.
        if self._sent_since and now - self._since > _PROMPT_SECONDS:
            self._calm_since, self._prompt = now, 0
            return
        self._prompt += 1
        if self._prompt >= _PROMPT_IN_A_ROW and now - self._calm_since >= _CALM_SECONDS:
            self._calm_since, self._prompt = now, 0
            self._change(min(self._most, 2 * self._limit))

    def _change(self, limit: int) -> None:
        if limit == self._set or self._set != int(self.socket.getsockopt(zmq.SNDHWM)):
            return
        self.socket.setsockopt(zmq.SNDHWM, limit)
        self._limit = self._set = limit
