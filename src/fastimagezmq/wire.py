"""The wire format: frames to message parts and back, with limits, without sockets.

A frame is two parts, byte for byte as imageZMQ 1.2.0 writes them: a header, which is
``json.dumps`` of an object with ``msg`` (and, for pixels, ``dtype`` and ``shape``) in
that order with default separators and ASCII escapes; and a body, which is the pixels in
C order or an opaque blob. ``docs/wire.md`` is the specification.
"""

from __future__ import annotations

import functools
import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from .clocks import Exchange
from .errors import WireError
from .frame import DecodeOptions, Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BytesLike: TypeAlias = Any  # a Buffer: numpy's and pyzmq's stubs do not say so of theirs

__all__ = [
    "DEFAULT_MAX_BYTES",
    "ENC_JPEG",
    "ENC_JPEG_GRAY",
    "ERROR_REPLY",
    "MAX_HEADER_BYTES",
    "Header",
    "blob_header",
    "checked_dtype",
    "frame_of",
    "parse_array",
    "parse_frame",
    "parse_header",
    "parse_parts",
    "pixels_header",
]

DEFAULT_MAX_BYTES = 1 << 30
"""The largest body taken by default: one GiB, above any camera's frame."""

MAX_HEADER_BYTES = 16 << 20
"""The largest header taken: messages are names and small JSON, not pictures."""

ENC_JPEG = "jpeg"
"""Value of ``enc``: the body is a JPEG of a colour picture."""

ENC_JPEG_GRAY = "jpeg-gray"
"""Value of ``enc``: the body is a JPEG of a picture whose raw form is (h, w)."""

ERROR_REPLY = b"ERROR: "
"""How the answer to a message that is no frame begins; the reason follows in UTF-8."""

_SECONDS_MAX = 2.0**53  # beyond it floats do not tell seconds apart; sums of a few are finite

MAX_DIMENSIONS = 32  # numpy 1's limit; arrays of more cannot be rebuilt everywhere


class Header(NamedTuple):
    """A parsed header. Fields that the sender left out are None."""

    message: Any
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...] | None
    encoding: str | None
    timestamp: float | None
    sequence: int | None
    nbytes: int | None
    """Of the body, where ``dtype`` and ``shape`` tell it."""
    before: Exchange | None = None
    """An earlier frame of the same sender and its reply, by the sender's clock."""


# A stream's headers are all alike while its pictures are: the bytes of those up to this
# size are remembered, so as to be written once, and recognised when they come again.
_REMEMBERED_BYTES = 1024
_REMEMBERED_HEADERS = 256


# --- writing -----------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def checked_dtype(dtype: np.dtype[Any]) -> str:
    """Return the name by which ``dtype`` travels.

    Raises:
        TypeError: an object or structured dtype, or another one of which a receiver
            cannot make the same array again from its name and the bytes.
    """
    name = str(dtype)
    try:
        if _parse_dtype(name) == dtype:
            return name
    except WireError:
        pass
    raise TypeError(
        f"an array of dtype {name} cannot be sent: only plain numbers can"
        " (convert it with .astype(), or send fields one by one)"
    )


def pixels_header(
    message: Any,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    timestamp: float | None = None,
    sequence: int | None = None,
    before: Exchange | None = None,
) -> bytes:
    """Build the header of a raw array.

    Raises:
        TypeError: the message is no JSON value, or the dtype cannot be sent.
    """
    if type(message) is str and len(message) <= _REMEMBERED_BYTES and timestamp is sequence is None:
        return _text_pixels_header(message, dtype, shape)
    fields = {"msg": message, "dtype": checked_dtype(dtype), "shape": shape}
    return _dump(fields, timestamp, sequence, before)


