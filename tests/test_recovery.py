"""A stream goes on when its hub dies, is restarted, or is cut off by the network."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

import fastimagezmq
from fastimagezmq import HubTimeout, ImageHub, ImageSender, StateError, _codec
from fastimagezmq.transport import SerializingContext, recovery
from processes import PEERS, Peer, beside
from relay import Relay
from two_hosts import Refused, TwoHosts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LIBRARIES = ["fastimagezmq", "imagezmq"]
AT_MOST = 10.0
"""Seconds for a recovery: five times what is promised."""

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def frame(number: int, *words: str, size: int = 100_000) -> tuple[list[Any], NDArray[np.uint8]]:
    """Give a message and pixels that a mortal hub can check."""
    image = np.random.default_rng(number).integers(0, 256, size, np.uint8)
    return [number, zlib.crc32(image.tobytes()), *words], image


@contextlib.contextmanager
def mortal(library: str, port: int, *arguments: object) -> Iterator[Peer]:
    """A hub in a process of its own, which is killed with SIGKILL when the block is left."""
    address = f"tcp://127.0.0.1:{port}"
    with Peer(PEERS / "mortal_hub.py", library, address, *arguments) as peer:
        assert "since" in peer.hear()
        yield peer


def took(hub: Peer) -> tuple[int, bool]:
    message, right = hub.hear()
    return message[0], right


# --- a hub that dies ----------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_hub_killed_with_a_frame_in_flight(library: str, port: int) -> None:
    with ImageSender(f"tcp://127.0.0.1:{port}") as sender:
        with mortal(library, port) as hub:
            assert sender.send_image(*frame(1)) == b"got 1"
            assert took(hub) == (1, True)
        for number in (2, 3):
            with mortal(library, port) as hub:
                sent = threading.Thread(target=sender.send_image, args=frame(number, "hold"))
                sent.start()
                assert took(hub) == (number, True)
            time.sleep(0.05 if number == 2 else 0.4)  # back before, or after, the first look
            with mortal(library, port) as hub:
                began = time.monotonic()
                assert took(hub) == (number, True)
                hub.tell()
                sent.join(AT_MOST)
                assert not sent.is_alive()
                assert time.monotonic() - began < AT_MOST
                assert sender.send_image(*frame(9)) == b"got 9"
        assert sender.stats()[:5] == (5, 5, 0, 0, 2)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_hub_restarted_between_frames_gets_each_once(library: str, port: int) -> None:
    with ImageSender(f"tcp://127.0.0.1:{port}") as sender:
        with mortal(library, port) as hub:
            assert sender.send_image(*frame(1)) == b"got 1"
            assert took(hub) == (1, True)
        time.sleep(0.1)  # the sender's end has seen it
        with beside(lambda: sender.send_image(*frame(3))) as sent:
            time.sleep(0.5)  # it waits for the hub already
            with mortal(library, port, 0.5) as hub:
                assert took(hub) == (3, True)
                assert sent.result(AT_MOST) == b"got 3"
                assert sender.send_image(*frame(4)) == b"got 4"
                assert took(hub) == (4, True)
        assert sender.stats().resent == 0


def test_a_slow_hub_is_not_a_dead_one(port: int) -> None:
    with ImageSender(f"tcp://127.0.0.1:{port}") as sender, mortal("imagezmq", port, 0.7) as hub:
        for number in range(2):
            assert sender.send_image(*frame(number)) == b"got %d" % number
            assert took(hub) == (number, True)
        assert sender.stats().resent == 0


def test_frames_in_flight_are_sent_again_in_order(port: int) -> None:
    with ImageSender(f"tcp://127.0.0.1:{port}", in_flight=4) as sender:
        with mortal("imagezmq", port) as hub:
            sender.send_image(*frame(0))
            assert sender.flush(AT_MOST)
            assert took(hub) == (0, True)
            for number in range(1, 5):
                sender.send_image(*frame(number, "hold"))
            assert took(hub) == (1, True)
            while sender.stats().sent < 5:
                time.sleep(0.001)
        with mortal("imagezmq", port) as hub:
            for number in range(1, 5):
                assert took(hub) == (number, True)
                hub.tell()
            assert sender.flush(AT_MOST)
        assert sender.replies() == [b"got %d" % number for number in range(5)]
        assert sender.stats()[:5] == (5, 5, 0, 0, 4)


# --- a network that fails -------------------------------------------------------------


@pytest.mark.parametrize("abruptly", [False, True])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_reply_that_is_lost(library: str, abruptly: bool, port: int) -> None:
    with (
        mortal(library, port) as hub,
        Relay(port) as relay,
        ImageSender(relay.address) as sender,
    ):
        sender.send_image(*frame(0))
        assert took(hub) == (0, True)
        with beside(lambda: sender.send_image(*frame(1, "hold"))) as sent:
            assert took(hub) == (1, True)
            relay.cut(abruptly=abruptly)
            time.sleep(0.1)
            hub.tell()  # this answer goes nowhere
            assert took(hub) == (1, True)  # again: at least once
            hub.tell()
            assert sent.result(AT_MOST) == b"got 1"
        assert sender.send_image(*frame(2)) == b"got 2"
        assert took(hub) == (2, True)


@pytest.mark.parametrize("abruptly", [False, True])
def test_a_cut_within_a_frame(abruptly: bool, port: int) -> None:
    with (
        mortal("imagezmq", port) as hub,
        Relay(port) as relay,
        ImageSender(relay.address) as sender,
    ):
        for number in range(3):
            relay.cut_after(1000 + number * 200_000, abruptly=abruptly)
            assert sender.send_image(*frame(number, size=600_000)) == b"got %d" % number
            assert took(hub) == (number, True)
        assert sender.stats().resent == 3


def test_a_stall_and_a_slow_link_cut_nothing(port: int) -> None:
    with (
        mortal("imagezmq", port) as hub,
        Relay(port) as relay,
        ImageSender(relay.address) as sender,
    ):
        with beside(lambda: sender.send_image(*frame(1, "hold"))) as sent:
            assert took(hub) == (1, True)
            relay.stall()
            hub.tell()
            time.sleep(0.8)
            assert not sent.done()
            relay.flow()
            assert sent.result(AT_MOST) == b"got 1"
        relay.limit(250_000)  # bytes a second: 2 Mbit/s
        began = time.monotonic()
        assert sender.send_image(*frame(2, size=300_000)) == b"got 2"
        assert time.monotonic() - began > 0.5
        assert took(hub) == (2, True)
        assert sender.stats().resent == 0
        assert relay.accepted == 1


@pytest.mark.slow
def test_six_megabytes_at_two_megabits(port: int) -> None:
    with (
        mortal("imagezmq", port) as hub,
        Relay(port) as relay,
        ImageSender(relay.address) as sender,
    ):
        relay.limit(250_000)
        assert sender.send_image(*frame(1, size=6_000_000)) == b"got 1"
        assert took(hub) == (1, True)
        assert sender.stats().resent == 0
        assert relay.accepted <= 2  # the second is that which looked why no reply came


def test_a_peer_that_hangs_up_is_not_stormed(port: int) -> None:
    """As what forwards ports does while nothing listens behind it."""
    with Relay(port) as relay, ImageSender(relay.address, timeout=1.5) as sender:
        with pytest.raises(HubTimeout):
            sender.send_image(*frame(1))
        assert 1 < relay.accepted < 40
        with mortal("imagezmq", port) as hub:
            assert sender.send_image(*frame(2)) == b"got 2"
            assert took(hub) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "drop", "send"])
def test_a_full_monitor_keeps_nobody_from_ending(end: str) -> None:
    """Nobody reads the monitor of an idle sender, and libzmq's thread waits for room in it."""
    accepted = 0

    def hang_up() -> None:
        nonlocal accepted
        with contextlib.suppress(OSError):
            while True:
                server.accept()[0].close()
                accepted += 1

    with socket.create_server(("127.0.0.1", 0)) as server, beside(hang_up):
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        sender = ImageSender(address, timeout=0.5, options={"RECONNECT_IVL": 1})
        before = -1
        while before != accepted:
            before = accepted
            time.sleep(0.3)
        assert before > 1000
        if end == "send":
            with pytest.raises(HubTimeout):
                sender.send_image(*frame(1))
            assert accepted > before
        began = time.monotonic()
        if end != "drop":
            sender.close()
        del sender
        gc.collect()
        assert time.monotonic() - began < AT_MOST
        server.shutdown(socket.SHUT_RDWR)


