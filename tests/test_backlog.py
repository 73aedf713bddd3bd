"""A PUB sender lets little wait for a hub whose link is slow, and bursts pass on a fast one."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

import fastimagezmq as ours
from fastimagezmq import _codec
from fastimagezmq.transport.backlog import PUB_SNDBUF, Backlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANY_PORT = "tcp://127.0.0.1:*"
FRAME = np.zeros(100_000, np.uint8)


def limit(sender: Any) -> int:
    return int(sender.zmq_socket.getsockopt(zmq.SNDHWM))


def sends_until(sender: Any, true: Callable[[], bool], seconds: float = 25) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"SNDHWM is {limit(sender)}"
        sender.send_image("a", FRAME)
        time.sleep(0.005)


@contextlib.contextmanager
def slow_reader(sender: Any) -> Iterator[Any]:
    """Give a SUB socket that takes little on its own, and is connected."""
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.linger = 0
        sub.rcvhwm = 1
        sub.rcvbuf = 65536
        sub.subscribe(b"")
        sub.connect(sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
        while not sub.poll(5):
            sender.send_jpg("sync", b"")
        yield sub


def test_a_hub_that_stands_still_has_little_wait_for_it_until_it_goes_on() -> None:
    with ours.ImageSender(ANY_PORT, REQ_REP=False) as sender, slow_reader(sender) as sub:
        sends_until(sender, lambda: limit(sender) == 2)
        for _ in range(100):
            sender.send_image("a", FRAME)
        # What waited before the limit was lowered; 100 more would be 10 MB.
        assert _codec.pool_stats().leases < 100

        def read_on() -> bool:
            while sub.poll(0):
                sub.recv_multipart()
            return limit(sender) >= 8

        sends_until(sender, read_on)


def test_a_burst_arrives_whole() -> None:
    with (
        ours.ImageSender(ANY_PORT, REQ_REP=False) as sender,
        ours.ImageHub(
            sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT),
            REQ_REP=False,
            options={"RCVTIMEO": 20_000},
        ) as hub,
    ):
        while not hub.zmq_socket.poll(5):
            sender.send_jpg("sync", b"")
        for number in range(300):
            sender.send_image(number, FRAME)
        numbers = []
        while not numbers or numbers[-1] != 299:
            message, _ = hub.recv_jpg()
            if message != "sync":
                numbers.append(message)
        assert numbers == list(range(300))


def test_an_array_that_is_written_to_again_is_sent_as_it_was() -> None:
    """Also one that is watched, which libzmq reads in place."""
    for size in (5000, 100_000):
        array = np.zeros(size, np.uint8)
        with (
            ours.ImageSender(ANY_PORT, REQ_REP=False) as sender,
            ours.ImageHub(
                sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT), REQ_REP=False
            ) as hub,
        ):
            while not hub.zmq_socket.poll(5):
                sender.send_image(0, array)
            for number in range(1, 60):
                array[:] = number
                sender.send_image(number, array)
            array[:] = 99
            message = None
            while message != 59:
                message, image = hub.recv_image()
                assert (image == message).all()


def test_the_limit_follows_the_size_of_frames() -> None:
    with ours.ImageSender(ANY_PORT, REQ_REP=False) as sender:
        assert limit(sender) == 1000
        for size, expected in ((6_000_000, 11), (5_000_000, 11), (40_000_000, 2), (1000, 1000)):
            sender.send_image("a", np.zeros(size, np.uint8))
            assert limit(sender) == expected
        sender.send_jpg("empty", b"")
        assert limit(sender) == 1000


def test_what_the_program_sets_is_left_alone() -> None:
    big = np.zeros(6_000_000, np.uint8)
    with ours.ImageSender(ANY_PORT, REQ_REP=False, sndhwm=7) as sender:
        sender.send_image("a", big)
        assert limit(sender) == 7
        assert sender.zmq_socket.getsockopt(zmq.SNDBUF) == PUB_SNDBUF
    with ours.ImageSender(ANY_PORT, REQ_REP=False, options={"SNDBUF": 5000}) as sender:
        assert sender.zmq_socket.getsockopt(zmq.SNDBUF) == 5000
        sender.send_image("a", big)
        sender.zmq_socket.setsockopt(zmq.SNDHWM, 500)
        sender.send_image("a", FRAME)
        sender.send_image("a", big)
        assert limit(sender) == 500


class Socket:
    """What a Backlog sees of a socket."""

    def __init__(self) -> None:
        self.limit = 1000

    def getsockopt(self, option: int) -> int:
        assert option == zmq.SNDHWM
        return self.limit

    def setsockopt(self, option: int, value: int) -> None:
        assert option == zmq.SNDHWM
        self.limit = value


def test_the_rule_by_a_clock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    socket = Socket()
    backlog = Backlog(socket)  # type: ignore[arg-type]
    kept: list[Any] = []  # what libzmq has not read yet

    def send(interval: float, held: bool) -> bool:
        nonlocal now
        body, in_place = backlog.watch(bytes(100_000))
        if in_place and held:
            kept.append(body)
        now += interval
        return in_place

    assert send(0.03, held=True)
    assert socket.limit == 671
    for _ in range(5):
        assert not send(0.03, held=True)
    assert socket.limit == 671
    send(0.03, held=True)  # 0.18 s
    assert socket.limit == 3  # half of what was sent since
    for _ in range(6):
        send(0.03, held=True)  # late still, as long again
    assert socket.limit == 2
    kept.clear()
    for _ in range(20):  # it left late
        send(0.03, held=False)
    assert socket.limit == 2
    for _ in range(20):  # after a second, doubled each second
        send(0.03, held=False)
    assert socket.limit == 4
    for _ in range(400):
        send(0.03, held=False)
    assert socket.limit == 671
    assert send(10, held=True)  # a program that pauses, and what it sent has left meanwhile
    kept.clear()
    send(10, held=False)
    assert socket.limit == 671
