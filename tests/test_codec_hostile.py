"""JPEGs that are cut, changed, forged or of unsupported kinds: one sentence, nothing kept."""

from __future__ import annotations

import gc
import io
import re
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fastimagezmq._codec import decode_jpeg, encode_jpeg, jpeg_info, pool_stats
from fastimagezmq.errors import CodecError
from photos import crop
from test_codec_decode import ARITHMETIC, TWO_COMPONENTS, by_pillow

PLAIN = bytes(encode_jpeg(crop(60, 44), restart_rows=0))
RESTARTS = bytes(encode_jpeg(crop(60, 44), restart_rows=1))
PROGRESSIVE = by_pillow(crop(60, 44), progressive=True)
GRAY = bytes(encode_jpeg(crop(60, 44), subsampling="gray", restart_rows=0))
FILES = {
    "plain": PLAIN,
    "restarts": RESTARTS,
    "progressive": PROGRESSIVE,
    "gray": GRAY,
    "arithmetic": ARITHMETIC,
}
EOI = b"\xff\xd9"


def frame_at(jpeg: bytes) -> int:
    """Return the offset of the frame header (SOF0, SOF1, SOF2 or SOF9)."""
    found = re.search(rb"\xff[\xc0\xc1\xc2\xc9]\x00", jpeg)
    assert found is not None
    return found.start()


def entropy_at(jpeg: bytes) -> int:
    """Return the offset of the first byte after the first scan's header."""
    scan = jpeg.index(b"\xff\xda")
    return scan + 2 + struct.unpack_from(">H", jpeg, scan + 2)[0]


def sized(jpeg: bytes, width: int, height: int) -> bytes:
    """Return the file with other sides in its header."""
    changed = bytearray(jpeg)
    struct.pack_into(">HH", changed, frame_at(jpeg) + 5, height, width)
    return bytes(changed)


def patched(jpeg: bytes, at: int, value: int) -> bytes:
    changed = bytearray(jpeg)
    changed[at] = value
    return bytes(changed)


def refusal(data: bytes, **options: object) -> str:
    """Return what decode_jpeg says; no lease is left and the next decode works."""
    before = pool_stats().leases
    with pytest.raises(CodecError) as caught:
        decode_jpeg(data, **options)
    told = str(caught.value)
    del caught
    assert pool_stats().leases == before
    assert decode_jpeg(PLAIN).shape == (44, 60, 3)
    assert "\n" not in told
    assert not told.endswith(".")
    return told


# Cut


@pytest.mark.parametrize("name", FILES)
def test_every_proper_prefix_is_refused(name: str) -> None:
    jpeg = FILES[name]
    assert decode_jpeg(jpeg).ndim == 3
    assert jpeg.endswith(EOI)
    for size in range(len(jpeg)):
        told = refusal(jpeg[:size])
        if size >= 4:
            assert told.startswith("JPEG data is truncated: "), told


def test_what_a_cut_file_is_told() -> None:
    assert refusal(b"") == "there is no JPEG data: the buffer is empty"
    assert refusal(PLAIN[:2]) == (
        "JPEG data is truncated: its 2 bytes end within the header; pass the whole file"
    )
    assert refusal(PLAIN[:-200]) == (
        f"JPEG data is truncated: it ends at byte {len(PLAIN) - 200}, before the picture is "
        "complete; pass the whole file"
    )