def test_the_parts_of_a_frame_sent_again_are_the_usual_ones(port: int) -> None:
    with (
        zmq.Context() as context,
        context.socket(zmq.ROUTER) as hub,
        Relay(port) as relay,
        ImageSender(relay.address) as sender,
    ):
        hub.linger = 0
        hub.bind(f"tcp://127.0.0.1:{port}")
        message, image = frame(1)
        with beside(lambda: sender.send_image(message, image)) as sent:
            first = hub.recv_multipart()
            relay.cut()
            again = hub.recv_multipart()
            hub.send_multipart([again[0], b"", b"fine"])
            assert sent.result(AT_MOST) == b"fine"
        assert first[0] != again[0]
        assert first[1:] == again[1:]
        assert len(first) == 4
        assert first[1] == b""
        assert first[3] == image.tobytes()


@pytest.fixture
def _machines() -> None:
    """Skip where a test cannot make machines of its own."""
    for command in ("unshare", "nsenter", "ip"):
        if shutil.which(command) is None:
            pytest.skip(f"no {command} command here")
    alone = ["unshare", "--user", "--map-root-user", "--net", "ip", "link", "add", "type", "veth"]
    if subprocess.run(alone, check=False, capture_output=True).returncode:
        pytest.skip("network namespaces are refused here")


