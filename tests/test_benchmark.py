"""``fastimagezmq bench``: measures, against whichever hub, and ends cleanly."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

import fastimagezmq
from fastimagezmq import benchmark, cli
from fastimagezmq.benchmark import OURS, THEIRS, BenchError, Result, Server, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMAND = [sys.executable, "-m", "fastimagezmq", "bench"]
HAS_IMAGEZMQ = importlib.util.find_spec(THEIRS) is not None

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are Unix's")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure small pictures only."""
    monkeypatch.setattr(benchmark, "SIZES", ((64, 48), (96, 64)))


@contextlib.contextmanager
def serving(hub: Any, answer: Callable[[Any], None]) -> Iterator[str]:
    """Answer a hub's frames on a thread until the block is left; gives its address."""
    address = hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    left = threading.Event()

    def run() -> None:
        with hub:
            while not left.is_set():
                if hub.zmq_socket.poll(10):
                    answer(hub)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield address
    finally:
        left.set()
        thread.join()


def answer(hub: Any) -> None:
    hub.recv_image()
    hub.send_reply(b"OK")


@contextlib.contextmanager
def bench_hub() -> Iterator[Server]:
    """Run the hub that the bench brings along, on a thread."""
    server = Server("tcp://127.0.0.1:*")

    def run() -> None:
        with contextlib.suppress(zmq.ContextTerminated):
            server.serve()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


def by_kind(results: Iterator[Result]) -> dict[tuple[str, str, int], Result]:
    return {(result.library, result.kind, result.width): result for result in results}


# --- measuring -----------------------------------------------------------------------


def check_stages(result: Result) -> None:
    assert result.rate
    assert result.bits
    assert result.frames >= 1
    stages = [result.encode or 0, result.transfer or 0, result.hub or 0]
    assert sum(stages) >= 1 / result.rate * 0.999
    named = {"encode": stages[0], "transfer": stages[1], "hub": stages[2]}
    assert named[result.limited_by] == max(stages)


@pytest.mark.usefixtures("small")
def test_on_loopback() -> None:
    found = by_kind(measure(None, 0.5))
    for kind in ("raw", "JPEG"):
        for width in (64, 96):
            result = found.pop((OURS, kind, width))
            check_stages(result)
            assert (result.encode is None) == (kind == "raw")
            assert result.hub is not None
    raw = [result for (_, kind, _), result in found.items() if kind == "raw"]
    assert len(raw) == (2 if HAS_IMAGEZMQ else 0)
    for result in found.values():
        assert result.library == THEIRS
        assert result.rate
        assert result.limited_by == ""


@pytest.mark.usefixtures("small")
def test_to_the_hub_that_the_bench_brings_along() -> None:
    with bench_hub() as server:
        found = by_kind(measure(server.address, 0.3))
    for kind in ("raw", "JPEG"):
        check_stages(found[OURS, kind, 64])
        assert found[OURS, kind, 64].hub is not None
    assert ((THEIRS, "raw", 64) in found) == HAS_IMAGEZMQ
    assert (THEIRS, "JPEG", 64) not in found
    assert server.frames >= sum(result.frames for result in found.values())


@pytest.mark.usefixtures("small")
def test_to_imagezmqs_hub_only_raw_pixels_go() -> None:
    imagezmq = pytest.importorskip("imagezmq", reason="needs the real imagezmq")
    received: list[tuple[Any, Any]] = []

    def keep(hub: Any) -> None:
        received.append(hub.recv_image())  # fails on a JPEG
        hub.send_reply(b"OK")

    with serving(imagezmq.ImageHub("tcp://127.0.0.1:*"), keep) as address:
        found = by_kind(measure(address, 0.3))
    assert {kind for _, kind, _ in found} == {"raw"}
    result = found[OURS, "raw", 64]
    check_stages(result)
    assert result.hub is None
    assert all(isinstance(message, str) for message, _ in received)
    assert {image.shape for _, image in received} == {(16, 16, 3), (48, 64, 3), (64, 96, 3)}


@pytest.mark.usefixtures("small")
def test_jpeg_to_any_hub_when_asked_for() -> None:
    with serving(fastimagezmq.ImageHub("tcp://127.0.0.1:*"), answer) as address:
        found = by_kind(measure(address, 0.3, takes_jpeg=True))
    result = found[OURS, "JPEG", 64]
    check_stages(result)
    assert result.hub is None
    assert result.encode


def test_frames_that_would_take_too_long_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SIZES", ((16, 16), (160, 160)))

    def slowly(hub: Any) -> None:
        hub.recv_image()
        time.sleep(0.1)
        hub.send_reply(b"OK")

    with serving(fastimagezmq.ImageHub("tcp://127.0.0.1:*"), slowly) as address:
        found = by_kind(measure(address, 0.2))
    assert found[OURS, "raw", 16].rate
    left_out = found[OURS, "raw", 160]
    assert left_out.rate is None
    assert left_out.limited_by == ""
    assert "not measured: about 1" in left_out.note


