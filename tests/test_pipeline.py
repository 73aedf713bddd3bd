"""Frames in flight: ``ImageSender(in_flight=N)`` and any REP hub."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

from fastimagezmq import CodecError, ImageHub, ImageSender, StateError, _codec, decode_jpeg
from fastimagezmq.transport import messages, pipeline, waiting
from pictures import blobs, descriptions, pixels
from processes import PEERS, Peer, beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HUB = PEERS / "hub.py"
SMALL = np.zeros((8, 8, 3), np.uint8)
LARGE = np.zeros((480, 640, 3), np.uint8)  # above what is copied into messages
AT_ONCE = {"LINGER": 0}  # for what ends with frames that nobody answers
BOUND_SECONDS = 5.0  # of what close() promises to do in one


@pytest.fixture(params=["native", "pyzmq"])
def way(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which messages pass between this library and libzmq."""
    if request.param == "pyzmq":
        monkeypatch.setattr(messages, "way", messages.Way(False, "this test turns it off"))
    elif not messages.way.native:
        pytest.skip(messages.way.reason)
    return str(request.param)


class SilentHub:
    """A REP socket that takes frames when it is told to, and answers what it is told to."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.rcvtimeo = 10_000
        self._socket.bind("tcp://127.0.0.1:*")
        self.address = self._socket.last_endpoint.decode()
        self._whose = b""

    def take(self) -> list[bytes]:
        """Give header and body of the next frame."""
        self._whose, delimiter, *parts = self._socket.recv_multipart()
        assert delimiter == b""
        return parts

    def is_sent_more(self, milliseconds: int) -> bool:
        return bool(self._socket.poll(milliseconds))

    def answer(self, *parts: bytes) -> None:
        self._socket.send_multipart([self._whose, *parts])

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture
def silent() -> Iterator[SilentHub]:
    hub = SilentHub()
    yield hub
    hub.close()


@contextlib.contextmanager
def served(
    address: str, reply: Callable[[Any], bytes] = lambda _: b"OK", **options: Any
) -> Iterator[list[tuple[Any, Any]]]:
    """A hub on a thread that collects what it receives until the message "end"."""
    received: list[tuple[Any, Any]] = []
    with ImageHub(address, **options) as hub:
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 20_000)

        def serve() -> None:
            while not received or received[-1][0] != "end":
                received.append(hub.recv_image())
                hub.send_reply(reply(received[-1][0]))

        thread = threading.Thread(target=serve)
        thread.start()
        yield received
        thread.join()


def flushed(sender: ImageSender) -> None:
    assert sender.flush(20), sender.stats()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- the frames ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "method", "messages_way"),
    [
        ("imagezmq", "send_image", ""),
        ("imagezmq", "send_jpg", "pyzmq"),
        ("fastimagezmq", "send_image", "pyzmq"),
        ("fastimagezmq", "send_jpg", ""),
    ],
)
def test_every_kind_of_frame_reaches_every_hub(
    address: str, library: str, method: str, messages_way: str
) -> None:
    frames = pixels() if method == "send_image" else blobs()
    receive = "recv_image" if method == "send_image" else "recv_jpg"
    way = {"FASTIMAGEZMQ_MESSAGES": messages_way}
    with (
        Peer(PEERS / "pipelined.py", address, method, **way) as sender,
        Peer(HUB, library, address, "reqrep", receive) as hub,
    ):
        assert hub.hear()["library"] == library
        said = sender.hear()
        received = hub.hear_until("end")
        assert sender.end() == 0, sender.errors
    assert received == descriptions(frames, as_blobs=method == "send_jpg")
    assert said["replies"] == [f"reply to {d['message']}" for d in received] + ["reply to end"]
    assert said["counted"] == [len(frames) + 1, len(frames) + 1, 0, 0]
    assert not (messages_way and said["native"])


def test_jpeg_reaches_an_unchanged_hub_in_order() -> None:
    """The pictures are of many sizes, so that they take differently long to encode."""
    with Peer(HUB, "imagezmq", "tcp://127.0.0.1:*", "reqrep", "recv_jpg") as hub:
        address = hub.hear()["address"]
        with ImageSender(address, jpeg=85, in_flight=5) as sender:
            sizes = [(8 + 97 * n % 700, 8 + 61 * n % 500) for n in range(60)]
            for number, (height, width) in enumerate(sizes):
                sender.send_image(number, np.full((height, width, 3), number, np.uint8))
            sender.send_image("end", SMALL)
            flushed(sender)
            replies = sender.replies()
        heard = hub.hear_until("end")
    assert [frame["message"] for frame in heard] == list(range(60))
    assert replies == [b"reply to %d" % n for n in range(60)] + [b"reply to end"]


@pytest.mark.parametrize("jpeg", [None, 90])
def test_many_frames_of_mixed_sizes_in_order_and_once(
    way: str, address: str, jpeg: int | None
) -> None:
    count = 300
    options: dict[str, Any] = {} if jpeg is None else {"jpeg": jpeg, "subsampling": "444"}
    with (
        ImageSender(address, in_flight=8, **options) as sender,
        served(address, lambda message: str(message).encode()) as received,
    ):
        for number in range(count):
            side = (3, 40, 150, 200)[number % 4]
            sender.send_image(number, np.full((side, side, 3), number % 256, np.uint8))
        sender.send_image("end", SMALL)
        flushed(sender)
        assert sender.replies() == [*(str(n).encode() for n in range(count)), b"end"]
        assert sender.replies() == []
        assert (sender.zmq_socket.port is not None) == (way == "native")
    assert [message for message, _ in received] == [*range(count), "end"]
    for number, image in received[:-1]:
        assert image.shape[0] == (3, 40, 150, 200)[number % 4]
        assert np.abs(image.astype(int) - number % 256).max() <= (0 if jpeg is None else 2)


@pytest.mark.parametrize("side", [4, 200])
@pytest.mark.parametrize("jpeg", [None, 95])
def test_an_array_may_be_overwritten_at_once(
    way: str, silent: SilentHub, side: int, jpeg: int | None
) -> None:
    """The hub takes nothing until all are given and overwritten."""
    image = np.empty((side, side, 3), np.uint8)
    backwards = np.empty((side, side, 3), np.uint8)[:, ::-1]
    blob = np.empty(100_000, np.uint8)
    with ImageSender(silent.address, jpeg=jpeg, in_flight=9) as sender:
        for number in range(3):
            image[:] = backwards[:] = blob[:] = number * 50
            sender.send_image("", image)
            sender.send_image("", backwards)
            sender.send_jpg("", blob)
        image[:] = backwards[:] = blob[:] = 255
        for number in range(3):
            for _ in range(2):
                body = silent.take()[1]
                sent = np.frombuffer(body, np.uint8) if jpeg is None else decode_jpeg(body)
                assert np.abs(sent.astype(int) - number * 50).max() <= (jpeg is not None)
                silent.answer(b"", b"OK")
            assert set(silent.take()[1]) == {number * 50}
            silent.answer(b"", b"OK")
        flushed(sender)


def test_planes_may_be_overwritten_at_once(silent: SilentHub) -> None:
    planes = [np.full((64, 64), 100, np.uint8), *np.full((2, 32, 32), 128, np.uint8)]
    with ImageSender(silent.address, jpeg=95, colorspace="YUV420", in_flight=2) as sender:
        sender.send_image("", tuple(planes))
        for plane in planes:
            plane[:] = 255
        sent = decode_jpeg(silent.take()[1], colorspace="GRAY")
        silent.answer(b"", b"OK")
        flushed(sender)
    assert np.abs(sent.astype(int) - 100).max() <= 1


@pytest.mark.parametrize("blob", [bytearray(), np.zeros((0, 3)), np.arange(3, dtype=">i4")])
def test_blobs_of_odd_kinds(silent: SilentHub, blob: Any) -> None:
    with ImageSender(silent.address, in_flight=2) as sender:
        sender.send_jpg("", blob)
        assert silent.take()[1] == bytes(blob)
        silent.answer(b"", b"OK")
        flushed(sender)


def test_a_leased_array_goes_without_a_copy(address: str) -> None:
    before = _codec.pool_stats().leases
    with ImageSender(address, in_flight=3) as sender, served(address) as received:
        for number in range(10):
            image = sender.lease((480, 640, 3))
            image[:] = number
            sender.send_image(number, image)
            # The blocks are those of the arrays, and no more.
            assert _codec.pool_stats().leases - before <= number + 1
            del image
        grid = sender.lease((3, 5), np.float32)
        grid[:] = 1.5
        sender.send_image("end", grid)
        del grid
        flushed(sender)
    assert [image.max() for _, image in received] == [*range(10), 1.5]


def test_a_leased_array_is_sent_from_where_it_is(silent: SilentHub) -> None:
    before = _codec.pool_stats().leases
    with ImageSender(silent.address, in_flight=2) as sender:
        image = sender.lease((480, 640, 3))
        image[:] = 7
        sender.send_image("", image)
        assert _codec.pool_stats().leases - before == 1
        assert set(silent.take()[1]) == {7}
        silent.answer(b"", b"OK")
        flushed(sender)


def test_without_copy_the_array_itself_is_sent(silent: SilentHub) -> None:
    before = _codec.pool_stats().leases
    with ImageSender(silent.address, in_flight=2, copy=False) as sender:
        sender.send_image("", LARGE)
        assert _codec.pool_stats().leases == before
        assert silent.take()[1] == LARGE.tobytes()
        silent.answer(b"", b"OK")
        flushed(sender)


def test_stamps_count_the_frames_that_are_dropped_too(silent: SilentHub) -> None:
    with ImageSender(
        silent.address, in_flight=2, when_full="drop_newest", stamp=True, options=AT_ONCE
    ) as sender:
        for _ in range(2):
            sender.send_image("", SMALL)
            assert b'"seq": ' in silent.take()[0]
        sender.send_image("dropped", SMALL)
        silent.answer(b"", b"OK")
        wait_until(lambda: sender.stats().waiting == 1)
        sender.send_image("", SMALL)
        assert b'"seq": 3' in silent.take()[0]


# --- the window ----------------------------------------------------------------------


def test_the_window_bounds_what_an_unanswering_hub_gets(way: str, silent: SilentHub) -> None:
    before = _codec.pool_stats().leases
    most: list[int] = []
    sender = ImageSender(silent.address, in_flight=3, options=AT_ONCE)

    def send() -> None:
        with contextlib.suppress(zmq.ContextTerminated):
            for number in range(10):
                sender.send_image(number, LARGE)

    with beside(send):
        for _ in range(3):
            silent.take()
        for _ in range(4):
            assert not silent.is_sent_more(50)
            most.append(_codec.pool_stats().leases - before)
        assert sender.stats().waiting == 3
        silent.answer(b"", b"OK")
        silent.take()
        assert not silent.is_sent_more(50)
        assert sender.stats().acknowledged == 1
        sender.close()
    assert max(most) <= 4


def test_encoding_adds_one_block_at_most(silent: SilentHub) -> None:
    """Three pictures that wait for it, and the JPEG in the making."""
    options: dict[str, Any] = {"jpeg": 85, "threads": 1, "when_full": "drop_newest"}
    before = _codec.pool_stats().leases
    with ImageSender(silent.address, in_flight=3, options=AT_ONCE, **options) as sender:
        while sender.stats().sent < 3:
            sender.send_image("", LARGE)
            assert _codec.pool_stats().leases - before <= 4
        # The last picture goes a moment after its JPEG is counted as sent.
        wait_until(lambda: _codec.pool_stats().leases - before <= 3)
        for _ in range(10):
            sender.send_image("", LARGE)
            assert _codec.pool_stats().leases - before <= 3
        assert sender.stats().waiting == 3


def test_drop_newest(silent: SilentHub) -> None:
    with ImageSender(silent.address, in_flight=3, when_full="drop_newest") as sender:
        for number in range(10):
            assert sender.send_image(number, SMALL) is None
        stats = sender.stats()
        assert (stats.dropped, stats.waiting) == (7, 3)
        for number in range(3):
            assert silent.take()[0].startswith(b'{"msg": %d,' % number)
            silent.answer(b"", b"OK")
        flushed(sender)
        assert not silent.is_sent_more(50)
        assert sender.stats().acknowledged == 3


def test_drop_oldest(silent: SilentHub) -> None:
    """The newest waits beside the three that have been sent, and replaces the one before."""
    with ImageSender(silent.address, in_flight=3, when_full="drop_oldest") as sender:
        for number in range(3):
            sender.send_image(number, SMALL)
            silent.take()
        for number in range(3, 10):
            sender.send_image(number, SMALL)
        assert not silent.is_sent_more(50)
        stats = sender.stats()
        assert (stats.sent, stats.dropped, stats.waiting) == (3, 6, 4)
        silent.answer(b"", b"OK")
        assert silent.take()[0].startswith(b'{"msg": 9,')
        for _ in range(3):
            silent.answer(b"", b"OK")
        flushed(sender)
        assert sender.stats().acknowledged == 4


@pytest.mark.parametrize("option", ["SNDTIMEO", "RCVTIMEO"])
@pytest.mark.parametrize("milliseconds", [0, 60])
def test_block_waits_as_long_as_the_timeouts_say(
    silent: SilentHub, option: str, milliseconds: int
) -> None:
    options = {option: milliseconds}
    with ImageSender(silent.address, in_flight=2, options=options, stamp=True) as sender:
        for _ in range(2):
            sender.send_image("", SMALL)
            silent.take()
        began = time.monotonic()
        with pytest.raises(zmq.Again):
            sender.send_image("", SMALL)
        assert milliseconds / 1000 <= time.monotonic() - began < BOUND_SECONDS
        silent.answer(b"", b"first")
        wait_until(lambda: sender.replies() == [b"first"])
        sender.send_image("", SMALL)
        assert b'"seq": 2' in silent.take()[0]
        for _ in range(2):
            silent.answer(b"", b"OK")
        flushed(sender)


def test_options_may_be_set_until_the_first_frame(silent: SilentHub) -> None:
    with ImageSender(silent.address, in_flight=2) as sender:
        sender.zmq_socket.setsockopt(zmq.SNDTIMEO, 1)
        sender.zmq_socket.setsockopt(zmq.LINGER, 0)
        for _ in range(2):
            sender.send_image("", SMALL)
        with pytest.raises(zmq.Again):
            sender.send_image("", SMALL)


# --- the replies ---------------------------------------------------------------------


def test_errors_are_replies_too_and_are_told(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ImageSender(address, in_flight=3) as sender, served(address) as received:
        sender.send_image("before", SMALL)
        sender.send_jpg("no JPEG", b"\0")
        sender.send_image("after", SMALL)
        sender.send_image("end", SMALL)
        flushed(sender)
        replies = sender.replies()
    assert [message for message, _ in received] == ["before", "after", "end"]
    assert replies[0] == replies[2] == replies[3] == b"OK"
    assert replies[1].startswith(b"ERROR: ")
    warnings = [record.getMessage() for record in caplog.records]
    assert [w for w in warnings if w.startswith("fastimagezmq: the hub refused a frame: ")]


def test_a_reply_is_the_first_part_of_an_answer(silent: SilentHub) -> None:
    with ImageSender(silent.address, in_flight=2) as sender:
        sender.send_image("", SMALL)
        silent.take()
        silent.answer(b"without a delimiter")
        silent.answer(b"")
        silent.answer(b"no delimiter", b"first")
        silent.answer(b"", b"first", b"second", b"third", b"fourth")
        silent.answer(b"", b"not asked for")
        flushed(sender)
        time.sleep(0.3)  # until that has come too: after the next frame it would be its reply
        sender.send_image("", SMALL)
        silent.take()
        silent.answer(b"", b"next")
        flushed(sender)
        assert sender.replies() == [b"first", b"next"]
        assert sender.stats().acknowledged == 2


def test_only_the_newest_replies_are_kept(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "REPLIES_KEPT", 3)
    with (
        ImageSender(address, in_flight=2) as sender,
        served(address, lambda message: str(message).encode()),
    ):
        for number in range(10):
            sender.send_image(number, SMALL)
        sender.send_image("end", SMALL)
        flushed(sender)
        assert sender.replies() == [b"8", b"9", b"end"]


def test_flush(silent: SilentHub) -> None:
    with ImageSender(silent.address, in_flight=2) as sender:
        assert sender.flush() is True
        assert sender.flush(0) is True
        sender.send_image("", SMALL)
        assert sender.flush(0) is False
        assert sender.flush(0.05) is False
        with beside(sender.flush) as flushing:
            silent.take()
            assert not flushing.done()
            silent.answer(b"", b"OK")
        assert flushing.result() is True


def test_in_lockstep_flush_has_nothing_to_wait_for(address: str) -> None:
    with ImageSender(address) as sender, served(address):
        assert sender.send_image("end", SMALL) == b"OK"
        assert sender.flush() is True
        assert sender.replies() == []
        stats = sender.stats()
        assert (stats.sent, stats.acknowledged, stats.dropped, stats.waiting) == (1, 1, 0, 0)


# --- what is refused -----------------------------------------------------------------


def test_what_cannot_be_sent_is_refused_at_once_and_takes_no_room(silent: SilentHub) -> None:
    with ImageSender(silent.address, in_flight=2, jpeg=85, stamp=True) as sender:
        for _ in range(5):
            with pytest.raises(TypeError, match="image is None"):
                sender.send_image("", None)
            with pytest.raises(TypeError, match="JSON"):
                sender.send_image(object(), SMALL)
            with pytest.raises(CodecError):
                sender.send_image("", SMALL.astype(float))
            with pytest.raises(CodecError):
                sender.send_image("", SMALL[0])
            with pytest.raises(TypeError, match="jpg_buffer must be"):
                sender.send_jpg("", "text")  # type: ignore[arg-type]
        assert sender.stats().waiting == sender.stats().dropped == 0
        sender.send_image("", SMALL)
        assert b'"seq": 0' in silent.take()[0]
        silent.answer(b"", b"OK")
        flushed(sender)
        assert not silent.is_sent_more(50)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_flight": 0}, "give a number of frames"),
        ({"in_flight": -1}, "give a number of frames"),
        ({"in_flight": True}, "give a number of frames"),
        ({"in_flight": 2.0}, "give a number of frames"),
        ({"in_flight": 2, "when_full": "drop"}, "is none of 'block', 'drop_oldest'"),
        ({"when_full": "drop_oldest"}, "add in_flight=4"),
        ({"in_flight": 2, "REQ_REP": False}, "leave out in_flight=2"),
        ({"threads": 2}, "add jpeg=85"),
        ({"threads": -1, "jpeg": 85}, "0 for as many as help"),
    ],
)
def test_options_that_are_wrong(address: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ImageSender(address, **options)


def test_a_subclass_that_opens_another_socket_is_told(address: str) -> None:
    class Own(ImageSender):
        def init_reqrep(self, address: str) -> None:
            self._open(zmq.REQ).connect(address)

    with pytest.raises(ValueError, match="leave in_flight out"):
        Own(address, in_flight=2)


# --- off the caller's thread ---------------------------------------------------------


def test_encoding_holds_up_neither_send_image_nor_flush(
    silent: SilentHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder waits until all frames are given: so nobody waits for the encoder."""
    go_on = threading.Event()
    encoders: list[str] = []

    class SlowJob:
        def __init__(self, image: Any, quality: int, **_: Any) -> None:
            self._image = image

        def encode(self) -> bytes:
            encoders.append(threading.current_thread().name)
            assert go_on.wait(10)
            return bytes(self._image.ravel()[:1])

    monkeypatch.setattr(_codec, "JpegJob", SlowJob)
    with ImageSender(silent.address, jpeg=85, in_flight=4) as sender:
        for number in range(4):
            sender.send_image(number, np.full((8, 8, 3), number, np.uint8))
        assert sender.flush(0.05) is False
        assert sender.stats().sent == 0
        go_on.set()
        for number in range(4):
            assert silent.take()[1] == bytes([number])
            silent.answer(b"", b"OK")
        flushed(sender)
    assert encoders == ["fastimagezmq-send"] * 4


