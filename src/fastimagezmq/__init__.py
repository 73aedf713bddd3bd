"""Stream camera images over ZeroMQ: imageZMQ's programs, unchanged, on a C core.

``import fastimagezmq as imagezmq`` gives everything that ``import imagezmq`` gives:
``ImageSender``, ``ImageHub``, ``SerializingSocket``, ``SerializingContext``, and the names
``zmq`` and ``np``. Beside them stand the codec (``encode_jpeg``, ``decode_jpeg``,
``jpeg_info``), ``Frame``, and the errors.
"""

from typing import TYPE_CHECKING, Any

from . import imagezmq as imagezmq
from .__version__ import (
    __author__,
    __author_email__,
    __copyright__,
    __description__,
    __license__,
    __title__,
    __url__,
    __version__,
)
from ._codec import JpegInfo, Lease, decode_jpeg, encode_jpeg, jpeg_info
from .camera_stats import CameraStats
from .errors import (
    AddressError,
    CodecError,
    Error,
    HubTimeout,
    SecurityError,
    StateError,
    WireError,
)
from .frame import Frame
from .image_hub import HubStats
from .imagezmq import ImageHub, ImageSender, SerializingContext, SerializingSocket, np, zmq
from .sender_stats import SenderStats
from .subscriber import VideoStreamSubscriber

if TYPE_CHECKING:
    from .keys import PublicKey, SecretKey
    from .security import Security

__all__ = [
    "AddressError",
    "CameraStats",
    "CodecError",
    "Error",
    "Frame",
    "HubStats",
    "HubTimeout",
    "ImageHub",
    "ImageSender",
    "JpegInfo",
    "Lease",
    "PublicKey",
    "SecretKey",
    "Security",
    "SecurityError",
    "SenderStats",
    "SerializingContext",
    "SerializingSocket",
    "StateError",
    "VideoStreamSubscriber",
    "WireError",
    "__author__",
    "__author_email__",
    "__copyright__",
    "__description__",
    "__license__",
    "__title__",
    "__url__",
    "__version__",
    "decode_jpeg",
    "encode_jpeg",
    "imagezmq",
    "jpeg_info",
    "np",
    "zmq",
]


def __getattr__(name: str) -> Any:
    """Import what most programs never use when it is first asked for."""
    if name in ("PublicKey", "SecretKey"):
        from . import keys  # noqa: PLC0415

        return getattr(keys, name)
    if name == "Security":
        from .security import Security  # noqa: PLC0415

        return Security
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
