"""VideoStreamSubscriber: the newest frame of a PUB sender, as imageZMQ's documentation has it."""

from __future__ import annotations

import time
from typing import Any

import zmq

from .closing import Closing
from .errors import StateError
from .image_hub import ImageHub

__all__ = ["VideoStreamSubscriber"]


class VideoStreamSubscriber(Closing):
    """Gives the newest frame of a PUB sender whenever it is asked for one.

    Args:
        hostname: the sender's machine: a name or an address.
        port: the sender's port.

    Attributes:
        hostname: as given.
        port: as given.

    Any thread may call ``receive`` and ``close``, several at the same time; each frame goes to
    one of them. Frames of several cameras come in turn.

    Raises:
        AddressError: the address cannot be connected; it says what to write.
    """

    def __init__(self, hostname: str, port: int) -> None:
        self.hostname = hostname
        self.port = port
        # Waiting is done outside of the hub, in which there is room for one thread.
        self._hub = ImageHub(self._address, REQ_REP=False, latest=True, options={"RCVTIMEO": 0})

    @property
    def _address(self) -> str:
        return f"tcp://{self.hostname}:{self.port}"

    def receive(self, timeout: float | None = 15.0) -> tuple[Any, Any]:
        """Wait for a frame that nobody was given yet, the newest there is.

        Args:
            timeout: seconds to wait at most; None: for ever.

        Returns:
            ``(msg, blob)`` as ``ImageHub.recv_jpg`` gives it: the JPEG, or whatever the sender
            has sent, not looked into.

        Raises:
            TimeoutError: nothing came.
            StateError: closed, before or meanwhile.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                if self._hub.zmq_socket.poll(None if left is None else left * 1000):
                    return self._hub.recv_jpg()
            except zmq.Again:
                continue  # another thread was quicker
            except zmq.ContextTerminated:
                raise self._closed() from None
            except StateError:
                if self._hub.zmq_socket.closed:
                    raise self._closed() from None
                raise
            raise TimeoutError(f"no frame from {self._address} within {timeout:g} seconds")

    def close(self) -> None:
        """Close the connection; who waits in ``receive`` gets StateError."""
        self._hub.close()

    def _closed(self) -> StateError:
        return StateError(zmq.ENOTSOCK, f"this {type(self).__name__} is closed")
