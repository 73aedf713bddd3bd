"""What hangs, tears or breaks in imageZMQ 1.2.0 and must not here."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import zmq
from skimage import data

import fastimagezmq as imagezmq
from processes import PEERS, Peer, beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANY_PORT = "tcp://127.0.0.1:*"
CAT = data.chelsea()
JPEG = cv2.imencode(".jpg", CAT)[1]

# A close() takes a second at most, and this machine may be busy.
AT_MOST = 1.6


def endpoint(end: Any) -> str:
    address: str = end.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return address


@contextlib.contextmanager
def within(seconds: float, at_least: float = 0) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert at_least <= time.monotonic() - began < seconds


@pytest.fixture
def absent() -> Iterator[str]:
    """The address of a hub that is not there, and will not be."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a hub that shakes hands, and then reads nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        accepted: list[socket.socket] = []

        def serve() -> None:
            connection, _ = server.accept()
            accepted.append(connection)
            connection.settimeout(10)
            null = b"NULL".ljust(20, b"\0")
            connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + null + b"\x00" + bytes(31))
            connection.sendall(b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REP")
            seen = b""
            while b"READY" not in seen:
                seen += connection.recv(64)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        thread.join()
        for connection in accepted:
            connection.close()


def subscribed(sender: Any, hub: Any) -> None:
    """Return when what a PUB sender sends arrives at a hub, and none of it is under way."""
    over = threading.Event()

    def keep_sending() -> int:
        count = 0
        while not over.wait(0.005):
            sender.send_jpg(count, b"")
            count += 1
        return count

    with beside(keep_sending) as sent:
        number, _ = hub.recv_jpg()
        over.set()
    while number < sent.result() - 1:
        number, _ = hub.recv_jpg()


# --- (1) a sender or hub that is dropped -------------------------------------------

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork, and other signals")

DROPPED = [
    "dropped",
    "in_a_cycle_through_its_methods",
    "in_a_cycle_with_its_socket_and_context",
    "many_in_one_cycle",
    "with_a_socket_of_its_context",
    "at_exit",
    "at_exit_in_a_cycle",
    "by_an_exception",
    "with_a_daemon_thread_that_receives",
    "with_a_daemon_thread_that_sends",
    "with_a_daemon_thread_that_streams",
    "before_pyzmq_lets_go_of_the_pictures",
    pytest.param("with_a_forked_child", marks=posix),
]


@pytest.mark.parametrize("case", DROPPED)
def test_dropping_without_close_hangs_nothing(case: str) -> None:
    """imageZMQ hangs for ever in the first five: its methods make a cycle, LINGER is -1.

    What is told is the seconds that collecting took.
    """
    with Peer(PEERS / "ending.py", "fastimagezmq", case) as program:
        assert program.hear(10) < AT_MOST
        status = program.end(AT_MOST + 2)
        if case == "by_an_exception":
            assert status == 1
            assert "RuntimeError: the program's own" in program.errors
        else:
            assert (status, program.errors) == (0, "")


def test_a_program_that_ends_without_close_delivers_what_it_sent() -> None:
    """With imageZMQ they are lost, or the program crashes: pyzmq lets go of them first."""
    with Peer(PEERS / "unclosed.py", "fastimagezmq") as program:
        with imagezmq.ImageHub(program.hear(), REQ_REP=False) as hub:
            assert hub.recv_jpg()[0] == "sync"
            program.tell()
            message = "sync"
            while message == "sync":
                message, image = hub.recv_jpg()
            hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 3000)
            for number in range(40):
                assert message == number
                assert bytes(image) == bytes([number]) * (480 * 640 * 3)
                if number < 39:
                    message, image = hub.recv_jpg()
        assert program.end(AT_MOST + 2) == 0
        assert program.errors == ""


def test_a_dropped_hub_frees_its_port() -> None:
    hub = imagezmq.ImageHub(ANY_PORT)
    address = endpoint(hub)
    hub.cycle = [hub]  # type: ignore[attr-defined]
    del hub
    gc.collect()
    imagezmq.ImageHub(address).close()


# --- (2) a send that fails ---------------------------------------------------------

