"""A hub that looks twice a second: slow_hub.py LIBRARY SECONDS ADDRESS.

It tells how old each frame of ``publisher.py`` was, in seconds, and by how many bytes its memory
grew at most. It ends without closing anything: imageZMQ's would take its time.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path

from processes import say


def resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


name, seconds, address = sys.argv[1:]
options = {"latest": True} if name == "fastimagezmq" else {}
hub = importlib.import_module(name).ImageHub(address, REQ_REP=False, **options)
hub.recv_image()
before, grown = resident(), 0
ages = []
end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    time.sleep(0.5)
    ages.append(time.monotonic() - hub.recv_image()[1][1])
    grown = max(grown, resident() - before)
say([ages, grown])
os._exit(0)
