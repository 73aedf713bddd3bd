"""Senders' clocks: what frames and replies tell of them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import imagezmq as imagezmq_1_2
import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from fastimagezmq import ImageHub, ImageSender
from fastimagezmq.clocks import Clock, Clocks, Exchange
from fastimagezmq.wire import blob_header, parse_header, pixels_header
from processes import PEERS, Peer, beside

if TYPE_CHECKING:
    from collections.abc import Iterator

ANY_PORT = "tcp://127.0.0.1:*"
IMAGE = np.zeros((4, 4, 3), np.uint8)


class Sender:
    """A sender whose clock is wrong, over a way that takes ``there`` and ``back`` seconds."""

    def __init__(self, clocks: Clocks, ahead: float) -> None:
        self.clocks = clocks
        self.ahead = ahead
        self.sequence = 0
        self.before: Exchange | None = None

    def exchange(
        self, now: float, there: float = 0.01, back: float = 0.01, work: float = 0.1
    ) -> Clock | None:
        left = now + self.ahead
        came = now + there
        known = self.clocks.frame_came(self.sequence, left, self.before, came)
        self.clocks.replied(came + work, b"OK")
        self.before = Exchange(self.sequence, left, left, left + there + work + back)
        self.sequence += 1
        return known


def test_the_first_frame_tells_nothing_and_the_second_all() -> None:
    sender = Sender(Clocks(), 100)
    assert sender.exchange(0) is None
    known = sender.exchange(1)
    assert known is not None
    assert known.offset == pytest.approx(100)
    assert known.error == pytest.approx(0.01)


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.tuples(*[st.floats(0, 10)] * 3), min_size=2, max_size=20),
)
@settings(max_examples=200)
def test_the_offset_is_right_within_its_error(
    ahead: float, ways: list[tuple[float, float, float]]
) -> None:
    sender = Sender(Clocks(), ahead)
    for number, (there, back, work) in enumerate(ways):
        known = sender.exchange(40.0 * number, there, back, work)
        assert (known is None) == (number == 0)
        if known is not None:
            assert abs(known.offset - ahead) <= known.error + 1e-6
            shortest = min(t + b for t, b, _ in ways[max(0, number - 8) : number])
            assert known.error == pytest.approx(shortest / 2, abs=1e-6)


def test_senders_are_not_mixed_up() -> None:
    clocks = Clocks()
    senders = [Sender(clocks, ahead) for ahead in (0, 50, -50)]
    for number in range(5):
        for sender in senders:
            known = sender.exchange(number + senders.index(sender) / 10)
            if number:
                assert known is not None
                assert known.offset == pytest.approx(sender.ahead)


def test_a_clock_that_is_set_is_followed_at_once() -> None:
    sender = Sender(Clocks(), 3600)
    for number in range(10):
        sender.exchange(number)
    sender.ahead = 0  # NTP has come up
    sender.exchange(10)
    known = sender.exchange(11)
    assert known is not None
    assert known.offset == pytest.approx(0)


def test_times_that_cannot_be_are_no_sample() -> None:
    clocks = Clocks()
    clocks.frame_came(0, 5.0, None, 10.0)
    clocks.replied(20.0, b"OK")
    assert clocks.frame_came(1, 6.0, Exchange(0, 5.0, 5.0, 5.5), 21.0) is None


def test_what_refers_to_an_unknown_frame_is_a_new_sender() -> None:
    clocks = Clocks()
    assert clocks.frame_came(7, 1.0, Exchange(6, 0.5, 0.5, 0.6), 1.0) is None


def test_a_reply_to_another_message_is_none_to_a_stamped_frame() -> None:
    clocks = Clocks()
    clocks.frame_came(0, 1.0, None, 1.0)
    clocks.other_came()
    clocks.replied(50.0, b"OK")
    assert clocks.frame_came(1, 2.0, Exchange(0, 1.0, 1.0, 1.5), 2.0) is None


def test_memory_is_bounded() -> None:
    clocks = Clocks()
    for number in range(5000):
        clocks.frame_came(number, float(number), None, float(number))
    assert len(clocks._frames) == 1024


@pytest.mark.parametrize(
    "value",
    ["1", 7, [1, 2, 3], [1, 2, 3, 4, 5], [-1, 2, 3, 4], [1, "2", 3, 4], [1, 2, None, 4], {}, None],
)
def test_a_wrong_field_is_as_none(value: Any) -> None:
    header = parse_header(json.dumps({"msg": "a", "echo": value}).encode())
    assert header.before is None


def test_the_field_comes_back_as_it_was_sent() -> None:
    before = Exchange(6, 1700000000.25, 1700000000.5, 1700000001.125)
    assert parse_header(blob_header("a", None, 1.5, 7, before)).before == before


@pytest.fixture
def hub() -> Iterator[ImageHub]:
    with ImageHub(ANY_PORT, timeout=10) as opened:
        yield opened


def address(hub: ImageHub) -> str:
    return str(hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))


@pytest.mark.parametrize("options", [{}, {"jpeg": 85}, {"in_flight": 4}])
@pytest.mark.parametrize("ahead", [-5000.0, 5000.0])
def test_age_is_right_however_wrong_the_senders_clock(
    hub: ImageHub, ahead: float, options: dict[str, Any]
) -> None:
    with Peer(PEERS / "wrong_clock.py", address(hub), ahead, repr(options)):
        for number in range(12):
            frame = hub.recv_frame()
            assert frame.sequence == number
            age = frame.age
            assert age is not None
            hub.send_reply()
            if number < 6:
                continue  # with four in flight the first replies come later
            assert frame.clock is not None
            assert abs(frame.clock.offset - ahead) <= frame.clock.error + 0.001
            assert -frame.clock.error - 0.001 <= age < 5


def test_pubsub_trusts_the_clocks() -> None:
    with ImageSender(ANY_PORT, REQ_REP=False, stamp=True) as sender:
        bound = sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
        with ImageHub(bound, REQ_REP=False, timeout=0.05) as hub:
            deadline = time.monotonic() + 10
            while not hub.poll(0.05):
                assert time.monotonic() < deadline
                sender.send_image("a", IMAGE)
            frame = hub.recv_frame()
            assert frame.clock is None
            assert frame.age is not None
            assert 0 <= frame.age < 5


def test_imagezmq_hubs_take_stamped_frames() -> None:
    with imagezmq_1_2.ImageHub(ANY_PORT) as hub:
        bound = hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)

        def send() -> None:
            with ImageSender(bound, stamp=True) as sender:
                for _ in range(3):
                    sender.send_image("a", IMAGE)

        with beside(send):
            for _ in range(3):
                assert hub.recv_image()[0] == "a"
                hub.send_reply()


def test_a_frame_that_is_sent_again_is_given_once(hub: ImageHub) -> None:
    """As a sender does whose connection was lost before the reply: the very same bytes."""
    frame = [pixels_header("a", IMAGE.dtype, IMAGE.shape, 1700000000.25, 7), IMAGE.tobytes()]
    later = [pixels_header("a", IMAGE.dtype, IMAGE.shape, 1700000000.5, 8), IMAGE.tobytes()]
    with zmq.Context() as context:
        answers = []

        def send() -> None:
            for message in (frame, frame, later):
                with context.socket(zmq.REQ) as socket:
                    socket.connect(address(hub))
                    socket.send_multipart(message)
                    assert socket.poll(10_000)
                    answers.append(socket.recv())

        with beside(send):
            for number in (7, 8):
                received = hub.recv_frame()
                assert received.sequence == number
                hub.send_reply(f"got {number}".encode())
        assert answers == [b"got 7", b"got 7", b"got 8"]
        assert hub.stats().repeated == 1
        assert hub.stats().received == 2
