"""``fastimagezmq doctor``: what it finds, and what it says where something is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

import fastimagezmq
from fastimagezmq import ImageHub, ImageSender, _codec, cli, doctor, reach
from fastimagezmq.transport import messages
from processes import beside

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = [
    "fastimagezmq",
    "Python",
    "platform",
    "numpy",
    "pyzmq",
    "messages",
    "libjpeg-turbo",
    "SIMD",
    "threads",
    "JPEG",
    "security",
    "loopback",
]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "fastimagezmq", "doctor", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def without_simd_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the one thing out that takes seconds."""
    monkeypatch.setattr(doctor, "_simd", lambda: "not tried here")


def test_a_line_for_each_thing_and_status_0() -> None:
    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    *lines, last = done.stdout.splitlines()
    assert last == "all is well"
    assert [line.split()[0] for line in lines] == NAMES
    assert max(map(len, lines)) <= 80


def test_json() -> None:
    done = run("--json", FASTIMAGEZMQ_MESSAGES="pyzmq", FASTIMAGEZMQ_THREADS="3")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["well"] is True
    assert told["advice"] == {}
    found = told["found"]
    assert list(found) == NAMES
    assert found["fastimagezmq"] == fastimagezmq.__version__
    assert found["numpy"] == np.__version__
    assert found["pyzmq"] == f"{zmq.__version__}, libzmq {zmq.zmq_version()}"
    assert found["messages"] == "by pyzmq's calls: FASTIMAGEZMQ_MESSAGES=pyzmq is set"
    assert found["libjpeg-turbo"] == "built with " + _codec.libjpeg_turbo_version()
    assert found["threads"] == "3: FASTIMAGEZMQ_THREADS=3"
    assert re.match(r"(in use: JPEG is [\d.]+ times|cannot tell: )", found["SIMD"])
    assert re.match(r"encoded and decoded 640x480, \d+ bytes", found["JPEG"])


def test_a_wrong_setting_is_told_with_what_to_do() -> None:
    done = subprocess.run(  # without -W error: the codec warns too
        [sys.executable, "-m", "fastimagezmq", "doctor", "--json"],
        env=os.environ | {"FASTIMAGEZMQ_THREADS": "many", "JSIMD_FORCENONE": "1"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["well"] is False
    assert list(told["advice"]) == ["threads"]
    assert told["found"]["SIMD"] == "turned off by JSIMD_FORCENONE=1"


@pytest.mark.usefixtures("without_simd_trial")
@pytest.mark.parametrize(
    ("name", "broken", "told"),
    [
        ("JPEG", lambda *_, **__: np.zeros((480, 640, 3), np.uint8), "off on average"),
        ("JPEG", lambda *_, **__: np.zeros((8, 8, 3), np.uint8), "came back as (8, 8, 3)"),
    ],
)
def test_a_codec_that_does_not_work(
    name: str,
    broken: Callable[..., Any],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FASTIMAGEZMQ_THREADS", str(_codec.thread_count()))
    monkeypatch.setattr(_codec, "decode_jpeg", broken)
    assert cli.main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert told in printed
    assert printed.splitlines()[-1] == (
        f"{name}: build fastimagezmq anew, with libjpeg-turbo 2.1 or newer"
    )


@pytest.mark.usefixtures("without_simd_trial")
def test_a_loopback_that_changes_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    received = ImageHub.recv_image

    def changed(self: ImageHub) -> Any:
        message, image = received(self)
        image[0, 0, 0] ^= 1
        return message, image

    monkeypatch.setattr(ImageHub, "recv_image", changed)
    finding = list(doctor.examine())[-1]
    assert finding.told == "failed: a frame came back changed"
    assert "firewall" in finding.advice


def test_a_loopback_on_which_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    def send_nothing(*_: Any) -> None:
        raise zmq.Again

    monkeypatch.setattr(ImageSender, "send_image", send_nothing)
    monkeypatch.setattr(doctor, "_WAIT_MS", 100)
    with pytest.raises(TimeoutError, match="no frame came to tcp://"):
        doctor._loopback()


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (("0.003", "0.001"), "in use: JPEG is 3.0 times as fast as without"),
        (("0.001", "0.001"), "cannot tell: as fast with JSIMD_FORCENONE=1 (factor 1.0)"),
    ],
)
def test_what_is_concluded_of_simd(
    times: tuple[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JSIMD_FORCENONE", raising=False)

    def timed(command: Any, *, env: dict[str, str], **_: Any) -> Any:
        output = times["JSIMD_FORCENONE" not in env]
        return subprocess.CompletedProcess(command, 0, output, "")

    monkeypatch.setattr(subprocess, "run", timed)
    assert doctor._simd() == told


def test_a_process_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_TIMING", "raise ImportError('no such thing')")
    finding = doctor._tried("SIMD", doctor._simd, "do this")
    assert finding == (
        "SIMD",
        "failed: a process of its own ended with ImportError: no such thing",
        "do this",
    )


@pytest.mark.parametrize(
    ("count", "allowed", "installed", "told"),
    [
        (4, 4, 4, "one for each CPU"),
        (2, 2, 4, "the affinity allows these of 4 CPUs"),
        (1, 4, 4, "the control group's CPU quota, of 4 CPUs"),
    ],
)
def test_why_so_many_threads(
    count: int, allowed: int, installed: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: installed)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    assert doctor._cpus(count) == told


def test_which_way_messages_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "way", messages.Way(True, "/some/file.so"))
    assert doctor._way() == "native, through /some/file.so"
    monkeypatch.setattr(messages, "way", messages.Way(False, "why"))
    assert doctor._way() == "by pyzmq's calls: why"


def test_long_lines_lose_their_middle(capsys: pytest.CaptureFixture[str]) -> None:
    cli._print_finding("messages", "a" * 100 + "end.so")
    line = capsys.readouterr().out.rstrip("\n")
    assert len(line) == 80
    assert line.endswith("end.so")


# --- on the way to a hub -------------------------------------------------------------


def lines_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines()[:-1]), default=0) <= 80
    return [re.sub(r"\d\.\d ms", "T ms", line) for line in done.stdout.splitlines()]


