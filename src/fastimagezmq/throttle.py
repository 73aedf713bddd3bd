"""Warnings that come once a minute at most for each of many things."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Throttle"]

INTERVAL_SECONDS = 60.0
_REMEMBERED = 256


class Throttle:
    """Tells whether a warning is due."""

    def __init__(self) -> None:
        self._warned: dict[Hashable, float] = {}

    def due(self, key: Hashable = None) -> bool:
        """Tell whether to warn of ``key`` (again), and take it that the caller does."""
        now = time.monotonic()
        if now - self._warned.get(key, -INTERVAL_SECONDS) < INTERVAL_SECONDS:
            return False
        self._warned.pop(key, None)
        self._warned[key] = now  # last in order: the first is the one warned of longest ago
        if len(self._warned) > _REMEMBERED:
            del self._warned[next(iter(self._warned))]
        return True
