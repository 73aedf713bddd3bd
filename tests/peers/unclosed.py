"""A PUB sender's program that ends right after its last frame: unclosed.py LIBRARY.

It tells its address, sends "sync" until it is told to go on, then 40 pictures, and ends.
"""

from __future__ import annotations

import importlib
import sys
import threading

import numpy as np
import zmq

from processes import say

library = importlib.import_module(sys.argv[1])
sender = library.ImageSender("tcp://127.0.0.1:*", REQ_REP=False)
say(sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
told = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), told.set())).start()
while not told.wait(0.01):
    sender.send_jpg("sync", b"")
for number in range(40):
    sender.send_image(number, np.full((480, 640, 3), number, np.uint8))