BAD_IMAGES = {
    "None": None,
    "the tuple of cap.read()": (True, CAT),
    "a list": [[1, 2], [3, 4]],
    "objects": np.array([{}, []], dtype=object),
    "fields": np.zeros(3, [("x", "f4"), ("y", "f4")]),
}
BAD_BLOBS = {"text": "text", "None": None, "the tuple of cv2.imencode": (True, JPEG), "a list": [1]}
BAD_MESSAGES = {"bytes": b"m", "a set": {1}, "a numpy number": np.uint8(3), "object": object()}


def bad_sends(sender: Any) -> dict[str, Callable[[], Any]]:
    def send(method: Any, message: Any, content: Any) -> Callable[[], Any]:
        return lambda: method(message, content)

    sends = {}
    for name, bad in BAD_IMAGES.items():
        sends[f"{name} as image"] = send(sender.send_image, "m", bad)
    for name, bad in BAD_BLOBS.items():
        sends[f"{name} as blob"] = send(sender.send_jpg, "m", bad)
    for name, bad in BAD_MESSAGES.items():
        sends[f"{name} as message"] = send(sender.send_image, bad, CAT)
        sends[f"{name} as message of a blob"] = send(sender.send_jpg, bad, JPEG)
    return sends


def test_a_failed_send_sends_nothing_by_reqrep() -> None:
    """In imageZMQ send_jpg("m", "text") leaves half a message in the socket for good."""
    with imagezmq.ImageHub(ANY_PORT) as hub, imagezmq.ImageSender(endpoint(hub)) as sender:
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 5000)
        for name, send in bad_sends(sender).items():
            with pytest.raises((TypeError, ValueError)):
                send()
            with beside(lambda name=name: sender.send_image(name, CAT)):  # type: ignore[misc]
                message, image = hub.recv_image()
                hub.send_reply()
            assert message == name
            assert (image == CAT).all()
        assert hub.stats() == imagezmq.HubStats(received=len(bad_sends(sender)), malformed=0)


def test_a_failed_send_sends_nothing_by_pubsub() -> None:
    with (
        imagezmq.ImageSender(ANY_PORT, REQ_REP=False) as sender,
        imagezmq.ImageHub(endpoint(sender), REQ_REP=False) as hub,
    ):
        subscribed(sender, hub)
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 5000)
        for name, send in bad_sends(sender).items():
            with pytest.raises((TypeError, ValueError)):
                send()
            sender.send_jpg(name, JPEG)
            message, blob = hub.recv_jpg()
            assert message == name
            assert blob.bytes == JPEG.tobytes()
        assert hub.stats().malformed == 0


def test_an_image_that_cannot_be_encoded_sends_nothing() -> None:
    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        imagezmq.ImageSender(endpoint(hub), jpeg=90) as sender,
    ):
        for bad in (CAT.astype(float), np.zeros((0, 5, 3), np.uint8), CAT[..., :2]):
            with pytest.raises(imagezmq.CodecError):
                sender.send_image("bad", bad)
        with beside(lambda: sender.send_image("good", CAT)):
            message, image = hub.recv_image()
            hub.send_reply()
        assert message == "good"
        assert image.shape == CAT.shape


# --- (3) a buffer that is reused ---------------------------------------------------


def torn(library: Any, frames: int, shape: tuple[int, ...], lead: int = 4) -> int:
    """Publish one array again and again, overwritten straight after each send.

    The hub is ``lead`` frames behind, as behind any network. Gives how many of the frames
    arrived with pixels of another one in them.
    """
    image = np.empty(shape, np.uint8)
    count = 0
    with (
        library.ImageSender(ANY_PORT, REQ_REP=False) as sender,
        library.ImageHub(endpoint(sender), REQ_REP=False) as hub,
    ):
        subscribed(sender, hub)
        for number in range(frames + lead):
            if number < frames:
                image[:] = number % 251
                sender.send_image(number, image)
                image[:] = 255
            if number >= lead:
                message, received = hub.recv_image()
                assert message == number - lead
                count += not (received == message % 251).all()
    return count


