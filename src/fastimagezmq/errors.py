"""What can go wrong, as one small tree.

Every class is also the standard library's or pyzmq's class that a program
written for imageZMQ would already catch, so that ``except zmq.ZMQError`` and
``except ValueError`` go on working.
"""

from __future__ import annotations

import zmq

__all__ = [
    "AddressError",
    "CodecError",
    "Error",
    "HubTimeout",
    "SecurityError",
    "StateError",
    "WireError",
]


class Error(Exception):
    """Base class of all errors that fastimagezmq raises on its own account."""


class CodecError(Error, ValueError):
    """A picture cannot be encoded, or data cannot be decoded as JPEG."""


class WireError(Error, ValueError):
    """A message that is not a frame: malformed, oversized or hostile."""


class SecurityError(Error, ValueError):
    """Keys, lists or options of security that are missing, wrong or unsafe; nothing is open."""


class _ZmqError(Error, zmq.ZMQError):
    """An error of libzmq, told in one sentence that says what to do."""

    def __init__(self, errno: int, message: str) -> None:
        zmq.ZMQError.__init__(self, errno, message)

    def __str__(self) -> str:
        return str(self.strerror)


class AddressError(_ZmqError):
    """An address that cannot be bound or connected; ``errno`` is libzmq's."""


class StateError(_ZmqError):
    """A call out of turn, such as a second receive before the reply."""


class HubTimeout(_ZmqError, zmq.Again, TimeoutError):  # type: ignore[misc]  # noqa: N818
    """Nothing came in the time that was allowed; ``errno`` is always EAGAIN."""

    def __init__(self, message: str) -> None:
        super().__init__(zmq.EAGAIN, message)
