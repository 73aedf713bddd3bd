"""Nothing waits in silence: what is wrong with an address is found out and told."""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

from fastimagezmq import ImageHub, ImageSender
from fastimagezmq.transport import waiting
from fastimagezmq.transport.probe import Finding, Outcome, probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    """Warn after 0.1 s, again after 0.4 s; returns a function that waits for warnings."""
    monkeypatch.setattr(waiting, "SLICE_MS", 20)
    monkeypatch.setattr(waiting, "FIRST_WARNING_SECONDS", 0.1)
    monkeypatch.setattr(waiting, "NEXT_WARNING_SECONDS", 0.4)
    caplog.set_level(logging.DEBUG, "fastimagezmq")

    def warnings(count: int = 1) -> list[str]:
        deadline = time.monotonic() + 10
        while len(caplog.records) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return [record.getMessage() for record in caplog.records]

    return warnings


def wait_in_vain(sender: ImageSender, seconds: float = 1.0) -> None:
    sender.zmq_socket.setsockopt(zmq.RCVTIMEO, int(seconds * 1000))
    with pytest.raises(zmq.Again):
        sender.send_image("camera", IMAGE)


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None] | None) -> Iterator[int]:
    """A TCP server that does with its first connection what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            connection, _ = server.accept()
            with connection:
                if serve is not None:
                    serve(connection)

        thread = threading.Thread(target=accept)
        if serve is not None:
            thread.start()
        yield server.getsockname()[1]
        if serve is not None:
            thread.join()


@contextlib.contextmanager
def bound(kind: int, **options: Any) -> Iterator[str]:
    """A plain ZeroMQ socket of the given kind."""
    with zmq.Context() as context, context.socket(kind) as peer:
        peer.linger = 0
        for name, value in options.items():
            setattr(peer, name, value)
        peer.bind("tcp://127.0.0.1:*")
        yield peer.getsockopt(zmq.LAST_ENDPOINT).decode()


# --- the probe, against real peers ---------------------------------------------------


def found(address: str, kind: int = zmq.REQ, timeout: float = 0.3) -> tuple[Outcome, str]:
    finding = probe(address, kind, timeout)
    return finding.outcome, waiting.describe(finding, kind) or ""


def test_probe_a_free_port(address: str) -> None:
    outcome, sentence = found(address)
    assert outcome is Outcome.REFUSED
    assert "nothing listens there" in sentence


def test_probe_a_hub_and_leave_it_unharmed(address: str) -> None:
    with ImageHub(address) as hub, ImageSender(address) as sender:
        for _ in range(3):
            outcome, sentence = found(address)
            assert outcome is Outcome.CONNECTED
            assert "send_reply()" in sentence
        thread = threading.Thread(target=lambda: (hub.recv_image(), hub.send_reply(b"fine")))
        thread.start()
        assert sender.send_image("m", IMAGE) == b"fine"
        thread.join()
        assert hub.stats().malformed == 0


@pytest.mark.parametrize(
    ("own", "peer", "outcome", "words"),
    [
        (zmq.REQ, zmq.REP, Outcome.CONNECTED, "has not replied"),
        (zmq.REQ, zmq.ROUTER, Outcome.CONNECTED, "has not replied"),
        (zmq.SUB, zmq.PUB, Outcome.CONNECTED, ""),
        (zmq.SUB, zmq.XPUB, Outcome.CONNECTED, ""),
        (zmq.REQ, zmq.PUB, Outcome.WRONG_PEER, "two senders cannot talk"),
        (zmq.REQ, zmq.PULL, Outcome.WRONG_PEER, "its socket is PULL"),
        (zmq.SUB, zmq.REP, Outcome.WRONG_PEER, "give the sender REQ_REP=False"),
    ],
)
def test_probe_other_sockets(own: int, peer: int, outcome: Outcome, words: str) -> None:
    with bound(peer) as address:
        seen, sentence = found(address, own)
    assert seen is outcome
    assert words in sentence
    assert bool(words) == bool(sentence)


def test_probe_a_peer_that_demands_curve() -> None:
    secret = zmq.curve_keypair()[1]
    with bound(zmq.REP, curve_secretkey=secret, curve_server=True) as address:
        outcome, sentence = found(address)
    assert outcome is Outcome.SECURED
    assert "CURVE" in sentence


def test_probe_a_web_server() -> None:
    with listening(lambda peer: peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        outcome, sentence = found(f"tcp://127.0.0.1:{port}")
    assert outcome is Outcome.NOT_ZMQ
    assert "does not speak ZeroMQ" in sentence


def test_probe_a_server_that_hangs_up() -> None:
    with listening(lambda peer: None) as port:
        assert found(f"tcp://127.0.0.1:{port}")[0] is Outcome.NOT_ZMQ


def test_probe_a_peer_with_an_endless_command() -> None:
    def serve(peer: socket.socket) -> None:
        null = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
        peer.sendall(null + b"\x06" + b"\xff" * 8)
        peer.recv(1000)

    with listening(serve) as port:
        assert found(f"tcp://127.0.0.1:{port}")[0] is Outcome.NOT_ZMQ


def test_probe_an_old_peer() -> None:
    def serve(peer: socket.socket) -> None:
        peer.sendall(b"\xff" + bytes(8) + b"\x7f\x01\x05")  # ZMTP 2.0
        peer.recv(1000)

    with listening(serve) as port:
        assert found(f"tcp://127.0.0.1:{port}")[0] is Outcome.CONNECTED


def test_probe_a_server_that_says_nothing() -> None:
    with listening(None) as port:
        outcome, sentence = found(f"tcp://127.0.0.1:{port}")
    assert outcome is Outcome.SILENT
    assert "does not speak ZeroMQ" in sentence


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse past a full backlog")
def test_probe_where_packets_are_dropped() -> None:
    # Linux drops a SYN that finds the accept queue full, as a filtering firewall does.
    with socket.socket() as server, contextlib.ExitStack() as stack:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        outcome, sentence = found(f"tcp://127.0.0.1:{server.getsockname()[1]}")
    assert outcome is Outcome.FILTERED
    assert "firewall" in sentence


def test_probe_an_unreachable_network() -> None:
    # A namespace of its own, without any interface that is up.
    if shutil.which("unshare") is None:
        pytest.skip("no unshare command here")
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("network namespaces are refused here")
    code = (
        "from fastimagezmq.transport import probe, waiting\n"
        "finding = probe.probe('tcp://127.0.0.1:5555', 3)\n"
        "print(finding.outcome.name, waiting.describe(finding, 3))"
    )
    out = subprocess.run(
        [*alone, sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert out.startswith("UNREACHABLE unreachable (Network is unreachable)")


@pytest.mark.parametrize("host", ["bad_host_name_without_dns" + "x" * 60, "a..b"])
def test_probe_a_name_that_cannot_be(host: str) -> None:
    outcome, sentence = found(f"tcp://{host}:5555")
    assert outcome is Outcome.NO_NAME
    assert f'the name "{host}" was not found' in sentence
    assert f"try {host}.local or the IP address" in sentence


def test_a_name_in_local_is_given_no_second_local() -> None:
    finding = Finding(Outcome.NO_NAME, "hub.local", 5555, "unknown")
    sentence = waiting.describe(finding, zmq.REQ) or ""
    assert "local.local" not in sentence
    assert "avahi" in sentence


@pytest.mark.parametrize("address", ["inproc://x", "udp://127.0.0.1:1", "tcp://[::1", "tcp://h:x"])
def test_probe_what_it_cannot(address: str) -> None:
    outcome, sentence = found(address)
    assert outcome is Outcome.UNKNOWN
    assert "is the hub running" in sentence
    assert found(address, zmq.SUB) == (Outcome.UNKNOWN, "")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="ipc:// needs Unix sockets")
def test_probe_ipc(tmp_path: Any) -> None:
    address = f"ipc://{tmp_path}/hub"
    assert found(address)[0] is Outcome.REFUSED
    with ImageHub(address):
        assert found(address)[0] is Outcome.CONNECTED


# --- what a program's user sees --------------------------------------------------------


def test_a_sender_without_a_hub_says_so_again_and_again(quick: Any, address: str) -> None:
    with ImageSender(address) as sender:
        wait_in_vain(sender, 1.2)
    warnings = quick(3)
    assert len(warnings) in (3, 4)
    assert all(w.startswith(f"fastimagezmq: no reply from {address} for ") for w in warnings)
    assert all("refused: nothing listens there" in w for w in warnings)


def test_a_sender_whose_hub_does_not_answer(quick: Any, address: str) -> None:
    with ImageHub(address), ImageSender(address) as sender:
        wait_in_vain(sender, 0.4)
        assert "connected, but the hub has not replied" in quick()[0]


def test_a_sub_hub_without_a_sender_names_each_address(quick: Any, address: str) -> None:
    with bound(zmq.PUB) as publisher, ImageHub(address, REQ_REP=False) as hub:
        hub.connect(publisher)
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 400)
        with pytest.raises(zmq.Again):
            hub.recv_image()
        (warning,) = quick()
    assert warning.startswith(f"fastimagezmq: no connection to {address} for ")


def test_silence_is_healthy(quick: Any, address: str) -> None:
    with ImageHub(address) as hub:  # no sender yet
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 400)
        with pytest.raises(zmq.Again):
            hub.recv_image()
    with (
        ImageSender(address, REQ_REP=False),  # a publisher with nothing to say
        ImageHub(address, REQ_REP=False) as hub,
    ):
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 400)
        with pytest.raises(zmq.Again):
            hub.recv_image()
    time.sleep(0.2)
    assert quick(0) == []


@pytest.mark.parametrize("milliseconds", [0, 1, 60])
def test_rcvtimeo_holds(address: str, milliseconds: int) -> None:
    with ImageHub(address) as hub:
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, milliseconds)
        began = time.monotonic()
        with pytest.raises(zmq.Again):
            hub.recv_image()
        took = time.monotonic() - began
        assert milliseconds / 1000 <= took < milliseconds / 1000 + 5


def test_unconfigured_a_program_sees_one_line_after_five_seconds(address: str) -> None:
    program = (
        "import sys, numpy, fastimagezmq as imagezmq\n"
        f"sender = imagezmq.ImageSender({address!r})\n"
        "sender.send_image('m', numpy.zeros((4, 4, 3), 'uint8'))\n"
    )
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert time.monotonic() - began >= 5
        assert line == (
            f"fastimagezmq: no reply from {address} for 5 s: refused: nothing listens there. Is the"
            " hub program running on that machine, or has it ended? Does it use this port?\n"
        )
        # Ctrl-C ends it, within the second that close() may take.
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert out == ""
        assert process.returncode in (1, 130, -signal.SIGINT)
    finally:
        process.kill()
        process.wait()


def test_no_probe_thread_stays(quick: Any, address: str) -> None:
    with ImageSender(address) as sender:
        wait_in_vain(sender, 0.3)
    quick()
    deadline = time.monotonic() + 5
    names = ["fastimagezmq-probe"]
    while "fastimagezmq-probe" in names and time.monotonic() < deadline:
        names = [thread.name for thread in threading.enumerate()]
    assert "fastimagezmq-probe" not in names
