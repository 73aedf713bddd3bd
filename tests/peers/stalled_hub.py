"""A hub that subscribes and reads nothing: stalled_hub.py ADDRESS.

It tells when it is connected.
"""

from __future__ import annotations

import sys
import time

import zmq

from processes import say

hub = zmq.Context().socket(zmq.SUB)
hub.rcvhwm = 1
hub.subscribe(b"")
monitor = hub.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
hub.connect(sys.argv[1])
monitor.recv_multipart()
say("connected")
time.sleep(1000)
