"""The results of a run, looked up by what they are about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .. import plan
from . import figures

if TYPE_CHECKING:
    from pathlib import Path


class Results:
    """What a JSON file of ``python -m bench`` says."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.cells = {(plan.Row(**cell["row"]), cell["variant"]): cell for cell in told["cells"]}

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a file.

        Raises:
            OSError, ValueError: it is not there, or is no such file.
        """
        told = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(told, dict) or told.get("format") != 1:
            raise ValueError(f"{path} is not from this version of the bench")
        return cls(told)

    def rows(self) -> list[plan.Row]:
        """Give the rows that were measured, in order."""
        return list(dict.fromkeys(row for row, _ in self.cells))

    def variants(self, row: plan.Row) -> list[str]:
        """Give the variants of a row, in order."""
        return [variant for one, variant in self.cells if one == row]

    def rounds(self, row: plan.Row, variant: str) -> list[dict[str, Any]]:
        """Give what was measured of a cell; nothing if it was not."""
        cell = self.cells.get((row, variant))
        return cell["rounds"] if cell else []

    def missing(self, row: plan.Row, variant: str) -> str | None:
        """Tell why a cell could not be measured; None if it could, or was not wanted."""
        cell = self.cells.get((row, variant))
        return cell["not available"] if cell else None

    def of(self, row: plan.Row, variant: str, key: str) -> figures.Spread | None:
        """Give the spread of a figure of a cell."""
        return figures.spread(figures.values(self.rounds(row, variant), key))

    def ratio(
        self, row: plan.Row, variant: str, key: str = "rate", base: str = plan.BASE
    ) -> figures.Spread | None:
        """Give a figure's ratio to another variant's, by rounds."""
        return figures.spread(
            figures.ratios(self.rounds(row, variant), self.rounds(row, base), key)
        )

    def limits(self, size: str) -> list[figures.Limit]:
        """Give the codec's limits of each round."""
        return [figures.limit(codec) for codec in self.told["codec"].get(size, [])]
