"""A PUB sender that does as it is told: camera.py LIBRARY PORT PACE NAME.

It tells its port, which may be given as *, and publishes small numbered frames, PACE a second,
until it is killed. Told a number of bytes, it publishes one of that size next, and tells its
number. Messages are [NAME, number, checksum].
"""

from __future__ import annotations

import importlib
import json
import queue
import sys
import threading
import time
import zlib

import numpy as np
import zmq

from processes import say

SMALL = 1000


def told(sizes: queue.Queue[int]) -> None:
    for line in sys.stdin:
        sizes.put(json.loads(line))


library = importlib.import_module(sys.argv[1])
port, pace, name = sys.argv[2], float(sys.argv[3]), sys.argv[4]
sizes: queue.Queue[int] = queue.Queue()
threading.Thread(target=told, args=(sizes,), daemon=True).start()
sender = library.ImageSender(f"tcp://127.0.0.1:{port}", REQ_REP=False)
say(int(sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2]))
number, due = 0, time.monotonic()
while True:
    asked = not sizes.empty()
    image = np.full(sizes.get() if asked else SMALL, number % 256, np.uint8)
    sender.send_image([name, number, zlib.crc32(image.tobytes())], image)
    if asked:
        say(number)
    number += 1
    due += 1 / pace
    time.sleep(max(0.0, due - time.monotonic()))
