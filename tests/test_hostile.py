"""One peer that means harm does none to the others, whatever it does to the hub they share."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagezmq
import numpy as np
import pytest
import zmq

from fastimagezmq import HubTimeout, ImageHub, ImageSender, WireError
from processes import PEERS, Peer, beside

if TYPE_CHECKING:
    from collections.abc import Iterator

ANY_PORT = "tcp://127.0.0.1:*"
AT_MOST = 10.0
"""Seconds for a single frame to arrive: a hundred times what it takes beside these peers."""

SENDERS = 3
FRAMES = 30
PIXELS = np.random.default_rng(1).integers(0, 256, (FRAMES, 50_000), np.uint8)
DESCRIPTORS = Path("/proc/self/fd")

both = pytest.mark.parametrize("latest", [False, True], ids=["plain", "latest"])
posix = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")


def port_of(hub: ImageHub) -> int:
    address: str = hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return int(address.rpartition(":")[2])


def opened(latest: bool, **arguments: Any) -> ImageHub:
    key = "name" if latest else None
    return ImageHub(ANY_PORT, timeout=AT_MOST, latest=latest, key=key, **arguments)


def stream(name: str, port: int) -> list[bytes]:
    """Send all frames as an honest sender does; gives the replies."""
    with ImageSender(f"tcp://127.0.0.1:{port}", timeout=AT_MOST) as sender:
        return [
            sender.send_image({"name": name, "number": number, "crc": zlib.crc32(image)}, image)
            for number, image in enumerate(PIXELS)
        ]


@contextlib.contextmanager
def honest(port: int) -> Iterator[None]:
    """Honest senders beside a block; each must have got the reply to each of its frames."""
    with contextlib.ExitStack() as stack:
        names = [f"honest {number}" for number in range(SENDERS)]
        replies = [
            stack.enter_context(beside(lambda name=name: stream(name, port)))  # type: ignore[misc]
            for name in names
        ]
        yield
    for name, got in zip(names, replies, strict=True):
        assert got.result() == [f"{name} {number}".encode() for number in range(FRAMES)]


def take(hub: ImageHub, count: int = SENDERS * FRAMES) -> None:
    """Receive so many frames, look at their pixels, and answer them."""
    for _ in range(count):
        message, image = hub.recv_image()
        assert zlib.crc32(image) == message["crc"]
        hub.send_reply(f"{message['name']} {message['number']}".encode())


FLOODS = ("flood", "undelimited")
HARMLESS = [
    (kind, latest)
    for kind in (*FLOODS, "vanishing", "half_open", "noise", "babble")
    for latest in (False, True)
]


@pytest.mark.parametrize(("kind", "latest"), HARMLESS)
def test_honest_senders_go_on_beside(kind: str, latest: bool) -> None:
    with opened(latest) as hub, Peer(PEERS / "hostile.py", kind, port_of(hub)) as hostile:
        assert hostile.hear() == "began"
        if kind in FLOODS:
            deadline = time.monotonic() + AT_MOST
            while not (hub.poll(0.01) or hub.stats().malformed):
                assert time.monotonic() < deadline
        with honest(port_of(hub)):
            take(hub)
        assert hostile.process.poll() is None, hostile.errors
        stats = hub.stats()
        assert stats.received == SENDERS * FRAMES
        if kind in FLOODS:
            assert stats.malformed > 0
        if kind in ("vanishing", "half_open"):  # of these no message is ever whole
            assert stats.malformed == 0


# --- messages without delimiter: a REP of libzmq 4.3.5 loses replies of others by them ---


def a_reply_arrives(hub: ImageHub) -> bool:
    """Whether an honest sender is answered."""
    address = f"tcp://127.0.0.1:{port_of(hub)}"
    with ImageSender(address, timeout=2) as sender, beside(lambda: take(hub, 1)):
        image = PIXELS[0]
        message = {"name": "honest", "number": 0, "crc": zlib.crc32(image)}
        try:
            return bool(sender.send_image(message, image) == b"honest 0")
        except HubTimeout:
            return False


def send_undelimited(port: int, *parts: bytes) -> None:
    """Send a message without delimiter, and be gone."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.connect(f"tcp://127.0.0.1:{port}")
        dealer.send_multipart(parts)


