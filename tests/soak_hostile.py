"""What one hostile sender does to the others of its hub, and to the hub: figures of make soak.

``soak_hostile.py [SECONDS]`` prints the rows of the second table in docs/reliability.md. It ends
with status 1 when an honest sender hangs, or gets through less than a fifth of what it should;
the rates themselves are for the reader.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zmq

from fastimagezmq import ImageHub, ImageSender
from processes import PEERS, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMERAS, FPS, SIZE = 63, 5, 50_000
LEAST = 0.9 / 5
"""Part of its frames that an honest sender must get through: the promise, with a margin."""

GROWTH_MB = 200

KINDS = {
    None: "",
    "flood": "; one more floods with messages that are no frames",
    "vanishing": "; one more vanishes within messages, again and again",
    "half_open": "; one more keeps 200 connections half open",
    "noise": "; one more connects and says random bytes",
    "undelimited": "; one more floods, also with messages without delimiter",
    "babble": "; one more says random bytes also after a handshake",
}


@contextlib.contextmanager
def served(**arguments: Any) -> Iterator[tuple[ImageHub, int]]:
    """A hub, and its port, that answers each frame."""

    def serve() -> None:
        for _ in hub:
            pass

    with ImageHub("tcp://127.0.0.1:*", **arguments) as hub:
        address = hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
        thread = threading.Thread(target=serve)
        thread.start()
        yield hub, int(address.rpartition(":")[2])
    thread.join()


def many_senders(kind: str | None, what: str, seconds: int, *, latest: bool) -> bool:
    """Measure what honest senders get through beside a hostile one."""
    key = "name" if latest else None
    with served(latest=latest, key=key) as (hub, port), contextlib.ExitStack() as stack:
        if kind is not None:
            hostile = stack.enter_context(Peer(PEERS / "hostile.py", kind, port))
            hostile.hear()
        cameras = Peer(PEERS / "cameras.py", port, CAMERAS, FPS, seconds, SIZE)
        stack.enter_context(cameras)
        cameras.hear(60)
        told = cameras.hear(3 * seconds + 60)
        stats = hub.stats()
    rates = sorted(count / (FPS * seconds) for count in told["answered"])
    print(
        f"| {'`latest=True`: ' if latest else ''}{CAMERAS} honest senders, {FPS} fps x {SIZE}"
        f" bytes each, {seconds} s{what} | the slowest {rates[0]:.0%} of its rate, the"
        f" median {rates[len(rates) // 2]:.0%}; {told['hang']} hang; {stats.malformed} malformed"
        " messages counted |",
        flush=True,
    )
    return not told["hang"] and rates[0] >= LEAST


def many_publishers(kind: str, seconds: int, *, latest: bool) -> bool:
    """Measure what a SUB hub gets of honest publishers beside a hostile one."""
    count, image = 7, np.zeros(SIZE, np.uint8)
    ended = threading.Event()

    def publish(sender: ImageSender, name: str) -> None:
        began, number = time.monotonic(), 0
        while not ended.wait(max(0.0, began + number / FPS - time.monotonic())):
            sender.send_image({"name": name, "number": number}, image)
            number += 1

    numbers: dict[str, list[int]] = {}
    with contextlib.ExitStack() as stack:
        hostile = stack.enter_context(Peer(PEERS / "hostile_publisher.py", kind))
        address = f"tcp://127.0.0.1:{hostile.hear()}"
        key = "name" if latest else None
        hub = stack.enter_context(
            ImageHub(address, REQ_REP=False, timeout=10, latest=latest, key=key)
        )
        threads = []
        for number in range(count):
            sender = stack.enter_context(ImageSender("tcp://127.0.0.1:*", REQ_REP=False))
            hub.connect(sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
            threads.append(threading.Thread(target=publish, args=(sender, str(number))))
            threads[-1].start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            message = hub.recv_image()[0]
            if message != "hostile":
                numbers.setdefault(message["name"], []).append(message["number"])
        ended.set()
        for thread in threads:
            thread.join()
        stats = hub.stats()
    rates = sorted(len(got) / (got[-1] - got[0] + 1) for got in numbers.values())
    print(
        f"| {'`latest=True`: ' if latest else ''}a SUB hub, {count} honest publishers, {FPS} fps x"
        f" {SIZE} bytes each, {seconds} s; one more: {kind} | of the slowest {rates[0]:.0%} of its"
        f" frames arrive; {stats.malformed} malformed messages and {stats.cut} cuts counted |",
        flush=True,
    )
    return len(rates) == count and rates[0] >= 0.9


def half_open_connections() -> bool:
    """Measure how long a plain hub keeps connections that say nothing."""
    count = 300
    with served() as (_, port):
        before = descriptors()
        with contextlib.ExitStack() as stack:
            began = time.monotonic()
            for _ in range(count):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            most = 0
            while time.monotonic() - began < 4:
                most = max(most, descriptors() - before - count)
                time.sleep(0.05)
            while descriptors() - before - count > 0 and time.monotonic() - began < 60:
                time.sleep(0.05)
            seconds = time.monotonic() - began
    print(
        f"| {count} connections that say nothing | {most} descriptors of the hub's process, given"
        f" back after {seconds:.1f} s |",
        flush=True,
    )
    return seconds < 60


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))


def resident_mb() -> float:
    """What this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def unfinished_messages(limits: dict[str, int], what: str) -> bool:
    """Measure what messages of ever more parts take; each peer stops at GROWTH_MB and is killed."""
    grown: list[float] = []
    with served(options=limits) as (_, port):
        before = resident_mb()
        for _ in range(3):  # what one has left is taken again for the next
            with Peer(PEERS / "hostile.py", "endless", port, GROWTH_MB * 1_000_000) as hostile:
                hostile.hear()
                seconds = hostile.hear(60)
                time.sleep(0.5)
                grown.append(resident_mb() - before)
            time.sleep(1)
        left = resident_mb() - before
    print(
        f"| a message without end{what}, {GROWTH_MB} MB of it in {seconds:.1f} s; and twice more,"
        f" when its peer has gone | the hub's process grows by"
        f" {', '.join(f'{megabytes:.0f}' for megabytes in grown)} MB; {left:.0f} MB stay |",
        flush=True,
    )
    return grown[-1] < 2 * GROWTH_MB


def main() -> int:
    """Print the table's rows; 1 if something went wrong."""
    (seconds,) = [int(argument) for argument in sys.argv[1:]] or (10,)
    results = [many_senders(kind, what, seconds, latest=False) for kind, what in KINDS.items()]
    results += [many_senders(kind, what, seconds, latest=True) for kind, what in KINDS.items()]
    results += [
        many_publishers(kind, seconds, latest=latest)
        for latest in (False, True)
        for kind in ("flood", "vanishing", "noise")
    ]
    if sys.platform == "linux":
        results += [
            half_open_connections(),
            unfinished_messages({}, ""),
            unfinished_messages({"MAXMSGSIZE": 2_000_000}, ", `MAXMSGSIZE` 2 MB"),
        ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
