"""A link of a given rate: a TCP relay whose own buffers are small."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Self

_BUFFER = 16384
_CHUNK = 4096


class SlowLink:
    """Relays one connection to a port of loopback, from there at ``rate`` bytes a second.

    ``port`` is the relay's own.
    """

    def __init__(self, port: int, rate: float) -> None:
        self._to = port
        self._rate = rate
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._ends: list[socket.socket] = [self._server]
        self.port = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            near, _ = self._server.accept()
            self._ends.append(near)
            far = socket.socket()
            self._ends.append(far)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            far.connect(("127.0.0.1", self._to))
            back = threading.Thread(target=self._pump, args=(near, far, None))
            self._threads.append(back)
            back.start()
            self._pump(far, near, self._rate)

    def _pump(self, source: socket.socket, to: socket.socket, rate: float | None) -> None:
        free = time.monotonic()  # when the link has sent what it was given
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                if rate is not None:
                    free = max(free, time.monotonic() - 0.02) + len(data) / rate
                    time.sleep(max(0.0, free - time.monotonic()))
                to.sendall(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join()
