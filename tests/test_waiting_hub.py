"""A hub that waits a while only: timeout=, poll, and loops that answer by themselves."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import imagezmq as imagezmq_1_2
import numpy as np
import pytest
import zmq

from fastimagezmq import HubTimeout, ImageHub, ImageSender, StateError
from processes import PEERS, Peer, beside

if TYPE_CHECKING:
    from collections.abc import Iterator

ANY_PORT = "tcp://127.0.0.1:*"
WRONG_TIMEOUT = r"timeout=.*: give seconds, 0 or more, or None"
IMAGE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def address(hub: ImageHub) -> str:
    return str(hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))


@pytest.fixture
def hub() -> Iterator[ImageHub]:
    with ImageHub(ANY_PORT, timeout=10) as opened:
        yield opened


def test_nothing_within_the_timeout_is_an_error_of_three_kinds() -> None:
    with ImageHub(ANY_PORT, timeout=0.2) as hub:
        began = time.monotonic()
        with pytest.raises(HubTimeout, match=r"no frame came within 0.2 s \(timeout=\)") as raised:
            hub.recv_image()
        assert 0.2 <= time.monotonic() - began < 5
        assert isinstance(raised.value, zmq.Again)
        assert isinstance(raised.value, TimeoutError)
        assert raised.value.errno == zmq.EAGAIN
        with ImageSender(address(hub)) as sender, beside(lambda: sender.send_image("a", IMAGE)):
            assert hub.recv_image()[0] == "a"  # as usable as ever
            hub.send_reply()


@pytest.mark.parametrize("receive", ["recv_image", "recv_jpg", "recv_frame"])
def test_timeout_holds_for_each_way_to_receive(receive: str) -> None:
    with ImageHub(ANY_PORT, timeout=0) as hub, pytest.raises(HubTimeout):
        getattr(hub, receive)()


def test_timeout_of_more_than_a_slice_holds_for_a_sub_hub() -> None:
    with ImageHub("tcp://127.0.0.1:9", REQ_REP=False, timeout=0.7) as hub:
        began = time.monotonic()
        with pytest.raises(HubTimeout):
            hub.recv_image()
        assert 0.7 <= time.monotonic() - began < 5


def test_a_shorter_rcvtimeo_of_the_program_still_holds() -> None:
    with ImageHub(ANY_PORT, timeout=30, options={"RCVTIMEO": 50}) as hub:
        with pytest.raises(zmq.Again) as raised:
            hub.recv_image()
        assert not isinstance(raised.value, HubTimeout)


def test_malformed_messages_do_not_make_the_wait_longer() -> None:
    """A flood of them is skipped, and the time for a frame runs all the same."""
    with ImageHub(ANY_PORT, timeout=0.5) as hub, zmq.Context() as context:
        with context.socket(zmq.REQ) as socket:
            socket.connect(address(hub))
            socket.setsockopt(zmq.LINGER, 0)
            ended = threading.Event()

            def flood() -> None:
                while not ended.is_set():
                    socket.send(b"rubbish")
                    if socket.poll(1000):
                        socket.recv()
                    time.sleep(0.01)

            with beside(flood):
                began = time.monotonic()
                try:
                    with pytest.raises(HubTimeout):
                        hub.recv_image()
                    assert time.monotonic() - began < 5
                finally:
                    ended.set()
                    hub.poll(1)  # what is on its way gets its answer
                    with pytest.raises(HubTimeout):
                        hub.recv_image()
        assert hub.stats().malformed > 1


@pytest.mark.parametrize("wrong", [-1, True, "1", float("nan")])
def test_a_wrong_timeout_is_told(wrong: Any) -> None:
    with pytest.raises(ValueError, match=WRONG_TIMEOUT):
        ImageHub(ANY_PORT, timeout=wrong)
    with ImageHub(ANY_PORT) as hub, pytest.raises(ValueError, match=WRONG_TIMEOUT):
        hub.poll(wrong)


def test_poll_tells_whether_a_frame_is_there(hub: ImageHub) -> None:
    assert hub.poll() is False
    assert hub.poll(0.05) is False
    with ImageSender(address(hub)) as sender, beside(lambda: sender.send_image("a", IMAGE)):
        assert hub.poll(None) is True
        assert hub.poll() is True
        hub.recv_image()
        assert hub.poll() is False
        hub.send_reply()


def test_poll_ends_when_the_hub_is_closed(hub: ImageHub) -> None:
    def close_soon() -> None:
        time.sleep(0.1)
        hub.close()

    with beside(close_soon), pytest.raises((zmq.ContextTerminated, StateError)):
        hub.poll(None)
    with pytest.raises(StateError, match="is closed"):
        hub.poll()


def test_a_loop_answers_ok_after_its_body_unless_the_body_has(hub: ImageHub) -> None:
    replies: list[Any] = []

    def send() -> None:
        with ImageSender(address(hub)) as sender:
            replies.extend(sender.send_image(name, IMAGE) for name in ("a", "b", "c"))

    names = []
    with beside(send):
        for name, image in hub:
            names.append(name)
            assert (image == IMAGE).all()
            if name == "b":
                hub.send_reply(b"seen")
            if name == "c":
                break
    assert names == ["a", "b", "c"]
    assert replies == [b"OK", b"seen", b"OK"]


def test_a_body_that_raises_leaves_no_sender_without_an_answer(hub: ImageHub) -> None:
    with ImageSender(address(hub)) as sender, beside(lambda: sender.send_image("a", IMAGE)) as sent:
        with contextlib.suppress(ZeroDivisionError):
            for _ in hub:
                1 / 0  # noqa: B018
        assert sent.result(10) == b"OK"


def test_a_loop_goes_on_after_a_timeout() -> None:
    with ImageHub(ANY_PORT, timeout=0.1) as hub:
        with pytest.raises(HubTimeout):
            list(hub)
        with ImageSender(address(hub)) as sender, beside(lambda: sender.send_image("a", IMAGE)):
            assert hub.poll(10)
            for name, _ in hub:
                assert name == "a"
                break


def test_a_loop_ends_when_the_hub_is_closed() -> None:
    hub = ImageHub(ANY_PORT)

    def close_soon() -> None:
        time.sleep(0.1)
        hub.close()

    with beside(close_soon):
        assert list(hub) == []
    assert list(hub) == []


def test_a_body_may_close_the_hub(hub: ImageHub) -> None:
    with ImageSender(address(hub)) as sender:

        def send() -> None:
            with pytest.raises(zmq.ContextTerminated):
                sender.send_image("a", IMAGE)

        with beside(send):
            for _ in hub:
                hub.close()
            sender.close()


def test_a_sub_hub_is_looped_over_without_replies() -> None:
    with ImageSender(ANY_PORT, REQ_REP=False) as sender:
        bound = sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
        with ImageHub(bound, REQ_REP=False, timeout=10) as hub:
            ended = threading.Event()

            def send() -> None:
                while not ended.is_set():
                    sender.send_image("a", IMAGE)
                    time.sleep(0.01)

            with beside(send):
                for count, (name, _) in enumerate(hub):
                    assert name == "a"
                    if count == 3:
                        break
                ended.set()


def test_a_loop_answers_imagezmq_senders(hub: ImageHub) -> None:
    def send() -> list[Any]:
        with imagezmq_1_2.ImageSender(address(hub)) as sender:
            return [sender.send_image("old", IMAGE) for _ in range(3)]

    with beside(send) as sent:
        for count, (name, _) in enumerate(hub):
            assert name == "old"
            if count == 2:
                break
        assert sent.result(10) == [b"OK"] * 3


def test_ctrl_c_ends_a_loop_at_once() -> None:
    with Peer(PEERS / "looping.py") as peer:
        assert peer.hear() == "waiting"
        time.sleep(0.2)
        began = time.monotonic()
        peer.process.send_signal(2)
        assert peer.hear() == "interrupted"
        assert time.monotonic() - began < 5
        assert peer.end() == 0
