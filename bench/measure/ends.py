"""The two ends of a cell, each the whole work of one process.

What the ends agree on: the first frames warm up. Then come those that are measured,
numbered from 0. A REQ/REP hub counts, so that messages can be alike, as a camera's are; for
PUB/SUB, which may drop frames, the message is the number. A picture of ``MARK`` rows is no
frame: with the message ``SYNC`` it says that a connection is there, any other is the last.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ..peers import Setting, load
from .usage import peak_memory

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

WARM_UP = 8
MARK = 16
SYNC = "sync"
_LAST = "last"
_CAMERA = "camera"
_AGAIN_SECONDS = 0.005


def be_hub(peer: str, setting: Setting, address: str | None, pipe: Connection) -> None:
    """Receive until the last frame; tell when each came, CPU seconds and peak memory."""
    module = load(peer)
    if not setting.replies:
        address = pipe.recv()
    hub = module.Hub(address, setting)
    if setting.replies:
        pipe.send(hub.address)
    came: list[tuple[int, float]] = []
    used = 0.0
    number = -WARM_UP - 1
    synced = False
    while True:
        message, image = hub.receive()
        now = time.monotonic()
        if setting.replies:
            hub.reply()
        if image.shape[0] == MARK:
            if message != SYNC:
                break
            if not synced:
                pipe.send(SYNC)
            synced = True
            continue
        number = number + 1 if setting.replies else int(message)
        if number < 0:
            used = time.process_time()
        else:
            came.append((number, now))
    used = time.process_time() - used
    pipe.send({"came": came, "cpu": used, "peak": peak_memory()})
    pipe.recv()


def be_sender(
    peer: str,
    setting: Setting,
    pictures: str,
    seconds: float,
    rate: float | None,
    pipe: Connection,
) -> None:
    """Send for some seconds; tell when each frame set out, CPU seconds and peak memory."""
    module = load(peer)
    # Arrays of their own, which begin aligned, as a camera's do.
    images = [image.copy() for image in np.load(pictures)]
    mark = np.zeros((MARK, MARK, 3), np.uint8)
    if setting.replies:
        sender = module.Sender(pipe.recv(), setting)
    else:
        sender = module.Sender(None, setting)
        pipe.send(sender.address)
        _until_told(pipe, lambda: sender.send(SYNC, mark))
    turn = itertools.cycle(images)
    for number in range(-WARM_UP, 0):
        sender.send(_CAMERA if setting.replies else str(number), next(turn))
        if rate is not None:
            time.sleep(1 / rate)
    sender.flush()

    left: list[float] = []
    used = time.process_time()
    began = now = time.monotonic()
    while now - began < seconds:
        if rate is not None and (early := began + len(left) / rate - now) > 0:
            time.sleep(early)
        message = _CAMERA if setting.replies else str(len(left))
        image = next(turn)
        left.append(time.monotonic())
        sender.send(message, image)
        now = time.monotonic()
    sender.flush()
    took = time.monotonic() - began
    used = time.process_time() - used
    pipe.send({"left": left, "took": took, "cpu": used, "peak": peak_memory()})
    if setting.replies:
        sender.send(_LAST, mark)
        sender.flush()
        pipe.recv()
    else:
        _until_told(pipe, lambda: sender.send(_LAST, mark))


def _until_told(pipe: Connection, send: Any) -> None:
    """Send again and again, since what nobody hears yet is dropped."""
    while not pipe.poll(_AGAIN_SECONDS):
        send()
    pipe.recv()
