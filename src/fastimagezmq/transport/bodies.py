"""What may go into a message body, and whose memory it is.

A body that leaves without being copied must not change until libzmq is done with it.
That holds for what cannot change (``bytes``, and arrays whose base chain ends in
``bytes``; a read-only view is not enough, its base can be written) and for leased
blocks, which only their one holder has written. Anything else is copied into a leased
block when the caller may touch it before it has left.
"""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _codec

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from ..wire import BytesLike

__all__ = [
    "COPY_BELOW",
    "checked_array",
    "checked_blob",
    "is_immutable",
    "kept_array",
    "kept_blob",
    "leased_copy",
    "lend_array",
    "of_array",
    "of_blob",
]


COPY_BELOW = 65536
"""Below so many bytes a body is copied whatever was asked for: that costs less than keeping
count of who still reads it."""


def checked_array(image: Any) -> NDArray[Any]:
    """Return ``image`` as a plain ndarray.

    Raises:
        TypeError: it is none, with one sentence on what probably happened.
    """
    if isinstance(image, np.ndarray):
        return image if type(image) is np.ndarray else image.view(np.ndarray)
    if image is None:
        raise TypeError(
            "image is None: the camera returned no frame: not warmed up, or wrong index?"
        )
    if isinstance(image, tuple):
        raise TypeError(
            "image is a tuple, not an array: cap.read() returns (ok, image), send its second item"
        )
    kind = type(image)
    raise TypeError(
        f"image is a {kind.__module__}.{kind.__qualname__}, not a numpy array:"
        " convert it with numpy.asarray(image)"
    )


def of_array(array: NDArray[Any], unchanging: bool = False) -> BytesLike:
    """Return the pixels as bytes in C order: the array's own memory, or else a copy of it.

    Args:
        array: of any strides.
        unchanging: copy what the program could still write to while it is being sent.
    """
    if not array.flags.c_contiguous or (
        unchanging and array.nbytes >= COPY_BELOW and not is_immutable(array)
    ):
        return leased_copy(array)
    return array if array.dtype.kind in _BUFFER_KINDS else array.reshape(-1).view(np.uint8)


# Of numbers and text; other dtypes (datetime64, bfloat16) have no buffer format of their own.
_BUFFER_KINDS = frozenset("biufcSU")


def kept_array(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array whose pixels stay as they are now: the array itself, or a leased copy."""
    if is_immutable(array):
        return array
    return np.ndarray(array.shape, array.dtype, buffer=memoryview(leased_copy(array)))


def checked_blob(blob: Any) -> memoryview:
    """Return a memoryview of ``blob``.

    Raises:
        TypeError: it has no buffer protocol.
    """
    try:
        view = memoryview(blob)
    except (TypeError, ValueError, BufferError):
        if isinstance(blob, str):
            hint = "a str: encode it, as in text.encode()"
        elif isinstance(blob, tuple):
            hint = "a tuple: cv2.imencode returns (ok, jpg_buffer), send its second item"
        elif blob is None:
            hint = "None"
        else:
            hint = f"a {type(blob).__qualname__}"
    else:
        if "O" not in view.format and "{" not in view.format:
            return view
        hint = "an array of objects or records"
    raise TypeError(f"jpg_buffer must be bytes or another buffer, not {hint}") from None


def of_blob(blob: Any, *, unchanging: bool = False) -> BytesLike:
    """Return a blob as a contiguous buffer: its own memory, or else a copy of it.

    Args:
        blob: any buffer.
        unchanging: as for ``of_array``.

    Raises:
        TypeError: it has no buffer protocol.
    """
    view = checked_blob(blob)
    if not view.c_contiguous:
        return memoryview(view.tobytes())
    if unchanging and view.nbytes >= COPY_BELOW and not is_immutable(view):
        return leased_copy(view)
    return view


def kept_blob(blob: Any) -> BytesLike:
    """Return a blob as it is now, contiguous: its own memory if nobody can write to it.

    Raises:
        TypeError: it has no buffer protocol.
    """
    view = checked_blob(blob)
    if not view.c_contiguous:
        return memoryview(view.tobytes())
    return view if is_immutable(view) else leased_copy(view)


def is_immutable(body: Any) -> bool:
    """Tell whether nobody can write to this memory any more."""
    while True:
        if isinstance(body, bytes):
            return True
        if isinstance(body, _codec.Lease):
            return body.readonly or body in _lent
        if isinstance(body, np.ndarray):
            body = body.base
        elif isinstance(body, memoryview):
            body = body.obj
        else:
            return False


_lent: weakref.WeakSet[_codec.Lease] = weakref.WeakSet()


def lend_array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array over a leased block, which its holder will not write to once it is sent.

    Its contents are undefined.
    """
    array_dtype = np.dtype(dtype)
    block = _codec.lease(math.prod(shape) * array_dtype.itemsize)
    _lent.add(block)
    return np.ndarray(shape, array_dtype, buffer=memoryview(block))


def leased_copy(source: Any) -> _codec.Lease:
    """Copy an array (of any strides, in C order) or a contiguous buffer to a leased block."""
    if isinstance(source, np.ndarray):
        block = _codec.lease(source.nbytes)
        np.copyto(np.ndarray(source.shape, source.dtype, buffer=memoryview(block)), source)
    else:
        view = memoryview(source)
        block = _codec.lease(view.nbytes)
        if view.nbytes:  # an empty view cannot be cast
            memoryview(block)[:] = view.cast("B")
    return block
