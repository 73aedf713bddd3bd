"""decode_jpeg and jpeg_info, with OpenCV as the referee."""

from __future__ import annotations

import base64
import io
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fastimagezmq._codec import (
    DEFAULT_MAX_PIXELS,
    JpegInfo,
    Lease,
    decode_jpeg,
    encode_jpeg,
    jpeg_info,
    lease,
    libjpeg_turbo_version,
    pool_stats,
)
from fastimagezmq.errors import CodecError
from photos import NAMES, Pixels, crop, photo

# 24x16 pixels, arithmetic-coded, written with libjpeg-turbo's arith_code = TRUE.
ARITHMETIC = base64.b64decode("""
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIs
IxwcKDcpLDAxNDQ0Hyc5PTgyPC4zNDL/2wBDAQkJCQwLDBgNDRgyIRwhMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIy
MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjL/yQARCAAQABgDASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIR
AxEAPwD/AGiteNPeVMhdao5oETtAPKaTUEcGL97rLuuWRXhfwtJa3Cy+7gdAZF88AUEYtheeZTNeTkDphdP5YacR
roLte6CWlgAUX/Qs9bScSc30hT3+dQOvFMnn0TdwZ2Gb0YZpVP8AAW9eItUdyM5uPx8QStQluepB3wf5A1LLZMty
fJr/2Q==
""")
TWO_COMPONENTS = base64.b64decode("""
/9j/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgy
PC4zNDL/wAAOCAAQABgCABEAAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIE
AwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6
Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5
usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACgIAAAEAAD8A4HQdE+78tcNoOifd+WvU
dB0T7vy16joOifd+Wug8Va/b+A/C732IJNSl/d2NrKSPNfIycDnaoO49OwyCwrU8XeMbHwBpaIiR3OtXCZtbQngD
p5kmOQgPbqxGBjBK8voOifd+WsPQdE+78tdZrWsWPgTw02sX0MkxLiG3gQYM0pBIXOMKMKSSegBwCcA9Rrmv6X4C
0IX9+PNuJMraWiHD3DjsPRRkZbtnuSAfCrm81Txfrsmr6vL5txJgKqjCRIOiIOyjJ/MkkkknwZVvPEOu3er3533V
3KZXwSQueirkkhQMADPAAFf/2Q==
""")
REDUCED = {
    (1, "BGR"): cv2.IMREAD_COLOR,
    (2, "BGR"): cv2.IMREAD_REDUCED_COLOR_2,
    (4, "BGR"): cv2.IMREAD_REDUCED_COLOR_4,
    (8, "BGR"): cv2.IMREAD_REDUCED_COLOR_8,
    (1, "GRAY"): cv2.IMREAD_GRAYSCALE,
    (2, "GRAY"): cv2.IMREAD_REDUCED_GRAYSCALE_2,
    (4, "GRAY"): cv2.IMREAD_REDUCED_GRAYSCALE_4,
    (8, "GRAY"): cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def by_cv2(jpeg: object, flag: int = cv2.IMREAD_COLOR) -> Pixels:
    data = np.frombuffer(jpeg, np.uint8)
    return cv2.imdecode(data, flag | cv2.IMREAD_IGNORE_ORIENTATION)


def by_pillow(image: Pixels, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[..., ::-1]).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "gray"])
@pytest.mark.parametrize("name", NAMES)
def test_same_pixels_as_cv2(name: str, subsampling: str) -> None:
    jpeg = encode_jpeg(photo(name), 88, subsampling=subsampling)
    assert np.array_equal(decode_jpeg(jpeg), by_cv2(jpeg))


