"""pyzmq alone, in as few calls as a careful program would make; with cv2 for JPEG."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import zmq

from . import ANY_PORT, QUEUE, Setting


def unavailable(setting: Setting) -> str | None:  # noqa: ARG001 (the surface of all peers)
    """It can do all that is asked of it."""
    return None


class Sender:
    """One ``send_multipart``: message, shape, pixels; or message, JPEG."""

    def __init__(self, address: str | None, setting: Setting) -> None:
        self._socket = zmq.Context().socket(zmq.REQ if setting.replies else zmq.PUB)
        if setting.replies:
            self._socket.connect(address)
        else:
            self._socket.set(zmq.SNDHWM, QUEUE)
            self._socket.bind(address or ANY_PORT)
        self.address = self._socket.last_endpoint.decode()
        self._replies = setting.replies
        self._quality = setting.quality or 0
        self.send = self._send_raw if setting.quality is None else self._send_jpeg
        if setting.quality is not None:
            from . import opencv  # noqa: PLC0415 (not for those that send raw pixels)

            self._encode = opencv.encode

    def _send_raw(self, message: str, image: Any) -> None:
        shape = json.dumps(image.shape).encode()
        self._send([message.encode(), shape, image])

    def _send_jpeg(self, message: str, image: Any) -> None:
        self._send([message.encode(), self._encode(image, self._quality)])

    def _send(self, parts: list[Any]) -> None:
        self._socket.send_multipart(parts, copy=False)
        if self._replies:
            self._socket.recv()

    def flush(self) -> None:
        """Each frame has been answered already."""


class Hub:
    """One ``recv_multipart``."""

    def __init__(self, address: str | None, setting: Setting) -> None:
        self._socket = zmq.Context().socket(zmq.REP if setting.replies else zmq.SUB)
        if setting.replies:
            self._socket.bind(address or ANY_PORT)
        else:
            self._socket.set(zmq.RCVHWM, QUEUE)
            self._socket.subscribe(b"")
            self._socket.connect(address)
        self.address = self._socket.last_endpoint.decode()
        self.receive = self._receive_raw if setting.quality is None else self._receive_jpeg
        if setting.quality is not None:
            from . import opencv  # noqa: PLC0415

            self._decode = opencv.decode

    def _receive_raw(self) -> tuple[str, Any]:
        message, shape, body = self._socket.recv_multipart(copy=False)
        image = np.frombuffer(body, np.uint8).reshape(json.loads(shape.bytes))
        return message.bytes.decode(), image

    def _receive_jpeg(self) -> tuple[str, Any]:
        message, body = self._socket.recv_multipart(copy=False)
        return message.bytes.decode(), self._decode(body)

    def reply(self) -> None:
        """Answer."""
        self._socket.send(b"OK")
