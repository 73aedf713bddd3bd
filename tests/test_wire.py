"""The wire format, byte for byte as imageZMQ 1.2.0 writes and reads it."""

from __future__ import annotations

import json
import math
from typing import Any

import imagezmq as theirs
import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastimagezmq import WireError, wire
from fastimagezmq.transport import bodies

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
DTYPES = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes()
    | hnp.unsigned_integer_dtypes()
    | hnp.floating_dtypes()
    | hnp.complex_number_dtypes()
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_side=5))


@pytest.fixture(scope="module")
def pair() -> Any:
    """A sending socket of imageZMQ's own and what its peer receives."""
    context = theirs.SerializingContext()
    sender, receiver = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    receiver.bind("inproc://wire")
    sender.connect("inproc://wire")
    yield sender, receiver
    sender.close(0)
    receiver.close(0)
    context.term()


def same(a: Any, b: Any) -> bool:
    """Equality that takes NaN as equal to itself."""
    return json.dumps(a) == json.dumps(b)


# --- writing -----------------------------------------------------------------------


@given(message=JSON, array=ARRAYS)
def test_pixels_are_written_as_imagezmq_writes_them(pair: Any, message: Any, array: Any) -> None:
    sender, receiver = pair
    sender.send_array(np.ascontiguousarray(array) if array.ndim else array, message)
    header, body = receiver.recv_multipart()
    assert wire.pixels_header(message, array.dtype, array.shape) == header
    assert bytes(memoryview(bodies.of_array(array))) == body


@given(message=JSON, blob=st.binary(max_size=100))
def test_blobs_are_written_as_imagezmq_writes_them(pair: Any, message: Any, blob: bytes) -> None:
    sender, receiver = pair
    sender.send_jpg(message, blob)
    header, body = receiver.recv_multipart()
    assert wire.blob_header(message) == header
    assert bytes(bodies.of_blob(blob)) == body


def test_the_documented_headers() -> None:
    u8 = np.dtype("uint8")
    assert (
        wire.pixels_header("kü", u8, (480, 640, 3))
        == b'{"msg": "k\\u00fc", "dtype": "uint8", "shape": [480, 640, 3]}'
    )
    assert wire.pixels_header(float("nan"), np.dtype(">i4"), ()) == (
        b'{"msg": NaN, "dtype": ">i4", "shape": []}'
    )
    assert wire.blob_header("a") == b'{"msg": "a"}'
    assert (
        wire.blob_header("a", "jpeg", 1.5, 7) == b'{"msg": "a", "enc": "jpeg", "ts": 1.5, "seq": 7}'
    )
    assert wire.pixels_header("a", u8, (1,), 1.5, 0) == (
        b'{"msg": "a", "dtype": "uint8", "shape": [1], "ts": 1.5, "seq": 0}'
    )


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype(object),
        np.dtype([("x", "f4"), ("y", "f4")]),
        np.dtype([("o", object)]),
        np.dtype("V0"),
        np.dtype("V3"),
        np.dtype("S0"),
    ],
)
def test_dtypes_that_cannot_be_rebuilt_are_refused(dtype: Any) -> None:
    with pytest.raises(TypeError, match="cannot be sent: only plain numbers can"):
        wire.pixels_header("m", dtype, (1,))


@pytest.mark.parametrize("message", [object(), b"bytes", {1, 2}, np.uint8(3), {"a": b""}])
def test_messages_that_are_no_json_are_refused(message: Any) -> None:
    with pytest.raises(TypeError, match="msg must be a JSON value"):
        wire.blob_header(message)
    with pytest.raises(TypeError, match="msg must be a JSON value"):
        wire.pixels_header(message, np.dtype("u1"), (1,))


def test_a_message_nested_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TypeError, match="msg must be a JSON value"):
        wire.blob_header(endless)


# --- there and back ----------------------------------------------------------------


@given(message=JSON, array=ARRAYS)
def test_any_array_comes_back_the_same(message: Any, array: Any) -> None:
    header = wire.pixels_header(message, array.dtype, array.shape)
    body = bytearray(bytes(memoryview(bodies.of_array(array))))
    frame = wire.parse_frame([header, body])
    assert same(frame.message, message)
    assert frame.image.dtype == array.dtype
    assert frame.image.shape == array.shape
    assert frame.image.tobytes() == array.tobytes()
    assert frame.image.flags.c_contiguous
    assert frame.image.flags.aligned
    assert frame.image.flags.writeable
    assert frame.jpeg is None
    assert frame.timestamp is frame.sequence is frame.age is None


