"""What the codec alone takes: the limit that no transport can pass."""

from __future__ import annotations

import inspect
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from .children import Child

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

THREADS = (1, 2, 0)
"""Numbers of threads that are measured; 0 is as many as help."""

_GRACE_SECONDS = 45
_ROUNDS = 3


def run(pictures: str, quality: int, seconds: float) -> dict[str, Any]:
    """Measure encoding and decoding in a fresh process.

    Args:
        pictures: a .npy file of shape (n, h, w, 3), uint8, in B, G, R.
        quality: of the JPEG.
        seconds: how long it may take, roughly.

    Returns:
        ``encode`` and ``decode``: seconds a picture by number of threads (as text, for
        JSON; only "1" where there is no ``threads=``), and ``bytes``: of a JPEG, on average.
        Of each picture the median counts; these are averaged, since a stream has them all.
    """
    deadline = time.monotonic() + seconds + _GRACE_SECONDS
    with Child("codec", _be_codec, pictures, quality, seconds) as child:
        measured: dict[str, Any] = child.hear(deadline)
    return measured


def _be_codec(pictures: str, quality: int, seconds: float, pipe: Connection) -> None:
    from fastimagezmq import decode_jpeg, encode_jpeg  # noqa: PLC0415 (in this process only)

    images = [image.copy() for image in np.load(pictures)]
    has_threads = "threads" in inspect.signature(encode_jpeg).parameters
    counts = THREADS if has_threads else (1,)
    options = {count: {"threads": count} if has_threads else {} for count in counts}
    times: dict[tuple[str, int, int], list[float]] = {}
    sizes = [len(encode_jpeg(image, quality)) for image in images]
    end = time.monotonic() + seconds
    rounds = 0
    while rounds < _ROUNDS or time.monotonic() < end:
        for number, image in enumerate(images):
            # The numbers of threads take turns call by call: what slows one slows all.
            for count in counts:
                began = time.perf_counter()
                jpeg = encode_jpeg(image, quality, **options[count])
                encoded = time.perf_counter()
                decode_jpeg(jpeg, **options[count])
                decoded = time.perf_counter()
                times.setdefault(("encode", count, number), []).append(encoded - began)
                times.setdefault(("decode", count, number), []).append(decoded - encoded)
        rounds += 1
    told: dict[str, Any] = {"bytes": statistics.mean(sizes)}
    for what in ("encode", "decode"):
        told[what] = {
            str(count): statistics.mean(
                statistics.median(times[what, count, number]) for number in range(len(images))
            )
            for count in counts
        }
    pipe.send(told)
