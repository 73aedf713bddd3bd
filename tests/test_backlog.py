"""How many frames wait in the queues of PUB/SUB: what fits some bytes."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import zmq

import fastimagezmq as ours
from fastimagezmq.transport.backlog import PUB_SNDBUF
from processes import PEERS, Peer

ANY_PORT = "tcp://127.0.0.1:*"


def endpoint(sender: Any) -> str:
    address: str = sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return address


def limit(sender: Any) -> int:
    return int(sender.zmq_socket.getsockopt(zmq.SNDHWM))


def test_a_senders_limit_follows_the_first_frames() -> None:
    for sizes, expected in (
        ([100_000, 120_000, 60_000], [671, 671, 671]),
        ([40_000_000], [2]),
        ([10, 6_000_000], [1000, 11]),  # a greeting, and then frames
        ([100_000] + [10] * 102, [671] * 101 + [1000] * 2),
    ):
        with ours.ImageSender(ANY_PORT, REQ_REP=False) as sender:
            assert limit(sender) == 1000
            limits = []
            for size in sizes:
                sender.send_jpg("a", bytes(size))
                limits.append(limit(sender))
            assert limits == expected


def test_a_limit_is_not_lowered_under_what_has_passed() -> None:
    """libzmq may take a queue for full then that is empty, and never come out of it."""
    with (
        ours.ImageSender(ANY_PORT, REQ_REP=False) as sender,
        ours.ImageHub(endpoint(sender), REQ_REP=False, options={"RCVTIMEO": 20_000}) as hub,
    ):
        while not hub.zmq_socket.poll(5):
            sender.send_jpg("sync", b"0")
        for number, size in enumerate([10] * 300 + [100_000] * 30 + [10] * 30 + [3_000_000] * 9):
            sender.send_jpg(number, bytes(size))
            while hub.recv_jpg()[0] != number:
                pass
        assert limit(sender) == hub.zmq_socket.rcvhwm == 671  # 22 would be of 3 MB


def test_a_hubs_limit_follows_the_first_frames() -> None:
    for size, expected in ((1000, 1000), (1_000_000, 67)):
        with (
            ours.ImageSender(ANY_PORT, REQ_REP=False) as sender,
            ours.ImageHub(endpoint(sender), REQ_REP=False) as hub,
            ours.ImageHub(endpoint(sender), REQ_REP=False, rcvhwm=500) as other,
        ):
            for one in (hub, other):
                while not one.zmq_socket.poll(5):
                    sender.send_jpg("a", bytes(size))
                one.recv_jpg()
            assert hub.zmq_socket.rcvhwm == expected
            assert other.zmq_socket.rcvhwm == 500


def test_what_the_program_sets_is_left_alone() -> None:
    big = bytes(6_000_000)
    with ours.ImageSender(ANY_PORT, REQ_REP=False, sndhwm=7) as sender:
        sender.send_jpg("a", big)
        assert limit(sender) == 7
        assert sender.zmq_socket.getsockopt(zmq.SNDBUF) == PUB_SNDBUF
    with ours.ImageSender(ANY_PORT, REQ_REP=False, options={"SNDHWM": 1000}) as sender:
        sender.send_jpg("a", big)
        assert limit(sender) == 1000
    with ours.ImageSender(ANY_PORT, REQ_REP=False, options={"SNDBUF": 5000}) as sender:
        assert sender.zmq_socket.getsockopt(zmq.SNDBUF) == 5000
        sender.zmq_socket.setsockopt(zmq.SNDHWM, 500)
        sender.send_jpg("a", big)
        assert limit(sender) == 500
    with ours.ImageSender(endpoint_of_nobody()) as sender:
        assert sender.zmq_socket.getsockopt(zmq.SNDBUF) == -1


def endpoint_of_nobody() -> str:
    return "tcp://127.0.0.1:9"


def test_a_hub_that_connects_later_has_the_limit_too() -> None:
    """It would be given the mark of the time when the socket was bound, 1000."""
    frame = bytes(20_000_000)
    with (
        ours.ImageSender(ANY_PORT, REQ_REP=False) as sender,
        zmq.Context() as context,
        context.socket(zmq.SUB) as late,
    ):
        for _ in range(10):
            sender.send_jpg("nobody", frame)
        late.linger = 0
        late.rcvhwm = 1
        late.subscribe(b"")
        late.connect(endpoint(sender))
        while not late.poll(5):
            sender.send_jpg("sync", b"")
        before = resident()
        for _ in range(30):
            sender.send_jpg("a", bytearray(frame))
        # Three frames wait, of 600 MB; of those dropped pyzmq's thread lets go when it can.
        assert resident() - before < 400_000_000


def resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def test_a_slow_hub_keeps_64_mb() -> None:
    """Of frames of 2 MB it has 33 and what is under way; 1000 would wait with imageZMQ."""
    frame = bytes(2_000_000)
    with (
        ours.ImageSender(ANY_PORT, REQ_REP=False, sndhwm=1000) as sender,
        ours.ImageHub(endpoint(sender), REQ_REP=False, options={"RCVTIMEO": 20_000}) as hub,
    ):
        while not hub.zmq_socket.poll(5):
            sender.send_jpg("sync", frame)
        hub.recv_jpg()
        for number in range(200):
            sender.send_jpg(
                number,
                frame,
            )
        while hub.recv_jpg()[0] != 0:
            pass
        time.sleep(0.3)  # whatever can come has come
        sender.close()  # the rest is gone within a second
        time.sleep(1)
        hub.zmq_socket.rcvtimeo = 100
        count = 0
        with contextlib.suppress(zmq.Again):
            while hub.recv_jpg():
                count += 1
        assert 20 < count < 80


def test_hubs_that_come_and_go_crash_nothing() -> None:
    with Peer(PEERS / "deserted.py", "2") as sender:
        assert sender.hear(10) > 0
        assert sender.end() == 0
