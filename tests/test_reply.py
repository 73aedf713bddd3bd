"""The socket of a hub that answers is a REP to whoever uses it: both are put to the same use."""

from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import resource
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

import fastimagezmq
from fastimagezmq import ImageHub, ImageSender, SerializingContext, SerializingSocket, StateError
from fastimagezmq.transport.reply import ReplySocket
from processes import beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANY_PORT = "tcp://127.0.0.1:*"
SOON = 10_000
"""Milliseconds for what comes at once."""

IMAGE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
HEADER = b'{"dtype": "uint8", "shape": [2, 4, 3], "msg": "camera"}'


def shown(result: Any) -> Any:
    """What can be compared of a result."""
    if isinstance(result, zmq.MessageTracker):
        result.wait(5)
        return "tracker"
    if isinstance(result, zmq.Frame) or hasattr(result, "buffer"):
        return bytes(result)
    if isinstance(result, np.ndarray):
        return result.tolist()
    if isinstance(result, list | tuple):
        return [shown(item) for item in result]
    return result


class Both:
    """A socket under test, a DEALER as its peer, and what came of all that was done with them."""

    def __init__(self, socket: Any, peer: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self.peer = peer
        self.log: list[Any] = []

    def asks(self, *parts: bytes, delimited: bool = True) -> None:
        self.peer.send_multipart([b"", *parts] if delimited else list(parts))

    def comes(self) -> None:
        """Wait until something is there."""
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        self.log.append([flags for _, flags in poller.poll(SOON)])

    def hears(self) -> None:
        self.log.append(self.peer.recv_multipart() if self.peer.poll(SOON) else "nothing")

    def does(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Call a method of the socket's and note what comes of it."""
        try:
            self.log.append((name, shown(getattr(self.socket, name)(*args, **kwargs))))
        except Exception as error:
            self.log.append((name, type(error), getattr(error, "errno", None)))

    def reads(self) -> None:
        """Note what tells the socket's state."""
        for option in (zmq.EVENTS, zmq.RCVMORE, zmq.TYPE):
            self.does("getsockopt", option)
            self.does("get", option)
        self.log.append((self.socket.EVENTS, self.socket.rcvmore, self.socket.type))
        for flags in (zmq.POLLIN, zmq.POLLOUT, zmq.POLLIN | zmq.POLLOUT, 0):
            self.does("poll", 0, flags)


def ordinary(both: Both) -> None:
    both.reads()
    both.asks(b"request", b"its end")
    both.comes()
    both.reads()
    both.does("recv")
    both.reads()
    both.does("send", b"too early")
    both.does("recv")
    both.reads()
    both.does("recv")
    both.does("recv", zmq.NOBLOCK)
    both.does("poll", 30)
    both.does("send", b"reply", zmq.SNDMORE)
    both.reads()
    both.does("recv")
    both.does("send", b"", zmq.SNDMORE | zmq.NOBLOCK)
    both.does("send", b"end")
    both.hears()
    both.reads()
    both.does("send", b"too late")


def nothing_there(both: Both) -> None:
    both.does("recv", zmq.NOBLOCK)
    both.does("recv_multipart", flags=zmq.NOBLOCK)
    both.does("recv_array", flags=zmq.NOBLOCK)
    both.does("recv_jpg", zmq.NOBLOCK, copy=False)
    both.does("poll", 20)
    both.socket.RCVTIMEO = 30
    both.does("recv")
    both.does("recv_array")
    both.socket.setsockopt(zmq.RCVTIMEO, 0)
    both.does("recv_json")
    both.does("send", b"")


WAYS_IN: list[tuple[str, dict[str, Any], list[bytes]]] = [
    ("recv", {"copy": False, "track": True}, [b"request"]),
    ("recv", {"flags": zmq.NOBLOCK}, [b""]),
    ("recv_multipart", {}, [b"a", b"", b"b", b""]),
    ("recv_multipart", {"copy": False, "track": True}, [b"a", b"b"]),
    ("recv_string", {}, ["gr\u00fcn".encode()]),
    ("recv_json", {}, [b'{"a": 1}']),
    ("recv_json", {}, [b"no JSON"]),
    ("recv_pyobj", {}, [pickle.dumps({"a": 1})]),
    ("recv_pyobj", {}, [b"no pickle"]),
    ("recv_serialized", {"deserialize": b"|".join}, [b"a", b"b"]),
    ("recv_array", {}, [HEADER, IMAGE.tobytes()]),
    ("recv_array", {"copy": False, "flags": zmq.NOBLOCK}, [HEADER, IMAGE.tobytes()]),
    ("recv_array", {}, [b"no header"]),
    ("recv_array", {}, [HEADER, b"", b"", b"", b"too many"]),
    ("recv_jpg", {}, [b'{"msg": 1}', b"jpeg"]),
    ("recv_jpg", {"copy": False}, [b'{"msg": 1}', b"jpeg"]),
    ("recv_jpg", {}, [b"", b""]),
]


def ways_to_receive(both: Both) -> None:
    for name, arguments, parts in WAYS_IN:
        both.asks(*parts)
        both.comes()
        both.does(name, **arguments)
        both.reads()
        both.does(name, **arguments)
        both.does("send", b"OK")
        both.hears()


WAYS_OUT: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("send", (b"",), {}),
    ("send", (memoryview(b"view"),), {"copy": False}),
    ("send", (zmq.Frame(b"frame"),), {}),
    ("send", (bytearray(100_000),), {"copy": False, "track": True}),
    ("send", (b"positional", zmq.NOBLOCK, False, True), {}),
    ("send_multipart", ([b"a", b"", b"b"],), {}),
    ("send_multipart", ([b"a", b"b"],), {"copy": False, "track": True}),
    ("send_multipart", (["text", b"b"],), {}),
    ("send_string", ("gr\u00fcn",), {}),
    ("send_json", ({"a": 1},), {}),
    ("send_json", (object(),), {}),
    ("send_pyobj", ({"a": 1},), {"protocol": 4}),
    ("send_pyobj", (threading.Lock(),), {}),
    ("send_array", (IMAGE, "camera"), {}),
    ("send_array", (np.zeros(100_000, np.uint8), "camera"), {"copy": False}),
    ("send_array", (IMAGE, object()), {}),
    ("send_jpg", ("camera", b"jpeg"), {"copy": False, "track": True}),
    ("send", ("text",), {}),
    ("send", (object(),), {"copy": False}),
    ("send", (b"x",), {"track": "?"}),
]


def ways_to_send(both: Both) -> None:
    for name, args, kwargs in WAYS_OUT:
        both.asks(b"request")
        both.comes()
        both.does("recv")
        both.does(name, *args, **kwargs)
        both.does("poll", 0, zmq.POLLOUT)
        both.does("send", b"and this, if it was refused")
        both.hears()
        both.does(name, *args, **kwargs)


def parts_and_wholes(both: Both) -> None:
    both.asks(b"first", HEADER, IMAGE.tobytes())
    both.does("recv")
    both.does("recv_array")
    both.does("send", b"first", zmq.SNDMORE)
    both.does("send_array", IMAGE, "camera")
    both.hears()
    both.asks(HEADER, IMAGE.tobytes())
    both.does("recv_array")
    both.does("recv")
    both.does("send_multipart", [b"a", b"b"])
    both.hears()


def envelopes(both: Both) -> None:
    """Whatever hops and identifiers are before the empty part comes back before the reply."""
    for envelope in ([], [b"\0\1\2\3"], [b"hop", b"x" * 300, b"hop"], [b"hop"] * 20):
        both.asks(*envelope, b"", b"request", b"", b"end", delimited=False)
        both.does("recv_multipart")
        both.does("send_multipart", [b"", b"reply"])
        both.hears()


def malformed(both: Both) -> None:
    for undelimited in ([b"junk"], [b"junk", b"more"], [b""], [b"junk", b""], [b"x"] * 50):
        both.asks(*undelimited, delimited=False)
    both.does("recv", zmq.NOBLOCK)
    both.asks(b"request")
    both.does("recv")
    both.asks(b"junk", delimited=False)
    both.asks(b"next")
    both.does("send", b"OK")
    both.hears()
    both.does("recv_array")
    both.does("send", b"OK")
    both.hears()
    both.asks(b"junk", delimited=False)
    both.socket.RCVTIMEO = 50
    both.does("recv")
    both.does("getsockopt", zmq.RCVTIMEO)


def options(both: Both) -> None:
    both.does("getsockopt", zmq.LINGER)
    for name in ("RCVTIMEO", "SNDTIMEO", "RCVHWM", "SNDHWM", "HANDSHAKE_IVL", "MAXMSGSIZE"):
        option = zmq.SocketOption[name]
        both.does("getsockopt", option)
        both.does("setsockopt", option, 77)
        both.does("get", option)
        both.does("set", option, 78)
        both.log.append(getattr(both.socket, name))
        setattr(both.socket, name.lower(), 79)
        both.log.append(getattr(both.socket, name.lower()))
    both.does("set_hwm", 5)
    both.does("get_hwm")
    both.does("setsockopt", zmq.SUBSCRIBE, b"")
    both.does("setsockopt", zmq.LINGER, "text")
    both.does("getsockopt", 9999)
    both.does("get_string", zmq.TYPE)
    both.does("getsockopt_string", zmq.IDENTITY)
    both.does("__setattr__", "attribute", 1)
    both.does("__getattr__", "attribute")
    with pytest.warns(DeprecationWarning, match="socket_type"):
        both.does("__getattribute__", "socket_type")
    both.log.append(isinstance(both.socket, SerializingSocket))
    both.log.append(repr(both.socket).partition("(")[2].partition(")")[0])
    both.does("__reduce_ex__", 2)


def addresses(both: Both) -> None:
    """Bind, connect and back; a REP may connect to a DEALER, too."""
    second = f"inproc://second-{id(both)}"
    both.does("unbind", second)
    with both.socket.bind(second) as bound:
        both.log.append(bound is both.socket)
    both.log.append(len(both.socket.bound))
    both.does("connect", "nonsense")
    with zmq.Context() as context, context.socket(zmq.DEALER) as bound_peer:
        port = bound_peer.bind_to_random_port("tcp://127.0.0.1")
        both.socket.connect(f"tcp://127.0.0.1:{port}")
        bound_peer.send_multipart([b"", b"request"])
        both.does("recv_multipart")
        both.does("send", b"OK")
        both.log.append(bound_peer.recv_multipart() if bound_peer.poll(SOON) else None)
        both.socket.disconnect(f"tcp://127.0.0.1:{port}")
        both.does("disconnect", f"tcp://127.0.0.1:{port}")
    both.does("bind_to_random_port", "nonsense://", max_tries=1)


def metadata(both: Both) -> None:
    both.asks(b"request")
    both.comes()
    part = both.socket.recv(copy=False)
    both.log.append((part["Peer-Address"], part.get("Socket-Type"), part.more))


def pollers(both: Both) -> None:
    both.asks(b"request")
    both.log.append(len(zmq.select([both.socket], [], [], 10)[0]))
    both.does("recv")
    both.does("send", b"OK")
    both.log.append(zmq.select([both.socket], [], [], 0.02))
    both.log.append(isinstance(both.socket.fileno(), int))


def closed(both: Both) -> None:
    both.asks(b"request")
    both.does("recv")
    with both.socket:
        both.log.append(both.socket.closed)
    both.log.append(both.socket.closed)
    for name, args in [("recv", ()), ("send", (b"OK",)), ("poll", (0,)), ("get", (zmq.TYPE,)),
                       ("getsockopt", (zmq.EVENTS,)), ("recv_array", ()), ("send_array", (IMAGE,)),
                       ("close", ())]:  # fmt: skip
        both.does(name, *args)


def ended(both: Both) -> None:
    """A context that another thread terminates wakes whoever waits, and refuses the rest."""
    for name, args in [("recv", ()), ("poll", ()), ("recv_array", ())]:
        with SerializingContext() as context:
            socket = (
                context.socket(zmq.REP)
                if type(both.socket) is SerializingSocket
                else ReplySocket(context)
            )
            other = Both(socket, both.peer)

            def ends(other: Both = other, name: str = name, args: Any = args) -> None:
                other.does(name, *args)
                other.does("send", b"OK")
                other.does("recv")
                other.does("getsockopt", zmq.EVENTS)
                other.socket.close()

            thread = threading.Thread(target=ends)
            thread.start()
            time.sleep(0.1)
            context.term()
            thread.join()
            both.log += other.log


def watched(both: Both) -> None:
    with both.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED) as monitor:
        with zmq.Context() as context, context.socket(zmq.REQ) as req:
            req.connect(both.socket.getsockopt_string(zmq.LAST_ENDPOINT))
            both.log.append(monitor.poll(SOON))
        both.socket.disable_monitor()


