"""What a hub with ``latest=True`` counts of each camera, and a hub's counts as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CameraStats", "table_of"]


class CameraStats(NamedTuple):
    """What a hub with ``latest=True`` has seen of one camera."""

    camera: Any
    """What tells the camera: ``msg``, or what ``key`` made of it."""
    received: int
    """Frames that arrived."""
    delivered: int
    """Frames given to the program."""
    dropped: int
    """Frames that a newer one replaced."""
    gaps: int | None
    """Frames missing in the sequence numbers; None where frames carry none."""
    age_p50: float | None
    """Half of the last 512 frames given were younger, in seconds; None without time stamps."""
    age_p99: float | None
    """99 of 100 were younger, likewise."""


_HEAD = ("camera", "received", "delivered", "dropped", "gaps", "age p50", "p99")
_COLUMNS = 80
_WIDTHS = (27, 8, 9, 8, 6, 8, 8)  # and six spaces between them


def table_of(counts: dict[str, int], cameras: Sequence[CameraStats]) -> str:
    """Give counts, and a row for each camera, in lines of at most 80 columns.

    "-" is: not known.
    """
    # Here, since `import fastimagezmq` would pay for it.
    import textwrap  # noqa: PLC0415

    told = ", ".join(f"{name} {count}" for name, count in counts.items())
    lines = textwrap.wrap(told, _COLUMNS)
    if cameras:
        lines.append(_line(_HEAD))
    for camera in cameras:
        *whole, age_p50, age_p99 = camera[1:]
        cells = (_name(camera.camera), *map(_count, whole), _age(age_p50), _age(age_p99))
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: tuple[str, ...]) -> str:
    first, *others = zip(cells, _WIDTHS, strict=True)
    return " ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])


def _name(camera: Any) -> str:
    """Give a camera's name on one line, in printable characters, cut to the column."""
    name = camera if isinstance(camera, str) else repr(camera)
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    width = _WIDTHS[0]
    return name if len(name) <= width else name[: width - 3] + "..."


def _count(count: int | None) -> str:
    """Give a count in at most six characters: 99999, 100k, 12M."""
    if count is None:
        return "-"
    for divisor, unit in ((1, ""), (1000, "k"), (10**6, "M")):
        if count // divisor < 100_000:
            return f"{count // divisor}{unit}"
    return ">100G"


def _age(age: float | None) -> str:
    """Give seconds in at most eight characters."""
    if age is None:
        return "-"
    if abs(age) < 0.01:
        return f"{age * 1000:.1f} ms"
    if abs(age) < 1:
        return f"{age * 1000:.0f} ms"
    return f"{age:.1f} s" if abs(age) < 1000 else f"{age / 86400:.1f} d"
