"""What child processes of tests do; each gets a pipe to the parent."""

from __future__ import annotations

import os
import time
from typing import Any


def echo(pipe: Any) -> None:
    pipe.send(pipe.recv())


def die(status: int, pipe: Any) -> None:
    os._exit(status)


def fail(pipe: Any) -> None:
    raise ValueError("a reason")


def be_silent(pipe: Any) -> None:
    time.sleep(60)