@pytest.mark.usefixtures("_machines")
@pytest.mark.parametrize("mode", ["plain", "latest"])
def test_descriptors_of_cameras_whose_machine_has_gone_are_given_back(mode: str) -> None:
    with Peer(PEERS / "vanished.py", mode) as vanished:
        assert vanished.hear(60) == 2
        assert vanished.end() == 0


@pytest.mark.usefixtures("_machines")
def test_a_sub_hub_finds_its_publisher_after_a_power_cut() -> None:
    with Peer(PEERS / "vanished.py", "subscriber") as vanished:
        assert vanished.hear(60) == "before"
        assert vanished.hear(60) == "after"
        assert vanished.end() == 0


def test_a_cable_that_is_pulled() -> None:
    try:
        with (
            TwoHosts() as hosts,
            Peer(PEERS / "severed.py", *hosts.across, within=hosts.here) as severed,
        ):
            assert severed.hear() == "got 1"
            assert severed.hear() == 1, "the hub's silence was not noticed"
            assert severed.hear() == "got 2"
            assert severed.hear() >= 2, "that nothing was acknowledged was not noticed"
            assert severed.hear() == "got 3"
            assert severed.end() == 0
    except Refused as reason:
        pytest.skip(str(reason))


# --- several hubs -----------------------------------------------------------------------


def test_the_backup_takes_over(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(recovery, "FAILOVER_SECONDS", 0.3)
    with ImageHub("tcp://127.0.0.1:*") as hub:
        backup = hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)

        def serve() -> list[int]:
            numbers = []
            while not numbers or numbers[-1] != 3:
                numbers.append(hub.recv_image()[0][0])
                hub.send_reply(b"backup")
            return numbers

        with (
            beside(serve) as served,
            ImageSender([f"tcp://127.0.0.1:{port}", backup]) as sender,
        ):
            with mortal("imagezmq", port) as primary:
                assert sender.send_image(*frame(1)) == b"got 1"
                lost = threading.Thread(target=sender.send_image, args=frame(2, "hold"))
                lost.start()
                assert [took(primary)[0] for _ in range(2)] == [1, 2]
            lost.join(AT_MOST)
            assert not lost.is_alive()
            assert sender.zmq_socket.endpoints == (backup,)
            assert sender.send_image(*frame(3)) == b"backup"
        assert served.result() == [2, 3]


