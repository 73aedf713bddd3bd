"""The sender's clock as the hub sees it, compared by the frames and replies themselves.

A sender that stamps its frames tells with each one when the frame before left and when its
reply came, by its own clock. The hub knows when that frame came and when the reply left, by
its own. From the four times follow, as in NTP (RFC 5905, section 8), the offset between the
clocks and the time that both ways took together, which bounds the offset's error: half of it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import NamedTuple

__all__ = ["Clock", "Clocks", "Exchange"]

_SAMPLES = 8  # as NTP's clock filter: of so many the one of the shortest way is believed
_RESOLUTION = 0.001  # seconds; less is no sign of a clock that was set
_REMEMBERED = 1024  # frames whose successors may still refer to them, of all senders


class Exchange(NamedTuple):
    """A frame and its reply as their sender saw them, by its clock."""

    sequence: int
    timestamp: float
    """The frame's stamps: together they tell it from those of other senders."""
    left: float
    """When it was handed to ZeroMQ."""
    answered: float
    """When the reply came."""


class Clock(NamedTuple):
    """How a sender's clock stands to the hub's."""

    offset: float
    """Seconds that the sender's clock is ahead of the hub's."""
    error: float
    """Seconds by which the offset may be wrong, either way: half of the round trip."""


class _Known:
    """What is known of one sender's clock."""

    def __init__(self) -> None:
        self._samples: deque[Clock] = deque(maxlen=_SAMPLES)
        self._newest: Exchange | None = None

    def learn(self, exchange: Exchange, came: float, replied: float) -> None:
        if exchange == self._newest:
            return  # told again, since none was answered in the meantime
        self._newest = exchange
        way = (exchange.answered - exchange.left) - (replied - came)
        if way < -_RESOLUTION:
            return  # one of the clocks was set in between
        error = max(way, 0.0) / 2
        offset = ((exchange.left - came) + (exchange.answered - replied)) / 2
        if self._samples and self._are_apart(offset, error):
            self._samples.clear()
        self._samples.append(Clock(offset, error))

    def _are_apart(self, offset: float, error: float) -> bool:
        """Tell whether a clock was set since: no offset fits both then and now."""
        best = min(self._samples, key=_error)
        return abs(offset - best.offset) > error + best.error + _RESOLUTION

    @property
    def best(self) -> Clock | None:
        return min(self._samples, key=_error) if self._samples else None


def _error(clock: Clock) -> float:
    return clock.error


class _Pending:
    """A frame that has come, and what is known of its sender's clock."""

    __slots__ = ("came", "known", "replied", "reply")

    def __init__(self, known: _Known, came: float) -> None:
        self.known = known
        self.came = came
        self.replied: float | None = None
        self.reply: bytes | None = None


class Clocks:
    """All senders of a hub. A sender is followed from frame to frame, by what each refers to.

    So senders need no names: two of one message, or of one address, are never mixed up.
    Times are seconds, the hub's own by a clock that is given.
    """

    def __init__(self) -> None:
        self._frames: OrderedDict[tuple[int, float], _Pending] = OrderedDict()
        self._newest: _Pending | None = None

    def frame_came(
        self, sequence: int, timestamp: float, before: Exchange | None, now: float
    ) -> Clock | None:
        """Take note of a stamped frame that came; return what is known of its sender's clock."""
        known = None
        if before is not None:
            earlier = self._frames.get((before.sequence, before.timestamp))
            if earlier is not None:
                known = earlier.known
                if earlier.replied is not None:
                    known.learn(before, earlier.came, earlier.replied)
        pending = _Pending(known or _Known(), now)
        self._frames[sequence, timestamp] = self._newest = pending
        while len(self._frames) > _REMEMBERED:
            self._frames.popitem(last=False)
        return pending.known.best

    def other_came(self) -> None:
        """Take note of a message without stamps: the next reply is not for a stamped frame."""
        self._newest = None

    def reply_to(self, sequence: int, timestamp: float) -> bytes | None:
        """Return the reply to a frame that came before and was answered; None to any other.

        A sender whose connection is lost before the reply sends the very same frame again.
        """
        frame = self._frames.get((sequence, timestamp))
        return None if frame is None else frame.reply

    def replied(self, now: float, reply: bytes) -> None:
        """Take note that the frame which came last was answered."""
        if self._newest is not None:
            self._newest.replied = now
            self._newest.reply = reply
            self._newest = None