@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=6)),
    data=st.data(),
)
def test_views_of_any_strides_are_sent_in_c_order(array: Any, data: Any) -> None:
    view = array[data.draw(hnp.basic_indices(array.shape))]
    view = np.asarray(view)
    if data.draw(st.booleans()):
        view = view.T
    assert bytes(memoryview(bodies.of_array(view))) == view.tobytes()


@pytest.mark.parametrize(
    "name", ["datetime64[ns]", "timedelta64[ms]", "S5", "U3", "<m8[us]", "float16"]
)
def test_unusual_dtypes_travel(name: str) -> None:
    array = np.zeros(3, name)
    header = wire.pixels_header("m", array.dtype, array.shape)
    frame = wire.parse_frame([header, bytes(memoryview(bodies.of_array(array)))])
    assert frame.image.dtype == array.dtype
    assert frame.image.tobytes() == array.tobytes()


def test_numbers_at_odd_offsets_are_aligned() -> None:
    memory = bytearray(1 + 8 * 4)
    array = np.arange(4.0)
    memory[1:] = array.tobytes()
    frame = wire.parse_frame(
        [wire.pixels_header("m", array.dtype, array.shape), memoryview(memory)[1:]]
    )
    assert frame.image.flags.aligned
    assert (frame.image == array).all()


def test_an_array_is_the_bodys_own_memory() -> None:
    body = bytearray(6)
    frame = wire.parse_frame([b'{"msg": "m", "dtype": "uint8", "shape": [2, 3]}', body])
    body[4] = 9
    assert frame.image[1, 1] == 9


# --- reading what others write -----------------------------------------------------


def parse(header: str | bytes, body: bytes = bytes(12), **limits: Any) -> Any:
    raw = header if isinstance(header, bytes) else header.encode()
    return wire.parse_frame([raw, body], **limits)


@pytest.mark.parametrize(
    ("header", "shape"),
    [
        ('{"msg": 1, "dtype": "|u1", "shape": [2, 6]}', (2, 6)),
        ('{"shape":[2,-1,3],"dtype":"uint8","msg":"any order, no spaces"}', (2, 2, 3)),
        ('{"msg": "kü", "dtype": "uint8", "shape": [-1]}', (12,)),
        ('{"msg": "x", "dtype": "<u4", "shape": [3], "extra": {"a": [1]}}', (3,)),
        ('{"msg": "x", "dtype": "float32", "shape": [3, 1, 1]}', (3, 1, 1)),
    ],
)
def test_other_spellings_are_understood(header: str, shape: tuple[int, ...]) -> None:
    assert parse(header).image.shape == shape


