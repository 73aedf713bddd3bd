"""examples/demo.py, run as a user runs it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from skimage import data

import fastimagezmq

DEMO = Path(__file__).parent.parent / "examples" / "demo.py"
PHOTOGRAPHS = {(512, 512), (600, 400), (451, 300), (741, 500)}  # (width, height)


def command(*options: object) -> list[str]:
    return [sys.executable, str(DEMO), *map(str, options)]


def run(*options: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*options), capture_output=True, text=True, timeout=50, check=False, cwd=cwd
    )


def figures(text: str) -> dict[str, float]:
    """Read the first number of each line whose label is followed by one."""
    lines = re.finditer(r"^(\S+(?: \S+)*)  +([\d.]+)", text, re.MULTILINE)
    return {line[1]: float(line[2]) for line in lines}


def check(
    result: subprocess.CompletedProcess[str], output: Path, notes: str = ""
) -> tuple[int, int]:
    """Check what every good run prints; gives the size of the picture it wrote."""
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith(notes)
    assert result.stderr.count("\n") == bool(notes)
    figure = figures(result.stdout)
    assert figure["frames/s"] > 5
    assert figure["compression"] > 1
    assert figure["pixels"] > figure["JPEG"] > 0
    assert figure["pixels"] / figure["JPEG"] == pytest.approx(figure["compression"], rel=0.1)
    assert 0 < figure["latency p50"] <= figure["latency p99"] < 5000
    # One frame is under way at a time: no latency can be below the frames' distance for long.
    assert figure["latency p50"] < 5 * 1000 / figure["frames/s"]
    info = fastimagezmq.jpeg_info(output.read_bytes())
    assert f"{output.name} ({info.width}x{info.height})" in result.stdout
    decoded = fastimagezmq.decode_jpeg(output.read_bytes())
    assert decoded.shape == (info.height, info.width, 3)
    assert decoded.std() > 1
    return info.width, info.height


def test_photographs(tmp_path: Path) -> None:
    result = run("--seconds", 1, cwd=tmp_path)
    assert check(result, tmp_path / "demo-last-frame.jpg") in PHOTOGRAPHS
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "4, 451x300 to 741x500" in result.stdout


def test_folder_of_images(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    cat = data.chelsea()
    Image.fromarray(cat).save(folder / "a.png")
    (folder / "b.JPG").write_bytes(fastimagezmq.encode_jpeg(cat, 95, colorspace="RGB"))
    (folder / "c.jpg").write_bytes(b"not a JPEG")
    (folder / "notes.txt").write_text("not a picture")
    output = tmp_path / "last.jpg"
    result = run("--seconds", 0.5, "--output", output, "--source", folder)
    note = f"passing over {folder / 'c.jpg'}: data is not a JPEG"
    assert check(result, output, note) == (451, 300)
    assert "2, 451x300\n" in result.stdout
    # The colours have come through in their order.
    seen = fastimagezmq.decode_jpeg(output.read_bytes(), colorspace="RGB")
    assert np.abs(seen.astype(int) - cat).mean() < 4


def test_video(tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    rocket = np.ascontiguousarray(data.rocket()[:240, :320])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
        for shift in range(12):
            picture = np.roll(rocket, shift, axis=1)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    output = tmp_path / "last.jpg"
    result = run("--seconds", 0.5, "--output", output, "--source", path)
    assert check(result, output) == (320, 240)
    assert "12, 320x240\n" in result.stdout


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("absent.mp4", None, "there is no file or folder {}"),
        ("text.mp4", b"no video at all" * 100, "cannot read {} as a video: Invalid data"),
        ("broken.png", b"not a PNG", "cannot read {}: "),
        ("broken.jpg", b"not a JPEG", "cannot read {}: "),
        ("folder", {}, "there are no pictures in {}"),
    ],
)
def test_bad_source_is_told_in_one_sentence(
    tmp_path: Path, name: str, content: object, sentence: str
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
    result = run("--source", path, "--output", tmp_path / "last.jpg")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("demo.py: " + sentence.format(path))
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "last.jpg").exists()


def test_output_without_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    result = run("--output", tmp_path / "absent" / "last.jpg")
    assert result.returncode == 2
    assert f"there is no folder {tmp_path / 'absent'}" in result.stderr


@pytest.mark.parametrize("quality", ["0", "101", "fine"])
def test_quality_is_checked(quality: str) -> None:
    result = run("--quality", quality)
    assert result.returncode == 2
    assert "--quality" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to a process")
def test_ctrl_c_ends_all_three_processes(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("--seconds", 1000, "--output", tmp_path / "last.jpg"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("hub "):
                break
        time.sleep(0.3)  # let it stream
        process.send_signal(signal.SIGINT)
        # communicate() returns when the last of the three has closed the pipes.
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == ""


def test_help_names_every_option() -> None:
    text = run("--help").stdout
    for option in ("--source", "--seconds", "--quality", "--output"):
        assert option in text
