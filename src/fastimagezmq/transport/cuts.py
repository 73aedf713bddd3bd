"""Connections of a SUB socket that libzmq has cut for good: they are counted, and made anew.

libzmq connects again after every end of a connection but one: where a part is larger than
MAXMSGSIZE, or what comes is no ZMTP, or not a publisher's, it ends the session too, and keeps the
address among the connected ones, so that connecting again does nothing (libzmq issue 4196).
The socket's monitor tells of each end, and at once after it, from the same thread, of each time
that libzmq will try again. An end without that was a cut: the address is disconnected, and
connected after a pause.

Two things are to be seen to:

- What has arrived before the cut waits in the socket, and disconnecting drops it. So the address
  is disconnected when the socket has nothing to give, which is soon where the program keeps up.
- Until then the socket of libzmq 4.3.5 points to the dead session, whose memory may be that of a
  new one, which would be ended in its place. So nothing is connected while an address is to be
  disconnected. (What happens else is told in docs/decisions/0016-hostile-peers.md.)
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

import zmq

from .. import log
from ..throttle import Throttle

__all__ = ["SLICE_MS", "Cuts", "of"]

SLICE_MS = 100
"""So often, in milliseconds, who waits for a frame looks."""

_LOOK_SECONDS = 0.05
"""Who does not wait looks no more often."""

_SETTLED_SECONDS = 0.1
"""Within this time libzmq has told that it will try again, if it will: mostly in microseconds."""

_TAKEN_SECONDS = 1.0
"""A program that is so far behind loses what it has not taken; it loses frames anyhow."""

_PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds from the first, second, ... cut in a row to the next connection; the last one stays."""

_LASTING_SECONDS = 0.5
"""A connection that lasted for so long ends a row of cuts."""

_AGAIN_MS = 10
"""How soon a thread looks again that cannot do yet what is due."""

_clock = time.monotonic
_END = int(zmq.EVENT_DISCONNECTED)
_AGAIN = int(zmq.EVENT_CONNECT_RETRIED)


def of(socket: Any) -> Cuts | None:
    """Return what keeps a ``SerializingSocket``, a SUB that is not connected yet, connected.

    None: the program has set that libzmq is not to connect again (RECONNECT_IVL).
    """
    return Cuts(socket) if int(socket.getsockopt(zmq.RECONNECT_IVL)) > 0 else None


