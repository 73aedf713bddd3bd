"""The statistics: medians, spreads, and ratios of what was measured in the same round."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Spread(NamedTuple):
    """A median with the smallest and the largest value."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread | None:
    """Sum values up; None if there are none."""
    found = list(values)
    if not found:
        return None
    return Spread(statistics.median(found), min(found), max(found))


def values(rounds: Sequence[dict[str, Any]], key: str) -> list[float]:
    """Give what the rounds that succeeded have measured."""
    return [one[key] for one in rounds if one.get(key) is not None]


def ratios(
    rounds: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]], key: str
) -> list[float]:
    """Divide what was measured by the base's of the same round; without those that failed."""
    pairs = zip(rounds, base, strict=False)
    return [
        one[key] / other[key] for one, other in pairs if one.get(key) is not None and other.get(key)
    ]


class Limit(NamedTuple):
    """Frames a second that the codec alone would allow."""

    lockstep: float
    """One frame at a time, on all threads: encode, then decode."""
    pipelined: float
    """One core encodes while another decodes."""


def limit(codec: dict[str, Any]) -> Limit:
    """Give the limit that one round of ``measure.codec`` means.

    Without ``threads=`` in the codec, all threads are one.
    """
    encode, decode = codec["encode"], codec["decode"]
    everywhere = "0" if "0" in encode else "1"
    return Limit(
        1 / (encode[everywhere] + decode[everywhere]),
        1 / max(encode["1"], decode["1"]),
    )


def against(rates: Sequence[dict[str, Any]], limits: Sequence[float]) -> list[float]:
    """Divide the frames a second of each round by the limit in the same round."""
    pairs = zip(rates, limits, strict=False)
    return [one["rate"] / most for one, most in pairs if one.get("rate") is not None]