def test_a_pub_sender_tears_no_frame() -> None:
    """PUB sends return before the pixels have left, so the sender must have copied them.

    imageZMQ sends the program's own memory: this very function gives 175 to 198 torn
    frames of 200 with it (three runs over loopback, imageZMQ 1.2.0, pyzmq 27.3).
    """
    assert torn(imagezmq, 200, (1080, 1920, 3)) == 0


@pytest.mark.parametrize("shape", [(8, 8, 3), (146, 150, 3), (300, 300)])
def test_small_frames_are_not_torn_either(shape: tuple[int, ...]) -> None:
    assert torn(imagezmq, 100, shape, lead=20) == 0


@pytest.mark.parametrize("view", ["whole", "cut out"])
def test_a_read_only_view_of_what_is_overwritten_is_not_torn(view: str) -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    shown = image.view() if view == "whole" else image[10:-10, 10:-10]
    shown.flags.writeable = False
    with (
        imagezmq.ImageSender(ANY_PORT, REQ_REP=False) as sender,
        imagezmq.ImageHub(endpoint(sender), REQ_REP=False) as hub,
    ):
        subscribed(sender, hub)
        for number in range(20):
            image[:] = number
            sender.send_image(number, shown)
            image[:] = 255
        for number in range(20):
            assert (hub.recv_image()[1] == number).all()


@pytest.mark.parametrize("size", [1000, 200_000])
def test_a_blob_that_is_overwritten_is_not_torn(size: int) -> None:
    blob = bytearray(size)
    with (
        imagezmq.ImageSender(ANY_PORT, REQ_REP=False) as sender,
        imagezmq.ImageHub(endpoint(sender), REQ_REP=False) as hub,
    ):
        subscribed(sender, hub)
        for number in range(50):
            blob[:] = bytes([number]) * size
            sender.send_jpg(number, memoryview(blob))
            blob[:] = b"\xff" * size
        for number in range(50):
            assert hub.recv_jpg()[1].bytes == bytes([number]) * size


# --- (4) close ---------------------------------------------------------------------


def test_close_with_the_hub_absent_and_frames_pending(absent: str) -> None:
    """imageZMQ waits for ever: LINGER is -1."""
    sender = imagezmq.ImageSender(absent)
    sender.zmq_socket.send_array(CAT, "pending", copy=False)
    with within(AT_MOST):
        sender.close()
    assert sender.zmq_socket.closed
    assert sender.zmq_context.closed
    with within(0.1):
        sender.close()


def test_close_with_a_hub_that_does_not_read(deaf: str) -> None:
    with imagezmq.ImageSender(deaf) as sender:
        sender.zmq_socket.setsockopt(zmq.RCVTIMEO, 300)
        with pytest.raises(zmq.Again):
            sender.send_image("a", np.zeros((4000, 4000, 3), np.uint8))
        began = time.monotonic()
    assert time.monotonic() - began < AT_MOST


@pytest.mark.parametrize(
    ("linger", "least", "most"), [(0, 0, 0.3), (300, 0.25, 0.8), (-1, 0.8, AT_MOST)]
)
def test_a_shorter_linger_wins(absent: str, linger: int, least: float, most: float) -> None:
    sender = imagezmq.ImageSender(absent)
    sender.zmq_socket.setsockopt(zmq.LINGER, linger)
    sender.zmq_socket.send_array(CAT, "pending", copy=False)
    with within(most, at_least=least):
        sender.close()


def test_close_closes_the_sockets_that_the_program_made(absent: str) -> None:
    """imageZMQ's close() never returns: term() waits for the other socket."""
    with imagezmq.ImageHub(ANY_PORT) as hub:
        more = hub.zmq_context.socket(zmq.PUSH)
        more.connect(absent)
        more.send(bytes(100_000), copy=False)
        with within(2 * AT_MOST):
            hub.close()
        assert more.closed
        assert hub.zmq_context.closed


def test_close_of_a_hub_with_frames_waiting() -> None:
    with imagezmq.ImageSender(ANY_PORT, REQ_REP=False) as sender:
        hub = imagezmq.ImageHub(endpoint(sender), REQ_REP=False)
        subscribed(sender, hub)
        for number in range(100):
            sender.send_image(number, CAT)
        assert hub.zmq_socket.poll(5000)
        with within(0.5):
            hub.close()


