"""Streams small frames from a thread to a hub: retention.py FRAMES.

What is told is by how many bytes the process has grown since it had warmed up.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path

import numpy as np

from fastimagezmq import ImageHub, ImageSender
from processes import say

WARM_UP = 1000


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stream(sender: ImageSender, frames: int) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    for number in range(frames):
        image[0, 0] = number % 251
        sender.send_image("cam", image)


count = int(sys.argv[1])
with ImageHub("tcp://127.0.0.1:*") as hub:
    with ImageSender(hub.zmq_socket.last_endpoint.decode()) as sender:
        for frames in (WARM_UP, count):
            before = resident()
            thread = threading.Thread(target=stream, args=(sender, frames))
            thread.start()
            for number in range(frames):
                _, image = hub.recv_image()
                assert image[0, 0, 0] == number % 251
                hub.send_reply()
            thread.join()
    say(resident() - before)
