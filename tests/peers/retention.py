"""Streams frames from a thread to a hub: retention.py FRAMES WIDTH HEIGHT OPTIONS.

OPTIONS are the sender's. What is told is by how many bytes the process has grown since it had
warmed up, and how many blocks for pixels and JPEGs were allocated since.
"""

from __future__ import annotations

import ast
import gc
import os
import sys
import threading
from pathlib import Path

import numpy as np

from fastimagezmq import ImageHub, ImageSender, _codec
from processes import say

WARM_UP = 1000


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stream(sender: ImageSender, frames: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    for number in range(frames):
        image[:8, :8] = number % 251
        sender.send_image("cam", image)
    assert sender.flush(60)


count, width, height = map(int, sys.argv[1:4])
options = ast.literal_eval(sys.argv[4])
with ImageHub("tcp://127.0.0.1:*") as hub:
    with ImageSender(hub.zmq_socket.last_endpoint.decode(), **options) as sender:
        for frames in (WARM_UP, count):
            before, allocated = resident(), _codec.pool_stats().allocated
            thread = threading.Thread(target=stream, args=(sender, frames))
            thread.start()
            for number in range(frames):
                _, image = hub.recv_image()
                assert abs(int(image[0, 0, 0]) - number % 251) <= 2
                hub.send_reply()
            thread.join()
    say([resident() - before, _codec.pool_stats().allocated - allocated])