@functools.lru_cache(maxsize=_REMEMBERED_HEADERS)
def _text_pixels_header(message: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    return _dump({"msg": message, "dtype": checked_dtype(dtype), "shape": shape})


def blob_header(
    message: Any,
    encoding: str | None = None,
    timestamp: float | None = None,
    sequence: int | None = None,
    before: Exchange | None = None,
) -> bytes:
    """Build the header of a blob, or, with ``encoding``, of an encoded picture.

    Raises:
        TypeError: the message is no JSON value.
    """
    if type(message) is str and len(message) <= _REMEMBERED_BYTES and timestamp is sequence is None:
        return _text_blob_header(message, encoding)
    return _dump(_blob_fields(message, encoding), timestamp, sequence, before)


@functools.lru_cache(maxsize=_REMEMBERED_HEADERS)
def _text_blob_header(message: str, encoding: str | None) -> bytes:
    return _dump(_blob_fields(message, encoding))


def _blob_fields(message: Any, encoding: str | None) -> dict[str, Any]:
    return {"msg": message} if encoding is None else {"msg": message, "enc": encoding}


def _dump(
    fields: dict[str, Any],
    timestamp: float | None = None,
    sequence: int | None = None,
    before: Exchange | None = None,
) -> bytes:
    if timestamp is not None:
        fields["ts"] = timestamp
    if sequence is not None:
        fields["seq"] = sequence
    if before is not None:
        fields["echo"] = before
    try:
        return json.dumps(fields).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"msg must be a JSON value (text, number, list, dict, ...): {error}"
        ) from None


# --- reading -----------------------------------------------------------------------


def parse_header(data: BytesLike) -> Header:
    """Parse a header part.

    Raises:
        WireError: not JSON, not an object, no ``msg``, or a field of the wrong kind.
    """
    try:
        raw = data.bytes  # of a Message or a zmq.Frame: several times as quick
    except AttributeError:
        raw = bytes(data)
    header = _remembered.get(raw)
    if header is None:
        header = _parse_header(raw)
        # A list or dict is the program's own, to change as it likes.
        if len(raw) <= _REMEMBERED_BYTES and not isinstance(header.message, dict | list):
            if len(_remembered) >= _REMEMBERED_HEADERS:
                _remembered.clear()
            _remembered[raw] = header
    return header


