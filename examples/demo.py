#!/usr/bin/env python3
"""Stream pictures through fastimagezmq and print how fast it went.

A sender in one process encodes pictures as JPEG and sends them over TCP to a
hub in another process, which decodes every one. The pictures are read and
decoded beforehand, so that only fastimagezmq is measured.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import signal
import sys
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zmq

import fastimagezmq as imagezmq

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]  # (height, width, 3), R, G, B

MAX_PICTURES = 300
MAX_BYTES = 256 * 2**20
IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
LAST = "last"  # the message of the last picture; those before it have the message "demo"


class SourceError(Exception):
    """The pictures cannot be had; the text says why in one sentence."""


def photographs() -> Iterator[Picture]:
    """Give the colour photographs that scikit-image's wheel carries."""
    from skimage import data  # noqa: PLC0415 (only here is it needed)

    yield data.astronaut()
    yield data.coffee()
    yield data.chelsea()
    yield data.stereo_motorcycle()[0]


def image_files(paths: Iterable[Path], *, alone: bool = False) -> Iterator[Picture]:
    """Decode image files: JPEG by fastimagezmq itself, other kinds by Pillow.

    A file that is not alone is passed over, with a note, if it cannot be read.
    """
    from PIL import Image  # noqa: PLC0415

    for path in paths:
        try:
            if path.suffix.lower() in {".jpg", ".jpeg"}:
                yield imagezmq.decode_jpeg(path.read_bytes(), colorspace="RGB")
            else:
                with Image.open(path) as image:
                    yield np.asarray(image.convert("RGB"))
        except (OSError, ValueError) as error:  # CodecError is a ValueError
            if alone:
                raise SourceError(f"cannot read {path}: {error}") from error
            print(f"passing over {path}: {error}", file=sys.stderr)


def video(path: Path) -> Iterator[Picture]:
    """Decode the first video stream of a file."""
    import av  # noqa: PLC0415

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise SourceError(f"there is no video in {path}")
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except av.FFmpegError as error:
        raise SourceError(f"cannot read {path} as a video: {error.strerror}") from error


def load(source: Path | None) -> list[Picture]:
    """Decode as many pictures of the source as MAX_PICTURES and MAX_BYTES allow."""
    if source is None:
        pictures = photographs()
    elif source.is_dir():
        paths = sorted(path for path in source.iterdir() if path.suffix.lower() in IMAGES)
        pictures = image_files(paths)
    elif source.suffix.lower() in IMAGES:
        pictures = image_files([source], alone=True)
    elif source.exists():
        pictures = video(source)
    else:
        raise SourceError(f"there is no file or folder {source}")
    loaded: list[Picture] = []
    size = 0
    for picture in itertools.islice(pictures, MAX_PICTURES):
        size += picture.nbytes
        if loaded and size > MAX_BYTES:
            break
        loaded.append(picture)
    if not loaded:
        raise SourceError(f"there are no pictures in {source}")
    return loaded


