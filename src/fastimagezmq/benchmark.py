"""Measuring a link: what ``fastimagezmq bench`` does, without its printing.

A sender streams synthetic pictures, raw and as JPEG, to a hub that answers each. The hub
is one of these:

- ``Server``, which also tells, when asked, how long it was busy with the frames;
- any program that calls ``recv_image`` and ``send_reply``, of imageZMQ too. It is sent
  raw pixels, since old hubs would fail on JPEG; and what it does is not told apart from
  the network.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import itertools
import json
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zmq

from ._codec import encode_jpeg
from .closing import Closing
from .errors import Error
from .image_hub import ImageHub
from .image_sender import ImageSender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]  # (h, w, 3), B, G, R

__all__ = ["OURS", "SIZES", "THEIRS", "BenchError", "LocalHub", "Result", "Server", "measure"]

OURS, THEIRS = "fastimagezmq", "imagezmq"
SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080))
QUALITY = 85

MESSAGE = "fastimagezmq bench"
ASK = "fastimagezmq bench: report"
"""The message of a frame that a ``Server`` answers with a report, in JSON, and forgets."""
_DOT = np.zeros((16, 16, 3), np.uint8)

_FIRST_REPLY_SECONDS = 10
_REPLY_SECONDS = 60
_WARM_UP = 2
_COARSEST, _FINEST = 256, 4  # shades, in pixels: powers of two
_MOST_SHARES = 3  # of the time that one row may take, for a single frame


class BenchError(Error):
    """The bench cannot go on; the text says why in one sentence."""


@dataclass(frozen=True)
class Result:
    """What was measured of one kind of frames. Times are seconds a frame, on average."""

    library: str
    kind: str
    """"raw" or "JPEG"."""
    width: int
    height: int
    frames: int = 0
    rate: float | None = None
    """Frames a second; None if it was not measured."""
    bits: float | None = None
    """Bits of picture a second."""
    encode: float | None = None
    transfer: float | None = None
    """What is neither encoding nor the hub's: message, network, reply."""
    hub: float | None = None
    """Decoding, at the hub; None if the hub does not tell: then it is within transfer."""
    note: str = ""
    """Why there is no rate."""

    @property
    def limited_by(self) -> str:
        """Name the stage that takes longest."""
        stages = {"encode": self.encode, "transfer": self.transfer, "hub": self.hub}
        known = {name: seconds for name, seconds in stages.items() if seconds is not None}
        return max(known, key=lambda name: known[name]) if known else ""


