"""This library, as its documents show it."""

from __future__ import annotations

import inspect
from typing import Any

from fastimagezmq import ImageHub, ImageSender

from . import ANY_PORT, QUEUE, Setting

_FLUSH_SECONDS = 30
_SENDER_TAKES = inspect.signature(ImageSender).parameters
_HUB_TAKES = inspect.signature(ImageHub).parameters


def unavailable(setting: Setting) -> str | None:
    """Tell which parameter this version does not have."""
    for name in setting.options:
        if name not in _SENDER_TAKES:
            return f"this version has no {name}="
    return None


class Sender:
    """``send_image`` of an ``ImageSender(jpeg=...)``."""

    def __init__(self, address: str | None, setting: Setting) -> None:
        queue = {} if setting.replies else {"sndhwm": QUEUE}
        self._sender = ImageSender(
            address or ANY_PORT,
            REQ_REP=setting.replies,
            jpeg=setting.quality,
            **queue,
            **setting.options,
        )
        self.address = self._sender.zmq_socket.last_endpoint.decode()
        self.send = self._sender.send_image
        self._waits = setting.options.get("in_flight", 1) > 1

    def flush(self) -> None:
        """Wait until all frames are answered."""
        if self._waits and self._sender.flush(_FLUSH_SECONDS) is False:
            raise TimeoutError(f"frames without an answer after {_FLUSH_SECONDS} s")


class Hub:
    """``recv_image``."""

    def __init__(self, address: str | None, setting: Setting) -> None:
        options: dict[str, Any] = {} if setting.replies else {"rcvhwm": QUEUE}
        if "threads" in setting.options and "threads" in _HUB_TAKES:
            options["threads"] = setting.options["threads"]
        self._hub = ImageHub(address or ANY_PORT, REQ_REP=setting.replies, **options)
        self.address = self._hub.zmq_socket.last_endpoint.decode()
        self.receive = self._hub.recv_image
        self.reply = self._hub.send_reply