@both
def test_a_message_without_delimiter_of_a_peer_that_has_gone(latest: bool) -> None:
    with opened(latest) as hub:
        for number in range(5):
            send_undelimited(port_of(hub), *[b"no delimiter"] * (number + 1))
            time.sleep(0.1)  # until the hub's thread knows that the peer has gone
            assert a_reply_arrives(hub)
        if not latest:
            assert hub.stats().malformed == 5


def test_a_message_without_delimiter_of_a_peer_whose_replies_are_full() -> None:
    limits = {"SNDHWM": 1, "SNDBUF": 4096}
    with (
        opened(latest=False, options=limits) as hub,
        zmq.Context() as context,
        context.socket(zmq.DEALER) as silent,
    ):
        silent.linger, silent.rcvhwm, silent.rcvbuf = 0, 1, 4096
        silent.connect(f"tcp://127.0.0.1:{port_of(hub)}")
        header = json.dumps({"dtype": "uint8", "shape": [3], "msg": {"name": "silent"}})
        for _ in range(50):
            silent.send_multipart([b"", header.encode(), b"abc"])
            hub.recv_image()
            hub.send_reply(bytes(200_000))
        for _ in range(3):
            silent.send(b"no delimiter")
            time.sleep(0.1)
            assert a_reply_arrives(hub)
        assert hub.stats().malformed == 3


@both
def test_messages_without_delimiter_among_honest_senders(latest: bool) -> None:
    """Who sends with imageZMQ, too, gets each of its replies."""
    undelimited = 200

    def stream_with_imagezmq() -> list[bytes]:
        with imagezmq.ImageSender(f"tcp://127.0.0.1:{port_of(hub)}") as sender:
            sender.zmq_socket.setsockopt(zmq.RCVTIMEO, int(AT_MOST * 1000))
            return [
                sender.send_image({"name": "old", "number": n, "crc": zlib.crc32(image)}, image)
                for n, image in enumerate(PIXELS)
            ]

    def send_them() -> None:
        for number in range(undelimited):
            send_undelimited(port_of(hub), *[b"no delimiter"] * (number % 3 + 1))

    with (
        opened(latest) as hub,
        beside(send_them),
        beside(stream_with_imagezmq) as replies,
        honest(port_of(hub)),
    ):
        take(hub, (SENDERS + 1) * FRAMES)
        assert replies.result(AT_MOST) == [b"old %d" % number for number in range(FRAMES)]
        if not latest:
            deadline = time.monotonic() + AT_MOST
            while hub.stats().malformed < undelimited:
                assert time.monotonic() < deadline
                if hub.poll(0.01):
                    with pytest.raises(zmq.Again):
                        hub.zmq_socket.recv(zmq.NOBLOCK)
        assert hub.stats().received == (SENDERS + 1) * FRAMES


@posix
@both
def test_senders_that_die_between_request_and_reply(latest: bool) -> None:
    with opened(latest) as hub, contextlib.ExitStack() as stack:
        for _ in range(3):
            dying = stack.enter_context(Peer(PEERS / "hostile.py", "dying", port_of(hub)))
            message, _ = hub.recv_image()
            assert message == {"name": "dying"}
            os.kill(dying.process.pid, signal.SIGKILL)
            assert dying.end() == -signal.SIGKILL
            hub.send_reply(b"nobody hears this")
        with honest(port_of(hub)):
            take(hub)
        assert hub.stats().received == 3 + SENDERS * FRAMES
        assert hub.stats().malformed == 0


# --- connections that never shake hands ---------------------------------------------


@both
def test_half_open_connections_are_ended(latest: bool) -> None:
    """Also those that have begun to; and the descriptors of all are given back."""
    with opened(latest, options={"HANDSHAKE_IVL": 300}) as hub, contextlib.ExitStack() as stack:
        before = len(list(DESCRIPTORS.iterdir())) if DESCRIPTORS.exists() else 0
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port_of(hub)), AT_MOST))
            for _ in range(80)
        ]
        for connection in connections[::2]:
            connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03")
        with honest(port_of(hub)):
            take(hub)
        for connection in connections:
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(1000):  # the hub's own greeting
                    pass
        assert hub.stats().malformed == 0
        if before:
            deadline = time.monotonic() + AT_MOST
            while len(list(DESCRIPTORS.iterdir())) > before + len(connections):
                assert time.monotonic() < deadline, "descriptors are left"
                time.sleep(0.01)


