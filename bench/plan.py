"""What is measured: rows (what is sent) and variants (by whom), and the cells that they make."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from .peers import PUB_SUB, REQ_REP, Setting

RAW, JPEG = "raw", "JPEG"
SIZES = {
    "64x48": (64, 48),
    "320x240": (320, 240),
    "640x480": (640, 480),
    "1280x720": (1280, 720),
    "1920x1080": (1920, 1080),
    "3840x2160": (3840, 2160),
}
VIDEO = "video"
"""Stands for a size: the frames of the video that was given, as they are."""

CAMERA_RATE = 30.0
BASE = "imagezmq"
"""The variant that all others are compared with, in the same round."""

NETGEAR_DEFAULTS = "NetGear as it comes"
NETGEAR_EQUAL = "NetGear at the same quality"
FAST = "fastimagezmq"
FAST_422 = "fastimagezmq 4:2:2"
FAST_1 = "fastimagezmq threads=1"
WINDOW = "fastimagezmq in_flight=4 copy=False"
WINDOW_1 = "fastimagezmq in_flight=4 threads=1 copy=False"


@dataclass(frozen=True)
class Row:
    """What is sent."""

    pattern: str
    kind: str
    size: str
    rate: float | None = None
    """Frames a second that are sent; None is as many as possible."""

    @property
    def section(self) -> str:
        """Name what the row has in common with those of other sizes."""
        pace = f", {self.rate:g} frames/s" if self.rate else ""
        return f"{self.pattern}{pace}, {self.kind}"


@dataclass(frozen=True)
class Variant:
    """By whom, and with which options."""

    name: str
    peer: str
    kinds: tuple[str, ...] = (RAW, JPEG)
    patterns: tuple[str, ...] = (REQ_REP, PUB_SUB)
    options: dict[str, Any] = field(default_factory=dict)
    quality_option: str | None = None
    """How the library calls the quality of JPEG, where that is one of ``options``."""


_LOCKSTEP = (REQ_REP,)
VARIANTS = (
    Variant(BASE, "imagezmq"),
    Variant("pyzmq", "pyzmq"),
    Variant("NetGear", "netgear", (RAW,), _LOCKSTEP),
    Variant(NETGEAR_DEFAULTS, "netgear", (JPEG,), _LOCKSTEP),
    Variant(
        NETGEAR_EQUAL,
        "netgear",
        (JPEG,),
        _LOCKSTEP,
        {"jpeg_compression_fastdct": False, "jpeg_compression_fastupsample": False},
        quality_option="jpeg_compression_quality",
    ),
    Variant(FAST, "fastimagezmq"),
    Variant(FAST_422, "fastimagezmq", (JPEG,), _LOCKSTEP, {"subsampling": "422"}),
    Variant(FAST_1, "fastimagezmq", (JPEG,), _LOCKSTEP, {"threads": 1}),
    Variant(WINDOW, "fastimagezmq", (RAW, JPEG), _LOCKSTEP, {"in_flight": 4, "copy": False}),
    Variant(
        WINDOW_1, "fastimagezmq", (JPEG,), _LOCKSTEP, {"in_flight": 4, "threads": 1, "copy": False}
    ),
)

_FLOODED = ("640x480", "1920x1080")


def rows(*, video: bool) -> list[Row]:
    """Give all rows of the full measurement."""
    sizes = [*SIZES, *([VIDEO] if video else [])]
    found = [Row(REQ_REP, kind, size) for kind in (RAW, JPEG) for size in sizes]
    found += [Row(PUB_SUB, kind, size, CAMERA_RATE) for kind in (RAW, JPEG) for size in sizes]
    found += [Row(PUB_SUB, kind, size) for kind in (RAW, JPEG) for size in _FLOODED]
    return found


_QUICK = {
    (REQ_REP, RAW): ("64x48", "320x240", "1920x1080"),
    (REQ_REP, JPEG): ("320x240", "640x480", "1280x720", "1920x1080", "3840x2160", VIDEO),
    (PUB_SUB, JPEG): ("1920x1080",),
}
_QUICK_VARIANTS = (BASE, FAST, WINDOW_1)
_QUICK_NETGEAR = ("640x480", "1920x1080")


def is_quick(row: Row, variant: Variant) -> bool:
    """Tell whether a cell is one of the few that the targets are about."""
    if row.size not in _QUICK.get((row.pattern, row.kind), ()):
        return False
    if (row.pattern, row.rate) == (PUB_SUB, None):
        return False
    if variant.name in (NETGEAR_EQUAL, FAST_422):
        return row.size in _QUICK_NETGEAR
    return variant.name in _QUICK_VARIANTS


def variants_of(row: Row) -> list[Variant]:
    """Give the variants that a row has."""
    return [
        variant
        for variant in VARIANTS
        if row.kind in variant.kinds and row.pattern in variant.patterns
    ]


def setting_of(row: Row, variant: Variant, quality: int) -> Setting:
    """Give what a peer needs to know."""
    setting = Setting(row.pattern, quality if row.kind == JPEG else None, variant.options)
    if variant.quality_option:
        return replace(setting, options=variant.options | {variant.quality_option: quality})
    return setting
