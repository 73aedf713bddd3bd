"""A sender with frames in flight: pipelined.py ADDRESS send_image|send_jpg.

It sends all frames of ``pictures``, the message "end", and tells which way its messages went,
the replies and what was counted.
"""

from __future__ import annotations

import sys

import numpy as np

from fastimagezmq import ImageSender
from pictures import blobs, message_of, pixels
from processes import say

address, method = sys.argv[1:]
frames = pixels() if method == "send_image" else blobs()

with ImageSender(address, in_flight=4) as sender:
    for number, (name, frame) in enumerate(frames.items()):
        assert getattr(sender, method)(message_of(number, name), frame) is None
    getattr(sender, method)("end", np.zeros(1, np.uint8))
    assert sender.flush(20)
    counted = sender.stats()
    say(
        {
            "native": sender.zmq_socket.port is not None,
            "replies": [reply.decode() for reply in sender.replies()],
            "counted": [counted.sent, counted.acknowledged, counted.dropped, counted.waiting],
        }
    )