class Cuts:
    """Notices, counts and repairs what libzmq has cut.

    Only the thread that uses the socket may call it; anybody may read ``count``. It holds the
    socket not, which holds this.

    Args:
        socket: a ``SerializingSocket``, a SUB that is not connected yet.
    """

    def __init__(self, socket: Any) -> None:
        # Each retry is an event, ten a second of a camera that is off, and programs may
        # take frames in ways that do not come by here.
        self._events = socket.watch(_END | _AGAIN, bounded=False)
        self.count = 0
        """How many connections were cut."""
        self.due = 0.0
        """When to look next, by ``time.monotonic``."""
        self._warnings = Throttle()
        self._looking = False
        # Addresses whose connection has ended, and nothing was heard since: when it was seen.
        self._ended: dict[str, float] = {}
        # Addresses that were cut, or may have been, and are not disconnected: when it was seen.
        self._lost: dict[str, float] = {}
        # What libzmq calls an address by now. It tells of the first connection as the program
        # has spelled it, of later ones by the number that was found for a name.
        self._names: dict[str, str] = {}
        # Addresses of which one at least was cut, where it is not known which.
        self._mixed: set[str] = set()
        # Addresses that are disconnected: when to connect them.
        self._absent: dict[str, float] = {}
        # How often in a row an address was cut, and when it was connected last.
        self._rows: dict[str, tuple[int, float]] = {}

    def look_in_time(self, socket: Any) -> None:
        """Look, if it is time to."""
        if _clock() >= self.due:
            self.look(socket)

    def look(self, socket: Any) -> None:
        """Read what has happened, and do what is due.

        Raises:
            zmq.ZMQError: the socket is closed, or its context terminated.
        """
        if self._looking:  # this is a signal handler's
            return
        self._looking = True
        try:
            self._read(socket)
            self._settle(socket)
            if self._lost and self._is_emptied(socket):
                self._disconnect(socket)
            if self._absent and not self._ended and not self._lost:
                self._connect(socket)
        finally:
            self._looking = False
            self.due = _clock() + _LOOK_SECONDS

    def fileno(self) -> int:
        """Return a descriptor that can be read once there is something new to look at."""
        return int(self._events.getsockopt(zmq.FD))

    def wait_ms(self) -> int:
        """Return in how many milliseconds to look, events or none; -1: nothing is due."""
        settled = (since + _SETTLED_SECONDS for since in self._ended.values())
        due = min((*settled, *self._lost.values(), *self._absent.values()), default=None)
        return -1 if due is None else max(_AGAIN_MS, int((due - _clock()) * 1000) + 1)

    def make_way(self, socket: Any) -> None:
        """Prepare for an address that is about to be connected."""
        if self._looking:
            return
        self._looking = True
        try:
            self._read(socket)
            self._settle(socket, after=0.0)
            self._disconnect(socket)
        finally:
            self._looking = False

    def connected(self, address: str) -> None:
        """Take it that an address is connected, by whomever."""
        self._absent.pop(address, None)
        if address in self._rows:
            self._rows[address] = (self._rows[address][0], _clock())

    def forget(self, address: str) -> bool:
        """Take it that the program disconnects an address; tell whether it is already."""
        self._ended.pop(address, None)
        self._lost.pop(address, None)
        self._rows.pop(address, None)
        self._mixed.discard(address)
        return self._absent.pop(address, None) is not None

    # --- what the above is made of ----------------------------------------------------

    def _read(self, socket: Any) -> None:
        events = self._events
        while int(events.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            event, name = events.recv_multipart(zmq.DONTWAIT)
            kind = int.from_bytes(event[:2], sys.byteorder)
            self._heard(kind, name.decode("utf-8", "replace"), socket.endpoints)

    def _heard(self, kind: int, name: str, endpoints: tuple[str, ...]) -> None:
        address = name if name in endpoints else self._names.get(name)
        if address is None and kind == _AGAIN:
            address = self._named(name)
        if address is not None:
            self._ended.pop(address, None)
            self._lost.pop(address, None)
            if kind == _END and address not in self._absent:
                self._ended[address] = _clock()
        if not self._ended:
            self._mixed.clear()

    def _named(self, name: str) -> str | None:
        """Tell whose new name this is: of those that have ended, the first with its port."""
        port = name.rpartition(":")[2]
        ended = [address for address in self._ended if address.rpartition(":")[2] == port]
        if not ended:
            return None
        if len(ended) > 1:
            self._mixed.update(ended)
        self._forget_name(ended[0])
        self._names[name] = ended[0]
        return ended[0]

    def _forget_name(self, address: str) -> None:
        self._names = {name: of for name, of in self._names.items() if of != address}

    def _settle(self, socket: Any, after: float = _SETTLED_SECONDS) -> None:
        """Take those for cut that have ended so many seconds ago; count and tell them."""
        now = _clock()
        for address, since in tuple(self._ended.items()):
            if now - since >= after:
                del self._ended[address]
                self._lost[address] = since
                self.count += 1
                if address in self._mixed:
                    self._lost.update((each, since) for each in self._mixed - self._absent.keys())
                if self._warnings.due(address):
                    _warn(address, int(socket.getsockopt(zmq.MAXMSGSIZE)))

    def _is_emptied(self, socket: Any) -> bool:
        if _clock() - min(self._lost.values()) >= _TAKEN_SECONDS:
            return True
        return not int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN

    def _disconnect(self, socket: Any) -> None:
        now = _clock()
        for address, since in self._lost.items():
            row, connected = self._rows.get(address, (0, 0.0))
            row = row + 1 if since - connected < _LASTING_SECONDS else 1
            self._rows[address] = (row, connected)
            self._absent[address] = max(now, since + _PAUSES[min(row, len(_PAUSES)) - 1])
            self._forget_name(address)
            # Not the socket's own method: it stays one of its addresses.
            with contextlib.suppress(zmq.ZMQError):
                zmq.Socket.disconnect(socket, address)
        self._lost.clear()
        self._mixed.difference_update(self._absent)

    def _connect(self, socket: Any) -> None:
        now = _clock()
        for address in [each for each, due in self._absent.items() if now >= due]:
            socket.connect(address)  # which tells ``connected``


def _warn(address: str, limit: int) -> None:
    what = "no ZeroMQ message of a publisher's"
    advice = "is that a PUB sender's address, and nothing on the way that changes bytes?"
    if limit >= 0:
        what = f"larger than MAXMSGSIZE, {limit} bytes, or {what}"
        advice = "raise MAXMSGSIZE, or have its sender send less (jpeg=, a smaller picture)"
    log.warning_aside(
        "fastimagezmq: the connection to %s was cut, since what came was %s; the hub connects again"
        " (more of them within a minute are only counted): %s",
        address,
        what,
        advice,
    )
