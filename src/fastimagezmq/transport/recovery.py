"""Going on when a connection is lost: what was in flight is sent again, at least once.

libzmq connects again by itself, and never sends again what the dead connection took with
it. So the socket's monitor is read, which tells of each connection's handshake and end.
When a connection that had come about has ended without the reply, the address is
disconnected and connected again, which drops whatever of the frame, or of a late reply,
is still queued, and the frame is sent once more; it leaves when the hub is back. Time
alone is no reason: a slow hub is not a dead one.

The monitor is looked at once a wait is long, and before a frame that follows a pause.

A frame that ends each connection it is put on, while the hub listens all along, is given up:
the hub's libzmq refuses it (MAXMSGSIZE), and would do so for ever.
"""

from __future__ import annotations

import contextlib
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any

import zmq

from .. import log
from ..errors import HubTimeout, StateError, WireError
from ..sender_stats import laps
from . import bodies, messages, waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._gate import Gate
    from ..wire import BytesLike
    from .messages import Line
    from .sockets import SerializingSocket

__all__ = ["KEEPALIVE", "LIVENESS", "LOCKSTEP", "Connection", "Lockstep", "Stop"]

KEEPALIVE: dict[int, int] = {
    # Who is cut off says nothing more. What nobody acknowledges for so long
    # (milliseconds) ends the connection; bytes that trickle through do not.
    zmq.TCP_MAXRT: 20_000,
    # While there is nothing to acknowledge, TCP itself asks (seconds; 10 + 3 x 5).
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 10,
    zmq.TCP_KEEPALIVE_INTVL: 5,
    zmq.TCP_KEEPALIVE_CNT: 3,
}
"""Options of a socket that is to notice when a peer's machine has gone."""

LIVENESS: dict[int, int] = {
    **KEEPALIVE,
    # The kernel asks an absent machine ever less often, up to once a minute. Beginning
    # anew (milliseconds) finds it within a second or so of its return.
    zmq.CONNECT_TIMEOUT: 2000,
}
"""Options of a socket that connects, and is to notice a dead peer. ZMTP's heartbeats are none
of them: they would cut a frame that takes long on a slow link."""

LOCKSTEP: dict[int, int] = {**LIVENESS, zmq.REQ_RELAXED: 1}
"""Options of a REQ socket that is to send again. REQ_CORRELATE would add a part."""

FIRST_LOOK_MS = 200
"""Replies that come sooner cost no look at the monitor."""

FAILOVER_SECONDS = 3.0
"""How long an address may be without a connection before the next one is tried."""

# libzmq waits 100 ms at least before it connects again: within this time after a reply
# no other connection can have come about.
_QUIET_SECONDS = 0.05

_PAUSES = (0.0, 0.1, 0.2, 0.4, 0.8)
"""Seconds before a frame is sent again for the first, second, ... time; the last one stays."""

REFUSALS = 4
"""So many connections in a row, each made anew for the same frame, must have ended, with the hub
listening all along, for the frame to count as refused."""

_REFUSAL_SECONDS = 2.0
"""A part that is too large ends its connection as soon as its length is read, so in one way
there and back from the handshake. What ends later was not refused."""

_CUTS_TO_WARN = 6
"""So often has a connection ended with the same frame in flight when a warning says so."""

_RELEASE_SECONDS = 0.9

# Looked up for each frame.
_clock = time.monotonic
_Port = messages.Port
_COPY_BELOW = bodies.COPY_BELOW
_DONTWAIT = int(zmq.DONTWAIT)
_CONNECTED = int(zmq.EVENT_CONNECTED)
_HANDSHAKE = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_END = int(zmq.EVENT_DISCONNECTED)
_NOBODY_LISTENS = int(zmq.EVENT_CLOSED)  # of an attempt to connect


