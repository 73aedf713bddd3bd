"""What the tests send: photographs, arrays of odd kinds, blobs, and how to tell them apart."""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np
from skimage import data


def pixels() -> dict[str, Any]:
    """Give arrays by name: three photographs, and what programs make of arrays."""
    cat = data.chelsea()
    return {
        "astronaut": data.astronaut(),
        "coffee": data.coffee(),
        "cat": cat,
        "gray": np.ascontiguousarray(cat[:, :, 1]),
        "cut out": cat[40:200, 100:300],
        "RGB to BGR": cat[:, :, ::-1],
        "upside down": cat[::-1],
        "every third": cat[::3, ::3],
        "transposed": cat.transpose(2, 0, 1),
        "Fortran": np.asfortranarray(cat),
        "read-only": _read_only(cat),
        "broadcast": np.broadcast_to(np.uint8(7), (30, 40, 3)),
        "depth": cat[:, :, 0].astype(np.uint16) * 257,
        "float": cat.astype(np.float32) / 255,
        "big-endian": cat[:, :, 0].astype(">i4"),
        "bool": cat[:, :, 0] > 100,
        "complex": np.fft.fft(cat[0, :, 0]),
        "half": np.linspace(-1, 1, 100, dtype=np.float16),
        "long": np.arange(-10, 10, dtype=np.int64),
        "text": np.array(["front", "door"]),
        "0-d": np.array(2.5),
        "one pixel": np.full((1, 1, 3), 9, np.uint8),
        "empty": np.zeros((0, 640, 3), np.uint8),
        "no elements": np.zeros((0,), np.float64),
        "five dimensions": np.arange(64, dtype=np.uint8).reshape(2, 2, 2, 2, 4),
    }


def blobs() -> dict[str, Any]:
    """Give blobs by name: JPEGs as programs have them, and what else is sent as a blob."""
    cat = data.chelsea()
    encoded = cv2.imencode(".jpg", cat, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return {
        "JPEG of OpenCV, an array": encoded,
        "JPEG, bytes": encoded.tobytes(),
        "JPEG, bytearray": bytearray(encoded.tobytes()),
        "JPEG, memoryview": memoryview(encoded.tobytes()),
        "PNG": cv2.imencode(".png", cat)[1],
        "text": "Grüße vom Vogelhaus".encode(),
        "audio": np.sin(np.linspace(0, 2000, 16000)).astype("<f4").tobytes(),
        "one byte": b"\0",
        "nothing": b"",
    }


def _read_only(array: Any) -> Any:
    view = array.view()
    view.flags.writeable = False
    return view


def message_of(number: int, name: str) -> dict[str, Any]:
    """Give the message under which a test sends the frame of this number and name."""
    return {"camera": name, "number": number, "wörter": [None, True, 1.5]}


def description(message: Any, content: Any) -> dict[str, Any]:
    """Describe a frame such that two of them are the same if their descriptions are."""
    if isinstance(content, np.ndarray):
        kind = [str(content.dtype), list(content.shape)]
    else:
        kind = ["blob", [memoryview(content).nbytes]]
    raw = content.tobytes() if isinstance(content, np.ndarray) else bytes(content)
    return {"message": message, "kind": kind, "sha256": hashlib.sha256(raw).hexdigest()}


def descriptions(frames: dict[str, Any], *, as_blobs: bool = False) -> list[dict[str, Any]]:
    """Describe what a receiver must get when ``frames`` are sent one after another."""
    return [
        description(message_of(number, name), bytes(frame) if as_blobs else frame)
        for number, (name, frame) in enumerate(frames.items())
    ]