def send(address: str, source: Path | None, quality: int, seconds: float, pipe: Connection) -> None:
    """Be the sender: load the pictures, tell their sizes, then send them round and round."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process sees to Ctrl-C
    try:
        pictures = load(source)
    except SourceError as error:
        pipe.send(error)
        return
    except ModuleNotFoundError as error:
        pipe.send(SourceError(f"{error.name} is missing: run make demo"))
        return
    sizes = sorted({(picture.shape[1], picture.shape[0]) for picture in pictures})
    pipe.send((len(pictures), sizes[0], sizes[-1]))
    with imagezmq.ImageSender(address, jpeg=quality, colorspace="RGB", stamp=True) as sender:
        end = time.monotonic() + seconds
        for picture in itertools.cycle(pictures):
            last = time.monotonic() >= end
            sender.send_image(LAST if last else "demo", picture)
            if last:
                return


def receive(output: Path, pipe: Connection) -> None:
    """Be the hub: decode each picture, reply, and in the end tell what was measured."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    latencies = []  # seconds
    pixel_bytes = jpeg_bytes = 0
    with imagezmq.ImageHub("tcp://127.0.0.1:*") as hub:  # *: any free port
        pipe.send(hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
        while True:
            frame = hub.recv_frame()
            image = frame.image  # decoded here
            latencies.append(time.time() - frame.timestamp)
            if len(latencies) == 1:
                began = time.monotonic() - latencies[0]
            pixel_bytes += image.nbytes
            jpeg_bytes += len(frame.jpeg)
            hub.send_reply(b"OK")
            if frame.message == LAST:
                break
        seconds = time.monotonic() - began
    output.write_bytes(frame.jpeg)
    height, width = image.shape[:2]
    pipe.send((latencies, seconds, pixel_bytes, jpeg_bytes, width, height))


def start(target: Any, *arguments: Any) -> tuple[multiprocessing.Process, Connection]:
    """Start a process, and give the end of a pipe that the process's own words come out of."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(*arguments, theirs), daemon=True)
    process.start()
    theirs.close()  # now reading from ours ends when the process does
    return process, ours


def stream(arguments: argparse.Namespace) -> None:
    """Let the two processes work and print what they tell."""
    hub, from_hub = start(receive, arguments.output)
    address = from_hub.recv()
    sender, from_sender = start(
        send, address, arguments.source, arguments.quality, arguments.seconds
    )
    told = from_sender.recv()
    if isinstance(told, SourceError):
        raise told
    count, smallest, largest = told
    sizes = " to ".join(f"{width}x{height}" for width, height in sorted({smallest, largest}))
    print(f"source       {arguments.source or 'photographs from scikit-image'}")
    print(f"pictures     {count}, {sizes}")
    print(f"sender       a process of its own; JPEG, quality {arguments.quality}")
    print(f"hub          another process at {address}; decodes every frame", flush=True)

    # A sender that failed has printed why; the hub would wait for its frames for ever.
    if sender.sentinel in wait([from_hub, sender.sentinel]) and sender.exitcode != 0:
        raise EOFError
    latencies, seconds, pixel_bytes, jpeg_bytes, width, height = from_hub.recv()
    sender.join()
    hub.join()

    p50, p99 = np.percentile(latencies, [50, 99])
    print(f"""
frames/s     {len(latencies) / seconds:.1f}   ({len(latencies)} frames in {seconds:.1f} s)
pixels       {pixel_bytes / seconds / 1e6:.1f} MB/s
JPEG         {jpeg_bytes / seconds / 1e6:.1f} MB/s
compression  {pixel_bytes / jpeg_bytes:.1f} : 1
latency p50  {p50 * 1e3:.2f} ms   from the picture to the decoded picture
latency p99  {p99 * 1e3:.2f} ms
last frame   {arguments.output} ({width}x{height})""")


def quality(text: str) -> int:
    """Read the option --quality."""
    if not 1 <= int(text) <= 100:
        raise ValueError
    return int(text)


def main() -> int:
    """Run the demo; gives the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source",
        type=Path,
        metavar="PATH",
        help="a video file or a folder of images; default: photographs from scikit-image",
    )
    parser.add_argument(
        "--seconds", type=float, default=5, help="how long to stream (default: %(default)s)"
    )
    parser.add_argument(
        "--quality", type=quality, default=85, help="JPEG quality, 1 to 100 (default: %(default)s)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        default=Path("demo-last-frame.jpg"),
        help="where to write the last frame received (default: %(default)s)",
    )
    arguments = parser.parse_args()
    if not arguments.output.parent.is_dir():
        parser.error(f"there is no folder {arguments.output.parent}")
    multiprocessing.set_start_method("spawn")  # a forked child would share ZeroMQ's state
    try:
        stream(arguments)
    except SourceError as error:
        print(f"demo.py: {error}", file=sys.stderr)
        return 2
    except EOFError:  # from a pipe: the process at its other end failed, and has printed why
        print("demo.py: stopped, since a process failed", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
