"""Sends stamped frames by a clock that is wrong: wrong_clock.py ADDRESS SECONDS OPTIONS."""

from __future__ import annotations

import ast
import sys
import time

import numpy as np

from fastimagezmq import ImageSender

address, ahead, options = sys.argv[1], float(sys.argv[2]), ast.literal_eval(sys.argv[3])
true_time = time.time
time.time = lambda: true_time() + ahead

with ImageSender(address, stamp=True, **options) as sender:
    for _ in range(12):
        sender.send_image("camera", np.zeros((64, 64, 3), np.uint8))
        time.sleep(0.01)
    sender.flush(10)
