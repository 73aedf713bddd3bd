"""A hub program: hub.py LIBRARY ADDRESS reqrep|pubsub recv_image|recv_jpg.

It tells the test its library and address, then describes each frame, and ends at the
message "end". Frames whose message is "sync" are not described: the first is told as such.
"""

from __future__ import annotations

import importlib
import sys

import zmq

from pictures import description
from processes import say

library = importlib.import_module(sys.argv[1])
address, pattern, method = sys.argv[2:]

with library.ImageHub(address, REQ_REP=pattern == "reqrep") as hub:
    endpoint = hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    say({"library": library.__title__, "address": endpoint})
    synced = False
    message = None
    while message != "end":
        message, content = getattr(hub, method)()
        if message == "sync":
            if not synced:
                say("synced")
            synced = True
        else:
            say(description(message, content) if message != "end" else "end")
        if pattern == "reqrep":
            hub.send_reply(f"reply to {message}".encode())
