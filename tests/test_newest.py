"""ImageHub(latest=True): the newest frame of each camera, each once, in turns."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagezmq as theirs
import numpy as np
import pytest
import zmq

import fastimagezmq as ours
from fastimagezmq.transport import messages
from processes import PEERS, Peer, beside
from rings import Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PICTURE = np.zeros((60, 80, 3), np.uint8)
ANY_PORT = "tcp://127.0.0.1:*"
WAYS = ["pyzmq", "native"] if messages.way.native else ["pyzmq"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals, no fork")


@pytest.fixture(params=WAYS, autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test is for the drain in C and for the one in Python."""
    if request.param == "pyzmq":
        monkeypatch.setattr(messages, "way", messages.Way(False, "the test wants it so"))
        monkeypatch.setenv("FASTIMAGEZMQ_MESSAGES", "pyzmq")
    return str(request.param)


def endpoint(end: Any) -> str:
    address: str = end.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return address


def wait_until(true: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.002)


def arrived(hub: Any) -> int:
    """Give how many frames have come, of all cameras."""
    return sum(camera.received for camera in hub.stats().cameras)


@contextlib.contextmanager
def publishing(
    *options: Any, library: str = "fastimagezmq", **hub_options: Any
) -> Iterator[tuple[Any, Peer]]:
    """Give a hub that a process publishes to; frames come when the block is entered."""
    with (
        Peer(PEERS / "publisher.py", library, *options) as peer,
        ours.ImageHub(peer.hear(), REQ_REP=False, latest=True, **hub_options) as hub,
    ):
        assert hub.zmq_socket.poll(20_000)
        yield hub, peer


@contextlib.contextmanager
def pubsub(**options: Any) -> Iterator[tuple[Any, Any]]:
    """Give a hub and a raw PUB socket that it hears; nothing is under way."""
    with zmq.Context() as context, context.socket(zmq.PUB) as pub:
        pub.linger = 0
        pub.bind(ANY_PORT)
        with ours.ImageHub(
            pub.last_endpoint.decode(), REQ_REP=False, latest=True, **options
        ) as hub:
            while not hub.zmq_socket.poll(5):
                pub.send_multipart([b'{"msg": "sync"}', b""])
            pub.send_multipart([b'{"msg": "sync over"}', b""])
            while hub.recv_jpg()[0] != "sync over":
                pass
            yield hub, pub


def publish(pub: Any, message: Any, body: bytes = b"", **stamps: Any) -> None:
    pub.send_multipart([json.dumps({"msg": message} | stamps).encode(), body])


def published(hub: Any, pub: Any, message: Any, *frames: Any) -> None:
    """Publish, and return when it has all come."""
    before = arrived(hub)
    for frame in frames:
        publish(pub, message, str(frame).encode())
    wait_until(lambda: arrived(hub) == before + len(frames))


def next_of(hub: Any) -> tuple[Any, str]:
    message, body = hub.recv_jpg()
    return message, bytes(body).decode()


# --- PUB/SUB ------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["fastimagezmq", "imagezmq"])
def test_a_slow_consumer_gets_the_newest_frames_in_order(library: str) -> None:
    with publishing(100, 10_000, "a", library=library) as (hub, _):
        numbers, ages = [], []
        for _ in range(8):
            message, image = hub.recv_image()
            assert message == "a"
            numbers.append(image[0])
            ages.append(time.monotonic() - image[1])
            time.sleep(0.15)
        assert numbers == sorted(set(numbers))
        assert numbers[-1] - numbers[0] > 8
        # A queue would be a second behind by now; a frame takes 10 ms.
        assert min(ages) < 0.1
        assert max(ages) < 0.5
        stats = hub.stats()
        assert stats.received == 8
        assert stats.dropped == stats.cameras[0].dropped > 8
        assert stats.malformed == 0


