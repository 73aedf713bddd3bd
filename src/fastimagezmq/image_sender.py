"""ImageSender: imageZMQ's sender, its surface and its quirks, on this transport."""

from __future__ import annotations

import atexit
import logging
import os
import time
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import zmq
import zmq.utils.garbage  # before _close_at_exit is registered: see there

from . import _codec, wire
from .endpoint import Endpoint, exclusive
from .errors import StateError
from .transport import SerializingSocket, bodies, waiting
from .transport.sockets import is_ours, with_the_rest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Buffer

__all__ = ["ImageSender"]

logger = logging.getLogger("fastimagezmq")

_WARNING_INTERVAL_SECONDS = 60.0


class ImageSender(Endpoint):
    """Sends images and messages to an ImageHub.

    Args:
        connect_to: with ``REQ_REP=True`` the hub's address, ``tcp://host:port``; else the
            address to bind, ``tcp://*:port``, to which hubs connect.
        REQ_REP: True: REQ/REP, each frame is answered by the hub. False: PUB/SUB, nobody
            waits; frames that no hub takes are dropped.
        jpeg: None sends raw pixels. 1 to 100: ``send_image`` encodes as JPEG of this
            quality. The hub must be a fastimagezmq hub, or call ``recv_jpg``.
        subsampling: of the chroma in JPEG: "444", "422", "420" or "gray".
        colorspace: what the arrays given hold, in memory order: "BGR", "RGB", "BGRX",
            "RGBX", "GRAY" or "YUV420"; or picamera2's names with its meaning: "RGB888",
            "BGR888", "XRGB8888", "XBGR8888". For JPEG only: raw pixels go as they are.
        copy: a PUB sender copies an array before ``send_image`` returns, since the program
            may reuse it. False promises that it will not be touched until it has left. A
            REQ sender waits for the reply and does not copy; after an interrupt or
            ``zmq.Again`` the frame may still be waiting to leave, so leave its array alone.
        stamp: add the time of the ``send_*`` call (seconds since the epoch) and a frame
            counter to the header.
        sndhwm: high-water mark: how many frames may wait for one hub; None is libzmq's
            default, 1000.
        options: zmq socket options, ``{zmq.SNDBUF: 65536}`` or ``{"SNDBUF": 65536}``, set
            before the address is connected or bound.

    Attributes:
        zmq_context: the context, a ``SerializingContext``.
        zmq_socket: the socket, a ``SerializingSocket``, for the program to use.

    Raises:
        AddressError: the address cannot be bound or connected; it says what to write.
        TypeError, ValueError: an option that is wrong, or that does not combine.
    """

    _fiz_jpeg: int | None = None
    _fiz_subsampling = "420"
    _fiz_colorspace = "BGR"
    _fiz_copy = True
    _fiz_stamp = False
    _fiz_reqrep = True
    _fiz_sequence = 0
    _fiz_warned: float | None = None  # when a refused frame was last told of, monotonic

    def _prepare(self) -> None:
        super()._prepare()
        # By identity: a program's subclass may have an equality of its own, and no hash.
        key = id(self)
        _alive[key] = weakref.ref(self, lambda _: _alive.pop(key, None))

    def __init__(
        self,
        connect_to: str = "tcp://127.0.0.1:5555",
        REQ_REP: bool = True,
        *,
        jpeg: int | None = None,
        subsampling: str = "420",
        colorspace: str = "BGR",
        copy: bool = True,
        stamp: bool = False,
        sndhwm: int | None = None,
        options: Mapping[Any, Any] | None = None,
    ) -> None:
        _check_encoding(jpeg, subsampling, colorspace)
        self._fiz_jpeg = jpeg
        self._fiz_subsampling = subsampling
        self._fiz_colorspace = colorspace
        self._fiz_copy = copy
        self._fiz_stamp = stamp
        self._fiz_options = dict(options or {})
        if sndhwm is not None:
            self._fiz_options[zmq.SNDHWM] = sndhwm
        self._fiz_reqrep = REQ_REP == True  # noqa: E712 (imageZMQ's own comparison)
        try:
            if self._fiz_reqrep:
                self.init_reqrep(connect_to)
            else:
                self.init_pubsub(connect_to)
        except BaseException:
            self.close()
            raise

    def init_reqrep(self, address: str) -> None:
        """Open a REQ socket connected to ``address``. Subclasses may override this."""
        self._fiz_reqrep = True
        self._open(zmq.REQ).connect(address)

    def init_pubsub(self, address: str) -> None:
        """Open a PUB socket bound to ``address``. Subclasses may override this."""
        self._fiz_reqrep = False
        self._open(zmq.PUB).bind(address)

    def send_image(self, msg: Any, image: Any) -> bytes | None:
        """Send an image with a message.

        Args:
            msg: any JSON value; by custom the camera's name.
            image: a numpy array of any shape and plain dtype; with ``jpeg=`` uint8 and of
                a shape that ``colorspace`` asks for (see ``encode_jpeg``).

        Returns:
            The hub's reply (REQ/REP), or None (PUB/SUB).

        Raises:
            TypeError: no array, no JSON value, or a dtype that cannot be sent.
            CodecError: an array that cannot be encoded.
            StateError: closed, or an earlier frame still has no reply.
            zmq.Again: the program set RCVTIMEO or SNDTIMEO, and it has passed.

            For the first three, nothing has been sent.
        """
        send = self.send_image_reqrep if self._fiz_reqrep else self.send_image_pubsub
        return send(msg, image)

    @exclusive
    def send_image_reqrep(self, msg: Any, image: Any) -> bytes:
        """Send as ``send_image`` does, and wait for the reply."""
        self._send_image(msg, image, may_return_early=False)
        return self._receive_reply()

    @exclusive
    def send_image_pubsub(self, msg: Any, image: Any) -> None:
        """Send as ``send_image`` does, without waiting."""
        self._send_image(msg, image, may_return_early=True)

    def send_jpg(self, msg: Any, jpg_buffer: Buffer) -> bytes | None:
        """Send a JPEG, or any other bytes, with a message; it is not looked into.

        Args:
            msg: any JSON value; by custom the camera's name.
            jpg_buffer: ``bytes`` or any buffer, such as what ``cv2.imencode`` returns.

        Returns:
            The hub's reply (REQ/REP), or None (PUB/SUB).

        Raises:
            TypeError: no buffer, or no JSON value. Nothing has been sent.
            StateError, zmq.Again: as ``send_image``.
        """
        send = self.send_jpg_reqrep if self._fiz_reqrep else self.send_jpg_pubsub
        return send(msg, jpg_buffer)

    @exclusive
    def send_jpg_reqrep(self, msg: Any, jpg_buffer: Buffer) -> bytes:
        """Send as ``send_jpg`` does, and wait for the reply."""
        self._send_jpg(msg, jpg_buffer, may_return_early=False)
        return self._receive_reply()

    @exclusive
    def send_jpg_pubsub(self, msg: Any, jpg_buffer: Buffer) -> None:
        """Send as ``send_jpg`` does, without waiting."""
        self._send_jpg(msg, jpg_buffer, may_return_early=True)

    # --- what the above is made of: header, body, message, reply ---------------------

    def _send_image(self, msg: Any, image: Any, *, may_return_early: bool) -> None:
        socket = self.zmq_socket
        if not _frames_as_ours(socket):
            # The program's own socket class: call it as imageZMQ would.
            if self._fiz_jpeg is not None:
                socket.send_jpg(msg, memoryview(self._encode(image)), copy=False)
                return
            array = bodies.checked_array(image)
            # (np.ascontiguousarray would make a 0-d array 1-d.)
            socket.send_array(np.asarray(array, order="C"), msg, copy=False)
            return
        stamps = self._stamps()
        body: Any
        if self._fiz_jpeg is None:
            array = bodies.checked_array(image)
            header = wire.pixels_header(msg, array.dtype, array.shape, *stamps)
            body = bodies.of_array(array, unchanging=may_return_early and self._fiz_copy)
        else:
            gray = self._fiz_colorspace == "GRAY"
            encoding = wire.ENC_JPEG_GRAY if gray else wire.ENC_JPEG
            header = wire.blob_header(msg, encoding, *stamps)  # refuse before the work
            body = self._encode(image)
        self._send_message(socket, header, body)

    def _encode(self, image: Any) -> _codec.Lease:
        planes = self._fiz_colorspace == "YUV420" and isinstance(image, tuple | list)
        return _codec.encode_jpeg(
            image if planes else bodies.checked_array(image),
            self._fiz_jpeg or 0,
            subsampling=self._fiz_subsampling,
            colorspace=self._fiz_colorspace,
        )

    def _send_jpg(self, msg: Any, jpg_buffer: Buffer, *, may_return_early: bool) -> None:
        socket = self.zmq_socket
        if not _frames_as_ours(socket):
            socket.send_jpg(msg, bodies.checked_blob(jpg_buffer), copy=False)
            return
        header = wire.blob_header(msg, None, *self._stamps())
        body = bodies.of_blob(jpg_buffer, unchanging=may_return_early and self._fiz_copy)
        self._send_message(socket, header, body)

    def _stamps(self) -> tuple[float | None, int | None]:
        return (time.time(), self._fiz_sequence) if self._fiz_stamp else (None, None)

    def _send_message(self, socket: SerializingSocket, header: bytes, body: wire.BytesLike) -> None:
        try:
            socket.send_parts(header, body, copy=memoryview(body).nbytes < bodies.COPY_BELOW)
        except zmq.ZMQError as error:
            if error.errno == zmq.EFSM:
                raise StateError(
                    zmq.EFSM,
                    "the frame before has had no reply yet (the wait for it was interrupted or"
                    " timed out): close this sender and open a new one",
                ) from None
            raise
        self._fiz_sequence += 1

    def _receive_reply(self) -> bytes:
        socket: SerializingSocket = self.zmq_socket
        if not _frames_as_ours(socket):
            return socket.recv()
        reply = waiting.receive(
            socket, endpoints=socket.endpoints, cancelled=lambda: self._fiz_closed
        )
        with_the_rest(socket, reply)  # a reply is one part; the next needs the rest gone
        answer = reply.bytes
        if answer.startswith(wire.ERROR_REPLY):
            self._warn_of_refusal(answer)
        return answer

    def _warn_of_refusal(self, answer: bytes) -> None:
        """Say, once a minute at most, what programs that ignore replies would never see."""
        now = time.monotonic()
        if self._fiz_warned is None or now - self._fiz_warned >= _WARNING_INTERVAL_SECONDS:
            self._fiz_warned = now
            reason = answer[len(wire.ERROR_REPLY) :].decode("utf-8", "replace")
            logger.warning("fastimagezmq: the hub refused a frame: %.300s", reason)


