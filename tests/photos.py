"""Real photographs, from scikit-image's wheel, as OpenCV would give them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from skimage import data

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("astronaut", "coffee", "chelsea", "motorcycle")


@functools.cache
def photo(name: str) -> NDArray[np.uint8]:
    """Return a photograph as a (h, w, 3) uint8 array in B,G,R order; do not write to it."""
    rgb = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    bgr = np.ascontiguousarray(rgb[..., ::-1], dtype=np.uint8)
    bgr.flags.writeable = False
    return bgr
