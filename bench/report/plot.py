"""The plot: how many times faster than imagezmq, by size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import plan
from ..peers import REQ_REP

if TYPE_CHECKING:
    from pathlib import Path

    from .results import Results

# Okabe and Ito's colours, told apart by the colour-blind too; markers tell them apart in grey.
_STYLES = {
    "pyzmq": ("#000000", "s", "pyzmq alone (JPEG: with cv2)"),
    "NetGear": ("#E69F00", "v", "NetGear (JPEG: same quality, 4:2:2)"),
    plan.NETGEAR_EQUAL: ("#E69F00", "v", "NetGear (JPEG: same quality, 4:2:2)"),
    plan.FAST: ("#0072B2", "o", "fastimagezmq"),
    plan.WINDOW: ("#56B4E9", "D", "fastimagezmq, in_flight=4, copy=False"),
    plan.WINDOW_1: ("#009E73", "^", "fastimagezmq, in_flight=4, threads=1, copy=False"),
}
_LIMIT_COLOR = "#CC79A7"


def draw(results: Results, path: Path) -> None:
    """Write a PNG with raw frames on the left and JPEG on the right, REQ/REP."""
    import matplotlib  # noqa: PLC0415 (only here is it needed)

    matplotlib.use("agg")
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 5), sharey=True, dpi=90)
    try:
        for axis, kind in zip(axes, (plan.RAW, plan.JPEG), strict=True):
            _draw_kind(results, axis, kind)
        highest = [
            ratio.high
            for row in results.rows()
            if row.pattern == REQ_REP and row.size != plan.VIDEO
            for name in _STYLES
            if (ratio := results.ratio(row, name))
        ]
        # The codec's limit for small pictures is far above all else: let it leave the plot.
        axes[0].set_ylim(0, max([1.5, *highest]) * 1.08)
        axes[0].set_ylabel("times imagezmq's frames a second")
        machine, method = results.told["machine"], results.told["method"]
        figure.suptitle(
            "Frames a second from sender to hub, beside imagezmq 1.2.0 (with cv2 for JPEG)"
        )
        figure.text(
            0.5,
            0.005,
            "One frame at a time unless in_flight is given; REQ/REP, loopback,"
            f" {machine['processor']}, {machine['cores']} cores, quality {method['quality']};"
            f" medians and range of {method['rounds']} rounds",
            ha="center",
            fontsize=8,
            color="#555555",
        )
        handles: dict[str, Any] = {}
        for axis in axes:
            handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="lower center",
            bbox_to_anchor=(0.5, 0.035),
            ncols=3,
            fontsize=8.5,
            frameon=False,
        )
        figure.tight_layout(rect=(0, 0.13, 1, 1))
        figure.savefig(path, facecolor="white")
    finally:
        pyplot.close(figure)


def _draw_kind(results: Results, axis: Any, kind: str) -> None:
    rows = [
        row
        for row in results.rows()
        if (row.pattern, row.kind) == (REQ_REP, kind) and row.size != plan.VIDEO
    ]
    places = range(len(rows))
    axis.axhline(1, color="#888888", linewidth=1.5, label="imagezmq")
    for name, (color, marker, label) in _STYLES.items():
        found = [(at, results.ratio(row, name)) for at, row in zip(places, rows, strict=True)]
        drawn = [(at, ratio) for at, ratio in found if ratio]
        if not drawn:
            continue
        medians = [ratio.median for _, ratio in drawn]
        errors = [
            [ratio.median - ratio.low for _, ratio in drawn],
            [ratio.high - ratio.median for _, ratio in drawn],
        ]
        axis.errorbar(
            [at for at, _ in drawn],
            medians,
            yerr=errors,
            color=color,
            marker=marker,
            markersize=5,
            linewidth=1.5,
            elinewidth=0.8,
            capsize=2,
            label=label,
        )
    if kind == plan.JPEG:
        _draw_limit(results, axis, rows)
    axis.set_title("raw pixels" if kind == plan.RAW else "JPEG")
    axis.set_xticks(list(places), [row.size for row in rows], rotation=20)
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_limit(results: Results, axis: Any, rows: list[plan.Row]) -> None:
    """Draw what the codec alone would allow, as a ratio to imagezmq's median."""
    line = []
    for at, row in enumerate(rows):
        limits = [one.lockstep for one in results.limits(row.size)]
        base = results.of(row, plan.BASE, "rate")
        if limits and base:
            line.append((at, sorted(limits)[len(limits) // 2] / base.median))
    if line:
        axis.plot(
            *zip(*line, strict=True),
            color=_LIMIT_COLOR,
            linestyle="--",
            linewidth=1.2,
            label="the codec's limit, one frame at a time",
        )
