"""Loops over a hub until Ctrl-C."""

from __future__ import annotations

from fastimagezmq import ImageHub
from processes import say

with ImageHub("tcp://127.0.0.1:*") as hub:
    say("waiting")
    try:
        for _ in hub:
            pass
    except KeyboardInterrupt:
        say("interrupted")
