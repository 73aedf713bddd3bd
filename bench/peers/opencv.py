"""JPEG as programs do it that have no codec of their own: with cv2, on one thread."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

cv2.setNumThreads(1)


def encode(image: Any, quality: int) -> Any:
    """Encode an image in B, G, R; gives a uint8 array."""
    done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return jpeg


def decode(jpeg: Any) -> Any:
    """Decode a buffer that holds a JPEG."""
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
