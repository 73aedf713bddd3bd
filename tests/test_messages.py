"""Whole messages, natively and by pyzmq's public calls: bytes, ownership, waiting, signals."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq
from zmq.backend import Socket as BackendSocket

from fastimagezmq import ImageHub, ImageSender, _codec, _libzmq
from fastimagezmq.transport import SerializingContext, SerializingSocket, messages
from fastimagezmq.transport.sockets import line_of
from processes import PEERS, Peer, beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANY_PORT = "tcp://127.0.0.1:*"
WAYS = ["native", "pyzmq"]
NATIVE = {"FASTIMAGEZMQ_MESSAGES": ""}
LARGE = 100_000  # bytes; a body that is not copied

native_only = pytest.mark.skipif(not messages.way.native, reason=messages.way.reason)
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals, no fork")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Has sockets that are made from now on take this way."""
    wanted: str = request.param
    if wanted == "pyzmq":
        monkeypatch.setattr(messages, "way", messages.Way(False, "the test wants it so"))
    elif not messages.way.native:
        pytest.skip(messages.way.reason)
    return wanted


@pytest.fixture
def context() -> Iterator[SerializingContext]:
    with SerializingContext() as context:
        yield context


@pytest.fixture
def plain() -> Iterator[zmq.Context[Any]]:
    """For peers that are pyzmq's own sockets."""
    with zmq.Context() as context:
        context.linger = 0
        yield context


def line(socket: Any) -> Any:
    """Give what whole messages go through."""
    return socket.port or socket


def endpoint(socket: Any) -> str:
    return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))


