"""How long ``import`` takes, in a fresh process."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import time
began = time.perf_counter()
import {name}
print(time.perf_counter() - began)
"""


def run(name: str) -> float:
    """Give the seconds that importing a package takes, with all that it imports itself."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(name=name)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return float(done.stdout)
