"""A hub program to be killed: mortal_hub.py LIBRARY ADDRESS [SECONDS].

It tells when it began to listen, by the machine's monotonic clock, then each frame as
[message, whether its pixels are right], and answers. A message is [number, crc32 of the
pixels, ...]; with "hold" in it there is no answer, until the test says so. SECONDS is how
long it takes over each frame. With MAXMSGSIZE in the environment libzmq takes no larger part.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import zlib

import zmq

from processes import say

library = importlib.import_module(sys.argv[1])
address, *rest = sys.argv[2:]
seconds = float(rest[0]) if rest else 0.0

began = time.monotonic()
hub = library.ImageHub(address)
if limit := os.environ.get("MAXMSGSIZE"):
    hub.zmq_socket.unbind(address)
    hub.zmq_socket.setsockopt(zmq.MAXMSGSIZE, int(limit))
    while True:
        try:
            hub.zmq_socket.bind(address)
            break
        except zmq.ZMQError:  # libzmq lets go of an address some time after
            time.sleep(0.01)
say({"since": began})
while True:
    message, image = hub.recv_image()
    say([message, zlib.crc32(image.tobytes()) == message[1]])
    if "hold" in message:
        sys.stdin.readline()
    time.sleep(seconds)
    hub.send_reply(f"got {message[0]}".encode())