def _parse_header(raw: bytes) -> Header:
    if len(raw) > MAX_HEADER_BYTES:
        raise WireError(f"a header of {len(raw)} bytes is over the limit of {MAX_HEADER_BYTES}")
    try:
        fields = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireError(f"the header is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise WireError(f"the header is a JSON {type(fields).__name__}, not an object")
    if "msg" not in fields:
        raise WireError('the header has no "msg"')
    encoding = fields.get("enc")
    if encoding is not None and encoding not in (ENC_JPEG, ENC_JPEG_GRAY):
        raise WireError(f'the encoding "enc" {encoding!r:.60} is unknown here: update this hub')
    dtype = shape = None
    if encoding is None and "dtype" in fields:
        dtype = _parse_dtype_field(fields["dtype"])
        shape = _parse_shape(fields.get("shape"))
    return Header(
        fields["msg"],
        dtype,
        shape,
        encoding,
        _parse_seconds(fields.get("ts")),
        _parse_count(fields.get("seq")),
        None if dtype is None or shape is None else _body_size(dtype, shape),
        _parse_exchange(fields.get("echo")),
    )


def _body_size(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int | None:
    return None if -1 in shape else math.prod(shape) * dtype.itemsize


_remembered: dict[bytes, Header] = {}


# Names that numpy maps to fixed-size numbers or text. Anything else, such as structured
# ("i4,f4"), object ("O") or deprecated ("a8") spellings, never reaches numpy's parser.
_DTYPE = re.compile(
    r"bool|u?int(8|16|32|64)|float(16|32|64|96|128)|complex(64|128|192|256)"
    r"|(datetime|timedelta)64(\[\d*[A-Za-zμ]{1,2}\])?"
    r"|[<>|=]?([?biufcSU]\d{1,9}|\?|[mM]8(\[\d*[A-Za-zμ]{1,2}\])?)"
    r"|(b|u?int|float)\d{1,2}[a-z0-9_]{0,20}",  # ml_dtypes: bfloat16, float8_e4m3, int4
)


def _parse_dtype_field(name: Any) -> np.dtype[Any]:
    if not isinstance(name, str):
        raise WireError(f'the header\'s "dtype" is {name!r:.60}, not text')
    return _parse_dtype(name)


@functools.lru_cache(maxsize=64)
def _parse_dtype(name: str) -> np.dtype[Any]:
    if _DTYPE.fullmatch(name):
        try:
            dtype = np.dtype(name)
        except (TypeError, ValueError):
            pass
        else:
            if not dtype.hasobject and dtype.names is None and dtype.itemsize:
                return dtype
    raise WireError(f'the header\'s "dtype" {name!r:.60} is no plain number type')


def _parse_shape(shape: Any) -> tuple[int, ...]:
    if (
        not isinstance(shape, list)
        or len(shape) > MAX_DIMENSIONS
        or not all(type(n) is int and -1 <= n < 1 << 63 for n in shape)
        or shape.count(-1) > 1
    ):
        raise WireError(f'the header\'s "shape" {shape!r:.60} is not a list of sizes')
    return tuple(shape)


def _parse_seconds(value: Any) -> float | None:
    # A stamp is a courtesy: one that is no time is none, and no reason to lose a frame.
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            return None
        return seconds if abs(seconds) <= _SECONDS_MAX else None  # NaN is in no order
    return None


def _parse_count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 63 else None


def _parse_exchange(value: Any) -> Exchange | None:
    if not isinstance(value, list) or len(value) != len(Exchange._fields):
        return None
    sequence = _parse_count(value[0])
    times = [_parse_seconds(time) for time in value[1:]]
    if sequence is None or None in times:
        return None
    return Exchange(sequence, *(time for time in times if time is not None))


def parse_array(header: Header, body: BytesLike) -> NDArray[Any]:
    """Make the array that a pixels header and a body describe, over the body's memory.

    Raises:
        WireError: the header is of a blob, or the body's length does not match.
    """
    dtype, shape = header.dtype, header.shape
    if dtype is None or shape is None:
        raise WireError('the header has no "dtype": not an array')
    size = len(body)
    if header.nbytes is None:
        known = math.prod(n for n in shape if n != -1) * dtype.itemsize
        if known == 0 or size % known:
            raise WireError(f"{size} bytes cannot be an array of {dtype} {list(shape)}")
        shape = tuple(size // known if n == -1 else n for n in shape)
    elif header.nbytes != size:
        raise WireError(
            f"{size} bytes arrived for an array of {dtype} {list(shape)},"
            f" which takes {header.nbytes}"
        )
    try:
        array: NDArray[Any] = np.ndarray(shape, dtype, body)
    except ValueError as error:  # an empty array whose other sizes overflow
        raise WireError(f"no array can have the shape {list(shape)!r:.60}: {error}") from None
    # Small messages share libzmq's receive buffer at any offset; numbers of more than a
    # byte want their alignment (as do C libraries that are handed the array).
    return array if dtype.itemsize == 1 or array.flags.aligned else array.copy()


def parse_frame(
    parts: Sequence[BytesLike],
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    decode: DecodeOptions = DecodeOptions(),  # noqa: B008 (immutable)
) -> Frame:
    """Parse the parts of one message into a frame with a picture, not yet decoded.

    Raises:
        WireError: a malformed or oversized message, or a blob that is no JPEG.
    """
    header, body = parse_parts(parts, max_bytes=max_bytes)
    return frame_of(header, body, decode=decode)


def frame_of(header: Header, body: BytesLike, *, decode: DecodeOptions) -> Frame:
    """Make a frame of a parsed header and its body, not yet decoded.

    Raises:
        WireError: the body does not match the header, or is a blob that is no JPEG.
    """
    stamps: dict[str, Any] = {"timestamp": header.timestamp, "sequence": header.sequence}
    if header.dtype is not None:
        return Frame(header.message, image=parse_array(header, body), **stamps)
    if bytes(memoryview(body).cast("B")[:2]) != b"\xff\xd8":
        raise WireError(
            "the body is neither pixels nor a JPEG (FF D8 ...): read such blobs with recv_jpg"
        )
    gray = header.encoding == ENC_JPEG_GRAY
    return Frame(header.message, jpeg=body, gray=gray, decode=decode, **stamps)


def parse_parts(
    parts: Sequence[BytesLike], *, max_bytes: int = DEFAULT_MAX_BYTES
) -> tuple[Header, BytesLike]:
    """Parse the parts of one message, buffers of bytes, into its header and its body as it is.

    Raises:
        WireError: not two parts, an oversized body, or a malformed header.
    """
    if len(parts) != 2:
        count = "one part" if len(parts) == 1 else "more than two parts"
        raise WireError(f"the message has {count}; a frame has two")
    size = len(parts[1])
    if size > max_bytes:
        raise WireError(f"a body of {size} bytes is over max_bytes={max_bytes}")
    return parse_header(parts[0]), parts[1]
