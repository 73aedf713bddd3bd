"""What is larger than a hub takes is told to who sends it, and to the hub's program."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from fastimagezmq import ImageSender, WireError
from processes import PEERS, Peer, beside
from relay import Relay
from test_recovery import AT_MOST, LIBRARIES, frame, mortal, took

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 200_000


@contextlib.contextmanager
def limited(library: str, port: int) -> Iterator[Peer]:
    """A hub in a process of its own that takes LIMIT bytes in a part and not one more."""
    address = f"tcp://127.0.0.1:{port}"
    with Peer(PEERS / "mortal_hub.py", library, address, MAXMSGSIZE=str(LIMIT)) as peer:
        assert "since" in peer.hear()
        yield peer


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_frame_that_is_too_large_is_refused(library: str, port: int) -> None:
    with limited(library, port) as hub, ImageSender(f"tcp://127.0.0.1:{port}") as sender:
        for number in range(2):
            began = time.monotonic()
            with pytest.raises(WireError, match=f":{port} refuses this frame of 200001 bytes"):
                sender.send_image(*frame(9, size=LIMIT + 1))
            assert time.monotonic() - began < AT_MOST
            assert sender.send_image(*frame(number, size=LIMIT)) == b"got %d" % number
            assert took(hub) == (number, True)
        assert sender.stats()[:2] == (4, 2)


@pytest.mark.parametrize("library", LIBRARIES)
def test_of_frames_in_flight_the_one_that_is_too_large_is_lost(library: str, port: int) -> None:
    """Those around it arrive, and are answered in their order."""
    sizes = [1000, LIMIT, LIMIT + 1, 1000, LIMIT, LIMIT + 1]
    refused = 0
    with (
        limited(library, port),
        ImageSender(f"tcp://127.0.0.1:{port}", in_flight=4) as sender,
    ):
        for number, size in enumerate(sizes):
            while True:
                try:
                    sender.send_image(*frame(number, size=size))
                    break
                except WireError:  # an earlier one; this one was not taken
                    refused += 1
        while refused < 2:
            with pytest.raises(WireError, match="refuses this frame of 200001 bytes"):
                sender.flush(AT_MOST)
            refused += 1
        assert sender.flush(AT_MOST)
        assert sender.replies() == [b"got %d" % number for number in (0, 1, 3, 4)]
        stats = sender.stats()
        assert stats[:4] == (6, 4, 2, 0)


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_network_that_cuts_one_frame_again_and_again(in_flight: int, port: int) -> None:
    """A frame is sent again after three cuts too: only what never passes is refused."""
    with (
        mortal("imagezmq", port) as hub,
        Relay(port) as relay,
        ImageSender(relay.address, in_flight=in_flight) as sender,
    ):
        with beside(lambda: sender.send_image(*frame(1, "hold")) and None):
            for number in range(3):
                assert took(hub) == (1, True)
                relay.cut(abruptly=bool(number % 2))
                time.sleep(0.1)
                hub.tell()  # this answer goes nowhere
            assert took(hub) == (1, True)
            hub.tell()
        assert sender.flush(AT_MOST)
        assert sender.stats()[:3] == (1, 1, 0)


def test_a_hub_that_ends_at_one_frame_again_and_again(port: int) -> None:
    """However often: a supervisor starts it anew, and meanwhile nobody listens."""
    answers: list[Any] = []
    with ImageSender(f"tcp://127.0.0.1:{port}") as sender:
        sent = threading.Thread(target=lambda: answers.append(sender.send_image(*frame(1, "hold"))))
        sent.start()
        for _ in range(6):
            with mortal("imagezmq", port) as hub:
                assert took(hub) == (1, True)
        with mortal("imagezmq", port) as hub:
            assert took(hub) == (1, True)
            hub.tell()
            sent.join(AT_MOST)
        assert answers == [b"got 1"]
        assert sender.stats().resent == 6
