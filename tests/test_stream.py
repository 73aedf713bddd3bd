"""Sender and hub together: JPEG, stamps, bad messages, forks, threads."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

from fastimagezmq import (
    CodecError,
    ImageHub,
    ImageSender,
    StateError,
    WireError,
    decode_jpeg,
    encode_jpeg,
    jpeg_info,
)
from photos import photo

if TYPE_CHECKING:
    from collections.abc import Callable

COFFEE = photo("coffee")
HEIGHT, WIDTH = COFFEE.shape[:2]


def exchange(hub: ImageHub, send: Callable[[], Any], receive: Callable[[], Any]) -> Any:
    """Send in a thread, receive here, answer; return what was received."""
    replies: list[Any] = []
    thread = threading.Thread(target=lambda: replies.append(send()))
    thread.start()
    try:
        received = receive()
        hub.send_reply(b"got it")
    finally:
        thread.join()
    assert replies == [b"got it"]
    return received


@pytest.fixture
def open_pair(address: str) -> Any:
    opened: list[Any] = []

    def open_both(sender: Any = None, hub: Any = None) -> tuple[ImageSender, ImageHub]:
        opened.append(ImageHub(address, **(hub or {})))
        opened.append(ImageSender(address, **(sender or {})))
        return opened[-1], opened[-2]

    yield open_both
    for endpoint in reversed(opened):
        endpoint.close()


# --- JPEG ----------------------------------------------------------------------------


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_a_jpeg_stream(open_pair: Any, subsampling: str) -> None:
    sender, hub = open_pair({"jpeg": 90, "subsampling": subsampling})
    msg, image = exchange(hub, lambda: sender.send_image("m", COFFEE), hub.recv_image)
    assert msg == "m"
    assert (image == decode_jpeg(encode_jpeg(COFFEE, 90, subsampling=subsampling))).all()
    image[:] = 0  # writable
    _, blob = exchange(hub, lambda: sender.send_image("m", COFFEE), hub.recv_jpg)
    assert jpeg_info(blob).subsampling == subsampling


def test_colour_stays_what_it_is(open_pair: Any) -> None:
    """Red stays red from each order of channels to each."""
    red = {"BGR": (0, 0, 255), "RGB": (255, 0, 0), "BGRX": (0, 0, 255, 9), "RGBX": (255, 0, 0, 9)}
    red |= {"RGB888": red["BGR"], "BGR888": red["RGB"]}
    red |= {"XRGB8888": red["BGRX"], "XBGR8888": red["RGBX"]}
    for given, pixel in red.items():
        image = np.tile(np.array(pixel, np.uint8), (16, 16, 1))
        jpeg = encode_jpeg(image, 95, colorspace=given)
        for wanted, expected in red.items():
            got = decode_jpeg(jpeg, colorspace=wanted)
            assert np.abs(got[..., :3].astype(int) - expected[:3]).max() < 4, (given, wanted)


def test_picamera2s_default_array(open_pair: Any) -> None:
    sender, hub = open_pair({"jpeg": 85, "colorspace": "XBGR8888"})
    array = np.zeros((32, 48, 4), np.uint8)
    array[..., 0] = 255  # red comes first in memory
    _, image = exchange(hub, lambda: sender.send_image("pi", array), hub.recv_image)
    assert image.shape == (32, 48, 3)
    assert np.abs(image.astype(int) - (0, 0, 255)).max() < 4


def test_gray_comes_back_as_it_would_raw(open_pair: Any) -> None:
    gray = np.ascontiguousarray(COFFEE[..., 1])
    sender, hub = open_pair({"jpeg": 95, "colorspace": "GRAY"}, {"colorspace": "RGB"})
    _, image = exchange(hub, lambda: sender.send_image("m", gray), hub.recv_image)
    assert image.shape == gray.shape
    # Three channels that were made gray on the way stay three.
    sender = ImageSender(sender.zmq_socket.endpoints[0], jpeg=95, subsampling="gray")
    with sender:
        _, image = exchange(hub, lambda: sender.send_image("m", COFFEE), hub.recv_image)
    assert image.shape == COFFEE.shape


def test_yuv_planes_travel(open_pair: Any) -> None:
    sender, hub = open_pair({"jpeg": 90, "colorspace": "YUV420"}, {"colorspace": "YUV420"})
    y = np.full((32, 48), 120, np.uint8)
    u, v = np.full((16, 24), 90, np.uint8), np.full((16, 24), 180, np.uint8)
    _, i420 = exchange(hub, lambda: sender.send_image("m", (y, u, v)), hub.recv_image)
    assert i420.shape == (48, 48)
    _, again = exchange(hub, lambda: sender.send_image("m", i420), hub.recv_image)
    assert np.abs(again.astype(int) - i420).max() <= 1


def test_the_hub_decodes_as_told(open_pair: Any) -> None:
    sender, hub = open_pair({"jpeg": 90}, {"colorspace": "RGB", "scale": 1 / 2})
    _, image = exchange(hub, lambda: sender.send_image("m", COFFEE), hub.recv_image)
    expected = decode_jpeg(encode_jpeg(COFFEE, 90), colorspace="RGB", scale=0.5)
    assert (image == expected).all()
    with ImageSender(sender.zmq_socket.endpoints[0]) as raw:  # raw arrays arrive as sent
        _, image = exchange(hub, lambda: raw.send_image("m", COFFEE), hub.recv_image)
    assert (image == COFFEE).all()


def test_stamps(open_pair: Any) -> None:
    sender, hub = open_pair({"stamp": True})
    for number in range(3):
        frame = exchange(hub, lambda: sender.send_image("m", COFFEE), hub.recv_frame)
        assert frame.sequence == number
        assert 0 <= frame.age < 30
    msg, blob = exchange(hub, lambda: sender.send_jpg("m", b"blob"), hub.recv_jpg)
    assert (msg, blob.bytes) == ("m", b"blob")


def test_a_steady_stream_allocates_nothing(open_pair: Any) -> None:
    from fastimagezmq._codec import pool_stats

    sender, hub = open_pair({"jpeg": 85})
    allocated = 0
    for number in range(60):
        _, image = exchange(hub, lambda: sender.send_image("m", COFFEE), hub.recv_image)
        del image
        if number == 20:
            allocated = pool_stats().allocated
    assert pool_stats().allocated == allocated
    assert pool_stats().reused > 40


# --- messages that are no frames -------------------------------------------------------

GOOD = [b'{"msg": "good", "dtype": "uint8", "shape": [2, 2]}', b"abcd"]
BAD = [
    [b"alone"],
    [b""],
    [b"{}", b""],
    [b'{"msg": 1, "dtype": "uint8", "shape": [3]}', b"abcd"],
    [b'{"msg": 1, "dtype": "O", "shape": [1]}', b"12345678"],
    [b'{"msg": 1}', b"no JPEG"],
    [b'{"msg": 1}', b"\xff\xd8 cut off"],
    [b'{"msg": 1, "enc": "jpeg"}', bytes(encode_jpeg(COFFEE))[:-500]],
    [b'{"msg": 1}', b"a", b"b"],
    [b'{"msg": 1}', *[b"x"] * 500],
]


@pytest.mark.parametrize("parts", BAD)
def test_a_malformed_message_is_passed_over(
    address: str, parts: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with ImageHub(address) as hub, zmq.Context() as context, context.socket(zmq.REQ) as peer:
        peer.connect(address)
        received: list[Any] = []
        thread = threading.Thread(target=lambda: received.append(hub.recv_image()))
        thread.start()
        peer.send_multipart(parts)
        assert peer.recv().startswith(b"ERROR: ")
        peer.send_multipart(GOOD)
        thread.join()
        hub.send_reply()
        assert peer.recv() == b"OK"
        assert received[0][0] == "good"
        assert hub.stats().malformed == 1
        assert hub.stats().received == 1
    record = caplog.records[0]
    assert record.name == "fastimagezmq"
    assert record.levelno == logging.WARNING
    assert "skipped a malformed message from 127.0.0.1: " in record.getMessage()


def test_one_warning_a_peer_and_minute(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with ImageHub(address) as hub, zmq.Context() as context, context.socket(zmq.REQ) as peer:
        peer.connect(address)
        thread = threading.Thread(target=lambda: (hub.recv_image(), hub.send_reply()))
        thread.start()
        for _ in range(20):
            peer.send(b"nonsense")
            peer.recv()
        peer.send_multipart(GOOD)
        peer.recv()
        thread.join()
        assert hub.stats().malformed == 20
    assert len(caplog.records) == 1


def test_a_sender_tells_once_that_its_frames_are_refused(
    open_pair: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sender, hub = open_pair()
    thread = threading.Thread(target=lambda: (hub.recv_image(), hub.send_reply()))
    thread.start()
    for _ in range(3):
        assert sender.send_jpg("m", b"no JPEG").startswith(b"ERROR: ")
    sender.send_image("m", COFFEE)
    thread.join()
    told = [r.getMessage() for r in caplog.records if "refused a frame" in r.getMessage()]
    assert len(told) == 1
    assert "neither pixels nor a JPEG" in told[0]


@pytest.mark.parametrize(("parts", "kind"), [(BAD[0], WireError), (BAD[7], CodecError)])
def test_raising_instead(address: str, parts: list[bytes], kind: type[Exception]) -> None:
    with (
        ImageHub(address, on_error="raise") as hub,
        zmq.Context() as context,
        context.socket(zmq.REQ) as peer,
    ):
        peer.connect(address)
        peer.send_multipart(parts)
        with pytest.raises(kind):
            hub.recv_image()
        hub.send_reply(b"a habit")  # the sender has its answer: this does nothing
        assert peer.recv().startswith(b"ERROR: ")
        peer.send_multipart(GOOD)
        assert hub.recv_image()[0] == "good"
        hub.send_reply(b"fine")
        assert peer.recv() == b"fine"


def test_a_pub_sender_of_nonsense_is_passed_over(address: str) -> None:
    with zmq.Context() as context, context.socket(zmq.XPUB) as peer:
        peer.bind(address)
        peer.linger = 0
        with ImageHub(address, REQ_REP=False) as hub:
            peer.recv()  # the hub has subscribed
            for parts in BAD:
                peer.send_multipart(parts)
            peer.send_multipart(GOOD)
            assert hub.recv_image()[0] == "good"
            assert hub.stats().malformed == len(BAD)


def test_limits_of_a_hub(open_pair: Any) -> None:
    sender, hub = open_pair({}, {"max_bytes": 1000, "max_pixels": 100, "on_error": "raise"})
    errors: list[Any] = []

    def receive() -> None:
        for _ in range(2):
            try:
                hub.recv_image()
            except (WireError, CodecError) as error:
                errors.append(str(error))

    thread = threading.Thread(target=receive)
    thread.start()
    assert sender.send_image("m", COFFEE).startswith(b"ERROR: ")
    tiny = bytes(encode_jpeg(np.zeros((16, 16, 3), np.uint8), 10))
    assert len(tiny) < 1000
    assert sender.send_jpg("m", tiny).startswith(b"ERROR: ")
    thread.join()
    assert "max_bytes=1000" in errors[0]
    assert "100" in errors[1]


# --- threads and processes -------------------------------------------------------------


def test_threads_share_a_sender(open_pair: Any) -> None:
    sender, hub = open_pair()
    replies: dict[int, list[Any]] = {n: [] for n in range(4)}

    def send(number: int) -> None:
        image = np.full((20, 30, 3), number, np.uint8)
        for _ in range(25):
            replies[number].append(sender.send_image(number, image))

    threads = [threading.Thread(target=send, args=(n,)) for n in replies]
    for thread in threads:
        thread.start()
    for _ in range(100):
        number, image = hub.recv_image()
        assert (image == number).all()
        hub.send_reply(str(number).encode())
    for thread in threads:
        thread.join()
    assert replies == {n: [str(n).encode()] * 25 for n in replies}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_to_open_its_own(open_pair: Any) -> None:
    sender, hub = open_pair({"jpeg": 85})
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        # Whatever happens here must not run the parent's tests.
        try:
            for use in (lambda: sender.send_image("m", COFFEE), hub.recv_image):
                try:
                    use()
                except StateError as error:
                    os.write(writing, f"{error}\n".encode())
            sender.close()
            hub.close()
            os.write(writing, b"%d bytes\n" % len(encode_jpeg(COFFEE)))
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        lines = said.read().splitlines()
    assert len(lines) == 3
    assert all("forked from: open a new one here" in line for line in lines[:2])
    assert lines[2] == f"{len(encode_jpeg(COFFEE))} bytes"
    # The parent's go on.
    _, image = exchange(hub, lambda: sender.send_image("m", COFFEE), hub.recv_image)
    assert image.shape == COFFEE.shape


# --- races and odd programs --------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        b'{"msg": ' + b"[" * 480 + b"]" * 480 + b', "dtype": "u1", "shape": [5]}',
        b'{"msg": 1, "dtype": "u1", "shape": [1' + b"0" * 4000 + b", 1" + b"0" * 4000 + b"]}",
    ],
)
def test_headers_made_to_break_the_parser(address: str, header: bytes) -> None:
    with ImageHub(address) as hub, zmq.Context() as context, context.socket(zmq.REQ) as peer:
        peer.connect(address)
        received: list[Any] = []
        thread = threading.Thread(target=lambda: received.append(hub.recv_image()))
        thread.start()
        peer.send_multipart([header, b"abcd"])
        assert peer.recv().startswith(b"ERROR: ")
        peer.send_multipart(GOOD)
        thread.join()
        hub.send_reply()
        peer.recv()
        assert received[0][0] == "good"


def test_a_message_that_is_a_list_is_the_programs_own() -> None:
    from fastimagezmq.wire import parse_header

    raw = b'{"msg": [1, 2]}'
    parse_header(raw).message.append(3)
    assert parse_header(raw).message == [1, 2]


def test_closing_while_another_thread_comes_and_goes() -> None:
    for _ in range(60):
        sender = ImageSender("tcp://127.0.0.1:*", REQ_REP=False)
        going = threading.Event()

        def stream(sender: ImageSender = sender, going: threading.Event = going) -> None:
            image = np.zeros((2, 2), np.uint8)
            try:
                while True:
                    sender.send_image("m", image)
                    going.set()
            except zmq.ZMQError:
                pass

        thread = threading.Thread(target=stream, daemon=True)
        thread.start()
        going.wait(10)
        closing = threading.Thread(target=sender.close, daemon=True)
        closing.start()
        closing.join(10)
        thread.join(10)
        assert not closing.is_alive()
        assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_a_thread_receives_is_told(open_pair: Any) -> None:
    sender, hub = open_pair()
    thread = threading.Thread(target=lambda: (hub.recv_image(), hub.send_reply()))
    thread.start()
    while not hub._fiz_gate.held:  # until the thread has the hub's lock
        pass
    child = os.fork()
    if child == 0:
        status = 1
        try:
            hub.recv_image()
        except StateError:
            status = 7
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    sender.send_image("m", COFFEE)
    thread.join()


def test_subclasses_with_names_and_an_equality_of_their_own(address: str) -> None:
    class Camera(ImageSender):
        def __init__(self, address: str) -> None:
            self._lock = threading.Lock()
            self._closed = self._options = self._received = "the program's"  # type: ignore[assignment]
            super().__init__(address, REQ_REP=False)

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Camera)

        __hash__ = None  # type: ignore[assignment]

        def send_locked(self) -> None:
            with self._lock:
                self.send_image("m", np.zeros((2, 2), np.uint8))

    with Camera(address) as camera:
        camera.send_locked()
        assert camera._closed == "the program's"


@pytest.mark.parametrize("kind", ["direct", "own class"])
def test_sockets_of_the_context_that_nobody_closed(address: str, kind: str) -> None:
    import time

    from fastimagezmq import SerializingSocket

    sender = ImageSender(address, REQ_REP=False)
    if kind == "direct":
        left = SerializingSocket(sender.zmq_context, zmq.PUSH)
    elif int(zmq.pyzmq_version().split(".")[0]) >= 25:
        left = sender.zmq_context.socket(zmq.PUSH, socket_class=zmq.Socket)
    else:
        left = sender.zmq_context.socket(zmq.PUSH)
    left.connect("tcp://127.0.0.1:9")
    left.send(b"never delivered")
    began = time.monotonic()
    sender.close()
    assert time.monotonic() - began < 5
    assert left.closed


def test_an_address_given_as_bytes(address: str) -> None:
    with ImageSender(address.encode()) as sender:  # type: ignore[arg-type]
        assert sender.zmq_socket.endpoints == (address,)
        sender.zmq_socket.disconnect(address.encode())
        assert sender.zmq_socket.endpoints == ()