@pytest.mark.parametrize("by", ["flush", "send_image", "nobody"])
def test_a_frame_that_cannot_be_encoded_is_told_and_the_next_goes(
    silent: SilentHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, by: str
) -> None:
    real = _codec.JpegJob

    class Job:
        def __init__(self, image: Any, *args: Any, **options: Any) -> None:
            self._image, self._job = image, real(image, *args, **options)

        def encode(self) -> Any:
            if self._image[0, 0, 0] == 13:
                raise MemoryError
            return self._job.encode()

    monkeypatch.setattr(_codec, "JpegJob", Job)
    with ImageSender(silent.address, jpeg=85, in_flight=4) as sender:
        sender.send_image("", np.full((8, 8, 3), 13, np.uint8))
        wait_until(lambda: sender.stats().dropped == 1)
        if by == "flush":
            with pytest.raises(MemoryError):
                sender.flush()
        elif by == "send_image":
            with pytest.raises(MemoryError):
                sender.send_image("this one is not sent", SMALL)
        else:
            sender.close()
            assert [r.getMessage() for r in caplog.records] == [
                "fastimagezmq: a frame was lost: MemoryError()"
            ]
            return
        sender.send_image("next", SMALL)
        assert b"next" in silent.take()[0]
        silent.answer(b"", b"OK")
        flushed(sender)


