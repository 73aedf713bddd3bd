"""What is sent: photographs at a size, or the frames of a video, as .npy files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

MOST_VIDEO_FRAMES = 48
_MOST_ENLARGED = 2  # above it a photograph is smoother than any camera's picture


class NoPicturesError(Exception):
    """A video that cannot be read; the text says why in one sentence."""


def photographs(folder: Path, size: tuple[int, int]) -> Path:
    """Write different photographs of (width, height) to a .npy file; gives its path.

    A photograph fills the picture, enlarged twice at most; what is still empty then is
    filled with its reflections.
    """
    from skimage import data  # noqa: PLC0415 (takes a second)

    path = folder / f"{size[0]}x{size[1]}.npy"
    if not path.exists():
        sources = [
            data.stereo_motorcycle()[0],
            data.astronaut(),
            data.coffee(),
            data.chelsea(),
        ]
        np.save(path, np.stack([_fitted(source, *size) for source in sources]))
    return path


def _fitted(rgb: Any, width: int, height: int) -> Any:
    factor = min(_MOST_ENLARGED, max(width / rgb.shape[1], height / rgb.shape[0]))
    scaled = (round(rgb.shape[1] * factor), round(rgb.shape[0] * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    image = cv2.resize(np.ascontiguousarray(rgb[..., ::-1]), scaled, interpolation=how)
    image = image[:height, :width]
    below, right = height - image.shape[0], width - image.shape[1]
    return np.pad(image, ((0, below), (0, right), (0, 0)), mode="symmetric")


def video(folder: Path, source: Path) -> tuple[Path, tuple[int, int]]:
    """Write the first frames of a video to a .npy file; gives its path and (width, height).

    Raises:
        NoPicturesError: it cannot be read.
    """
    import av  # noqa: PLC0415 (only for those who give a video)

    images = []
    try:
        with av.open(str(source)) as container:
            for frame in container.decode(video=0):
                images.append(frame.to_ndarray(format="bgr24"))
                if len(images) == MOST_VIDEO_FRAMES:
                    break
    except (OSError, IndexError, av.FFmpegError) as error:
        raise NoPicturesError(f"cannot read {source} as a video: {error}") from error
    if not images:
        raise NoPicturesError(f"there are no pictures in {source}")
    path = folder / "video.npy"
    np.save(path, np.stack(images))
    height, width = images[0].shape[:2]
    return path, (width, height)
