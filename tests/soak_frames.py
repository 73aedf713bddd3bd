"""What a million frames leave behind, in the hub and in the sender: figures of make soak.

``soak_frames.py [FRAMES]`` prints the rows of a table in docs/reliability.md, one for each kind of
stream. It ends with status 1 when memory grows with the frames by more than it may, or when a
descriptor or a thread is left.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any, NamedTuple

from processes import PEERS, Peer

STREAMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "REQ/REP, raw": ({}, {}),
    "REQ/REP, JPEG, `in_flight=4`, `stamp=True`": ({}, {"jpeg": 85, "in_flight": 4, "stamp": True}),
    "REQ/REP, raw, `in_flight=4`, `latest=True`": (
        {"latest": True, "key": "camera"},
        {"in_flight": 4},
    ),
    "PUB/SUB, raw": ({"REQ_REP": False}, {"REQ_REP": False}),
    "PUB/SUB, JPEG, `stamp=True`": (
        {"REQ_REP": False},
        {"REQ_REP": False, "jpeg": 85, "stamp": True},
    ),
    "PUB/SUB, raw, `latest=True`": (
        {"REQ_REP": False, "latest": True, "key": "camera"},
        {"REQ_REP": False},
    ),
}
ANY_PORT = "tcp://127.0.0.1:*"
SETTLING = 0.2  # of the frames: caches fill, queues reach their marks, the allocator its size
BLOCKS = 20
LEAST = 20_000  # frames, for a line through so many blocks
BYTES_A_FRAME = 4.0
"""Growth that fails: of a million frames, 4 MB, beyond what the uncertainty explains."""


class Slope(NamedTuple):
    """Bytes a frame, and the standard error of that."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} ± {2 * self.error:.2f}"


def slope(looks: list[list[int]]) -> Slope:
    """Fit a line to resident memory over frames, after settling, by least squares.

    Looks close to one another are alike, so that their scatter would say too little: the error is
    that of a line through the means of ``BLOCKS`` runs of looks.
    """
    settled = [look for look in looks if look[0] > SETTLING * looks[-1][0]]
    step = len(settled) / BLOCKS
    blocks = [settled[round(i * step) : round((i + 1) * step)] for i in range(BLOCKS)]
    frames = [statistics.fmean(look[0] for look in block) for block in blocks]
    memory = [statistics.fmean(look[1] for look in block) for block in blocks]
    line = statistics.linear_regression(frames, memory)
    rest = [m - line.slope * f - line.intercept for f, m in zip(frames, memory, strict=True)]
    spread = sum((f - statistics.fmean(frames)) ** 2 for f in frames)
    return Slope(line.slope, (sum(r * r for r in rest) / (BLOCKS - 2) / spread) ** 0.5)


class End(NamedTuple):
    """What a hub or a sender tells of a session."""

    frames: int
    looks: list[list[int]]
    held: list[int]


def session(hub: Peer, sender: Peer, count: int, *, publishes: bool) -> tuple[End, End]:
    """Run a stream from opening to closing."""
    # Who publishes binds, and goes on until the hub has enough, since it may lose frames.
    if publishes:
        sender.tell([ANY_PORT, None])
        hub.tell([sender.hear(60), count])
        hub.hear(60)
    else:
        hub.tell([ANY_PORT, count])
        sender.tell([hub.hear(60), count])
        sender.hear(60)
    received = hub.hear(3600)
    if publishes:
        sender.tell()
    sent = sender.hear(60)
    return End(*received, hub.hear()), End(*sent, sender.hear())


def stream(name: str, count: int) -> bool:
    """Measure one kind of stream."""
    hub_options, sender_options = (json.dumps(options) for options in STREAMS[name])
    publishes = "REQ_REP" in STREAMS[name][1]
    with (
        Peer(PEERS / "soaked.py", "hub", hub_options) as hub,
        Peer(PEERS / "soaked.py", "sender", sender_options) as sender,
    ):
        before = session(hub, sender, max(2000, count // 50), publishes=publishes)
        began = time.monotonic()
        after = session(hub, sender, count, publishes=publishes)
        seconds = time.monotonic() - began
    slopes = [slope(end.looks) for end in after]
    left = [tuple(b - a for a, b in zip(*held, strict=True)) for held in zip(
        (end.held for end in before), (end.held for end in after), strict=True
    )]  # fmt: skip
    print(
        f"| {name} | {after[0].frames} of {after[1].frames} in {seconds:.0f} s"
        f" | {slopes[0]} | {slopes[1]}"
        f" | {', '.join(f'{files:+d} / {threads:+d}' for files, threads in left)} |",
        flush=True,
    )
    flat = all(s.value - 2 * s.error < BYTES_A_FRAME for s in slopes)
    return flat and left == [(0, 0), (0, 0)] and after[0].frames >= count


def main() -> int:
    """Print the table's rows; 1 if something grows or is left."""
    (count,) = [int(argument) for argument in sys.argv[1:]] or (1_000_000,)
    if count < LEAST:
        sys.exit(f"soak_frames: {count} frames tell nothing: at least {LEAST} are needed")
    print(
        "| 64x48 BGR | frames received of sent | memory of the hub, bytes a frame"
        " | of the sender | descriptors / threads left: hub, sender |\n"
        "| --- | --- | --- | --- | --- |",
        flush=True,
    )
    results = [stream(name, count) for name in STREAMS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