def test_a_consumer_that_computes_without_giving_way_gets_the_newest_too(way: str) -> None:
    """One that holds the GIL the whole time keeps a thread of Python's from draining."""
    if way == "pyzmq":
        pytest.skip("the drain in Python needs the GIL")
    with publishing(100, 10_000, "a") as (hub, _):
        hub.recv_image()
        pattern, hard = re.compile(r"(a+)+b"), "a" * 18
        before = arrived(hub)
        began = time.monotonic()
        while time.monotonic() - began < 0.5:
            assert pattern.match(hard) is None  # each of these holds the GIL for some ms
        assert time.monotonic() - hub.recv_image()[1][1] < 0.25
        assert arrived(hub) > before + 5


def test_cameras_take_turns() -> None:
    names = [f"camera {n}" for n in range(6)]

    def all_have_something_new() -> bool:
        rows = hub.stats().cameras
        return sum(row.received > row.delivered + row.dropped for row in rows) == len(names)

    with publishing(100, 2000, *names) as (hub, _):
        last: dict[str, float] = {}
        got = []
        for _ in range(30):
            wait_until(all_have_something_new)
            message, image = hub.recv_image()
            assert image[0] > last.get(message, -1)
            last[message] = image[0]
            got.append(message)
        assert got == got[:6] * 5
        assert sorted(got[:6]) == names


def test_a_busy_camera_does_not_keep_a_rare_one_waiting() -> None:
    with pubsub() as (hub, pub):
        published(hub, pub, "busy", 1)
        published(hub, pub, "rare", 1)
        published(hub, pub, "busy", 2, 3)
        assert next_of(hub) == ("busy", "3")
        published(hub, pub, "busy", 4)
        assert next_of(hub) == ("rare", "1")
        assert next_of(hub) == ("busy", "4")
        assert not hub.zmq_socket.poll(20)


def test_no_frame_comes_twice_and_none_is_lost_that_was_not_replaced() -> None:
    with pubsub() as (hub, pub):
        for number in range(50):
            publish(pub, "a", str(number).encode())
            assert next_of(hub) == ("a", str(number))
        assert hub.stats().dropped <= 1  # the one that the test began with


def test_memory_is_bounded() -> None:
    with publishing(60, 1_000_000, "a", "b") as (hub, _):
        hub.recv_image()
        before, count = resident(), arrived(hub)
        wait_until(lambda: arrived(hub) > count + 100)  # 100 MB
        assert resident() - before < 30_000_000


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_hub_hears_several_senders() -> None:
    with pubsub() as (hub, pub), zmq.Context() as context, context.socket(zmq.PUB) as other:
        other.linger = 0
        other.bind(ANY_PORT)

        def connect_while_it_waits() -> None:
            time.sleep(0.05)
            hub.connect(other.last_endpoint.decode())
            while not any(camera.camera == "other" for camera in hub.stats().cameras):
                publish(other, "other", b"1")
                time.sleep(0.005)

        with beside(connect_while_it_waits):
            assert hub.recv_jpg()[0] == "other"
        publish(pub, "first", b"2")
        while hub.recv_jpg()[0] != "first":
            pass  # one more of the other's
        with pytest.raises(ours.AddressError, match="no port"):
            hub.connect("tcp://127.0.0.1")


def test_jpegs_are_decoded_only_when_they_are_given() -> None:
    """What is dropped may be no JPEG at all."""
    with pubsub() as (hub, pub):
        jpeg = bytes(ours.encode_jpeg(PICTURE))
        before = arrived(hub)
        for body in (b"\xff\xd8 no JPEG", b"neither", jpeg):
            publish(pub, "a", body, enc="jpeg")
        wait_until(lambda: arrived(hub) == before + 3)
        message, image = hub.recv_image()
        assert message == "a"
        assert image.shape == PICTURE.shape
        assert hub.stats().malformed == 0


# --- REQ/REP --------------------------------------------------------------------------