def port_of(socket: Any) -> int:
    return int(socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])


def test_each_step_to_a_hub_is_told() -> None:
    with ImageHub("tcp://127.0.0.1:*") as hub:
        port = port_of(hub.zmq_socket)
        done = run(f"tcp://localhost:{port}")
        name, *rest = lines_of(done)
        assert re.match(r"name +localhost is .*127\.0\.0\.1", name)
        assert rest == [
            f"port           {port} is open",
            "ZeroMQ         shakes hands",
            "hub            its socket is ROUTER",
            "all is well",
        ]
        assert done.returncode == 0
        assert not hub.poll(0.1)  # and nothing was sent


def test_a_picture_is_sent_when_asked_for() -> None:
    with ImageHub("tcp://127.0.0.1:*", timeout=30) as hub:

        def answer() -> None:
            assert hub.recv_image()[0] == "fastimagezmq doctor"
            hub.send_reply(b"seen")

        with beside(answer):
            done = run(f"tcp://127.0.0.1:{port_of(hub.zmq_socket)}", "--send")
        *_, last, verdict = lines_of(done)
        assert last == "reply          b'seen' to a picture of 64x48, after T ms"
        assert verdict == "all is well"


def test_a_hub_that_does_not_reply_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_REPLY_MS", 200)
    with ImageHub("tcp://127.0.0.1:*") as hub:
        address = f"tcp://127.0.0.1:{port_of(hub.zmq_socket)}"
        *_, last = reach.examine(address, subscribe=False, send=True)
        assert last.name == "reply"
        assert "send_reply()" in last.advice


def test_a_pub_sender_is_looked_for_with_pub() -> None:
    with ImageSender("tcp://127.0.0.1:*", REQ_REP=False) as sender:
        address = f"tcp://127.0.0.1:{port_of(sender.zmq_socket)}"
        assert "sender         its socket is PUB" in lines_of(run(address, "--pub"))
        done = run(address)
        assert done.returncode == 1
        assert "hub: its socket is PUB, which a REQ socket cannot talk to" in done.stdout


@pytest.mark.parametrize(
    ("address", "name", "words"),
    [
        ("tcp://no.such.host.invalid:5555", "name", "was not found"),
        ("tcp://127.0.0.1:9", "port", "nothing listens there"),
        ("127.0.0.1:5555", "address", 'write "tcp://127.0.0.1:5555"'),
        ("tcp://127.0.0.1:99999", "address", "99999"),
        ("ipc:///no/such/file", "ZeroMQ", "nothing listens there"),
    ],
)
def test_the_first_step_that_fails_is_the_last(address: str, name: str, words: str) -> None:
    *well, last = reach.examine(address, subscribe=False, send=True)
    assert last.name == name
    assert words in last.advice
    assert not any(finding.advice for finding in well)


def test_another_program_on_the_port_is_told() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.close()

        with beside(hang_up):
            address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
            *_, last = reach.examine(address, subscribe=False, send=False)
        assert last.name == "ZeroMQ"
        assert "does not speak ZeroMQ" in last.advice


@pytest.mark.parametrize("arguments", [["--pub"], ["--send"], ["tcp://a:1", "--pub", "--send"]])
def test_options_that_do_not_combine(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "doctor: error:" in done.stderr
