"""A hub program to be killed: mortal_hub.py LIBRARY ADDRESS [SECONDS].

It tells when it began to listen, by the machine's monotonic clock, then each frame as
[message, whether its pixels are right], and answers. A message is [number, crc32 of the
pixels, ...]; with "hold" in it there is no answer, until the test says so. SECONDS is how
long it takes over each frame.
"""

from __future__ import annotations

import importlib
import sys
import time
import zlib

from processes import say

library = importlib.import_module(sys.argv[1])
address, *rest = sys.argv[2:]
seconds = float(rest[0]) if rest else 0.0

began = time.monotonic()
hub = library.ImageHub(address)
say({"since": began})
while True:
    message, image = hub.recv_image()
    say([message, zlib.crc32(image.tobytes()) == message[1]])
    if "hold" in message:
        sys.stdin.readline()
    time.sleep(seconds)
    hub.send_reply(f"got {message[0]}".encode())