@contextlib.contextmanager
def sending(library: Any, address: str, *frames: Any, **options: Any) -> Iterator[Any]:
    """Send frames on a thread while the block runs; gives the future of the replies."""

    def send() -> list[Any]:
        with library.ImageSender(address, **options) as sender:
            return [sender.send_image(message, PICTURE) for message in frames]

    with beside(send) as replies:
        yield replies


@pytest.mark.parametrize("library", [ours, theirs], ids=["ours", "theirs"])
def test_a_req_sender_is_answered_what_the_program_says(library: Any) -> None:
    with ours.ImageHub(ANY_PORT, latest=True) as hub:
        with sending(library, endpoint(hub), "a", "b", "c") as replies:
            for name in "abc":
                message, image = hub.recv_image()
                assert message == name
                assert image.shape == PICTURE.shape
                hub.send_reply(name.encode())
        assert replies.result() == [b"a", b"b", b"c"]


def test_stale_frames_are_answered_and_the_newest_by_the_program() -> None:
    with ours.ImageHub(ANY_PORT, latest=True) as hub:
        address = endpoint(hub)
        with ours.ImageSender(address, in_flight=4) as sender:
            for _ in range(4):
                sender.send_image("a", PICTURE)
            wait_until(lambda: arrived(hub) == 4)
            assert hub.recv_image()[0] == "a"
            hub.send_reply(b"this one")
            assert sender.flush(10)
            # Stale ones are answered at once, and the order of replies is that of the frames.
            assert sender.replies() == [b"OK", b"OK", b"OK", b"this one"]
        assert hub.stats().dropped == 3
        with sending(theirs, address, "b") as first:
            wait_until(lambda: arrived(hub) == 5)
            with sending(theirs, address, "b") as second:
                assert first.result(10) == [b"OK"]
                hub.recv_image()
                hub.send_reply(b"the newer")
        assert second.result() == [b"the newer"]


def test_replies_are_in_turn() -> None:
    with ours.ImageHub(ANY_PORT, latest=True) as hub:
        with pytest.raises(ours.StateError, match="no frame waits"):
            hub.send_reply()
        with sending(ours, endpoint(hub), "a") as replies:
            hub.recv_image()
            with pytest.raises(ours.StateError, match="has not been answered"):
                hub.recv_image()
            hub.zmq_socket.send(b"by the socket")
            with pytest.raises(ours.StateError, match="no frame waits"):
                hub.send_reply()
            with pytest.raises(TypeError):
                hub.send_reply("text")  # type: ignore[arg-type]
        assert replies.result() == [b"by the socket"]
    with pubsub() as (sub_hub, _), pytest.raises(ours.StateError, match="SUB hub"):
        sub_hub.send_reply()


def test_what_stands_before_a_message_comes_back_with_the_reply() -> None:
    with (
        ours.ImageHub(ANY_PORT, latest=True) as hub,
        zmq.Context() as context,
        context.socket(zmq.REQ) as req,
        context.socket(zmq.DEALER) as dealer,
    ):
        for one in (req, dealer):
            one.linger = 0
            one.rcvtimeo = 10_000
        req.setsockopt(zmq.REQ_CORRELATE, 1)
        req.connect(endpoint(hub))
        req.send_multipart([b'{"msg": 1}', b"body"])
        assert hub.recv_jpg()[0] == 1
        hub.send_reply(b"one")
        assert req.recv_multipart() == [b"one"]
        dealer.connect(endpoint(hub))
        dealer.send_multipart([b"no delimiter", b'{"msg": 2}'])  # a REP passes it over
        dealer.send_multipart([b"1", b"2", b"3", b"4", b"", b'{"msg": 3}', b"too deep"])
        dealer.send_multipart([b"hop", b"", b'{"msg": 4}', b"body"])
        assert hub.recv_jpg()[0] == 4
        hub.send_reply(b"four")
        assert dealer.recv_multipart() == [b"hop", b"", b"four"]


