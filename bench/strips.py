"""One JPEG on several threads: how much faster, and what restart markers cost.

    python bench/strips.py [--rounds 60] [--threads 2] [--quality 85] [--pin]

The variants take turns, call by call, so that a machine that slows down slows all of
them. A ratio is that of one thread's time to the threads': of the fastest rounds of
each, which other programs have disturbed least, and the median over the rounds, with the
quartiles, of the ratio within a round. The pictures are a photograph at its own resolution,
cut out where they are smaller and mirrored at its edges where they are larger. --pin
gives each thread a CPU of its own (Linux): a scheduler that moves threads apart only
after milliseconds, as some virtual machines' do, hides what two CPUs can do.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage import data

from fastimagezmq import _codec

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = [(160, 120), (320, 240), (640, 480), (1280, 720), (1920, 1080), (3840, 2160)]


def picture(width: int, height: int) -> Any:
    """Give the photograph in a size, in B,G,R order."""
    photo = data.stereo_motorcycle()[0][..., ::-1][:height, :width]
    more = ((0, height - photo.shape[0]), (0, width - photo.shape[1]), (0, 0))
    return np.ascontiguousarray(np.pad(photo, more, mode="symmetric"))


def pin(threads: int) -> None:
    """Give the calling thread and those of the pool a CPU each, in turn."""
    image = np.zeros((800, 800, 3), np.uint8)
    _codec.encode_jpeg(image, threads=threads)  # starts the pool
    cpus = itertools.cycle(sorted(os.sched_getaffinity(0)))
    tasks = Path("/proc/self/task").iterdir()
    names = {int(task.name): (task / "comm").read_text(encoding="utf-8").strip() for task in tasks}
    for thread in [os.getpid(), *(one for one, name in names.items() if name == "fiz-jpeg")]:
        os.sched_setaffinity(thread, {next(cpus)})


def milliseconds(call: Callable[[], object], calls: int) -> float:
    """Give the mean time of some calls in a row."""
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls * 1e3


def compare(work: Callable[[int], object], threads: int, rounds: int, calls: int) -> str:
    """Tell the cells of a table: the fastest of one thread and of several, and the ratios."""
    times: dict[int, list[float]] = {1: [], threads: []}
    for number in range(rounds + 3):
        for count in (1, threads) if number % 2 else (threads, 1):
            took = milliseconds(lambda count=count: work(count), calls)
            if number >= 3:  # the first few warm up
                times[count].append(took)
    ratios = [one / many for one, many in zip(times[1], times[threads], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    one, many = min(times[1]), min(times[threads])
    return f"{one:.2f} | {many:.2f} | {one / many:.2f} | {middle:.2f} ({low:.2f}-{high:.2f})"


def main() -> None:
    """Measure all sizes and print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quality", type=int, default=85)
    parser.add_argument("--pin", action="store_true")
    arguments = parser.parse_args()
    threads, quality = arguments.threads, arguments.quality
    print(f"libjpeg-turbo {_codec.libjpeg_turbo_version()}, numpy {version('numpy')}, ", end="")
    print(f"Python {platform.python_version()}, {platform.machine()}, ", end="")
    print(f"{_codec.thread_count()} threads can be had; quality {quality}, 4:2:0, BGR", end="")
    if arguments.pin:
        pin(threads)
        print(", a CPU for each", end="")
    print("\n")
    print(f"| size | encode, ms | on {threads} | ratio | median (quartiles) ", end="")
    print(f"| decode, ms | on {threads} | ratio | median (quartiles) |")
    print("|---|---|---|---|---|---|---|---|---|")
    for width, height in SIZES:
        image = picture(width, height)
        jpeg = _codec.encode_jpeg(image, quality)
        out = np.empty_like(image)
        calls = max(1, 300_000 // (width * height))
        encode = compare(
            lambda count: _codec.encode_jpeg(image, quality, threads=count),  # noqa: B023
            threads, arguments.rounds, calls,
        )  # fmt: skip
        decode = compare(
            lambda count: _codec.decode_jpeg(jpeg, out=out, threads=count),  # noqa: B023
            threads, arguments.rounds, calls,
        )  # fmt: skip
        print(f"| {width}x{height} | {encode} | {decode} |", flush=True)
    print("\n| size | quality | bytes without markers | with one for each row of MCUs | more |")
    print("|---|---|---|---|---|")
    for width, height in SIZES:
        image = picture(width, height)
        for level in (50, 85, 95):
            without = len(_codec.encode_jpeg(image, level, restart_rows=0))
            with_markers = len(_codec.encode_jpeg(image, level))
            more = (with_markers / without - 1) * 100
            print(f"| {width}x{height} | {level} | {without} | {with_markers} | {more:.2f} % |")


if __name__ == "__main__":
    main()
