"""A PUB sender at a steady pace: publisher.py LIBRARY FRAMES_A_SECOND NBYTES CAMERA...

It tells its address, and publishes a frame of each camera at each tick until it is killed: an
array of float64 that begins with the tick's number and the time by the monotonic clock, which
all processes of a machine share. PUBLISHER_ADDRESS and PUBLISHER_OPTIONS (in JSON) in its
environment are the sender's.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
import time

import numpy as np
import zmq

from processes import say

library = importlib.import_module(sys.argv[1])
pace, nbytes = float(sys.argv[2]), int(sys.argv[3])
cameras = sys.argv[4:]

address = os.environ.get("PUBLISHER_ADDRESS", "tcp://127.0.0.1:*")
options = json.loads(os.environ.get("PUBLISHER_OPTIONS", "{}"))
sender = library.ImageSender(address, REQ_REP=False, **options)
say(sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
due = time.monotonic()
for number in itertools.count():
    for camera in cameras:
        image = np.zeros(max(2, nbytes // 8))
        image[:2] = number, time.monotonic()
        sender.send_image(camera, image)
    due += 1 / pace
    time.sleep(max(0.0, due - time.monotonic()))
