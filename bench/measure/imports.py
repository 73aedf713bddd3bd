"""How long ``import`` takes, in a fresh process, of what has been compiled to bytecode."""

from __future__ import annotations

import os
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
    # pip compiles what it installs; of a package that is used in place the first run does.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(name=name)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    return float(done.stdout)
