"""What stands in for the socket of a hub that gives the newest frames only."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn, cast

import zmq

from .. import log, wire
from .._libzmq import Newest, Ticket
from ..camera_stats import CameraStats
from ..errors import StateError, WireError
from . import waiting
from .drain import STALE_REPLY, CameraKey, Drain

if TYPE_CHECKING:
    from collections.abc import Callable

    from .drain import Arrived
    from .sockets import SerializingContext, SerializingSocket

__all__ = ["NewestSocket"]

PEER = "peer"
"""As ``key=``: the sender's address tells the camera."""

_AGES_KEPT = 512  # of each camera, the last ones


class NewestSocket:
    """A hub's socket, used by a thread of its own that keeps the newest frames only.

    It looks like the socket, and options can be set and read. Frames come from
    ``receive_parts``, since those that wait in the socket are taken from there at once.

    Args:
        socket: a SUB, or a ROUTER in place of a REP; this object's from now on.
        key: a field of ``msg``, "peer", or a function of ``msg``; None: all of ``msg``.
        max_cameras: how many cameras are kept apart.
    """

    def __init__(
        self,
        socket: SerializingSocket,
        key: str | Callable[[Any], Any] | None,
        max_cameras: int,
    ) -> None:
        self._socket = socket
        self._type = zmq.REP if socket.type == zmq.ROUTER else zmq.SUB
        self._context = cast("SerializingContext", socket.context)
        self._limit_ms = int(socket.getsockopt(zmq.RCVTIMEO))
        self._function = key if callable(key) else None
        # Frames whose camera the program's function has told.
        self._sorted = Newest(max_cameras, native=False) if callable(key) else None
        self._came: list[tuple[bytes, int, Any]] = []  # its camera is to be told
        self._ages: dict[bytes, deque[float]] = {}
        self._max_cameras = max_cameras
        self._warned = False
        self._drain = Drain(socket, _native_key(key), max_cameras)

    # --- frames and replies -----------------------------------------------------------

    def receive_parts(
        self, cancelled: Callable[[], bool], limit_ms: int | None = None
    ) -> list[Any]:
        """Wait for the newest frame of the camera whose turn it is; return its parts.

        Waits for ``limit_ms``, or, if that is None, as long as RCVTIMEO says, and warns as
        ``waiting.receive`` does.

        Raises:
            zmq.ZMQError: EFSM: the frame before has not been answered.
            zmq.Again: nothing came in that time.
            zmq.ContextTerminated: closed meanwhile, or ``cancelled`` says so.
        """
        table = self._drain.newest if self._sorted is None else self._sorted
        if self._type == zmq.REP and table.delivered is not None:
            raise zmq.ZMQError(zmq.EFSM)
        taken = self._take(0)
        if taken is None:
            limit_ms = self._limit_ms if limit_ms is None else limit_ms
            patience = waiting.Patience(self.endpoints, self._type, cancelled, waited_ms=0)
            while taken is None:
                taken = self._take(patience.next_slice_ms(limit_ms))
        key, arrived = taken
        if self._type != zmq.REP:
            table.settled()
        parts = arrived.parts
        self._note_age(key, parts[0])
        if not self._warned:
            self._warn_of_forgotten()
        return parts

    def poll(self, timeout: float | None = None, flags: int = zmq.POLLIN) -> int:
        """Wait for a frame as ``zmq.Socket.poll`` does: milliseconds; None or below 0 for ever.

        Any thread may call it, whoever else waits.

        Raises:
            zmq.ContextTerminated: closed meanwhile.
        """
        end = None if timeout is None or timeout < 0 else time.monotonic() + timeout / 1000
        while flags & zmq.POLLIN:
            left_ms = waiting.SLICE_MS
            if end is not None:
                left_ms = min(left_ms, max(0, round((end - time.monotonic()) * 1000)))
            if self._poll(left_ms):
                return int(zmq.POLLIN)
            if end is not None and time.monotonic() >= end:
                break
        return 0

    def send(self, data: bytes, flags: int = 0, copy: bool = True, track: bool = False) -> None:
        """Answer the frame that was received last; other arguments are accepted only.

        Raises:
            zmq.ZMQError: EFSM: there is none; ENOTSUP: a SUB hub.
        """
        del flags, copy, track
        if self._type != zmq.REP:
            raise zmq.ZMQError(zmq.ENOTSUP)
        table = self._drain.newest if self._sorted is None else self._sorted
        taken = table.delivered
        if taken is None:
            raise zmq.ZMQError(zmq.EFSM)
        self._drain.reply(taken[2], bytes(data))
        table.settled()

    def _take(self, wait_ms: int) -> tuple[bytes, Arrived] | None:
        if self._sorted is None:
            taken = self._drain.newest.take(wait_ms)
        else:
            self._sort()
            taken = self._sorted.take(0)
            if taken is None and wait_ms and self._drain.newest.poll(wait_ms):
                self._sort()
                taken = self._sorted.take(0)
        return None if taken is None else (taken[0], taken[2])

    def _poll(self, wait_ms: int) -> bool:
        if self._sorted is not None and self._sorted.poll(0):
            return True
        return self._drain.newest.poll(wait_ms)

    def _sort(self) -> None:
        """Ask the program's function about all frames that wait, in the order they came.

        What an exception of a signal handler's interrupts here is taken up the next time.
        """
        assert self._sorted is not None
        unsorted, came = self._drain.newest, self._came
        while (taken := unsorted.delivered or unsorted.take(0)) is not None:
            if not came or came[-1] is not taken:
                came.append(taken)
            unsorted.settled()
        came.sort(key=_number)
        while came:
            arrived = came[0][2]
            try:
                ticket = self._ticket(arrived)
            except Exception:
                del came[0]
                self._answer_stale(arrived)
                raise
            homeless = self._sorted.put(ticket, arrived)
            if homeless is not arrived:
                self._answer_stale(homeless)
            del came[0]

    def _answer_stale(self, arrived: Arrived | None) -> None:
        if arrived is not None and self._type == zmq.REP:
            self._drain.reply(arrived, STALE_REPLY)

    def _ticket(self, arrived: Arrived) -> Ticket:
        assert self._function is not None
        try:
            header = wire.parse_header(arrived.parts[0])
        except WireError:
            return Ticket.of_key(b"")
        return Ticket.of_key(json.dumps(self._function(header.message), default=repr).encode())

    # --- what is counted --------------------------------------------------------------

    def counts(self) -> tuple[int, int, int]:
        """Return how many frames were dropped, cameras forgotten, other messages dropped."""
        counts = self._drain.newest.counts()
        if self._sorted is None:
            return counts
        sorted_counts = self._sorted.counts()
        return (
            counts[0] + sorted_counts[0],
            sorted_counts[1],
            counts[2] + sorted_counts[2],
        )

    def cameras(self) -> tuple[CameraStats, ...]:
        """Return what was counted of each camera, the one seen last first."""
        table = self._drain.newest if self._sorted is None else self._sorted
        return tuple(
            CameraStats(_shown(row[0]), *row[1:], *_percentiles(self._ages.get(row[0])))
            for row in table.cameras()
        )

    def _note_age(self, key: bytes, header: Any) -> None:
        if b'"ts"' not in header.bytes:
            return
        try:
            timestamp = wire.parse_header(header).timestamp
        except WireError:
            return
        if timestamp is None:
            return
        ages = self._ages.pop(key, None)  # back in as the last: the first was seen longest ago
        if ages is None:
            ages = deque(maxlen=_AGES_KEPT)
        ages.append(time.time() - timestamp)
        self._ages[key] = ages
        if len(self._ages) > self._max_cameras:
            del self._ages[next(iter(self._ages))]

    def _warn_of_forgotten(self) -> None:
        if self.counts()[1]:
            self._warned = True
            log.warning(
                "fastimagezmq: more than %d cameras: those seen longest ago are forgotten. Each"
                " msg is taken for a camera of its own: if it holds a time or a number, pass"
                " key= to say what tells a camera, or max_cameras= if there are so many",
                self._max_cameras,
            )

    # --- what it is as a socket -------------------------------------------------------

    @property
    def socket(self) -> SerializingSocket:
        """The socket that this stands in for; its thread's alone."""
        return self._socket

    @property
    def limit_ms(self) -> int:
        """RCVTIMEO."""
        return self._limit_ms

    @property
    def type(self) -> int:
        """``zmq.SUB``, or ``zmq.REP`` of what answers."""
        return self._type

    @property
    def context(self) -> SerializingContext:
        """The socket's context."""
        return self._context

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The addresses that the socket has connected to."""
        return self._socket.endpoints

    @property
    def closed(self) -> bool:
        """Whether the socket is closed."""
        return self._drain.ended

    def end(self) -> bool:
        """Close the socket and wake who waits; False: that is left to the calling thread."""
        if self._sorted is not None:
            self._sorted.close()
        return self._drain.end()

    def close(self, linger: int | None = None) -> None:
        """Close the socket and wake who waits."""
        if linger is not None and not self.closed:
            self.setsockopt(zmq.LINGER, linger)
        self.end()

    def connect(self, addr: str) -> None:
        """Connect to one more sender, as ``SerializingSocket.connect`` does."""
        self._drain.call(lambda socket: socket.connect(addr))

    def disconnect(self, addr: str) -> None:
        """Disconnect, as ``zmq.Socket.disconnect`` does."""
        self._drain.call(lambda socket: socket.disconnect(addr))

    def bind(self, addr: str) -> None:
        """Bind to one more address, as ``SerializingSocket.bind`` does."""
        self._drain.call(lambda socket: socket.bind(addr))

    def unbind(self, addr: str) -> None:
        """Unbind, as ``zmq.Socket.unbind`` does."""
        self._drain.call(lambda socket: socket.unbind(addr))

    def setsockopt(self, option: int, value: Any) -> None:
        """Set an option; RCVTIMEO is that of ``recv_image`` and its kind."""
        self._drain.call(lambda socket: socket.setsockopt(option, value))
        if option == zmq.RCVTIMEO:
            self._limit_ms = int(value)

    def getsockopt(self, option: int) -> Any:
        """Read an option."""
        return self._drain.call(lambda socket: socket.getsockopt(option))

    set = setsockopt
    get = getsockopt

    def getsockopt_string(self, option: int, encoding: str = "utf-8") -> str:
        """Read an option that is text."""
        return str(self.getsockopt(option).decode(encoding))

    def setsockopt_string(self, option: int, optval: str, encoding: str = "utf-8") -> None:
        """Set an option that is text."""
        self.setsockopt(option, optval.encode(encoding))

    get_string = getsockopt_string
    set_string = setsockopt_string

    def __getattr__(self, name: str) -> Any:
        if name.startswith("recv"):
            return _refuse
        option = zmq.SocketOption.__members__.get(name.upper())
        if option is None:
            raise AttributeError(
                f"the socket of a hub with latest=True has no {name}: its frames are taken by a"
                " thread of its own"
            )
        return self.getsockopt(option)

    def __setattr__(self, name: str, value: Any) -> None:
        option = None if name[0] == "_" else zmq.SocketOption.__members__.get(name.upper())
        if option is None:
            super().__setattr__(name, value)
        else:
            self.setsockopt(option, value)


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    """Stand where a receiving method of a socket stands."""
    del args, kwargs
    raise StateError(
        zmq.ENOTSUP,
        "with latest=True frames are not received from zmq_socket, which a thread of the hub's"
        " empties: call recv_image, recv_jpg or recv_frame of the hub",
    )


def _number(taken: tuple[bytes, int, Any]) -> int:
    return taken[1]


def _native_key(key: str | Callable[[Any], Any] | None) -> CameraKey:
    if key == PEER:
        return CameraKey(by_peer=True)
    if isinstance(key, str):
        return CameraKey(json.dumps(key)[1:-1].encode())
    return CameraKey()


def _shown(key: bytes) -> Any:
    """Give what a key stands for; of a long one its beginning, as text."""
    try:
        return json.loads(key)
    except ValueError:
        return key.decode("utf-8", "replace") + "..."


def _percentiles(ages: deque[float] | None) -> tuple[float | None, float | None]:
    """Give the age that half of the frames, and 99 of 100, were not above."""
    if not ages:
        return None, None
    ordered = sorted(ages)
    count = len(ordered)
    return ordered[(count + 1) // 2 - 1], ordered[(count * 99 + 99) // 100 - 1]
