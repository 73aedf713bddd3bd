"""A frame as it was received: a message, a picture and, if stamped, when and which."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _codec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from .clocks import Clock

__all__ = ["DecodeOptions", "Frame"]


class DecodeOptions(NamedTuple):
    """How JPEG frames become pixels; see ``decode_jpeg`` for each field."""

    colorspace: str = "BGR"
    scale: float = 1
    max_pixels: int = _codec.DEFAULT_MAX_PIXELS
    threads: int = 0


class Frame:
    """One received frame.

    Attributes:
        message: what the sender gave as ``msg``: any JSON value.
        jpeg: the JPEG as it arrived (a buffer, never copied or re-encoded), or
            None if the frame came as raw pixels.
        timestamp: when the sender was given the image, in seconds since the Unix epoch
            by its clock, or None if it does not stamp its frames.
        sequence: the sender's frame counter, from 0, or None likewise.
        clock: how the sender's clock stands to this machine's: ``offset``, seconds that it
            is ahead, and ``error``, by which that may be wrong. It is known from the
            second stamped frame of a REQ sender on; None: it is not known.

    A JPEG frame is decoded when ``image`` is first read, and only then.
    In a notebook a frame shows itself as a picture.
    """

    __slots__ = ("_decode", "_gray", "_image", "clock", "jpeg", "message", "sequence", "timestamp")

    message: Any
    jpeg: Buffer | None
    timestamp: float | None
    sequence: int | None
    clock: Clock | None

    def __init__(
        self,
        message: Any,
        *,
        image: NDArray[Any] | None = None,
        jpeg: Buffer | None = None,
        gray: bool = False,
        timestamp: float | None = None,
        sequence: int | None = None,
        decode: DecodeOptions = DecodeOptions(),  # noqa: B008 (immutable)
    ) -> None:
        if (image is None) == (jpeg is None):
            raise TypeError("a Frame holds either image= or jpeg=")
        self.message = message
        self.jpeg = jpeg
        self.timestamp = timestamp
        self.sequence = sequence
        self.clock = None
        self._image = image
        self._gray = gray
        self._decode = decode

    @property
    def image(self) -> NDArray[Any]:
        """The pixels: a writable, C-contiguous array, decoded once.

        Raw frames keep the sender's shape and dtype. JPEG frames are uint8, in
        the hub's ``colorspace`` and ``scale``: (h, w, 3) by default. A JPEG that was
        made from a gray picture gives (h, w), as the same picture sent raw would.

        Raises:
            CodecError: the JPEG is truncated, corrupt or too large.
        """
        if self._image is None:
            assert self.jpeg is not None
            options = self._decode
            self._image = _codec.decode_jpeg(
                self.jpeg,
                colorspace="GRAY" if self._gray else options.colorspace,
                scale=options.scale,
                max_pixels=options.max_pixels,
                threads=options.threads,
            )
        return self._image

    @property
    def age(self) -> float | None:
        """Seconds since the timestamp, or None without one.

        Where ``clock`` is known, it is right within ``clock.error``, however wrong the
        sender's clock is. Else, as with PUB/SUB, it trusts that both clocks agree.
        """
        if self.timestamp is None:
            return None
        age = time.time() - self.timestamp
        if self.clock is None or abs(self.clock.offset) <= self.clock.error:
            return age  # nothing says that the clocks differ
        return max(0.0, age + self.clock.offset)

    @property
    def camera(self) -> Any:
        """What tells this frame's camera from others: its message."""
        return self.message

    def _repr_jpeg_(self) -> bytes | None:
        """Show the picture in a notebook (IPython's rich display protocol)."""
        if self.jpeg is not None:
            return bytes(self.jpeg)
        image = self.image
        colorspace = _display_colorspace(image)
        if colorspace is None:
            return None  # not a picture: IPython falls back to repr()
        return bytes(_codec.encode_jpeg(image, 90, colorspace=colorspace))

    def __repr__(self) -> str:
        text = repr(self.message)
        if len(text) > 40:
            text = text[:37] + "..."
        if self.jpeg is not None:
            what = f"JPEG, {memoryview(self.jpeg).nbytes} bytes"
        else:
            what = f"{self.image.dtype} {self.image.shape}"
        number = "" if self.sequence is None else f", sequence {self.sequence}"
        return f"<Frame {text}: {what}{number}>"


def _display_colorspace(image: NDArray[np.generic]) -> str | None:
    """Name the colour space in which a raw array can be shown; None if it cannot."""
    if image.dtype.name != "uint8" or image.size == 0 or max(image.shape, default=0) > 65500:
        return None
    if image.ndim == 2:
        return "GRAY"
    if image.ndim == 3:
        return {1: "GRAY", 3: "BGR", 4: "BGRX"}.get(image.shape[2])
    return None
