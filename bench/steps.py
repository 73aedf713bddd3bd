"""What each step of the migration buys: imagezmq, the import changed, jpeg=85.

    python bench/steps.py [--rounds 7] [--seconds 1.0]

Each cell is a sender and a hub in two fresh processes, in lockstep over TCP loopback
(REQ/REP), with the same photograph. The variants of a row take turns, round by round, so
that a machine that slows down slows all of them; the table gives the median over the
rounds of each ratio to imagezmq in the same round, with the smallest and largest.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import statistics
import time
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np
from skimage import data

SIZES = {"64x48": (64, 48), "320x240": (320, 240), "640x480": (640, 480), "1080p": (1920, 1080)}
QUALITY = 85
ROWS = [
    ("raw", "64x48"),
    ("raw", "320x240"),
    ("raw", "1080p"),
    ("JPEG", "320x240"),
    ("JPEG", "640x480"),
    ("JPEG", "1080p"),
]


def picture(size: str) -> Any:
    """Give a photograph scaled to a size, in B,G,R order."""
    photo = np.ascontiguousarray(data.stereo_motorcycle()[0][..., ::-1])
    return cv2.resize(photo, SIZES[size], interpolation=cv2.INTER_AREA)


def package(name: str) -> Any:
    """Import the package under test, with cv2 on one thread as libjpeg runs anyway."""
    cv2.setNumThreads(1)
    return __import__(name)


def hub(name: str, kind: str, pipe: Any) -> None:
    """Receive and answer until the message says stop; tell the CPU seconds of a frame."""
    image_hub = package(name).ImageHub("tcp://127.0.0.1:*")
    pipe.send(image_hub.zmq_socket.last_endpoint.decode())
    decode_here = kind == "JPEG" and name == "imagezmq"
    began, frames = 0.0, 0
    while True:
        if decode_here:
            message, jpg = image_hub.recv_jpg()
            cv2.imdecode(np.frombuffer(jpg, np.uint8), cv2.IMREAD_COLOR)
        else:
            message, _ = image_hub.recv_image()
        image_hub.send_reply(b"OK")
        if message == "start":
            began, frames = time.process_time(), 0
        frames += 1
        if message == "stop":
            break
    pipe.send((time.process_time() - began) / frames)


def sender(name: str, kind: str, size: str, address: str, seconds: float, pipe: Any) -> None:
    """Send for some seconds; tell frames a second and the CPU seconds of a frame."""
    image = picture(size)
    encode_here = kind == "JPEG" and name == "imagezmq"
    options = {"jpeg": QUALITY} if kind == "JPEG" and not encode_here else {}
    image_sender = package(name).ImageSender(address, **options)

    def send(message: str) -> None:
        if encode_here:
            _, jpg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            image_sender.send_jpg(message, jpg)
        else:
            image_sender.send_image(message, image)

    for _ in range(10):
        send("warm up")
    send("start")
    began, used, frames = time.perf_counter(), time.process_time(), 0
    while (took := time.perf_counter() - began) < seconds:
        send("frame")
        frames += 1
    used = time.process_time() - used
    send("stop")
    pipe.send((frames / took, used / frames))


def run(name: str, kind: str, size: str, seconds: float) -> tuple[float, float, float]:
    """Run one cell; return frames a second, sender's and hub's CPU seconds of a frame."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    receiving = context.Process(target=hub, args=(name, kind, theirs))
    receiving.start()
    address = ours.recv()
    back, there = context.Pipe()
    sending = context.Process(target=sender, args=(name, kind, size, address, seconds, there))
    sending.start()
    rate, sender_cpu = back.recv()
    hub_cpu = ours.recv()
    sending.join()
    receiving.join()
    return rate, sender_cpu, hub_cpu


def spread(ratios: list[float]) -> str:
    """Tell a median with the smallest and largest."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def main() -> None:
    """Measure all rows and print them as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of sending, per cell")
    arguments = parser.parse_args()
    names = ("imagezmq", "fastimagezmq")
    packages = (*names, "pyzmq", "numpy", "opencv-python-headless")
    print("; ".join(f"{name} {version(name)}" for name in packages), end="; ")
    print(f"Python {platform.python_version()}, {platform.machine()}")
    print()
    print("| frames | imagezmq, frames/s | fastimagezmq, frames/s | ratio (min-max) |", end="")
    print(" CPU of the sender | CPU of the hub |")
    print("|---|---|---|---|---|---|")
    for kind, size in ROWS:
        measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
        for number in range(arguments.rounds):
            for name in names if number % 2 else reversed(names):
                measured[name].append(run(name, kind, size, arguments.seconds))
        old, new = (measured[name] for name in names)
        rates = [statistics.median(cell[0] for cell in cells) for cells in (old, new)]
        ratios = [spread([b[i] / a[i] for a, b in zip(old, new, strict=True)]) for i in range(3)]
        print(
            f"| {kind} {size} | {rates[0]:.0f} | {rates[1]:.0f} | {ratios[0]} | {ratios[1]} "
            f"| {ratios[2]} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