def test_everything_after_close_says_so() -> None:
    hub, sender = imagezmq.ImageHub(ANY_PORT), imagezmq.ImageSender("tcp://127.0.0.1:1")
    hub.close()
    sender.close()
    calls: list[Callable[[], Any]] = [
        hub.recv_image,
        hub.recv_jpg,
        hub.recv_frame,
        hub.send_reply,
        lambda: sender.send_image("a", CAT),
        lambda: sender.send_jpg("a", JPEG),
    ]
    for call in calls:
        with pytest.raises(zmq.ZMQError, match="is closed"):
            call()


def test_with_closes_also_after_an_exception() -> None:
    hub = imagezmq.ImageHub(ANY_PORT)
    address = endpoint(hub)
    with pytest.raises(KeyError), hub:
        raise KeyError
    assert hub.zmq_socket.closed
    imagezmq.ImageHub(address).close()


class FailsAfterBinding(imagezmq.ImageHub):
    def init_reqrep(self, address: str) -> None:
        super().init_reqrep(address)
        raise ValueError("after binding")


class SenderFailsAfterBinding(imagezmq.ImageSender):
    def init_pubsub(self, address: str) -> None:
        super().init_pubsub(address)
        raise ValueError("after binding")


FAILING: dict[str, Callable[[str], Any]] = {
    "an option that does not exist": lambda a: imagezmq.ImageHub(a, options={"NO_SUCH": 1}),
    "an option with a bad value": lambda a: imagezmq.ImageHub(a, options={zmq.SNDHWM: -5}),
    "a PUB sender's option": lambda a: imagezmq.ImageSender(a, False, options={"SNDBUF": "big"}),
    "a bad quality": lambda a: imagezmq.ImageSender(a, False, jpeg=0),
    "an init of the program's own": FailsAfterBinding,
    "an init_pubsub of the program's own": lambda a: SenderFailsAfterBinding(a, False),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_constructor_that_fails_leaves_nothing_bound(case: str, address: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        FAILING[case](address)
    # While the traceback, and with it the object, is still held.
    imagezmq.ImageHub(address).close()
    assert error.value.__traceback__ is not None


def test_an_address_in_use_leaves_nothing_open() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub:
        with pytest.raises(zmq.ZMQError, match="in use") as error:
            imagezmq.ImageHub(endpoint(hub))
        assert error.value.errno == zmq.EADDRINUSE


def test_what_was_published_just_before_close_arrives() -> None:
    sender = imagezmq.ImageSender(ANY_PORT, REQ_REP=False)
    with imagezmq.ImageHub(endpoint(sender), REQ_REP=False) as hub:
        subscribed(sender, hub)
        for number in range(60):
            sender.send_image(number, CAT)
        sender.close()
        for number in range(60):
            message, image = hub.recv_image()
            assert message == number
            assert (image == CAT).all()


def test_the_reply_that_was_sent_just_before_close_arrives() -> None:
    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        imagezmq.ImageSender(endpoint(hub)) as sender,
        beside(lambda: sender.send_image("a", CAT)) as sent,
    ):
        hub.recv_image()
        hub.send_reply(b"the last")
        hub.close()
        assert sent.result() == b"the last"


@pytest.mark.parametrize("method", ["recv_image", "recv_jpg", "recv_frame"])
def test_close_from_another_thread_wakes_a_hub(method: str) -> None:
    hub = imagezmq.ImageHub(ANY_PORT)
    waiting = threading.Event()

    def receive() -> Any:
        waiting.set()
        with pytest.raises(zmq.ZMQError) as error:
            getattr(hub, method)()
        return error.value

    with beside(receive) as received:
        waiting.wait()
        time.sleep(0.05)  # into the wait
        with within(AT_MOST):
            hub.close()
        assert isinstance(received.result(5), zmq.ContextTerminated)
    assert hub.zmq_socket.closed
    assert hub.zmq_context.closed


def test_close_from_another_thread_wakes_a_sender(absent: str) -> None:
    sender = imagezmq.ImageSender(absent)
    waiting = threading.Event()

    def send() -> Any:
        waiting.set()
        with pytest.raises(zmq.ZMQError) as error:
            sender.send_image("a", CAT)
        return error.value

    with beside(send) as sent:
        waiting.wait()
        time.sleep(0.05)
        with within(AT_MOST):
            sender.close()
        assert isinstance(sent.result(5), zmq.ContextTerminated)
    assert sender.zmq_context.closed


@posix
@pytest.mark.parametrize("kind", ["hub", "sender"])
def test_close_from_a_signal_handler_wakes_what_waits(kind: str) -> None:
    with Peer(PEERS / "signalled.py", "fastimagezmq", kind, "close") as program:
        assert program.hear() == "waiting"
        program.process.send_signal(signal.SIGTERM)
        with within(2 * AT_MOST):
            told = program.hear()
        assert "ContextTerminated" in told["raised"]
        assert told["closed"]
        assert program.end() == 0
        assert program.errors == ""


@posix
@pytest.mark.parametrize("kind", ["hub", "sender"])
def test_ctrl_c_wakes_what_waits(kind: str) -> None:
    with Peer(PEERS / "signalled.py", "fastimagezmq", kind, "default") as program:
        assert program.hear() == "waiting"
        os.kill(program.process.pid, signal.SIGINT)
        told = program.hear()
        assert told["raised"][0] == "KeyboardInterrupt"
        assert told["closed"]
        assert told["seconds"] < AT_MOST
        assert program.end() == 0


# --- (5) a forgotten reply ---------------------------------------------------------


@pytest.mark.parametrize("method", ["recv_image", "recv_jpg", "recv_frame"])
def test_a_second_receive_names_send_reply(method: str) -> None:
    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        imagezmq.ImageSender(endpoint(hub)) as sender,
        beside(lambda: sender.send_image("a", CAT)) as sent,
    ):
        hub.recv_image()
        with pytest.raises(zmq.ZMQError, match="send_reply") as error:
            getattr(hub, method)()
        assert error.value.errno == zmq.EFSM
        hub.send_reply(b"late")
        assert sent.result(5) == b"late"


