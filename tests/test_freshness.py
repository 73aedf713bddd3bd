"""How old what arrives is, and what memory that takes: a minute each, with figures.

``pytest -m slow -s tests/test_freshness.py`` prints them. What is asserted leaves room for a busy
machine.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

import fastimagezmq as ours
from processes import PEERS, Peer, beside
from slow_link import SlowLink

SECONDS = float(os.environ.get("FRESHNESS_SECONDS", "60"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc"),
]


def resident(process: object = "self") -> int:
    pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def told(what: str, ages: list[float], grown: int) -> None:
    middle, top = statistics.median(ages), max(ages)
    sys.stdout.write(
        f"\n{what}: age {middle * 1000:.0f} ms (median), {top * 1000:.0f} ms (most),"
        f" memory grew by {grown / 1e6:.0f} MB"
    )


@pytest.mark.parametrize("library", ["imagezmq", "fastimagezmq"])
def test_two_frames_a_second_of_a_hundred_at_720p(library: str) -> None:
    """For the figures beside: imageZMQ's hub runs here too, for a quarter of the time."""
    command = (PEERS / "slow_hub.py", library, SECONDS if library != "imagezmq" else SECONDS / 4)
    with Peer(PEERS / "publisher.py", library, 100, 1280 * 720 * 3, "a") as publisher:
        address = publisher.hear()
        with Peer(*command, address) as hub:
            ages, grown = hub.hear(300)
    told(f"{library}, 2 of 100 frames a second, 720p raw", ages, grown)
    if library == "fastimagezmq":
        assert statistics.median(ages) < 0.1
        assert grown < 40e6


def test_a_link_of_8_mbit_a_second() -> None:
    body = bytes(100_000)
    with (
        ours.ImageSender("tcp://127.0.0.1:*", REQ_REP=False, stamp=True, sndhwm=4) as sender,
        SlowLink(port_of(sender), 1e6) as link,
    ):
        address = f"tcp://127.0.0.1:{link.port}"
        options = {"RCVTIMEO": 10_000}
        with ours.ImageHub(address, REQ_REP=False, latest=True, options=options) as hub:
            end = time.monotonic() + SECONDS / 3
            before = resident()

            def publish() -> None:
                due = time.monotonic()
                while due < end:
                    sender.send_jpg("a", body)
                    due += 1 / 30
                    time.sleep(max(0.0, due - time.monotonic()))

            ages: list[float] = []
            with beside(publish):
                while time.monotonic() < end:
                    hub.recv_jpg()
                    ages += [row.age_p99 for row in hub.stats().cameras if row.age_p99]
            told("30 frames a second of 100 KB over 8 Mbit/s", ages, resident() - before)
            assert max(ages) < 5


def port_of(sender: Any) -> int:
    address: str = sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return int(address.rpartition(":")[2])


def test_raw_1080p_to_a_hub_that_stands_still() -> None:
    frame = np.zeros((1080, 1920, 3), np.uint8)
    with ours.ImageSender("tcp://127.0.0.1:*", REQ_REP=False) as sender:
        address = sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
        with Peer("-c", STANDS_STILL, address) as hub:
            sender.send_image("a", frame)
            before, grown = resident(), 0
            assert hub.hear() == "connects"
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                sender.send_image("a", frame)
                grown = max(grown, resident() - before)
                time.sleep(1 / 30)
    sys.stdout.write(f"\nraw 1080p to a hub that stands still: memory grew by {grown / 1e6:.0f} MB")
    assert grown < 150e6


STANDS_STILL = """
import sys, time, zmq
from processes import say
hub = zmq.Context().socket(zmq.SUB)
hub.rcvhwm = 1
hub.subscribe(b"")
hub.connect(sys.argv[1])
say("connects")
time.sleep(1000)
"""
