"""A peer that means harm: hostile.py KIND PORT, until it is killed.

It tells the test when it has begun. The kinds:

    flood        messages that are no frames, as fast as it can, and reads no reply
    undelimited  the same, and those among them that have no delimiter
    vanishing    a handshake and a part of a message, and gone; again and again
    half_open    connections that say nothing, 200 of them at any time
    noise        connections that say random bytes in place of a handshake
    babble       the same, and such that say random bytes after it, or as an old peer
    endless      one message of ever more parts, up to LIMIT bytes (a third argument)
    dying        one frame, sent by imageZMQ's way; waits for the reply

All but the last write their bytes by hand, or through a DEALER: no library stands in between.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import socket
import struct
import sys
import time
from collections import deque

import zmq

from processes import say

HALF_OPEN = 200
CHUNK = 1 << 20

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ"
DELIMITER = b"\x01\x00"
MORE, LONG = 1, 2

HEADER = json.dumps({"dtype": "uint8", "shape": [50_000], "msg": "hostile"}).encode()
ABSURD = json.dumps({"dtype": "uint8", "shape": [1 << 40, 1 << 40], "msg": 1}).encode()
JPEG = json.dumps({"msg": "hostile", "codec": "jpeg"}).encode()


def connected(port: int) -> socket.socket:
    """Give a connection that has said nothing yet."""
    while True:
        with contextlib.suppress(OSError):  # the hub has a backlog, too
            return socket.create_connection(("127.0.0.1", port), 10)
        time.sleep(0.01)


def shaken(port: int) -> socket.socket:
    """Give a connection that has shaken hands as a REQ socket does."""
    connection = connected(port)
    connection.sendall(GREETING + READY)
    seen = b""
    while b"READY" not in seen:
        seen += connection.recv(256)
    return connection


def flood(port: int, *others: list[bytes]) -> None:
    messages = [
        [b"", b"no frame"],
        [b"", b"{", b"pixels"],
        [b"", HEADER, b"too few"],
        [b"", ABSURD, b"pixels"],
        [b"", JPEG, random.randbytes(50_000)],
        [b"", *[b"part"] * 20],
        *others,
    ]
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.connect(f"tcp://127.0.0.1:{port}")
        for message in messages:
            dealer.send_multipart(message)
        say("began")
        for message in itertools.cycle(messages):
            dealer.send_multipart(message)


def undelimited(port: int) -> None:
    flood(port, [b"no", b"delimiter"], [b""])


def vanishing(port: int) -> None:
    header = bytes([MORE, len(HEADER)]) + HEADER
    half = bytes([LONG]) + struct.pack(">Q", 50_000) + bytes(25_000)
    beginnings = [DELIMITER, DELIMITER + header, DELIMITER + header + half, READY[:7]]
    for number in itertools.count():
        with contextlib.suppress(OSError), shaken(port) as connection:
            connection.sendall(beginnings[number % len(beginnings)])
            if number % 2:  # with a reset
                no_linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        if number == len(beginnings):
            say("began")


def half_open(port: int) -> None:
    connections = deque(connected(port) for _ in range(HALF_OPEN))
    for connection in itertools.islice(connections, HALF_OPEN // 2):
        connection.sendall(GREETING[:12])  # some have begun
    say("began")
    while True:
        time.sleep(0.01)
        connections.popleft().close()
        connections.append(connected(port))


def noise(port: int, *others: bytes) -> None:
    beginnings = [GREETING, GREETING[:12], *others]
    for number in itertools.count():
        with contextlib.suppress(OSError), connected(port) as connection:
            noise = random.randbytes(random.randrange(1, 5000))
            connection.sendall(beginnings[number % len(beginnings)] + noise)
        if number == 10:
            say("began")


def babble(port: int) -> None:
    noise(port, b"", GREETING + READY, GREETING + READY + DELIMITER)


def endless(port: int) -> None:
    """Each part is small enough for every limit; what grows is the message."""
    part = bytes([MORE | LONG]) + struct.pack(">Q", CHUNK) + bytes(CHUNK)
    with shaken(port) as connection:
        connection.sendall(DELIMITER)
        say("began")
        began = time.monotonic()
        for _ in range(int(sys.argv[3]) // CHUNK):
            connection.sendall(part)
        say(time.monotonic() - began)
        time.sleep(1000)


def dying(port: int) -> None:
    with zmq.Context() as context, context.socket(zmq.REQ) as sender:
        sender.connect(f"tcp://127.0.0.1:{port}")
        message = {"dtype": "uint8", "shape": [3], "msg": {"name": "dying"}}
        sender.send_multipart([json.dumps(message).encode(), b"abc"])
        sender.recv()


if __name__ == "__main__":
    random.seed(1)
    globals()[sys.argv[1]](int(sys.argv[2]))