def test_no_hub_is_told(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(benchmark, "_FIRST_REPLY_SECONDS", 0.2)
    with pytest.raises(BenchError, match=f"no reply from {address} in 0.2 s: is a hub running"):
        next(measure(address, 1))


def test_a_hub_that_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # It passes over what it refuses and waits for the next frame: not for ever here.
    options = {"RCVTIMEO": 20}
    hub = fastimagezmq.ImageHub("tcp://127.0.0.1:*", max_bytes=1000, options=options)

    def answer_small(hub: Any) -> None:
        with contextlib.suppress(zmq.Again):
            answer(hub)

    with (
        serving(hub, answer_small) as address,
        pytest.raises(BenchError, match=r"refused a frame: ERROR: .*max_bytes=1000"),
    ):
        next(measure(address, 1))


@pytest.mark.parametrize("size", benchmark.SIZES[:2])
def test_pictures_are_made_like_photographs(size: tuple[int, int]) -> None:
    made = benchmark.pictures(*size)
    assert len(made) == 4
    for image in made:
        assert image.dtype == np.uint8
        assert image.shape == (size[1], size[0], 3)
        assert image.flags.c_contiguous
        bits = len(fastimagezmq.encode_jpeg(image, 85)) * 8 / size[0] / size[1]
        assert 0.5 < bits < 3
    assert not np.array_equal(made[0], made[1])
    assert np.array_equal(made[0], benchmark.pictures(*size)[0])


# --- the command ---------------------------------------------------------------------


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=50, check=False
    )


def test_the_table_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    cli._print_results(
        [
            Result(OURS, "raw", 1920, 1080, 9, 12345.6, 99999e6, None, 0.1234567, 0.1),
            Result(THEIRS, "raw", 1920, 1080, 9, 12345.6, 99999e6),
            Result(OURS, "JPEG", 1920, 1080, 9, 0.0123, 1e3, 0.1, 0.01, None),
            Result(OURS, "JPEG", 3840, 2160, note="not measured: about 100 s a frame"),
        ]
    )
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines())
    raw, jpeg, left_out = [
        line.split() for line in printed.splitlines() if "x" in line and line[0] in "rJ"
    ]
    assert " ".join(raw) == "raw 1920x1080 12346 12346 1.00 99999 - 123 100 transfer"
    assert jpeg[2:] == ["0.01", "-", "-", "0.00", "100", "10.0", "-", "encode"]
    assert " ".join(left_out) == "JPEG 3840x2160 not measured: about 100 s a frame"
    assert "within transfer" in printed
    assert "not installed" not in printed


def test_the_command_prints_json() -> None:
    done = run("--json", "--seconds", "1")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["fastimagezmq"] == fastimagezmq.__version__
    ours = [result for result in told["results"] if result["library"] == OURS]
    assert {(result["kind"], result["width"]) for result in ours} == {
        (kind, width) for kind in ("raw", "JPEG") for width, _ in benchmark.SIZES
    }


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_a_hub_and_a_sender_of_the_command() -> None:
    with started("--hub", "tcp://127.0.0.1:*") as hub:
        assert hub.stdout is not None
        line = hub.stdout.readline()
        assert line.startswith("hub at tcp://127.0.0.1:")
        done = run(line.split()[2].rstrip(";"), "--seconds", "0.5")
        assert (done.returncode, done.stderr) == (0, "")
        assert "JPEG 1920x1080" in done.stdout
        assert "within transfer" not in done.stdout
        hub.send_signal(signal.SIGINT)
        out, err = hub.communicate(timeout=20)
        assert (hub.returncode, err) == (0, "")
        assert int(out.split()[0]) > 16


def children_of(process: subprocess.Popen[str]) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(child) for child in path.read_text(encoding="ascii").split()]


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(
    not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists(), reason="needs Linux"
)
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_an_end_leaves_no_process(ending: signal.Signals) -> None:
    with started("--seconds", "8") as process:
        assert process.stdout is not None
        while "raw  320x240" not in (line := process.stdout.readline()):
            assert line, "it has ended by itself"
        children = children_of(process)
        assert children
        process.send_signal(ending)
        _, err = process.communicate(timeout=20)
    assert process.returncode == (130 if ending == signal.SIGINT else -signal.SIGKILL)
    assert err == ""
    deadline = time.monotonic() + 10
    while (alive := [pid for pid in children if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["hub:5555"], 1, "tcp://"),
        (["--hub", "nowhere"], 1, "tcp://"),
        (["tcp://127.0.0.1:1", "--hub", "tcp://127.0.0.1:*"], 2, "either ADDRESS"),
        (["--seconds", "0"], 2, "no number of seconds"),
        (["--seconds", "nan"], 2, "no number of seconds"),
    ],
)
def test_mistakes_are_told_in_one_sentence(
    arguments: list[str], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        found = cli.main(["bench", *arguments])
    except SystemExit as exit_:
        found = int(exit_.code or 0)
    told = capsys.readouterr()
    assert found == status
    assert sentence in told.err.splitlines()[-1]
    assert told.err.splitlines()[-1].startswith("fastimagezmq bench: ")
    if status == 1:
        assert told.err.count("\n") == 1
