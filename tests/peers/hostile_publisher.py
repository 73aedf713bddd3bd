"""A publisher that means harm: hostile_publisher.py KIND, until it is killed.

It binds a port of its own and tells it. The kinds:

    flood      messages that are no frames, as fast as it can: malformed headers, wrong sizes, too
               many parts
    oversize   parts of a megabyte
    vanishing  a handshake and a part of a message, and gone; again and again
    noise      random bytes in place of a handshake, and after one
    corrupt    a handshake, a frame, and then what is no ZMTP; the frames are numbered
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import struct
import sys
import time

import zmq
from hostile import ABSURD, GREETING, HEADER, JPEG, LONG, MORE

from processes import say

READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"


def flood() -> None:
    messages = [
        [b"no frame"],
        [b"{", b"pixels"],
        [HEADER, b"too few"],
        [ABSURD, b"pixels"],
        [JPEG, random.randbytes(5000)],
        [b"part"] * 20,
    ]
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        say(publisher.bind_to_random_port("tcp://127.0.0.1"))
        for message in itertools.cycle(messages):
            publisher.send_multipart(message)


def oversize() -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        say(publisher.bind_to_random_port("tcp://127.0.0.1"))
        while True:
            publisher.send_multipart([HEADER, bytes(1_000_000)])
            time.sleep(0.01)


def by_hand(beginnings: list[bytes], most: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        say(server.getsockname()[1])
        for beginning in itertools.cycle(beginnings):
            connection, _ = server.accept()
            with contextlib.suppress(OSError), connection:
                connection.sendall(beginning + random.randbytes(random.randrange(most + 1)))
                connection.settimeout(0.1)
                connection.recv(1000)


def vanishing() -> None:
    header = bytes([MORE, len(HEADER)]) + HEADER
    half = bytes([LONG]) + struct.pack(">Q", 50_000) + bytes(25_000)
    hands = GREETING + READY
    by_hand([hands, hands + header, hands + header + half, hands[:-7]], 0)


def noise() -> None:
    by_hand([b"", GREETING[:12], GREETING, GREETING + READY], 5000)


def corrupt() -> None:
    header = b'{"msg": ["corrupt", %d], "dtype": "uint8", "shape": [3]}'
    with socket.create_server(("127.0.0.1", 0)) as server:
        say(server.getsockname()[1])
        for number in itertools.count():
            connection, _ = server.accept()
            with contextlib.suppress(OSError), connection:
                connection.sendall(GREETING + READY)
                heard = b""
                while not heard.endswith(b"\x00\x01\x01"):  # the subscription
                    heard += connection.recv(1000)
                frame = bytes([MORE, len(header % number)]) + header % number + b"\x00\x03abc"
                connection.sendall(frame + b"\xff" * 20)
                connection.recv(1000)


if __name__ == "__main__":
    random.seed(1)
    globals()[sys.argv[1]]()
