"""A PUB sender whose hubs come and go while it sends; tells how many frames it has sent.

deserted.py SECONDS
"""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import zmq

from fastimagezmq import ImageSender
from processes import say

IMAGE = np.zeros((1000, 1000), np.uint8)  # of which 67 fit the queue, so that it is bounded


def come_and_go(address: str) -> None:
    with zmq.Context() as context:
        while not ended.is_set():
            with context.socket(zmq.SUB) as socket:
                socket.linger = 0
                socket.subscribe(b"")
                socket.connect(address)
                socket.poll(20)


ended = threading.Event()
with ImageSender("tcp://127.0.0.1:*", REQ_REP=False) as sender:
    address = sender.zmq_socket.last_endpoint.decode()
    hubs = [threading.Thread(target=come_and_go, args=(address,)) for _ in range(4)]
    for hub in hubs:
        hub.start()
    end = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < end:
        sender.send_image("camera", IMAGE)
    ended.set()
    for hub in hubs:
        hub.join()
    say(sender.stats().sent)