def test_many_threads_use_one_sender(way: str, address: str) -> None:
    with ImageSender(address, in_flight=4) as sender, served(address) as received:

        def send(who: int) -> Callable[[], None]:
            return lambda: [sender.send_image([who, n], LARGE) for n in range(40)] and None

        with beside(send(0)), beside(send(1)), beside(send(2)):
            flushed(sender)
        sender.send_image("end", SMALL)
        flushed(sender)
        assert sender.stats().acknowledged == 121
    for who in range(3):
        assert [m[1] for m, _ in received[:-1] if m[0] == who] == list(range(40))
    assert len(received) == 121


def test_many_senders_to_one_hub(way: str, address: str) -> None:
    with ImageSender(address) as last, served(address, lambda m: repr(m).encode()) as received:

        def send(who: int) -> Callable[[], None]:
            def run() -> None:
                with ImageSender(address, in_flight=8) as sender:
                    for number in range(100):
                        side = 20 + number % 7 * 40
                        sender.send_image([who, number], np.full((side, side), who, np.uint8))
                    flushed(sender)
                    replies = [repr([who, n]).encode() for n in range(100)]
                    assert sender.replies() == replies

            return run

        with beside(send(0)), beside(send(1)), beside(send(2)), beside(send(3)):
            pass
        last.send_image("end", SMALL)
    assert len(received) == 401
    for who in range(4):
        mine = [(m[1], image) for m, image in received[:-1] if m[0] == who]
        assert [number for number, _ in mine] == list(range(100))
        assert all(image.shape[0] == 20 + n % 7 * 40 and (image == who).all() for n, image in mine)


