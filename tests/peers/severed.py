"""Two machines, joined by a cable that is pulled and put back: severed.py.

They are network namespaces, made without privileges. A sender here and a hub there; it is
told, in this order: the reply before; how often the frame was sent again while the cable was
out, with the hub idle on it and with the frame on its way; and the replies after each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any, Self

import numpy as np
import zmq

from processes import say

if "SEVERED" not in os.environ:
    os.environ["SEVERED"] = "1"
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    os.execvp(alone[0], [*alone, sys.executable, __file__])

from fastimagezmq import ImageSender

ADDRESS = "tcp://10.9.0.2:5555"
HUB = Path(__file__).with_name("mortal_hub.py")

# As the defaults, only shorter: milliseconds, then seconds.
QUICK = {
    zmq.TCP_MAXRT: 1000,
    zmq.TCP_KEEPALIVE_IDLE: 1,
    zmq.TCP_KEEPALIVE_INTVL: 1,
    zmq.TCP_KEEPALIVE_CNT: 2,
    zmq.CONNECT_TIMEOUT: 500,
}

machine = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
there = ["nsenter", "-t", str(machine.pid), "-n"]
while os.readlink(f"/proc/{machine.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
    time.sleep(0.001)


def ip(command: str, on: tuple[str, ...] | list[str] = ()) -> None:
    subprocess.run([*on, "ip", *command.split()], check=True)


ip(f"link add here type veth peer name there netns {machine.pid}")
ip("addr add 10.9.0.1/24 dev here")
ip("link set here up")
ip("addr add 10.9.0.2/24 dev there", there)
ip("link set there up", there)


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
        ip("link set there down", there)
        say(noticed(sender, 0))
    ip("link set there up", there)
    with Hub() as hub:
        hub.hear()
        assert hub.process.stdin is not None
        hub.process.stdin.write("\n")
        hub.process.stdin.flush()
        waiting.join(20)
        say(replies.pop().decode())
        ip("link set there down", there)
        waiting = threading.Thread(target=lambda: replies.append(sender.send_image(*frame(3))))
        waiting.start()
        say(noticed(sender, 1))
        ip("link set there up", there)
        waiting.join(20)
        say(replies.pop().decode())
machine.kill()
machine.wait()
