"""Tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .figures import Spread
    from .results import Results

_NOTHING = ""


def document(results: Results) -> str:
    """Give all tables, with what they were measured on and how."""
    sections = dict.fromkeys(row.section for row in results.rows())
    parts = [
        _setting(results),
        *(_beside(results, section) for section in sections),
        _codec(results),
        *(_details(results, section) for section in sections),
        _not_measured(results),
    ]
    return "\n".join(part for part in parts if part)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(value: float) -> str:
    """Tell a number with three significant digits, without an exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def with_spread(value: Spread | None) -> str:
    """Tell a median with the smallest and the largest."""
    if value is None:
        return _NOTHING
    return f"{number(value.median)} ({number(value.low)}-{number(value.high)})"


def _median(value: Spread | None, scale: float = 1) -> str:
    return _NOTHING if value is None else number(value.median * scale)


def _setting(results: Results) -> str:
    told, method = results.told, results.told["method"]
    machine = told["machine"]
    memory = f", {machine['memory'] / 2**30:.0f} GiB" if machine["memory"] else ""
    versions = "; ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Measured on {told['began']}: {machine['processor']}, {machine['cores']} cores"
        f"{memory}, {machine['architecture']}, {machine['system']}; load before it began"
        f" {machine['load']:.1f}. {method['rounds']} rounds, {method['seconds']:g} s a cell,"
        f" JPEG quality {method['quality']}, {method['minutes taken']:g} minutes in all.\n\n"
        f"{versions}.\n"
    )


def _beside(results: Results, section: str) -> str:
    """Give what matters most of a section, one variant a column.

    Of frames that are sent at a camera's pace all variants deliver as many: latency then.
    """
    rows = [row for row in results.rows() if row.section == section]
    if rows[0].rate is None:
        return _rates(results, section, rows)
    names = [name for name in _names(results, rows) if any(results.rounds(r, name) for r in rows)]
    lines = [
        [
            _label(results, row),
            *(
                "; ".join(
                    _median(results.of(row, name, key), 1e3)
                    for key in ("latency_p50", "latency_p99")
                )
                for name in names
            ),
        ]
        for row in rows
    ]
    table = _table(["frames", *names], lines)
    return (
        f"### {section}: latency\n\nMilliseconds from before the encoding to after the decoding:"
        f" half of the frames, and 99 of 100, take no longer.\n\n{table}"
    )


def _names(results: Results, rows: list[plan.Row]) -> list[str]:
    """Name the variants of some rows, in order."""
    order = [variant.name for variant in plan.VARIANTS]
    found = {name for row in rows for name in results.variants(row)}
    return sorted(found, key=order.index)


def _rates(results: Results, section: str, rows: list[plan.Row]) -> str:
    names = [name for name in _names(results, rows) if any(results.rounds(r, name) for r in rows)]
    limits = rows[0].pattern == plan.REQ_REP and rows[0].kind == plan.JPEG
    head = ["frames", *names, *(["codec's limit"] if limits else [])]
    lines = []
    for row in rows:
        line = [_label(results, row)]
        for name in names:
            ratio = results.ratio(row, name) if name != plan.BASE else None
            beside = f", {with_spread(ratio)}" if ratio else ""
            line.append(f"{_median(results.of(row, name, 'rate'))}{beside}")
        if limits:
            found = results.limits(row.size)
            line.append(
                f"{number(_middle(one.lockstep for one in found))};"
                f" {number(_middle(one.pipelined for one in found))}"
                if found
                else _NOTHING
            )
        lines.append(line)
    note = (
        "Frames a second, median; behind it the ratio to imagezmq in the same round (smallest"
        "-largest)."
    )
    if limits:
        note += (
            " The codec's limit: one frame at a time on all cores; one core encoding while"
            " another decodes."
        )
    return f"### {section}: frames a second\n\n{note}\n\n{_table(head, lines)}"


def _label(results: Results, row: plan.Row) -> str:
    if row.size == plan.VIDEO:
        width, height = results.told["method"]["dimensions"][row.size]
        return f"video {width}x{height}"
    return row.size


def _middle(values: Iterable[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _details(results: Results, section: str) -> str:
    """Give CPU time, latency and memory of a section's cells, one a line."""
    head = [
        "frames",
        "variant",
        "came of sent",
        "CPU of the sender",
        "CPU of the hub",
        "latency p50",
        "p99",
        "peak of the sender",
        "peak of the hub",
    ]
    lines = []
    for row in results.rows():
        if row.section != section:
            continue
        for name in results.variants(row):
            if not results.rounds(row, name):
                continue
            came, sent = (results.of(row, name, key) for key in ("came", "sent"))
            share = came.median / sent.median if came and sent else 0
            lines.append(
                [
                    _label(results, row),
                    name,
                    f"{share:.0%}",
                    *(
                        _median(results.of(row, name, key), 1e3)
                        for key in ("sender_cpu", "hub_cpu", "latency_p50", "latency_p99")
                    ),
                    *(
                        _median(results.of(row, name, key), 1 / 2**20)
                        for key in ("sender_peak", "hub_peak")
                    ),
                ]
            )
    return (
        f"### {section}: CPU, latency, memory\n\nMedians. CPU: milliseconds a frame, all threads;"
        " latency: milliseconds from before the encoding to after the decoding; peak: MiB"
        f" resident, the pictures of the sender included.\n\n{_table(head, lines)}"
    )


def _codec(results: Results) -> str:
    lines = []
    for size, rounds in results.told["codec"].items():
        if not rounds:
            continue
        line = [size, number(_middle(one["bytes"] for one in rounds) / 1000)]
        for what in ("encode", "decode"):
            single = _middle(one[what]["1"] for one in rounds)
            line.append(number(single * 1e3))
            for count in ("2", "0"):
                faster = [one[what]["1"] / one[what][count] for one in rounds if count in one[what]]
                line.append(number(_middle(faster)) if faster else _NOTHING)
        lines.append(line)
    if not lines:
        return ""
    head = ["frames", "kB of a JPEG"]
    for what in ("encode", "decode"):
        head += [f"{what}, 1 thread, ms", f"{what}, 2 threads: times faster", f"{what}, all"]
    return f"### The codec alone\n\nMedians of the rounds.\n\n{_table(head, lines)}"


def _not_measured(results: Results) -> str:
    reasons: dict[str, list[str]] = {}
    for (row, name), cell in results.cells.items():
        if cell["not available"]:
            reasons.setdefault(f"{name}: {cell['not available']}", []).append(
                f"{row.section} {row.size}"
            )
    if not reasons:
        return ""
    lines = [f"- {reason} ({len(cells)} cells)\n" for reason, cells in reasons.items()]
    return "### Not available\n\n" + "".join(lines)