# --- a hub that is gone --------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    """Warn after 0.1 s; returns a function that waits for a warning with these words."""
    monkeypatch.setattr(waiting, "SLICE_MS", 20)
    monkeypatch.setattr(waiting, "FIRST_WARNING_SECONDS", 0.1)
    caplog.set_level(logging.DEBUG, "fastimagezmq")

    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records]

    def warned(words: str) -> bool:
        wait_until(lambda: any(words in line for line in told()))
        return True

    warned.told = told  # type: ignore[attr-defined]
    return warned


def test_a_hub_that_is_killed(way: str, quick: Any) -> None:
    jpeg = 85 if way == "native" else None
    with Peer(HUB, "fastimagezmq", "tcp://127.0.0.1:*", "reqrep", "recv_image") as hub:
        address = hub.hear()["address"]
        with ImageSender(address, in_flight=4, jpeg=jpeg, options={"SNDTIMEO": 200}) as sender:
            sender.send_image("first", LARGE)
            flushed(sender)
            hub.process.send_signal(signal.SIGSTOP)
            for number in range(4):
                sender.send_image(number, LARGE)
            hub.process.kill()
            hub.process.wait()
            assert quick(f"no reply from {address} for ")
            with pytest.raises(zmq.Again):
                sender.send_image("no room", LARGE)
            assert sender.flush(0.01) is False
            began = time.monotonic()
            sender.close()
            assert time.monotonic() - began < BOUND_SECONDS
            assert sender.zmq_context.closed
            assert quick("closed with 4 frames not answered yet")
            assert sender.replies() == [b"reply to first"]


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
def test_a_hub_that_is_not_there_is_told_however_fast_frames_come(
    quick: Any, address: str, when_full: str
) -> None:
    with ImageSender(address, in_flight=2, when_full=when_full, options=AT_ONCE) as sender:
        deadline = time.monotonic() + 10
        while not quick.told() and time.monotonic() < deadline:
            sender.send_image("", SMALL)
            time.sleep(0.002)
    assert "refused: nothing listens there. Is the hub program" in quick.told()[0]


