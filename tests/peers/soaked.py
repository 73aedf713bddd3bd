"""One end of a stream that runs for long: soaked.py hub|sender OPTIONS, these in JSON.

Each line that it is told is a session: [address, frames], or null frames, which is until the next
line. It tells the address that it has; at the end how many frames it got or sent, and the resident
memory on the way, as pairs of frames so far and bytes; and when all is closed and has settled, how
many descriptors and threads the process has.
"""

from __future__ import annotations

import gc
import json
import os
import select
import sys
import time
from typing import Any

import numpy as np
import zmq

from fastimagezmq import ImageHub, ImageSender
from freshness import resident
from processes import say

LOOK = 500  # frames from one look at the memory to the next
LOOKS_MAX = 40_000
IMAGE = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)


class Looks:
    """Resident memory after so many frames; takes none itself as it grows."""

    def __init__(self) -> None:
        self._rows = np.ones((LOOKS_MAX, 2), np.int64)
        self._count = 0

    def at(self, frames: int) -> bool:
        """Look if it is time to; tells whether it was."""
        if frames < self._count * LOOK or self._count == LOOKS_MAX:
            return False
        self._rows[self._count] = frames, resident()
        self._count += 1
        return True

    def told(self) -> list[list[int]]:
        rows: list[list[int]] = self._rows[: self._count].tolist()
        return rows


def held() -> list[int]:
    """Count descriptors and threads when those that end have ended."""
    gc.collect()
    time.sleep(1)
    return [len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))]


def serve(address: str, count: int) -> tuple[int, list[Any]]:
    looks = Looks()
    with ImageHub(address, **options) as hub:
        say(hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
        received = taken = 0
        while received < count:
            assert hub.recv_frame().image.shape == IMAGE.shape
            if hub.REQ_REP:
                hub.send_reply(b"OK")
            taken += 1
            received = hub.stats().cameras[0].received if options.get("latest") else taken
            looks.at(received)
    return received, looks.told()


def stream(address: str, count: int | None) -> tuple[int, list[Any]]:
    looks = Looks()
    number = 0
    with ImageSender(address, **options) as sender:
        say(sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
        while number != count:
            sender.send_image({"camera": "a", "number": number}, IMAGE)
            sender.replies()
            number += 1
            if looks.at(number) and count is None and select.select([sys.stdin], [], [], 0)[0]:
                break
    return number, looks.told()


work = {"hub": serve, "sender": stream}[sys.argv[1]]
options: dict[str, Any] = json.loads(sys.argv[2])
while session := sys.stdin.readline():
    if (told := json.loads(session)) is not None:  # null ends a session without end
        say(work(*told))
        say(held())
