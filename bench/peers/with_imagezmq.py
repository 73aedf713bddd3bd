"""imagezmq as its documents show it, with cv2 for JPEG."""

from __future__ import annotations

from typing import Any

import imagezmq
import zmq

from . import ANY_PORT, QUEUE, Setting


def unavailable(setting: Setting) -> str | None:  # noqa: ARG001 (the surface of all peers)
    """It can do all that is asked of it."""
    return None


class Sender:
    """``send_image``, or ``cv2.imencode`` and ``send_jpg``."""

    def __init__(self, address: str | None, setting: Setting) -> None:
        self._sender = imagezmq.ImageSender(address or ANY_PORT, REQ_REP=setting.replies)
        socket = self._sender.zmq_socket
        if not setting.replies:
            # imagezmq has no parameter for it, and it holds for what is bound afterwards.
            socket.unbind(socket.last_endpoint)
            socket.set(zmq.SNDHWM, QUEUE)
            socket.bind(address or ANY_PORT)
        self.address = socket.last_endpoint.decode()
        self._quality = setting.quality or 0
        self.send = self._sender.send_image if setting.quality is None else self._send_jpeg
        if setting.quality is not None:
            from . import opencv  # noqa: PLC0415 (not for those that send raw pixels)

            self._encode = opencv.encode

    def _send_jpeg(self, message: str, image: Any) -> None:
        self._sender.send_jpg(message, self._encode(image, self._quality))

    def flush(self) -> None:
        """Each frame has been answered already."""


class Hub:
    """``recv_image``, or ``recv_jpg`` and ``cv2.imdecode``."""

    def __init__(self, address: str | None, setting: Setting) -> None:
        self._hub = imagezmq.ImageHub(address or ANY_PORT, REQ_REP=setting.replies)
        socket = self._hub.zmq_socket
        if not setting.replies:
            socket.disconnect(address)
            socket.set(zmq.RCVHWM, QUEUE)
            socket.connect(address)
        self.address = socket.last_endpoint.decode()
        self.receive = self._hub.recv_image if setting.quality is None else self._receive_jpeg
        self.reply = self._hub.send_reply
        if setting.quality is not None:
            from . import opencv  # noqa: PLC0415

            self._decode = opencv.decode

    def _receive_jpeg(self) -> tuple[str, Any]:
        message, jpeg = self._hub.recv_jpg()
        return message, self._decode(jpeg)
