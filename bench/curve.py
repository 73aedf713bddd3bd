"""What CURVE costs: frames a second with keys and without, REQ/REP, over loopback.

    python bench/curve.py [--rounds 9] [--seconds 1]

The sender and its hub are two processes. With keys and without take turns, round by round, so
that a machine that slows down slows both; told are the medians, and the median over the rounds
of the ratio within a round, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage import data

from fastimagezmq import ImageHub, ImageSender, authorized, keys

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

CASES = {"JPEG 640x480": (640, 480, 80), "raw 1920x1080": (1920, 1080, None)}


def picture(width: int, height: int) -> Any:
    """Give a photograph in a size, mirrored at its edges if it is smaller."""
    photo = data.stereo_motorcycle()[0][:height, :width, ::-1]
    more = ((0, height - photo.shape[0]), (0, width - photo.shape[1]), (0, 0))
    return np.ascontiguousarray(np.pad(photo, more, mode="symmetric"))


def serve(told: Connection, security: Any) -> None:
    """Receive, decode and answer until killed."""
    with ImageHub("tcp://127.0.0.1:*", security=security) as hub:
        told.send(hub.zmq_socket.bound[0])
        while True:
            hub.recv_image()
            hub.send_reply()


def rate(sender: ImageSender, image: Any, seconds: float) -> float:
    """Give the frames a second that a sender makes."""
    frames, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        sender.send_image("camera", image)
        frames += 1
    return frames / took


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1)
    arguments = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("hub", "camera"):
            keys.generate(folder / name)
        authorized.authorize(folder / "camera.pub", folder / "list")
        of_hub = (folder / "hub.key", folder / "list")
        of_camera = (folder / "camera.key", folder / "hub.pub")
        addresses = []
        for security in (None, of_hub):
            heard, told = processes.Pipe(False)
            hub = processes.Process(target=serve, args=(told, security), daemon=True)
            hub.start()
            stack.callback(hub.join)
            stack.callback(hub.kill)
            addresses.append(heard.recv())
        time.sleep(3)  # a list that has just been changed is read at every frame
        print("| frames | without, frames/s | CURVE, frames/s | ratio |\n| --- | --- | --- | --- |")
        for case, (width, height, quality) in CASES.items():
            image = picture(width, height)
            with (
                ImageSender(addresses[0], jpeg=quality) as plain,
                ImageSender(addresses[1], jpeg=quality, security=of_camera) as secured,
            ):
                ends = (plain, secured)
                rates: list[list[float]] = [[], []]
                for number in range(arguments.rounds + 1):
                    for which in (0, 1) if number % 2 else (1, 0):
                        one = rate(ends[which], image, arguments.seconds)
                        if number:  # the first warms up
                            rates[which].append(one)
            ratios = [curve / none for none, curve in zip(*rates, strict=True)]
            none, curve = map(statistics.median, rates)
            print(
                f"| {case} | {none:.0f} | {curve:.0f} | {statistics.median(ratios):.2f}"
                f" ({min(ratios):.2f}-{max(ratios):.2f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
