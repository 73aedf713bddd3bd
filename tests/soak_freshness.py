"""How old what arrives is, and what memory that takes, a minute each: figures of make soak.

``soak_freshness.py [SECONDS]`` prints the rows of a table in docs/reliability.md. It ends with
status 1 when a figure of fastimagezmq's is beyond what is promised; the age of a frame that a busy
machine kept from arriving is for the reader.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from freshness import Freshness, slow_link, slow_subscriber, stalled_hub

IMAGEZMQ_NEEDS = 8e9
"""Bytes of memory: raw 720p fills its queues, 1000 frames at each end."""


def row(what: str, seen: Freshness) -> Freshness:
    """Print a row."""
    sys.stdout.write(f"| {what} | {seen} |\n")
    sys.stdout.flush()
    return seen


def available() -> int:
    """Give the memory that may be taken, in bytes."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))


def main() -> int:
    """Print the table's rows; 1 if something is not as promised."""
    (seconds,) = [float(argument) for argument in sys.argv[1:]] or (60.0,)
    row_head = "| what | age, median and most | memory grew by: publisher, hub |"
    sys.stdout.write(f"{row_head}\n| --- | --- | --- |\n")
    what = f"raw 720p, 100 frames a second, a hub that looks twice a second, {seconds:.0f} s"
    if available() > IMAGEZMQ_NEEDS:
        row(f"{what}: imageZMQ 1.2.0", slow_subscriber("imagezmq", seconds))
    else:
        sys.stdout.write(f"| {what}: imageZMQ 1.2.0 | left out, for want of memory | |\n")
    looks = row(f"{what}: `latest=True`", slow_subscriber("fastimagezmq", seconds))
    for library, options, how in (
        ("imagezmq", {}, "imageZMQ 1.2.0"),
        ("fastimagezmq", {}, "`latest=True`"),
        ("fastimagezmq", {"sndhwm": 4}, "`latest=True`, and `sndhwm=4` at the sender"),
    ):
        link, kind = slow_link(library, seconds, **options)
        row(f"30 frames of 100 KB a second over 8 Mbit/s ({kind}), {seconds:.0f} s: {how}", link)
    stalled = row(
        f"raw 1080p, 30 frames a second, to a hub that reads nothing, {seconds:.0f} s",
        stalled_hub(seconds),
    )
    return (
        0
        if (
            statistics.median(looks.ages) < 0.02
            and looks.hub_grew < 20e6
            and max(link.ages) < 1
            and link.publisher_grew < 20e6
            and stalled.publisher_grew < 100e6
        )
        else 1
    )


if __name__ == "__main__":
    sys.exit(main())
