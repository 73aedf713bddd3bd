"""What must hold of any bytes from outside, wherever a fuzzer or a test has them from.

Each function takes bytes for something, and tells whether they are that. An exception that leaves
one is a find: only WireError, CodecError or SecurityError may come of bytes, with one sentence, and
no lease stays.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fastimagezmq import CodecError, SecurityError, WireError, authorized, keys, wire
from fastimagezmq._codec import (
    COLORSPACES,
    SUBSAMPLINGS,
    decode_jpeg,
    encode_jpeg,
    jpeg_info,
    pool_stats,
)
from fastimagezmq._libzmq import Ticket
from fastimagezmq.clocks import Clocks
from fastimagezmq.frame import DecodeOptions, Frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_BYTES = 1 << 16
MAX_PIXELS = 1 << 16
DECODE = DecodeOptions(max_pixels=MAX_PIXELS, threads=4)


def check_told(error: Exception | None) -> None:
    """One sentence without its full stop, that does not quote a whole message."""
    told = str(error)
    assert 10 < len(told) < 400, told
    assert "\n" not in told, told
    assert not told.endswith("."), told


def any_message(parts: Sequence[bytes]) -> bool:
    """Take parts for a message: a frame with a picture, or an error."""
    told: Exception | None = None
    try:
        header, body = wire.parse_parts(parts, max_bytes=MAX_BYTES)
        check_header(parts[0], header)
        frame = wire.frame_of(header, body, decode=DECODE)
        picture = frame.image
    except (WireError, CodecError) as error:
        told = error.with_traceback(None)  # which holds what was made so far
        picture = frame = None
    if told is not None or frame is None:
        check_told(told)
    else:
        check_frame(frame, header)
        if frame.jpeg is None:
            check_raw(picture, header, body)
    is_one = frame is not None
    del frame, picture
    assert pool_stats().leases == 0, "a lease is left"
    return is_one


def check_frame(frame: Frame, header: wire.Header) -> None:
    """A frame can be shown, and tells its age, whatever it says of its sender's clock."""
    assert repr(frame)
    if header.sequence is not None and header.timestamp is not None:
        clocks, before = Clocks(), header.before
        if before is not None:
            clocks.frame_came(before.sequence, before.timestamp, None, 1.0)
            clocks.replied(2.0, b"OK")
        frame.clock = clocks.frame_came(header.sequence, header.timestamp, before, 3.0)
    assert frame.age is None or math.isfinite(frame.age), frame.age


def check_header(raw: bytes, header: wire.Header) -> None:
    """The scanner that tells cameras finds what the parser finds."""
    found = Ticket(bytes(raw)).key
    assert found, "no message found in a header that has one"
    # Text that is nested too deeply to be written may still be read.
    with contextlib.suppress(RecursionError):
        assert json.dumps(json.loads(found)) == json.dumps(header.message)


def check_raw(picture: Any, header: wire.Header, body: bytes) -> None:
    """An array is all of the body, and can be sent on."""
    assert picture.nbytes == len(body)
    assert picture.dtype == header.dtype
    again = wire.parse_header(wire.pixels_header("m", picture.dtype, picture.shape))
    assert (again.dtype, again.shape) == (picture.dtype, picture.shape)


def any_jpeg(data: bytes) -> bool:
    """Take bytes for a JPEG; the last one chooses colours and scale."""
    data, wish = data[:-1], data[-1] if data else 0
    options: dict[str, Any] = {"colorspace": ("BGR", "RGBX", "GRAY", "YUV420")[wish % 4]}
    scale = 1 / (1 << (wish // 4 % 4))
    try:
        info = jpeg_info(data)
        array = decode_jpeg(data, scale=scale, max_pixels=MAX_PIXELS, threads=4, **options)
    except CodecError as error:
        check_told(error)
        array = None
    if array is not None:
        if wish % 4 < 3:
            sides = math.ceil(info.height * scale), math.ceil(info.width * scale)
            assert array.shape[:2] == sides
        # In memory of the caller's, on one thread: the same.
        out = np.empty_like(array)
        limits = {"max_pixels": MAX_PIXELS, "threads": 1}
        assert decode_jpeg(data, scale=scale, out=out, **limits, **options) is out
        assert np.array_equal(out, array)
    decoded = array is not None
    del array
    assert pool_stats().leases == 0, "a lease is left"
    return decoded


DTYPES = ("u1", "u1", "u1", "u1", "u1", "?", "i1", "u2", "f4")


def any_picture(data: bytes) -> bool:
    """Take bytes for an array of some shape, and choices of how to encode it."""
    chosen, samples = data[:12].ljust(12, b"\1"), data[12:] or b"\x80"
    sides = [side % 70 for side in chosen[:4]]
    dtype = np.dtype(DTYPES[chosen[4] % len(DTYPES)])
    shape = (*sides[:2], (3, 1, 4, sides[2])[sides[3] % 4])[: 1 + chosen[5] % 3]
    image: Any = np.resize(np.frombuffer(samples, np.uint8), (*shape, dtype.itemsize)).view(dtype)
    image = image[..., 0]
    for axis in range(image.ndim):  # also from behind, with gaps, and turned
        image = np.flip(image, axis) if chosen[6] >> axis & 1 else image
    image = image[:: 1 + (chosen[6] >> 3 & 1)]
    image = image.T if chosen[6] & 16 else image
    options: dict[str, Any] = {
        "subsampling": SUBSAMPLINGS[chosen[7] % len(SUBSAMPLINGS)],
        "colorspace": COLORSPACES[chosen[8] % len(COLORSPACES)],
        "restart_rows": chosen[9] % 4,
        "threads": chosen[10] % 5,
    }
    try:
        encoded = encode_jpeg(image, 1 + chosen[11] % 100, **options)
    except CodecError as error:
        check_told(error)
        encoded = None
    if encoded is not None:
        info = jpeg_info(encoded)
        assert decode_jpeg(encoded).shape == (info.height, info.width, 3)
    was_encoded = encoded is not None
    del encoded
    assert pool_stats().leases == 0, "a lease is left"
    return was_encoded


def any_key_file(data: bytes, path: Path) -> bool:
    """Take bytes, which are written to ``path``, for public keys, a secret key, and a list."""
    path.write_bytes(data)
    path.chmod(0o600)
    held: list[bool] = []
    for read in (keys.public_keys_in, keys.SecretKey.load, authorized.ListedKeys):
        try:
            held.append(bool(read(os.fspath(path))))
        except SecurityError as error:
            assert "\n" not in str(error)
            held.append(False)
    return any(held)