def test_a_backup_that_was_there_before_the_primary(port: int) -> None:
    senders = 20
    with ImageHub("tcp://127.0.0.1:*", timeout=AT_MOST) as hub, contextlib.ExitStack() as stack:
        addresses = [f"tcp://127.0.0.1:{port}", hub.zmq_socket.bound[0]]
        replies = [
            stack.enter_context(beside(lambda sender=sender: sender.send_image(*frame(1))))
            for sender in [
                stack.enter_context(ImageSender(addresses, timeout=AT_MOST)) for _ in range(senders)
            ]
        ]
        for _ in range(senders):
            hub.recv_image()
            hub.send_reply(b"backup")
        assert [reply.result() for reply in replies] == [b"backup"] * senders


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"connect_to": []}, "one or more"),
        ({"connect_to": ["tcp://a:1", "tcp://a:1"]}, "different addresses"),
        ({"connect_to": ["tcp://a:1"], "REQ_REP": False}, "binds one address"),
        ({"timeout": 0}, "seconds above 0"),
        ({"timeout": "1"}, "seconds above 0"),
        ({"timeout": 1, "REQ_REP": False}, "waits for nothing"),
        ({"send_timeout": -1}, "0 for no limit"),
        ({"recv_timeout": None}, "0 for no limit"),
        ({"connect_to": ["tcp://127.0.0.1:1", "127.0.0.1:2"]}, "tcp://"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, fastimagezmq.AddressError), match=words):
        ImageSender(**arguments)


# --- a wait that ends -------------------------------------------------------------------


def test_after_a_timeout_the_hub_gets_only_what_comes_later(port: int) -> None:
    with ImageSender(f"tcp://127.0.0.1:{port}", timeout=0.25) as sender:
        for number in range(4):
            image = sender.lease((300_000,))
            image[:] = number
            began = time.monotonic()
            with pytest.raises(HubTimeout, match=f"no reply from tcp://127.0.0.1:{port}") as error:
                sender.send_image([number, 0], image)
            assert time.monotonic() - began >= 0.25
            assert error.value.errno == zmq.EAGAIN
            del image, error
            assert _codec.pool_stats().leases == 0, "its memory is still being read"
        with mortal("imagezmq", port) as hub:
            for number in range(4, 7):
                assert sender.send_image(*frame(number)) == b"got %d" % number
                assert took(hub) == (number, True)


@pytest.mark.parametrize("limit", [{"timeout": 0.15}, {"options": {"RCVTIMEO": 150}}])
def test_a_late_reply_is_nobodys(limit: dict[str, Any], port: int) -> None:
    with (
        mortal("imagezmq", port) as hub,
        ImageSender(f"tcp://127.0.0.1:{port}", **limit) as sender,
    ):
        for number in range(3):
            with pytest.raises(zmq.Again):
                sender.send_image(*frame(number, "hold"))
            assert took(hub) == (number, True)
            hub.tell()
        sender.zmq_socket.setsockopt(zmq.RCVTIMEO, -1)
        assert ImageSender.send_image(sender, *frame(7)) == b"got 7"


def test_a_program_that_wants_immediate(port: int) -> None:
    """Nothing is queued then while there is no connection."""
    options = {"IMMEDIATE": 1, "SNDTIMEO": 300}
    with ImageSender(f"tcp://127.0.0.1:{port}", options=options) as sender:
        for _ in range(2):
            with pytest.raises(HubTimeout):
                sender.send_image(*frame(1))
        assert sender.stats().sent == 0
        sender.zmq_socket.setsockopt(zmq.SNDTIMEO, -1)
        with beside(lambda: sender.send_image(*frame(2, "hold"))) as sent:
            with mortal("imagezmq", port) as hub:
                assert took(hub) == (2, True)
            with mortal("imagezmq", port) as hub:
                assert took(hub) == (2, True)
                hub.tell()
                assert sent.result(AT_MOST) == b"got 2"
        assert sender.stats().resent == 1


def test_the_timeout_covers_all_that_is_sent_again(port: int) -> None:
    with Relay(port) as relay, ImageSender(relay.address, timeout=1.0) as sender:
        with mortal("imagezmq", port) as hub:
            assert sender.send_image(*frame(0)) == b"got 0"
            assert took(hub) == (0, True)
            began = time.monotonic()
            with pytest.raises(HubTimeout), beside(relay_cuts(relay, hub)):
                sender.send_image(*frame(1, "hold"))
            assert 1.0 <= time.monotonic() - began < AT_MOST
        assert sender.stats().resent >= 1


def relay_cuts(relay: Relay, hub: Peer) -> Any:
    """Cut the connection while the hub has the frame, twice."""

    def cut() -> None:
        for _ in range(2):
            time.sleep(0.2)
            relay.cut()

    return cut


