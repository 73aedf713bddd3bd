"""What a sender counts, where its frames' time goes, and both as a table."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Call", "Lap", "SenderStats", "SenderTimes", "StageTimes", "laps", "times_of"]

_LAPS_KEPT = 128

Lap = tuple[float, float, float, float]
"""When a frame was taken, encoded, handed to ZeroMQ, and answered, by ``time.monotonic``."""

Call = tuple[float, float]
"""When ``send_*`` was called, and when it returned."""


class StageTimes(NamedTuple):
    """How long frames took in one stage, in seconds, of the last 128."""

    p50: float
    """Half of them took no longer."""
    p99: float
    """99 of 100 took no longer."""


class SenderTimes(NamedTuple):
    """Where the time of the last frames went; None: there is no such stage, or no frame yet."""

    program: StageTimes | None
    """From the return of one ``send_*`` call to the next call: the camera, and all that the
    program does."""
    room: StageTimes | None
    """With ``in_flight`` above 1: in the call, which copies the frame and waits for room."""
    encode: StageTimes | None
    """With ``jpeg``: encoding."""
    send: StageTimes | None
    """Handing the frame to ZeroMQ."""
    reply: StageTimes | None
    """REQ/REP: from then to the hub's reply: the network both ways, the hub, and its program."""
    window: int = 1
    """How many replies are waited for at the same time: ``in_flight``."""

    @property
    def slowest(self) -> str | None:
        """The stage that limits the frame rate: the name of the field.

        The largest p50, that of ``reply`` divided by ``window``; ``room`` is left out, which
        waits for the others.
        """
        found = {
            "program": self.program,
            "encode": self.encode,
            "send": self.send,
            "reply": self.reply,
        }
        shares = {
            name: times.p50 / (self.window if name == "reply" else 1)
            for name, times in found.items()
            if times is not None
        }
        return max(shares, key=shares.__getitem__) if "program" in shares else None


class SenderStats(NamedTuple):
    """What became of the frames that a sender was given."""

    sent: int
    """Frames handed to ZeroMQ."""
    acknowledged: int
    """Frames that the hub has answered (REQ/REP)."""
    dropped: int
    """With ``in_flight`` above 1: frames that found no room, could not be encoded, were refused
    by the hub, or were not sent when it closed."""
    waiting: int
    """Frames given and not yet answered, with ``in_flight`` above 1."""
    resent: int = 0
    """How often a frame was sent again, since its connection was lost before the reply."""
    times: SenderTimes = SenderTimes(None, None, None, None, None)
    """Where the time of the last frames went."""

    def __str__(self) -> str:
        """Give the counts and a table of at most 80 columns."""
        counts = self._asdict()
        times = counts.pop("times")
        lines = [", ".join(f"{name} {count}" for name, count in counts.items())]
        slowest = times.slowest
        for name, what in _STAGES.items():
            stage = getattr(times, name)
            if stage is not None:
                if len(lines) == 1:
                    lines.append(f"{'stage':7} {'p50 ms':>9} {'p99 ms':>9}")
                here = "  <- the slowest" if name == slowest else ""
                lines.append(
                    f"{name:7} {stage.p50 * 1000:9.2f} {stage.p99 * 1000:9.2f}  {what}{here}"
                )
        return "\n".join(lines)


_STAGES = {
    "program": "between two calls: the camera",
    "room": "copying, waiting for room",
    "encode": "JPEG",
    "send": "to ZeroMQ",
    "reply": "network and hub",
}


def laps() -> deque[Lap]:
    """Return what the last laps are kept in."""
    return deque(maxlen=_LAPS_KEPT)


def times_of(
    calls: Iterable[Call], trips: Sequence[Lap], *, encodes: bool, answers: bool, window: int = 1
) -> SenderTimes:
    """Reckon the times of the stages, of calls and laps in the order of their frames."""
    calls = tuple(calls)
    pairs = itertools.pairwise(calls)
    return SenderTimes(
        program=_times(called - returned for (_, returned), (called, _) in pairs),
        room=_times(returned - called for called, returned in calls) if window > 1 else None,
        encode=_times(encoded - taken for taken, encoded, _, _ in trips) if encodes else None,
        send=_times(handed - encoded for _, encoded, handed, _ in trips),
        reply=_times(answered - handed for _, _, handed, answered in trips) if answers else None,
        window=window,
    )


def _times(seconds: Iterable[float]) -> StageTimes | None:
    ordered = sorted(seconds)
    if not ordered:
        return None
    last = len(ordered) - 1
    return StageTimes(ordered[last // 2], ordered[-(-last * 99 // 100)])
