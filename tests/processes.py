"""What runs beside a test: processes, talked to in lines of JSON, and threads."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

TESTS = Path(__file__).parent
PEERS = TESTS / "peers"

_ENDED = object()


class Peer:
    """A Python process; it is dead and waited for when the ``with`` block is left.

    Children that it has forked and that still live then are killed with it.

    What it prints is read here all the time, so it never stands still for a full pipe.
    """

    def __init__(self, *command: object, within: Sequence[str] = (), **environment: str) -> None:
        """``within``: words before the command, such as those of ``TwoHosts``."""
        self.process = subprocess.Popen(
            [*within, sys.executable, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # its own children end with it, see __exit__
            env=os.environ | {"PYTHONPATH": str(TESTS), "PYTHONUNBUFFERED": "1"} | environment,
        )
        self._lines: queue.Queue[Any] = queue.Queue()
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_output, args=(self.process.stdout,)),
            threading.Thread(target=self._read_errors, args=(self.process.stderr,)),
        ]
        for reader in self._readers:
            reader.start()

    def _read_output(self, pipe: IO[str]) -> None:
        for line in pipe:
            self._lines.put(line)
        self._lines.put(_ENDED)

    def _read_errors(self, pipe: IO[str]) -> None:
        self._errors.extend(pipe)

    def hear(self, timeout: float = 20) -> Any:
        """Give the next thing that the process says."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"nothing heard for {timeout} s; {self.errors}") from None
        if line is _ENDED:
            self._lines.put(_ENDED)
            raise AssertionError(f"the process has ended: {self.errors}")
        return json.loads(line)

    def hear_until(self, last: object, timeout: float = 20) -> list[Any]:
        """Give all that the process says before ``last``."""
        heard: list[Any] = []
        while (what := self.hear(timeout)) != last:
            heard.append(what)
        return heard

    def tell(self, what: object = None) -> None:
        """Say something to the process, which it reads from its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def end(self, timeout: float = 20) -> int:
        """Wait for the process to end by itself; gives its exit status."""
        return self.process.wait(timeout)

    @property
    def errors(self) -> str:
        """What the process has written to stderr."""
        if self.process.poll() is not None:
            self._readers[1].join(10)
        return "".join(self._errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


def say(what: object) -> None:
    """Say something to the test that runs this process."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def beside(work: Callable[[], Any]) -> Iterator[concurrent.futures.Future[Any]]:
    """Run ``work`` on a thread while the block runs; what it raises is raised at the end.

    When the block fails, nobody waits for the thread: closing what it uses will wake it.
    """
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield future
    future.result(10)
    thread.join()