class Connection:
    """A socket that is connected to one address at a time, and what its monitor tells.

    Args:
        socket: a REQ or DEALER, not connected yet.
        addresses: of the hub, and of those to try in its place, in order.

    Raises:
        AddressError: one of them cannot be connected.
    """

    def __init__(self, socket: SerializingSocket, addresses: Sequence[str]) -> None:
        self.socket = socket
        self.addresses = tuple(addresses)
        self.events = socket.watch(_CONNECTED | _HANDSHAKE | _END | _NOBODY_LISTENS)
        """What to poll for the monitor's sake."""
        self.stale = False
        """Renewing it was interrupted: it is to be renewed before it is used."""
        self.refusals = 0
        """How many connections in a row have ended as they do on what the hub refuses, since
        this was set to 0 or the hub was away."""
        self._targets: tuple[str, ...] = ()
        self._up = False
        self._down_since = time.monotonic()
        self._up_since = 0.0
        # Since the address was connected. A handshake that is told of before is that of the
        # connection which was given up.
        self._arrived = False
        for address in self.addresses[1:]:  # a slip in one is told now, not when it is needed
            _try(socket, address)
        socket.connect(self.addresses[0])

    def lost(self) -> bool:
        """Read the monitor; tell whether a connection has ended that a frame may have taken.

        One that ends before its handshake has taken none: what is queued waits for the next.
        """
        lost = False
        while int(self.events.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            event = self.events.recv_multipart(zmq.DONTWAIT)[0]
            kind = int.from_bytes(event[:2], sys.byteorder)
            if kind == _CONNECTED:
                self._arrived = True
            elif kind == _HANDSHAKE:
                self._up = self._arrived
                self._up_since = time.monotonic()
            elif kind == _END:
                is_quick = self._up and time.monotonic() - self._up_since < _REFUSAL_SECONDS
                self.refusals = self.refusals + 1 if is_quick else 0
                lost = lost or self._up
                self._up = False
                self._down_since = time.monotonic()
            else:
                self.refusals = 0
        return lost

    def refused(self, size: int) -> WireError | None:
        """Give what to raise of a frame of so many bytes, if the hub evidently refuses it."""
        if self.refusals < REFUSALS:
            return None
        self.refusals = 0
        return WireError(
            f"{' or '.join(self.socket.endpoints)} refuses this frame of {size} bytes: its"
            f" connection has ended more than {REFUSALS} times in a row, with the hub listening all"
            " along; raise the hub's MAXMSGSIZE if it has one, or send less (jpeg=, a smaller"
            " picture)"
        )

    def renew(self) -> None:
        """Disconnect and connect again: what is queued either way is dropped."""
        socket = self.socket
        if not self.stale:
            self._targets = socket.endpoints
            self.stale = True
        linger = int(socket.getsockopt(zmq.LINGER))
        socket.setsockopt(zmq.LINGER, 0)  # else what is queued may still leave
        try:
            for address in socket.endpoints:
                with contextlib.suppress(zmq.ZMQError):  # interrupted when that was done
                    socket.disconnect(address)
            # With a program's IMMEDIATE it takes libzmq's thread a moment, in which what is
            # sent would go where nobody reads it.
            deadline = time.monotonic() + _RELEASE_SECONDS
            while _takes(socket) and time.monotonic() < deadline:
                time.sleep(0.0002)
        finally:
            socket.setsockopt(zmq.LINGER, linger)
        self.lost()  # what is left to tell of the connection before
        self._arrived = False
        for address in self._targets:
            socket.connect(address)
        self._up = False
        self._down_since = time.monotonic()
        self.stale = False

    def fail_over(self) -> bool:
        """Connect to the next address instead, if it is time to; tell whether that was done.

        After ``lost``, which tells whether this one has a connection now.
        """
        if (
            len(self.addresses) == 1
            or self._up
            or time.monotonic() - self._down_since < FAILOVER_SECONDS
        ):
            return False
        current = self.socket.endpoints[-1:]
        at = self.addresses.index(current[0]) if current and current[0] in self.addresses else -1
        following = self.addresses[(at + 1) % len(self.addresses)]
        self.stale = True
        self._targets = (following,)
        self.renew()
        return True


def _try(socket: SerializingSocket, address: str) -> None:
    """Connect another socket for a moment, whose connection the monitor tells nothing of.

    Raises:
        AddressError: the address cannot be connected.
    """
    with socket.context.socket(zmq.DEALER) as trial:
        trial.setsockopt(zmq.IPV6, socket.getsockopt(zmq.IPV6))
        trial.guard = socket.guard
        trial.connect(address)
        trial.setsockopt(zmq.LINGER, 0)


class Pace:
    """How soon a frame may be sent again that keeps losing its connection."""

    def __init__(self) -> None:
        self.resent = 0
        self._ready = 0.0

    def wait_ms(self) -> int:
        """Return how long to wait yet."""
        return max(0, int((self._ready - time.monotonic()) * 1000) + 1) if self.resent else 0

    def count(self) -> None:
        """Take it that the frame is being sent again."""
        self.resent += 1
        self._ready = time.monotonic() + _PAUSES[min(self.resent, len(_PAUSES) - 1)]


class Stop:
    """Ends a wait for a reply from another thread: what is under way is given up.

    One thread asks and clears; it clears when no exchange is under way.
    """

    def __init__(self) -> None:
        # Here, since `import fastimagezmq` would pay for it.
        from socket import socketpair  # noqa: PLC0415

        self.asked = False
        self._wakes, self._woken = socketpair()

    def ask(self) -> None:
        """End the exchange under way, or the next one before it sends."""
        if not self.asked:
            self.asked = True
            self._wakes.send(b"s")

    def clear(self) -> None:
        """Let exchanges go on from now on."""
        if self.asked:
            self._woken.recv(1)
            self.asked = False

    def fileno(self) -> int:
        """Return what a poll wakes at."""
        return self._woken.fileno()

    def close(self) -> None:
        """Close it; nobody may ask, or wait, any more."""
        self._wakes.close()
        self._woken.close()

    def __del__(self) -> None:
        self.close()


class Lockstep:
    """One frame at a time over a REQ socket, until it is answered.

    Args:
        connection: of a socket with the options ``LOCKSTEP``.
        timeout: seconds that a frame may take with its reply; None: as long as it takes.
            The socket's RCVTIMEO bounds it too.
        gate: closed when a wait is to end.

    ``handed``, ``resent``: how many frames libzmq has taken, and how often one was sent again.
    ``laps``: of the frames answered last, when each was given, encoded, taken and answered.
    """

    def __init__(self, connection: Connection, timeout: float | None, gate: Gate) -> None:
        self.connection = connection
        self.socket = connection.socket
        self.handed = 0
        self.resent = 0
        self.laps = laps()
        self._timeout_ms = -1 if timeout is None else max(1, int(timeout * 1000))
        self._gate = gate
        self._first_ms = min(FIRST_LOOK_MS, waiting.SLICE_MS)
        if timeout is not None:
            self._first_ms = min(self._first_ms, self._timeout_ms)
        self._heard = 0.0  # when the last reply came; 0: look before the next frame
        self._busy = False
        self._warned = -waiting.NEXT_WARNING_SECONDS
        self._lent: weakref.ref[memoryview] | None = None  # what pyzmq was given to read
        self._stop: Stop | None = None

    def stoppable(self) -> Stop:
        """Return what ends a wait of this object's from now on."""
        self._stop = Stop()
        self._first_ms = 0  # that wait is not woken
        return self._stop

    def exchange(self, line: Line, header: bytes, body: BytesLike, called: float) -> list[Any]:
        """Send a frame until it is answered; return the reply's parts.

        ``called``: when the program gave it, by ``time.monotonic``.

        When this raises, the frame has arrived once at most, will not be sent later, and
        its body is read no more.

        Raises:
            HubTimeout: no reply within ``timeout`` or RCVTIMEO, or nobody took the frame
                within SNDTIMEO.
            StateError: this call interrupts another one.
            WireError: the hub refuses the frame.
            zmq.ContextTerminated: closed meanwhile, or stopped.
        """
        if self._busy:
            raise StateError(
                zmq.EFSM,
                "the frame before has had no reply yet: this call comes from a signal handler"
                " that interrupts the wait for it",
            )
        if self._stop is not None and self._stop.asked:
            raise zmq.ContextTerminated
        began = _clock()
        try:
            self._busy = True
            if began - self._heard > _QUIET_SECONDS and (
                self.connection.stale or self.connection.lost()
            ):
                self.connection.renew()
            self._send(line, header, body, began)
            taken = _clock()
            self.handed += 1
            parts = messages.receive(line, self._first_ms)
            if parts is None:
                parts = self._persevere(line, header, body, began)
        except BaseException as error:
            self._heard = 0.0
            self._give_up(line)
            if isinstance(error, zmq.Again):
                raise self._timed_out(began) from None
            raise
        finally:
            self._busy = False
        self._heard = answered = _clock()
        self.laps.append((called, began, taken, answered))
        return parts

    def _send(self, line: Line, header: bytes, body: BytesLike, began: float) -> None:
        if type(line) is not _Port:
            body = memoryview(body)
            self._lent = weakref.ref(body)
        try:
            messages.send(line, header, body, _DONTWAIT, copy_below=_COPY_BELOW)
        except zmq.Again:  # it waits for a connection only if the program sets IMMEDIATE
            limits = [int(self.socket.getsockopt(zmq.SNDTIMEO)), self._left_ms(began)]
            waiting.send(
                self.socket,
                line,
                header,
                body,
                copy_below=_COPY_BELOW,
                limit_ms=min((limit for limit in limits if limit >= 0), default=-1),
                endpoints=self.socket.endpoints,
                cancelled=self._is_cancelled,
            )

    def _persevere(self, line: Line, header: bytes, body: BytesLike, began: float) -> list[Any]:
        connection = self.connection
        endpoints = tuple(dict.fromkeys((*connection.addresses, *self.socket.endpoints)))
        patience = waiting.Patience(
            endpoints, zmq.REQ, self._is_cancelled, _ms_since(began), guard=self.socket.guard
        )
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(connection.events, zmq.POLLIN)
        if self._stop is not None:
            poller.register(self._stop, zmq.POLLIN)
        pace = Pace()
        lost = False
        connection.refusals = 0
        while True:
            lost = connection.lost() or lost
            with contextlib.suppress(zmq.Again):  # first: a reply may have come before the end
                return messages.receive(line, flags=_DONTWAIT) or []
            if not pace.resent:  # what ended was made before the frame, or beside it
                connection.refusals = 0
            elif (refused := connection.refused(memoryview(body).nbytes)) is not None:
                raise refused
            slice_ms = patience.next_slice_ms(self._limit_ms())
            wait_ms = pace.wait_ms() if lost else 0
            moved = connection.fail_over()
            if moved or (lost and not wait_ms):
                if not moved:
                    connection.renew()
                lost = False
                pace.count()
                self.resent += 1
                self._send(line, header, body, began)
                if pace.resent == _CUTS_TO_WARN and not moved:
                    self._warn_of_cuts(memoryview(body).nbytes)
            poller.poll(min(slice_ms, wait_ms) if lost else slice_ms)

    def _warn_of_cuts(self, size: int) -> None:
        now = time.monotonic()
        if now - self._warned >= waiting.NEXT_WARNING_SECONDS:
            self._warned = now
            log.warning(
                "fastimagezmq: the connection to %s has ended %d times with the same frame of %d"
                " bytes under way, which is sent again: does the hub's program end at it?",
                " or ".join(self.socket.endpoints),
                _CUTS_TO_WARN,
                size,
            )

    def _give_up(self, line: Line) -> None:
        """Drop the frame, and wait until libzmq reads its memory no more."""
        if self._gate.closed or self.socket.closed:
            return
        with contextlib.suppress(zmq.ZMQError):  # the context is being terminated
            self.connection.renew()
            deadline = time.monotonic() + _RELEASE_SECONDS
            while self._is_read(line) and time.monotonic() < deadline:
                self.socket.getsockopt(zmq.EVENTS)  # libzmq's threads wait for one another
                time.sleep(0.0002)

    def _is_read(self, line: Line) -> bool:
        if type(line) is _Port:
            messages.release_done()
            return line.held > 0
        return self._lent is not None and self._lent() is not None

    def _limit_ms(self) -> int:
        """Return how long a frame may take with its reply; below 0: for ever."""
        limits = (int(self.socket.getsockopt(zmq.RCVTIMEO)), self._timeout_ms)
        return min((limit for limit in limits if limit >= 0), default=-1)

    def _left_ms(self, began: float) -> int:
        limit_ms = self._limit_ms()
        return limit_ms if limit_ms < 0 else max(0, limit_ms - _ms_since(began))

    def _is_cancelled(self) -> bool:
        return self._gate.closed or (self._stop is not None and self._stop.asked)

    def _timed_out(self, began: float) -> HubTimeout:
        where = " or ".join(self.connection.addresses)
        return HubTimeout(
            f"no reply from {where} within {(time.monotonic() - began):.3g} s: the frame is given"
            " up, and the next one can be sent"
        )


def _takes(socket: SerializingSocket) -> bool:
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT)


def _ms_since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
