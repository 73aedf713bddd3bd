"""Photographs of scikit-image as tests want them: BGR uint8, in memory as OpenCV has them."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from skimage import data

Pixels = npt.NDArray[np.uint8]

NAMES = ("astronaut", "coffee", "chelsea", "motorcycle")


@cache
def photo(name: str) -> Pixels:
    """Return one of `NAMES` as a read-only C-contiguous (h, w, 3) array in B, G, R."""
    rgb = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    bgr.flags.writeable = False
    return bgr


def crop(width: int, height: int, name: str = "astronaut") -> Pixels:
    """Return a writable C-contiguous copy of a photograph's middle."""
    whole = photo(name)
    top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
    return whole[top : top + height, left : left + width].copy()
