"""Old programs and new ones talk: PyPI's imagezmq 1.2.0, in a process of its own, is the peer."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import imagezmq as theirs
import numpy as np
import pytest
import zmq

import fastimagezmq as ours
from fastimagezmq.transport import recovery
from pictures import blobs, description, descriptions, message_of, pixels
from processes import PEERS, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator

ANY_PORT = "tcp://127.0.0.1:*"
PATTERNS = ("reqrep", "pubsub")
NOTHING = np.zeros(1, np.uint8)


def endpoint(end: Any) -> str:
    address: str = end.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return address


def expected_of(content: str) -> list[Any]:
    """Describe what a hub must get of a sender that sends everything of a kind."""
    return descriptions(pixels()) if content == "pixels" else descriptions(blobs(), as_blobs=True)


def test_these_are_two_libraries() -> None:
    assert theirs.__version__ == "1.2.0"
    assert theirs.__title__ == "imagezmq"
    assert ours.__title__ == "fastimagezmq"
    assert theirs.ImageSender is not ours.ImageSender
    assert not issubclass(ours.ImageSender, theirs.ImageSender)


# --- an old sender and our hub -----------------------------------------------------


@pytest.mark.parametrize("library", ["imagezmq", "fastimagezmq"])
@pytest.mark.parametrize("content", ["pixels", "blobs"])
def test_a_req_sender_and_our_hub(content: str, library: str) -> None:
    method = "send_image" if content == "pixels" else "send_jpg"
    expected = expected_of(content)
    with (
        ours.ImageHub(ANY_PORT) as hub,
        Peer(PEERS / "sender.py", library, endpoint(hub), "reqrep", method) as sender,
    ):
        assert sender.hear()["library"] == library
        sender.tell("go")
        for number, frame in enumerate([*expected, None]):
            message, received = hub.recv_image() if content == "pixels" else hub.recv_jpg()
            if frame is None:
                assert message == "end"
            else:
                assert description(message, received) == frame
            hub.send_reply(b"reply %d" % number)
        replies = [sender.hear() for _ in expected]
        assert replies == [["bytes", f"reply {number}"] for number in range(len(expected))]
        assert sender.end() == 0
        assert hub.stats() == ours.HubStats(received=len(expected) + 1, malformed=0)


@pytest.mark.parametrize("content", ["pixels", "blobs"])
def test_an_old_pub_sender_and_our_hub(content: str) -> None:
    method = "send_image" if content == "pixels" else "send_jpg"
    expected = expected_of(content)
    with Peer(PEERS / "sender.py", "imagezmq", ANY_PORT, "pubsub", method) as sender:
        told = sender.hear()
        assert told["library"] == "imagezmq"
        with ours.ImageHub(told["address"], REQ_REP=False) as hub:
            receive = hub.recv_image if content == "pixels" else hub.recv_jpg
            received = [receive()]
            assert received[0][0] == "sync"
            sender.tell("go")
            while received[-1][0] != "end":
                received.append(receive())
        assert [description(*frame) for frame in received if frame[0] not in ("sync", "end")] == (
            expected
        )
        assert sender.hear() == ["NoneType", None]
        assert sender.end() == 0


# --- our sender and an old hub -----------------------------------------------------


def send_all(sender: Any, content: str) -> list[Any]:
    """Send all frames of a kind and "end"; gives the replies."""
    frames, send = (
        (pixels(), sender.send_image) if content == "pixels" else (blobs(), sender.send_jpg)
    )
    replies = [send(message_of(n, name), frame) for n, (name, frame) in enumerate(frames.items())]
    return [*replies, send("end", NOTHING)]


@pytest.mark.parametrize("content", ["pixels", "blobs"])
def test_our_req_sender_and_an_old_hub(content: str) -> None:
    method = "recv_image" if content == "pixels" else "recv_jpg"
    expected = expected_of(content)
    with Peer(PEERS / "hub.py", "imagezmq", ANY_PORT, "reqrep", method) as hub:
        told = hub.hear()
        assert told["library"] == "imagezmq"
        with ours.ImageSender(told["address"]) as sender:
            replies = send_all(sender, content)
        assert all(type(reply) is bytes for reply in replies)
        messages = [frame["message"] for frame in expected] + ["end"]
        assert replies == [f"reply to {message}".encode() for message in messages]
        assert hub.hear_until("end") == expected
        assert hub.end() == 0


@pytest.mark.parametrize("content", ["pixels", "blobs"])
def test_our_pub_sender_and_an_old_hub(content: str) -> None:
    method = "recv_image" if content == "pixels" else "recv_jpg"
    expected = expected_of(content)
    with (
        ours.ImageSender(ANY_PORT, REQ_REP=False) as sender,
        Peer(PEERS / "hub.py", "imagezmq", endpoint(sender), "pubsub", method) as hub,
    ):
        assert hub.hear()["library"] == "imagezmq"
        with sending_sync(sender, method):
            assert hub.hear() == "synced"
        assert set(send_all(sender, content)) == {None}
        assert hub.hear_until("end") == expected
        assert hub.end() == 0


@contextlib.contextmanager
def sending_sync(sender: Any, method: str) -> Iterator[None]:
    """Send "sync" again and again while the block runs: a subscriber comes when it comes."""
    over = threading.Event()

    def send() -> None:
        while not over.wait(0.01):
            (sender.send_image if method == "recv_image" else sender.send_jpg)("sync", NOTHING)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_one_hub_takes_old_and_new_senders_at_a_time() -> None:
    expected = expected_of("blobs")
    with (
        ours.ImageHub(ANY_PORT) as hub,
        Peer(PEERS / "sender.py", "imagezmq", endpoint(hub), "reqrep", "send_jpg") as old,
        Peer(PEERS / "sender.py", "fastimagezmq", endpoint(hub), "reqrep", "send_jpg") as new,
    ):
        for peer in (old, new):
            peer.hear()
            peer.tell("go")
        received: list[Any] = []
        ended = 0
        while ended < 2:
            message, blob = hub.recv_jpg()
            hub.send_reply()
            if message == "end":
                ended += 1
            else:
                received.append(description(message, blob))
        # Each frame comes from each of the two, and each one's frames come in order.
        assert [frame for frame in expected for _ in range(2)] == (
            sorted(received, key=lambda frame: frame["message"]["number"])
        )
        firsts = [frame for n, frame in enumerate(received) if frame not in received[:n]]
        assert firsts == expected
        assert old.end() == new.end() == 0


# --- the bytes ---------------------------------------------------------------------


class Recorder:
    """A TCP proxy between one sender and one hub; it keeps what goes either way."""

    def __init__(self, hub_port: int) -> None:
        self.to_hub = bytearray()
        self.to_sender = bytearray()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self._hub_port = hub_port
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        sender, _ = self._server.accept()
        with sender, socket.create_connection(("127.0.0.1", self._hub_port)) as hub:
            back = threading.Thread(target=self._copy, args=(hub, sender, self.to_sender))
            back.start()
            self._copy(sender, hub, self.to_hub)
            back.join()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket, record: bytearray) -> None:
        with contextlib.suppress(ConnectionError):
            while some := source.recv(1 << 16):
                record += some
                target.sendall(some)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.join()
        self._server.close()


def recorded(sender_library: Any, hub_library: Any, content: str) -> tuple[bytes, bytes]:
    """Send all frames by REQ/REP; gives every byte that went to the hub, and back."""
    with hub_library.ImageHub(ANY_PORT) as hub:
        port = int(endpoint(hub).rpartition(":")[2])
        with Recorder(port) as recorder:

            def serve() -> None:
                message = None
                while message != "end":
                    message, _ = hub.recv_image() if content == "pixels" else hub.recv_jpg()
                    hub.send_reply(b"thanks" if message == "end" else b"OK")

            thread = threading.Thread(target=serve)
            thread.start()
            with sender_library.ImageSender(recorder.address) as sender:
                assert send_all(sender, content)[-2:] == [b"OK", b"thanks"]
            thread.join()
    return bytes(recorder.to_hub), bytes(recorder.to_sender)


@pytest.mark.parametrize("content", ["pixels", "blobs"])
def test_every_byte_on_the_connection_is_the_same(content: str) -> None:
    # Greeting and handshake of ZMTP included: no peer can tell the libraries apart.
    old = recorded(theirs, theirs, content)
    assert len(old[0]) > 1_000_000 or content == "blobs"
    assert recorded(ours, ours, content) == old


def published(library: Any, content: str) -> list[list[bytes]]:
    """Publish all frames; gives the parts of each message."""
    with (
        library.ImageSender(ANY_PORT, REQ_REP=False) as sender,
        zmq.Context() as context,
        context.socket(zmq.SUB) as recorder,
    ):
        recorder.subscribe(b"")
        recorder.connect(endpoint(sender))
        with sending_sync(sender, "recv_image"):
            messages = [recorder.recv_multipart()]
        send_all(sender, content)
        while not messages[-1][0].startswith(b'{"msg": "end"'):
            messages.append(recorder.recv_multipart())
    assert messages[0][0] == b'{"msg": "sync", "dtype": "uint8", "shape": [1]}'
    return [message for message in messages if b'"sync"' not in message[0]]


@pytest.mark.parametrize("content", ["pixels", "blobs"])
def test_every_published_part_is_the_same(content: str) -> None:
    old = published(theirs, content)
    assert len(old) == len(pixels() if content == "pixels" else blobs()) + 1
    assert {len(parts) for parts in old} == {2}
    assert published(ours, content) == old


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_sockets_options_are_imagezmqs(pattern: str) -> None:
    def options_of(library: Any) -> dict[str, Any]:
        address = "tcp://127.0.0.1:1" if pattern == "reqrep" else ANY_PORT
        with library.ImageSender(address, REQ_REP=pattern == "reqrep") as sender:
            values = {}
            for option in zmq.SocketOption:
                with contextlib.suppress(zmq.ZMQError):  # not one to be asked for
                    values[option.name] = sender.zmq_socket.getsockopt(option)
        for own in ("FD", "THREAD_SAFE", "LAST_ENDPOINT"):
            values.pop(own, None)
        return values

    old, new = options_of(theirs), options_of(ours)
    assert len(old) > 30
    liveness = {option.name for option in map(zmq.SocketOption, recovery.LIVENESS)}
    expected = {"LINGER"} | (liveness if pattern == "reqrep" else {"SNDBUF", "HANDSHAKE_IVL"})
    assert {name for name in old if old[name] != new[name]} == expected
    assert (old["LINGER"], new["LINGER"]) == (-1, 900)
