"""What every test leaves behind is looked at here: no socket, no lease.

And here it is settled that this process has eight threads for a JPEG, however few CPUs.
"""

from __future__ import annotations

import gc
import signal
import socket
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from fastimagezmq import _codec
from fastimagezmq.transport import SerializingContext

if TYPE_CHECKING:
    from collections.abc import Iterator

# The tests try the same examples each time, `make fuzz` new ones. A sanitizer may be slow.
settings.register_profile("tests", max_examples=150, deadline=None, derandomize=True)
settings.register_profile(
    "fuzz",
    max_examples=300,
    deadline=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")


# A shell ignores SIGINT in what it starts in the background, and the processes that tests start
# would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


with pytest.MonkeyPatch.context() as patch:  # gone before the tests start other processes
    patch.setenv("FASTIMAGEZMQ_THREADS", "8")
    assert _codec.thread_count() == 8


def pytest_collection_finish() -> None:
    """Take what was imported out of every later collection's way."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_alive(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After each test no socket is open, no context alive, and no lease held."""
    made: list[weakref.ref[Any]] = []
    original = SerializingContext._add_socket

    def recording(self: SerializingContext, made_socket: Any) -> None:
        made.append(weakref.ref(made_socket))
        made.append(weakref.ref(self))
        original(self, made_socket)

    monkeypatch.setattr(SerializingContext, "_add_socket", recording)
    yield
    if made or _codec.pool_stats().leases:
        gc.collect()
    alive = [thing for ref in made if (thing := ref()) is not None and not thing.closed]
    assert not alive, f"left open: {alive}"
    # Bodies that were sent are given back by a thread of pyzmq's: shortly after.
    deadline = time.monotonic() + 5
    while _codec.pool_stats().leases and time.monotonic() < deadline:
        time.sleep(0.005)
        gc.collect()
    assert _codec.pool_stats().leases == 0, "a lease is still held"


@pytest.fixture
def port() -> int:
    """A TCP port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def address(port: int) -> str:
    """An address to connect to, and to bind, on loopback."""
    return f"tcp://127.0.0.1:{port}"
