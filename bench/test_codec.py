"""``pytest bench``: the codec beside cv2, one picture at a time on one core of the caller's.

cv2 runs on one thread. ``threads=`` is left at its default: compare with that in mind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from skimage import data

import fastimagezmq

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

QUALITY = 80
SIZES = {"320x240": (320, 240), "640x480": (640, 480), "1080p": (1920, 1080)}


@pytest.fixture(autouse=True, scope="module")
def one_thread_for_cv2() -> Any:
    """Take cv2's own threads out of the comparison."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def picture(size: str) -> Any:
    """Give a photograph in B, G, R."""
    photo = np.ascontiguousarray(data.stereo_motorcycle()[0][..., ::-1])
    return cv2.resize(photo, SIZES[size], interpolation=cv2.INTER_AREA)


def jpeg_of(size: str) -> bytes:
    """Give it as JPEG."""
    return bytes(fastimagezmq.encode_jpeg(picture(size), QUALITY))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.benchmark(group="encode")
def test_encode(benchmark: BenchmarkFixture, size: str) -> None:
    image = picture(size)
    jpeg = benchmark(fastimagezmq.encode_jpeg, image, QUALITY)
    assert fastimagezmq.jpeg_info(jpeg).width == image.shape[1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.benchmark(group="encode")
def test_encode_with_cv2(benchmark: BenchmarkFixture, size: str) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    done, _ = benchmark(cv2.imencode, ".jpg", picture(size), options)
    assert done


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "gray"])
@pytest.mark.benchmark(group="encode 640x480, by subsampling")
def test_encode_subsampled(benchmark: BenchmarkFixture, subsampling: str) -> None:
    image = picture("640x480")
    jpeg = benchmark(fastimagezmq.encode_jpeg, image, QUALITY, subsampling=subsampling)
    assert fastimagezmq.jpeg_info(jpeg).subsampling == subsampling


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.benchmark(group="decode")
def test_decode(benchmark: BenchmarkFixture, size: str) -> None:
    image = benchmark(fastimagezmq.decode_jpeg, jpeg_of(size))
    assert image.shape[:2] == SIZES[size][::-1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.benchmark(group="decode")
def test_decode_with_cv2(benchmark: BenchmarkFixture, size: str) -> None:
    jpeg = np.frombuffer(jpeg_of(size), np.uint8)
    image = benchmark(cv2.imdecode, jpeg, cv2.IMREAD_COLOR)
    assert image.shape[:2] == SIZES[size][::-1]


@pytest.mark.parametrize(
    ("colorspace", "scale"),
    [
        ("BGR", 1),
        ("BGR", 1 / 2),
        ("BGR", 1 / 4),
        ("BGR", 1 / 8),
        ("GRAY", 1),
        ("GRAY", 1 / 2),
        ("YUV420", 1),
    ],
)
@pytest.mark.benchmark(group="decode 1080p on one thread, by what is wanted of it")
def test_decode_less(benchmark: BenchmarkFixture, colorspace: str, scale: float) -> None:
    options = {"colorspace": colorspace, "scale": scale, "threads": 1}
    image = benchmark(fastimagezmq.decode_jpeg, jpeg_of("1080p"), **options)
    assert image.shape[1] == 1920 * scale


@pytest.mark.benchmark(group="decode 640x480, into an array")
def test_decode_into(benchmark: BenchmarkFixture) -> None:
    out = np.empty((480, 640, 3), np.uint8)
    assert benchmark(fastimagezmq.decode_jpeg, jpeg_of("640x480"), out=out) is out


@pytest.mark.benchmark(group="jpeg_info")
def test_info(benchmark: BenchmarkFixture) -> None:
    assert benchmark(fastimagezmq.jpeg_info, jpeg_of("640x480")).height == 480
