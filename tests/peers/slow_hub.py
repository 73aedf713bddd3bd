"""A hub that looks now and then: slow_hub.py LIBRARY SECONDS ADDRESS PAUSE.

It tells when it has the first frame of ``publisher.py``, and at the end how old each of the others
was when it had it, in seconds. It ends without closing anything: imageZMQ's would take its time.
"""

from __future__ import annotations

import importlib
import os
import sys
import time

from processes import say

name, seconds, address, pause = sys.argv[1:]
options = {"latest": True} if name == "fastimagezmq" else {}
hub = importlib.import_module(name).ImageHub(address, REQ_REP=False, **options)
hub.recv_image()
say("first")
ages = []
end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    time.sleep(float(pause))
    image = hub.recv_image()[1]
    ages.append(time.monotonic() - image[1])
say(ages)
os._exit(0)