def test_stamps_are_read_and_odd_ones_are_none() -> None:
    frame = parse('{"msg": 0, "dtype": "u1", "shape": [12], "ts": 5, "seq": 3}')
    assert (frame.timestamp, frame.sequence) == (5.0, 3)
    assert frame.age > 0
    for ts in ('"now"', "NaN", "Infinity", "true", "1e999", "-1e16", "9" * 400, "null"):
        frame = parse(f'{{"msg": 0, "dtype": "u1", "shape": [12], "ts": {ts}, "seq": {ts}}}')
        assert frame.timestamp is None
        assert frame.sequence is None


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"{", "not JSON"),
        (b'{"msg": 1', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"msg": ' + b"1" * 10_000 + b"}", "not JSON"),
        (b"[1]", "a JSON list, not an object"),
        (b"null", "a JSON NoneType, not an object"),
        (b"{}", 'has no "msg"'),
        (b'{"msg": 1, "dtype": 5, "shape": [12]}', '"dtype" is 5, not text'),
        (b'{"msg": 1, "dtype": "O", "shape": [12]}', "no plain number type"),
        (b'{"msg": 1, "dtype": "u1,u1", "shape": [6]}', "no plain number type"),
        (b'{"msg": 1, "dtype": "[(\'a\', \'u1\')]", "shape": [12]}', "no plain number type"),
        (b'{"msg": 1, "dtype": "a4", "shape": [3]}', "no plain number type"),
        (b'{"msg": 1, "dtype": "int7", "shape": [3]}', "no plain number type"),
        (b'{"msg": 1, "dtype": "S0", "shape": [3]}', "no plain number type"),
        (b'{"msg": 1, "dtype": "S99999999999", "shape": [3]}', "no plain number type"),
        (b'{"msg": 1, "dtype": "uint8"}', '"shape" None'),
        (b'{"msg": 1, "dtype": "uint8", "shape": "12"}', "not a list of sizes"),
        (b'{"msg": 1, "dtype": "uint8", "shape": [12.0]}', "not a list of sizes"),
        (b'{"msg": 1, "dtype": "uint8", "shape": [true, 12]}', "not a list of sizes"),
        (b'{"msg": 1, "dtype": "uint8", "shape": [-2]}', "not a list of sizes"),
        (b'{"msg": 1, "dtype": "uint8", "shape": [-1, -1]}', "not a list of sizes"),
        (b'{"msg": 1, "dtype": "uint8", "shape": [1' + b",1" * 40 + b"]}", "not a list of sizes"),
        (b'{"msg": 1, "dtype": "uint8", "shape": [11]}', "12 bytes arrived for an array"),
        (b'{"msg": 1, "dtype": "uint8", "shape": []}', "12 bytes arrived for an array"),
        (b'{"msg": 1, "dtype": "uint8", "shape": [5, -1]}', "12 bytes cannot be an array"),
        (b'{"msg": 1, "dtype": "uint8", "shape": [0, -1]}', "12 bytes cannot be an array"),
        (b'{"msg": 1, "dtype": "u8", "shape": [4294967296, 4294967296]}', "12 bytes arrived"),
        (b'{"msg": 1, "enc": "h264"}', "unknown here"),
        (b'{"msg": 1, "enc": ["jpeg"]}', "unknown here"),
        (b'{"msg": 1}', "neither pixels nor a JPEG"),
    ],
)
def test_malformed_headers_are_told(header: bytes, what: str) -> None:
    with pytest.raises(WireError) as error:
        parse(header)
    assert what in str(error.value)
    assert len(str(error.value)) < 250


def test_an_empty_array_of_absurd_shape() -> None:
    header = f'{{"msg": 1, "dtype": "uint8", "shape": [0, {2**62}, {2**62}]}}'
    with pytest.raises(WireError, match="no array can have the shape"):
        parse(header, b"")


def test_limits() -> None:
    header = '{"msg": 1, "dtype": "u1", "shape": [12]}'
    assert parse(header, max_bytes=12).image.size == 12
    with pytest.raises(WireError, match="12 bytes is over max_bytes=11"):
        parse(header, max_bytes=11)
    with pytest.raises(WireError, match="over the limit"):
        wire.parse_header(b" " * (wire.MAX_HEADER_BYTES + 1))


@pytest.mark.parametrize(("count", "what"), [(1, "one part"), (3, "more than two parts")])
def test_a_message_has_two_parts(count: int, what: str) -> None:
    with pytest.raises(WireError, match=what):
        wire.parse_frame([b'{"msg": 1}'] * count)


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_no_bytes_whatever_do_more_than_be_refused(header: bytes, body: bytes) -> None:
    with pytest.raises(WireError):
        wire.parse_frame([header, body])


FIELDS = st.fixed_dictionaries(
    {"msg": JSON},
    optional={
        "dtype": st.sampled_from(["uint8", "|u1", "<f4", "O", "a3", "V2", "i1,i2", "M8[ns]"])
        | JSON,
        "shape": st.lists(st.integers(-2, 2**65), max_size=4) | JSON,
        "enc": st.sampled_from(["jpeg", "jpeg-gray", "png"]) | JSON,
        "ts": JSON,
        "seq": JSON,
    },
)


@given(FIELDS, st.binary(max_size=50) | st.just(b"\xff\xd8\xff"))
def test_any_header_gives_a_frame_or_a_wire_error(fields: dict[str, Any], body: bytes) -> None:
    try:
        frame = wire.parse_frame([json.dumps(fields).encode(), body])
    except WireError as error:
        assert str(error)
    else:
        assert same(frame.message, fields["msg"])
        assert frame.timestamp is None or math.isfinite(frame.timestamp)
        if frame.jpeg is None:
            assert frame.image.nbytes == len(body)
        else:
            assert body.startswith(b"\xff\xd8")
