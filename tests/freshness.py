"""How old what arrives is, and what memory that takes: for test_freshness.py and make soak."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from processes import PEERS, Peer
from slow_link import SlowLink
from two_hosts import HERE, Refused, TwoHosts

if TYPE_CHECKING:
    from types import TracebackType

BITS_A_SECOND = 8_000_000


def resident(process: object = "self") -> int:
    """Give the resident memory of a process in bytes."""
    pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


class Growth:
    """By how many bytes the memory of processes grows while the block runs, at most."""

    def __init__(self, *peers: Peer) -> None:
        self._processes = [peer.process.pid for peer in peers]
        self.most = [0] * len(peers)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        before = [resident(process) for process in self._processes]
        while not self._ended.wait(0.05):
            for at, process in enumerate(self._processes):
                with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                    self.most[at] = max(self.most[at], resident(process) - before[at])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()


class Freshness(NamedTuple):
    """What was seen of a stream."""

    ages: list[float]
    """Seconds, of what the hub's program got."""
    publisher_grew: int
    hub_grew: int

    def __str__(self) -> str:
        ages = ""
        if self.ages:
            middle, top = statistics.median(self.ages), max(self.ages)
            ages = f"{_seconds(middle)}, {_seconds(top)}, of {len(self.ages)} frames"
        return f"{ages} | {self.publisher_grew / 1e6:.0f} MB, {self.hub_grew / 1e6:.0f} MB"


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def slow_subscriber(library: str, seconds: float) -> Freshness:
    """Publish raw 720p, a hundred frames a second, to a hub that looks twice a second."""
    with Peer(PEERS / "publisher.py", library, 100, 1280 * 720 * 3, "a") as publisher:
        return _seen(library, publisher, publisher.hear(), seconds, 0.5)


def slow_link(library: str, seconds: float, **options: Any) -> tuple[Freshness, str]:
    """Publish 30 frames of 100 KB a second over 8 Mbit/s; tells also what the link was."""
    command = (PEERS / "publisher.py", library, 30, 100_000, "a")
    environment = {"PUBLISHER_OPTIONS": json.dumps(options)}
    with contextlib.ExitStack() as stack:
        try:
            hosts = stack.enter_context(TwoHosts())
            hosts.limit(BITS_A_SECOND)
        except Refused as refused:
            publisher = stack.enter_context(Peer(*command, **environment))
            port = int(publisher.hear().rpartition(":")[2])
            link = stack.enter_context(SlowLink(port, BITS_A_SECOND / 8))
            address, there, what = f"tcp://127.0.0.1:{link.port}", [], f"a relay: {refused}"
        else:
            environment["PUBLISHER_ADDRESS"] = f"tcp://{HERE}:*"
            publisher = stack.enter_context(Peer(*command, within=hosts.here, **environment))
            address, there, what = publisher.hear(), hosts.there, "two network namespaces"
        return _seen(library, publisher, address, seconds, 0, within=there), what


def stalled_hub(seconds: float) -> Freshness:
    """Publish raw 1080p, 30 frames a second, to a hub that reads nothing."""
    with (
        Peer(PEERS / "publisher.py", "fastimagezmq", 30, 1920 * 1080 * 3, "a") as publisher,
        Peer(PEERS / "stalled_hub.py", publisher.hear()) as hub,
    ):
        assert hub.hear() == "connected"
        with Growth(publisher, hub) as growth:
            threading.Event().wait(seconds)
        return Freshness([], *growth.most)


def _seen(
    library: str, publisher: Peer, address: str, seconds: float, pause: float, **where: Any
) -> Freshness:
    command = (PEERS / "slow_hub.py", library, seconds, address, pause)
    with Peer(*command, **where) as hub:
        hub.hear(60)
        with Growth(publisher, hub) as growth:
            ages = hub.hear(5 * seconds + 60)
        return Freshness(ages, *growth.most)
