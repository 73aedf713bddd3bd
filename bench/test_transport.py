"""``pytest bench``: a frame to a hub on another thread and its reply, beside imagezmq.

One process, so that both sides share Python's lock; ``python -m bench`` uses two.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import imagezmq
import numpy as np
import pytest
import zmq

import fastimagezmq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_benchmark.fixture import BenchmarkFixture

SIZES = {"64x48": (48, 64, 3), "320x240": (240, 320, 3), "1080p": (1080, 1920, 3)}
LIBRARIES = {"fastimagezmq": fastimagezmq, "imagezmq": imagezmq}
END = "end"


@contextlib.contextmanager
def answered(library: Any, **options: Any) -> Iterator[Callable[[str, Any], Any]]:
    """Give ``send_image`` of a sender whose frames a hub on a thread receives and answers."""
    hub = library.ImageHub("tcp://127.0.0.1:*")

    def serve() -> None:
        message = None
        while message != END:
            message, _ = hub.recv_image()
            hub.send_reply(b"OK")

    thread = threading.Thread(target=serve)
    thread.start()
    address = hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    sender = library.ImageSender(address, **options)
    try:
        yield sender.send_image
    finally:
        sender.send_image(END, np.zeros((16, 16, 3), np.uint8))
        thread.join()
        sender.close()
        hub.close()


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("size", SIZES)
def test_raw(benchmark: BenchmarkFixture, name: str, size: str) -> None:
    benchmark.group = f"raw {size}, there and back"
    with answered(LIBRARIES[name]) as send:
        assert benchmark(send, "front door", np.zeros(SIZES[size], np.uint8)) == b"OK"


@pytest.mark.parametrize("size", SIZES)
def test_jpeg(benchmark: BenchmarkFixture, size: str) -> None:
    benchmark.group = "JPEG, there and back"
    with answered(fastimagezmq, jpeg=80) as send:
        assert benchmark(send, "front door", np.zeros(SIZES[size], np.uint8)) == b"OK"


@pytest.mark.benchmark(group="open and close")
@pytest.mark.parametrize("name", LIBRARIES)
def test_opening_and_closing(benchmark: BenchmarkFixture, name: str) -> None:
    def once() -> None:
        with LIBRARIES[name].ImageSender("tcp://127.0.0.1:9"):
            pass

    benchmark(once)
