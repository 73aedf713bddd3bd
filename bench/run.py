"""Run a plan: rounds in which all variants of a row take turns, so that they meet the same load."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import plan
from .measure import cell, codec, imports, machine, pictures
from .measure.children import ChildError
from .peers import REQ_REP, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT = 1
IMPORTED = ("imagezmq", "fastimagezmq")
_IMPORTS = 3
"""How often each is imported in a round: it is short, and the disk's caches matter."""


@dataclass(frozen=True)
class Options:
    """How much is measured, and of what."""

    rounds: int = 5
    seconds: float = 0.8
    """Of sending, per cell and round."""
    quality: int = 80
    minutes: float = 25
    """No round is begun that would end later than this."""
    video: Path | None = None


@dataclass
class Cell:
    """A row and a variant, with what each round measured."""

    row: plan.Row
    variant: plan.Variant
    missing: str | None
    """Why it cannot be measured here; None if it can."""
    rounds: list[dict[str, Any]]

    def told(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {
            "row": asdict(self.row),
            "variant": self.variant.name,
            "not available": self.missing,
            "rounds": self.rounds,
        }


def run(
    options: Options,
    wanted: Callable[[plan.Row, plan.Variant], bool],
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Measure all cells that are wanted, and the codec at the sizes that they have.

    Returns:
        What JSON takes; see docs/benchmarks.md.
    """
    cells = [
        Cell(row, variant, unavailable(variant.peer, setting), [])
        for row in plan.rows(video=options.video is not None)
        for variant in plan.variants_of(row)
        if wanted(row, variant)
        for setting in [plan.setting_of(row, variant, options.quality)]
    ]
    sizes = list(dict.fromkeys(one.row.size for one in cells))
    codecs: dict[str, list[dict[str, Any]]] = {}
    import_times: dict[str, list[float]] = {name: [] for name in IMPORTED}
    began = time.monotonic()
    told = {
        "format": FORMAT,
        "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": machine.describe(),
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        paths: dict[str, str] = {}
        dimensions: dict[str, tuple[int, int]] = {}
        for size in sizes:
            progress(f"making pictures {size}")
            path, dimensions[size] = _pictures(Path(folder), size, options.video)
            paths[size] = str(path)
        for name in IMPORTED:
            imports.run(name)  # from now on its files are in the page cache
        rounds = 0
        longest = 0.0
        while rounds < options.rounds and (
            not rounds or time.monotonic() - began + longest < options.minutes * 60
        ):
            round_began = time.monotonic()
            for turn in range(rounds, rounds + _IMPORTS):
                for name in IMPORTED if turn % 2 else reversed(IMPORTED):
                    import_times[name].append(imports.run(name))
            _run_round(cells, codecs, rounds, options, paths, progress)
            longest = max(longest, time.monotonic() - round_began)
            rounds += 1
    return told | {
        "method": {
            "rounds": rounds,
            "rounds asked": options.rounds,
            "seconds": options.seconds,
            "quality": options.quality,
            "minutes taken": round((time.monotonic() - began) / 60, 1),
            "dimensions": dimensions,
            "cv2 threads": 1,
        },
        "cells": [one.told() for one in cells],
        "codec": codecs,
        "imports": import_times,
    }


def _run_round(
    cells: list[Cell],
    codecs: dict[str, list[dict[str, Any]]],
    number: int,
    options: Options,
    paths: dict[str, str],
    progress: Callable[[str], None],
) -> None:
    """Measure each cell once; who of a row comes first moves on from round to round.

    The codec alone is measured just before the row that is compared with it.
    """
    available = [one for one in cells if one.missing is None]
    done = 0
    for row in dict.fromkeys(one.row for one in available):
        if (row.pattern, row.kind) == (REQ_REP, plan.JPEG):
            alone = codec.run(paths[row.size], options.quality, options.seconds)
            codecs.setdefault(row.size, []).append(alone)
        group = [one for one in available if one.row == row]
        first = number % len(group)
        for one in [*group[first:], *group[:first]]:
            done += 1
            setting = plan.setting_of(row, one.variant, options.quality)
            try:
                result = cell.run(
                    one.variant.peer, setting, paths[row.size], options.seconds, row.rate
                )
            except ChildError as error:
                result = {"error": str(error)}
            one.rounds.append(result)
            what = f"{result['rate']:.1f} frames/s" if "rate" in result else result["error"]
            progress(
                f"round {number + 1}/{options.rounds}  {done}/{len(available)}"
                f"  {row.section} {row.size}  {one.variant.name}: {what}"
            )


def _pictures(folder: Path, size: str, video: Path | None) -> tuple[Path, tuple[int, int]]:
    if size == plan.VIDEO:
        assert video
        return pictures.video(folder, video)
    return pictures.photographs(folder, plan.SIZES[size]), plan.SIZES[size]


def failures(results: dict[str, Any]) -> list[str]:
    """Name the cells of which a round failed."""
    return [
        f"{_name(told)}: {measured['error']}"
        for told in results["cells"]
        for measured in told["rounds"]
        if "error" in measured
    ]


def _name(told: dict[str, Any]) -> str:
    row = plan.Row(**told["row"])
    return f"{row.section} {row.size} {told['variant']}"


def show_progress(text: str) -> None:
    """Say on stderr where the measurement is; on a terminal, in one line."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text[:100]}")
    else:
        sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
