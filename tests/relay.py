"""A TCP relay that stands between a sender and its hub, and does what networks do."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_LOOK_SECONDS = 0.01
_CHUNK = 65536


class Relay:
    """Passes bytes between those who connect to ``address`` and a port of loopback.

    Every fault is a method. A connection whose target refuses is closed.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self.accepted = 0
        self._bytes_per_second: float | None = None
        self._ended = False
        self._flowing = threading.Event()
        self._flowing.set()
        # Guarded by _lock.
        self._lock = threading.Lock()
        self._generation = 0  # connections of an older one are closed
        self._abruptly = False
        self._left: int | None = None  # bytes to pass from senders yet, before a cut
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def cut(self, *, abruptly: bool = False) -> None:
        """Close all connections; ``abruptly`` with a reset."""
        with self._lock:
            self._generation += 1
            self._abruptly = abruptly

    def cut_after(self, count: int, *, abruptly: bool = False) -> None:
        """Cut when so many more bytes have come from senders: in the middle of a frame."""
        with self._lock:
            self._left = count
            self._abruptly = abruptly

    def stall(self) -> None:
        """Pass nothing on until ``flow`` is called."""
        self._flowing.clear()

    def flow(self) -> None:
        """Pass on again what comes."""
        self._flowing.set()

    def limit(self, bytes_per_second: float | None) -> None:
        """Pass on what senders say no faster than this."""
        self._bytes_per_second = bytes_per_second

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.accepted += 1
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            generation = self._generation
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(self._target, 5) as hub,
        ):
            hub.settimeout(None)
            for end in (client, hub):  # a short queue, as a slow link has
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
            while self._is_alive(generation):
                for end in select.select([client, hub], [], [], _LOOK_SECONDS)[0]:
                    if not self._pass_on(end, hub if end is client else client, end is hub):
                        generation = -1
            if self._abruptly:
                for end in (client, hub):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _is_alive(self, generation: int) -> bool:
        with self._lock:
            return generation == self._generation and not self._ended

    def _pass_on(self, source: socket.socket, to: socket.socket, back: bool) -> bool:
        """Pass some bytes on; False: the connection ends."""
        rate = self._bytes_per_second
        data = source.recv(_CHUNK if rate is None or back else max(1, int(rate / 50)))
        if not back:
            with self._lock:
                if self._left is not None:
                    data, self._left = data[: self._left], self._left - len(data)
                    if self._left <= 0:
                        self._left = None
                        self._generation += 1
            if rate is not None:
                time.sleep(len(data) / rate)
        self._flowing.wait()
        if data:
            to.sendall(data)
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended = True
        self._flowing.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._server.close()
        for thread in self._threads:
            thread.join(10)
