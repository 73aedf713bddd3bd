"""A sender that sends one frame and waits for the reply: one_frame.py ADDRESS."""

from __future__ import annotations

import sys

import numpy as np

from fastimagezmq import ImageSender
from processes import say

say("sends")
ImageSender(sys.argv[1]).send_image("gone", np.zeros((50, 50, 3), np.uint8))