MALFORMED = [[b"one part"], [b"no JSON", b""], [b"{}", b""], [b"[1]", b""], [b"1", b"2", b"3"]]


@pytest.mark.parametrize("parts", MALFORMED)
def test_what_is_no_frame_is_answered_and_counted(parts: list[bytes]) -> None:
    with (
        ours.ImageHub(ANY_PORT, latest=True) as hub,
        zmq.Context() as context,
        context.socket(zmq.REQ) as req,
    ):
        req.linger = 0
        req.rcvtimeo = 10_000
        req.connect(endpoint(hub))
        req.send_multipart(parts)
        assert hub.zmq_socket.poll(10_000)
        with sending(ours, endpoint(hub), "a"):
            assert hub.recv_image()[0] == "a"
            hub.send_reply()
        assert req.recv().startswith(b"ERROR: ")
        assert hub.stats().malformed == 1


def test_what_is_no_frame_takes_no_cameras_place() -> None:
    with pubsub(max_cameras=4, on_error="raise") as (hub, pub):
        published(hub, pub, "a", 1)
        for number in range(20):
            pub.send_multipart([b"nonsense %d" % number, b""])
        published(hub, pub, "b", 2)
        assert next_of(hub) == ("a", "1")
        with pytest.raises(ours.WireError, match="not JSON"):
            hub.recv_jpg()
        assert next_of(hub) == ("b", "2")
        assert hub.stats().malformed == 20


def test_a_sender_that_has_gone_harms_nobody() -> None:
    with ours.ImageHub(ANY_PORT, latest=True) as hub:
        with Peer(PEERS / "one_frame.py", endpoint(hub)) as peer:
            assert peer.hear() == "sends"
            wait_until(lambda: arrived(hub) == 1)
            assert hub.recv_image()[0] == "gone"
            peer.process.kill()
            peer.process.wait()
        hub.send_reply()
        with sending(ours, endpoint(hub), "alive") as replies:
            assert hub.recv_image()[0] == "alive"
            hub.send_reply(b"yes")
        assert replies.result() == [b"yes"]


# --- what tells a camera --------------------------------------------------------------


def test_a_field_of_the_message_tells_the_camera() -> None:
    with pubsub(key="näme") as (hub, pub):
        before = arrived(hub)
        for number in range(3):
            publish(pub, {"time": number, "näme": "door"}, b"1")
            publish(pub, {"time": number, "näme": {"nested": [1, "}"]}}, b"1")
            publish(pub, {"time": number}, b"1")
            publish(pub, number, b"1")
        wait_until(lambda: arrived(hub) == before + 12)
        got = [hub.recv_jpg()[0] for _ in range(3)]
        assert not hub.zmq_socket.poll(10)
        assert {"time": 2, "näme": "door"} in got
        assert {"time": 2, "näme": {"nested": [1, "}"]}} in got
        assert 2 in got  # what lacks the field is one camera, "None"
        cameras = {str(camera.camera) for camera in hub.stats().cameras}
        assert cameras == {"door", "{'nested': [1, '}']}", "None"}


def test_the_peer_tells_the_camera() -> None:
    with pubsub(key="peer") as (hub, pub):
        for number in range(5):
            published(hub, pub, f"at {number}", number)
        assert next_of(hub) == ("at 4", "4")
        assert [camera.camera for camera in hub.stats().cameras] == ["127.0.0.1"]