@given(
    width=st.integers(1, 80),
    height=st.integers(1, 80),
    denominator=st.sampled_from([1, 2, 4, 8]),
    colorspace=st.sampled_from(["BGR", "GRAY"]),
    subsampling=st.sampled_from(["444", "422", "420", "gray"]),
    quality=st.integers(1, 100),
    restart_rows=st.integers(0, 3),
)
@settings(max_examples=250, deadline=None, derandomize=True)
def test_any_size_and_scale_as_cv2(
    width: int, height: int, denominator: int, colorspace: str, subsampling: str,
    quality: int, restart_rows: int,
) -> None:  # fmt: skip
    image = crop(width, height, "motorcycle")
    jpeg = encode_jpeg(image, quality, subsampling=subsampling, restart_rows=restart_rows)
    ours = decode_jpeg(jpeg, colorspace=colorspace, scale=1 / denominator)
    assert ours.shape[:2] == (-(-height // denominator), -(-width // denominator))
    assert np.array_equal(ours, by_cv2(jpeg, REDUCED[denominator, colorspace]))


@pytest.mark.parametrize("scale", [1, 1.0, Fraction(1), np.float32(1), np.int64(1)])
def test_full_scale_in_any_type(scale: float) -> None:
    assert decode_jpeg(encode_jpeg(crop(17, 9)), scale=scale).shape == (9, 17, 3)


@pytest.mark.parametrize("scale", [0.25, Fraction(1, 4), np.float16(0.25)])
def test_quarter_scale_in_any_type(scale: float) -> None:
    assert decode_jpeg(encode_jpeg(crop(17, 9)), scale=scale).shape == (3, 5, 3)


@pytest.mark.parametrize("gray", [False, True])
def test_every_order(gray: bool) -> None:
    jpeg = encode_jpeg(photo("chelsea"), subsampling="gray" if gray else "420")
    bgr = decode_jpeg(jpeg)
    assert np.array_equal(bgr, by_cv2(jpeg))
    for name in ("BGR", "RGB888"):
        assert np.array_equal(decode_jpeg(jpeg, colorspace=name), bgr)
    for name in ("RGB", "BGR888"):
        assert np.array_equal(decode_jpeg(jpeg, colorspace=name), bgr[..., ::-1])
    for name, order in (("BGRX", 1), ("XRGB8888", 1), ("RGBX", -1), ("XBGR8888", -1)):
        four = decode_jpeg(jpeg, colorspace=name)
        assert np.array_equal(four[..., :3], bgr[..., ::order])
        assert (four[..., 3] == 255).all()


def test_gray_is_the_stored_luma() -> None:
    jpeg = encode_jpeg(photo("coffee"), 70)
    planes = decode_jpeg(jpeg, colorspace="YUV420")
    assert np.array_equal(decode_jpeg(jpeg, colorspace="GRAY"), planes[:400])


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_progressive_and_optimised_as_cv2(sampling: str) -> None:
    image = photo("astronaut")
    for options in ({"progressive": True}, {"optimize": True}):
        jpeg = by_pillow(image, quality=80, subsampling=sampling, **options)
        assert jpeg_info(jpeg).progressive is ("progressive" in options)
        assert np.array_equal(decode_jpeg(jpeg), by_cv2(jpeg))
        assert np.array_equal(decode_jpeg(jpeg, scale=0.5), by_cv2(jpeg, REDUCED[2, "BGR"]))


def test_progressive_planes_are_those_of_the_baseline_file() -> None:
    image = crop(150, 90)
    baseline = decode_jpeg(by_pillow(image, quality=80), colorspace="YUV420")
    progressive = decode_jpeg(by_pillow(image, quality=80, progressive=True), colorspace="YUV420")
    assert np.array_equal(baseline, progressive)


def test_arithmetic_coded() -> None:
    assert jpeg_info(ARITHMETIC) == JpegInfo(24, 16, "420", 3, 0, False)
    ours = decode_jpeg(ARITHMETIC)
    row, column = np.mgrid[0:16, 0:24]
    # the picture was (5 * sample + 9 * row) % 256 before it was encoded
    assert ours.shape == (16, 24, 3)
    red = (5 * (3 * column) + 9 * row) % 256
    assert np.abs(ours[..., 2].astype(int) - red).mean() < 30


def test_orientation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    jpeg = by_pillow(crop(64, 40), exif=exif)
    assert decode_jpeg(jpeg).shape == (40, 64, 3)
    assert np.array_equal(decode_jpeg(jpeg), by_cv2(jpeg))


def test_rgb_coded_and_adobe_files() -> None:
    jpeg = by_pillow(crop(50, 40), quality=95, keep_rgb=True)
    assert jpeg_info(jpeg).components == 3
    assert np.array_equal(decode_jpeg(jpeg), by_cv2(jpeg))
    with pytest.raises(CodecError, match=r"^JPEG is stored as 444, not as 4:2:0, so its planes"):
        decode_jpeg(jpeg, colorspace="YUV420")


def test_motion_jpeg_frames_without_tables() -> None:
    """A camera's frame may leave out the default Huffman tables; a file's own never linger."""
    image = crop(64, 48)
    whole = bytes(encode_jpeg(image, restart_rows=0))
    start = whole.index(b"\xff\xc4")
    bare = whole[:start] + whole[whole.index(b"\xff\xda") :]
    assert b"\xff\xc4" not in bare
    for _ in range(3):
        decode_jpeg(by_pillow(image, optimize=True))
        assert np.array_equal(decode_jpeg(bare), decode_jpeg(whole))
    untabled = whole[: whole.index(b"\xff\xdb")] + whole[whole.index(b"\xff\xc0") :]
    for _ in range(3):
        decode_jpeg(whole)
        with pytest.raises(CodecError, match="Quantization table 0x00 was not defined"):
            decode_jpeg(untabled)


@pytest.mark.parametrize(
    "make", [bytes, bytearray, memoryview, lambda x: np.frombuffer(x, np.uint8)]
)
def test_any_bytes_like(make: type) -> None:
    jpeg = bytes(encode_jpeg(crop(40, 30)))
    assert np.array_equal(decode_jpeg(make(jpeg)), by_cv2(jpeg))
    assert jpeg_info(make(jpeg)).width == 40


def test_bytes_around_the_file_do_not_matter() -> None:
    jpeg = bytes(encode_jpeg(crop(40, 30)))
    for around in (b"\x00", b"\xff", b"\xff\xd8", bytes(range(256)) * 3, jpeg[5:60]):
        for data in (around + jpeg, jpeg + around, around + jpeg + around):
            assert np.array_equal(decode_jpeg(data), by_cv2(jpeg))
            assert jpeg_info(data) == jpeg_info(jpeg)


# Where the pixels go


def test_the_array_is_a_writable_lease() -> None:
    before = pool_stats().leases
    array = decode_jpeg(encode_jpeg(crop(40, 30)))
    assert isinstance(array.base, Lease)
    assert array.flags.writeable
    assert array.flags.c_contiguous
    assert pool_stats().leases == before + 1
    part = array[3:5]
    del array
    assert pool_stats().leases == before + 1
    del part
    assert pool_stats().leases == before


@given(
    width=st.integers(1, 50),
    height=st.integers(1, 50),
    gap=st.integers(0, 7),
    flip=st.booleans(),
    denominator=st.sampled_from([1, 2, 8]),
    colorspace=st.sampled_from(["BGR", "RGBX", "GRAY", "GRAY1"]),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_out_is_filled_and_nothing_else(
    width: int, height: int, gap: int, flip: bool, denominator: int, colorspace: str
) -> None:
    jpeg = encode_jpeg(crop(width, height))
    name = colorspace[:4].rstrip("1")
    expected = decode_jpeg(jpeg, colorspace=name, scale=1 / denominator)
    if colorspace == "GRAY1":
        expected = expected[..., None]
    rows, columns = expected.shape[:2]
    whole = np.full((rows + 2 * gap, columns + 2 * gap, *expected.shape[2:]), 0xA5, np.uint8)
    inner = (slice(gap, gap + rows), slice(gap, gap + columns))
    out = whole[inner][::-1] if flip else whole[inner]
    assert decode_jpeg(jpeg, colorspace=name, scale=1 / denominator, out=out) is out
    assert np.array_equal(out, expected)
    whole[inner] = 0xA5
    assert (whole == 0xA5).all()


def test_out_may_be_a_lease() -> None:
    jpeg = encode_jpeg(crop(40, 30))
    out = np.ndarray((30, 40, 3), np.uint8, lease(3600))
    assert decode_jpeg(jpeg, out=out) is out
    assert np.array_equal(out, by_cv2(jpeg))


@given(
    width=st.integers(1, 50), height=st.integers(1, 50), gap=st.integers(0, 7), flip=st.booleans()
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_planes_are_filled_and_nothing_else(width: int, height: int, gap: int, flip: bool) -> None:
    jpeg = encode_jpeg(crop(width, height), 90)
    half = ((height + 1) // 2, (width + 1) // 2)
    wholes, out = [], []
    for rows, columns in ((height, width), half, half):
        whole = np.full((rows + 2 * gap, columns + 2 * gap), 0xA5, np.uint8)
        wholes.append(whole)
        inner = whole[gap : gap + rows, gap : gap + columns]
        out.append(inner[::-1] if flip else inner)
    assert decode_jpeg(jpeg, colorspace="YUV420", out=tuple(out))[0] is out[0]
    assert np.array_equal(out[0], decode_jpeg(jpeg, colorspace="GRAY"))
    if width % 2 == height % 2 == 0:
        flat = np.concatenate([plane.reshape(-1) for plane in out])
        i420 = decode_jpeg(jpeg, colorspace="YUV420")
        assert i420.shape == (height * 3 // 2, width)
        assert np.array_equal(i420.reshape(-1), flat)
        wide = np.full((height * 3 // 2, width + gap), 0xA5, np.uint8)
        assert decode_jpeg(jpeg, colorspace="YUV420", out=wide[:, gap:]) is not None
        assert np.array_equal(wide[:, gap:], i420)
        assert (wide[:, :gap] == 0xA5).all()
    for whole, plane in zip(wholes, out, strict=True):
        plane[:] = 0xA5
        assert (whole == 0xA5).all()


def test_planes_side_by_side_in_one_array() -> None:
    jpeg = encode_jpeg(crop(40, 30))
    luma, chroma = np.zeros((30, 40), np.uint8), np.zeros((15, 40), np.uint8)
    decode_jpeg(jpeg, colorspace="YUV420", out=(luma, chroma[:, :20], chroma[:, 20:]))
    i420 = decode_jpeg(jpeg, colorspace="YUV420")
    assert np.array_equal(chroma[:, :20].reshape(-1), i420.reshape(-1)[1200:1500])
    assert np.array_equal(chroma[:, 20:].reshape(-1), i420.reshape(-1)[1500:])


def test_planes_give_back_the_same_planes() -> None:
    """Decoded planes, encoded again at the same quality, decode to nearly themselves."""
    jpeg = encode_jpeg(photo("astronaut"), 90)
    planes = decode_jpeg(jpeg, colorspace="YUV420")
    again = decode_jpeg(encode_jpeg(planes, 90, colorspace="YUV420"), colorspace="YUV420")
    assert np.abs(again.astype(int) - planes).mean() < 0.1


# The header


def test_info_of_every_kind() -> None:
    image = crop(50, 34)
    for subsampling in ("444", "422", "420"):
        jpeg = encode_jpeg(image, subsampling=subsampling, restart_rows=2)
        wide = 7 if subsampling == "444" else 4
        assert jpeg_info(jpeg) == JpegInfo(50, 34, subsampling, 3, 2 * wide, False)
    assert jpeg_info(encode_jpeg(image, subsampling="gray")) == (50, 34, "gray", 1, 7, False)
    for flag, name in (
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, "440"),
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411, "411"),
    ):
        options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, flag]
        jpeg = bytes(cv2.imencode(".jpg", image, options)[1])
        assert jpeg_info(jpeg).subsampling == name
        assert decode_jpeg(jpeg).shape == image.shape
    odd = bytearray(encode_jpeg(image))
    frame = odd.index(b"\xff\xc0")
    odd[frame + 14] = 0x21
    assert jpeg_info(odd).subsampling == "2x2,2x1,1x1"
    assert jpeg_info(TWO_COMPONENTS)[2:4] == ("1x1,1x1", 2)
    cmyk = io.BytesIO()
    Image.new("CMYK", (20, 10)).save(cmyk, "JPEG")
    assert jpeg_info(cmyk.getvalue())[2:4] == ("1x1,1x1,1x1,1x1", 4)


def test_info_needs_the_header_only() -> None:
    jpeg = bytes(encode_jpeg(crop(50, 34)))
    end = jpeg.index(b"\xff\xda") + 14
    assert jpeg_info(jpeg[:end]) == jpeg_info(jpeg)
    with pytest.raises(CodecError, match=r"^JPEG data is truncated: its \d+ bytes end within the"):
        jpeg_info(jpeg[: end - 1])


def test_version() -> None:
    major, minor, *_ = map(int, libjpeg_turbo_version().split("."))
    assert (major, minor) >= (2, 1)


# Refusals: one sentence each, nothing kept

JPEG = bytes(encode_jpeg(np.zeros((20, 30, 3), np.uint8)))
ODD = bytes(encode_jpeg(np.zeros((21, 30, 3), np.uint8)))
OUT = np.zeros((20, 30, 3), np.uint8)
READ_ONLY = OUT.copy()
READ_ONLY.flags.writeable = False
OVERLAPPING = np.lib.stride_tricks.as_strided(np.zeros(5000, np.uint8), (20, 30, 3), (10, 3, 1))
Y, U, V = np.zeros((20, 30), np.uint8), np.zeros((10, 15), np.uint8), np.zeros((10, 15), np.uint8)
COLORSPACE = "colorspace must be one of BGR, RGB, "
PLANES = {"colorspace": "YUV420"}


def shared_with_out() -> tuple[memoryview, dict[str, object]]:
    room = np.zeros(len(JPEG) + 1800, np.uint8)
    room[1799 : 1799 + len(JPEG)] = np.frombuffer(JPEG, np.uint8)
    return memoryview(room)[1799:], {"out": room[:1800].reshape(20, 30, 3)}


REFUSED = [
    (JPEG, {"colorspace": "LAB"}, COLORSPACE),
    (JPEG, {"colorspace": 3}, COLORSPACE),
    (JPEG, {"scale": 2}, "scale must be 1, 1/2, 1/4 or 1/8, not 2"),
    (JPEG, {"scale": 0}, "scale must be 1, 1/2, 1/4 or 1/8, not 0"),
    (JPEG, {"scale": 0.3}, "scale must be 1, 1/2, 1/4 or 1/8, not 0.3"),
    (JPEG, {"scale": float("nan")}, "scale must be 1, 1/2, 1/4 or 1/8, not nan"),
    (JPEG, {"scale": True}, "scale must be 1, 1/2, 1/4 or 1/8, not True"),
    (JPEG, {"scale": "1/2"}, "scale must be 1, 1/2, 1/4 or 1/8, not '1/2'"),
    (JPEG, {"scale": None}, "scale must be 1, 1/2, 1/4 or 1/8, not None"),
    (JPEG, {"max_pixels": 0}, f"max_pixels must be an integer from 1 to {(1 << 63) - 1}, not 0"),
    (JPEG, {"max_pixels": 1e9}, "max_pixels must be an integer from 1 to "),
    (
        JPEG,
        {"max_pixels": 599},
        (
            "JPEG of 30x20 pixels is larger than max_pixels (599): raise "
            "max_pixels if you trust the sender"
        ),
    ),
    (JPEG, {"out": OUT[1:]}, "out must be uint8 (20, 30, 3), not uint8 (19, 30, 3)"),
    (JPEG, {"out": OUT[..., 0]}, "out must be uint8 (20, 30, 3), not uint8 (20, 30)"),
    (JPEG, {"out": OUT, "scale": 0.5}, "out must be uint8 (10, 15, 3), not uint8 (20, 30, 3)"),
    (JPEG, {"out": OUT.astype("f4")}, "out must be uint8 (20, 30, 3), not float32 (20, 30, 3)"),
    (JPEG, {"out": READ_ONLY}, "out is read-only: pass a writable array"),
    (
        JPEG,
        {"out": bytearray(1800)},
        "out must be a NumPy array of uint8 (20, 30, 3), not bytearray",
    ),
    (
        JPEG,
        {"out": OUT[:, ::-1]},
        (
            "out has gaps within its rows (strides (90, -3, 1)): the samples of a "
            "row must stand side by side"
        ),
    ),
    (
        JPEG,
        {"out": OUT[..., ::-1]},
        (
            "out has gaps within its rows (strides (90, 3, -1)): the samples of a "
            "row must stand side by side"
        ),
    ),
    (JPEG, {"out": OVERLAPPING}, "out has rows that overlap (strides (10, 3, 1))"),
    (JPEG, {"out": (Y, U, V)}, "out must be a NumPy array of uint8 (20, 30, 3), not tuple"),
    (
        JPEG,
        {**PLANES, "scale": 0.5},
        "colorspace 'YUV420' gives the planes as they are: scale must be 1",
    ),
    (JPEG, {**PLANES, "out": (Y, U)}, "out must be three planes (Y, U, V), not 2"),
    (JPEG, {**PLANES, "out": (Y, U, Y)}, "out[2] must be uint8 (10, 15), not uint8 (20, 30)"),
    (
        JPEG,
        {**PLANES, "out": (Y, U, None)},
        "out[2] must be a NumPy array of uint8 (10, 15), not NoneType",
    ),
    (JPEG, {**PLANES, "out": (Y, U, U)}, "out shares memory with the JPEG data or with itself"),
    (JPEG, {**PLANES, "out": OUT}, "out must be uint8 (30, 30), not uint8 (20, 30, 3)"),
    (
        ODD,
        PLANES,
        (
            "JPEG of 30x21 pixels has an odd side, which an I420 array cannot hold: pass "
            "out=(Y, U, V), three planes"
        ),
    ),
    (
        bytes(encode_jpeg(OUT, subsampling="422")),
        PLANES,
        (
            "JPEG is stored as 422, not as 4:2:0, so its planes cannot be had as "
            "YUV420: decode it to another colorspace"
        ),
    ),
    (
        bytes(encode_jpeg(OUT, subsampling="gray")),
        PLANES,
        (
            "JPEG is stored as gray, not as 4:2:0, so its planes cannot be had as "
            "YUV420: decode it to another colorspace"
        ),
    ),
    (*shared_with_out(), "out shares memory with the JPEG data or with itself"),
    (
        memoryview(JPEG)[::2],
        {},
        "JPEG data must be contiguous bytes, not memoryview with gaps: copy it first",
    ),
    (
        np.frombuffer(JPEG, np.uint8)[::2],
        {},
        (
            f"JPEG data must be contiguous bytes, not uint8 ({(len(JPEG) + 1) // 2},) with gaps: "
            "copy it first"
        ),
    ),
]


@pytest.mark.parametrize(("data", "options", "told"), REFUSED, ids=[row[2][:60] for row in REFUSED])
def test_refusals(data: bytes, options: dict[str, object], told: str) -> None:
    before = pool_stats().leases
    with pytest.raises(CodecError) as caught:
        decode_jpeg(data, **options)
    assert str(caught.value) == told or (told.endswith(" ") and str(caught.value).startswith(told))
    assert isinstance(caught.value, ValueError)
    del caught
    assert pool_stats().leases == before
    assert (decode_jpeg(JPEG) == 0).all()


@pytest.mark.parametrize("bad", [None, "jpeg", 3, [1, 2], object()])
def test_data_that_is_not_bytes_like_is_a_type_error(bad: object) -> None:
    told = f"JPEG data must be bytes-like (bytes, memoryview, Lease), not {type(bad).__name__}"
    for function in (decode_jpeg, jpeg_info):
        with pytest.raises(TypeError) as caught:
            function(bad)
        assert str(caught.value) == told


def test_max_pixels_is_inclusive() -> None:
    assert decode_jpeg(JPEG, max_pixels=600).shape == (20, 30, 3)
    assert DEFAULT_MAX_PIXELS == 134_217_728
