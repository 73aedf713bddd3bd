"""Honest senders: cameras.py PORT COUNT FPS SECONDS SIZE.

Each is an ImageSender with default options on a thread of its own, which sends a frame when its
time has come, and none in place of those that it is too late for. It tells how many each has
sent and got the replies of.
"""

from __future__ import annotations

import sys
import threading
import time

import numpy as np

from fastimagezmq import ImageSender
from processes import say

port, count, fps, seconds, size = map(int, sys.argv[1:])
pixels = np.random.default_rng(1).integers(0, 256, size, np.uint8)
answered = [0] * count
connected = threading.Barrier(count + 1)


def stream(number: int) -> None:
    with ImageSender(f"tcp://127.0.0.1:{port}") as sender:
        sender.send_image({"name": number}, pixels)
        connected.wait()
        began = time.monotonic() + number / count / fps  # not all at once
        for frame in range(fps * seconds):
            late = time.monotonic() - (began + frame / fps)
            if late > 1 / fps:
                continue
            time.sleep(max(0.0, -late))
            sender.send_image({"name": number}, pixels)
            answered[number] += 1


threads = [threading.Thread(target=stream, args=(number,), daemon=True) for number in range(count)]
for thread in threads:
    thread.start()
connected.wait()
say("began")
deadline = time.monotonic() + 2 * seconds + 30
for thread in threads:
    thread.join(max(0.0, deadline - time.monotonic()))
say({"answered": answered, "hang": sum(thread.is_alive() for thread in threads)})