def test_a_function_tells_the_camera() -> None:
    asked = []

    def camera(message: Any) -> Any:
        asked.append(message)
        return str(message).split()[0]

    with pubsub(key=camera) as (hub, pub):
        for number in range(40):
            for name in ("front", "back"):
                publish(pub, f"{name} {number}", str(number).encode())
        publish(pub, "last 0", b"0")
        seen = hub._fiz_stand_in._drain.newest
        wait_until(lambda: any(b"last" in row[0] for row in seen.cameras()))
        assert not [message for message in asked if "3" in message]
        assert [next_of(hub) for _ in range(3)] == [
            ("front 39", "39"), ("back 39", "39"), ("last 0", "0"),
        ]  # fmt: skip
        assert not hub.zmq_socket.poll(10)
        stats = hub.stats()
        assert {one.camera: one.delivered for one in stats.cameras if one.camera != "sync"} == {
            "front": 1, "back": 1, "last": 1,
        }  # fmt: skip
        assert stats.dropped >= 78


def test_a_function_that_fails_loses_its_frame_alone() -> None:
    def camera(message: Any) -> Any:
        return {"a": 1, "b": 2}[message]

    with ours.ImageHub(ANY_PORT, latest=True, key=camera) as hub:
        with sending(ours, endpoint(hub), "unknown", "a", "a") as replies:
            with pytest.raises(KeyError):
                hub.recv_image()
            for _ in range(2):
                assert hub.recv_image()[0] == "a"
                hub.send_reply(b"found")
        assert replies.result() == [b"OK", b"found", b"found"]


def test_messages_that_change_are_forgotten_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pubsub(max_cameras=4) as (hub, pub):
        for number in range(12):
            publish(pub, f"at {number}", str(number).encode())
        wait_until(lambda: any(camera.camera == "at 11" for camera in hub.stats().cameras))
        with caplog.at_level(logging.WARNING, "fastimagezmq"):
            got = [next_of(hub)[0] for _ in range(4)]
        assert got == ["at 8", "at 9", "at 10", "at 11"]
        stats = hub.stats()
        assert len(stats.cameras) == 4
        assert stats.forgotten == 10  # and the two that the test began with
        assert stats.dropped >= 8
    assert len(caplog.records) == 1
    assert "pass key=" in caplog.text


def test_a_frame_that_was_sent_again_comes_once() -> None:
    with pubsub() as (hub, pub):
        publish(pub, "a", b"0", ts=1.0, seq=7)
        assert next_of(hub) == ("a", "0")
        publish(pub, "a", b"0", ts=1.0, seq=7)
        publish(pub, "b", b"1")
        assert next_of(hub) == ("b", "1")
        assert not hub.zmq_socket.poll(10)
        publish(pub, "a", b"another", ts=2.0, seq=7)  # of a sender that was restarted
        assert next_of(hub) == ("a", "another")


# --- stats ----------------------------------------------------------------------------


def test_stats_of_each_camera() -> None:
    with pubsub() as (hub, pub):
        for number, age in ((0, 1), (1, 2), (4, 3)):
            publish(pub, "stamped", b"", ts=time.time() - age, seq=number)
            hub.recv_jpg()
        published(hub, pub, "plain", 1, 2)
        by_name = {camera.camera: camera for camera in hub.stats().cameras}
        stamped, plain = by_name["stamped"], by_name["plain"]
        assert (stamped.received, stamped.delivered, stamped.dropped, stamped.gaps) == (3, 3, 0, 2)
        assert stamped.age_p50 == pytest.approx(2, abs=0.5)
        assert stamped.age_p99 == pytest.approx(3, abs=0.5)
        assert plain == ("plain", 2, 0, 1, None, None, None)
    assert hub.stats().cameras[0].camera == "plain"  # also when it is closed


def test_stats_print_as_a_table() -> None:
    with pubsub() as (hub, pub):
        published(hub, pub, "plain", 1)
        published(hub, pub, ["a list", "with a very long name\n", 12345], 1)
        published(hub, pub, "x" * 1000, 1)
        text = str(hub.stats())
    first, head, *rows = text.splitlines()
    assert first == "received 2, malformed 0"
    assert "age p50" in head
    assert len(rows) == len(hub.stats().cameras)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert str(ours.HubStats(2, 1)) == "received 2, malformed 1"
    huge = ours.HubStats(1, 1, 0, 0, 2**63, 2**63, hub.stats().cameras)
    camera = huge.cameras[0]._replace(
        received=2**63, delivered=123_456_789, dropped=99_999_999, gaps=10**15, age_p50=-86400.0,
        age_p99=999.96,
    )  # fmt: skip
    assert all(len(line) <= 80 for line in str(huge._replace(cameras=(camera,))).split("\n"))


