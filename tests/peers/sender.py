"""A sender program: sender.py LIBRARY ADDRESS reqrep|pubsub send_image|send_jpg.

It tells the test its library and address, waits for a word, and sends all frames of
``pictures`` and then the message "end"; it tells each reply. A PUB sender sends "sync"
again and again while it waits: whoever gets it will get all that follows.
"""

from __future__ import annotations

import importlib
import sys
import threading

import numpy as np
import zmq

from pictures import blobs, message_of, pixels
from processes import say

library = importlib.import_module(sys.argv[1])
address, pattern, method = sys.argv[2:]

frames = pixels() if method == "send_image" else blobs()
nothing = np.zeros(1, np.uint8)

with library.ImageSender(address, REQ_REP=pattern == "reqrep") as sender:
    endpoint = sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    say({"library": library.__title__, "address": endpoint})
    told = threading.Event()
    reader = threading.Thread(target=lambda: (sys.stdin.readline(), told.set()))
    reader.start()
    while not told.wait(0.01):
        if pattern == "pubsub":
            getattr(sender, method)("sync", nothing)
    for number, (name, frame) in enumerate(frames.items()):
        reply = getattr(sender, method)(message_of(number, name), frame)
        say([type(reply).__name__, reply and reply.decode()])
    getattr(sender, method)("end", nothing)
    reader.join()