def of_kind(context: Any, kind: int, address: str = ANY_PORT) -> Any:
    """Make a socket that binds any port, or connects; RCVTIMEO is what a test waits at most."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.RCVTIMEO, 10_000)
    if address == ANY_PORT:
        socket.bind(address)
    else:
        socket.connect(address)
    return socket


@contextlib.contextmanager
def taking(at_least: float, less_than: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert at_least <= time.monotonic() - began < less_than


def goes(gone: Callable[[], bool]) -> bool:
    """Wait until it is gone: libzmq and pyzmq let go of a body on threads of their own."""
    deadline = time.monotonic() + 5
    while not gone() and time.monotonic() < deadline:
        time.sleep(0.001)
        messages.release_done()
    return gone()


# --- the bytes on the wire -----------------------------------------------------------

BODIES = {
    "one part": None,
    "empty": b"",
    "small": b"body",
    "large": bytes(range(250)) * 400,
    "array": np.arange(60_000, dtype=np.uint16).reshape(200, 300),
    "read-only view": memoryview(bytes(LARGE)),
    "bytearray": bytearray(b"ab" * LARGE),
}


@pytest.mark.parametrize("delimited", [False, True], ids=["", "delimited"])
@pytest.mark.parametrize("copy_below", [0, 65536, messages.ALL])
@pytest.mark.parametrize("body", BODIES)
def test_what_is_sent(
    way: str, context: Any, plain: Any, body: str, copy_below: int, delimited: bool
) -> None:
    content = BODIES[body]
    with of_kind(plain, zmq.PULL) as peer, of_kind(context, zmq.PUSH, endpoint(peer)) as socket:
        assert (line(socket) is not socket) == (way == "native")
        for header in (b"header", b"", bytes(70_000)):
            messages.send(line(socket), header, content, copy_below=copy_below, delimited=delimited)
            expected = [b""] * delimited + [header]
            if content is not None:
                expected.append(bytes(content))
            assert peer.recv_multipart() == expected


SENT = [
    [b"alone"],
    [b""],
    [b"", b""],
    [b"header", b"body"],
    [b"header", b""],
    [b"x" * 40_000, b"y" * 400_000],
    [b"1", b"2", b"3"],
    [b"1", b"2", b"3", b"4"],
    [b"1", b"2", b"3", b"4" * 100_000, b"5", b""],
]


@pytest.mark.parametrize("slice_ms", [-1, 0, 500])
def test_what_is_received(way: str, context: Any, plain: Any, slice_ms: int) -> None:
    with of_kind(plain, zmq.PUSH) as peer, of_kind(context, zmq.PULL, endpoint(peer)) as socket:
        for parts in [*SENT, *SENT]:
            peer.send_multipart(parts)
            assert socket.poll(10_000)
            received = messages.receive(line(socket), slice_ms)
            assert received is not None
            assert [part.bytes for part in received] == parts[:3]
            assert [len(part) for part in received] == [len(part) for part in parts[:3]]
            assert [bool(part.more) for part in received] == [
                number + 1 < len(parts) for number in range(len(received))
            ]


def test_a_part_is_like_a_frame(way: str, context: Any, plain: Any) -> None:
    with of_kind(plain, zmq.PUSH) as peer, of_kind(context, zmq.PULL, endpoint(peer)) as socket:
        peer.send_multipart([b"header", b"0123456789abcdefghij"])
        header, body = messages.receive(line(socket)) or []
    assert header.bytes == bytes(header) == b"header"
    assert header.bytes is header.bytes
    assert (len(header), bool(header.more), bool(body.more)) == (6, True, False)
    assert header.get("Peer-Address") == header["Peer-Address"] == "127.0.0.1"
    assert header.get(zmq.MORE) == 1
    with pytest.raises(zmq.ZMQError):
        header.get("No-Such-Thing")
    view = memoryview(body)
    assert (view.format, view.ndim, view.readonly, view.nbytes) == ("B", 1, False, 20)
    view[0] = ord("X")
    assert body.buffer == b"X123456789abcdefghij"
    assert header != b"header"
    assert len({header, body}) == 2
    array = np.frombuffer(body, np.uint8)
    dead = weakref.ref(body)
    del body, view
    assert dead() is not None
    assert bytes(array[1:4]) == b"123"


@native_only
def test_a_message_of_the_native_way(context: Any, plain: Any) -> None:
    with of_kind(plain, zmq.PUSH) as peer, of_kind(context, zmq.PULL, endpoint(peer)) as socket:
        peer.send_multipart([b"header", b"0123456789abcdefghij"])
        header, body = messages.receive(line(socket)) or []
    assert repr(header) == "<fastimagezmq.Message b'header'>"
    assert repr(body) == "<fastimagezmq.Message b'0123456789ab'... of 20 bytes>"
    with pytest.raises(zmq.ZMQError):
        header.get(12345)
    with pytest.raises(TypeError, match="by receiving"):
        _libzmq.Message()
    with pytest.raises(TypeError):
        _libzmq.Message(object())  # type: ignore[call-arg]


# --- whose memory it is, and until when ----------------------------------------------


def array_of(nbytes: int) -> tuple[Any, weakref.ref[Any]]:
    array = np.ones(nbytes, np.uint8)
    return array, weakref.ref(array)


def test_a_body_is_let_go_of_after_it_was_sent(way: str, context: Any, plain: Any) -> None:
    with of_kind(plain, zmq.PULL) as peer, of_kind(context, zmq.PUSH, endpoint(peer)) as socket:
        array, dead = array_of(LARGE)
        messages.send(line(socket), b"header", array, copy_below=65536)
        del array
        assert peer.recv_multipart()[1] == b"\1" * LARGE
        assert goes(lambda: dead() is None)


def test_a_reply_lets_go_of_the_request(way: str, context: Any, plain: Any) -> None:
    """Nothing else is sent or received, which would do it too."""
    with of_kind(plain, zmq.REP) as peer, of_kind(context, zmq.REQ, endpoint(peer)) as socket:
        array, dead = array_of(LARGE)
        messages.send(line(socket), b"header", array, copy_below=65536)
        del array
        assert peer.recv_multipart()[1] == b"\1" * LARGE
        time.sleep(0.05)  # for libzmq's thread, which lets go once it has written
        peer.send(b"OK")
        assert [part.bytes for part in messages.receive(line(socket)) or []] == [b"OK"]
        deadline = time.monotonic() + 5
        while dead() is not None and way == "pyzmq" and time.monotonic() < deadline:
            time.sleep(0.001)
        assert dead() is None


def test_a_body_that_is_copied_is_not_kept(way: str, context: Any) -> None:
    with of_kind(context, zmq.PUSH, "tcp://127.0.0.1:1") as socket:  # nobody is there
        array, dead = array_of(1000)
        messages.send(line(socket), b"header", array, copy_below=1001)
        del array
        assert dead() is None


def test_a_body_is_kept_until_the_socket_is_closed(way: str, context: Any) -> None:
    with of_kind(context, zmq.PUSH, "tcp://127.0.0.1:1") as socket:
        array, dead = array_of(LARGE)
        messages.send(line(socket), b"header", array, copy_below=0)
        del array
        assert dead() is not None
        socket.close(linger=0)
    context.term()
    assert goes(lambda: dead() is None)


def test_a_body_that_was_not_sent_is_let_go_of(way: str, context: Any) -> None:
    with context.socket(zmq.PUSH) as socket:
        body = bytearray(LARGE)
        for flags in (zmq.DONTWAIT, 0):
            socket.setsockopt(zmq.SNDTIMEO, 10)
            with pytest.raises(zmq.Again):
                messages.send(line(socket), b"header", body, int(flags), copy_below=0)
        body.append(0)  # no buffer of it is exported any more
    with pytest.raises(zmq.ZMQError, match=r"not a socket|non-socket"):
        messages.send(line(socket), b"header", body, copy_below=0)
    body.append(0)
    with of_kind(context, zmq.REQ, "tcp://127.0.0.1:1") as socket:
        messages.send(line(socket), b"header", b"body", copy_below=0)
        with pytest.raises(zmq.ZMQError, match="current state"):
            messages.send(line(socket), b"header", body, copy_below=0)
        body.append(0)
        with pytest.raises((BufferError, TypeError, ValueError)):
            messages.send(line(socket), b"header", object(), copy_below=0)  # type: ignore[arg-type]
        socket.close(linger=0)


@native_only
def test_what_is_no_contiguous_buffer_is_refused_before_anything_is_sent(
    context: Any, plain: Any
) -> None:
    with of_kind(plain, zmq.PULL) as peer, of_kind(context, zmq.PUSH, endpoint(peer)) as socket:
        for bad in (np.zeros((500, 500))[::2], memoryview(bytes(100))[::2]):
            with pytest.raises((BufferError, ValueError)):
                messages.send(line(socket), b"header", bad, copy_below=0)
        for bad in ("text", 5, object()):
            with pytest.raises(TypeError):
                messages.send(line(socket), b"header", bad, copy_below=0)  # type: ignore[arg-type]
        for header in (bytearray(b"h"), None, "h"):
            with pytest.raises(TypeError):
                messages.send(line(socket), header, b"", copy_below=0)  # type: ignore[arg-type]
        messages.send(line(socket), b"good", b"body", copy_below=0)
        assert peer.recv_multipart() == [b"good", b"body"]


@pytest.mark.parametrize("reqrep", [True, False], ids=["REQ/REP", "PUB/SUB"])
def test_leases_are_counted_back(way: str, reqrep: bool) -> None:
    """A stream of JPEGs takes its blocks from the pool, and gives each of them back."""
    image = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
    # As many idle blocks as could be under way at once.
    jpegs = [_codec.encode_jpeg(image, 95) for _ in range(8)]
    assert jpegs[0].nbytes > 65536
    pictures = [_codec.decode_jpeg(jpegs[0]) for _ in range(8)]
    del jpegs, pictures
    with contextlib.ExitStack() as stack:
        if reqrep:
            hub = stack.enter_context(ImageHub(ANY_PORT))
            sender = ImageSender(endpoint(hub.zmq_socket), jpeg=95)
            stack.enter_context(sender)
        else:
            sender = stack.enter_context(ImageSender(ANY_PORT, False, jpeg=95))
            hub = stack.enter_context(ImageHub(endpoint(sender.zmq_socket), REQ_REP=False))
            await_subscription(sender, hub)
        before = _codec.pool_stats()
        for _ in range(100):
            with beside(lambda: sender.send_image("cam", image)):
                assert hub.recv_image()[1].shape == image.shape
                if reqrep:
                    hub.send_reply()
        after = _codec.pool_stats()
        assert after.allocated == before.allocated
        assert after.reused > before.reused + 100
    assert goes(lambda: _codec.pool_stats().leases == 0)


def await_subscription(sender: Any, hub: Any) -> None:
    """Return when what a PUB sender sends arrives, and none of it is under way."""
    hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 20)
    count = 0
    number = None
    while number is None:
        sender.send_jpg(count, b"")
        count += 1
        with contextlib.suppress(zmq.Again):
            number, _ = hub.recv_jpg()
    hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 10_000)
    while number < count - 1:
        number, _ = hub.recv_jpg()


# What is copied into messages, read in place, encoded into pooled blocks, and that in flight.
STREAMS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "small": (64, 48, {}),
    "raw": (320, 240, {}),
    "jpeg": (320, 240, {"jpeg": 85}),
    "in flight": (320, 240, {"jpeg": 85, "in_flight": 4}),
}


def check_that_nothing_is_retained(frames: int, stream: str, way: str, most: int) -> None:
    """Stream so many frames in a process of its own, which must not grow by ``most`` bytes."""
    *size, options = STREAMS[stream]
    arguments = (frames, *size, repr(options))
    with Peer(PEERS / "retention.py", *arguments, FASTIMAGEZMQ_MESSAGES=way) as peer:
        grown, allocated = peer.hear(timeout=300)
        assert peer.end() == 0
    assert grown < most
    assert allocated == 0


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


# A small frame is 9216 bytes, others are 230400: keeping one of a hundred would show.
@linux
@pytest.mark.parametrize(
    ("stream", "name"),
    [
        ("small", "native"),
        ("small", "pyzmq"),
        ("raw", "native"),
        ("jpeg", "native"),
        ("in flight", "native"),
    ],
)
def test_nothing_is_retained(stream: str, name: str) -> None:
    frames = 5000 if stream == "small" else 1500
    check_that_nothing_is_retained(frames, stream, name, 1 << 19)


@linux
@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("stream", STREAMS)
def test_nothing_is_retained_for_long(stream: str, name: str) -> None:
    check_that_nothing_is_retained(100_000, stream, name, 1 << 20)


# --- waiting -------------------------------------------------------------------------


def test_receiving_waits_as_long_as_rcvtimeo_says(way: str, context: Any) -> None:
    with of_kind(context, zmq.PULL) as socket:
        socket.setsockopt(zmq.RCVTIMEO, 100)
        for slice_ms in (-1, 100, 5000):
            with taking(0.09, 3), pytest.raises(zmq.Again):
                messages.receive(line(socket), slice_ms)
        with taking(0, 0.09), pytest.raises(zmq.Again):
            messages.receive(line(socket), flags=int(zmq.DONTWAIT))
        with taking(0, 0.09), pytest.raises(zmq.Again):
            messages.receive(line(socket), 5000, int(zmq.DONTWAIT))


@pytest.mark.parametrize("limit_ms", [-1, 5000])
def test_a_slice_ends_and_leaves_rcvtimeo_alone(way: str, context: Any, limit_ms: int) -> None:
    with of_kind(context, zmq.PULL) as socket:
        socket.setsockopt(zmq.RCVTIMEO, limit_ms)
        with taking(0.04, 3):
            assert messages.receive(line(socket), 50) is None
        with taking(0, 0.09):
            assert messages.receive(line(socket), 0) is None
        assert socket.getsockopt(zmq.RCVTIMEO) == limit_ms


def test_sending_waits_as_long_as_sndtimeo_says(way: str, context: Any) -> None:
    with context.socket(zmq.PUSH) as socket:  # connected to nobody
        socket.setsockopt(zmq.SNDTIMEO, 100)
        with taking(0.09, 3), pytest.raises(zmq.Again):
            messages.send(line(socket), b"header", b"body", copy_below=messages.ALL)
        with taking(0, 0.09), pytest.raises(zmq.Again):
            messages.send(line(socket), b"header", b"body", int(zmq.DONTWAIT), copy_below=0)


def test_a_message_waits_for_room_whole(way: str, context: Any, plain: Any) -> None:
    """Where the high-water mark is met, no part of a message passes before the others."""
    with context.socket(zmq.PUSH) as socket, plain.socket(zmq.PULL) as peer:
        for end in (socket, peer):
            end.setsockopt(zmq.SNDHWM, 2)
            end.setsockopt(zmq.RCVHWM, 2)
        peer.setsockopt(zmq.RCVTIMEO, 10_000)
        peer.bind(ANY_PORT)
        socket.connect(endpoint(peer))
        body = bytes(1_000_000)
        sent = refused = received = 0
        while refused < 50:
            try:
                header = str(sent).encode()
                messages.send(line(socket), header, body, int(zmq.DONTWAIT), copy_below=65536)
                sent += 1
            except zmq.Again:
                refused += 1
                if refused % 5 == 0 and received < sent:
                    assert peer.recv_multipart() == [str(received).encode(), body]
                    received += 1
        while received < sent:
            assert peer.recv_multipart() == [str(received).encode(), body]
            received += 1
        assert sent > 0


@pytest.mark.parametrize("kind", [zmq.PULL, zmq.PUSH], ids=["receive", "send"])
def test_terminating_the_context_ends_a_wait(way: str, kind: int) -> None:
    context = SerializingContext()

    def use(socket: Any) -> None:
        waiting.set()
        if kind == zmq.PULL:
            messages.receive(line(socket))
        else:
            messages.send(line(socket), b"header", bytes(LARGE), copy_below=0)

    def wait() -> None:
        with context.socket(kind) as socket, pytest.raises(zmq.ContextTerminated):
            use(socket)

    waiting = threading.Event()
    with beside(wait):
        assert waiting.wait(10)
        time.sleep(0.05)
        context.term()


@pytest.mark.parametrize("size", [1000, LARGE])
def test_two_threads_take_turns_in_one_sender(way: str, size: int) -> None:
    each = 150
    with (
        ImageHub(ANY_PORT) as hub,
        ImageSender(endpoint(hub.zmq_socket)) as sender,
        contextlib.ExitStack() as stack,
    ):

        def stream(name: int) -> None:
            image = np.full(size, name, np.uint8)
            for number in range(each):
                assert sender.send_image([name, number], image) == f"{name} {number}".encode()

        for name in (1, 2, 3):
            stack.enter_context(beside(lambda name=name: stream(name)))  # type: ignore[misc]
        last = {1: -1, 2: -1, 3: -1}
        for _ in range(3 * each):
            (name, number), image = hub.recv_image()
            assert number == last[name] + 1
            assert image.shape == (size,)
            assert (image == name).all()
            last[name] = number
            hub.send_reply(f"{name} {number}".encode())
        assert hub.stats().malformed == 0


# --- signals and fork ----------------------------------------------------------------


@posix
@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("case", ["returns", "raises"])
def test_a_signal_loses_no_message(name: str, case: str, plain: Any) -> None:
    with of_kind(plain, zmq.PUSH) as socket:
        command = [PEERS / "interrupted.py", case, endpoint(socket)]
        with Peer(*command, FASTIMAGEZMQ_MESSAGES=name) as peer:
            assert peer.hear() == "interrupted"
            socket.send_multipart([b"header", b"body"])
            assert peer.hear() == ["header", "body"]
            assert peer.end() == 0


@posix
@native_only
@pytest.mark.parametrize("case", ["closes_the_socket", "closes_while_it_sends"])
def test_a_handler_closes_the_socket_that_waits(case: str, plain: Any) -> None:
    with (
        of_kind(plain, zmq.PUSH) as socket,
        Peer(PEERS / "interrupted.py", case, endpoint(socket), **NATIVE) as peer,
    ):
        assert peer.hear() == "ENOTSOCK"
        assert peer.end() == 0


@posix
@native_only
@pytest.mark.parametrize("case", ["keeps_coming", "keeps_coming_after_close"])
def test_a_timer_of_the_programs_keeps_no_wait_from_ending(case: str, plain: Any) -> None:
    with (
        of_kind(plain, zmq.PUSH) as socket,
        Peer(PEERS / "interrupted.py", case, endpoint(socket), **NATIVE) as peer,
    ):
        assert 0.05 <= peer.hear() < 4
        assert peer.end() == 0


@posix
@native_only
def test_a_forked_child_cannot_use_the_socket_and_does_not_hang(plain: Any) -> None:
    with (
        of_kind(plain, zmq.ROUTER) as socket,
        Peer(PEERS / "interrupted.py", "forks", endpoint(socket), **NATIVE) as peer,
    ):
        assert peer.hear() == ["ENOTSOCK"] * 4
        assert peer.hear() == "parent"
        assert peer.end() == 0


def check_frame(message: int, image: Any, last: int) -> int:
    assert message > last
    assert image.shape in [(40, 50, 3), (200, 300, 3)]
    assert (image == message % 251).all()
    return message


@posix
@native_only
def test_handlers_that_raise_leave_no_half_message_by_pubsub() -> None:
    """With pyzmq's calls some of these frames would be joined from two."""
    with Peer(PEERS / "storm.py", "PUB", 3000, **NATIVE) as peer:
        with ImageHub(peer.hear(), REQ_REP=False, rcvhwm=0) as hub:
            hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 10_000)
            time.sleep(0.2)  # until the subscription is there
            peer.tell()
            last = received = 0
            while (frame := hub.recv_image())[0] != "end":
                last = check_frame(*frame, last)
                received += 1
            assert peer.hear() > 200, "too few interrupts to show anything"
            assert received > 1000
            assert hub.stats().malformed == 0
        peer.tell()
        assert peer.end() == 0


