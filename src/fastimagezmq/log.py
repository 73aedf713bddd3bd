"""The one logger, ``fastimagezmq``, for who has something to say.

It is made with its first record: ``import logging`` takes a fifth of what ``import
fastimagezmq`` takes beyond numpy and pyzmq, and most programs import it anyhow, or never need it.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger

__all__ = ["info", "prepare", "warning", "warning_aside"]


@functools.cache
def _logger() -> Logger:
    from logging import getLogger  # noqa: PLC0415

    return getLogger("fastimagezmq")


def prepare() -> None:
    """Import what a record needs, for a thread that may have one when the program ends."""
    _logger()


def info(text: str, *values: object) -> None:
    """Log at INFO, as ``Logger.info`` does."""
    _logger().info(text, *values, stacklevel=2)


def warning(text: str, *values: object) -> None:
    """Log at WARNING, as ``Logger.warning`` does."""
    _logger().warning(text, *values, stacklevel=2)


def warning_aside(text: str, *values: object) -> None:
    """Log at WARNING on a thread of its own, which ends by itself.

    For threads that others wait for: a logging handler may take its time, or wait for one of
    them.
    """
    # Here, since `import fastimagezmq` would pay for it.
    from threading import Thread  # noqa: PLC0415

    thread = Thread(target=warning, args=(text, *values), name="fastimagezmq-warning", daemon=True)
    with contextlib.suppress(RuntimeError):  # the interpreter is ending
        thread.start()
