"""How many Mbit/s a stream takes, by picture size and JPEG quality.

    python bench/bandwidth.py [--fps 10] [--video clip.mp4]

The photographs of ``make bench``, at their sizes, and the frames of a video as they are. Headers,
replies and TCP add less than 2 % to frames of 10 kB and more.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from bench import plan
from bench.measure import pictures
from fastimagezmq import encode_jpeg

QUALITIES = (50, 70, 80, 85, 95)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--video", type=Path)
    arguments = parser.parse_args()
    print(f"| frames | raw | {' | '.join(f'JPEG {quality}' for quality in QUALITIES)} |")
    print(f"|---|---|{'---|' * len(QUALITIES)}")
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            name: pictures.photographs(Path(folder), size)
            for name, size in plan.SIZES.items()
            if name != "64x48"
        }
        if arguments.video:
            path, (width, height) = pictures.video(Path(folder), arguments.video)
            paths[f"video {width}x{height}"] = path
        for name, path in paths.items():
            images = np.load(path)
            cells = [images[0].nbytes]
            cells += [
                statistics.fmean(len(encode_jpeg(image, quality)) for image in images)
                for quality in QUALITIES
            ]
            told = [f"{nbytes * 8 * arguments.fps / 1e6:.3g}" for nbytes in cells]
            print(f"| {name} | {' | '.join(told)} |")


if __name__ == "__main__":
    main()