@both
def test_who_shakes_hands_is_given_five_seconds(latest: bool) -> None:
    with opened(latest) as hub:
        assert hub.zmq_socket.getsockopt(zmq.HANDSHAKE_IVL) == 5000
    with opened(latest, options={"HANDSHAKE_IVL": 60_000}) as hub:
        assert hub.zmq_socket.getsockopt(zmq.HANDSHAKE_IVL) == 60_000


def test_half_open_connections_to_a_pub_sender_are_ended() -> None:
    with ImageSender(ANY_PORT, REQ_REP=False) as sender:
        assert sender.zmq_socket.getsockopt(zmq.HANDSHAKE_IVL) == 5000
    options = {"HANDSHAKE_IVL": 300}
    with ImageSender(ANY_PORT, REQ_REP=False, options=options) as sender:
        port = int(sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), AT_MOST) as connection:
            connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03")
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(1000):  # the sender's own greeting
                    pass


# --- publishers -----------------------------------------------------------------------

RATE = 50
"""Frames a second of each honest publisher."""


def publish(name: str, sender: ImageSender, ended: threading.Event) -> None:
    """Send numbered frames at RATE, as a camera does."""
    began = time.monotonic()
    number = 0
    while not ended.wait(max(0.0, began + number / RATE - time.monotonic())):
        image = PIXELS[number % FRAMES]
        sender.send_image({"name": name, "number": number, "crc": zlib.crc32(image)}, image)
        number += 1


@both
@pytest.mark.parametrize("kind", ["flood", "oversize", "vanishing", "noise"])
def test_honest_publishers_beside(kind: str, latest: bool) -> None:
    """Of each, nine frames in ten arrive, whole and in order."""
    options = {"MAXMSGSIZE": 100_000}
    ended = threading.Event()
    with contextlib.ExitStack() as stack:
        stack.callback(ended.set)
        hostile = stack.enter_context(Peer(PEERS / "hostile_publisher.py", kind))
        hub = stack.enter_context(
            ImageHub(
                f"tcp://127.0.0.1:{hostile.hear()}",
                REQ_REP=False,
                timeout=AT_MOST,
                latest=latest,
                key="name" if latest else None,
                options=options,
            )
        )
        for number in range(SENDERS):
            sender = stack.enter_context(ImageSender(ANY_PORT, REQ_REP=False))
            hub.connect(sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
            thread = threading.Thread(target=publish, args=(f"honest {number}", sender, ended))
            thread.start()
            stack.callback(thread.join)
            stack.callback(ended.set)
        numbers: dict[str, list[int]] = {}
        while len(numbers) < SENDERS or min(map(len, numbers.values())) < FRAMES:
            message, image = hub.recv_image()
            assert zlib.crc32(image) == message["crc"]
            numbers.setdefault(message["name"], []).append(message["number"])
        arrived = {row.camera: row.received for row in hub.stats().cameras}
        for name, got in numbers.items():
            assert got == sorted(set(got))
            # With latest=True a newer one may replace one that has arrived.
            count = arrived[name] if latest else len(got)
            assert count >= 0.9 * (got[-1] - got[0] + 1)
        if kind != "noise":  # of which some may look like a message
            assert (hub.stats().malformed > 0) == (kind == "flood")


# --- parts that libzmq does not let pass --------------------------------------------


@both
def test_a_frame_beyond_maxmsgsize(latest: bool) -> None:
    """Its sender is told; the others go on, and it can."""
    with (
        opened(latest, options={"MAXMSGSIZE": 100_000}) as hub,
        ImageSender(f"tcp://127.0.0.1:{port_of(hub)}") as sender,
    ):

        def send_too_much() -> bytes:
            with pytest.raises(WireError, match=r"100001 bytes.*MAXMSGSIZE"):
                sender.send_image({"name": "large"}, np.zeros(100_001, np.uint8))
            small = PIXELS[0]
            message = {"name": "large", "number": 2, "crc": zlib.crc32(small)}
            reply: bytes = sender.send_image(message, small)
            return reply

        with beside(send_too_much) as reply, honest(port_of(hub)):
            take(hub, SENDERS * FRAMES + 1)
        assert reply.result() == b"large 2"
        assert hub.stats().received == SENDERS * FRAMES + 1
        assert sender.stats().resent >= 4
