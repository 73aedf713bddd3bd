"""What becomes of an image on its way into a message: raw pixels or JPEG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from . import _codec, wire
from .transport import bodies

if TYPE_CHECKING:
    from collections.abc import Callable

    from .clocks import Exchange
    from .wire import BytesLike

__all__ = ["Encoding", "check_threads"]


def check_threads(threads: Any) -> None:
    """Refuse what is no number of threads for a JPEG.

    Raises:
        ValueError: with one sentence that says what to write.
    """
    most = _codec.THREADS_MAX
    if isinstance(threads, bool) or not isinstance(threads, int) or not 0 <= threads <= most:
        raise ValueError(
            f"threads={threads!r}: give a number of threads up to {most}, or 0 for as many as help"
        )


class Encoding(NamedTuple):
    """How a sender packs its images; see ``ImageSender`` for the fields."""

    jpeg: int | None = None
    subsampling: str = "420"
    colorspace: str = "BGR"
    threads: int = 0

    def check(self) -> None:
        """Refuse options that are wrong or do not combine.

        Raises:
            TypeError, ValueError: with one sentence that says what to write.
        """
        jpeg, subsampling, colorspace, threads = self
        check_threads(threads)
        if jpeg is None:
            for (name, default), value in zip(self._field_defaults.items(), self, strict=True):
                if value != default:
                    raise ValueError(
                        f"{name}={value!r} describes JPEG encoding, and raw pixels are sent as"
                        " they are: add jpeg=85, or leave it out"
                    )
            return
        if isinstance(jpeg, bool) or not isinstance(jpeg, int):
            raise TypeError(
                f"jpeg={jpeg!r}: give the JPEG quality, a number from 1 to 100, or None"
            )
        if not 1 <= jpeg <= 100:
            raise ValueError(f"jpeg={jpeg!r}: the JPEG quality is a number from 1 to 100")
        if colorspace not in _codec.COLORSPACES:
            known = ", ".join(_codec.COLORSPACES)
            raise ValueError(f"colorspace={colorspace!r} is none of {known}")
        if subsampling not in _codec.SUBSAMPLINGS:
            known = ", ".join(_codec.SUBSAMPLINGS)
            raise ValueError(f"subsampling={subsampling!r} is none of {known}")
        if colorspace == "YUV420" and subsampling != "420":
            raise ValueError(f'colorspace="YUV420" is 4:2:0 already: leave out {subsampling=}')

    def header(
        self,
        msg: Any,
        image: Any,
        timestamp: float | None = None,
        sequence: int | None = None,
        before: Exchange | None = None,
    ) -> bytes:
        """Build the header of an image; refuses what cannot be sent before any work is done.

        Raises:
            TypeError: no array, a dtype that cannot be sent, or no JSON value.
        """
        if self.jpeg is None:
            return wire.pixels_header(msg, image.dtype, image.shape, timestamp, sequence, before)
        encoding = wire.ENC_JPEG_GRAY if self.colorspace == "GRAY" else wire.ENC_JPEG
        return wire.blob_header(msg, encoding, timestamp, sequence, before)

    def checked(self, image: Any) -> Any:
        """Return the image as a plain array, or as the planes that YUV420 may come in.

        Raises:
            TypeError: it is neither.
        """
        if self.colorspace == "YUV420" and isinstance(image, tuple | list):
            return image
        return bodies.checked_array(image)

    def job(self, image: Any) -> Callable[[], _codec.Lease]:
        """Check what ``checked`` gave against ``colorspace``; return what encodes it as JPEG.

        Raises:
            CodecError: its dtype or shape does not fit.
        """
        assert self.jpeg is not None
        return _codec.JpegJob(
            image,
            self.jpeg,
            subsampling=self.subsampling,
            colorspace=self.colorspace,
            threads=self.threads,
            restart_rows=1,  # so that the hub can decode on several threads
        ).encode

    def kept(self, image: Any) -> Any:
        """Return what ``checked`` gave, or a copy if somebody could still write to it."""
        if isinstance(image, tuple | list):
            return [bodies.kept_array(bodies.checked_array(plane)) for plane in image]
        return bodies.kept_array(image)

    def body(self, image: Any, *, unchanging: bool) -> BytesLike:
        """Return the body: the pixels in C order, maybe the image's own memory, or a JPEG.

        Args:
            image: what ``checked`` gave.
            unchanging: copy pixels that the program could still write to.

        Raises:
            CodecError: the image cannot be encoded.
        """
        if self.jpeg is None:
            return bodies.of_array(image, unchanging=unchanging)
        return self.job(image)()
