"""Fresh processes that are talked to over pipes, and whose death is noticed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_SPAWN = multiprocessing.get_context("spawn")


class ChildError(Exception):
    """A child process failed, died, or said nothing for too long."""


class Child:
    """A process that runs ``work(*arguments, pipe)``; it is dead when the block is left."""

    def __init__(self, name: str, work: Callable[..., None], *arguments: Any) -> None:
        self.name = name
        self.pipe, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_run, args=(work, arguments, theirs), daemon=True)
        self.process.start()
        theirs.close()  # now reading ends when the process does

    def hear(self, deadline: float) -> Any:
        """Give the next thing that the process says.

        Raises:
            ChildError: it has ended, or the deadline (of ``time.monotonic``) has passed.
        """
        return hear_any([self], deadline)[1]

    def tell(self, what: Any) -> None:
        """Say something to the process; one that has ended does not hear it."""
        with contextlib.suppress(OSError):
            self.pipe.send(what)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


def hear_any(children: list[Child], deadline: float) -> tuple[Child, Any]:
    """Give the child that speaks first, and what it says; errors as ``Child.hear``."""
    by_pipe: dict[Any, Child] = {child.pipe: child for child in children}
    spoke = wait(list(by_pipe), max(0, deadline - time.monotonic()))
    names = " and ".join(child.name for child in children)
    if not spoke:
        raise ChildError(f"the {names} said nothing in time")
    child = by_pipe[spoke[0]]
    try:
        what = child.pipe.recv()
    except (EOFError, ConnectionError):
        child.process.join(1)
        raise ChildError(f"the {child.name} ended, exit status {child.process.exitcode}") from None
    if isinstance(what, ChildError):
        raise ChildError(f"the {child.name} failed: {what}")
    return child, what


def _run(work: Callable[..., None], arguments: tuple[Any, ...], pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process sees to Ctrl-C
    try:
        work(*arguments, pipe)
    except (EOFError, BrokenPipeError):  # the parent has gone
        os._exit(1)
    except BaseException as error:
        traceback.print_exc()
        pipe.send(ChildError(f"{type(error).__name__}: {error}"))
    sys.stderr.flush()
    # Some libraries' threads and sockets never end by themselves.
    os._exit(0)
