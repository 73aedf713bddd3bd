"""vidgear's NetGear in its REQ/REP pattern.

NetGear's hub answers a frame before it decodes it, on a thread of its own, so that the
sender encodes the next one meanwhile; the program gets it from a queue, at which it looks
every 10 microseconds. It always samples the chroma 4:2:2. Its message is told to no hub
that listens to one sender only. It must be given a number for the port.
"""

from __future__ import annotations

import logging
import socket
from typing import Any

import cv2
from vidgear.gears import NetGear

from . import Setting

cv2.setNumThreads(1)
logging.getLogger("NetGear").setLevel(logging.ERROR)

_HOST = "127.0.0.1"


def unavailable(setting: Setting) -> str | None:
    """It answers each frame, or is measured otherwise than here."""
    return None if setting.replies else "measured with REQ/REP only"


def _open(port: int, setting: Setting, *, receive_mode: bool) -> Any:
    options: dict[str, Any] = {"jpeg_compression": False}
    if setting.quality is not None:
        options = {"jpeg_compression": True, **setting.options}
    return NetGear(address=_HOST, port=str(port), pattern=1, receive_mode=receive_mode, **options)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


class Sender:
    """``send``."""

    def __init__(self, address: str | None, setting: Setting) -> None:
        assert address
        self.address = address
        self._gear = _open(int(address.rpartition(":")[2]), setting, receive_mode=False)

    def send(self, message: str, image: Any) -> None:
        """Send an image."""
        self._gear.send(image, message=message)

    def flush(self) -> None:
        """Each frame has been answered already."""


class Hub:
    """``recv``."""

    def __init__(self, address: str | None, setting: Setting) -> None:
        assert address is None
        port = _free_port()
        self.address = f"tcp://{_HOST}:{port}"
        self._gear = _open(port, setting, receive_mode=True)

    def receive(self) -> tuple[str, Any]:
        """Wait for an image."""
        image = self._gear.recv()
        assert image is not None, "NetGear has ended"
        return "", image

    def reply(self) -> None:
        """NetGear has done that."""
