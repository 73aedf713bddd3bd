"""The example programs, run as they are against stand-ins for camera and screen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

from fastimagezmq import ImageHub, decode_jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parent.parent / "examples"

# The module that picamera2's users import, giving its default format: XBGR8888, which is
# R, G, B, X in memory. The picture is red.
PICAMERA2 = """
import numpy

class Picamera2:
    def start(self):
        pass

    def capture_array(self):
        array = numpy.zeros((480, 640, 4), numpy.uint8)
        array[..., 0] = array[..., 3] = 255
        return array
"""

# Windows that end the program after three pictures of each camera.
CV2 = """
import collections
import numpy

seen = collections.Counter()

def imshow(name, image):
    seen[name] += 1
    numpy.save(name, image)

def waitKey(delay):
    if seen and min(seen.values()) >= 3:
        print(dict(seen), flush=True)
        raise SystemExit
"""


class Program:
    """An example with its addresses on this port of loopback, running in a folder."""

    def __init__(self, name: str, port: int, folder: Path) -> None:
        code = (EXAMPLES / name).read_text()
        for address in ("tcp://hub.local:5555", "tcp://127.0.0.1:5555", "tcp://*:5555"):
            code = code.replace(address, f"tcp://127.0.0.1:{port}")
        assert str(port) in code
        (folder / name).write_text(code)
        self.process = subprocess.Popen(
            [sys.executable, name],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[str, str]:
        self.process.kill()
        return self.process.communicate()


@pytest.fixture
def run(port: int, tmp_path: Path) -> Iterator[Any]:
    programs: list[Program] = []

    def start(name: str) -> Program:
        programs.append(Program(name, port, tmp_path))
        return programs[-1]

    yield start
    for program in programs:
        program.end()


def test_red_stays_red_from_picamera2(run: Any, address: str, tmp_path: Path) -> None:
    (tmp_path / "picamera2.py").write_text(PICAMERA2)
    with ImageHub(address) as hub:
        run("picamera2_sender.py")
        name, image = hub.recv_image()
        hub.send_reply()
    assert isinstance(name, str)
    assert image.shape == (480, 640, 3)
    assert np.abs(image.astype(int) - (0, 0, 255)).max() < 4  # B, G, R


def test_from_a_camera_to_a_screen(run: Any, tmp_path: Path) -> None:
    (tmp_path / "picamera2.py").write_text(PICAMERA2)
    (tmp_path / "cv2.py").write_text(CV2)
    hub = run("show_hub.py")
    run("picamera2_sender.py")
    out, err = hub.process.communicate(timeout=30)
    assert hub.process.returncode == 0, err
    assert ": 3}" in out
    assert err == ""
    (shown,) = tmp_path.glob("*.npy")
    assert np.abs(np.load(shown).astype(int) - (0, 0, 255)).max() < 4


def test_a_hub_that_is_restarted(run: Any, address: str) -> None:
    with ImageHub(address) as hub:
        run("reopening_sender.py")
        hub.recv_image()  # and gone, with a frame that has no reply
    with ImageHub(address) as hub:
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 30_000)
        for _ in range(3):
            assert hub.recv_image()[0] == "camera"
            hub.send_reply()


def test_frames_in_flight(run: Any, address: str) -> None:
    sender = run("pipelined_sender.py")
    with ImageHub(address) as hub:
        for number in range(100):
            name, image = hub.recv_image()
            assert name == f"frame {number}"
            assert np.abs(image.astype(int) - number).max() <= 1
            hub.send_reply(f"got {name}".encode())
        out, err = sender.process.communicate(timeout=30)
    lines = out.splitlines()
    assert lines[:100] == [f"got frame {number}" for number in range(100)]
    assert lines[100] == "sent 100, acknowledged 100, dropped 0, waiting 0, resent 0"
    stages = ["stage", "program", "room", "encode", "send", "reply"]
    assert [line.split()[0] for line in lines[101:]] == stages
    assert err == ""


def test_frames_in_flight_without_a_hub(run: Any) -> None:
    out, err = run("pipelined_sender.py").process.communicate(timeout=30)
    said, counted, *_ = out.splitlines()
    assert said == "the hub has answered nothing for two seconds"
    assert counted == "sent 4, acknowledged 0, dropped 0, waiting 4, resent 0"
    assert err == "fastimagezmq: closed with 4 frames not answered yet\n"


def test_without_camera_and_screen(run: Any, tmp_path: Path) -> None:
    run("files_hub.py")
    sender = run("numbers_sender.py")
    saved = tmp_path / "latest.jpg"
    deadline = time.monotonic() + 30
    levels: set[int] = set()
    while len(levels) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
        if saved.exists():
            try:
                levels.add(int(decode_jpeg(saved.read_bytes())[0, 0, 0]))
            except ValueError:
                continue  # it is just being written
    assert len(levels) >= 3
    assert sender.process.poll() is None
    assert sender.end()[1] == ""


def test_a_hub_among_other_tasks(run: Any) -> None:
    hub = run("asyncio_hub.py")
    run("numbers_sender.py")
    out, err = hub.process.communicate(timeout=30)
    assert out.endswith("camera has grown bright\n")
    assert "frames a second" in out
    assert (hub.process.returncode, err) == (0, "")