_alive: dict[int, weakref.ref[ImageSender]] = {}

_EXIT_WAIT_SECONDS = 0.5


def _close_at_exit() -> None:
    """Close the senders that the program leaves open when it ends.

    What they have sent must have left, or been dropped, before pyzmq lets go of the memory
    that libzmq reads from: it does so in an exit handler of its own, which was registered
    before this one and therefore runs later. The locks are kept, so that a daemon thread
    that sends stands still instead of failing. One that waits in a call is left alone.
    """
    deadline = time.monotonic() + _EXIT_WAIT_SECONDS
    senders = [
        sender
        for sender in [ref() for ref in list(_alive.values())]
        if sender is not None
        and sender._fiz_owner in (None, os.getpid())
        and sender._fiz_lock.acquire(timeout=max(0, deadline - time.monotonic()))
    ]
    for sender in senders:  # all of them first: they linger at the same time
        sender._fiz_closed = True
        sender._close_socket()
    for sender in senders:
        sender.close()


atexit.register(_close_at_exit)


def _frames_as_ours(socket: Any) -> bool:
    """Tell whether the socket is of this library, with no framing method overridden."""
    kind: Any = type(socket)  # Any: not every class need be hashable
    return is_ours(kind, ("send_array", "send_jpg", "send", "recv"))


def _check_encoding(jpeg: Any, subsampling: str, colorspace: str) -> None:
    """Refuse options that are wrong or do not combine.

    Raises:
        TypeError, ValueError: with one sentence that says what to write.
    """
    if jpeg is None:
        for name, value, default in (
            ("subsampling", subsampling, "420"),
            ("colorspace", colorspace, "BGR"),
        ):
            if value != default:
                raise ValueError(
                    f"{name}={value!r} describes JPEG encoding, and raw pixels are sent as they"
                    " are: add jpeg=85, or leave it out"
                )
        return
    if isinstance(jpeg, bool) or not isinstance(jpeg, int):
        raise TypeError(f"jpeg={jpeg!r}: give the JPEG quality, a number from 1 to 100, or None")
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
