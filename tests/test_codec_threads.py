"""Several Python threads encode and decode at once, without the GIL."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fastimagezmq
from fastimagezmq._codec import decode_jpeg, encode_jpeg, pool_stats
from fastimagezmq.errors import CodecError
from photos import NAMES, photo
from test_codec_decode import by_pillow


def test_many_threads_get_what_one_gets() -> None:
    jobs = [(name, quality) for name in NAMES for quality in (40, 90)]
    expected = {job: bytes(encode_jpeg(photo(job[0]), job[1])) for job in jobs}
    pixels = {job: hashlib.sha256(decode_jpeg(expected[job])).digest() for job in jobs}
    progressive = by_pillow(photo("chelsea"), progressive=True)
    chelsea = decode_jpeg(progressive)
    before = pool_stats().leases

    def work(number: int) -> None:
        job = jobs[number % len(jobs)]
        jpeg = encode_jpeg(photo(job[0]), job[1])
        assert bytes(jpeg) == expected[job]
        assert hashlib.sha256(decode_jpeg(jpeg)).digest() == pixels[job]
        with pytest.raises(CodecError):
            decode_jpeg(memoryview(jpeg)[:-100])
        if number % 5 == 0:
            assert np.array_equal(decode_jpeg(progressive), chelsea)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(96)))
    assert pool_stats().leases == before


def test_the_gil_is_free_meanwhile() -> None:
    """Another thread counts on while a large picture is encoded and decoded."""
    image = np.tile(photo("astronaut"), (12, 12, 1))
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(0.001):
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        started = time.perf_counter()
        jpeg = encode_jpeg(image)
        encoded = time.perf_counter()
        decode_jpeg(jpeg)
        decoded = time.perf_counter()
    finally:
        stop.set()
        thread.join()
    assert sum(started < moment < encoded for moment in ticks) >= 10
    assert sum(encoded < moment < decoded for moment in ticks) >= 10


def test_a_fresh_process_imports_and_ends_in_silence() -> None:
    """A fresh process imports, encodes and ends with nothing on its output."""
    code = (
        "import numpy, fastimagezmq._codec as c;"
        "j = c.encode_jpeg(numpy.zeros((9, 9, 3), numpy.uint8));"
        "assert c.decode_jpeg(j).shape == (9, 9, 3)"
    )
    source = str(Path(fastimagezmq.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