@pytest.mark.parametrize("name", ["plain", "restarts", "gray"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_missing_data_before_a_proper_end_is_refused(name: str, share: float) -> None:
    jpeg = FILES[name]
    start = entropy_at(jpeg)
    cut = start + int((len(jpeg) - start) * share)
    assert re.fullmatch(
        r"JPEG data is corrupt near byte \d+: part of the picture is missing \(.*\)",
        refusal(jpeg[:cut].rstrip(b"\xff") + EOI),
    )


def test_a_wrong_restart_marker_is_refused() -> None:
    first = RESTARTS.index(b"\xff\xd0")
    assert "part of the picture is missing (Corrupt JPEG data: found marker 0xd5" in refusal(
        patched(RESTARTS, first + 1, 0xD5)
    )
    second = RESTARTS.index(b"\xff\xd1")
    assert "is corrupt near byte" in refusal(RESTARTS[:first] + RESTARTS[second:])


def with_three_components(gray: bytes) -> bytes:
    """Return a gray file whose frame header names two more components, which never come."""
    frame = frame_at(gray)
    header = gray[frame : frame + 2] + b"\x00\x11" + gray[frame + 4 : frame + 9]
    return gray[:frame] + header + b"\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00" + gray[frame + 13 :]


@pytest.mark.parametrize("progressive", [False, True])
def test_a_component_that_no_scan_brings_is_refused(progressive: bool) -> None:
    file = io.BytesIO()
    Image.fromarray(crop(60, 44)[..., 1]).save(file, "JPEG", progressive=progressive)
    assert decode_jpeg(file.getvalue()).shape == (44, 60, 3)
    forged = with_three_components(file.getvalue())
    assert jpeg_info(forged)[2:] == ("444", 3, 0, progressive)
    told = refusal(forged)
    assert told == "JPEG data is truncated: no scan brings its colour component 2"


# Changed


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_changed_bytes_are_refused_or_decoded(name: str, data: st.DataObject) -> None:
    jpeg = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        jpeg[data.draw(st.integers(0, len(jpeg) - 1))] = data.draw(st.integers(0, 255))
    before = pool_stats().leases
    for options in ({}, {"colorspace": "GRAY", "scale": 0.5}, {"colorspace": "YUV420"}):
        try:
            array = decode_jpeg(jpeg, max_pixels=1 << 20, **options)
        except CodecError as error:
            assert len(str(error)) > 20
        else:
            assert array.size > 0
            del array
    assert pool_stats().leases == before
    expected = decode_jpeg(FILES[name])
    assert np.array_equal(decode_jpeg(FILES[name]), expected)


@given(st.binary(max_size=400))
def test_any_bytes_after_a_start_are_refused(noise: bytes) -> None:
    for data in (noise, b"\xff\xd8\xff" + noise, PLAIN[: frame_at(PLAIN)] + noise):
        with pytest.raises(CodecError):
            decode_jpeg(data)


# Forged


def test_a_small_file_that_claims_a_huge_picture_is_refused_at_once() -> None:
    bomb = sized(bytes(encode_jpeg(np.zeros((16, 16, 3), np.uint8))), 65500, 65500)
    assert len(bomb) < 740
    assert jpeg_info(bomb)[:2] == (65500, 65500)
    before = pool_stats()
    times = []
    for limit in (1 << 27, 1 << 40):
        for _ in range(20):
            start = time.perf_counter()
            with pytest.raises(CodecError):
                decode_jpeg(bomb, max_pixels=limit)
            times.append(time.perf_counter() - start)
    assert sorted(times)[len(times) // 2] < 0.001
    assert pool_stats()[:2] == before[:2]
    assert refusal(bomb) == (
        "JPEG of 65500x65500 pixels is larger than max_pixels (134217728): raise max_pixels if you "
        "trust the sender"
    )
    told = refusal(bomb, max_pixels=1 << 40)
    assert told.startswith("JPEG data is truncated: 65500x65500 pixels take ")
    assert re.search(r" take \d{8,9} bytes after the header at the very least, here are \d+$", told)


def test_a_progressive_claim_is_refused_too() -> None:
    told = refusal(sized(PROGRESSIVE, 10_000, 10_000))
    assert told.startswith("JPEG data is truncated: 10000x10000 pixels take 292")


def test_the_shortest_honest_file_is_not_taken_for_a_forgery() -> None:
    flat = encode_jpeg(np.full((2000, 2000, 3), 128, np.uint8))
    assert decode_jpeg(flat).shape == (2000, 2000, 3)
    progressive = by_pillow(
        np.full((2000, 2000, 3), 128, np.uint8), progressive=True, optimize=True
    )
    assert decode_jpeg(progressive).shape == (2000, 2000, 3)


def test_many_scans_are_refused() -> None:
    forged = with_three_components(GRAY)
    scan = forged[forged.index(b"\xff\xda") : -2]
    # the missing component is waited for, scan after scan
    assert refusal(forged[:-2] + scan * 3 + EOI) == (
        "JPEG data is truncated: no scan brings its colour component 2"
    )
    assert refusal(forged[:-2] + scan * 150 + EOI) == (
        "JPEG has too many scans, as no camera or program writes them"
    )


def test_a_progressive_scan_that_comes_twice_is_refused() -> None:
    scan = PROGRESSIVE.index(b"\xff\xda")
    after = re.compile(rb"\xff[^\x00]").search(PROGRESSIVE, entropy_at(PROGRESSIVE))
    assert after is not None
    repeated = PROGRESSIVE[: after.start()] + PROGRESSIVE[scan:]
    assert refusal(repeated).endswith(
        "(Inconsistent progression sequence for component 0 coefficient 0)"
    )


# Kinds that are not supported, and headers that are none


def cmyk() -> bytes:
    file = io.BytesIO()
    Image.new("CMYK", (60, 44), (1, 2, 3, 4)).save(file, "JPEG")
    return file.getvalue()


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (60, 44)).save(file, "PNG")
    return file.getvalue()


FRAME = frame_at(PLAIN)
SCAN = PLAIN.index(b"\xff\xda")
NO_START = "data is not a JPEG: no start-of-image marker (FF D8 FF) in its first "
REFUSED = {
    "a PNG": (png(), f"{NO_START}{len(png())} bytes, which begin with 89 50"),
    "one byte": (b"x", f"{NO_START}1 bytes, which begin with 78 00"),
    "zeros": (bytes(100_000), f"{NO_START}65536 bytes, which begin with 00 00"),
    "a start too late": (bytes(70_000) + PLAIN, f"{NO_START}65536 bytes, which begin with 00 00"),
    "CMYK": (
        cmyk(),
        (
            "JPEG has 4 colour components (CMYK or YCCK); 1 (gray) and 3 (colour) are "
            "supported: convert it first"
        ),
    ),
    "two components": (
        TWO_COMPONENTS,
        ("JPEG has 2 colour components; 1 (gray) and 3 (colour) are supported"),
    ),
    "12 bits": (
        patched(PLAIN, FRAME + 4, 12),
        ("JPEG has 12 bits a sample; only 8 are supported: send baseline JPEG"),
    ),
    "lossless": (
        patched(PLAIN, FRAME + 1, 0xC3),
        ("JPEG is lossless, which is not supported: send baseline JPEG"),
    ),
    "lossless arithmetic": (
        patched(PLAIN, FRAME + 1, 0xCB),
        ("JPEG is lossless, which is not supported: send baseline JPEG"),
    ),
    "hierarchical": (
        patched(PLAIN, FRAME + 1, 0xC5),
        ("JPEG is hierarchical, which is not supported: send baseline JPEG"),
    ),
    "no width": (sized(PLAIN, 0, 44), "JPEG has no pixels: its header says 0x44"),
    "no height": (sized(PLAIN, 60, 0), "JPEG has no pixels: its header says 60x0"),
    "too wide": (sized(PLAIN, 65501, 44), "JPEG of 65501x44 pixels is wider or taller than 65500"),
    "too tall": (sized(PLAIN, 60, 65535), "JPEG of 60x65535 pixels is wider or taller than 65500"),
    "no components": (
        PLAIN[: FRAME + 2]
        + b"\x00\x08"
        + PLAIN[FRAME + 4 : FRAME + 9]
        + b"\x00"
        + PLAIN[FRAME + 19 :],
        "JPEG has 0 colour components; 1 (gray) and 3 (colour) are supported",
    ),
    "a frame header of a wrong length": (
        patched(PLAIN, FRAME + 9, 4),
        f"JPEG data is corrupt at byte {FRAME}: the frame header has a wrong length",
    ),
    "two frame headers": (
        PLAIN[:FRAME] + PLAIN[FRAME : FRAME + 19] * 2 + PLAIN[FRAME + 19 :],
        f"JPEG data is corrupt at byte {FRAME + 19}: it has a second frame header",
    ),
    "a sampling factor of 5": (
        patched(PLAIN, FRAME + 11, 0x52),
        f"JPEG data is corrupt at byte {FRAME}: a sampling factor is not 1 to 4",
    ),
    "a sampling factor of 0": (
        patched(PLAIN, FRAME + 11, 0x20),
        f"JPEG data is corrupt at byte {FRAME}: a sampling factor is not 1 to 4",
    ),
    "a scan without a frame": (
        PLAIN[:FRAME] + PLAIN[FRAME + 19 :],
        (f"JPEG data is corrupt at byte {SCAN - 19}: a scan begins before any frame header"),
    ),
    "a scan of nothing": (
        patched(PLAIN, SCAN + 4, 0),
        f"JPEG data is corrupt at byte {SCAN}: the scan header has a wrong length",
    ),
    "an end before any scan": (
        PLAIN[:SCAN] + EOI,
        (f"JPEG data is corrupt at byte {SCAN}: the image ends before any scan"),
    ),
    "a second start": (
        PLAIN[:SCAN] + PLAIN,
        (f"JPEG data is corrupt at byte {SCAN}: a second image starts within the header"),
    ),
    "a segment of length 1": (
        PLAIN[:SCAN] + b"\xff\xe5\x00\x01" + PLAIN[SCAN:],
        f"JPEG data is corrupt at byte {SCAN}: a segment claims a length below 2",
    ),
    "a restart interval of 3 bytes": (
        PLAIN[:SCAN] + b"\xff\xdd\x00\x05\x00\x00\x00" + PLAIN[SCAN:],
        (f"JPEG data is corrupt at byte {SCAN}: the restart interval has a wrong length"),
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_kinds(kind: str) -> None:
    data, told = REFUSED[kind]
    assert refusal(data) == told
    assert refusal(data, scale=0.125, colorspace="GRAY") == told


def test_a_bad_huffman_table_is_told() -> None:
    table = PLAIN.index(b"\xff\xc4")
    assert re.fullmatch(
        r"JPEG data is corrupt near byte \d+: libjpeg-turbo cannot decode it \(Bogus Huffman table "
        r"definition\)",
        refusal(patched(PLAIN, table + 5, 255)),
    )


# Nothing is kept


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_thousands_of_failures_take_no_memory() -> None:
    image = crop(640, 300, "motorcycle")
    baseline = bytes(encode_jpeg(image))
    progressive = by_pillow(image, progressive=True)
    out = np.zeros((3, 3, 3), np.uint8)

    def fail() -> None:
        attempts = [
            (baseline[: len(baseline) // 2], {}),
            (progressive[: len(progressive) // 2], {}),
            (baseline, {"out": out}),
            (cmyk(), {}),
            (b"\xff\xd8\xff\xe0", {}),
        ]
        for data, options in attempts:
            with pytest.raises(CodecError):
                decode_jpeg(data, **options)
        for refused in (image[..., 0], image.astype(float), image[:0]):
            with pytest.raises(CodecError):
                encode_jpeg(refused)

    for _ in range(50):
        fail()
    gc.collect()
    before, allocated = resident(), pool_stats().allocated
    for _ in range(400):
        fail()
    gc.collect()
    assert resident() - before < 4 << 20
    assert pool_stats().allocated == allocated
