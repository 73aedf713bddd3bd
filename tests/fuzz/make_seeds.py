"""Writes tests/fuzz/seeds, a folder for each kind of bytes: with what a fuzzer begins.

They are small and few, and in git, since libraries of JPEG write other bytes from version to
version. Run it, with tests in PYTHONPATH, when a target takes its bytes otherwise; files that it
does not write, such as those of earlier finds, stay.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fastimagezmq import encode_jpeg, keys, wire
from fastimagezmq._codec import COLORSPACES
from fastimagezmq.clocks import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEDS = Path(__file__).parent / "seeds"
SEPARATOR = b"\n--\n"  # as python_target.py's

# The example of zmq_curve(7), which all the world knows.
PUBLIC = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
SECRET = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"


def slopes(width: int, height: int) -> Any:
    """A picture with an edge, that takes few bytes."""
    y, x = np.mgrid[:height, :width]
    return np.stack([4 * x, 4 * y, 160 * (x > y)], axis=2).astype(np.uint8)


def by_pillow(image: Any, **options: Any) -> bytes:
    """A JPEG with tables of its own."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=60, optimize=True, **options)
    return file.getvalue()


def jpegs() -> Iterator[tuple[str, bytes]]:
    """Each kind that may come, without the byte that chooses colours and scale."""
    image = slopes(24, 20)
    for sampling in ("420", "422", "444"):
        yield sampling, by_pillow(image, subsampling=f"{sampling[0]}:{sampling[1]}:{sampling[2]}")
    yield "gray", by_pillow(image[..., 0])
    yield "restarts", bytes(encode_jpeg(slopes(20, 70), 30, threads=1))
    yield "gray-restarts", bytes(encode_jpeg(slopes(9, 33), 30, subsampling="gray"))
    yield "progressive", by_pillow(image, progressive=True)
    yield "gray-progressive", by_pillow(image[..., 0], progressive=True)
    yield "truncated", by_pillow(image)[:-9]


def messages() -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """A message of each kind, and some that are none."""
    u1, before = np.dtype("u1"), Exchange(6, 1.5, 1.6, 1.75)
    files = dict(jpegs())
    yield "raw", (wire.pixels_header("cam", u1, (2, 3, 3)), bytes(range(18)))
    yield "float", (wire.pixels_header(["a", 1], np.dtype("<f4"), (2, 2)), bytes(16))
    yield "stamped", (wire.pixels_header("c", u1, (4,), 2.5, 7, before), b"abcd")
    yield "rest", (b'{"msg": {"n": 1}, "dtype": "|u1", "shape": [-1, 2]}', b"abcdef")
    yield "time", (b'{"msg": null, "dtype": "<M8[ns]", "shape": [1]}', bytes(8))
    yield "jpeg", (wire.blob_header("cam", wire.ENC_JPEG, 2.5, 7), files["420"])
    yield "jpeg-gray", (wire.blob_header(True, wire.ENC_JPEG_GRAY), files["gray"])
    yield "jpeg-plain", (wire.blob_header("k\u00fc"), files["gray-restarts"])
    yield "blob", (wire.blob_header("text"), b"no picture")
    yield "one-part", (b'{"msg": 1}',)
    yield "three-parts", (b'{"msg": 1}', b"", b"")


def headers() -> Iterator[tuple[str, str]]:
    """A header, a line feed, and the name of a member of its message."""
    yield "text", '{"msg": "cam", "dtype": "uint8", "shape": [480, 640, 3]}\n'
    yield "member", '{"seq": 12, "msg": {"name": "door", "n": [{"a": "}"}]}}\nname'
    yield "escapes", '{"\\u006d\\u0073g": {"k\\u00fc\\"": "\\\\"}, "ts": 1.5}\nk\\u00FC\\"'
    yield "twice", ' { "msg" : 1 , "msg" : {"a":{"b":null}, "a":true} }\r\na'


def pictures_in_c() -> Iterator[tuple[str, bytes]]:
    """A picture of each layout, and how to encode it: see encode.c."""
    for layout, name in enumerate(("BGR", "RGB", "BGRX", "RGBX", "GRAY", "YUV420")):
        sides = 17 + 7 * layout, 50 - 5 * layout
        choices = layout, layout % 4, 60, layout % 3, *sides, layout, layout & 1
        yield name, bytes(choices) + b"\x10\xe0\x40"


def pictures_in_python() -> Iterator[tuple[str, bytes]]:
    """Likewise, of any_picture in any_bytes.py."""
    for space, name in enumerate(COLORSPACES[:6]):
        axes, channels = (1, 0) if name in ("GRAY", "YUV420") else (2, 2 * name.endswith("X"))
        shape = (30, 22, 0, channels)
        yield name, bytes((*shape, 0, axes, 8 + space, 2, space, 1, 3, 60)) + b"\x10\xe0\x40"


def write(folder: str, name: str, data: bytes) -> None:
    """Write one file."""
    (SEEDS / folder).mkdir(parents=True, exist_ok=True)
    (SEEDS / folder / name).write_bytes(data)


def main() -> None:
    """Write all."""
    for number, (name, data) in enumerate(jpegs()):
        write("jpeg", name, data + struct.pack("B", (0, 0, 4, 2, 9, 0)[number % 6]))
    for name, parts in messages():
        write("message", name, SEPARATOR.join(parts))
    for name, text in headers():
        write("header", name, text.encode())
    for folder, pictures in (("encode", pictures_in_c()), ("picture", pictures_in_python())):
        for name, data in pictures:
            write(folder, name, data)
    # what, of which camera, with which number: see newest.c
    put, look, take, count = 5, 0, 1, 3
    calls = [put, 1, 4, put, 2, 6, put, 1, 6, look, 0, 0, take, 0, 0, put, 1, 6, count, 0, 0]
    write("newest", "turns", bytes([3, *calls, *calls]))
    write("newest", "forgotten", bytes([1, *(b for key in range(16) for b in (put, key, key))]))
    write("newest", "closed", bytes([2, put, 0, 0, put, 9, 0, 0xFC, 0, 0, put, 9, 2, take, 0, 0]))
    public, secret = f'    public-key = "{PUBLIC}"\n', f'    secret-key = "{SECRET}"\n'
    write("key_file", "public", keys.public_text("door", keys.PublicKey(PUBLIC)))
    write("key_file", "secret", f"curve\n{public}{secret}".encode())
    write("key_file", "list", f"# two\n{public}{public}".encode())


if __name__ == "__main__":
    main()
