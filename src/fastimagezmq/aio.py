"""ImageSender and ImageHub for asyncio; ``import fastimagezmq.aio`` asks for it.

Whatever task may be cancelled at whatever moment: a hub awaits only that something is there,
and takes a frame between two awaits, into an object that stays. A sender does its work on a
thread of its own, one frame after the other; a cancelled send ends there as after a timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import zmq
import zmq.asyncio

from .closing import AsyncClosing
from .errors import CodecError, HubTimeout, StateError
from .image_hub import ImageHub, check_timeout
from .image_sender import ImageSender
from .transport import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from .frame import Frame
    from .image_hub import HubStats
    from .sender_stats import SenderStats
    from .transport.newest import NewestSocket

__all__ = ["AsyncImageHub", "AsyncImageSender"]

_T = TypeVar("_T")


class AsyncImageHub(AsyncClosing):
    """Receives images and messages, as ImageHub does, while other tasks go on.

    A receive that is cancelled loses no frame and gives none twice: what it would have
    returned is the next one's. Receives of several tasks come in turn.

    Args:
        open_port: as of ImageHub.
        REQ_REP: as of ImageHub.
        options: the others of ImageHub.

    Raises:
        AddressError, SecurityError, ValueError: as ImageHub.
    """

    def __init__(
        self, open_port: str = "tcp://*:5555", REQ_REP: bool = True, **options: Any
    ) -> None:
        self._hub = ImageHub(open_port, REQ_REP, **options)
        self._timeout = self._hub._fiz_timeout
        self._hub._fiz_timeout = 0  # it waits for nothing: that is done here
        self._turn = asyncio.Lock()
        # A JPEG that was received, and that no task has been given yet.
        self._held: Frame | None = None
        # Both outlive a task that is cancelled, and serve the next one.
        self._decoding: asyncio.Future[Exception | None] | None = None
        self._arrival: asyncio.Future[Any] | None = None
        self._quiet: asyncio.Future[None] | None = None  # that, while a reply is to come

    async def recv_image(self) -> tuple[Any, NDArray[Any]]:
        """Wait for the next frame; a JPEG is decoded off the event loop.

        Returns:
            ``(msg, image)``, as ``ImageHub.recv_image``.

        Raises:
            StateError, WireError, CodecError, HubTimeout, zmq.Again: as ImageHub.recv_image.
            zmq.ContextTerminated: closed meanwhile.
        """
        async with self._turn:
            deadline = self._deadline()
            while True:
                if self._held is None:
                    frame = await self._taken(self._hub.recv_frame, deadline)
                    if frame.jpeg is None:
                        return frame.message, frame.image
                    self._held = frame
                error = await self._decoded(self._held)
                frame = self._handed_over()
                if error is None:
                    return frame.message, frame.image
                self._hub._reject_late(error, cast("Any", frame.jpeg))
                if self._hub._fiz_raises:
                    raise error

    async def recv_jpg(self) -> tuple[Any, Any]:
        """Wait for the next message and return its blob, not looked into.

        Returns:
            ``(msg, blob)``, as ``ImageHub.recv_jpg``.

        Raises:
            StateError, WireError, HubTimeout, zmq.Again, zmq.ContextTerminated: as recv_image.
        """
        async with self._turn:
            if self._held is not None:
                frame = self._handed_over()
                return frame.message, frame.jpeg
            return await self._taken(self._hub.recv_jpg, self._deadline())

    async def recv_frame(self) -> Frame:
        """Wait for the next frame and return it with its stamps, not yet decoded.

        Raises:
            StateError, WireError, HubTimeout, zmq.Again, zmq.ContextTerminated: as recv_image.
        """
        async with self._turn:
            if self._held is not None:
                return self._handed_over()
            return await self._taken(self._hub.recv_frame, self._deadline())

    async def send_reply(self, reply_message: bytes = b"OK") -> None:
        """Answer the frame that was received last.

        Raises:
            TypeError, StateError: as ImageHub.send_reply.
        """
        self._reply(reply_message)

    async def poll(self, timeout: float | None = 0) -> bool:
        """Wait until a frame is there to be received, or any other message.

        Args:
            timeout: seconds to wait at most; 0: only look; None: for ever.

        Returns:
            Whether there is one, as ``ImageHub.poll``.

        Raises:
            ValueError, StateError, zmq.ContextTerminated: as ImageHub.poll.
        """
        check_timeout(timeout)
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            await asyncio.sleep(0)
            there = self._hub.poll(0) or self._held is not None
            left = waiting.SLICE_MS / 1000 if end is None else end - time.monotonic()
            if there or left <= 0:
                return there
            await self._news(left)

    def connect(self, open_port: str) -> None:
        """Receive from one more PUB sender, as ``ImageHub.connect`` does.

        Raises:
            AddressError: the address cannot be connected.
        """
        self._hub.connect(open_port)

    def stats(self) -> HubStats:
        """Return what ``ImageHub.stats`` does."""
        return self._hub.stats()

    @property
    def zmq_socket(self) -> Any:
        """The hub's socket, for options; frames are received by this object's methods."""
        return self._hub.zmq_socket

    async def close(self) -> None:
        """Close the hub, within a second; a second call does nothing.

        A task that waits in this object gets ``zmq.ContextTerminated``.
        """
        self._hub._fiz_gate.closed = True
        if self._arrival is not None and _is_here(self._arrival):
            self._arrival.cancel()
            # pyzmq's poller lets go of the socket two rounds of the event loop later.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self._held = None
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._hub.close))

    def __aiter__(self) -> _Frames:
        """Give each frame as ``recv_image`` does, and reply ``b"OK"`` after the loop's body.

        The reply is sent, unless the body has called ``send_reply`` itself, when the next
        frame is asked for, and when the body ends the loop. The loop ends when the hub is
        closed.

        Raises:
            HubTimeout, WireError, CodecError, zmq.Again: as ``recv_image``.
        """
        return _Frames(self)

    def __del__(self) -> None:
        # Dropped without close(). The event loop may be closed, or not be of this thread.
        with contextlib.suppress(Exception):
            if self._arrival is not None:
                self._arrival.cancel()

    # --- what the above is made of ---------------------------------------------------

    def _deadline(self) -> float | None:
        return None if self._timeout is None else time.monotonic() + self._timeout

    def _handed_over(self) -> Frame:
        """Return the frame that was held, which is the caller's task's from now on."""
        frame = self._held
        if frame is None:
            raise zmq.ContextTerminated  # close() dropped it
        self._held = self._decoding = None
        return frame

    def _reply(self, reply_message: bytes = b"OK") -> None:
        if self._held is not None:
            raise StateError(
                zmq.EFSM, "no frame waits for an answer: call recv_image first (one was cancelled)"
            )
        self._hub.send_reply(reply_message)
        if self._quiet is not None:
            _end(self._quiet)

    async def _taken(self, take: Callable[[], _T], deadline: float | None) -> _T:
        """Wait until ``take``, which does not wait, gives something; warn while it does not.

        Nothing is awaited between that and the end.
        """
        await asyncio.sleep(0)  # other tasks go on, and can cancel this one, in a flood too
        patience: waiting.Patience | None = None
        limit_ms = -1
        while True:
            with contextlib.suppress(zmq.Again):
                return take()
            if deadline is not None and time.monotonic() >= deadline:
                raise HubTimeout(f"no frame came within {self._timeout:g} s (timeout=)")
            if patience is None:
                socket = self._hub._socket_in_use()
                limit_ms = int(self._hub.zmq_socket.getsockopt(zmq.RCVTIMEO))
                patience = waiting.Patience(
                    socket.endpoints,
                    int(self._hub.zmq_socket.type),
                    self._hub._is_cancelled,
                    waited_ms=0,
                    guard=socket.guard,
                    slice_ms=self._hub._fiz_slice_ms,
                )
            seconds = patience.next_slice_ms(limit_ms) / 1000
            if deadline is not None:
                seconds = min(seconds, max(0.0, deadline - time.monotonic()))
            await self._news(seconds)

    async def _news(self, seconds: float) -> None:
        """Wait until something may be there.

        One look at the socket serves all who wait, and goes on when they are cancelled:
        pyzmq's poller lets go of a socket some time after it was cancelled, and would take
        the next one's look along.

        Raises:
            zmq.ContextTerminated: closed meanwhile.
        """
        arrival = self._arrival
        if arrival is None or arrival.done() or not _is_here(arrival):
            arrival = self._arrival = self._look()
        await asyncio.wait([arrival], timeout=seconds)
        if self._hub._fiz_gate.closed:
            raise zmq.ContextTerminated
        if arrival.done():
            arrival.result()

    def _look(self) -> asyncio.Future[Any]:
        # In slices, since whoever reads the socket's state takes the sign that wakes a poller.
        newest = self._hub._newest()
        if newest is not None:
            return asyncio.get_running_loop().run_in_executor(None, _look_at, newest)
        if int(self._hub.zmq_socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT:
            # It is the reply's turn. A poller would tell of frames that are not to be had yet.
            loop = asyncio.get_running_loop()
            self._quiet = loop.create_future()
            loop.call_later(waiting.SLICE_MS / 1000, _end, self._quiet)
            return self._quiet
        poller = zmq.asyncio.Poller()
        poller.register(self._hub.zmq_socket, zmq.POLLIN)
        return cast("asyncio.Future[Any]", poller.poll(waiting.SLICE_MS))

    async def _decoded(self, frame: Frame) -> Exception | None:
        """Decode on a thread, which goes on when this is cancelled; return what went wrong."""
        decoding = self._decoding
        if decoding is None or not _is_here(decoding):
            loop = asyncio.get_running_loop()
            decoding = self._decoding = loop.run_in_executor(None, _decode, frame)
        await asyncio.wait([decoding])
        return decoding.result()


class _Frames:
    """A loop over a hub."""

    def __init__(self, hub: AsyncImageHub) -> None:
        self._hub = hub
        self._given = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Any, NDArray[Any]]:
        self._answer()
        hub = self._hub
        try:
            received = await hub.recv_image()
        except (StateError, zmq.ContextTerminated):
            if hub._hub._fiz_gate.closed:
                raise StopAsyncIteration from None
            raise
        self._given = True
        return received

    def _answer(self) -> None:
        given, self._given = self._given, False
        hub = self._hub._hub
        if given and hub._fiz_unanswered and hub._answers() and not hub._fiz_gate.closed:
            self._hub._reply()

    def __del__(self) -> None:
        # The body has ended the loop. (An asynchronous generator would learn that later.)
        with contextlib.suppress(Exception):
            self._answer()


class AsyncImageSender(AsyncClosing):
    """Sends images and messages, as ImageSender does, while other tasks go on.

    Pictures are encoded, sent and answered on a thread of the sender's own. Sends of several
    tasks go one after the other.

    Args:
        connect_to: as of ImageSender.
        REQ_REP: as of ImageSender.
        options: the others of ImageSender, but for ``in_flight`` and ``when_full``.

    Raises:
        AddressError, SecurityError, TypeError, ValueError: as ImageSender.
    """

    def __init__(
        self,
        connect_to: str | Sequence[str] = "tcp://127.0.0.1:5555",
        REQ_REP: bool = True,
        **options: Any,
    ) -> None:
        if (in_flight := options.get("in_flight", 1)) != 1:
            raise ValueError(
                f"{in_flight=} is for programs that must not wait, and tasks may: leave it out, or"
                " use ImageSender"
            )
        self._sender = ImageSender(connect_to, REQ_REP, **options)
        lockstep = self._sender._fiz_lockstep
        self._stop = None if lockstep is None else lockstep.stoppable()
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "fastimagezmq-aio")
        self._cancelled: Future[bytes | None] | None = None  # it may not have ended yet

    async def send_image(self, msg: Any, image: Any) -> bytes | None:
        """Send an image with a message.

        When this is cancelled, the frame may have arrived once and will not be sent again;
        the next send, or ``close``, waits until its array is not read any more.

        Returns:
            The hub's reply (REQ/REP), or None (PUB/SUB).

        Raises:
            TypeError, CodecError, StateError, HubTimeout: as ImageSender.send_image.
            zmq.ContextTerminated: closed meanwhile.
        """
        return await self._sent(self._sender.send_image, msg, image)

    async def send_jpg(self, msg: Any, jpg_buffer: Buffer) -> bytes | None:
        """Send a JPEG, or any other bytes, with a message, else as ``send_image``.

        Returns:
            The hub's reply (REQ/REP), or None (PUB/SUB).

        Raises:
            TypeError, StateError, HubTimeout: as ImageSender.send_jpg.
            zmq.ContextTerminated: closed meanwhile.
        """
        return await self._sent(self._sender.send_jpg, msg, jpg_buffer)

    def stats(self) -> SenderStats:
        """Return what ``ImageSender.stats`` does."""
        return self._sender.stats()

    async def close(self) -> None:
        """Close the sender, within a second whatever the peer does; as ``ImageSender.close``.

        A task that waits in this object gets ``zmq.ContextTerminated``.
        """
        self._sender._fiz_gate.closed = True  # before its thread is ended: see _sent
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._end))

    def _end(self) -> None:
        self._sender.close()
        self._thread.shutdown()
        if self._stop is not None:
            self._stop.close()

    async def _sent(
        self, send: Callable[[Any, Any], bytes | None], msg: Any, body: Any
    ) -> bytes | None:
        async with self._turn:
            if self._cancelled is not None:
                await _ended(self._cancelled)
                self._cancelled = None
            self._sender._check_open()
            if self._stop is not None:
                self._stop.clear()
            work = self._thread.submit(send, msg, body)
            try:
                return await asyncio.wrap_future(work)
            except BaseException:
                # Cancelled, unless the work is done; what has not begun is cancelled with it.
                if not work.done() and not work.cancel():
                    self._cancelled = work
                    if self._stop is not None:
                        self._stop.ask()
                raise


def _is_here(future: asyncio.Future[Any]) -> bool:
    """Tell whether a future is of the event loop that runs now, and not of one before."""
    return future.get_loop() is asyncio.get_running_loop()


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)


async def _ended(work: Future[Any]) -> None:
    """Wait until a thread is done with this, whatever becomes of it."""
    with contextlib.suppress(Exception):
        await asyncio.wrap_future(work)


def _decode(frame: Frame) -> Exception | None:
    try:
        frame.image  # noqa: B018 (decodes, and keeps it)
    except (CodecError, MemoryError) as error:
        return error
    return None


def _look_at(newest: NewestSocket) -> None:
    with contextlib.suppress(zmq.ZMQError):  # closed: who waits looks for that
        newest.poll(waiting.SLICE_MS)
