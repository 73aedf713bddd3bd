"""A sender whose cable is pulled and put back: severed.py COMMAND...

It runs on the first of two hosts; COMMAND is what runs others on the second. It tells the reply
before; how often the frame was sent again while the cable was out, with the hub idle on it and
with the frame on its way; and the replies after each: in the order in which that happens.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any, Self

import numpy as np
import zmq

from fastimagezmq import ImageSender
from processes import say
from two_hosts import THERE

ADDRESS = f"tcp://{THERE}:5555"
HUB = Path(__file__).with_name("mortal_hub.py")

# As the defaults, only shorter: milliseconds, then seconds.
QUICK = {
    zmq.TCP_MAXRT: 1000,
    zmq.TCP_KEEPALIVE_IDLE: 1,
    zmq.TCP_KEEPALIVE_INTVL: 1,
    zmq.TCP_KEEPALIVE_CNT: 2,
    zmq.CONNECT_TIMEOUT: 500,
}

there = sys.argv[1:]


def cable(state: str) -> None:
    subprocess.run([*there, "ip", "link", "set", "there", state], check=True)


class Hub:
    def __enter__(self) -> Self:
        command = [*there, sys.executable, HUB, "imagezmq", ADDRESS]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.hear()
        return self

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def frame(number: int, *words: str) -> tuple[list[Any], Any]:
    image = np.full(1_000_000, number, np.uint8)
    return [number, zlib.crc32(image.tobytes()), *words], image


def noticed(sender: ImageSender, before: int) -> int:
    """Wait until the frame has been sent again, to nobody."""
    deadline = time.monotonic() + 20
    while sender.stats().resent == before and time.monotonic() < deadline:
        time.sleep(0.01)
    return sender.stats().resent


with ImageSender(ADDRESS, options=QUICK) as sender:
    replies: list[Any] = []
    with Hub() as hub:
        say((sender.send_image(*frame(1)) or b"").decode())
        hub.hear()
        waiting = threading.Thread(
            target=lambda: replies.append(sender.send_image(*frame(2, "hold")))
        )
        waiting.start()
        hub.hear()  # it has the frame, and nothing more is to be acknowledged
        cable("down")
        say(noticed(sender, 0))
    cable("up")
    with Hub() as hub:
        hub.hear()
        assert hub.process.stdin is not None
        hub.process.stdin.write("\n")
        hub.process.stdin.flush()
        waiting.join(20)
        say(replies.pop().decode())
        cable("down")
        waiting = threading.Thread(target=lambda: replies.append(sender.send_image(*frame(3))))
        waiting.start()
        say(noticed(sender, 1))
        cable("up")
        waiting.join(20)
        say(replies.pop().decode())