def pictures(width: int, height: int, count: int = 4) -> list[Picture]:
    """Make pictures that a codec takes for photographs: soft shades, edges, and grain.

    They are different ones, but always the same.

    Returns:
        ``count`` arrays (height, width, 3), uint8.
    """
    random = np.random.default_rng(1)

    def noise(*shape: int) -> Any:
        return random.standard_normal(shape, np.float32)

    # Shades of all sizes, the weaker the smaller, as in nature: coarse ones are enlarged
    # twice, finer ones added, again and again.
    step = _COARSEST
    image = np.zeros((height // step + 3, width // step + 3, 3), np.float32)
    while True:
        rows, columns = image.shape[:2]
        image += step**0.5 * (noise(rows, columns, 1) + 0.3 * noise(rows, columns, 3))
        if step == _FINEST:
            break
        step //= 2
        image = _enlarged(image, height // step + 3, width // step + 3, 2)
    image = _enlarged(image, height, width, _FINEST)
    image *= 45 / image.std()
    for _ in range(12):  # things with edges
        left, top = int(random.integers(width)), int(random.integers(height))
        size = int(random.integers(height // 20 + 1, height // 4 + 2))
        part = image[top : top + size, left : left + 2 * size]
        part *= 0.6
        part += 50 * noise(3)
    image += 118 + 3 * noise(height, width, 1)
    whole = image.clip(0, 255).astype(np.uint8)
    shifts = range(0, width, -(-width // count))
    return [np.ascontiguousarray(np.roll(whole, shift, axis=1)) for shift in shifts][:count]


def _enlarged(grid: Any, height: int, width: int, step: int) -> Any:
    """Enlarge a grid ``step`` times, linearly between its points, up to a size."""
    row, column = (np.arange(length, dtype=np.float32) / step for length in (height, width))
    top, left = row.astype(np.intp), column.astype(np.intp)
    down, right = (row - top)[:, None, None], (column - left)[:, None]
    across = grid[:, left] * (1 - right) + grid[:, left + 1] * right
    return across[top] * (1 - down) + across[top + 1] * down


# --- the hub's end -------------------------------------------------------------------


class Server:
    """The hub that the bench brings along: decodes and answers, and reports when asked."""

    def __init__(self, address: str) -> None:
        self._hub = ImageHub(address)
        self.address = self._hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.frames = 0

    def serve(self) -> None:
        """Answer whatever comes, for ever; ``close()`` or an interrupt ends it."""
        busy, frames = 0.0, 0
        while True:
            frame = self._hub.recv_frame()
            if frame.message == ASK:
                report = {"version": 1, "frames": frames, "seconds": busy}
                self._hub.send_reply(json.dumps({MESSAGE: report}).encode())
                busy, frames = 0.0, 0
                continue
            began = time.perf_counter()
            with contextlib.suppress(ValueError):  # a broken JPEG is some other sender's
                frame.image  # noqa: B018 (decodes)
            busy += time.perf_counter() - began
            self._hub.send_reply(b"OK")
            frames += 1
            self.frames += 1

    def close(self) -> None:
        """Close the hub."""
        self._hub.close()


class LocalHub(Closing):
    """A hub in a process of its own, on loopback, until the ``with`` block is left.

    Args:
        library: ``OURS`` is a ``Server``; ``THEIRS`` is imageZMQ's own hub.
        kind: what imageZMQ's hub receives, "raw" or "JPEG"; JPEG is decoded with cv2.
    """

    def __init__(self, library: str = OURS, kind: str = "raw") -> None:
        spawn = multiprocessing.get_context("spawn")  # a forked child would share sockets
        # Open as long as this process lives; the hub's process ends when it is closed.
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_be_hub, args=(library, kind, theirs), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.address: str = self._pipe.recv()
        except EOFError:
            self.close()
            raise BenchError("the hub's process has ended") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()


def _be_hub(library: str, kind: str, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process sees to Ctrl-C
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    if library == OURS:
        server = Server("tcp://127.0.0.1:*")
        pipe.send(server.address)
        server.serve()
    hub = importlib.import_module(library).ImageHub("tcp://127.0.0.1:*")
    decode = _theirs_decoding() if kind == "JPEG" else None
    pipe.send(hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
    while True:
        if decode is None:
            hub.recv_image()
        else:
            decode(hub.recv_jpg()[1])
        hub.send_reply(b"OK")


def _end_with_parent(pipe: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os._exit(0)


def _theirs_encoding() -> Callable[[Picture], Any]:
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return lambda image: cv2.imencode(".jpg", image, options)[1]


def _theirs_decoding() -> Callable[[Any], Any]:
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    return lambda jpeg: cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


# --- the sender's end ----------------------------------------------------------------


def measure(address: str | None, seconds: float, *, takes_jpeg: bool = False) -> Iterator[Result]:
    """Measure raw pixels and JPEG at all sizes, beside imageZMQ if it is installed.

    Args:
        address: a running hub; None starts hubs on loopback.
        seconds: how long all of it takes, about. At least one frame of each kind is sent,
            unless that alone would take several times its share.
        takes_jpeg: the hub at ``address`` takes what ``jpeg=`` sends. A ``Server`` says so
            itself.

    Yields:
        A ``Result`` for each size, kind and library.

    Raises:
        BenchError: no hub answers.
        AddressError: ``address`` makes no sense.
    """
    end = time.monotonic() + seconds
    theirs = importlib.util.find_spec(THEIRS) is not None
    plan = [(OURS, "raw"), *([(THEIRS, "raw")] if theirs else [])]
    if address is not None:
        tells = _is_server(address)
        plan += [(OURS, "JPEG")] if tells or takes_jpeg else []
        yield from _measure_all(dict.fromkeys(plan, address), end, tells=tells)
        return
    plan.append((OURS, "JPEG"))
    if theirs and importlib.util.find_spec("cv2") is not None:
        plan.append((THEIRS, "JPEG"))
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(LocalHub()).address
        addresses = {
            (library, kind): ours
            if library == OURS
            else stack.enter_context(LocalHub(library, kind)).address
            for library, kind in plan
        }
        yield from _measure_all(addresses, end, tells=True)


def _measure_all(
    addresses: dict[tuple[str, str], str], end: float, *, tells: bool
) -> Iterator[Result]:
    """Measure by size: kinds and libraries take turns, so that they meet the same load.

    ``tells``: our hub is a ``Server``.
    """
    left = len(SIZES) * len(addresses)
    pace: dict[tuple[str, str], float] = {}  # seconds a pixel, of the size before
    for width, height in SIZES:
        images = pictures(width, height)
        for (library, kind), address in addresses.items():
            share = max(0.0, end - time.monotonic()) / left
            left -= 1
            expected = pace.get((library, kind), 0.0) * width * height
            if expected > max(_MOST_SHARES * share, 1.0):
                note = f"not measured: about {expected:.0f} s a frame"
                yield Result(library, kind, width, height, note=note)
                continue
            asked = tells and library == OURS
            result = _measure_one(library, kind, address, images, share, tells=asked)
            if result.rate:
                pace[library, kind] = 1 / result.rate / width / height
            yield result


def _measure_one(
    library: str, kind: str, address: str, images: list[Picture], seconds: float, *, tells: bool
) -> Result:
    height, width = images[0].shape[:2]
    with _Stream(library, kind, address) as stream:
        # Not where a frame takes long: the first one is as good as the rest.
        for image in images[:_WARM_UP]:
            if stream.send(image) > seconds / 4:
                break
        if tells:
            stream.ask()
        stream.encoding, stream.size, sent = 0.0, 0, 0
        began = now = time.perf_counter()
        for image in itertools.cycle(images):
            stream.send(image)
            sent += 1
            now = time.perf_counter()
            if now - began >= seconds:
                break
        took = (now - began) / sent
        encode = stream.encoding / sent if kind == "JPEG" else None
        size = stream.size / sent
        hub = stream.ask()["seconds"] / sent if tells else None
    transfer: float | None = max(0.0, took - (encode or 0.0) - (hub or 0.0))
    if library == THEIRS:  # of which only the frames are counted
        encode = transfer = None
    return Result(
        library,
        kind,
        width,
        height,
        frames=sent,
        rate=1 / took,
        bits=size * 8 / took,
        encode=encode,
        transfer=transfer,
        hub=hub,
    )


def _encode(image: Picture) -> Any:
    return encode_jpeg(image, QUALITY)


class _Stream(Closing):
    """A sender of one library, for one kind of frames; a context manager."""

    def __init__(self, library: str, kind: str, address: str) -> None:
        self._sender: Any = (
            ImageSender(address)
            if library == OURS
            else importlib.import_module(library).ImageSender(address)
        )
        self._address = address
        self._wait(_REPLY_SECONDS)
        self._encode: Callable[[Picture], Any] | None = None
        if kind == "JPEG":
            self._encode = _encode if library == OURS else _theirs_encoding()
        self.encoding = 0.0  # seconds, of all frames
        self.size = 0  # bytes, of all frames

    def _wait(self, seconds: float) -> None:
        self._sender.zmq_socket.setsockopt(zmq.RCVTIMEO, int(seconds * 1000))
        self._sender.zmq_socket.setsockopt(zmq.LINGER, 0)
        self._seconds = seconds

    def send(self, image: Picture) -> float:
        """Send a frame and wait for the reply; gives the seconds that it took."""
        began = time.perf_counter()
        if self._encode is None:
            self.size += image.nbytes
            self._answered(self._sender.send_image, MESSAGE, image)
        else:
            # What ImageSender(jpeg=...) does, in two steps, to time the first.
            jpeg = self._encode(image)
            self.encoding += time.perf_counter() - began
            self.size += len(jpeg)
            self._answered(self._sender.send_jpg, MESSAGE, jpeg)
        return time.perf_counter() - began

    def ask(self) -> dict[str, Any]:
        """Ask a ``Server`` what it has done since it was last asked.

        Raises:
            BenchError: it is none, or does not answer.
        """
        reply = self._answered(self._sender.send_image, ASK, _DOT)
        try:
            return dict(json.loads(reply)[MESSAGE])
        except (ValueError, TypeError, KeyError):
            raise BenchError(
                f"the hub at {self._address} is not that of fastimagezmq bench"
            ) from None

    def is_server(self) -> bool:
        """Tell whether the hub is a ``Server``.

        Raises:
            BenchError: nobody answers.
        """
        self._wait(_FIRST_REPLY_SECONDS)
        reply = self._answered(self._sender.send_image, ASK, _DOT)
        try:
            return MESSAGE in json.loads(reply)
        except (ValueError, TypeError):
            return False

    def _answered(self, send: Callable[[str, Any], bytes], message: str, body: Any) -> bytes:
        try:
            reply = send(message, body)
        except zmq.Again:
            raise BenchError(
                f"no reply from {self._address} in {self._seconds:g} s: is a hub running there"
                " that calls recv_image and send_reply, such as fastimagezmq bench --hub?"
            ) from None
        if reply.startswith(b"ERROR: "):
            reason = reply.decode("utf-8", "replace")
            raise BenchError(f"the hub at {self._address} refused a frame: {reason:.200}")
        return reply

    def close(self) -> None:
        """Close the sender."""
        self._sender.close()


def _is_server(address: str) -> bool:
    with _Stream(OURS, "raw", address) as stream:
        return stream.is_server()


def cores() -> int:
    """Give how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
