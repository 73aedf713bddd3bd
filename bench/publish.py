"""``python -m bench.publish``: put the tables and the plot of a measurement into docs."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .report import tables
from .report.results import Results

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGIN = "<!-- begin: generated -->"
END = "<!-- end: generated -->"


def replaced(page: str, generated: str) -> str:
    """Give a page with other text between its markers.

    Raises:
        ValueError: it does not have both markers once, in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"the page needs one {BEGIN} and, below it, one {END}")
    return f"{before}{BEGIN}\n\n{generated}\n{END}{after}"


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.publish", description=__doc__)
    parser.add_argument(
        "results", type=Path, nargs="?", default=Path("build/bench/results.json"), metavar="JSON"
    )
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    arguments = parser.parse_args(argv)
    try:
        results = Results.read(arguments.results)
        page = replaced(arguments.page.read_text(encoding="utf-8"), tables.document(results))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    arguments.page.write_text(page, encoding="utf-8")
    print(f"{arguments.page} has the tables of {arguments.results}")
    plot = arguments.results.with_suffix(".png")
    if plot.exists():
        shutil.copyfile(plot, arguments.page.with_suffix(".png"))
        print(f"{arguments.page.with_suffix('.png')} is {plot}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
