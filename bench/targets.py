"""``python -m bench.targets``: what must be reached, beside what was measured."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import plan
from .peers import REQ_REP
from .report import figures
from .report.results import Results
from .report.tables import with_spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .report.figures import Spread


@dataclass(frozen=True)
class Target:
    """A figure and its bound; a median that is beyond the bound misses it."""

    what: str
    bound: float
    measure: Callable[[Results], Spread | None]
    at_most: bool = False
    """The bound is one from above."""

    def met(self, measured: Spread) -> bool:
        """Tell whether a median is good enough."""
        return measured.median <= self.bound if self.at_most else measured.median >= self.bound


def lockstep(kind: str, size: str) -> plan.Row:
    """Give a REQ/REP row."""
    return plan.Row(REQ_REP, kind, size)


def _ratio(
    kind: str, size: str, variant: str = plan.FAST, base: str = plan.BASE, key: str = "rate"
) -> Callable[[Results], Spread | None]:
    return lambda results: results.ratio(lockstep(kind, size), variant, key, base)


def _against_limit(size: str, variant: str, which: str) -> Callable[[Results], Spread | None]:
    def measure(results: Results) -> Spread | None:
        limits = [getattr(limit, which) for limit in results.limits(size)]
        rounds = results.rounds(lockstep(plan.JPEG, size), variant)
        return figures.spread(figures.against(rounds, limits))

    return measure


def _speed_up(what: str, size: str) -> Callable[[Results], Spread | None]:
    def measure(results: Results) -> Spread | None:
        rounds = results.told["codec"].get(size, [])
        return figures.spread(one[what]["1"] / one[what]["2"] for one in rounds if "2" in one[what])

    return measure


def _import_lag(results: Results) -> Spread | None:
    times = results.told["imports"]
    pairs = zip(times["fastimagezmq"], times["imagezmq"], strict=True)
    return figures.spread((ours - theirs) * 1e3 for ours, theirs in pairs)


_LEAST_RATIOS = (
    (plan.RAW, "64x48", 1.5),
    (plan.RAW, "320x240", 1.35),
    (plan.RAW, "1920x1080", 1.0),
    (plan.JPEG, "320x240", 1.3),
    (plan.JPEG, "640x480", 1.6),
    (plan.JPEG, "1920x1080", 1.9),
    (plan.JPEG, "3840x2160", 1.9),
)
_LARGE = ("1280x720", "1920x1080", "3840x2160")
_FULL_HD = "1920x1080"


def targets() -> Iterator[Target]:
    """Give all that must be reached."""
    for kind, size, least in _LEAST_RATIOS:
        yield Target(f"frames/s to imagezmq's, {kind} {size}", least, _ratio(kind, size))
    for size, least in (("640x480", 1.1), (_FULL_HD, 1.25)):
        yield Target(
            f"frames/s to NetGear's, same quality, 4:2:2, JPEG {size}",
            least,
            _ratio(plan.JPEG, size, plan.FAST_422, plan.NETGEAR_EQUAL),
        )
    yield Target(
        f"frames/s to imagezmq's, JPEG {_FULL_HD}, in_flight=4 threads=1 copy=False",
        1.8,
        _ratio(plan.JPEG, _FULL_HD, plan.WINDOW_1),
    )
    for size in _LARGE:
        yield Target(
            f"frames/s to the codec's limit, JPEG {size}",
            0.85,
            _against_limit(size, plan.FAST, "lockstep"),
        )
        yield Target(
            f"frames/s to the codec's limit, JPEG {size}, in_flight=4 threads=1 copy=False",
            0.9,
            _against_limit(size, plan.WINDOW_1, "pipelined"),
        )
    for what, least in (("encode", 1.9), ("decode", 1.8)):
        yield Target(f"{what}_jpeg {_FULL_HD}, 2 threads to 1", least, _speed_up(what, _FULL_HD))
    for kind, size, _ in _LEAST_RATIOS:
        yield Target(
            f"sender's CPU a frame to imagezmq's, {kind} {size}",
            1.0,
            _ratio(kind, size, key="sender_cpu"),
            at_most=True,
        )
    yield Target("import: ms longer than imagezmq's", 10, _import_lag, at_most=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; gives the exit status: 1 if a target is missed or was not measured."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.targets",
        description="Compares the results of python -m bench with what must be reached.",
    )
    parser.add_argument(
        "results", type=Path, nargs="?", default=Path("build/bench/results.json"), metavar="JSON"
    )
    arguments = parser.parse_args(argv)
    try:
        results = Results.read(arguments.results)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    missed = 0
    for target in targets():
        measured = target.measure(results)
        sign = "<=" if target.at_most else ">="
        if measured is None:
            verdict, shown = "-", "not measured"
        else:
            verdict, shown = "ok" if target.met(measured) else "MISSED", with_spread(measured)
        missed += verdict != "ok"
        print(f"{verdict:<7}{sign} {target.bound:<5g} {shown:<20} {target.what}")
    print(f"{missed} not reached" if missed else "all reached")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
