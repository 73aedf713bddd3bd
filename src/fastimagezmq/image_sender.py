"""ImageSender: imageZMQ's sender, its surface and its quirks, on this transport."""

from __future__ import annotations

import atexit
import time
import weakref
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import zmq
import zmq.utils.garbage  # before _close_at_exit is registered: see there

from . import log, wire
from .clocks import Exchange
from .encoding import Encoding
from .endpoint import Endpoint, exclusive
from .errors import StateError
from .sender_stats import SenderStats, laps, times_of
from .throttle import Throttle
from .transport import SerializingContext, SerializingSocket, bodies, messages, recovery, waiting
from .transport.backlog import PUB_SNDBUF, Bound
from .transport.pipeline import WHEN_FULL, Pipeline

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray
    from typing_extensions import Buffer

    from .security import Addresses, SecurityLike
    from .sender_stats import Lap

__all__ = ["ImageSender"]


class ImageSender(Endpoint):
    """Sends images and messages to an ImageHub.

    Args:
        connect_to: with ``REQ_REP=True`` the hub's address, ``tcp://host:port``, or a list of
            addresses: the next is tried when one has had no connection for three seconds.
            Else the address to bind, ``tcp://*:port``, to which hubs connect.
        REQ_REP: True: REQ/REP, each frame is answered by the hub. False: PUB/SUB, nobody
            waits; frames that no hub takes are dropped.
        jpeg: None sends raw pixels. 1 to 100: ``send_image`` encodes as JPEG of this
            quality. The hub must be a fastimagezmq hub, or call ``recv_jpg``.
        subsampling: of the chroma in JPEG: "444", "422", "420" or "gray".
        colorspace: what the arrays given hold, in memory order: "BGR", "RGB", "BGRX",
            "RGBX", "GRAY" or "YUV420"; or picamera2's names with its meaning: "RGB888",
            "BGR888", "XRGB8888", "XBGR8888". For JPEG only: raw pixels go as they are.
        threads: how many threads encode a JPEG at most; 0 is as many as help.
        timeout: REQ/REP: seconds to wait for the hub's reply, whatever is sent again meanwhile;
            None: for ever. With ``in_flight`` above 1, seconds to wait for room.
        send_timeout: whole seconds to set as SNDTIMEO, as a fork of imageZMQ has it; 0: none.
        recv_timeout: whole seconds to set as RCVTIMEO, which bounds the wait for the reply.
        in_flight: REQ/REP: how many frames may be sent and not yet answered. Above 1,
            ``send_image`` and ``send_jpg`` return None at once, JPEG is encoded on a thread
            of the sender's, ``replies`` gives the hub's answers and ``flush`` waits for them.
        when_full: what a send does with ``in_flight`` frames on their way: "block" waits for
            the first answer, "drop_newest" drops the frame given, "drop_oldest" the oldest
            that has not been sent yet.
        copy: a PUB sender copies an array before ``send_image`` returns, since the program
            may reuse it. False promises that it will not be touched until it has left. A
            REQ sender waits for the reply and does not copy, unless ``in_flight`` is above 1.
        stamp: add the time of the ``send_*`` call (seconds since the epoch) and a frame
            counter to the header.
        sndhwm: high-water mark: how many frames may wait for one hub; None is libzmq's
            default, 1000. For PUB/SUB None is what fits 64 MB, from 2 to 1000 frames.
        security: CURVE, encryption and keys: a ``Security``, or paths. With ``REQ_REP=True``
            ``(own .key file, the hub's .pub file)``; else the own .key file, or with it the
            list of the hubs that may connect.
        allow: PUB/SUB: the address ranges of the hubs that may connect, such as
            ``["192.168.1.0/24"]``; None: all.
        options: zmq socket options, ``{zmq.SNDBUF: 65536}`` or ``{"SNDBUF": 65536}``, set
            before the address is connected or bound.

    Attributes:
        zmq_context: the context, a ``SerializingContext``.
        zmq_socket: the socket, a ``SerializingSocket``, for the program to use.

    Raises:
        AddressError: the address cannot be bound or connected; it says what to write.
        SecurityError: a key, a list or a file of ``security`` that is missing, wrong or unsafe.
        TypeError, ValueError: an option that is wrong, or that does not combine.
    """

    _fiz_encoding = Encoding()
    _fiz_copy = True
    _fiz_stamp = False
    _fiz_reqrep = True
    _fiz_sequence = 0
    # With stamps: those of the frame in hand, and the last that was answered.
    _fiz_stamped_at = _fiz_left = 0.0
    _fiz_before: Exchange | None = None
    _fiz_answered = 0
    _fiz_called = 0.0  # when the call began that sends, by _clock
    _fiz_laps: deque[Lap]  # PUB/SUB; with more than one frame in flight, of the calls alone
    # The last header of raw pixels, and what it was made of: most streams repeat it for ever.
    _fiz_known: tuple[Any, Any, Any, bytes] = (None, None, None, b"")
    _fiz_refusals: _Refusals
    _fiz_window = 1
    _fiz_when_full = "block"
    _fiz_bound: Bound | None = None  # of a PUB sender
    _fiz_pipeline: Pipeline | None = None  # with more than one frame in flight
    _fiz_backups: tuple[str, ...] = ()  # addresses, after the first
    _fiz_timeout: float | None = None
    # Of the socket that init_reqrep opened; a program's own socket is left as it is.
    _fiz_connection: recovery.Connection | None = None
    _fiz_lockstep: recovery.Lockstep | None = None

    def _prepare(self) -> None:
        super()._prepare()
        self._fiz_refusals = _Refusals()
        self._fiz_laps = laps()
        # By identity: a program's subclass may have an equality of its own, and no hash.
        key = id(self)
        _alive[key] = weakref.ref(self, lambda _: _alive.pop(key, None))

    def __init__(
        self,
        connect_to: str | Sequence[str] = "tcp://127.0.0.1:5555",
        REQ_REP: bool = True,
        *,
        jpeg: int | None = None,
        subsampling: str = "420",
        colorspace: str = "BGR",
        threads: int = 0,
        timeout: float | None = None,
        send_timeout: int = 0,
        recv_timeout: int = 0,
        in_flight: int = 1,
        when_full: str = "block",
        copy: bool = True,
        stamp: bool = False,
        sndhwm: int | None = None,
        security: SecurityLike | None = None,
        allow: Addresses | None = None,
        options: Mapping[Any, Any] | None = None,
    ) -> None:
        self._fiz_encoding = Encoding(jpeg, subsampling, colorspace, threads)
        self._fiz_encoding.check()
        _check_flight(in_flight, when_full, REQ_REP)
        _check_waits(timeout, send_timeout, recv_timeout, REQ_REP)
        address, *backups = _addresses(connect_to, REQ_REP)
        self._fiz_backups = tuple(backups)
        self._fiz_timeout = timeout
        self._fiz_window = in_flight
        self._fiz_when_full = when_full
        self._fiz_copy = copy
        self._fiz_stamp = stamp
        limits = {zmq.SNDTIMEO: send_timeout, zmq.RCVTIMEO: recv_timeout}
        self._fiz_options = {option: int(n * 1000) for option, n in limits.items() if n}
        if REQ_REP != True:  # noqa: E712 (imageZMQ's own comparison)
            self._fiz_options[zmq.SNDBUF] = PUB_SNDBUF
        self._fiz_options |= options or {}
        if sndhwm is not None:
            self._fiz_options[zmq.SNDHWM] = sndhwm
        self._fiz_reqrep = REQ_REP == True  # noqa: E712 (imageZMQ's own comparison)
        self._secure(security, allow, binds=not self._fiz_reqrep)
        try:
            if self._fiz_reqrep:
                self.init_reqrep(address)
            else:
                self.init_pubsub(address)
            self._check_secured()
            self._tell_exposure()
            if in_flight > 1:
                self._pipelined_socket()
            if self._fiz_reqrep and self._fiz_connection is None:
                self._check_own_socket()
        except BaseException:
            self.close()
            raise

    def init_reqrep(self, address: str) -> None:
        """Open a REQ socket connected to ``address``. Subclasses may override this.

        With ``in_flight`` above 1 it is a DEALER socket, which speaks as a REQ socket does.
        """
        self._fiz_reqrep = True
        if self._fiz_pipeline is not None:
            self._fiz_pipeline.end()
            self._fiz_pipeline = None
        pipelined = self._fiz_window > 1
        self._fiz_connection = recovery.Connection(
            self._open(zmq.DEALER, recovery.LIVENESS)
            if pipelined
            else self._open(zmq.REQ, recovery.LOCKSTEP),
            (address, *self._fiz_backups),
        )
        self._fiz_lockstep = (
            None
            if pipelined
            else recovery.Lockstep(self._fiz_connection, self._fiz_timeout, self._fiz_gate)
        )

    def init_pubsub(self, address: str) -> None:
        """Open a PUB socket bound to ``address``. Subclasses may override this."""
        self._fiz_reqrep = False
        socket = self._open(zmq.PUB, self._bind_defaults())
        if self._fiz_options.keys().isdisjoint((zmq.SNDHWM, "SNDHWM")):
            self._fiz_bound = Bound(socket)
        socket.bind(address)

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
            HubTimeout: no reply within ``timeout``, or the program's RCVTIMEO or SNDTIMEO.

            For the first three, nothing has been sent. After any other, an interrupt among
            them, the frame may have arrived once and will not later, its array is not read any
            more, and the next frame can be sent.
        """
        send = self.send_image_reqrep if self._fiz_reqrep else self.send_image_pubsub
        return send(msg, image)

    def send_image_reqrep(self, msg: Any, image: Any) -> bytes | None:
        """Send as ``send_image`` does, and wait for the reply."""
        if self._fiz_window > 1:
            self._enqueue_image(msg, image)
            return None
        return self._exchange_image(msg, image)

    def send_image_pubsub(self, msg: Any, image: Any) -> None:
        """Send as ``send_image`` does, without waiting."""
        self._publish_image(msg, image)

    def send_jpg(self, msg: Any, jpg_buffer: Buffer) -> bytes | None:
        """Send a JPEG, or any other bytes, with a message; it is not looked into.

        Args:
            msg: any JSON value; by custom the camera's name.
            jpg_buffer: ``bytes`` or any buffer, such as what ``cv2.imencode`` returns.

        Returns:
            The hub's reply (REQ/REP), or None (PUB/SUB).

        Raises:
            TypeError: no buffer, or no JSON value. Nothing has been sent.
            StateError, HubTimeout: as ``send_image``.
        """
        send = self.send_jpg_reqrep if self._fiz_reqrep else self.send_jpg_pubsub
        return send(msg, jpg_buffer)

    def send_jpg_reqrep(self, msg: Any, jpg_buffer: Buffer) -> bytes | None:
        """Send as ``send_jpg`` does, and wait for the reply."""
        if self._fiz_window > 1:
            self._enqueue_jpg(msg, jpg_buffer)
            return None
        return self._exchange_jpg(msg, jpg_buffer)

    def send_jpg_pubsub(self, msg: Any, jpg_buffer: Buffer) -> None:
        """Send as ``send_jpg`` does, without waiting."""
        self._publish_jpg(msg, jpg_buffer)

    def replies(self) -> list[bytes]:
        """Return the hub's replies since the last call, in the order of the frames.

        With ``in_flight`` above 1; else ``send_image`` and ``send_jpg`` return them. Of
        replies that are not asked for the newest 1000 are kept.
        """
        self._check_process()
        return [] if self._fiz_pipeline is None else self._fiz_pipeline.replies()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until the hub has answered every frame that was given.

        Args:
            timeout: seconds to wait at most; None: for ever.

        Returns:
            Whether it has.

        Raises:
            StateError: closed.
            zmq.ContextTerminated: closed meanwhile.
            MemoryError: a frame could not be encoded; it is lost, the others are not.
        """
        self._check_process()
        self._check_open()
        return True if self._fiz_pipeline is None else self._fiz_pipeline.flush(timeout)

    def stats(self) -> SenderStats:
        """Return what became of the frames that were given, and where their time went."""
        self._check_process()
        lockstep = self._fiz_lockstep
        kept = (self._fiz_laps if lockstep is None else lockstep.laps).copy()
        calls = [(lap[0], lap[3]) for lap in kept]
        encodes = self._fiz_encoding.jpeg is not None
        pipeline = self._fiz_pipeline
        if pipeline is None:
            resent = 0 if lockstep is None else lockstep.resent
            times = times_of(calls, kept, encodes=encodes, answers=self._fiz_reqrep)
            return SenderStats(self._fiz_sequence, self._fiz_answered, 0, 0, resent, times)
        times = times_of(
            calls, pipeline.laps(), encodes=encodes, answers=True, window=self._fiz_window
        )
        return SenderStats(*pipeline.counts(), times)

    def lease(self, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """Return an array from the pool to write a frame into, which is sent without a copy.

        Sending gives it away: do not write to it again, take a new one for the next frame.
        Its memory is used again when the hub has it and nobody holds the array any more.

        Args:
            shape: as of any array.
            dtype: as of any array.
        """
        return bodies.lend_array(shape, dtype)

    def close(self) -> None:
        """Close the socket and its context, within a second whatever the peer does.

        What can be delivered in that time is, also frames still in flight. A second call
        does nothing. A thread that waits in this object gets ``zmq.ContextTerminated``.
        """
        pipeline = self._fiz_pipeline
        if pipeline is not None and not self._fiz_gate.strange:
            self._fiz_gate.closed = True
            pipeline.end()  # wakes who waits for room, inside of the gate
            if not pipeline.join():
                # Called by a logging handler, or the garbage collector, on the thread that
                # is to close the socket: terminating would wait for it for ever.
                context = self.__dict__.get("zmq_context")
                if isinstance(context, SerializingContext):
                    context._close_last()
                return
        super().close()

    def _close_socket(self) -> None:
        pipeline = self._fiz_pipeline
        if pipeline is not None:  # its thread uses its socket, and closes it
            pipeline.end()
        if pipeline is None or pipeline.socket is not self.zmq_socket:
            super()._close_socket()

    def _close_context(self) -> None:
        if self._fiz_pipeline is not None:
            self._fiz_pipeline.join()
        super()._close_context()

    # --- what the above is made of: header, body, message, reply ---------------------

    def _exchange_image(self, msg: Any, image: Any) -> bytes:
        gate = self._fiz_gate  # `exclusive`, written out: a small picture would notice
        try:
            if not gate.enter():
                self._refuse()
            self._fiz_called = _clock()
            socket = self.zmq_socket
            line = self._line(socket, _METHODS)
            if line is not None:
                header, body = self._packed(msg, image, unchanging=False)
                return self._exchange(socket, line, header, body)
            self._send_image_by(socket, msg, image)
            return cast("bytes", socket.recv())
        finally:
            if gate.leave():
                self._close_what_was_left()

    @exclusive
    def _publish_image(self, msg: Any, image: Any) -> None:
        self._fiz_called = _clock()
        self._cut_off_revoked()
        socket = self.zmq_socket
        line = self._line(socket, _METHODS)
        if line is None:
            self._send_image_by(socket, msg, image)
            return
        header, body = self._packed(msg, image, unchanging=self._fiz_copy)
        self._send_bounded(line, header, body)

    @exclusive
    def _enqueue_image(self, msg: Any, image: Any) -> None:
        called = _clock()
        encoding = self._fiz_encoding
        image = encoding.checked(image)
        header = encoding.header(msg, image, *self._stamps())
        stamps = self._stamps_in_hand()
        if encoding.jpeg is not None:
            encoding.job(image)  # refuses an array that does not fit, before it takes room
        pipeline = self._pipeline()
        room = pipeline.make_room()
        self._fiz_sequence += 1
        if not room:
            return
        if self._fiz_copy:
            image = encoding.kept(image)
        if encoding.jpeg is not None:
            pipeline.put(header, encoding.job(image), stamps)
        else:
            body = bodies.of_array(image)
            pipeline.put(header, lambda: body, stamps)
        self._called(called)

    @exclusive
    def _enqueue_jpg(self, msg: Any, jpg_buffer: Buffer) -> None:
        called = _clock()
        header = wire.blob_header(msg, None, *self._stamps())
        stamps = self._stamps_in_hand()
        bodies.checked_blob(jpg_buffer)
        pipeline = self._pipeline()
        room = pipeline.make_room()
        self._fiz_sequence += 1
        if not room:
            return
        body = bodies.kept_blob(jpg_buffer) if self._fiz_copy else bodies.of_blob(jpg_buffer)
        pipeline.put(header, lambda: body, stamps)
        self._called(called)

    def _called(self, called: float) -> None:
        returned = _clock()
        self._fiz_laps.append((called, returned, returned, returned))

    def _stamps_in_hand(self) -> tuple[int, float] | None:
        return (self._fiz_sequence, self._fiz_stamped_at) if self._fiz_stamp else None

    def _pipeline(self) -> Pipeline:
        """Return the pipeline, started by the first frame: until then options may be set."""
        if self._fiz_pipeline is None:
            socket, line = self._pipelined_socket()
            connection = self._fiz_connection
            self._fiz_pipeline = Pipeline(
                socket,
                line,
                connection if connection is not None and connection.socket is socket else None,
                self._fiz_window,
                self._fiz_when_full,
                self._fiz_timeout,
                self._fiz_refusals.look_at,
            )
        return self._fiz_pipeline

    def _pipelined_socket(self) -> tuple[SerializingSocket, messages.Line]:
        socket = self.zmq_socket
        line = self._line(socket, _METHODS)
        if line is None or socket.type != zmq.DEALER:
            raise ValueError(
                f"in_flight={self._fiz_window} needs the socket that ImageSender.init_reqrep"
                " opens, and this class opens another: leave in_flight out"
            )
        return cast("SerializingSocket", socket), line

    @exclusive
    def _exchange_jpg(self, msg: Any, jpg_buffer: Buffer) -> bytes:
        self._fiz_called = _clock()
        socket = self.zmq_socket
        line = self._line(socket, _METHODS)
        if line is None:
            socket.send_jpg(msg, bodies.checked_blob(jpg_buffer), copy=False)
            return cast("bytes", socket.recv())
        header = wire.blob_header(msg, None, *self._stamps())
        return self._exchange(socket, line, header, bodies.of_blob(jpg_buffer))

    @exclusive
    def _publish_jpg(self, msg: Any, jpg_buffer: Buffer) -> None:
        self._fiz_called = _clock()
        self._cut_off_revoked()
        socket = self.zmq_socket
        line = self._line(socket, _METHODS)
        if line is None:
            socket.send_jpg(msg, bodies.checked_blob(jpg_buffer), copy=False)
            return
        header = wire.blob_header(msg, None, *self._stamps())
        self._send_bounded(line, header, bodies.of_blob(jpg_buffer, unchanging=self._fiz_copy))

    def _open_socket(self, socket_type: int, *defaults: Any) -> SerializingSocket:
        socket = super()._open_socket(socket_type, *defaults)
        if self._fiz_bound is not None:  # opened anew, after a hub was revoked
            self._fiz_bound = Bound(socket)
        return socket

    def _send_bounded(self, line: messages.Line, header: bytes, body: wire.BytesLike) -> None:
        """Send, and see to it that not too much waits for a slow hub."""
        encoded = _clock()
        bound = self._fiz_bound
        if bound is not None and bound.socket is self.zmq_socket:
            bound.fit(memoryview(body).nbytes)
        self._send(line, header, body)
        handed = _clock()
        self._fiz_laps.append((self._fiz_called, encoded, handed, handed))

    def _packed(self, msg: Any, image: Any, *, unchanging: bool) -> tuple[bytes, wire.BytesLike]:
        encoding = self._fiz_encoding
        if type(image) is not np.ndarray:
            image = encoding.checked(image)
        elif encoding.jpeg is None and not self._fiz_stamp:
            known = self._fiz_known
            if known[0] is msg and known[1] is image.dtype and known[2] == image.shape:
                return known[3], bodies.of_array(image, unchanging)
        header = encoding.header(msg, image, *self._stamps())  # refuse before the work
        body = encoding.body(image, unchanging=unchanging)
        if type(msg) is str and encoding.jpeg is None and not self._fiz_stamp:
            self._fiz_known = (msg, image.dtype, image.shape, header)
        return header, body

    def _send_image_by(self, socket: Any, msg: Any, image: Any) -> None:
        """Send on a socket of the program's own class: call it as imageZMQ would."""
        encoding = self._fiz_encoding
        image = encoding.checked(image)
        if encoding.jpeg is not None:
            body = encoding.body(image, unchanging=False)
            socket.send_jpg(msg, memoryview(body), copy=False)
        else:  # (np.ascontiguousarray would make a 0-d array 1-d.)
            socket.send_array(np.asarray(image, order="C"), msg, copy=False)

    def _exchange(
        self, socket: Any, line: messages.Line, header: bytes, body: wire.BytesLike
    ) -> bytes:
        if self._fiz_stamp:
            self._fiz_left = time.time()
        lockstep = self._fiz_lockstep
        if lockstep is None or lockstep.socket is not socket:  # the program's own
            self._send(line, header, body)
            parts = self._receive(line)
        else:
            handed = lockstep.handed
            try:
                parts = lockstep.exchange(line, header, body, self._fiz_called)
            finally:
                self._fiz_sequence += lockstep.handed - handed
        answer: bytes = parts[0].bytes
        if self._fiz_stamp:
            self._fiz_before = Exchange(
                self._fiz_sequence - 1, self._fiz_stamped_at, self._fiz_left, time.time()
            )
        self._fiz_answered += 1
        self._fiz_refusals.look_at(answer)
        return answer

    def _stamps(self) -> tuple[float | None, int | None, Exchange | None]:
        if not self._fiz_stamp:
            return None, None, None
        self._fiz_stamped_at = time.time()
        pipeline = self._fiz_pipeline
        before = self._fiz_before if pipeline is None else pipeline.answered_last()
        return self._fiz_stamped_at, self._fiz_sequence, before

    def _send(self, line: messages.Line, header: bytes, body: wire.BytesLike) -> None:
        if self._fiz_stamp:
            self._fiz_left = time.time()
        try:
            try:
                messages.send(line, header, body, _DONTWAIT, copy_below=bodies.COPY_BELOW)
            except zmq.Again:
                socket = self.zmq_socket
                waiting.send(
                    socket,
                    line,
                    header,
                    body,
                    copy_below=bodies.COPY_BELOW,
                    endpoints=socket.endpoints,
                    cancelled=self._is_cancelled,
                )
        except zmq.ZMQError as error:
            if error.errno == zmq.EFSM:
                raise StateError(
                    zmq.EFSM,
                    "the frame before has had no reply yet (the wait for it was interrupted or"
                    " timed out), and this socket is the program's own: replace it",
                ) from None
            raise
        self._fiz_sequence += 1

    def _receive(self, line: messages.Line) -> list[Any]:
        parts = messages.receive(line, waiting.SLICE_MS)
        if parts is not None:
            return parts
        socket = self.zmq_socket
        return waiting.receive(
            socket, line, endpoints=socket.endpoints, cancelled=self._is_cancelled
        )

    def _check_own_socket(self) -> None:
        """Refuse what a socket that a program's own ``init_reqrep`` opened cannot do."""
        for given, name in ((self._fiz_timeout, "timeout"), (self._fiz_backups, "connect_to")):
            if given:
                raise ValueError(
                    f"{name}={given!r} needs the socket that ImageSender.init_reqrep opens, and"
                    " this class opens another"
                )

    def _is_cancelled(self) -> bool:
        return self._fiz_gate.closed


class _Refusals:
    """Says, once a minute at most, what programs that ignore replies would never see."""

    def __init__(self) -> None:
        self._warnings = Throttle()

    def look_at(self, reply: bytes) -> None:
        if reply.startswith(wire.ERROR_REPLY) and self._warnings.due():
            reason = reply[len(wire.ERROR_REPLY) :].decode("utf-8", "replace")
            log.warning("fastimagezmq: the hub refused a frame: %.300s", reason)


# A socket on which these are overridden is the program's own: it does the framing.
_METHODS = messages.Methods(SerializingSocket, "send_array", "send_jpg", "send", "recv")

_DONTWAIT = int(zmq.DONTWAIT)
_clock = time.monotonic


_alive: dict[int, weakref.ref[ImageSender]] = {}

_EXIT_WAIT_SECONDS = 0.5


def _close_at_exit() -> None:
    """Close the senders that the program leaves open when it ends.

    What they have sent must have left, or been dropped, before pyzmq lets go of the memory
    that libzmq reads from: it does so in an exit handler of its own, which was registered
    before this one and therefore runs later. The gates are kept, so that a daemon thread
    that sends stands still instead of failing. One that waits in a call is left alone.
    """
    deadline = time.monotonic() + _EXIT_WAIT_SECONDS
    senders = [
        sender
        for sender in [ref() for ref in list(_alive.values())]
        if sender is not None
        and not sender._fiz_gate.strange
        and sender._fiz_gate.try_enter(deadline - time.monotonic())
    ]
    for sender in senders:  # all of them first: they linger at the same time
        sender._fiz_gate.closed = True
        sender._close_socket()
    for sender in senders:
        sender._close_context()


atexit.register(_close_at_exit)


def _check_flight(in_flight: Any, when_full: Any, reqrep: Any) -> None:
    """Refuse options that are wrong or do not combine.

    Raises:
        ValueError: with one sentence that says what to write.
    """
    if isinstance(in_flight, bool) or not isinstance(in_flight, int) or in_flight < 1:
        raise ValueError(f"in_flight={in_flight!r}: give a number of frames, 1 or more")
    if when_full not in WHEN_FULL:
        known = ", ".join(map(repr, WHEN_FULL))
        raise ValueError(f"when_full={when_full!r} is none of {known}")
    if in_flight > 1 and reqrep != True:  # noqa: E712 (imageZMQ's own comparison)
        raise ValueError(
            "a PUB sender (REQ_REP=False) waits for nothing, so nothing is in flight: leave out"
            f" {in_flight=}"
        )
    if in_flight == 1 and when_full != "block":
        raise ValueError(f"{when_full=} is for more than one frame in flight: add in_flight=4")


def _check_waits(timeout: Any, send_timeout: Any, recv_timeout: Any, reqrep: Any) -> None:
    """Refuse times that are none, or that nothing waits for.

    Raises:
        ValueError: with one sentence that says what to write.
    """
    if timeout is not None and not _is_number(timeout, above=0):
        raise ValueError(f"{timeout=}: give seconds above 0, or None to wait for ever")
    if timeout is not None and reqrep != True:  # noqa: E712 (imageZMQ's own comparison)
        raise ValueError(f"a PUB sender (REQ_REP=False) waits for nothing: leave out {timeout=}")
    for name, given in (("send_timeout", send_timeout), ("recv_timeout", recv_timeout)):
        if not _is_number(given, above=-1):
            raise ValueError(f"{name}={given!r}: give whole seconds, or 0 for no limit")


def _is_number(value: Any, above: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > above


def _addresses(connect_to: Any, reqrep: Any) -> Sequence[str]:
    if not isinstance(connect_to, (list, tuple)):
        return (connect_to,)
    if reqrep != True:  # noqa: E712 (imageZMQ's own comparison)
        raise ValueError("a PUB sender (REQ_REP=False) binds one address: give it as a str")
    if not connect_to or len(set(connect_to)) < len(connect_to):
        raise ValueError(f"{connect_to=}: give different addresses, one or more")
    return connect_to
