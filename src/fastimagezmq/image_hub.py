"""ImageHub: imageZMQ's hub, its surface and its quirks, on this transport."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import zmq

from . import _codec, log, wire
from .camera_stats import CameraStats, table_of
from .clocks import Clocks
from .encoding import check_threads
from .endpoint import Endpoint, exclusive
from .errors import CodecError, HubTimeout, SecurityError, StateError, WireError
from .frame import DecodeOptions, Frame
from .throttle import Throttle
from .transport import SerializingContext, SerializingSocket, messages, waiting
from .transport.backlog import Bound
from .transport.recovery import KEEPALIVE, LIVENESS
from .transport.reply import ReplySocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from .clocks import Clock
    from .security import Addresses, SecurityLike
    from .transport.newest import NewestSocket

__all__ = ["HubStats", "ImageHub", "check_timeout"]

_T = TypeVar("_T")


class HubStats(NamedTuple):
    """What a hub has seen since it was opened."""

    received: int
    """Frames given to the program."""
    malformed: int
    """Messages that were no frames: skipped, or raised with ``on_error="raise"``. And those that
    no reply could be given to, since the empty part in front was missing: skipped."""
    refused: int = 0
    """Messages of senders whose keys are not authorized any more."""
    repeated: int = 0
    """Stamped frames that came again, since the reply was lost: answered alike, and not given."""
    dropped: int = 0
    """With ``latest=True``: frames that a newer one replaced."""
    forgotten: int = 0
    """With ``latest=True``: cameras forgotten, where there were more than ``max_cameras``."""
    cameras: tuple[CameraStats, ...] = ()
    """With ``latest=True``: what was counted of each camera, the one seen last first."""
    cut: int = 0
    """Of a SUB hub: connections that libzmq has cut and would not have made again, since what
    came was a part larger than MAXMSGSIZE, or no ZeroMQ message of a publisher's. The frame is
    lost; the hub connects again. Of a hub that binds it is 0: libzmq cuts there as well, and tells
    the same as when a sender closes."""

    def __str__(self) -> str:
        """Give a table of at most 80 columns."""
        counts = self._asdict()
        cameras = counts.pop("cameras")
        first = ("received", "malformed")
        return table_of({n: count for n, count in counts.items() if count or n in first}, cameras)


class ImageHub(Endpoint):
    """Receives images and messages from ImageSenders.

    Args:
        open_port: with ``REQ_REP=True`` the address to bind, ``tcp://*:port``; else a
            sender's address, ``tcp://host:port``, to connect to.
        REQ_REP: True: REQ/REP; each frame wants a ``send_reply``. False: PUB/SUB.
        timeout: how many seconds ``recv_*`` and a loop over the hub wait for a frame at
            most; then they raise HubTimeout. None: for ever.
        latest: give the newest frame of each camera only, one camera after the other. A
            thread takes frames from the network at once, and drops those that a newer one
            of the same camera replaces, undecoded; a REQ sender is answered ``b"OK"`` then.
        key: with ``latest``: what tells a camera. None: ``msg``. Text: that field of ``msg``,
            or "peer": the sender's address. A function of ``msg``: it is called when frames
            are given to the program, so up to ``max_cameras`` of them wait until then.
        max_cameras: with ``latest``: of more cameras, those seen longest ago are forgotten.
        on_error: what becomes of a malformed message. "skip": it is counted, logged and
            passed over, and its REQ sender is answered ``b"ERROR: ..."``. "raise": the
            same, and ``WireError`` or ``CodecError`` is raised; the stream goes on after.
        colorspace: how JPEG frames are decoded, in memory order; see ``decode_jpeg``. Raw
            arrays arrive as they were sent, and pictures sent as GRAY as (h, w).
        scale: 1, 1/2, 1/4 or 1/8: JPEG frames are decoded at this size, for less work.
        threads: how many threads decode a JPEG at most; 0 is as many as help.
        max_bytes: the largest body taken, in bytes.
        max_pixels: the largest JPEG decoded, in pixels.
        rcvhwm: high-water mark: how many frames may wait per sender; None is libzmq's
            default, 1000, for PUB/SUB what fits 64 MB, from 2 to 1000 frames, and 2 with
            ``latest``.
        security: CURVE, encryption and keys: a ``Security``, or paths. With ``REQ_REP=True``
            the own .key file, or with it the list of the senders that may connect; else
            ``(own .key file, the sender's .pub file)``.
        allow: REQ/REP: the address ranges of the senders that may connect, such as
            ``["192.168.1.0/24"]``; None: all.
        options: zmq socket options, ``{zmq.RCVBUF: 65536}`` or ``{"RCVBUF": 65536}``, set
            before the address is bound or connected.

    Attributes:
        zmq_context: the context, a ``SerializingContext``.
        zmq_socket: the socket, a ``SerializingSocket``, for the program to use, as a REP or
            SUB; with ``latest`` what stands in for it: options can be set, frames not received.
        REQ_REP: as given.

    Raises:
        AddressError: the address cannot be bound or connected; it says what to write.
        SecurityError: a key, a list or a file of ``security`` that is missing, wrong or unsafe.
        ValueError: an option that is wrong, or that does not combine.
    """

    REQ_REP: bool = True

    _addresses_asked: deque[tuple[str, Future[None]]]  # by connect, to be connected
    _fiz_timeout: float | None = None
    _fiz_raises = False
    _fiz_decode = DecodeOptions()
    _fiz_max_bytes = wire.DEFAULT_MAX_BYTES
    _fiz_received = 0
    _fiz_malformed = 0
    _fiz_refused = 0
    _fiz_repeated = 0
    _fiz_answered_for_program = False
    _fiz_clocks: Clocks | None = None  # of the senders that stamp their frames
    _fiz_unanswered = False  # a frame was given to the program, which may still reply
    _fiz_warnings: Throttle
    _fiz_bound: Bound | None = None  # of a SUB hub
    _fiz_slice_ms = waiting.SLICE_MS
    _fiz_latest: _Latest | None = None
    _fiz_stand_in: NewestSocket | None = None  # with latest

    def __init__(
        self,
        open_port: str = "tcp://*:5555",
        REQ_REP: bool = True,
        *,
        timeout: float | None = None,
        latest: bool = False,
        key: str | Callable[[Any], Any] | None = None,
        max_cameras: int = 256,
        on_error: str = "skip",
        colorspace: str = "BGR",
        scale: float = 1,
        threads: int = 0,
        max_bytes: int = wire.DEFAULT_MAX_BYTES,
        max_pixels: int = _codec.DEFAULT_MAX_PIXELS,
        rcvhwm: int | None = None,
        security: SecurityLike | None = None,
        allow: Addresses | None = None,
        options: Mapping[Any, Any] | None = None,
    ) -> None:
        _check_options(on_error, colorspace, scale, threads)
        _check_limit("max_bytes", max_bytes)
        _check_limit("max_pixels", max_pixels)
        check_timeout(timeout)
        _check_limit("max_cameras", max_cameras)
        _check_key(latest, key)
        self.REQ_REP = REQ_REP
        self._fiz_timeout = timeout
        self._fiz_raises = on_error == "raise"
        self._fiz_decode = DecodeOptions(colorspace, scale, max_pixels, threads)
        self._fiz_max_bytes = max_bytes
        self._fiz_options = dict(options or {})
        if latest:
            self._fiz_latest = _Latest(key, max_cameras)
            self._fiz_options = {zmq.RCVHWM: _LATEST_RCVHWM} | self._fiz_options
        if rcvhwm is not None:
            self._fiz_options[zmq.RCVHWM] = rcvhwm
        binds = self._answers()
        self._secure(security, allow, binds=binds)
        try:
            if binds:
                self.init_reqrep(open_port)
            else:
                self.init_pubsub(open_port)
            self._check_newest()
            self._check_secured()
            self._tell_exposure()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        super()._prepare()
        self._addresses_asked = deque()
        self._fiz_warnings = Throttle()

    def init_reqrep(self, address: str) -> None:
        """Open a socket that answers, bound to ``address``. Subclasses may override this.

        It is used as a REP socket, and is a ROUTER socket underneath.
        """
        defaults = self._bind_defaults() | KEEPALIVE
        self._open(zmq.REP if self._fiz_latest is None else zmq.ROUTER, defaults).bind(address)
        self._keep_newest()

    def init_pubsub(self, address: str) -> None:
        """Open a SUB socket connected to ``address``. Subclasses may override this."""
        socket = self._open(zmq.SUB, LIVENESS)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        if self._fiz_options.keys().isdisjoint((zmq.RCVHWM, "RCVHWM")):
            self._fiz_bound = Bound(socket)
        self._keep_connected(socket)
        socket.connect(address)
        self._keep_newest()

    def _keep_connected(self, socket: SerializingSocket) -> None:
        # Here, since `import fastimagezmq` would pay for it.
        from .transport import cuts  # noqa: PLC0415

        socket.cuts = cuts.of(socket)
        self._fiz_slice_ms = cuts.SLICE_MS

    def _keep_newest(self) -> None:
        """Give the socket that was opened to the thread that empties it, with ``latest``."""
        if self._fiz_latest is not None:
            # Here, since `import fastimagezmq` would pay for it.
            from .transport.newest import NewestSocket  # noqa: PLC0415

            self.zmq_socket = self._fiz_stand_in = NewestSocket(self.zmq_socket, *self._fiz_latest)

    def _check_newest(self) -> None:
        if self._fiz_latest is not None and self._newest() is None:
            raise ValueError(
                "latest=True needs the socket that ImageHub.init_reqrep or init_pubsub opens,"
                " and this class opens another: leave latest out"
            )

    def _newest(self) -> NewestSocket | None:
        """Return the socket if it gives newest frames."""
        stand_in = self._fiz_stand_in
        return stand_in if stand_in is self.zmq_socket else None

    def _open(self, socket_type: int, *defaults: Any) -> SerializingSocket:
        if self._fiz_stand_in is not None:  # the program opens another
            self._fiz_stand_in.end()
            self._fiz_stand_in = None
        return super()._open(socket_type, *defaults)

    def _new_socket(self, socket_type: int) -> SerializingSocket:
        if socket_type == zmq.REP:
            return ReplySocket(self.zmq_context)
        return super()._new_socket(socket_type)

    def close(self) -> None:
        """Close the socket and its context, within a second whatever the peer does.

        What can be delivered in that time is; a shorter LINGER that the program set is
        kept. Sockets that the program made from ``zmq_context`` are closed too. A second
        call does nothing. A thread that waits in this object gets ``zmq.ContextTerminated``.
        """
        stand_in = self._fiz_stand_in
        if stand_in is not None and not self._fiz_gate.strange:
            self._fiz_gate.closed = True
            if not stand_in.end():
                # By the garbage collector, or a logging handler, on the thread that is to
                # close the socket: terminating would wait for it for ever.
                context = self.__dict__.get("zmq_context")
                if isinstance(context, SerializingContext):
                    context._close_last()
                return
        super().close()

    def _answers(self) -> bool:
        return self.REQ_REP == True  # noqa: E712 (imageZMQ's own comparison)

    def connect(self, open_port: str) -> None:
        """Receive from one more PUB sender; in REQ/REP mode this does nothing.

        Args:
            open_port: that sender's address.

        Raises:
            AddressError: the address cannot be connected.
        """
        if self.REQ_REP != False:  # noqa: E712 (imageZMQ's own comparison)
            return
        self._check_process()
        if (newest := self._newest()) is not None:
            self._check_open()
            newest.connect(open_port)
            return
        # Here, since `import fastimagezmq` would pay for it.
        from concurrent.futures import Future  # noqa: PLC0415

        asked: Future[None] = Future()
        self._addresses_asked.append((open_port, asked))
        # Another thread may wait in recv_* for a frame that comes from this very address:
        # whoever has the socket now, or next, connects it.
        try:
            while not asked.done():
                if self._fiz_gate.try_enter(0.01):
                    try:
                        self._check_open()
                        self._connect_asked()
                    finally:
                        self._fiz_gate.leave()
        finally:
            if self._fiz_gate.closed:
                self._close_what_was_left()
        asked.result()

    def poll(self, timeout: float | None = 0) -> bool:
        """Wait until a frame is there to be received, or any other message.

        Args:
            timeout: seconds to wait at most; 0: only look; None: for ever.

        Returns:
            Whether there is one. A malformed message counts, which ``recv_*`` will pass
            over, to wait for the next one. While a frame wants its ``send_reply`` first: False
            at the end of the wait.

        Raises:
            ValueError: a timeout that is no number of seconds.
            StateError: closed.
            zmq.ContextTerminated: closed meanwhile.
        """
        check_timeout(timeout)
        return self._poll(timeout)

    def __iter__(self) -> Iterator[tuple[Any, NDArray[Any]]]:
        """Give each frame as ``recv_image`` does, and reply ``b"OK"`` after the loop's body.

        The reply is sent, unless the body has called ``send_reply`` itself, when the next
        frame is asked for, and also when the body ends the loop. The loop ends when the hub
        is closed.

        Raises:
            HubTimeout: no frame came within the hub's ``timeout=``; a new loop goes on.
            WireError, CodecError, zmq.Again: as ``recv_image``.
        """
        while not self._fiz_gate.closed:
            try:
                received = self.recv_image()
            except (StateError, zmq.ContextTerminated):
                if self._fiz_gate.closed:
                    return
                raise
            try:
                yield received
            finally:
                del received
                if self._fiz_unanswered and self._answers() and not self._fiz_gate.closed:
                    self.send_reply()

    def recv_image(self, copy: bool = False) -> tuple[Any, NDArray[Any]]:
        """Wait for the next frame; a JPEG, however sent, is decoded.

        Args:
            copy: accepted for imageZMQ's sake. The array is backed by the received message
                or a pooled block of its own: it is writable, C-contiguous and stays valid
                after ``close()``.

        Returns:
            ``(msg, image)``: raw arrays in the sender's shape and dtype; JPEG frames as
            ``Frame.image`` tells.

        Raises:
            StateError: closed, or the frame before wants its ``send_reply`` first.
            WireError, CodecError: a malformed message, with ``on_error="raise"`` only.
            HubTimeout: no frame came within ``timeout=``.
            zmq.Again: the program set RCVTIMEO, and it has passed.
        """
        del copy
        return self._receive(self._decoded, "recv_array")

    def recv_jpg(self, copy: bool = False) -> tuple[Any, Any]:
        """Wait for the next message and return its blob, not looked into.

        Args:
            copy: accepted for imageZMQ's sake.

        Returns:
            ``(msg, blob)``; the blob is like a ``zmq.Frame``: it has the buffer protocol,
            ``.bytes``, ``.buffer`` and a length, and stays valid after ``close()``.

        Raises:
            StateError, WireError, zmq.Again: as ``recv_image``.
        """
        del copy
        return self._receive(self._opaque, "recv_jpg")

    def recv_frame(self) -> Frame:
        """Wait for the next frame and return it with its stamps, not yet decoded.

        Raises:
            StateError, WireError, zmq.Again: as ``recv_image``. A JPEG that proves corrupt
            raises CodecError when ``Frame.image`` is read.
        """
        return self._receive(self._parse)

    def send_reply(self, reply_message: bytes = b"OK") -> None:
        """Answer the frame that was received last.

        Args:
            reply_message: what the sender's ``send_image`` returns.

        Raises:
            TypeError: not bytes.
            StateError: no frame waits for an answer, or a SUB hub, which never answers.
        """
        if isinstance(reply_message, str):
            raise TypeError(f"a reply is bytes: write b{reply_message!r:.60} or text.encode()")
        self._reply(reply_message)

    @exclusive
    def _poll(self, timeout: float | None) -> bool:
        socket = self.zmq_socket
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._connect_asked()
            self._look_for_cuts()
            left_ms = _milliseconds_until(deadline)
            slice_ms = self._fiz_slice_ms if left_ms is None else min(left_ms, self._fiz_slice_ms)
            if socket.poll(slice_ms, zmq.POLLIN):
                return True
            if self._fiz_gate.closed:
                raise zmq.ContextTerminated
            if left_ms == 0:
                return False

    @exclusive
    def _reply(self, reply_message: bytes) -> None:
        if self._fiz_answered_for_program:
            # The message that recv_* raised for: its sender has been told already.
            self._fiz_answered_for_program = False
            return
        try:
            socket = self.zmq_socket
            methods = _ANSWERING if isinstance(socket, ReplySocket) else _REPLYING
            line = self._line(socket, methods) if type(reply_message) is bytes else None
            if line is not None:
                messages.send(line, reply_message, None, copy_below=0)
            else:
                socket.send(reply_message)
        except zmq.ZMQError as error:
            raise _explained_reply(error) from None
        self._fiz_unanswered = False
        if self._fiz_clocks is not None:
            self._fiz_clocks.replied(time.time(), bytes(reply_message))

    def stats(self) -> HubStats:
        """Return how many frames were received, and how many messages were not taken.

        With ``latest`` also how many frames were dropped, and these counts of each camera.
        """
        malformed = self._fiz_malformed
        if isinstance(self.zmq_socket, ReplySocket):
            malformed += self.zmq_socket.passed_over
        counted = HubStats(self._fiz_received, malformed, self._fiz_refused, self._fiz_repeated)
        if self._fiz_stand_in is None:
            return counted._replace(cut=self._cut())
        self._check_process()
        dropped, forgotten, others = self._fiz_stand_in.counts()
        return counted._replace(
            malformed=self._fiz_malformed + others,
            dropped=dropped,
            forgotten=forgotten,
            cameras=self._fiz_stand_in.cameras(),
            cut=self._cut(),
        )

    # --- what the above is made of ---------------------------------------------------

    def _decoded(self, parts: list[Any]) -> tuple[Any, NDArray[Any]]:
        header, body = wire.parse_parts(parts, max_bytes=self._fiz_max_bytes)
        self._clock_of(header)
        if header.dtype is not None:
            return header.message, wire.parse_array(header, body)
        frame = wire.frame_of(header, body, decode=self._fiz_decode)
        return frame.message, frame.image

    def _opaque(self, parts: list[Any]) -> tuple[Any, messages.Part]:
        header, body = wire.parse_parts(parts, max_bytes=self._fiz_max_bytes)
        self._clock_of(header)
        return header.message, body

    def _parse(self, parts: list[Any]) -> Frame:
        header, body = wire.parse_parts(parts, max_bytes=self._fiz_max_bytes)
        clock = self._clock_of(header)
        frame = wire.frame_of(header, body, decode=self._fiz_decode)
        frame.clock = clock
        return frame

    def _clock_of(self, header: wire.Header) -> Clock | None:
        """Follow the clock of a sender that stamps; the reply to come is a part of that."""
        sequence, timestamp = header.sequence, header.timestamp
        if sequence is None or timestamp is None or not self._answers():
            if self._fiz_clocks is not None:
                self._fiz_clocks.other_came()
            return None
        if self._fiz_clocks is None:
            self._fiz_clocks = Clocks()
        reply = self._fiz_clocks.reply_to(sequence, timestamp)
        if reply is not None:
            raise _RepeatedError(reply)
        return self._fiz_clocks.frame_came(sequence, timestamp, header.before, time.time())

    def _receive(self, parse: Callable[[list[Any]], _T], by_socket: str | None = None) -> _T:
        """Return the next message that ``parse`` takes; the others are dealt with.

        A socket of the program's own class is called as imageZMQ would: by ``by_socket``.
        """
        gate = self._fiz_gate  # `exclusive`, written out: a small picture would notice
        try:
            if not gate.enter():
                self._refuse()
            socket = self.zmq_socket
            self._fiz_answered_for_program = self._fiz_unanswered = False
            timeout = self._fiz_timeout
            deadline = None if timeout is None else time.monotonic() + timeout
            if self._addresses_asked:
                self._connect_asked()
            line = self._line(socket, _ANSWERED if isinstance(socket, ReplySocket) else _METHODS)
            guard = self._fiz_guard
            if line is None:
                stands_in = socket is self._fiz_stand_in
                if guard is not None and not stands_in:
                    raise SecurityError(
                        "security= and allow= cannot look at frames that a receiving method of the"
                        " program's own takes: leave them out, or that method as it is"
                    )
                if by_socket is not None and not stands_in:
                    self._fiz_unanswered = True
                    return cast("_T", tuple(getattr(socket, by_socket)(copy=False)))
                line = socket
            while True:
                parts = self._receive_parts(socket, line, deadline)
                if guard is not None and not guard.admits(parts[0]):
                    self._turn_away(socket, parts[0])
                    continue
                try:
                    result = parse(parts)
                except _RepeatedError as repeated:
                    self._fiz_repeated += 1
                    socket.send(repeated.reply)
                except (WireError, CodecError, MemoryError) as error:
                    self._reject(socket, error, parts[0])
                    if self._fiz_raises:
                        self._fiz_answered_for_program = True
                        raise
                    if deadline is not None and time.monotonic() >= deadline:
                        raise self._late() from None  # in a flood of them too
                else:
                    self._fiz_received += 1
                    self._fiz_unanswered = True
                    return result
        finally:
            if gate.leave():
                self._close_what_was_left()

    def _receive_parts(
        self, socket: SerializingSocket, line: messages.Line, deadline: float | None
    ) -> list[Any]:
        left_ms = _milliseconds_until(deadline)
        try:
            newest = self._fiz_stand_in
            if newest is not None and newest is self.zmq_socket:
                return self._newest_parts(newest, left_ms)
            cuts = getattr(socket, "cuts", None)  # the program's own has none
            if cuts is not None and time.monotonic() >= cuts.due:
                cuts.look(socket)
            if left_ms is None or left_ms > self._fiz_slice_ms:
                parts = messages.receive(line, self._fiz_slice_ms)
            else:
                parts = messages.receive(line, left_ms)
            if parts is None:
                parts = waiting.receive(
                    socket,
                    line,
                    endpoints=socket.endpoints,
                    cancelled=self._is_cancelled,
                    deadline=deadline,
                    slice_ms=self._fiz_slice_ms,
                )
        except HubTimeout:
            raise self._late() from None
        except zmq.ZMQError as error:
            if error.errno != zmq.EFSM:
                raise
            raise StateError(
                zmq.EFSM,
                "the frame before has not been answered: call send_reply first, once for each"
                " frame received",
            ) from None
        bound = self._fiz_bound
        if bound is not None and bound.socket is socket:
            bound.fit(len(parts[-1]))
        return parts

    def _late(self) -> HubTimeout:
        return HubTimeout(f"no frame came within {self._fiz_timeout:g} s (timeout=)")

    def _newest_parts(self, newest: NewestSocket, left_ms: int | None) -> list[Any]:
        limit_ms = newest.limit_ms
        if left_ms is None or 0 <= limit_ms <= left_ms:
            return newest.receive_parts(self._is_cancelled)
        try:
            return newest.receive_parts(self._is_cancelled, left_ms)
        except zmq.Again:
            raise HubTimeout("nothing came in time") from None

    def _socket_in_use(self) -> Any:
        socket = super()._socket_in_use()
        newest = self._fiz_stand_in
        return newest.socket if newest is not None and socket is newest else socket

    def _is_cancelled(self) -> bool:
        self._connect_asked()
        if self._fiz_gate.closed:
            return True
        self._look_for_cuts()
        return False

    def _look_for_cuts(self) -> None:
        """Look after the connections of a SUB socket; only by the thread that has the lock."""
        cuts = getattr(self.zmq_socket, "cuts", None)
        if cuts is not None:
            cuts.look_in_time(self.zmq_socket)

    def _cut(self) -> int:
        """Count the connections that libzmq has cut until now."""
        gate = self._fiz_gate
        cuts = getattr(self._socket_in_use(), "cuts", None)
        if cuts is None:
            return 0
        # With latest=True a thread looks by itself, and here whoever waits for a frame.
        if self._fiz_stand_in is None and not gate.closed and not gate.strange:
            try:
                if gate.try_enter():
                    with contextlib.suppress(zmq.ZMQError):  # closed by the program
                        cuts.look(self.zmq_socket)
            finally:
                if gate.leave():
                    self._close_what_was_left()
        return int(cuts.count)

    def _connect_asked(self) -> None:
        """Connect what ``connect`` was asked for; only by the thread that has the lock."""
        while self._addresses_asked:
            address, asked = self._addresses_asked.popleft()
            try:
                # For an init_pubsub of the program's own, which may leave it to this.
                self.zmq_socket.setsockopt(zmq.SUBSCRIBE, b"")
                self.zmq_socket.connect(address)
            except BaseException as error:
                asked.set_exception(error)
                if not isinstance(error, Exception):
                    raise
            else:
                asked.set_result(None)

    def _turn_away(self, socket: SerializingSocket, part: messages.Part) -> None:
        """Answer, count and log a message of a sender that is not authorized any more."""
        if socket.type == zmq.REP:
            socket.send(wire.ERROR_REPLY + b"the hub does not let this sender in any more")
        self._fiz_refused += 1
        peer = _peer_of(part)
        if self._fiz_warnings.due(("refused", peer)):
            log.warning(
                "fastimagezmq: refused a frame from %s, whose key is not authorized any more"
                " (more of them within a minute are only counted)",
                peer,
            )

    def _reject(self, socket: SerializingSocket, error: Exception, part: messages.Part) -> None:
        """Answer, count and log a message that is no frame."""
        reason = str(error) or "not enough memory for this frame"
        if socket.type == zmq.REP:
            socket.send(wire.ERROR_REPLY + reason.encode("utf-8", "replace"))
        self._fiz_malformed += 1
        peer = _peer_of(part)
        if self._fiz_warnings.due(peer):
            # As text: a record that is kept would keep the error's traceback, and so the frames.
            log.warning(
                "fastimagezmq: skipped a malformed message from %s: %s (more of them within a"
                " minute are only counted)",
                peer,
                reason,
            )

    @exclusive
    def _reject_late(self, error: Exception, part: messages.Part) -> None:
        """Take a frame back that was received as a good one, and not given to the program."""
        self._fiz_received -= 1
        self._fiz_unanswered = False
        self._reject(self.zmq_socket, error, part)
        self._fiz_answered_for_program = self._fiz_raises


class _Latest(NamedTuple):
    """What latest=True was asked for with."""

    key: str | Callable[[Any], Any] | None
    max_cameras: int


_LATEST_RCVHWM = 2
"""They are taken at once; frames that nobody has taken yet are as old as any."""


# A socket on which these are overridden is the program's own: it does the framing.
_METHODS = messages.Methods(SerializingSocket, "recv_array", "recv_jpg", "recv")
_REPLYING = messages.Methods(SerializingSocket, "send")
_ANSWERED = messages.Methods(
    ReplySocket, "recv_array", "recv_jpg", "recv", beneath=SerializingSocket
)
_ANSWERING = messages.Methods(ReplySocket, "send", beneath=SerializingSocket)


def _peer_of(part: messages.Part) -> str:
    """Name the sender of a message by its address."""
    try:
        return str(part.get("Peer-Address"))
    except (zmq.ZMQError, AttributeError):
        return "an unknown address"


def _explained_reply(error: zmq.ZMQError) -> zmq.ZMQError:
    """Say in one sentence why a reply cannot be sent."""
    if error.errno == zmq.EFSM:
        return StateError(zmq.EFSM, "no frame waits for an answer: call recv_image first")
    if error.errno == zmq.ENOTSUP:
        return StateError(
            zmq.ENOTSUP,
            "a SUB hub (REQ_REP=False) only receives, its senders wait for no answer: leave out"
            " send_reply",
        )
    return error


class _RepeatedError(Exception):
    """A frame that was given and answered before."""

    def __init__(self, reply: bytes) -> None:
        super().__init__()
        self.reply = reply


def check_timeout(timeout: Any) -> None:
    """Refuse a timeout that is no number of seconds.

    Raises:
        ValueError: with one sentence that says what to write.
    """
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise ValueError(f"timeout={timeout!r}: give seconds, 0 or more, or None to wait for ever")


def _milliseconds_until(deadline: float | None) -> int | None:
    """Tell how long a wait may still be: until a time of ``time.monotonic``; None: for ever."""
    return None if deadline is None else max(0, math.ceil((deadline - time.monotonic()) * 1000))


def _check_limit(name: str, value: Any) -> None:
    """Refuse a limit that is no positive integer.

    Raises:
        ValueError: with one sentence that says what to write.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r}: give a whole number above 0")