@posix
@native_only
def test_handlers_that_raise_leave_no_half_message_by_reqrep() -> None:
    with ImageHub(ANY_PORT) as hub:
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 10_000)
        address = endpoint(hub.zmq_socket)
        with Peer(PEERS / "storm.py", "REQ", 600, address, **NATIVE) as peer:
            while (frame := hub.recv_image())[0] != "end":
                check_frame(*frame, 0)
                hub.send_reply()
            hub.send_reply()
            assert peer.hear() > 100, "too few interrupts to show anything"
            assert hub.stats().malformed == 0
            peer.tell()
            assert peer.end() == 0


# --- which way is taken --------------------------------------------------------------


def exchange(sender: Any, hub: Any) -> None:
    with beside(lambda: sender.send_image("cam", np.ones((4, 4), np.uint8))):
        assert hub.recv_image()[0] == "cam"
        hub.send_reply()


class Overriding(SerializingSocket):
    calls: tuple[str, ...] = ()

    def send(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += ("send",)
        return super().send(*args, **kwargs)

    def recv(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += ("recv",)
        return super().recv(*args, **kwargs)


@pytest.mark.parametrize("replaced", ["class", "instance", "monkeypatched class"])
def test_methods_that_programs_override_are_called(
    way: str, replaced: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def spying(method: Any, name: str) -> Any:
        def spy(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return method(*args, **kwargs)

        return spy

    with ImageHub(ANY_PORT) as hub, ImageSender(endpoint(hub.zmq_socket)) as sender:
        exchange(sender, hub)
        if replaced == "class":
            for end, kind in ((hub, zmq.REP), (sender, zmq.REQ)):
                end.zmq_socket.close()
                end.zmq_socket = Overriding(end.zmq_context, kind)
                if end is hub:
                    end.zmq_socket.bind(ANY_PORT)
                else:
                    end.zmq_socket.connect(endpoint(hub.zmq_socket))
        elif replaced == "instance":
            for end in (hub, sender):
                for name in ("send", "recv"):
                    setattr(end.zmq_socket, name, spying(getattr(end.zmq_socket, name), name))
        else:
            for name in ("send", "recv"):
                method = getattr(SerializingSocket, name)
                monkeypatch.setattr(SerializingSocket, name, spying(method, name))
        exchange(sender, hub)
        if replaced == "class":
            calls += [*sender.zmq_socket.calls, *hub.zmq_socket.calls]
        # Header and body, reply; twice: sent and received.
        assert sorted(calls) == ["recv"] * 3 + ["send"] * 3


def test_methods_that_a_socket_has_kept(way: str, context: Any) -> None:
    methods = messages.Methods(SerializingSocket, "send", "recv")
    with context.socket(zmq.PUSH) as socket, Overriding(context, zmq.PUSH) as other:
        assert line_of(socket, methods) is line(socket)
        assert line_of(other, methods) is None
        socket.rcvhwm = 5  # an option, no method
        assert line_of(socket, methods) is line(socket)
        socket.recv = print
        assert line_of(socket, methods) is None
    assert line_of(object(), methods) is None
    with pytest.raises(AttributeError):
        messages.Methods(SerializingSocket, "absent")


@native_only
def test_the_functions_are_those_of_pyzmqs_libzmq(context: Any) -> None:
    assert messages.way.reason == sys.modules[BackendSocket.__module__].__file__
    for kind in (zmq.REQ, zmq.REP, zmq.PUB, zmq.SUB, zmq.DEALER):
        with context.socket(kind) as socket:
            assert isinstance(socket.port, messages.Port)
    assert messages.port_of(socket) is None  # it is closed
    with pytest.raises(zmq.ZMQError):
        messages.Port(socket)
    with context.socket(zmq.REQ) as socket:
        stand_in = SimpleNamespace(underlying=socket.underlying, type=zmq.REP)
        with pytest.raises(zmq.ZMQError):
            messages.Port(stand_in)  # type: ignore[arg-type]


def test_a_file_without_libzmq_is_refused_and_harms_nothing(context: Any, plain: Any) -> None:
    with pytest.raises(OSError, match="zmq_errno is not to be found through"):
        _libzmq.attach(_codec.__file__)
    with pytest.raises(OSError, match="is not a loaded library"):
        _libzmq.attach("/no/such/file.so")
    with of_kind(plain, zmq.PULL) as peer, of_kind(context, zmq.PUSH, endpoint(peer)) as socket:
        messages.send(line(socket), b"header", b"body", copy_below=0)
        assert peer.recv_multipart() == [b"header", b"body"]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (_codec.__file__, "zmq_errno is not to be found through"),
        (zmq.__file__, "is not a loaded library"),
        (None, "is no extension file"),
    ],
)
def test_why_the_native_way_is_not_taken(
    file: str | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTIMAGEZMQ_MESSAGES", raising=False)
    monkeypatch.setattr(sys.modules[BackendSocket.__module__], "__file__", file)
    way = messages._attached()
    assert not way.native
    assert reason in way.reason


def test_the_environment_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTIMAGEZMQ_MESSAGES", "pyzmq")
    assert messages._attached() == (False, "FASTIMAGEZMQ_MESSAGES=pyzmq is set")


@pytest.mark.parametrize("name", ["send", "recv"])
def test_calls_that_were_replaced_before_the_import(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As zmq.green does, whose calls give way to other greenlets."""
    monkeypatch.delenv("FASTIMAGEZMQ_MESSAGES", raising=False)
    monkeypatch.setattr(zmq.Socket, name, lambda *_: None)
    assert messages._attached() == (False, "zmq.Socket's send or recv is not pyzmq's own")


@native_only
def test_another_version_than_pyzmqs_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTIMAGEZMQ_MESSAGES", raising=False)
    monkeypatch.setattr(zmq, "zmq_version_info", lambda: (4, 0, 0))
    way = messages._attached()
    assert not way.native
    assert "was found, and pyzmq uses" in way.reason
