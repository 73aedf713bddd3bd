"""``python -m bench``: measure, and write what was measured."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import plan, run
from .measure.pictures import NoPicturesError
from .report import plot, tables
from .report.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_QUICK = {"rounds": 3, "seconds": 0.4}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; gives the exit status: 1 if a cell failed, 130 after Ctrl-C."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    given = {
        name: value
        for name in ("rounds", "seconds", "quality", "minutes", "video")
        if (value := getattr(arguments, name)) is not None
    }
    if arguments.video is None:
        print("no --video given: photographs only", file=sys.stderr)
    elif not arguments.video.is_file():
        parser.error(f"there is no file {arguments.video}")
    options = run.Options(**((_QUICK if arguments.quick else {}) | given))
    try:
        told = run.run(options, _wanted(arguments), run.show_progress)
    except NoPicturesError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    if not told["cells"]:
        parser.error("nothing is left to measure")
    print(file=sys.stderr)
    results = Results(told)
    output = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (output / "results.md").write_text(tables.document(results), encoding="utf-8")
    plot.draw(results, output / "results.png")
    print(tables.document(results))
    print(f"written to {output}: results.json, results.md, results.png", file=sys.stderr)
    failed = run.failures(told)
    for failure in failed:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures fastimagezmq beside imagezmq, NetGear, pyzmq and its own codec.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="only what the targets are about: some two minutes"
    )
    parser.add_argument("--rounds", type=_positive(int), help="how often each cell is measured")
    parser.add_argument("--seconds", type=_positive(float), help="of sending, per cell and round")
    parser.add_argument(
        "--minutes", type=_positive(float), help="begin no round that would end later"
    )
    parser.add_argument("--quality", type=_positive(int), help="of JPEG; default: 80")
    parser.add_argument("--video", type=Path, metavar="PATH", help="a video, for rows of its own")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        default=Path("build/bench"),
        help="default: %(default)s",
    )
    for name, example in (
        ("patterns", "REQ/REP"),
        ("kinds", "raw,JPEG"),
        ("sizes", "640x480,1920x1080"),
        ("variants", "imagezmq,fastimagezmq"),
    ):
        parser.add_argument(
            f"--{name}", type=lambda text: text.split(","), help=f"only these, such as {example}"
        )
    return parser


def _positive(kind: type[int | float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = kind(text)
        if value <= 0:
            raise ValueError(text)
        return value

    read.__name__ = f"positive {kind.__name__}"
    return read


def _wanted(arguments: argparse.Namespace) -> Callable[[plan.Row, plan.Variant], bool]:
    def wanted(row: plan.Row, variant: plan.Variant) -> bool:
        return (
            (not arguments.quick or plan.is_quick(row, variant))
            and row.pattern in (arguments.patterns or [row.pattern])
            and row.kind in (arguments.kinds or [row.kind])
            and row.size in (arguments.sizes or [row.size])
            and variant.name in (arguments.variants or [variant.name])
        )

    return wanted


if __name__ == "__main__":
    sys.exit(main())
