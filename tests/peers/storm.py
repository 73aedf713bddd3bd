"""Sends while a timer's signal handler raises at random moments: storm.py PUB|REQ FRAMES [ADDRESS].

A frame's pixels are its number modulo 251. The last frame is "end"; then it is told how many
sends were interrupted.
"""

from __future__ import annotations

import random
import signal
import sys
from typing import Any

import numpy as np

import fastimagezmq
from processes import say

SHAPES = [(40, 50, 3), (200, 300, 3)]  # copied, and read in place


class Interrupted(Exception):
    pass


armed = False  # whether the exception would be caught


def interrupt(*_: Any) -> None:
    global armed  # noqa: PLW0603
    if armed:
        armed = False
        raise Interrupted


def opened(kind: str) -> Any:
    if kind == "PUB":
        return fastimagezmq.ImageSender("tcp://127.0.0.1:*", REQ_REP=False, sndhwm=0)
    return fastimagezmq.ImageSender(sys.argv[3])


def storm(kind: str, sender: Any, frames: int) -> tuple[Any, int]:
    """Give the sender in use at the end, and how many sends were interrupted."""
    global armed  # noqa: PLW0603
    images = [np.empty(shape, np.uint8) for shape in SHAPES]
    number = interrupted = 0
    rng = random.Random(7)
    signal.signal(signal.SIGALRM, interrupt)
    while number < frames:
        try:
            armed = True
            try:
                while number < frames:
                    number += 1
                    # A new array each: a frame whose wait was interrupted may still leave.
                    image = images[number % 2].copy()
                    image[:] = number % 251
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(2e-6, 3e-4))
                    sender.send_image(number, image)
                armed = False
            except fastimagezmq.StateError:  # a REQ sender that waits for a reply, or a closed one
                signal.setitimer(signal.ITIMER_REAL, 0)
                sender.close()
                sender = opened(kind)
        except Interrupted:
            interrupted += 1
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    return sender, interrupted


kind, count = sys.argv[1], int(sys.argv[2])
sender = opened(kind)
if kind == "PUB":
    say(sender.zmq_socket.last_endpoint.decode())
    sys.stdin.readline()
sender, interrupted = storm(kind, sender, count)
if kind == "REQ":
    sender.close()
    sender = opened(kind)
sender.send_image("end", np.zeros(3, np.uint8))
say(interrupted)
sys.stdin.readline()
sender.close()
