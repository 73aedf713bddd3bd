"""encode_jpeg, with OpenCV as the referee."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fastimagezmq._codec import (
    COLORSPACES,
    SUBSAMPLINGS,
    decode_jpeg,
    encode_jpeg,
    jpeg_info,
    pool_stats,
)
from fastimagezmq.errors import CodecError
from photos import NAMES, Pixels, crop, photo

CV2_SAMPLING = {
    "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


def by_cv2(image: Pixels, quality: int, subsampling: str = "420") -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if image.ndim == 3:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, CV2_SAMPLING[subsampling]]
    return bytes(cv2.imencode(".jpg", image, options)[1])


def seen_by_cv2(jpeg: object) -> Pixels:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
@pytest.mark.parametrize("quality", [1, 30, 75, 85, 95, 100])
@pytest.mark.parametrize("name", NAMES)
def test_same_pixels_and_size_as_cv2(name: str, quality: int, subsampling: str) -> None:
    image = photo(name)
    ours = encode_jpeg(image, quality, subsampling=subsampling, restart_rows=0)
    theirs = by_cv2(image, quality, subsampling)
    assert abs(len(ours) - len(theirs)) <= 0.01 * len(theirs)
    assert np.array_equal(seen_by_cv2(ours), seen_by_cv2(theirs))
    info = jpeg_info(ours)
    assert (info.width, info.height) == (image.shape[1], image.shape[0])
    assert info[2:] == (subsampling, 3, 0, False)


@pytest.mark.parametrize("quality", [1, 50, 85, 100])
def test_gray_is_as_cv2s(quality: int) -> None:
    gray = cv2.cvtColor(photo("coffee"), cv2.COLOR_BGR2GRAY).astype(np.uint8)
    theirs = by_cv2(gray, quality)
    for image in (gray, gray[..., None]):
        for subsampling in SUBSAMPLINGS:
            ours = encode_jpeg(
                image, quality, colorspace="GRAY", subsampling=subsampling, restart_rows=0
            )
            assert np.array_equal(seen_by_cv2(ours), seen_by_cv2(theirs))
            assert abs(len(ours) - len(theirs)) <= 0.01 * len(theirs)
            assert jpeg_info(ours).subsampling == "gray"


def test_gray_sampling_of_colour_keeps_the_luma() -> None:
    image = photo("chelsea")
    gray = encode_jpeg(image, 90, subsampling="gray")
    assert jpeg_info(gray)[2:4] == ("gray", 1)
    luma = decode_jpeg(encode_jpeg(image, 90, subsampling="444"), colorspace="GRAY")
    assert np.array_equal(decode_jpeg(gray, colorspace="GRAY"), luma)


def in_order(image: Pixels, colorspace: str) -> Pixels:
    """Return B, G, R pixels in another order in memory, X being noise."""
    orders = {
        "BGR": (0, 1, 2), "RGB888": (0, 1, 2), "RGB": (2, 1, 0), "BGR888": (2, 1, 0),
        "BGRX": (0, 1, 2, 3), "XRGB8888": (0, 1, 2, 3),
        "RGBX": (2, 1, 0, 3), "XBGR8888": (2, 1, 0, 3),
    }  # fmt: skip
    noise = np.random.default_rng(1).integers(0, 256, (*image.shape[:2], 1), np.uint8)
    return np.concatenate([image, noise], axis=2)[..., orders[colorspace]].copy()


@pytest.mark.parametrize(
    "colorspace", [name for name in COLORSPACES if name not in ("GRAY", "YUV420")]
)
def test_every_order_gives_the_same_jpeg(colorspace: str) -> None:
    image = photo("astronaut")
    given_ = in_order(image, colorspace)
    assert given_.flags.c_contiguous
    assert bytes(encode_jpeg(given_, 80, colorspace=colorspace)) == bytes(encode_jpeg(image, 80))


def test_colorspaces_are_told() -> None:
    assert COLORSPACES == (
        "BGR", "RGB", "BGRX", "RGBX", "GRAY", "YUV420",
        "RGB888", "BGR888", "XRGB8888", "XBGR8888",
    )  # fmt: skip
    assert SUBSAMPLINGS == ("444", "422", "420", "gray")


# Layouts in memory


@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    gap=st.integers(0, 9),
    flip=st.booleans(),
    step=st.integers(1, 3),
    colorspace=st.sampled_from(["BGR", "RGBX", "GRAY"]),
    subsampling=st.sampled_from(SUBSAMPLINGS),
    quality=st.integers(1, 100),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_view_encodes_as_its_copy(
    width: int, height: int, gap: int, flip: bool, step: int, colorspace: str,
    subsampling: str, quality: int,
) -> None:  # fmt: skip
    channels = {"BGR": 3, "RGBX": 4, "GRAY": 1}[colorspace]
    noise = np.random.default_rng(width * height).integers(
        0, 256, (height * step, width + gap, channels), np.uint8
    )
    view = noise[:: -step if flip else step, gap:]
    assert view.shape == (height, width, channels)
    options = {"colorspace": colorspace, "subsampling": subsampling}
    ours = encode_jpeg(view, quality, **options)
    copied = encode_jpeg(view.copy(), quality, **options)
    assert bytes(ours) == bytes(copied)


def other_layouts() -> dict[str, Pixels]:
    image = crop(90, 60)
    wide = np.repeat(image, 2, axis=1)
    return {
        "reversed columns": image[:, ::-1][:, ::-1],
        "every second column": wide[:, ::2],
        "Fortran order": np.asfortranarray(image),
        "planes": np.moveaxis(np.ascontiguousarray(np.moveaxis(image, 2, 0)), 0, 2),
        "reversed channels": image[..., ::-1].copy()[..., ::-1],
        "both axes reversed": image[::-1, ::-1].copy()[::-1, ::-1],
        "three of four channels": in_order(image, "BGRX")[..., :3],
        "memoryview": memoryview(image),
        "read-only": np.broadcast_to(image, image.shape),
    }


@pytest.mark.parametrize("layout", other_layouts())
def test_any_layout_gives_the_same_jpeg(layout: str) -> None:
    assert bytes(encode_jpeg(other_layouts()[layout])) == bytes(encode_jpeg(crop(90, 60)))


def test_rows_in_place_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    image = crop(200, 100)
    expected = [bytes(encode_jpeg(view.copy())) for view in (image[::-1], image[:, 3:-5])]

    def copied(array: object) -> None:
        raise AssertionError("copied")

    monkeypatch.setattr(np, "ascontiguousarray", copied)
    assert [bytes(encode_jpeg(view)) for view in (image[::-1], image[:, 3:-5])] == expected
    with pytest.raises(AssertionError, match="copied"):
        encode_jpeg(image[:, ::-1])


# YUV420


def test_planes_are_stored_as_they_are() -> None:
    image = photo("coffee")
    i420 = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420).astype(np.uint8)
    height, width = image.shape[:2]
    planes = (
        i420[:height],
        i420[height : height * 5 // 4].reshape(height // 2, width // 2),
        i420[height * 5 // 4 :].reshape(height // 2, width // 2),
    )
    jpeg = encode_jpeg(i420, 100, colorspace="YUV420")
    assert jpeg_info(jpeg).subsampling == "420"
    assert bytes(encode_jpeg(planes, 100, colorspace="YUV420")) == bytes(jpeg)
    assert bytes(encode_jpeg(list(planes), 100, colorspace="YUV420")) == bytes(jpeg)
    pillow = Image.open(io.BytesIO(bytes(jpeg)))
    pillow.draft("YCbCr", None)
    stored = np.asarray(pillow)
    assert np.abs(stored[..., 0].astype(int) - planes[0]).max() <= 2
    for channel in (1, 2):
        # Pillow has the chroma scaled up smoothly; its mean over 2x2 is near the plane
        scaled = stored[..., channel].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
        assert np.abs(scaled - planes[channel]).mean() < 1


@given(
    width=st.integers(1, 40), height=st.integers(1, 40), gap=st.integers(0, 5), flip=st.booleans()
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_planes_of_any_size_and_stride(width: int, height: int, gap: int, flip: bool) -> None:
    """What is stored is the planes with the last column and row repeated."""
    random = np.random.default_rng(width * 100 + height)
    half = ((height + 1) // 2, (width + 1) // 2)
    planes, padded = [], []
    block = 16
    for rows, columns in ((height, width), half, half):
        whole = random.integers(0, 256, (rows, columns + gap), np.uint8)
        view = whole[::-1, :columns] if flip else whole[:, gap:]
        planes.append(view)
        full = (-(-height // 16) * block, -(-width // 16) * block)
        padded.append(np.pad(view, ((0, full[0] - rows), (0, full[1] - columns)), mode="edge"))
        block = 8
    ours = encode_jpeg(tuple(planes), 95, colorspace="YUV420")
    assert jpeg_info(ours)[:2] == (width, height)
    out = [np.zeros(plane.shape, np.uint8) for plane in planes]
    expected = [np.zeros(plane.shape, np.uint8) for plane in padded]
    decode_jpeg(ours, colorspace="YUV420", out=out)
    decode_jpeg(encode_jpeg(padded, 95, colorspace="YUV420"), colorspace="YUV420", out=expected)
    for plane, whole in zip(out, expected, strict=True):
        rows, columns = plane.shape
        assert np.array_equal(plane, whole[:rows, :columns])


def as_i420(planes: list[Pixels], stride: int, extra_rows: int = 0) -> Pixels:
    """Lay planes out as a camera does: rows padded to `stride`, chroma to half of it."""
    parts = []
    for index, plane in enumerate(planes):
        columns = stride // 2 if index else stride
        rows = plane.shape[0] + (extra_rows // 2 if index else extra_rows)
        padding = ((0, rows - plane.shape[0]), (0, columns - plane.shape[1]))
        parts.append(np.pad(plane, padding, constant_values=199).reshape(-1))
    return np.concatenate(parts).reshape(-1, stride)


@given(
    width=st.integers(1, 30).map(lambda n: 2 * n),
    height=st.integers(1, 30).map(lambda n: 2 * n),
    pad=st.integers(0, 20).map(lambda n: 2 * n),
    extra_rows=st.integers(0, 5).map(lambda n: 2 * n),
    how=st.sampled_from(["whole", "columns of a wider array", "upside down"]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_i420_with_padding_is_its_planes(
    width: int, height: int, pad: int, extra_rows: int, how: str
) -> None:
    random = np.random.default_rng(width + height)
    shapes = ((height, width), (height // 2, width // 2), (height // 2, width // 2))
    planes = [random.integers(0, 256, shape, np.uint8) for shape in shapes]
    expected = bytes(encode_jpeg(planes, colorspace="YUV420"))
    i420 = as_i420(planes, width + pad, extra_rows)
    if how == "columns of a wider array":
        i420 = np.pad(i420, ((0, 0), (3, 4)))[:, 3:-4]
    elif how == "upside down":
        i420 = i420[::-1].copy()[::-1]
    assert bytes(encode_jpeg(i420, colorspace="YUV420", size=(width, height))) == expected
    if not pad and not extra_rows:
        assert bytes(encode_jpeg(i420, colorspace="YUV420")) == expected


# Restart markers


def restarts(jpeg: object) -> int:
    data = bytes(jpeg)
    return sum(data.count(b"\xff" + bytes([0xD0 + n])) for n in range(8))


@pytest.mark.parametrize(
    ("subsampling", "mcu"),
    [("444", (8, 8)), ("422", (16, 8)), ("420", (16, 16)), ("gray", (8, 8))],
)
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_restart_markers_stand_between_rows(
    subsampling: str, mcu: tuple[int, int], rows: int
) -> None:
    image = photo("motorcycle")
    jpeg = encode_jpeg(image, subsampling=subsampling, restart_rows=rows)
    wide, high = (-(-side // size) for side, size in zip(image.shape[1::-1], mcu, strict=True))
    assert jpeg_info(jpeg).restart_interval == wide * rows
    assert restarts(jpeg) == -(-high // rows) - 1
    plain = encode_jpeg(image, subsampling=subsampling, restart_rows=0)
    assert jpeg_info(plain).restart_interval == restarts(plain) == 0
    assert np.array_equal(decode_jpeg(jpeg), decode_jpeg(plain))
    if rows == 1:
        assert bytes(encode_jpeg(image, subsampling=subsampling)) == bytes(jpeg)


def test_restart_rows_beyond_the_picture_are_none() -> None:
    image = crop(100, 33)
    plain = bytes(encode_jpeg(image, restart_rows=0))
    assert bytes(encode_jpeg(image, restart_rows=3)) == plain
    assert bytes(encode_jpeg(image, restart_rows=65535)) == plain
    assert restarts(encode_jpeg(image, restart_rows=2)) == 1


def test_restart_rows_that_no_jpeg_can_count_are_refused() -> None:
    image = np.zeros((200, 40_000, 1), np.uint8)
    assert (
        jpeg_info(encode_jpeg(image, colorspace="GRAY", restart_rows=13)).restart_interval == 65_000
    )
    with pytest.raises(CodecError) as caught:
        encode_jpeg(image, colorspace="GRAY", restart_rows=14)
    assert str(caught.value) == (
        "restart_rows=14 is 70000 MCUs of this image, above the 65535 that a JPEG can count: "
        "at most 13"
    )


# Sizes


@pytest.mark.parametrize("shape", [(1, 65500, 3), (65500, 1, 3)])
def test_the_longest_sides(shape: tuple[int, int, int]) -> None:
    image = np.full(shape, 77, np.uint8)
    jpeg = encode_jpeg(image)
    assert np.array_equal(decode_jpeg(jpeg), image)


def test_noise_larger_than_the_first_guess() -> None:
    noise = np.random.default_rng(5).integers(0, 256, (700, 900, 3), np.uint8)
    ours = encode_jpeg(noise, 85, subsampling="444")
    assert len(ours) > 700 * 900
    assert np.array_equal(seen_by_cv2(ours), seen_by_cv2(by_cv2(noise, 85, "444")))


def test_quality_takes_any_integer_type() -> None:
    image = crop(32, 32)
    assert bytes(encode_jpeg(image, np.int64(50))) == bytes(encode_jpeg(image, 50))


# Refusals: one sentence each, nothing kept

IMAGE = np.zeros((20, 30, 3), np.uint8)
GRAY = np.zeros((20, 30), np.uint8)
FOUR = np.zeros((20, 30, 4), np.uint8)
I420 = np.zeros((30, 30), np.uint8)
PLANES = (np.zeros((20, 30), np.uint8), np.zeros((10, 15), np.uint8), np.zeros((10, 15), np.uint8))
FOUR_CHANNELS = (
    "image is uint8 (20, 30, 4), but colorspace {!r} takes (h, w, 3): for 4 channels pass "
    "colorspace='BGRX' for OpenCV's order (picamera2's XRGB8888) or 'RGBX' for picamera2's XBGR8888"
)
TWO_DIMENSIONS = (
    "image is uint8 (20, 30), but colorspace {!r} takes (h, w, {}): for 2 dimensions pass "
    "colorspace='GRAY' for a gray image or 'YUV420' for an I420 one"
)
COLORSPACE = "colorspace must be one of " + ", ".join(COLORSPACES) + ", not "
SUBSAMPLING = "subsampling must be one of '444', '422', '420', 'gray', not "
I420_SHAPE = (
    ", but colorspace 'YUV420' takes an I420 array of shape (h*3/2, w) with even w and h, or three "
    "planes (Y, U, V)"
)
REFUSED = [
    (IMAGE, {"quality": 0}, "quality must be an integer from 1 to 100, not 0"),
    (IMAGE, {"quality": 101}, "quality must be an integer from 1 to 100, not 101"),
    (IMAGE, {"quality": -1}, "quality must be an integer from 1 to 100, not -1"),
    (IMAGE, {"quality": 10**30}, f"quality must be an integer from 1 to 100, not {10**30}"),
    (IMAGE, {"quality": True}, "quality must be an integer from 1 to 100, not True"),
    (IMAGE, {"quality": 85.0}, "quality must be an integer from 1 to 100, not 85.0"),
    (IMAGE, {"quality": "85"}, "quality must be an integer from 1 to 100, not '85'"),
    (IMAGE, {"quality": None}, "quality must be an integer from 1 to 100, not None"),
    (IMAGE, {"restart_rows": -1}, "restart_rows must be an integer from 0 to 65535, not -1"),
    (IMAGE, {"restart_rows": 1.5}, "restart_rows must be an integer from 0 to 65535, not 1.5"),
    (IMAGE, {"colorspace": "HSV"}, COLORSPACE + "'HSV'"),
    (IMAGE, {"colorspace": "bgr"}, COLORSPACE + "'bgr'"),
    (IMAGE, {"colorspace": None}, COLORSPACE + "None"),
    (IMAGE, {"colorspace": ["BGR"]}, COLORSPACE + "['BGR']"),
    (IMAGE, {"subsampling": "411"}, SUBSAMPLING + "'411'"),
    (IMAGE, {"subsampling": 420}, SUBSAMPLING + "420"),
    (IMAGE, {"size": (30, 20)}, "size goes with colorspace='YUV420', not with 'BGR'"),
    (FOUR, {}, FOUR_CHANNELS.format("BGR")),
    (FOUR, {"colorspace": "RGB"}, FOUR_CHANNELS.format("RGB")),
    (FOUR, {"colorspace": "RGB888"}, FOUR_CHANNELS.format("RGB888")),
    (GRAY, {}, TWO_DIMENSIONS.format("BGR", 3)),
    (GRAY, {"colorspace": "RGBX"}, TWO_DIMENSIONS.format("RGBX", 4)),
    (
        IMAGE,
        {"colorspace": "BGRX"},
        "image is uint8 (20, 30, 3), but colorspace 'BGRX' takes (h, w, 4)",
    ),
    (
        IMAGE,
        {"colorspace": "GRAY"},
        "image is uint8 (20, 30, 3), but colorspace 'GRAY' takes (h, w) or (h, w, 1)",
    ),
    (
        GRAY[0],
        {"colorspace": "GRAY"},
        "image is uint8 (30,), but colorspace 'GRAY' takes (h, w) or (h, w, 1)",
    ),
    (IMAGE[None], {}, "image is uint8 (1, 20, 30, 3), but colorspace 'BGR' takes (h, w, 3)"),
    (np.uint8(3), {}, "image is uint8 (), but colorspace 'BGR' takes (h, w, 3)"),
    (np.array(3, np.uint8), {}, "image is uint8 (), but colorspace 'BGR' takes (h, w, 3)"),
    (IMAGE[:0], {}, "image of 30x0 pixels has no pixels"),
    (IMAGE[:, :0], {}, "image of 0x20 pixels has no pixels"),
    (
        np.zeros((1, 65501, 3), np.uint8),
        {},
        "image of 65501x1 pixels is wider or taller than 65500",
    ),
    (
        np.zeros((65501, 1, 3), np.uint8),
        {},
        "image of 1x65501 pixels is wider or taller than 65500",
    ),
    (IMAGE.astype(np.float32), {}, "image must be an array of uint8, not float32 (20, 30, 3)"),
    (IMAGE.astype(np.int8), {}, "image must be an array of uint8, not int8 (20, 30, 3)"),
    (IMAGE.astype(bool), {}, "image must be an array of uint8, not bool (20, 30, 3)"),
    (IMAGE.astype(object), {}, "image must be an array of uint8, not object (20, 30, 3)"),
    (IMAGE.astype("M8[s]"), {}, "image must be an array of uint8, not datetime64[s] (20, 30, 3)"),
    (None, {}, "image must be a NumPy array of uint8, not NoneType"),
    ("image", {}, "image must be a NumPy array of uint8, not str"),
    (IMAGE.tolist(), {}, "image must be a NumPy array of uint8, not list"),
    (b"image", {}, "image is uint8 (5,), but colorspace 'BGR' takes (h, w, 3)"),
    (
        I420,
        {"colorspace": "YUV420", "subsampling": "444"},
        "colorspace 'YUV420' is stored as it is: subsampling must be '420', not '444'",
    ),
    (I420[1:], {"colorspace": "YUV420"}, "image is uint8 (29, 30)" + I420_SHAPE),
    (I420[:, 1:], {"colorspace": "YUV420"}, "image is uint8 (30, 29)" + I420_SHAPE),
    (IMAGE, {"colorspace": "YUV420"}, "image is uint8 (20, 30, 3)" + I420_SHAPE),
    (I420[:0], {"colorspace": "YUV420"}, "image of 30x0 pixels has no pixels"),
    (I420, {"colorspace": "YUV420", "size": (0, 20)}, "image of 0x20 pixels has no pixels"),
    (
        I420,
        {"colorspace": "YUV420", "size": (32, 20)},
        "size 32x20 does not lie within the I420 array uint8 (30, 30), whose Y plane is 30x20",
    ),
    (
        I420,
        {"colorspace": "YUV420", "size": (-2, 20)},
        "size -2x20 does not lie within the I420 array uint8 (30, 30), whose Y plane is 30x20",
    ),
    (
        I420,
        {"colorspace": "YUV420", "size": (29, 20)},
        "size 29x20 is odd, which an I420 array cannot hold: pass three planes (Y, U, V)",
    ),
    (I420, {"colorspace": "YUV420", "size": 30}, "size must be (width, height), not 30"),
    (
        I420,
        {"colorspace": "YUV420", "size": (1, 2, 3)},
        "size must be (width, height), not (1, 2, 3)",
    ),
    (
        I420,
        {"colorspace": "YUV420", "size": (1.5, 2)},
        "size must be (width, height), not (1.5, 2)",
    ),
    (
        PLANES,
        {"colorspace": "YUV420", "size": (30, 20)},
        "size goes with a single I420 array; three planes tell it themselves",
    ),
    (PLANES[:2], {"colorspace": "YUV420"}, "image must be three planes (Y, U, V), not 2"),
    (
        (PLANES[0], PLANES[1], None),
        {"colorspace": "YUV420"},
        "image[2] must be a NumPy array of uint8, not NoneType",
    ),
    (
        (PLANES[0], PLANES[1], PLANES[2].astype("i4")),
        {"colorspace": "YUV420"},
        "image[2] must be an array of uint8, not int32 (10, 15)",
    ),
    (
        (PLANES[0], PLANES[0], PLANES[2]),
        {"colorspace": "YUV420"},
        "image[1] must be uint8 (10, 15) beside a Y plane of (20, 30), not uint8 (20, 30)",
    ),
    (
        (IMAGE, *PLANES[1:]),
        {"colorspace": "YUV420"},
        "image[0], the Y plane, must be uint8 (h, w), not uint8 (20, 30, 3)",
    ),
    (PLANES, {}, "image must be a NumPy array of uint8, not tuple"),
]


@pytest.mark.parametrize(
    ("image", "options", "told"), REFUSED, ids=[row[2][:60] for row in REFUSED]
)
def test_refusals(image: object, options: dict[str, object], told: str) -> None:
    before = pool_stats().leases
    with pytest.raises(CodecError) as caught:
        encode_jpeg(image, **options)
    assert str(caught.value) == told
    assert isinstance(caught.value, ValueError)
    del caught
    assert pool_stats().leases == before
    assert len(encode_jpeg(IMAGE)) > 100
