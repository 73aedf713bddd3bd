"""``pytest bench``: headers written and read, and frames made of the parts of a message."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fastimagezmq import encode_jpeg, wire

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

SHAPE = (480, 640, 3)
DTYPE = np.dtype(np.uint8)


@pytest.mark.benchmark(group="write a header")
def test_pixels_header(benchmark: BenchmarkFixture) -> None:
    header = benchmark(wire.pixels_header, "front door", DTYPE, SHAPE)
    assert wire.parse_header(header).shape == SHAPE


@pytest.mark.benchmark(group="write a header")
def test_stamped_pixels_header(benchmark: BenchmarkFixture) -> None:
    header = benchmark(wire.pixels_header, "front door", DTYPE, SHAPE, 1.7e9, 12)
    assert wire.parse_header(header).sequence == 12


@pytest.mark.benchmark(group="write a header")
def test_blob_header(benchmark: BenchmarkFixture) -> None:
    header = benchmark(wire.blob_header, "front door", wire.ENC_JPEG)
    assert wire.parse_header(header).encoding == wire.ENC_JPEG


@pytest.mark.benchmark(group="write a header")
def test_header_as_imagezmq_writes_it(benchmark: BenchmarkFixture) -> None:
    def write() -> bytes:
        fields = {"msg": "front door", "dtype": str(DTYPE), "shape": SHAPE}
        return json.dumps(fields).encode()

    assert benchmark(write) == wire.pixels_header("front door", DTYPE, SHAPE)


@pytest.mark.benchmark(group="read a header")
def test_header_like_the_one_before(benchmark: BenchmarkFixture) -> None:
    header = wire.pixels_header("front door", DTYPE, SHAPE)
    assert benchmark(wire.parse_header, header).message == "front door"


@pytest.mark.benchmark(group="read a header")
def test_header_unlike_those_before(benchmark: BenchmarkFixture) -> None:
    numbers = itertools.count()

    def another() -> tuple[tuple[bytes], dict[str, Any]]:
        return (wire.pixels_header("front door", DTYPE, SHAPE, 1.7e9, next(numbers)),), {}

    header = benchmark.pedantic(wire.parse_header, setup=another, rounds=5000)
    assert header.message == "front door"


@pytest.mark.benchmark(group="make a frame of parts")
def test_frame_of_pixels(benchmark: BenchmarkFixture) -> None:
    parts = [wire.pixels_header("front door", DTYPE, SHAPE), bytes(np.prod(SHAPE))]
    assert benchmark(wire.parse_frame, parts).image.shape == SHAPE


@pytest.mark.benchmark(group="make a frame of parts")
def test_frame_of_jpeg(benchmark: BenchmarkFixture) -> None:
    jpeg = bytes(encode_jpeg(np.zeros(SHAPE, np.uint8)))
    parts = [wire.blob_header("front door", wire.ENC_JPEG), jpeg]
    assert benchmark(wire.parse_frame, parts).image.shape == SHAPE
