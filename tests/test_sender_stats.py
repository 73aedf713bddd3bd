"""sender.stats() tells which stage the frames' time goes to."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fastimagezmq import ImageHub, ImageSender, SenderStats, encode_jpeg
from fastimagezmq.sender_stats import times_of
from processes import beside

if TYPE_CHECKING:
    from collections.abc import Iterator

PICTURE = np.zeros((48, 64, 3), np.uint8)
PAUSE = 0.03
FRAMES = 10


@contextlib.contextmanager
def streaming(
    address: str, *, hub_pause: float = 0, frames: int = FRAMES, **options: Any
) -> Iterator[ImageSender]:
    """A sender whose hub takes so many frames, and so long over each."""

    def serve() -> None:
        with ImageHub(address, timeout=10) as hub:
            for _ in range(frames):
                hub.recv_image()
                time.sleep(hub_pause)
                hub.send_reply()

    with beside(serve), ImageSender(address, **options) as sender:
        yield sender


def send(sender: ImageSender, pause: float = 0, frames: int = FRAMES) -> SenderStats:
    for _ in range(frames):
        sender.send_image("camera", PICTURE)
        time.sleep(pause)
    assert sender.flush(10)
    return sender.stats()


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_slow_camera(in_flight: int, address: str) -> None:
    with streaming(address, jpeg=80, in_flight=in_flight) as sender:
        times = send(sender, pause=PAUSE).times
    assert times.slowest == "program"
    assert times.program is not None
    assert PAUSE <= times.program.p50 <= times.program.p99
    assert times.encode is not None
    assert times.encode.p50 > 0
    assert (times.room is None) == (in_flight == 1)


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_slow_hub(in_flight: int, address: str) -> None:
    with streaming(address, hub_pause=PAUSE, in_flight=in_flight) as sender:
        times = send(sender).times
    assert times.slowest == "reply"
    assert times.encode is None
    assert times.reply is not None
    assert times.reply.p50 >= PAUSE
    assert times.window == in_flight


def test_blobs_count_too(address: str) -> None:
    with streaming(address, frames=2) as sender:
        for _ in range(2):
            sender.send_jpg("camera", encode_jpeg(PICTURE))
        assert sender.stats().times.reply is not None


def test_a_pub_sender_has_no_reply() -> None:
    with ImageSender("tcp://127.0.0.1:*", REQ_REP=False) as sender:
        times = send(sender, pause=0.002).times
    assert times.slowest == "program"
    assert times.send is not None
    assert times[1:3] == (None, None)
    assert times.reply is None


def test_only_the_last_frames_are_kept(address: str) -> None:
    with streaming(address, frames=300) as sender:
        first = send(sender, pause=PAUSE, frames=1)
        assert first.times.program is None
        assert first.times.slowest is None
        before = send(sender, pause=0.01, frames=20).times.program
        after = send(sender, frames=279).times.program
    assert before is not None
    assert after is not None
    assert before.p99 >= PAUSE > after.p50


def test_the_table(address: str) -> None:
    with streaming(address, jpeg=80) as sender:
        assert str(sender.stats()).splitlines() == [
            "sent 0, acknowledged 0, dropped 0, waiting 0, resent 0"
        ]
        lines = str(send(sender, pause=PAUSE)).splitlines()
    assert lines[0] == "sent 10, acknowledged 10, dropped 0, waiting 0, resent 0"
    assert [line.split()[0] for line in lines[1:]] == [
        "stage",
        "program",
        "encode",
        "send",
        "reply",
    ]
    assert [line.split()[0] for line in lines if "slowest" in line] == ["program"]
    assert max(map(len, lines)) <= 80


def test_percentiles() -> None:
    trips = [(0.0, 0.0, 0.0, float(number)) for number in range(1, 102)]
    times = times_of([], trips, encodes=False, answers=True)
    assert times.reply == (51.0, 100.0)
    assert times.program is None