# --- (8) malformed messages --------------------------------------------------------


def header(**fields: Any) -> bytes:
    return json.dumps({"msg": "m"} | fields).encode()


U8 = {"dtype": "uint8", "shape": [2, 2]}

MALFORMED: dict[str, list[bytes]] = {
    "one part": [header(**U8)],
    "an empty part": [b""],
    "three parts": [header(**U8), bytes(4), b""],
    "a hundred parts": [header(**U8)] * 100,
    "no JSON": [b"GET / HTTP/1.1", bytes(4)],
    "not UTF-8": [b"\xff\xfe\xfd", bytes(4)],
    "a list": [b"[]", bytes(4)],
    "no msg": [b'{"dtype": "uint8", "shape": [2, 2]}', bytes(4)],
    "too short": [header(**U8), bytes(3)],
    "too long": [header(**U8), bytes(5)],
    "no such dtype": [header(dtype="uint7", shape=[2, 2]), bytes(4)],
    "Python objects": [header(dtype="object", shape=[1]), bytes(8)],
    "a dtype that is code": [header(dtype="__import__('os')", shape=[1]), bytes(8)],
    "a shape of text": [header(dtype="uint8", shape="4"), bytes(4)],
    "a negative shape": [header(dtype="uint8", shape=[-2, -2]), bytes(4)],
    "an enormous shape": [header(dtype="uint8", shape=[1 << 40, 1 << 40]), bytes(4)],
    "deep JSON": [b'{"msg": ' + b"[" * 100_000, bytes(4)],
    "an encoding of the future": [header(enc="av1"), bytes(4)],
    "a truncated JPEG": [header(), JPEG.tobytes()[:200]],
    "no JPEG in spite of its name": [header(enc="jpeg"), bytes(4)],
    "a blob": [header(), b"text"],
}