def test_a_timeout_is_what_programs_catch() -> None:
    error = HubTimeout("too late")
    assert isinstance(error, (fastimagezmq.Error, zmq.Again))
    assert isinstance(error, TimeoutError)
    assert error.errno == zmq.EAGAIN
    assert str(error) == "too late"


def test_the_forks_names_of_timeouts(address: str) -> None:
    with ImageSender(address, send_timeout=2, recv_timeout=3) as sender:
        assert sender.zmq_socket.SNDTIMEO == 2000
        assert sender.zmq_socket.RCVTIMEO == 3000
    with ImageSender(address, send_timeout=0, recv_timeout=0) as sender:
        assert sender.zmq_socket.SNDTIMEO == sender.zmq_socket.RCVTIMEO == -1


def test_no_room_in_time(address: str) -> None:
    with ImageSender(address, in_flight=2, timeout=0.1, options={"LINGER": 0}) as sender:
        sender.send_image(*frame(1))
        sender.send_image(*frame(2))
        with pytest.raises(HubTimeout, match="no room"):
            sender.send_image(*frame(3))


class Interrupted(Exception):
    pass


@posix
def test_after_an_interrupt_the_next_frame_is_sent(port: int) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with ImageSender(f"tcp://127.0.0.1:{port}") as sender:
            for _ in range(3):  # without a hub
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                with pytest.raises(Interrupted):
                    sender.send_image(*frame(1))
            with mortal("imagezmq", port) as hub:
                for number in range(2, 5):
                    signal.setitimer(signal.ITIMER_REAL, 0.4)
                    with pytest.raises(Interrupted):
                        sender.send_image(*frame(number, "hold"))
                    assert took(hub) == (number, True)
                    hub.tell()
                assert sender.send_image(*frame(5)) == b"got 5"
    finally:
        signal.signal(signal.SIGALRM, before)


@posix
def test_a_handler_that_sends_into_the_wait_is_refused(port: int) -> None:
    refused: list[StateError] = []
    with ImageSender(f"tcp://127.0.0.1:{port}") as sender, mortal("imagezmq", port, 0.5) as hub:

        def send(*_: object) -> None:
            with pytest.raises(StateError, match="from a signal handler") as error:
                sender.send_image(*frame(2))
            refused.append(error.value)

        before = signal.signal(signal.SIGALRM, send)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.25)
            assert sender.send_image(*frame(1)) == b"got 1"
        finally:
            signal.signal(signal.SIGALRM, before)
        assert refused[0].errno == zmq.EFSM
        assert took(hub) == (1, True)
        assert sender.stats().sent == 1


def test_close_wakes_who_waits_for_a_hub_to_come_back(port: int) -> None:
    with ImageSender(f"tcp://127.0.0.1:{port}") as sender, contextlib.ExitStack() as stack:
        with mortal("imagezmq", port) as hub:
            sent = stack.enter_context(beside(lambda: ended_with(sender)))
            assert took(hub) == (1, True)
        time.sleep(0.3)
        began = time.monotonic()
        sender.close()
        assert sent.result(AT_MOST) is zmq.ContextTerminated
        assert time.monotonic() - began < AT_MOST


def ended_with(sender: ImageSender) -> type[BaseException] | None:
    try:
        sender.send_image(*frame(1, "hold"))
    except zmq.ZMQError as error:
        return type(error)
    return None


def test_a_programs_own_socket_is_left_as_it_is(address: str) -> None:
    class Own(ImageSender):
        def init_reqrep(self, address: str) -> None:
            self.zmq_context = SerializingContext()
            self.zmq_socket = self.zmq_context.socket(zmq.REQ)
            self.zmq_socket.connect(address)

    with Own(address) as sender:
        sender.zmq_socket.setsockopt(zmq.RCVTIMEO, 50)
        with pytest.raises(zmq.Again):
            sender.send_image("m", np.zeros(3, np.uint8))
        with pytest.raises(StateError, match="the program's own: replace it"):
            sender.send_image("m", np.zeros(3, np.uint8))
        assert sender.zmq_socket.getsockopt(zmq.TCP_KEEPALIVE) == -1
    for given in ({"timeout": 1.0}, {"connect_to": [address, "tcp://127.0.0.1:1"]}):
        with pytest.raises(ValueError, match=r"needs the socket that ImageSender\.init_reqrep"):
            Own(**({"connect_to": address} | given))
