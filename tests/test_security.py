"""Who is let in by keys and address ranges, who is not, and what is said of it."""

from __future__ import annotations

import contextlib
import functools
import gc
import ipaddress
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq
import zmq.auth

from fastimagezmq import (
    ImageHub,
    ImageSender,
    SecretKey,
    Security,
    SecurityError,
    StateError,
)
from fastimagezmq.security import networks, security_of
from fastimagezmq.transport import guard as guarding
from fastimagezmq.transport import probe as probing
from fastimagezmq.transport import waiting, zap
from fastimagezmq.transport.addresses import is_local
from fastimagezmq.transport.guard import Guard
from fastimagezmq.transport.probe import Outcome, probe
from processes import PEERS, TESTS, Peer, beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

from rings import Ring

IMAGE = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
ANY = "tcp://127.0.0.1:*"
LIMITS = {zmq.RCVTIMEO: 20_000, zmq.SNDTIMEO: 20_000}

posix = pytest.mark.skipif(os.name != "posix", reason="permissions of files are POSIX's")


@pytest.fixture
def ring(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[Ring]:
    """Key pairs, none of whose secrets is seen in what the test logs or prints."""
    caplog.set_level(logging.DEBUG)
    ring = Ring(tmp_path)
    yield ring
    shown = caplog.text + "".join(capfd.readouterr())
    secrets = [ring.secret(path.stem) for path in tmp_path.glob("*.key")]
    assert len(secrets) >= 3
    assert not [secret for secret in secrets if secret in shown]


@pytest.fixture
def warnings_of(caplog: pytest.LogCaptureFixture) -> Callable[[int], list[str]]:
    """Wait for so many warnings, and give those that there are."""
    caplog.set_level(logging.DEBUG, "fastimagezmq")

    def warned(count: int) -> list[str]:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
            if len(told) >= count:
                break
            time.sleep(0.01)
        return told

    return warned


def address_of(end: ImageHub | ImageSender) -> str:
    return str(end.zmq_socket.bound[0])


def hear_nothing(hub: ImageHub) -> None:
    with pytest.raises(zmq.Again):
        hub.recv_image()


def send_in_vain(sender: ImageSender) -> None:
    sender.zmq_socket.linger = 0
    with pytest.raises(zmq.Again):
        sender.send_image("m", IMAGE)


def zap_threads() -> int:
    return sum(thread.name == "fastimagezmq-zap" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def no_handler_is_left() -> Iterator[None]:
    yield
    if zap_threads():
        gc.collect()
    assert zap_threads() == 0


# --- right keys pass -------------------------------------------------------------------


@pytest.mark.parametrize("messages", ["native", "pyzmq"])
@pytest.mark.parametrize("way", ["reqrep", "flight", "pubsub"])
def test_right_keys_pass(way: str, messages: str, ring: Ring, port: int) -> None:
    """A sender process of either way of messages; its hub here has this process's own."""
    if way == "pubsub":
        address, other = f"tcp://127.0.0.1:{port}", ring.list
        hub = ImageHub(
            address, REQ_REP=False, security=ring.connecting("camera", "hub"), options=LIMITS
        )
        own = ring.key("hub")
    else:
        hub = ImageHub(ANY, security=ring.binding(), options=LIMITS)
        address, own, other = address_of(hub), ring.key("camera"), ring.pub("hub")
    with (
        hub,
        Peer(
            PEERS / "secured.py", address, way, own, other, FASTIMAGEZMQ_MESSAGES=messages
        ) as peer,
    ):
        peer.hear()
        numbers = []
        for _ in range(50):
            number, image = hub.recv_image()
            assert np.array_equal(image, IMAGE)
            numbers.append(number)
            if way != "pubsub":
                hub.send_reply(f"got {number}".encode())
        assert numbers == list(range(numbers[0], numbers[0] + 50))
        assert hub.stats().refused == 0
        if way == "reqrep":  # the key that a message came with is its sender's own
            hub.zmq_socket.poll(10_000)
            part = hub.zmq_socket.recv(copy=False)
            assert part.get("User-Id") == ring.public("camera")


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_sender_with_keys_goes_on_when_its_hub_was_restarted(
    in_flight: int, ring: Ring, address: str
) -> None:
    def send() -> None:
        with ImageSender(address, security=ring.connecting(), in_flight=in_flight) as sender:
            for number in range(3):
                sender.send_image(number, IMAGE)
            assert sender.flush(20)

    with beside(send):
        with ImageHub(address, security=ring.binding(), timeout=20) as hub:
            assert hub.recv_image()[0] == 0
            hub.send_reply()
            assert hub.recv_image()[0] == 1
        with ImageHub(address, security=ring.binding(), timeout=20) as hub:
            for number in (1, 2):  # the first was at the other hub, and never answered
                assert hub.recv_image()[0] == number
                hub.send_reply()


def test_a_sender_fails_over_to_a_hub_of_another_key(ring: Ring, address: str) -> None:
    ring.make("backup")
    with ImageHub(ANY, security=ring.binding("backup"), timeout=20) as backup:
        addresses = [address, address_of(backup)]
        theirs = dict(zip(addresses, (ring.pub("hub"), ring.pub("backup")), strict=True))

        def send() -> bytes | None:
            own = Security.connecting(ring.key("camera"), theirs)
            with ImageSender(addresses, security=own, timeout=30) as sender:
                return sender.send_image("m", IMAGE)

        with beside(send) as reply:
            assert backup.recv_image()[0] == "m"
            backup.send_reply(b"from the backup")
        assert reply.result() == b"from the backup"


@pytest.mark.skipif(os.name != "posix", reason="ipc:// needs Unix sockets")
def test_ipc_and_keys_from_the_program(tmp_path: Path) -> None:
    hub_key, camera_key = SecretKey(), SecretKey()
    address = f"ipc://{tmp_path}/hub"
    with (
        ImageHub(
            address, security=Security.binding(hub_key, [camera_key.public]), options=LIMITS
        ) as hub,
        ImageSender(
            address, security=Security.connecting(camera_key, {address: hub_key.public})
        ) as sender,
        beside(lambda: sender.send_jpg("m", b"blob")) as reply,
    ):
        assert hub.recv_jpg()[1].bytes == b"blob"
        hub.send_reply(b"fine")
    assert reply.result() == b"fine"


def test_a_sub_hub_of_two_senders_with_keys_of_their_own(ring: Ring) -> None:
    ring.make("second")
    with (
        ImageSender(ANY, REQ_REP=False, security=(ring.key("hub"), ring.list)) as first,
        ImageSender(ANY, REQ_REP=False, security=(ring.key("second"), ring.list)) as second,
    ):
        peers = {address_of(first): ring.pub("hub"), address_of(second): ring.pub("second")}
        with ImageHub(
            address_of(first),
            REQ_REP=False,
            security=Security.connecting(ring.key("camera"), peers),
            options=LIMITS,
        ) as hub:
            hub.connect(address_of(second))
            with pytest.raises(SecurityError, match="no public key was given for tcp://127"):
                hub.connect("tcp://127.0.0.1:9")
            seen: set[str] = set()
            deadline = time.monotonic() + 20
            hub.zmq_socket.rcvtimeo = 20
            while len(seen) < 2 and time.monotonic() < deadline:
                first.send_image("first", IMAGE)
                second.send_image("second", IMAGE)
                with contextlib.suppress(zmq.Again):
                    seen.add(hub.recv_image()[0])
            assert seen == {"first", "second"}


def test_who_is_authorized_while_waiting_gets_in(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding, "HANDSHAKE_MS", 200)
    with (
        ImageHub(ANY, security=ring.binding(), options=LIMITS) as hub,
        ImageSender(address_of(hub), security=ring.connecting("stranger")) as sender,
        beside(lambda: sender.send_image("late", IMAGE)),
    ):
        hub.zmq_socket.rcvtimeo = 300
        with pytest.raises(zmq.Again):
            hub.recv_image()
        ring.authorize("stranger")
        hub.zmq_socket.rcvtimeo = 20_000
        assert hub.recv_image()[0] == "late"
        hub.send_reply()


# --- others do not ---------------------------------------------------------------------


class Decisions:
    """Counts what a guard decides."""

    def __init__(self, guard: Guard) -> None:
        handler = guard._handler
        assert handler is not None
        self._decide = handler._decide
        self.yes = self.no = 0
        handler._decide = self._count

    def _count(self, request: zap.Request) -> str | None:
        answer = self._decide(request)
        if answer is None:
            self.no += 1
        else:
            self.yes += 1
        return answer


def guard_of(end: ImageHub | ImageSender) -> Guard:
    assert end._fiz_guard is not None
    return end._fiz_guard


KINDS = ["wrong", "missing", "stolen", "of another hub", "revoked"]


@contextlib.contextmanager
def strangers(kind: str, count: int, address: str, ring: Ring) -> Iterator[list[Any]]:
    """So many REQ sockets that have sent a frame to a hub which must not take it."""
    with zmq.Context() as context:
        context.max_sockets = 2 * count + 10
        sockets = []
        camera = ring.public("camera").encode()
        for _ in range(count):
            socket = context.socket(zmq.REQ)
            socket.linger = 0
            if kind != "missing":
                public, secret = zmq.curve_keypair()
                socket.curve_publickey = camera if kind == "stolen" else public
                socket.curve_secretkey = secret
                hub = zmq.curve_keypair()[0] if kind == "of another hub" else None
                socket.curve_serverkey = hub or ring.public("hub").encode()
            socket.connect(address)
            socket.send_multipart([b'{"msg": "x", "dtype": "uint8", "shape": [1]}', b"\1"])
            sockets.append(socket)
        try:
            yield sockets
        finally:
            for socket in sockets:
                socket.close(0)


def check_none_gets_in(kind: str, count: int, ring: Ring) -> None:
    if kind == "revoked":
        check_no_revoked_one_gets_in(count, ring)
        return
    events = zmq.Event.HANDSHAKE_FAILED_NO_DETAIL | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    with ImageHub(ANY, security=ring.binding(), options=LIMITS) as hub:
        decisions = Decisions(guard_of(hub))
        with hub.zmq_socket.get_monitor_socket(events) as monitor:
            failed = 0
            hub.zmq_socket.rcvtimeo = 400
            with (
                strangers(kind, count, address_of(hub), ring),
                beside(lambda: hear_nothing(hub)),
            ):
                deadline = time.monotonic() + 30
                # Each has been refused once at least: by the list, or before it is asked.
                while decisions.no + failed < count and time.monotonic() < deadline:
                    while monitor.poll(20):
                        monitor.recv_multipart()
                        failed += 1
            assert decisions.no + failed >= count
            assert (decisions.no > 0) == (kind == "wrong")
            assert decisions.yes == 0
            hub.zmq_socket.disable_monitor()
        check_the_camera_still_does(hub, ring)


def check_the_camera_still_does(hub: ImageHub, ring: Ring) -> None:
    hub.zmq_socket.rcvtimeo = 20_000
    with (
        ImageSender(address_of(hub), security=ring.connecting()) as sender,
        beside(lambda: sender.send_image("camera", IMAGE)),
    ):
        assert hub.recv_image()[0] == "camera"
        hub.send_reply()
    assert hub.stats()[:3] == (1, 0, 0)


def check_no_revoked_one_gets_in(count: int, ring: Ring) -> None:
    """Keys that were let in, are connected, and are revoked then."""
    pairs = [zmq.curve_keypair() for _ in range(count)]
    file = ring.folder / "many.txt"
    entry = 'public-key = "{}"\n'.format
    file.write_text("".join(entry(public.decode()) for public, _ in pairs))
    with (
        ImageHub(ANY, security=(ring.key("hub"), file), options=LIMITS) as hub,
        zmq.Context() as context,
    ):
        context.max_sockets = count + 10
        sockets = []
        for public, secret in pairs:
            socket = context.socket(zmq.REQ)
            socket.linger = 0
            socket.rcvtimeo = 20_000
            socket.curve_publickey, socket.curve_secretkey = public, secret
            socket.curve_serverkey = ring.public("hub").encode()
            socket.connect(address_of(hub))
            sockets.append(socket)
        frame = [b'{"msg": "x", "dtype": "uint8", "shape": [1]}', b"\1"]
        for socket in sockets:
            socket.send_multipart(frame)
        for _ in sockets:
            hub.recv_image()
            hub.send_reply()
        for socket in sockets:
            assert socket.recv() == b"OK"
        file.write_text("# nobody\n")
        hub.zmq_socket.rcvtimeo = 400
        with beside(lambda: hear_nothing(hub)):
            for socket in sockets:
                socket.send_multipart(frame)
            for socket in sockets:
                assert socket.recv().startswith(b"ERROR: the hub does not let this sender in")
        for socket in sockets:
            socket.close(0)
        assert hub.stats()[:3] == (count, 0, count)


@pytest.mark.parametrize("kind", KINDS)
def test_none_of_twenty_gets_in(kind: str, ring: Ring) -> None:
    check_none_gets_in(kind, 20, ring)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_none_of_a_thousand_gets_in(kind: str, ring: Ring) -> None:
    check_none_gets_in(kind, 1000, ring)


def test_no_hub_that_is_not_authorized_sees_anything(ring: Ring) -> None:
    with (
        ImageSender(ANY, REQ_REP=False, security=(ring.key("hub"), ring.list)) as sender,
        zmq.Context() as context,
    ):
        address = address_of(sender)
        lookers = []
        for name in ("camera", "stranger", None):
            socket = context.socket(zmq.SUB)
            socket.linger = 0
            socket.subscribe(b"")
            if name is not None:
                socket.curve_publickey = ring.public(name).encode()
                socket.curve_secretkey = ring.secret(name).encode()
                socket.curve_serverkey = ring.public("hub").encode()
            socket.connect(address)
            lookers.append(socket)
        deadline = time.monotonic() + 20
        while not lookers[0].poll(5) and time.monotonic() < deadline:
            sender.send_image("m", IMAGE)
        for _ in range(50):
            sender.send_image("m", IMAGE)
        assert lookers[0].poll(1000)
        assert not lookers[1].poll(200)
        assert not lookers[2].poll(1)
        for socket in lookers:
            socket.close(0)


@pytest.mark.parametrize("way", ["closed", "raises"])
def test_without_a_handler_nobody_gets_in(way: str, ring: Ring) -> None:
    with ImageHub(ANY, security=ring.binding(), options={zmq.RCVTIMEO: 500}) as hub:
        handler = guard_of(hub)._handler
        assert handler is not None
        if way == "closed":
            handler.close()
        else:

            def fail(_: zap.Request) -> str:
                raise OSError("the disk is gone")

            handler._decide = fail
        with ImageSender(address_of(hub), security=ring.connecting()) as sender:
            sender.zmq_socket.rcvtimeo = 400
            with beside(lambda: send_in_vain(sender)):
                hear_nothing(hub)


@pytest.mark.parametrize(
    "parts",
    [[], [b"1.0"], [b"2.0", b"1", b"", b"", b"", b"NULL"], [b"1.0", b"1", b"", b"", b"", b"CURVE"]],
)
def test_a_request_that_is_none_is_refused(parts: list[bytes], ring: Ring) -> None:
    with ImageHub(ANY, security=ring.binding()) as hub:
        handler = guard_of(hub)._handler
        assert handler is not None
        assert handler._asked(parts) is None


def test_a_user_id_that_a_peer_claims_is_not_believed(ring: Ring) -> None:
    """Metadata of the peer's own cannot stand in for what the handler says."""
    claim = b"\x07User-Id" + (40).to_bytes(4, "big") + ring.public("camera").encode()
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ" + claim
    null = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    import socket as sockets

    with ImageHub(ANY, allow="127.0.0.1", options=LIMITS) as hub:
        host, port = address_of(hub)[6:].split(":")
        with sockets.create_connection((host, int(port)), 10) as peer:
            header = b'{"msg": "x", "dtype": "uint8", "shape": [1]}'
            peer.sendall(null + bytes([4, len(ready)]) + ready)
            answer = b""
            while b"READY" not in answer:
                answer += peer.recv(1000)
            peer.sendall(b"\1\0" + bytes([1, len(header)]) + header + b"\0\1\1")
            part = hub.zmq_socket.recv(copy=False)
            assert part.get("User-Id") == "127.0.0.1"


# --- revoked in the midst of a stream --------------------------------------------------


@pytest.mark.parametrize("messages", ["native", "pyzmq"])
@pytest.mark.parametrize("way", ["reqrep", "flight"])
def test_after_revocation_not_one_frame_more(
    way: str, messages: str, ring: Ring, warnings_of: Callable[[int], list[str]]
) -> None:
    ring.authorize("stranger")
    with (
        ImageHub(ANY, security=ring.binding(), options=LIMITS) as hub,
        Peer(
            PEERS / "secured.py",
            address_of(hub),
            way,
            *ring.connecting(),
            FASTIMAGEZMQ_MESSAGES=messages,
        ) as peer,
        ImageSender(address_of(hub), security=ring.connecting("stranger")) as other,
    ):
        for _ in range(100):
            hub.recv_image()
            hub.send_reply()
        ring.revoke("camera")
        # Its frames are queued here already, and more come all the time; another's pass.
        with beside(lambda: [other.send_image(f"other {n}", IMAGE) for n in range(50)]):
            for number in range(50):
                assert hub.recv_image()[0] == f"other {number}"
                hub.send_reply()
        peer.hear()
        hub.zmq_socket.rcvtimeo = 500
        with beside(lambda: hear_nothing(hub)):
            deadline = time.monotonic() + 20
            while not hub.stats().refused and time.monotonic() < deadline:
                time.sleep(0.01)
            peer.tell()
            number, reply = peer.hear()
            assert reply == "ERROR: the hub does not let this sender in any more"
        assert hub.stats().refused > 0
        assert hub.stats().received == 150
        assert hub.stats().malformed == 0
        assert warnings_of(1) == [
            (
                "fastimagezmq: refused a frame from 127.0.0.1, whose key is not authorized any more"
                " (more of them within a minute are only counted)"
            )
        ]


def test_a_list_that_vanishes_stops_the_stream(
    ring: Ring, warnings_of: Callable[[int], list[str]]
) -> None:
    with (
        ImageHub(ANY, security=ring.binding(), options=LIMITS) as hub,
        ImageSender(address_of(hub), security=ring.connecting(), options=LIMITS) as sender,
    ):

        def send(count: int) -> list[Any]:
            return [sender.send_image(n, IMAGE) for n in range(count)]

        def serve(count: int) -> None:
            for _ in range(count):
                hub.recv_image()
                hub.send_reply()

        with beside(lambda: send(5)):
            serve(5)
        ring.list.rename(ring.folder / "away")
        hub.zmq_socket.rcvtimeo = 500
        with beside(lambda: send(5)) as replies:
            hear_nothing(hub)
        assert all(reply.startswith(b"ERROR") for reply in replies.result())
        (ring.folder / "away").rename(ring.list)
        hub.zmq_socket.rcvtimeo = 20_000
        with beside(lambda: send(5)):
            serve(5)
        told = warnings_of(3)
        assert len([one for one in told if "there is no list of public keys" in one]) == 1
        assert hub.stats()[:3] == (10, 0, 5)


def test_a_pub_sender_cuts_off_a_revoked_hub(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "HANDSHAKE_MS", 200)
    ring.authorize("stranger")
    with (
        ImageSender(
            ANY, REQ_REP=False, security=(ring.key("hub"), ring.list), options={"SNDBUF": 300_000}
        ) as sender,
        contextlib.ExitStack() as stack,
    ):
        address = address_of(sender)
        got: dict[str, list[int]] = {"camera": [], "stranger": []}

        def look(name: str, hub: ImageHub) -> None:
            with contextlib.suppress(zmq.ContextTerminated, StateError):
                while True:
                    got[name].append(hub.recv_image()[0])

        threads = []
        for name in got:
            hub = stack.enter_context(
                ImageHub(address, REQ_REP=False, security=ring.connecting(name))
            )
            threads.append((hub, threading.Thread(target=look, args=(name, hub))))
            threads[-1][1].start()
        number = 0

        def publish_until(done: Callable[[], bool]) -> None:
            nonlocal number
            deadline = time.monotonic() + 20
            while not done() and time.monotonic() < deadline:
                sender.send_image(number, IMAGE)
                number += 1
                time.sleep(0.001)
            assert done()

        for _ in range(2):
            publish_until(lambda: all(len(numbers) > 20 for numbers in got.values()))
            before = sender.zmq_socket
            ring.revoke("camera")
            last = number - 1
            publish_until(lambda last=last: got["stranger"][-1] > last + 20)
            assert got["camera"][-1] <= last
            assert sender.zmq_socket is not before
            assert before.closed
            assert address_of(sender) == address
            assert sender.zmq_socket.sndbuf == 300_000
            ring.authorize("camera")
            after = len(got["camera"])
            publish_until(lambda after=after: len(got["camera"]) > after)
        for hub, thread in threads:
            hub.close()
            thread.join(10)
            assert not thread.is_alive()
    for numbers in got.values():
        assert numbers == sorted(set(numbers))


def test_a_pub_sender_whose_address_is_taken_meanwhile(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastimagezmq import endpoint

    monkeypatch.setattr(endpoint, "_REBIND_SECONDS", 0.1)
    with ImageSender(ANY, REQ_REP=False, security=(ring.key("hub"), ring.list)) as sender:
        address = address_of(sender)
        monkeypatch.setattr(guard_of(sender), "someone_was_revoked", lambda: True)
        real = sender.zmq_socket.close

        def close_and_lose(linger: int | None = None) -> None:
            real(linger)
            deadline = time.monotonic() + 10
            while True:
                with contextlib.suppress(zmq.ZMQError):
                    taken.bind(address)
                    return
                assert time.monotonic() < deadline
                time.sleep(0.005)

        with zmq.Context() as context, context.socket(zmq.PUB) as taken:
            taken.linger = 0
            monkeypatch.setattr(sender.zmq_socket, "close", close_and_lose)
            for _ in range(2):  # nothing is sent, and it goes on trying
                with pytest.raises(zmq.ZMQError, match="in use"):
                    sender.send_image("m", IMAGE)
            monkeypatch.setattr(guard_of(sender), "someone_was_revoked", lambda: False)
        monkeypatch.setattr(endpoint, "_REBIND_SECONDS", 10)
        sender.send_image("m", IMAGE)
        assert address_of(sender) == address


# --- address ranges --------------------------------------------------------------------


@pytest.mark.parametrize("allow", ["127.0.0.1", ["10.0.0.0/8", "127.0.0.0/8"], "127.0.0.1/32"])
def test_allowed_addresses_pass(allow: Any) -> None:
    with (
        ImageHub(ANY, allow=allow, options=LIMITS) as hub,
        ImageSender(address_of(hub)) as sender,
        beside(lambda: sender.send_image("m", IMAGE)),
    ):
        assert hub.recv_image()[0] == "m"
        hub.send_reply()


def test_other_addresses_are_refused(warnings_of: Callable[[int], list[str]]) -> None:
    with ImageHub(ANY, allow=["10.0.0.0/8"], options={zmq.RCVTIMEO: 400}) as hub:
        address = address_of(hub)
        decisions = Decisions(guard_of(hub))
        with ImageSender(address) as sender:
            sender.zmq_socket.rcvtimeo = 300
            with beside(lambda: send_in_vain(sender)):
                hear_nothing(hub)
        assert decisions.no > 0
        finding = probe(address, zmq.REQ, 0.5)
        assert finding.outcome is Outcome.NOT_ALLOWED
        assert "does its allow= name this machine's address?" in str(
            waiting.describe(finding, zmq.REQ)
        )
    (warning,) = warnings_of(1)
    assert "refused a connection from 127.0.0.1, which is not in allow=" in warning


def test_both_key_and_address(ring: Ring) -> None:
    for allow, count in (("127.0.0.1", 1), ("10.0.0.1", 0)):
        limits = {zmq.RCVTIMEO: 20_000 if count else 400}
        with (
            ImageHub(ANY, security=ring.binding(), allow=allow, options=limits) as hub,
            ImageSender(address_of(hub), security=ring.connecting(), options=limits) as sender,
        ):
            decisions = Decisions(guard_of(hub))
            if count:
                with beside(lambda sender=sender: sender.send_image("m", IMAGE)):
                    hub.recv_image()
                    hub.send_reply()
            else:
                with beside(lambda sender=sender: send_in_vain(sender)):
                    hear_nothing(hub)
            assert (decisions.yes, hub.stats().received) == (count, count)


def test_a_pub_sender_allows_addresses_too(address: str) -> None:
    for allow, seen in (("127.0.0.1", True), ("10.0.0.1", False)):
        with (
            ImageSender(ANY, REQ_REP=False, allow=allow) as sender,
            ImageHub(address_of(sender), REQ_REP=False, options={zmq.RCVTIMEO: 20}) as hub,
        ):
            got = False
            deadline = time.monotonic() + (20 if seen else 0.5)
            while not got and time.monotonic() < deadline:
                sender.send_image("m", IMAGE)
                with contextlib.suppress(zmq.Again):
                    got = bool(hub.recv_image())
            assert got is seen


@pytest.mark.parametrize(
    ("peer", "within"),
    [
        ("192.168.1.7", True),
        ("::ffff:192.168.1.7", True),
        ("fd00::5", True),
        ("fe80::1%2", True),
        ("192.168.2.7", False),
        ("::1", False),
        ("", False),
        ("fd:1000:1000:7", False),
    ],
)
def test_addresses_in_ranges(peer: str, within: bool) -> None:
    guard = Guard(
        None,
        networks(["192.168.1.0/24", "fd00::/8", ipaddress.ip_network("fe80::/10")]),
        binds=True,
    )
    assert guard._allows(peer) is within


# --- why nothing comes -----------------------------------------------------------------


def describe(address: str, kind: int, guard: Guard | None) -> str:
    return waiting.describe(probe(address, kind, 0.7, guard), kind) or ""


def test_the_reason_is_security(ring: Ring) -> None:
    def guard(name: str, other: str = "hub") -> Guard:
        return Guard(security_of(ring.connecting(name, other), binds=False), (), binds=False)

    with ImageHub(ANY, security=ring.binding()) as hub, ImageHub(ANY) as open_hub:
        address = address_of(hub)
        assert describe(address, zmq.REQ, None) == (
            "the hub demands CURVE security, and this end has none set: give it"
            ' security=("own.key", "other.pub")'
        )
        assert "the hub has no security set (its mechanism is NULL)" in describe(
            address_of(open_hub), zmq.REQ, guard("camera")
        )
        for stranger in (guard("stranger"), guard("camera", "stranger")):
            assert describe(address, zmq.REQ, stranger) == (
                f"the hub does not let this end in: is this end's public key {stranger.own_key} on"
                " the hub's list ('fastimagezmq authorize' there), is the .pub file that this end"
                " was given its newest one, and REQ_REP the same on both ends?"
            )
        assert "has not replied" in describe(address, zmq.REQ, guard("camera"))
    with ImageSender(ANY, REQ_REP=False, security=ring.binding()) as sender:
        address = address_of(sender)
        assert describe(address, zmq.SUB, guard("camera")) == ""
        assert "the sender does not let this end in" in describe(
            address, zmq.SUB, guard("stranger")
        )


@pytest.mark.parametrize("in_flight", [1, 2])
def test_a_sender_that_is_not_let_in_says_so(
    in_flight: int,
    ring: Ring,
    warnings_of: Callable[[int], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "SLICE_MS", 20)
    monkeypatch.setattr(waiting, "FIRST_WARNING_SECONDS", 0.1)
    monkeypatch.setattr(probing, "probe", functools.partial(probe, timeout=0.5))
    with (
        ImageHub(ANY, security=ring.binding()) as hub,
        ImageSender(
            address_of(hub), in_flight=in_flight, security=ring.connecting("stranger")
        ) as sender,
    ):
        sender.zmq_socket.rcvtimeo = 300
        if in_flight == 1:
            send_in_vain(sender)
        else:
            sender.send_image("m", IMAGE)
            assert not sender.flush(0.3)
        told = warnings_of(2)
    (mine,) = [one for one in told if "no reply from" in one]
    assert "the hub does not let this end in" in mine
    assert ring.public("stranger") in mine
    (theirs,) = [one for one in told if "refused a connection" in one]
    assert f"its public key {ring.public('stranger')} is not authorized" in theirs
    assert not [one for one in told if ring.secret("stranger") in one or ring.secret("hub") in one]


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("tcp://127.0.0.1:5555", True),
        ("tcp://127.9.0.1:5555", True),
        ("tcp://[::1]:5555", True),
        ("ipc:///tmp/x", True),
        ("tcp://0.0.0.0:5555", False),
        ("tcp://[::]:5555", False),
        ("tcp://192.168.1.2:5555", False),
    ],
)
def test_what_only_this_machine_reaches(address: str, local: bool) -> None:
    assert is_local(address) is local


def test_an_open_hub_says_so_once_at_info() -> None:
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare command here")
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("network namespaces are refused here")
    program = (
        "import logging, sys, fastimagezmq as f\n"
        "logging.basicConfig(level=logging.INFO, format='%(levelname)s %(message)s')\n"
        "f.ImageHub('tcp://*:5555').close()\n"
        "f.ImageSender('tcp://*:5556', REQ_REP=False).close()\n"
        "f.ImageHub('tcp://127.0.0.1:5555').close()\n"
        "f.ImageHub('tcp://*:5555', allow='10.0.0.0/8').close()\n"
    )
    done = subprocess.run(
        [*alone, sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stderr.splitlines() == [
        f"INFO fastimagezmq: this {end} is open to everybody who reaches it, and nothing is"
        " encrypted; security= or allow= change that"
        for end in ("ImageHub at tcp://0.0.0.0:5555", "ImageSender at tcp://0.0.0.0:5556")
    ]


# --- sockets of the program's own ------------------------------------------------------


def test_a_socket_of_the_programs_own_is_refused(ring: Ring) -> None:
    class Own(ImageHub):
        def init_reqrep(self, address: str) -> None:
            self.zmq_context = zmq.Context()
            self.zmq_socket = self.zmq_context.socket(zmq.REP)
            self.zmq_socket.bind(address)

    with pytest.raises(SecurityError, match="this Own's socket is the program's own"):
        Own(ANY, security=ring.binding())

    with (
        ImageHub(ANY, security=ring.binding()) as hub,
        zmq.Context() as context,
        context.socket(zmq.REP) as plain,
    ):
        first, hub.zmq_socket = hub.zmq_socket, plain
        with pytest.raises(SecurityError, match="this ImageHub's socket is the program's own"):
            hub.recv_image()
        hub.zmq_socket = first
        first.recv_array = lambda **_: ("forged", IMAGE)
        with pytest.raises(SecurityError, match="cannot look at frames that a receiving method"):
            hub.recv_image()
    for reqrep in (True, False):
        security = ring.connecting() if reqrep else ring.binding()
        address = "tcp://127.0.0.1:1" if reqrep else ANY
        with (
            ImageSender(address, REQ_REP=reqrep, security=security) as sender,
            zmq.Context() as context,
            context.socket(zmq.PUB) as plain,
        ):
            first, sender.zmq_socket = sender.zmq_socket, plain
            with pytest.raises(SecurityError, match="this ImageSender's socket is the program's"):
                sender.send_image("m", IMAGE)
            sender.zmq_socket = first


def test_options_cannot_undo_it(ring: Ring) -> None:
    options = {"CURVE_SERVER": 0, "PLAIN_SERVER": 1, "ZAP_ENFORCE_DOMAIN": 0}
    with (
        ImageHub(ANY, security=ring.binding(), options=options | {zmq.RCVTIMEO: 300}) as hub,
        zmq.Context() as context,
        context.socket(zmq.REQ) as plain,
    ):
        assert hub.zmq_socket.mechanism == zmq.CURVE
        assert hub.zmq_socket.handshake_ivl == guarding.HANDSHAKE_MS
        plain.linger = 0
        plain.connect(address_of(hub))
        plain.send_multipart([b'{"msg": "x", "dtype": "uint8", "shape": [1]}', b"\1"])
        hear_nothing(hub)
        with pytest.raises(SecurityError, match="binds with security, so it cannot be connected"):
            hub.zmq_socket.connect("tcp://127.0.0.1:1")


# --- the end ---------------------------------------------------------------------------


def test_close_ends_the_handler_from_wherever(ring: Ring) -> None:
    hub = ImageHub(ANY, security=ring.binding())
    assert zap_threads() == 1

    def wait() -> None:
        with pytest.raises(zmq.ContextTerminated):
            hub.recv_image()

    with beside(wait):
        time.sleep(0.1)
        began = time.monotonic()
        hub.close()
        assert time.monotonic() - began < 5
    assert zap_threads() == 0
    hub.close()
    with pytest.raises(StateError, match="is closed"):
        hub.recv_image()


def test_a_failed_constructor_leaves_nothing(ring: Ring) -> None:
    with (
        ImageHub(ANY, security=ring.binding()) as hub,
        pytest.raises(zmq.ZMQError, match="in use"),
    ):
        ImageHub(address_of(hub), security=ring.binding())
    assert zap_threads() == 0


def test_a_dropped_hub_is_collected(ring: Ring) -> None:
    for cyclic in (False, True):
        hub = ImageHub(ANY, security=ring.binding())
        if cyclic:
            hub.itself = hub  # type: ignore[attr-defined]
        del hub
        gc.collect()
        assert zap_threads() == 0


def test_a_context_that_is_terminated_ends_its_handler(ring: Ring) -> None:
    hub = ImageHub(ANY, security=ring.binding())
    hub.zmq_socket.close()
    hub.zmq_context.term()
    handler = guard_of(hub)._handler
    assert handler is not None
    handler._thread.join(10)
    assert zap_threads() == 0
    hub.close()


def test_a_handler_may_be_closed_by_its_own_thread(ring: Ring) -> None:
    """As the garbage collector does, on whatever thread it runs."""
    hub = ImageHub(ANY, security=ring.binding())
    handler = guard_of(hub)._handler
    assert handler is not None

    def decide(_: zap.Request) -> None:
        hub.close()

    handler._decide = decide
    with ImageSender(address_of(hub), security=ring.connecting()) as sender:
        sender.zmq_socket.rcvtimeo = 500
        send_in_vain(sender)
    handler._thread.join(10)
    assert not handler._thread.is_alive()
    assert hub.zmq_context.closed


def test_init_called_again_has_a_handler_of_its_own(ring: Ring) -> None:
    with ImageHub(ANY, security=ring.binding(), options=LIMITS) as hub:
        hub.close()
        hub.init_reqrep(ANY)
        assert zap_threads() == 1
        with (
            ImageSender(address_of(hub), security=ring.connecting()) as sender,
            beside(lambda: sender.send_image("again", IMAGE)),
        ):
            assert hub.recv_image()[0] == "again"
            hub.send_reply()


ENDINGS = {
    "left open": "",
    "in a cycle": "hub.itself = hub; del hub",
    "a thread waits": (
        "threading.Thread(target=hub.recv_image, daemon=True).start(); time.sleep(0.1)"
    ),
    "an exception": "import atexit; atexit.register(print, 'bye'); sys.exit(3)",
    "a forked child ends": (
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    try: hub.recv_image()\n"
        "    except f.StateError: pass\n"
        "    hub.close(); sys.exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "hub.zmq_socket.rcvtimeo = 20000\n"
        "sender = f.ImageSender(hub.zmq_socket.bound[0], security=(sys.argv[3], sys.argv[4]))\n"
        "threading.Thread(target=sender.send_image, args=('m', numpy.zeros(3)),"
        " daemon=True).start()\n"
        "assert hub.recv_image()[0] == 'm'\n"
        "hub.send_reply()\n"
    ),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork() is POSIX's")
@pytest.mark.parametrize("name", list(ENDINGS))
def test_programs_end(name: str, ring: Ring) -> None:
    program = (
        "import os, sys, threading, time, numpy, fastimagezmq as f\n"
        "hub = f.ImageHub('tcp://127.0.0.1:*', security=(sys.argv[1], sys.argv[2]))\n"
        f"{ENDINGS[name]}\n"
    )
    arguments = [ring.key("hub"), ring.list, ring.key("camera"), ring.pub("hub")]
    done = subprocess.run(
        # (Python 3.12 on warns of fork() where there are threads.)
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (3 if "exit(3)" in ENDINGS[name] else 0, "")