# --- the socket that stands in ----------------------------------------------------------


def test_the_socket_says_that_frames_are_not_received_from_it() -> None:
    with pubsub() as (hub, _):
        socket = hub.zmq_socket
        for method in ("recv", "recv_multipart", "recv_array", "recv_jpg", "recv_string"):
            with pytest.raises(ours.StateError, match="call recv_image"):
                getattr(socket, method)()
        with pytest.raises(AttributeError, match="latest=True has no underlying"):
            _ = socket.underlying
        assert socket.type == zmq.SUB
        assert socket.context is hub.zmq_context
        assert socket.getsockopt(zmq.RCVHWM) == socket.rcvhwm == 2
        socket.rcvhwm = 5
        assert socket.get(zmq.RCVHWM) == 5
        with pytest.raises(zmq.ZMQError):
            socket.setsockopt(zmq.RCVHWM, -5)
    assert socket.closed


def test_rcvtimeo_holds() -> None:
    with ours.ImageHub(ANY_PORT, latest=True, options={"RCVTIMEO": 50}) as hub:
        began = time.monotonic()
        with pytest.raises(zmq.Again):
            hub.recv_image()
        assert time.monotonic() - began >= 0.05
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 0)
        with pytest.raises(zmq.Again):
            hub.recv_image()
        hub.zmq_socket.rcvtimeo = -1
        with sending(ours, endpoint(hub), "a"):
            assert hub.recv_image()[0] == "a"
            hub.send_reply()


def test_options_are_checked() -> None:
    for wrong in ({"max_cameras": 0}, {"key": "a", "latest": False}):
        with pytest.raises(ValueError, match="="):
            ours.ImageHub(ANY_PORT, **{"latest": True} | wrong)
    with pytest.raises(TypeError, match="key=7"):
        ours.ImageHub(ANY_PORT, latest=True, key=7)  # type: ignore[arg-type]
    with pytest.raises(ours.AddressError, match="no port"):
        ours.ImageHub("tcp://127.0.0.1", latest=True)
    with ours.ImageHub(ANY_PORT, latest=True, rcvhwm=9) as hub:
        assert hub.zmq_socket.rcvhwm == 9

    class Own(ours.ImageHub):
        def init_reqrep(self, address: str) -> None:
            self._open(zmq.REP).bind(address)

    with pytest.raises(ValueError, match="opens another"):
        Own(ANY_PORT, latest=True)


def test_an_address_that_is_opened_again() -> None:
    with ours.ImageHub(ANY_PORT, latest=True) as hub:
        first = hub.zmq_socket
        hub.init_reqrep(ANY_PORT)
        wait_until(lambda: first.closed)
        with sending(ours, endpoint(hub), "a"):
            assert hub.recv_image()[0] == "a"
            hub.send_reply()
        first.context.destroy(0)


# --- the end ----------------------------------------------------------------------------


def drains() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fastimagezmq-drain"]


def test_close_wakes_who_waits_and_ends_the_thread() -> None:
    hub = ours.ImageHub(ANY_PORT, latest=True)
    assert len(drains()) == 1

    def wait() -> None:
        with pytest.raises((zmq.ContextTerminated, ours.StateError)):
            hub.recv_image()

    with beside(wait), beside(wait):
        time.sleep(0.1)
        hub.close()
    assert hub.zmq_context.closed
    wait_until(lambda: not drains())
    hub.close()
    with pytest.raises(ours.StateError, match="closed"):
        hub.recv_image()
    with pytest.raises(zmq.ZMQError):
        hub.zmq_socket.getsockopt(zmq.RCVHWM)