USES = [
    ordinary, nothing_there, ways_to_receive, ways_to_send, parts_and_wholes, envelopes, malformed,
    options, addresses, metadata, pollers, closed, ended, watched,
]  # fmt: skip


@contextlib.contextmanager
def put_to_use(make: Callable[[SerializingContext], Any]) -> Iterator[Both]:
    with (
        SerializingContext() as context,
        zmq.Context() as other,
        make(context) as socket,
        other.socket(zmq.DEALER) as peer,
    ):
        socket.bind(ANY_PORT)
        peer.connect(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        peer.linger = 0
        yield Both(socket, peer)


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_it_is_used_as_a_rep(use: Callable[[Both], None]) -> None:
    with put_to_use(lambda context: context.socket(zmq.REP)) as expected:
        use(expected)
    with put_to_use(ReplySocket) as found:
        use(found)
    assert len(expected.log) == len(found.log)
    for number, (mine, its) in enumerate(zip(found.log, expected.log, strict=True)):
        assert mine == its, (number, found.log[:number])


def test_recv_into() -> None:
    if not hasattr(zmq.Socket, "recv_into"):
        pytest.skip("pyzmq has it from 26.4 on")

    def use(both: Both) -> None:
        both.asks(b"request", b"end")
        buffer = bytearray(20)
        both.does("recv_into", buffer)
        both.does("recv_into", buffer, nbytes=2)
        both.log.append(bytes(buffer))
        both.does("recv_into", buffer, flags=zmq.NOBLOCK)
        both.does("send", b"OK")
        both.does("recv_into", buffer, flags=zmq.NOBLOCK)
        both.hears()

    with put_to_use(lambda context: context.socket(zmq.REP)) as expected:
        use(expected)
    with put_to_use(ReplySocket) as found:
        use(found)
    assert found.log == expected.log


# --- messages without delimiter -----------------------------------------------------


@pytest.mark.parametrize("limit_ms", [0, 300])
def test_they_do_not_keep_a_receive_from_ending(limit_ms: int) -> None:
    with put_to_use(ReplySocket) as both:
        both.socket.RCVTIMEO = limit_ms
        stop = threading.Event()

        def sends() -> None:
            while not stop.wait(0.02):
                both.asks(b"junk", delimited=False)

        with beside(sends):
            try:
                for receive in (both.socket.recv, both.socket.recv_array):
                    began = time.monotonic()
                    with pytest.raises(zmq.Again):
                        receive()
                    assert time.monotonic() - began < limit_ms / 1000 + 5
                    assert both.socket.getsockopt(zmq.RCVTIMEO) == limit_ms
            finally:
                stop.set()
        assert limit_ms == 0 or both.socket.passed_over > 0


def test_they_do_not_keep_a_hub_from_its_timeout(caplog: pytest.LogCaptureFixture) -> None:
    with ImageHub(ANY_PORT, timeout=0.3) as hub, zmq.Context() as context:
        with context.socket(zmq.DEALER) as peer:
            peer.connect(hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
            stop = threading.Event()

            def sends() -> None:
                while not stop.wait(0.02):
                    peer.send(b"junk")

            with beside(sends):
                try:
                    for _ in range(3):
                        with pytest.raises(fastimagezmq.HubTimeout):
                            hub.recv_image()
                finally:
                    stop.set()
        stats = hub.stats()
    assert stats.malformed > 3
    assert stats.received == 0
    (warning,) = caplog.records  # a minute has not passed
    assert "skipped a malformed message from 127.0.0.1: the empty part" in warning.message


def test_an_envelope_without_end_is_passed_over() -> None:
    """As many hops as nobody has; a REP would keep them all."""
    with put_to_use(ReplySocket) as both:
        both.asks(*[b"hop"] * 30, b"", b"request", delimited=False)
        assert both.socket.recv() == b"request"
        both.socket.send(b"OK")
        assert both.peer.recv_multipart() == [*[b"hop"] * 30, b"", b"OK"]
        both.asks(*[b"hop"] * 31, b"", b"request", delimited=False)
        both.asks(b"another")
        assert both.socket.recv() == b"another"
        assert both.socket.passed_over == 1


# --- replies that do not arrive -----------------------------------------------------


def test_peers_that_go_between_request_and_reply() -> None:
    with SerializingContext() as context, ReplySocket(context) as socket:
        socket.bind(ANY_PORT)
        address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        for number in range(100):
            with zmq.Context() as other, other.socket(zmq.REQ) as peer:
                peer.connect(address)
                peer.send_multipart([HEADER, IMAGE.tobytes()])
                if number % 2:
                    assert socket.recv_array()[0] == "camera"
                else:
                    assert len(socket.recv_multipart()) == 2
                peer.close(0)
            socket.send_multipart([b"nobody", b"hears", b"this"])
        with zmq.Context() as other, other.socket(zmq.REQ) as peer:
            peer.connect(address)
            peer.send(b"request")
            assert socket.recv() == b"request"
            socket.send(b"OK")
            assert peer.poll(SOON)
            assert peer.recv() == b"OK"


def test_a_reply_that_nobody_takes_is_dropped() -> None:
    """Its peer reads nothing, and its queue is full: it does not wait, and the next one arrives."""
    with SerializingContext() as context, ReplySocket(context) as socket:
        socket.sndhwm = 1
        socket.sndbuf = 4096
        socket.bind(ANY_PORT)
        address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        with zmq.Context() as other, other.socket(zmq.DEALER) as silent:
            silent.linger, silent.rcvhwm, silent.rcvbuf = 0, 1, 4096
            silent.connect(address)
            for _ in range(100):
                silent.send_multipart([b"", b"request"])
                assert socket.recv() == b"request"
                socket.send(bytes(200_000))
            with other.socket(zmq.REQ) as honest:
                honest.connect(address)
                honest.send(b"request")
                assert socket.recv() == b"request"
                socket.send(b"OK")
                assert honest.poll(SOON)
                assert honest.recv() == b"OK"


def test_router_mandatory_tells_who_asked_for_it() -> None:
    """A REP aborts its process then."""
    with SerializingContext() as context, ReplySocket(context) as socket:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.bind(ANY_PORT)
        for _ in range(2):
            with zmq.Context() as other, other.socket(zmq.REQ) as peer:
                peer.connect(socket.getsockopt_string(zmq.LAST_ENDPOINT))
                peer.send(b"request")
                assert socket.recv() == b"request"
                peer.close(0)
            time.sleep(0.2)
            with pytest.raises(zmq.ZMQError) as told:
                socket.send(b"OK")
            assert told.value.errno == zmq.EHOSTUNREACH
            with pytest.raises(zmq.Again):
                socket.recv(zmq.NOBLOCK)


ENVELOPE_BYTES = 100_000
STATM = Path("/proc/self/statm")


def resident() -> int:
    """Bytes that this process holds in memory."""
    return int(STATM.read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not STATM.exists(), reason="Linux tells it")
def test_no_envelope_stays() -> None:
    """Of requests answered, refused, and dropped with their socket, one or a thousand of them."""
    hop = bytes(ENVELOPE_BYTES)

    def some(count: int) -> None:
        with put_to_use(ReplySocket) as both:
            both.peer.sndhwm = both.socket.sndhwm = 10
            for _ in range(count):
                both.asks(hop, b"", b"request", delimited=False)
                assert both.socket.recv() == b"request"
                with pytest.raises(zmq.ZMQError):
                    both.socket.recv()
                with pytest.raises(TypeError):
                    both.socket.send("text")
                both.socket.send(b"OK")
                assert both.peer.recv_multipart()[0] == hop
            for _ in range(count):
                both.asks(hop, b"no end", delimited=False)
                with pytest.raises(zmq.Again):
                    both.socket.recv_array(zmq.NOBLOCK if both.socket.poll(SOON) else 0)
        for _ in range(count // 10):
            with put_to_use(ReplySocket) as both:
                both.asks(hop, b"", b"request", b"end", delimited=False)
                both.socket.recv()

    some(20)
    gc.collect()
    before = resident()
    some(300)
    gc.collect()
    assert resident() - before < 100 * ENVELOPE_BYTES  # a third of one kind


# --- a hub's socket -----------------------------------------------------------------


@pytest.fixture
def hub() -> Iterator[ImageHub]:
    with ImageHub(ANY_PORT, timeout=10) as hub:
        yield hub


@pytest.fixture
def sender(hub: ImageHub) -> Iterator[ImageSender]:
    address = hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    with ImageSender(address, timeout=10) as sender:
        yield sender


def test_a_hub_and_its_socket_take_turns(hub: ImageHub, sender: ImageSender) -> None:
    """What one has received the other can answer, and go on with."""
    socket = hub.zmq_socket
    assert isinstance(socket, SerializingSocket)
    with beside(lambda: sender.send_image("camera", IMAGE)) as reply:
        message, image = socket.recv_array()
        assert (message, image.tolist()) == ("camera", IMAGE.tolist())
        with pytest.raises(StateError, match="has not been answered"):
            hub.recv_image()
        assert hub.poll(0.05) is False
        hub.send_reply(b"by the hub")
    assert reply.result() == b"by the hub"
    with pytest.raises(StateError, match="no frame waits"):
        hub.send_reply()
    with beside(lambda: sender.send_image("camera", IMAGE)) as reply:
        assert hub.recv_image()[0] == "camera"
        with pytest.raises(zmq.ZMQError) as told:
            socket.recv()
        assert told.value.errno == zmq.EFSM
        socket.send(b"by the socket")
    assert reply.result() == b"by the socket"


def test_a_reply_of_several_parts(hub: ImageHub) -> None:
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.connect(hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
        req.send_multipart([HEADER, IMAGE.tobytes()])
        hub.recv_image()
        hub.zmq_socket.send(b"begun", zmq.SNDMORE)
        hub.send_reply(b"ended")
        assert req.recv_multipart() == [b"begun", b"ended"]


def test_a_poller_sees_a_router(hub: ImageHub) -> None:
    """It tells of what waits while a reply is to come, which the socket's own poll does not."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.connect(hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
        for _ in range(2):
            peer.send_multipart([b"", HEADER, IMAGE.tobytes()])
        hub.recv_image()
        assert zmq.select([hub.zmq_socket], [], [], 10)[0]
        assert not hub.zmq_socket.poll(50)
        assert not hub.poll(0.05)
        hub.send_reply()
        assert hub.poll(10)
        hub.recv_image()


@pytest.mark.parametrize("owner", [SerializingSocket, ReplySocket])
def test_methods_that_a_program_replaces_are_called(
    hub: ImageHub, sender: ImageSender, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []
    for name in ("recv", "send"):
        original = getattr(owner, name)

        def replaced(
            socket: Any, *args: Any, original: Any = original, name: str = name, **kwargs: Any
        ) -> Any:
            if socket is hub.zmq_socket:
                called.append(name)
            return original(socket, *args, **kwargs)

        monkeypatch.setattr(owner, name, replaced)
    with beside(lambda: sender.send_image("camera", IMAGE)) as reply:
        hub.zmq_socket.recv_array()
        hub.send_reply(b"OK")
    assert reply.result() == b"OK"
    assert {"recv", "send"} <= set(called)


def test_what_does_not_know_its_turn_cannot_be_made_of_it(hub: ImageHub) -> None:
    with pytest.raises(TypeError):
        copy.copy(hub.zmq_socket)
    with pytest.raises(TypeError):
        pickle.dumps(hub.zmq_socket)
