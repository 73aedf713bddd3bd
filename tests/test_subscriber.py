"""VideoStreamSubscriber, as programs that were written after imageZMQ's documentation use it."""

from __future__ import annotations

import threading
import time
from typing import Any

import cv2
import numpy as np
import pytest
import zmq

import fastimagezmq as ours
from fastimagezmq import VideoStreamSubscriber
from processes import PEERS, Peer, beside


def test_it_gives_the_newest_frame() -> None:
    with Peer(PEERS / "publisher.py", "imagezmq", 100, 2000, "a") as peer:
        host, port = peer.hear().removeprefix("tcp://").split(":")
        with VideoStreamSubscriber(host, int(port)) as subscriber:
            numbers = []
            for _ in range(5):
                message, body = subscriber.receive()
                number, when = np.frombuffer(body, np.float64)[:2]
                assert message == "a"
                assert time.monotonic() - when < 0.5
                numbers.append(number)
                time.sleep(0.1)
            assert numbers == sorted(set(numbers))
            assert numbers[-1] - numbers[0] > 5
        assert (subscriber.hostname, subscriber.port) == (host, int(port))


@pytest.fixture
def sender() -> Any:
    with ours.ImageSender("tcp://127.0.0.1:*", REQ_REP=False) as made:
        yield made


def subscribed_to(sender: Any) -> VideoStreamSubscriber:
    address = sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    subscriber = VideoStreamSubscriber("127.0.0.1", int(address.rpartition(":")[2]))
    while True:  # until it is connected
        sender.send_jpg("sync", b"")
        try:
            subscriber.receive(timeout=0.01)
        except TimeoutError:
            continue
        return subscriber


def receive_on_and_on(subscriber: VideoStreamSubscriber, timeout: float | None) -> None:
    while True:
        subscriber.receive(timeout)


def test_a_jpeg_as_opencv_wants_it(sender: Any) -> None:
    picture = np.full((48, 64, 3), 90, np.uint8)
    with subscribed_to(sender) as subscriber:
        sender.send_jpg("cam", cv2.imencode(".jpg", picture)[1])
        message, jpg = subscriber.receive()
        while message == "sync":
            message, jpg = subscriber.receive()
        image = cv2.imdecode(np.frombuffer(jpg, dtype="uint8"), -1)
        assert image.shape == picture.shape


def test_a_timeout_says_from_where_nothing_came(sender: Any) -> None:
    with subscribed_to(sender) as subscriber:
        with pytest.raises(TimeoutError):
            receive_on_and_on(subscriber, 0.05)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=rf"tcp://127.0.0.1:{subscriber.port} within 0.1 s"):
            subscriber.receive(timeout=0.1)
        assert time.monotonic() - began >= 0.1
        with pytest.raises(TimeoutError):
            subscriber.receive(0)


def test_close_wakes_who_waits(sender: Any) -> None:
    subscriber = subscribed_to(sender)

    def wait(timeout: float | None) -> None:
        with pytest.raises(ours.StateError, match="VideoStreamSubscriber is closed"):
            receive_on_and_on(subscriber, timeout)

    with beside(lambda: wait(15)), beside(lambda: wait(None)):
        time.sleep(0.1)
        began = time.monotonic()
        subscriber.close()
    assert time.monotonic() - began < 2
    subscriber.close()
    wait(1)


def test_each_frame_goes_to_one_thread_and_each_has_its_own_timeout(sender: Any) -> None:
    got: list[Any] = []
    with subscribed_to(sender) as subscriber:

        def take() -> None:
            while (message := subscriber.receive(10)[0]) != "end":
                got.append(message)

        threads = [threading.Thread(target=take) for _ in range(3)]
        for thread in threads:
            thread.start()
        with pytest.raises(TimeoutError):  # the others wait longer
            receive_on_and_on(subscriber, 0.1)
        for number in range(20):
            sender.send_jpg(number, b"")
            time.sleep(0.005)
        while any(thread.is_alive() for thread in threads):
            sender.send_jpg("end", b"")
            time.sleep(0.005)
        for thread in threads:
            thread.join()
    numbers = [number for number in got if number != "sync"]
    assert sorted(numbers) == sorted(set(numbers))
    assert len(numbers) > 10


def test_a_wrong_address_is_told() -> None:
    with pytest.raises(ours.AddressError, match="port"):
        VideoStreamSubscriber("127.0.0.1", 70000)