def test_malformed_requests_do_not_end_the_loop() -> None:
    """In imageZMQ the first of these ends the hub's program with a traceback."""
    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        zmq.Context() as context,
        context.socket(zmq.REQ) as hostile,
        imagezmq.ImageSender(endpoint(hub)) as sender,
    ):
        seen = []

        def program() -> None:
            while "end" not in seen:
                message, image = hub.recv_image()
                assert image.shape == CAT.shape
                seen.append(message)
                hub.send_reply(b"OK")

        with beside(program):
            hostile.connect(endpoint(hub))
            for name, parts in MALFORMED.items():
                hostile.send_multipart(parts)
                assert hostile.poll(5000), name
                assert hostile.recv().startswith(b"ERROR"), name
                assert sender.send_image(name, CAT) == b"OK"
            sender.send_image("end", CAT)
        assert seen == [*MALFORMED, "end"]
        assert hub.stats() == imagezmq.HubStats(len(MALFORMED) + 1, len(MALFORMED))


def test_malformed_publications_do_not_end_the_loop() -> None:
    with (
        zmq.Context() as context,
        context.socket(zmq.XPUB) as hostile,
    ):
        hostile.bind(ANY_PORT)
        address = hostile.getsockopt_string(zmq.LAST_ENDPOINT)
        with imagezmq.ImageHub(address, REQ_REP=False) as hub:
            assert hostile.recv() == b"\x01"  # the subscription
            for parts in MALFORMED.values():
                hostile.send_multipart(parts)
                hostile.send_multipart([header(**U8), b"good"])
            for _ in MALFORMED:
                message, image = hub.recv_image()
                assert message == "m"
                assert image.tobytes() == b"good"
            assert hub.stats() == imagezmq.HubStats(len(MALFORMED), len(MALFORMED))


def test_other_programs_on_the_port_do_not_end_the_loop() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub, imagezmq.ImageSender(endpoint(hub)) as sender:
        port = int(endpoint(hub).rpartition(":")[2])
        with contextlib.ExitStack() as stack:
            for noise in (b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"\xff" * 1000, b""):
                visitor = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                visitor.sendall(noise)
            with beside(lambda: sender.send_image("a", CAT)):
                assert hub.recv_image()[0] == "a"
                hub.send_reply()


def test_on_error_raise_and_the_stream_goes_on() -> None:
    with (
        imagezmq.ImageHub(ANY_PORT, on_error="raise") as hub,
        zmq.Context() as context,
        context.socket(zmq.REQ) as hostile,
    ):
        hostile.connect(endpoint(hub))
        for count, (name, parts) in enumerate(MALFORMED.items(), 1):
            hostile.send_multipart(parts)
            with pytest.raises((imagezmq.WireError, imagezmq.CodecError)) as error:
                hub.recv_image()
            assert isinstance(error.value, ValueError)
            if count % 2:  # a program's loop may reply in a "finally", or may not
                hub.send_reply(b"OK")
            assert hostile.recv().startswith(b"ERROR"), name
            hostile.send_multipart([header(**U8), b"good"])
            assert hub.recv_image()[1].tobytes() == b"good"
            hub.send_reply(b"fine")
            assert hostile.recv() == b"fine"
        assert hub.stats() == imagezmq.HubStats(len(MALFORMED), len(MALFORMED))


def test_a_frame_over_max_bytes_is_refused() -> None:
    with (
        imagezmq.ImageHub(ANY_PORT, max_bytes=CAT.nbytes) as hub,
        imagezmq.ImageSender(endpoint(hub)) as sender,
        beside(hub.recv_image) as received,
    ):
        reply = sender.send_image("large", np.zeros(CAT.nbytes + 1, np.uint8))
        assert reply is not None
        assert reply.startswith(b"ERROR")
        assert b"max_bytes" in reply
        with beside(lambda: sender.send_image("fits", CAT)):
            assert received.result(5)[0] == "fits"
            hub.send_reply()


def test_a_picture_over_max_pixels_is_refused() -> None:
    height, width = CAT.shape[:2]
    with (
        imagezmq.ImageHub(ANY_PORT, max_pixels=height * width) as hub,
        imagezmq.ImageSender(endpoint(hub), jpeg=50) as sender,
        beside(hub.recv_image) as received,
    ):
        reply = sender.send_image("large", np.zeros((height, width + 1, 3), np.uint8))
        assert reply is not None
        assert reply.startswith(b"ERROR")
        with beside(lambda: sender.send_image("fits", CAT)):
            assert received.result(5)[0] == "fits"
            hub.send_reply()
