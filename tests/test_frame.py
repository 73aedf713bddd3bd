"""Frames: lazily decoded, showing themselves in a notebook."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from fastimagezmq import CodecError, Frame, decode_jpeg, encode_jpeg, jpeg_info
from fastimagezmq.frame import DecodeOptions
from photos import photo

COFFEE = photo("coffee")
HEIGHT, WIDTH = COFFEE.shape[:2]
JPEG = bytes(encode_jpeg(COFFEE, 85))


def test_a_jpeg_is_decoded_when_first_looked_at_and_once() -> None:
    frame = Frame("m", jpeg=JPEG)
    assert frame.jpeg is JPEG
    image = frame.image
    assert image is frame.image
    assert (image == decode_jpeg(JPEG)).all()
    image[:] = 0  # it is the program's own


def test_nothing_is_decoded_before() -> None:
    broken = Frame("m", jpeg=JPEG[:2000], timestamp=time.time(), sequence=4)
    assert broken.message == broken.camera == "m"
    assert broken.sequence == 4
    assert broken.age is not None
    assert 0 <= broken.age < 60
    assert "2000 bytes" in repr(broken)
    for _ in range(2):
        with pytest.raises(CodecError):
            _ = broken.image


def test_a_raw_frame() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    frame = Frame({"name": "x"}, image=image)
    assert frame.image is image
    assert frame.jpeg is frame.timestamp is frame.sequence is frame.age is None
    assert repr(frame) == "<Frame {'name': 'x'}: float32 (3, 4)>"


def test_decode_options_hold() -> None:
    frame = Frame("m", jpeg=JPEG, decode=DecodeOptions("GRAY", 0.5))
    assert frame.image.shape == (-(-HEIGHT // 2), -(-WIDTH // 2))
    frame = Frame("m", jpeg=JPEG, gray=True)
    assert frame.image.shape == (HEIGHT, WIDTH)
    frame = Frame("m", jpeg=JPEG, decode=DecodeOptions(max_pixels=10_000))
    with pytest.raises(CodecError, match="10000"):
        _ = frame.image


def test_repr_is_short() -> None:
    assert repr(Frame("m", jpeg=b"12345", sequence=7)) == ("<Frame 'm': JPEG, 5 bytes, sequence 7>")
    assert len(repr(Frame("m" * 1000, jpeg=b""))) < 80


@pytest.mark.parametrize("given", [{}, {"jpeg": JPEG, "image": COFFEE}])
def test_a_frame_is_one_or_the_other(given: Any) -> None:
    with pytest.raises(TypeError, match="either image= or jpeg="):
        Frame("m", **given)


# --- in a notebook -----------------------------------------------------------------


def test_a_jpeg_frame_shows_what_arrived() -> None:
    assert Frame("m", jpeg=memoryview(JPEG))._repr_jpeg_() == JPEG


@pytest.mark.parametrize(
    ("shape", "subsampling"),
    [((8, 16, 3), "420"), ((8, 16, 4), "420"), ((8, 16), "gray"), ((8, 16, 1), "gray")],
)
def test_a_raw_picture_shows_itself(shape: Any, subsampling: str) -> None:
    shown = Frame("m", image=np.full(shape, 77, np.uint8))._repr_jpeg_()
    assert shown is not None
    info = jpeg_info(shown)
    assert (info.width, info.height, info.subsampling) == (16, 8, subsampling)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 2), np.uint8),
        np.zeros((8,), np.uint8),
        np.zeros((0, 8), np.uint8),
        np.zeros((1, 65501), np.uint8),
        np.array(5, np.uint8),
    ],
)
def test_what_is_no_picture_is_told_in_words(image: Any) -> None:
    frame = Frame("m", image=image)
    assert frame._repr_jpeg_() is None
    assert repr(image.shape) in repr(frame)
