"""A sender with security: secured.py ADDRESS reqrep|flight|pubsub OWN.key OTHER.pub|LIST.

It tells its address and sends numbered frames until its stdin says anything; then it tells how
many, and the last reply. Frames are small, and it pauses between those that it publishes.
"""

from __future__ import annotations

import sys
import threading
import time

import numpy as np

from fastimagezmq import ImageSender
from processes import say

address, way, own, other = sys.argv[1:]
image = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)

with ImageSender(
    address, REQ_REP=way != "pubsub", in_flight=4 if way == "flight" else 1, security=(own, other)
) as sender:
    say({"address": (sender.zmq_socket.bound or (address,))[0]})
    told = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
    number, reply = 0, None
    while not told.is_set():
        reply = sender.send_image(number, image)
        number += 1
        if way == "pubsub":
            time.sleep(0.002)
    if way == "flight":
        sender.flush(10)
        reply = sender.replies()[-1]
    say([number, reply and reply.decode()])