def _check_key(latest: bool, key: Any) -> None:
    """Refuse a ``key`` that is wrong, or without ``latest``.

    Raises:
        ValueError, TypeError: with one sentence that says what to write.
    """
    if key is None:
        return
    if not latest:
        raise ValueError("key= tells cameras apart for latest=True: add that, or leave key out")
    if not (isinstance(key, str) or callable(key)):
        raise TypeError(
            f'key={key!r:.60}: give a field of msg, such as "name", or "peer", or a function'
        )


def _check_options(on_error: str, colorspace: str, scale: float, threads: int) -> None:
    """Refuse options that are wrong or do not combine.

    Raises:
        ValueError: with one sentence that says what to write.
    """
    if on_error not in ("skip", "raise"):
        raise ValueError(f'on_error={on_error!r}: give "skip" or "raise"')
    if colorspace not in _codec.COLORSPACES:
        known = ", ".join(_codec.COLORSPACES)
        raise ValueError(f"colorspace={colorspace!r} is none of {known}")
    if isinstance(scale, bool) or scale not in (1, 1 / 2, 1 / 4, 1 / 8):
        raise ValueError(f"scale={scale!r}: give 1, 1/2, 1/4 or 1/8")
    check_threads(threads)
    if colorspace == "YUV420" and scale != 1:
        raise ValueError('colorspace="YUV420" is decoded at full size only: leave out scale')