def test_without_a_connection_it_waits_for_a_hub(quick: Any, address: str) -> None:
    with ImageSender(address, in_flight=2, options={"IMMEDIATE": 1}) as sender:
        sender.send_image("waits", SMALL)
        assert quick("Is the hub program")
        assert sender.stats().sent == 0
        with served(address) as received:
            sender.send_image("end", SMALL)
            flushed(sender)
        assert [message for message, _ in received] == ["waits", "end"]


def test_silence_is_healthy(quick: Any, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time in which no reply was due is not counted."""
    monkeypatch.setattr(waiting, "FIRST_WARNING_SECONDS", 0.8)
    with ImageHub(address) as hub, ImageSender(address, in_flight=2) as sender:
        for _ in range(2):
            sender.send_image("", SMALL)
            hub.recv_image()
            time.sleep(0.06)  # three slices
            hub.send_reply()
            flushed(sender)
            time.sleep(1)
    assert quick.told() == []


# --- the end -------------------------------------------------------------------------


def test_close_delivers_what_is_in_flight(way: str, address: str) -> None:
    with served(address) as received:
        sender = ImageSender(address, in_flight=6, jpeg=85)
        for number in range(5):
            sender.send_image(number, LARGE)
        sender.send_image("end", LARGE)
        sender.close()
        assert sender.zmq_context.closed
        assert len(sender.replies()) == 6
        assert sender.stats().acknowledged == 6
    assert [message for message, _ in received] == [*range(5), "end"]


def test_after_close_it_says_so_and_a_second_does_nothing(address: str) -> None:
    sender = ImageSender(address, in_flight=2, options=AT_ONCE)
    sender.send_image("", SMALL)
    wait_until(lambda: sender.stats().sent == 1)
    sender.close()
    sender.close()
    for call in (lambda: sender.send_image("", SMALL), sender.flush):
        with pytest.raises(StateError, match="is closed"):
            call()
    assert sender.replies() == []
    stats = sender.stats()
    assert (stats.sent, stats.acknowledged, stats.waiting) == (1, 0, 1)


def test_a_sender_that_never_sent_closes(address: str) -> None:
    sender = ImageSender(address, in_flight=2)
    sender.close()
    assert sender.zmq_context.closed
    assert sender.stats().sent == 0


def test_a_closed_sender_may_be_opened_anew(address: str) -> None:
    sender = ImageSender(address, in_flight=2, options=AT_ONCE)
    sender.send_image("to nobody", SMALL)
    sender.close()
    sender.init_reqrep(address)
    with served(address) as received:
        sender.send_image("end", SMALL)
        flushed(sender)
    assert [message for message, _ in received] == ["end"]
    sender.close()


def test_linger_bounds_the_close(address: str) -> None:
    sender = ImageSender(address, in_flight=2, options=AT_ONCE)
    sender.send_image("", LARGE)
    began = time.monotonic()
    sender.close()
    assert time.monotonic() - began < 0.8  # and not the 0.9 s of other senders


@pytest.mark.parametrize("what", ["send_image", "flush", "send_image without a connection"])
def test_close_from_another_thread_wakes_who_waits(silent: SilentHub, what: str) -> None:
    options = {"IMMEDIATE": 1} if "without" in what else AT_ONCE
    address = "tcp://127.0.0.1:1" if "without" in what else silent.address
    sender = ImageSender(address, in_flight=2, options=options)
    for _ in range(2):
        sender.send_image("", LARGE)
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            sender.flush() if what == "flush" else sender.send_image("", LARGE)
        except zmq.ZMQError as error:
            ended.append(error)

    with beside(wait) as waits:
        time.sleep(0.1)
        assert not waits.done()
        began = time.monotonic()
        sender.close()
        assert time.monotonic() - began < BOUND_SECONDS
    assert type(ended[0]) is zmq.ContextTerminated
    assert sender.zmq_context.closed


@pytest.mark.parametrize("in_flight", [1, 3])
def test_several_threads_close_at_once(address: str, in_flight: int) -> None:
    sender = ImageSender(address, in_flight=in_flight)
    if in_flight == 1:
        sender.zmq_socket.send_array(LARGE, "waits for a hub", copy=False)
    else:
        sender.send_image("", LARGE)
    with beside(sender.close), beside(sender.close), beside(sender.close):
        pass
    assert sender.zmq_context.closed


@pytest.mark.parametrize("call", ["send_image", "flush"])
def test_close_from_a_signal_handler(silent: SilentHub, call: str) -> None:
    sender = ImageSender(silent.address, in_flight=2)
    for _ in range(2):
        sender.send_image("", LARGE)
    before = signal.signal(signal.SIGUSR1, lambda *_: sender.close())
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(zmq.ContextTerminated):
            sender.flush() if call == "flush" else sender.send_image("", LARGE)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert sender.zmq_context.closed


def test_a_signal_handler_may_close_whoever_holds_the_lock(address: str) -> None:
    """As if the signal came while this thread was within a call: the frames still go."""
    sender = ImageSender(address, in_flight=3)
    with served(address) as received:
        sender.send_image(0, LARGE)
        sender.send_image("end", LARGE)
        with sender._pipeline()._changed:
            sender.close()
        assert sender.stats().acknowledged == 2
    assert [message for message, _ in received] == [0, "end"]


def test_close_on_its_own_thread(address: str) -> None:
    """A logging handler may call close(): then the thread ends it."""
    with ImageHub(address) as hub:
        sender = ImageSender(address, in_flight=2)

        class Closing(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                closing.append(threading.current_thread().name)
                sender.close()

        closing: list[str] = []
        handler = Closing()
        logging.getLogger("fastimagezmq").addHandler(handler)
        try:
            sender.send_image("", LARGE)
            hub.recv_image()
            hub.send_reply(b"ERROR: of the test's")
            wait_until(lambda: sender.zmq_context.closed)
        finally:
            logging.getLogger("fastimagezmq").removeHandler(handler)
    assert closing == ["fastimagezmq-send"]
    sender.close()


def test_the_program_terminates_the_context(silent: SilentHub) -> None:
    sender = ImageSender(silent.address, in_flight=2)
    sender.send_image("", LARGE)
    sender.zmq_context.term()
    with pytest.raises(zmq.ContextTerminated):
        sender.send_image("", LARGE)
    with pytest.raises(zmq.ContextTerminated):
        sender.flush()
    sender.close()


@pytest.mark.parametrize("cycle", [False, True])
def test_dropped_without_close(address: str, cycle: bool) -> None:
    threads = threading.active_count()
    with served(address) as received:
        sender = ImageSender(address, in_flight=3, jpeg=85)
        sender.send_image(0, LARGE)
        sender.send_image("end", LARGE)
        if cycle:
            sender.cycle = sender  # type: ignore[attr-defined]
        context = sender.zmq_context
        del sender
        gc.collect()
        assert context.closed
        del context
    assert [message for message, _ in received] == [0, "end"]
    wait_until(lambda: threading.active_count() == threads)


def test_dropped_on_its_own_thread(address: str) -> None:
    """The collector runs on whatever thread allocates: here on the one that would be joined."""
    with ImageHub(address) as hub:
        sender = ImageSender(address, in_flight=2)
        sender.cycle = sender  # type: ignore[attr-defined]
        thread = sender._pipeline()._thread
        context = sender.zmq_context
        look_at = sender._fiz_refusals.look_at

        def collect(reply: bytes) -> None:
            look_at(reply)
            gc.collect()

        sender._pipeline()._on_reply = collect
        gc.disable()
        try:
            sender.send_image("", LARGE)
            hub.recv_image()
            del sender
            hub.send_reply()
            thread.join(10)
        finally:
            gc.enable()
        assert not thread.is_alive()
        assert context.closed


def test_the_thread_that_cannot_be_started(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with ImageSender(address, in_flight=2) as sender:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(RuntimeError):
                sender.send_image("", LARGE)
        with served(address) as received:
            sender.send_image("end", LARGE)
            flushed(sender)
    assert len(received) == 1


EXITING = """
import sys, threading, numpy, fastimagezmq as imagezmq
sender = imagezmq.ImageSender(sys.argv[1], in_flight=50, jpeg=85)
def send():
    for number in range(20):
        sender.send_image(number, numpy.full((480, 640, 3), number, 'uint8'))
    sender.send_image("end", numpy.zeros((8, 8, 3), "uint8"))
"""


@pytest.mark.parametrize("how", ["send()", "send(); 1 / 0", "send(); sender.self = sender"])
def test_exit_delivers_what_is_in_flight(address: str, how: str) -> None:
    with served(address) as received:
        ran = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", EXITING + how, address],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert [message for message, _ in received] == [*range(20), "end"]
    assert ran.returncode == ("1 / 0" in how)
    assert ran.stderr == "" or ran.stderr.rstrip().endswith("ZeroDivisionError: division by zero")


def test_exit_without_a_hub_takes_no_longer_than_a_close(address: str) -> None:
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", EXITING + "send()", address],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert time.monotonic() - began < 3 * BOUND_SECONDS  # with the start of the interpreter
    assert ran.returncode == 0
    assert ran.stderr == "fastimagezmq: closed with 21 frames not answered yet\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_after_fork_the_child_is_told_and_harms_nothing(silent: SilentHub) -> None:
    with ImageSender(silent.address, in_flight=2) as sender:
        sender.send_image("parent", LARGE)
        with sender._pipeline()._changed:  # which stays held in the child
            child = os.fork()
            if child == 0:
                told = 0
                for call in (
                    lambda: sender.send_image("", LARGE),
                    lambda: sender.send_jpg("", b""),
                    sender.flush,
                    sender.replies,
                    sender.stats,
                ):
                    try:
                        call()
                    except StateError:
                        told += 1
                sender.close()
                os._exit(told)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
        assert b"parent" in silent.take()[0]
        silent.answer(b"", b"OK")
        flushed(sender)
        assert not silent.is_sent_more(50)
