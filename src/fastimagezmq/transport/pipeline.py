"""Frames in flight: a thread that sends ahead of the hub's replies, to any REP hub.

A DEALER socket that puts an empty part before each message looks to a REP socket like a
REQ socket, but need not wait for a reply before it sends again. The hub takes the messages
one by one and answers in their order, so the replies need no numbers.

One thread, which alone touches the socket, takes frames from a queue, encodes, sends, and
collects the replies. Everything that it shares with the program's threads is guarded by one
condition, which is notified whenever a frame is acknowledged, dropped or failed.

When the connection is lost, the frames that were sent and not answered are sent again, in
their order and before any other. Once several connections have ended like that, one at a time:
if the hub refuses one of them, which ends the connection of those before it too, they are
answered, and it is known.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, cast

import zmq

from .. import log
from ..clocks import Exchange
from ..errors import HubTimeout
from ..sender_stats import laps
from . import bodies, messages, waiting
from .recovery import Pace
from .sockets import CLOSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..sender_stats import Lap
    from ..wire import BytesLike
    from .recovery import Connection
    from .sockets import SerializingSocket

__all__ = ["REPLIES_KEPT", "WHEN_FULL", "Counts", "Pipeline"]

WHEN_FULL = ("block", "drop_oldest", "drop_newest")

REPLIES_KEPT = 1000
"""Of replies that nobody asks for only the newest are kept, so many."""

_SINGLY = 2
"""When frames are sent again for the second time without a reply, they are sent one at a time."""

_DONTWAIT = int(zmq.DONTWAIT)


class Counts(NamedTuple):
    """What became of the frames given so far."""

    sent: int
    acknowledged: int
    dropped: int
    waiting: int
    resent: int


class _Job(NamedTuple):
    header: bytes
    make_body: Callable[[], BytesLike]
    stamps: tuple[int, float] | None
    """Sequence number and time in the header, if it is stamped."""


class _Departure(NamedTuple):
    stamps: tuple[int, float] | None
    left: float
    taken: float
    encoded: float
    handed: float


class Pipeline:
    """Sends frames in order, with up to ``window`` of them not yet acknowledged.

    Args:
        socket: a connected DEALER, which is this object's from now on.
        line: what its messages go through.
        connection: the socket's, if lost ones are to be noticed.
        window: how many frames may be waiting, under way or at the hub.
        when_full: "block" waits for room; "drop_newest" drops the frame that finds none;
            "drop_oldest" drops the oldest frame that still waits, and lets one wait when
            all of the window is at the hub already.
        timeout: seconds to wait for room at most; None: as SNDTIMEO and RCVTIMEO say.
        on_reply: called with each reply, on the pipeline's thread.

    SNDTIMEO, RCVTIMEO and LINGER hold as they are when this object is made.
    """

    def __init__(
        self,
        socket: SerializingSocket,
        line: messages.Line,
        connection: Connection | None,
        window: int,
        when_full: str,
        timeout: float | None,
        on_reply: Callable[[bytes], None],
    ) -> None:
        self.socket = socket
        """Its thread's alone."""
        self._line = line
        self._window = window
        self._when_full = when_full
        self._on_reply = on_reply
        self._connection = connection
        limits = [timeout, *(_seconds(socket, option) for option in (zmq.SNDTIMEO, zmq.RCVTIMEO))]
        self._patience_for_room = min((some for some in limits if some is not None), default=None)
        linger = _seconds(socket, zmq.LINGER)
        self._end_seconds = CLOSE_SECONDS if linger is None else min(linger, CLOSE_SECONDS)
        self._endpoints = socket.endpoints
        self._changed = threading.Condition()
        # All of it guarded by _changed.
        self._waiting: deque[_Job] = deque()
        self._underway = 0  # taken from _waiting, and not acknowledged
        self._replies: deque[bytes] = deque(maxlen=REPLIES_KEPT)
        self._failures: deque[Exception] = deque()
        self._answered_last: Exchange | None = None
        self._sent = self._acknowledged = self._dropped = self._resent = 0
        self._resting = False  # the thread must be woken to see a change
        self._laps = laps()
        # The thread's own, of the frames that are sent and not answered: stamps, when each left,
        # and by the monotonic clock when it was taken, encoded and handed over.
        self._departures: deque[_Departure] = deque()
        self._deadline: float | None = None  # monotonic; set when it is to end
        self._ended = False
        # The thread's alone: what was sent and not answered, in order.
        self._unanswered: deque[tuple[bytes, BytesLike]] = deque()
        self._held = 0  # of these, the last so many are not sent again yet
        self._lost = False
        self._pace = Pace()
        # Here, since `import fastimagezmq` would pay for it.
        from socket import socketpair  # noqa: PLC0415

        log.prepare()
        self._wakes, self._woken = socketpair()
        self._woken.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="fastimagezmq-send", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._wakes.close()
            self._woken.close()
            raise

    # --- for the program's threads ----------------------------------------------------

    def make_room(self) -> bool:
        """Wait or drop, as ``when_full`` says; False: the new frame is the one dropped.

        Raises:
            HubTimeout: ``timeout``, SNDTIMEO or RCVTIMEO has passed.
            zmq.ContextTerminated: the pipeline is being closed.
            Exception: an earlier frame could not be encoded or sent; it is lost.
        """
        with self._changed:
            self._check()
            if len(self._waiting) + self._underway < self._window:
                return True
            if self._when_full == "drop_newest":
                self._dropped += 1
                return False
            if self._when_full == "drop_oldest":
                if self._waiting:
                    self._waiting.popleft()
                    self._dropped += 1
                return True
            if not self._changed.wait_for(self._has_room, self._patience_for_room):
                raise HubTimeout(
                    f"no room for a frame within {self._patience_for_room:.3g} s:"
                    f" {self._window} are on their way already, and none is answered"
                )
            self._check()
            return True

    def put(
        self,
        header: bytes,
        make_body: Callable[[], BytesLike],
        stamps: tuple[int, float] | None = None,
    ) -> None:
        """Take a frame, for which ``make_room`` has made room; ``make_body`` runs later.

        ``stamps``: the sequence number and the time in the header, if it has any.

        Raises:
            zmq.ContextTerminated: the pipeline is being closed.
        """
        with self._changed:
            self._check()
            self._waiting.append(_Job(header, make_body, stamps))
            self._wake()

    def replies(self) -> list[bytes]:
        """Return the replies that came since the last call, in the order of their frames."""
        with self._changed:
            replies = list(self._replies)
            self._replies.clear()
            return replies

    def answered_last(self) -> Exchange | None:
        """Return the stamped frame whose reply came last; None before the first."""
        with self._changed:
            return self._answered_last

    def flush(self, timeout: float | None) -> bool:
        """Wait until every frame is acknowledged; False when ``timeout`` seconds are over.

        Raises:
            zmq.ContextTerminated: the pipeline is being closed.
            Exception: a frame could not be encoded or sent; it is lost.
        """
        with self._changed:
            done = self._changed.wait_for(
                lambda: (not self._waiting and not self._underway) or self._is_over(), timeout
            )
            self._check()
            return done

    def counts(self) -> Counts:
        """Return what became of the frames."""
        with self._changed:
            left = len(self._waiting) + self._underway
            return Counts(self._sent, self._acknowledged, self._dropped, left, self._resent)

    def laps(self) -> list[Lap]:
        """Return when the last answered frames were taken, encoded, handed over, and answered."""
        with self._changed:
            return list(self._laps)

    def end(self) -> None:
        """Let the thread go on with what it was given, for LINGER or CLOSE_SECONDS, then end."""
        with self._changed:
            if self._deadline is None:
                self._deadline = time.monotonic() + self._end_seconds
            self._changed.notify_all()
            self._wake()

    def join(self) -> bool:
        """Wait for the end, after ``end``; False: this is the very thread that is to end."""
        if threading.current_thread() is self._thread:
            return False
        # Not Thread.join: a signal handler may have interrupted a holder of the lock, which
        # only this wait lets go of. After the deadline terminating the context wakes the thread.
        with self._changed:
            left = 0.0 if self._deadline is None else self._deadline - time.monotonic()
            self._changed.wait_for(lambda: self._ended, max(0.0, left) + 0.1)
        return True

    def _has_room(self) -> bool:
        return len(self._waiting) + self._underway < self._window or self._is_over()

    def _is_over(self) -> bool:
        return self._ended or self._deadline is not None or bool(self._failures)

    def _check(self) -> None:
        if self._failures:
            raise self._failures.popleft()
        if self._is_over():
            raise zmq.ContextTerminated

    def _wake(self) -> None:
        if self._resting and not self._ended:
            self._wakes.send(b"w")
            self._resting = False  # last: interrupted in between, it is only woken twice

    # --- the thread ---------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with contextlib.suppress(zmq.ContextTerminated):
                self._work()
        except Exception as error:
            with self._changed:
                self._failures.append(error)
        finally:
            self._finish()

    def _work(self) -> None:
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self._woken, zmq.POLLIN)
        if self._connection is not None:
            poller.register(self._connection.events, zmq.POLLIN)
        patience = self._new_patience()
        while True:
            if self._recovered():
                patience = self._new_patience()
            job = self._next_job()
            if job is not None:
                self._deliver(job)
                continue
            if not self._may_rest():
                return
            poller.poll(self._rest_ms())
            with contextlib.suppress(BlockingIOError):
                self._woken.recv(64)
            # However often it is woken: a frame may come more often than a reply.
            if self._underway:
                patience.next_slice_ms(-1)
            else:
                patience = self._new_patience()

    def _recovered(self) -> bool:
        """Take the replies that are here, and send again what a lost connection took with it.

        Tells whether there was any reply. Returns with the connection lost only when late.
        """
        connection = self._connection
        came = False
        while True:
            if connection is not None:
                self._lost = connection.lost() or self._lost
            came = self._collect() or came  # what came before the connection's end counts
            if connection is None or self._is_late():
                return came
            if self._held and not self._lost and self._held == len(self._unanswered):
                self._send_again(1)
            self._give_up_refused(connection)
            wait_ms = self._pace.wait_ms() if self._lost else 0
            if wait_ms:
                time.sleep(min(wait_ms, 50) / 1000)
                continue
            if not self._unanswered and not self._lost:
                return came
            if not connection.fail_over():
                if not self._lost:
                    return came
                connection.renew()
            self._lost = False
            self._held = len(self._unanswered)
            if self._unanswered:
                self._pace.count()
                self._send_again(1 if self._pace.resent >= _SINGLY else self._held)

    def _send_again(self, count: int) -> None:
        """Send the first frames again of those that are held back."""
        start = len(self._unanswered) - self._held
        for header, body in tuple(self._unanswered)[start : start + count]:
            self._send(header, body)
            self._held -= 1
            with self._changed:
                self._resent += 1

    def _give_up_refused(self, connection: Connection) -> None:
        """Drop the frame that is alone under way if the hub refuses it."""
        if self._pace.resent < _SINGLY:  # it may be any of them
            connection.refusals = 0
            return
        refused = connection.refused(memoryview(self._unanswered[0][1]).nbytes)
        if refused is None:
            return
        self._unanswered.popleft()
        self._departures.popleft()
        self._pace = Pace()
        with self._changed:
            self._forget_underway()
            self._failures.append(refused)
            self._changed.notify_all()

    def _finish(self) -> None:
        with self._changed:
            unanswered = len(self._waiting) + self._underway
            failures = [repr(failure) for failure in self._failures]
            self._dropped += len(self._waiting)
            self._waiting.clear()
        self._unanswered.clear()
        self.socket.close(0 if self._is_late() else None)  # it has lingered enough
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            self._wakes.close()
            self._woken.close()
        for failure in failures:
            log.warning("fastimagezmq: a frame was lost: %s", failure)
        if unanswered:
            log.warning("fastimagezmq: closed with %d frames not answered yet", unanswered)

    def _collect(self) -> bool:
        """Take the replies that are here; tell whether there was any."""
        came = False
        with contextlib.suppress(zmq.Again):
            while True:
                parts = messages.receive(self._line, flags=_DONTWAIT) or ()
                # As a REQ socket: what lacks the delimiter, or was not asked for, is no reply.
                if len(parts) < 2 or len(parts[0]) or not self._underway:
                    continue
                came = True
                if self._unanswered:
                    self._unanswered.popleft()
                reply = parts[1].bytes
                sent = self._departures.popleft()
                lap = (sent.taken, sent.encoded, sent.handed, time.monotonic())
                messages.release_done()  # the body that this answers has left
                with self._changed:
                    self._replies.append(reply)
                    self._acknowledged += 1
                    self._laps.append(lap)
                    self._underway -= 1
                    if sent.stamps is not None:
                        self._answered_last = Exchange(*sent.stamps, sent.left, time.time())
                    self._changed.notify_all()
                self._on_reply(reply)
        if came and self._pace.resent:
            self._pace = Pace()
        return came

    def _next_job(self) -> _Job | None:
        with self._changed:
            if self._held or not self._waiting or self._underway >= self._window or self._is_late():
                return None
            self._underway += 1
            return self._waiting.popleft()

    def _deliver(self, job: _Job) -> None:
        taken = time.monotonic()
        try:
            body = job.make_body()
        except Exception as error:
            with self._changed:
                self._forget_underway()
                self._failures.append(error)
                self._changed.notify_all()
            return
        encoded = time.monotonic()
        left = time.time()
        try:
            self._recovered()  # a connection may have come and gone while this was encoded
            if self._held:  # its turn comes after theirs
                self._held += 1
            else:
                self._send(job.header, body)
        except BaseException:
            with self._changed:
                self._forget_underway()
            raise
        self._departures.append(_Departure(job.stamps, left, taken, encoded, time.monotonic()))
        self._unanswered.append((job.header, body))
        with self._changed:
            self._sent += 1

    def _forget_underway(self) -> None:
        self._underway -= 1
        self._dropped += 1

    def _send(self, header: bytes, body: BytesLike) -> None:
        below = bodies.COPY_BELOW
        try:
            messages.send(self._line, header, body, _DONTWAIT, copy_below=below, delimited=True)
        except zmq.Again:
            waiting.send(
                self.socket,
                self._line,
                header,
                body,
                copy_below=below,
                delimited=True,
                limit_ms=-1,
                endpoints=self._endpoints,
                cancelled=self._is_late,
            )

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _may_rest(self) -> bool:
        """Note that the thread is about to rest; False: it has nothing to stay for."""
        with self._changed:
            idle = not self._waiting and not self._underway
            if self._is_late() or (self._deadline is not None and idle):
                return False
            self._resting = not self._waiting or self._underway >= self._window
            return True

    def _rest_ms(self) -> int | None:
        with self._changed:
            if not self._resting:
                return 0  # a frame came in the meantime
            if self._deadline is not None:
                return max(0, int((self._deadline - time.monotonic()) * 1000)) + 1
            return waiting.SLICE_MS if self._underway else None

    def _new_patience(self) -> waiting.Patience:
        # A DEALER that speaks to a REP hub has what a REQ socket has to be told of.
        return waiting.Patience(
            self._endpoints, zmq.REQ, lambda: False, waited_ms=0, guard=self.socket.guard
        )


def _seconds(socket: SerializingSocket, option: int) -> float | None:
    """Read an option that is in milliseconds, and below 0 for ever."""
    limit_ms = int(cast("int", socket.getsockopt(option)))
    return None if limit_ms < 0 else limit_ms / 1000
