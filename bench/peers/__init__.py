"""How each library sends and receives a frame: one module a library, all with one surface.

``Sender(address, setting)`` has ``address``, ``send(message, image)`` and ``flush()``;
``Hub(address, setting)`` has ``address``, ``receive()`` and ``reply()``; an address of None
means: any free port of loopback. ``unavailable(setting)`` says why the installed library
cannot do what a setting asks for, or gives None.

A sender binds for PUB/SUB, a hub for REQ/REP. ``send`` includes the encoding and, for
REQ/REP, the reply; ``receive`` includes the decoding.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

ANY_PORT = "tcp://127.0.0.1:*"
REQ_REP = "REQ/REP"
PUB_SUB = "PUB/SUB"

QUEUE = 4
"""High-water mark of both ends for PUB/SUB, so that a fast sender cannot fill the memory."""


@dataclass(frozen=True)
class Setting:
    """What is to be sent, and how."""

    pattern: str = REQ_REP
    quality: int | None = None
    """Of JPEG; None: raw pixels."""
    options: dict[str, Any] = field(default_factory=dict)
    """What a variant asks of its library, by that library's names."""

    @property
    def replies(self) -> bool:
        """Whether a hub answers each frame."""
        return self.pattern == REQ_REP


def load(peer: str) -> Any:
    """Import the module of a peer, and with it the library."""
    return importlib.import_module(f"{__name__}.with_{peer}")


def unavailable(peer: str, setting: Setting) -> str | None:
    """Tell why a peer cannot be measured here; None if it can."""
    try:
        reason: str | None = load(peer).unavailable(setting)
    except ImportError as error:
        return f"{error.name} is not installed"
    return reason