def test_a_reply_that_was_given_leaves_before_the_end() -> None:
    for _ in range(10):
        hub = ours.ImageHub(ANY_PORT, latest=True)
        with sending(ours, endpoint(hub), "a") as replies:
            hub.recv_image()
            hub.send_reply(b"bye")
            hub.close()
        assert replies.result() == [b"bye"]


CASES = [
    "at_exit",
    "by_an_exception",
    "with_a_daemon_thread_that_receives",
    "dropped",
    "with_its_context_terminated",
    pytest.param("closed_by_a_handler", marks=posix),
    pytest.param("forked", marks=posix),
]


@pytest.mark.parametrize("case", CASES)
def test_a_program_ends(case: str) -> None:
    with Peer(PEERS / "latest.py", case) as program:
        assert program.hear() == "ends"
        status = program.end(10)
        if case == "by_an_exception":
            assert status == 1
            assert "RuntimeError: the program's own" in program.errors
        else:
            assert (status, program.errors) == (0, "")


@posix
def test_ctrl_c_ends_the_wait_at_once() -> None:
    with Peer(PEERS / "latest.py", "interrupted") as program:
        assert program.hear() == "waits"
        time.sleep(0.2)
        began = time.monotonic()
        program.process.send_signal(signal.SIGINT)
        assert program.hear() - began < 0.5
        assert (program.end(10), program.errors) == (0, "")


def test_a_hub_with_a_timeout_of_its_own() -> None:
    with ours.ImageHub(ANY_PORT, latest=True, timeout=0.2) as hub:
        began = time.monotonic()
        with pytest.raises(ours.HubTimeout, match=r"no frame came within 0\.2 s"):
            hub.recv_image()
        assert 0.2 <= time.monotonic() - began < 5
        assert hub.poll(0.05) is False
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 10)
        with pytest.raises(zmq.Again) as raised:
            hub.recv_image()
        assert not isinstance(raised.value, ours.HubTimeout)


def test_a_loop_over_the_newest_frames_replies() -> None:
    with ours.ImageHub(ANY_PORT, latest=True, timeout=20) as hub:

        def send() -> list[bytes | None]:
            with ours.ImageSender(endpoint(hub)) as sender:
                return [sender.send_image(name, PICTURE) for name in ("a", "b", "end")]

        with beside(send) as replies:
            for name, _ in hub:
                if name == "end":
                    break
        assert replies.result() == [b"OK"] * 3


def test_a_camera_that_is_revoked_gives_not_one_frame_more(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    with (
        ours.ImageHub(ANY_PORT, latest=True, timeout=20, security=ring.binding()) as hub,
        ours.ImageSender(endpoint(hub), security=ring.connecting(), timeout=20) as sender,
    ):
        with beside(lambda: sender.send_image("camera", PICTURE)) as reply:
            assert hub.recv_image()[0] == "camera"
            hub.send_reply(b"seen")
        assert reply.result() == b"seen"
        ring.revoke("camera")
        with beside(lambda: sender.send_image("camera", PICTURE)) as reply:
            hub._fiz_timeout = 0.5
            with pytest.raises(ours.HubTimeout):
                hub.recv_image()
        answer = reply.result()
        assert answer is not None
        assert answer.startswith(b"ERROR")
        assert hub.stats().refused == 1


def test_the_newest_frames_of_a_publisher_with_keys(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    own = (ring.key("hub"), ring.list)
    with (
        ours.ImageSender(ANY_PORT, REQ_REP=False, security=own) as sender,
        ours.ImageHub(
            endpoint(sender), REQ_REP=False, latest=True, security=ring.connecting()
        ) as hub,
    ):
        wait_until(lambda: sender.send_image("m", PICTURE) or hub.poll(0.05))
        assert hub.recv_image()[0] == "m"
