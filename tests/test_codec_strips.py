"""One JPEG on several threads: the bytes, pixels and errors of one thread."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fastimagezmq import _codec
from fastimagezmq._codec import JpegJob, decode_jpeg, encode_jpeg, jpeg_info, pool_stats
from fastimagezmq.errors import CodecError
from photos import Pixels, crop
from test_codec_encode import in_order

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SCALES = (1, 1 / 2, 1 / 4, 1 / 8)


def planes_of(image: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    """Give 4:2:0 planes with the size of an image."""
    height, width = image.shape[:2]
    small = np.ascontiguousarray(image[: (height + 1) // 2, : (width + 1) // 2])
    return image[..., 0].copy(), small[..., 1].copy(), small[..., 2].copy()


# Encoding: the same bytes


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 200),
    colorspace=st.sampled_from(["BGR", "RGB", "BGRX", "RGBX"]),
    subsampling=st.sampled_from(["444", "422", "420", "gray"]),
    quality=st.integers(1, 100),
    restart_rows=st.integers(0, 5),
    upside_down=st.booleans(),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_colours_give_the_same_bytes(
    width: int, height: int, colorspace: str, subsampling: str, quality: int,
    restart_rows: int, upside_down: bool,
) -> None:  # fmt: skip
    image = in_order(crop(width, height), colorspace)[:: -1 if upside_down else 1]
    options = {
        "colorspace": colorspace,
        "subsampling": subsampling,
        "restart_rows": restart_rows,
    }
    alone = bytes(encode_jpeg(image, quality, threads=1, **options))
    for threads in range(2, 9):
        assert bytes(encode_jpeg(image, quality, threads=threads, **options)) == alone


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 200),
    kind=st.sampled_from(["gray", "planes", "I420"]),
    quality=st.integers(1, 100),
    restart_rows=st.integers(0, 5),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_gray_and_planes_give_the_same_bytes(
    width: int, height: int, kind: str, quality: int, restart_rows: int
) -> None:
    image: Pixels | tuple[Pixels, Pixels, Pixels] = crop(width, height)[..., 1]
    if kind == "planes":
        image = planes_of(crop(width, height))
    elif kind == "I420":
        width, height = width + width % 2, height + height % 2
        image = crop(width, height * 3 // 2)[..., 1]
    options = {"colorspace": "GRAY" if kind == "gray" else "YUV420", "restart_rows": restart_rows}
    alone = bytes(encode_jpeg(image, quality, threads=1, **options))
    for threads in range(2, 9):
        assert bytes(encode_jpeg(image, quality, threads=threads, **options)) == alone


def test_a_large_picture_gives_the_same_bytes_by_itself() -> None:
    image = np.tile(crop(320, 240), (4, 4, 1))
    assert bytes(encode_jpeg(image)) == bytes(encode_jpeg(image, threads=1))


# Decoding: the same pixels


def check_pixels(jpeg: bytes, *, colorspaces: tuple[str, ...] = ("BGR", "RGBX", "GRAY")) -> None:
    for colorspace in colorspaces:
        for scale in SCALES:
            options = {"colorspace": colorspace, "scale": scale}
            alone = decode_jpeg(jpeg, threads=1, **options)
            for threads in (2, 3, 8):
                assert np.array_equal(decode_jpeg(jpeg, threads=threads, **options), alone)


@given(
    width=st.integers(1, 90),
    height=st.integers(9, 200),
    subsampling=st.sampled_from(["444", "422", "420", "gray"]),
    quality=st.integers(1, 100),
    restart_rows=st.integers(1, 5),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_own_files_give_the_same_pixels(
    width: int, height: int, subsampling: str, quality: int, restart_rows: int
) -> None:
    image = crop(width, height, "motorcycle")
    check_pixels(bytes(encode_jpeg(image, quality, subsampling=subsampling,
                                   restart_rows=restart_rows)))  # fmt: skip


SAMPLINGS = {"411": 0x411111, "420": 0x221111, "422": 0x211111, "440": 0x121111, "444": 0x111111}


@given(
    width=st.integers(1, 90),
    height=st.integers(9, 200),
    subsampling=st.sampled_from(list(SAMPLINGS)),
    interval=st.integers(1, 40),
)
@settings(max_examples=120, deadline=None, derandomize=True)
def test_opencvs_files_give_the_same_pixels(
    width: int, height: int, subsampling: str, interval: int
) -> None:
    """Intervals of any count of MCUs: where one begins with a row, a strip can."""
    options = [
        cv2.IMWRITE_JPEG_RST_INTERVAL, interval,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[subsampling],
    ]  # fmt: skip
    jpeg = bytes(cv2.imencode(".jpg", crop(width, height, "coffee"), options)[1])
    assert jpeg_info(jpeg)[2:5] == (subsampling, 3, interval)
    check_pixels(jpeg)


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("options", [
    {"subsampling": 0}, {"subsampling": 2}, {"progressive": True}, {"keep_rgb": True},
    {"optimize": True, "exif": b"Exif\0\0" + bytes(5000)},
], ids=str)  # fmt: skip
def test_pillows_files_give_the_same_pixels(options: dict[str, object], rows: int) -> None:
    file = io.BytesIO()
    image = Image.fromarray(crop(83, 171, "chelsea"))
    image.save(file, "JPEG", restart_marker_rows=rows, **options)
    assert jpeg_info(file.getvalue()).restart_interval > 0
    check_pixels(file.getvalue())
    check_pixels(bytes(100) + file.getvalue() + bytes(100))


@pytest.mark.parametrize("size", [(90, 122), (33, 49), (64, 160), (1, 99)])
def test_planes_as_they_are_stored(size: tuple[int, int]) -> None:
    planes = planes_of(crop(*size))
    jpeg = encode_jpeg(planes, 90, colorspace="YUV420")
    first, second = ([np.zeros_like(plane) for plane in planes] for _ in range(2))
    decode_jpeg(jpeg, colorspace="YUV420", out=tuple(first), threads=1)
    decode_jpeg(jpeg, colorspace="YUV420", out=tuple(second), threads=8)
    assert all(map(np.array_equal, first, second))
    if not (size[0] % 2 or size[1] % 2):
        alone, shared = (decode_jpeg(jpeg, colorspace="YUV420", threads=count) for count in (1, 8))
        assert np.array_equal(alone, shared)


@pytest.mark.parametrize("scale", SCALES)
def test_into_rows_that_run_upwards_with_gaps(scale: float) -> None:
    jpeg = encode_jpeg(crop(75, 190))
    alone = decode_jpeg(jpeg, scale=scale, threads=1)
    height, width = alone.shape[:2]
    memory = np.full((height + 2, width + 5, 3), 7, np.uint8)
    out = memory[height:0:-1, :width]
    assert decode_jpeg(jpeg, scale=scale, out=out, threads=8) is out
    assert np.array_equal(out, alone)
    assert (memory[[0, -1]] == 7).all()
    assert (memory[:, width:] == 7).all()


# Damaged files: the same errors


def outcome(jpeg: bytes, threads: int, **options: object) -> object:
    """Give the pixels or what is told, which must not depend on the threads."""
    try:
        return decode_jpeg(jpeg, max_pixels=1 << 20, threads=threads, **options).tobytes()
    except CodecError as error:
        return str(error)


def check_outcome(jpeg: bytes) -> None:
    held = pool_stats().leases
    for options in ({}, {"colorspace": "GRAY", "scale": 0.5}):
        alone = outcome(jpeg, 1, **options)
        assert outcome(jpeg, 4, **options) == alone
    assert pool_stats().leases == held


WHOLE = bytes(encode_jpeg(crop(60, 140), 70))
MARKERS = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", WHOLE)]


def test_cut_files() -> None:
    assert len(MARKERS) == 8
    for size in range(0, len(WHOLE), 5):
        check_outcome(WHOLE[:size])
        check_outcome(WHOLE[:size] + b"\xff\xd9")


@given(data=st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_changed_files(data: st.DataObject) -> None:
    jpeg = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        jpeg[data.draw(st.integers(0, len(jpeg) - 1))] = data.draw(
            st.one_of(st.integers(0, 255), st.sampled_from([0xFF, 0xD0, 0xD3, 0xD9, 0]))
        )
    check_outcome(bytes(jpeg))


@pytest.mark.parametrize("nth", range(8))
def test_markers_that_are_not_as_they_should_be(nth: int) -> None:
    at = MARKERS[nth]
    before, marker, after = WHOLE[:at], WHOLE[at : at + 2], WHOLE[at + 2 :]
    for changed in (
        before + after,
        before + marker + marker + after,
        before + b"\xff" + marker + after,
        before + b"\xff\xd0" + after,
        before + bytes([0xFF, marker[1] ^ 4]) + after,
        before + b"\xff\xd9" + after,
        before + marker + b"\xff\xe0\x00\x04ab" + after,
        before + b"\x12\x34" + marker + after,
        before[:-40] + marker + after,
        WHOLE[:-2] + marker + WHOLE[at + 2 :],
        WHOLE[:-2] + b"\xff\xfe\x00\x02\xff\xd9",
    ):
        check_outcome(changed)


@pytest.mark.parametrize("interval", [0, 1, 3, 5, 8, 65535])
def test_an_interval_that_is_not_the_files(interval: int) -> None:
    at = WHOLE.index(b"\xff\xdd") + 4
    check_outcome(WHOLE[:at] + struct.pack(">H", interval) + WHOLE[at + 2 :])


def test_data_that_changes_while_it_is_decoded() -> None:
    jpeg = bytearray(encode_jpeg(np.tile(crop(160, 120), (2, 2, 1)), 90))
    whole = bytes(jpeg)
    stop = threading.Event()

    def change() -> None:
        noise = np.random.default_rng(1)
        while not stop.wait(0.0001):
            for at in noise.integers(600, len(whole), 40):
                jpeg[at] = at & 255
            jpeg[:] = whole

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(100):
            outcome(jpeg, 4)  # type: ignore[arg-type]
    finally:
        stop.set()
        thread.join()
    assert np.array_equal(decode_jpeg(whole, threads=4), decode_jpeg(whole, threads=1))


# Arguments, and what is kept


@pytest.mark.parametrize("threads", [-1, 257, 1.5, True, "2", None])
def test_threads_that_are_none(threads: object) -> None:
    for call in (lambda: encode_jpeg(crop(9, 9), threads=threads),
                 lambda: decode_jpeg(WHOLE, threads=threads)):  # fmt: skip
        with pytest.raises(CodecError) as caught:
            call()
        assert str(caught.value) == f"threads must be an integer from 0 to 256, not {threads!r}"


def test_a_steady_stream_allocates_nothing() -> None:
    image = np.tile(crop(320, 240), (2, 2, 1))
    out = np.empty_like(image)

    def frame() -> None:
        decode_jpeg(encode_jpeg(image, threads=4), out=out, threads=4)

    for _ in range(20):
        frame()
    allocated = pool_stats().allocated
    for _ in range(300):
        frame()
    assert pool_stats().allocated == allocated


# JpegJob


def test_a_job_is_encode_jpeg_in_two_steps() -> None:
    image = crop(100, 90)
    expected = bytes(encode_jpeg(image, 77, subsampling="422"))
    job = JpegJob(image, 77, subsampling="422", colorspace="BGR", threads=0, restart_rows=1)
    first, second = job.encode(), job.encode()
    assert bytes(first) == bytes(second) == expected
    del job
    assert bytes(first) == expected
    image[:] = 0
    planes = planes_of(crop(31, 33))
    job = JpegJob(
        planes, 50, subsampling="420", colorspace="YUV420", size=None, threads=2, restart_rows=0
    )
    expected = bytes(encode_jpeg(planes, 50, colorspace="YUV420", restart_rows=0))
    del planes
    assert bytes(job.encode()) == expected


def test_a_job_refuses_what_encode_jpeg_refuses() -> None:
    good = {"subsampling": "420", "colorspace": "BGR", "threads": 1, "restart_rows": 1}
    for image, quality, wrong in (
        (crop(9, 9), 101, {}),
        (crop(9, 9)[..., 0], 85, {}),
        (crop(9, 9), 85, {"subsampling": "411"}),
        (crop(9, 9), 85, {"colorspace": "HSV"}),
        (crop(9, 9), 85, {"size": (2, 2)}),
        (crop(9, 9), 85, {"restart_rows": -1}),
        (crop(9, 9), 85, {"threads": 300}),
    ):
        with pytest.raises(CodecError) as by_job:
            JpegJob(image, quality, **good | wrong)
        with pytest.raises(CodecError) as at_once:
            encode_jpeg(image, quality, **good | wrong)
        assert str(by_job.value) == str(at_once.value)


def test_several_threads_may_run_one_job() -> None:
    job = JpegJob(
        crop(300, 300), 85, subsampling="420", colorspace="BGR", threads=2, restart_rows=1
    )
    expected = bytes(job.encode())
    with ThreadPoolExecutor(4) as pool:
        jpegs = list(pool.map(lambda _: bytes(job.encode()), range(80)))
    assert set(jpegs) == {expected}


# Processes: what the pool does from its first thread to its last

PRELUDE = """
import os, sys, threading, time, warnings
import numpy as np
from fastimagezmq import _codec
rng = np.random.default_rng(1)
image = np.repeat(np.repeat(rng.integers(0, 256, (60, 80, 3), np.uint8), 8, 0), 8, 1)
from pathlib import Path
def jpeg_threads():
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    return names.count("fiz-jpeg\\n")
def frame(threads=0):
    return _codec.decode_jpeg(_codec.encode_jpeg(image, threads=threads), threads=threads)
"""


def run(code: str, **environment: str) -> str:
    """Run a program of its own; gives what it prints, which ends without a complaint."""
    source = str(Path(_codec.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + code],
        env=os.environ | {"PYTHONPATH": source} | environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.strip()


@LINUX
def test_no_threads_before_they_are_of_use() -> None:
    code = """
small = image[:40, :40].copy()
_codec.decode_jpeg(_codec.encode_jpeg(small))
frame(threads=1)
print(_codec.thread_count(), jpeg_threads(), end=" ")
frame(threads=2)
print(jpeg_threads(), end=" ")
frame(threads=256)
print(jpeg_threads())
"""
    assert run(code, FASTIMAGEZMQ_THREADS="4") == "4 0 1 3"


@LINUX
def test_the_number_of_threads_is_that_of_the_cpus() -> None:
    told = f"cpus = {sorted(os.sched_getaffinity(0))[:1]}; os.sched_setaffinity(0, cpus)\n"
    code = "frame(threads=4); print(_codec.thread_count(), jpeg_threads())"
    assert run(told + code, FASTIMAGEZMQ_THREADS="") == "1 0"
    count = int(run("print(_codec.thread_count())", FASTIMAGEZMQ_THREADS=""))
    assert 1 <= count <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("told", ["0", "257", "two", "-1", "1.5", "1_0", " 2", "9" * 5000])
def test_a_number_of_threads_that_is_none(told: str) -> None:
    code = """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    frame()
    frame()
[warning] = caught
assert warning.category is RuntimeWarning
assert str(warning.message) == (
    "FASTIMAGEZMQ_THREADS must be an integer from 1 to 256, not "
    f"{os.environ['FASTIMAGEZMQ_THREADS']!r}: going on with {_codec.thread_count()}, "
    "what the CPUs allow"
)
"""
    run(code, FASTIMAGEZMQ_THREADS=told)


@LINUX
def test_idle_threads_use_no_cpu() -> None:
    code = """
for _ in range(20):
    frame(threads=4)
assert jpeg_threads() == 3
before = time.process_time()
time.sleep(0.5)
print(time.process_time() - before)
"""
    assert float(run(code, FASTIMAGEZMQ_THREADS="4")) < 0.1


@LINUX
def test_threads_take_no_signals() -> None:
    code = """
frame()
for task in Path("/proc/self/task").iterdir():
    status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
    if status["Name"].strip() == "fiz-jpeg":
        blocked = int(status["SigBlk"], 16)
        print(all(blocked >> (n - 1) & 1 for n in (1, 2, 3, 10, 12, 13, 14, 15, 17)))
"""
    assert run(code, FASTIMAGEZMQ_THREADS="2") == "True"


@LINUX
def test_a_child_that_was_forked_while_others_encode_has_threads_too() -> None:
    code = """
expected = frame(threads=1).tobytes()
stop = threading.Event()
def encode():
    while not stop.is_set():
        frame()
others = [threading.Thread(target=encode, daemon=True) for _ in range(2)]
for other in others:
    other.start()
warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 on, for fork with threads
for _ in range(30):
    child = os.fork()
    if child == 0:
        os.environ["FASTIMAGEZMQ_THREADS"] = "3"
        ok = jpeg_threads() == 0 and frame().tobytes() == expected
        ok = ok and _codec.thread_count() == 3 and jpeg_threads() == 2
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for other in others:
    other.join()
assert frame().tobytes() == expected
assert _codec.thread_count() == 4
print("good")
"""
    assert run(code, FASTIMAGEZMQ_THREADS="4") == "good"


@LINUX
def test_a_forked_child_ends_by_itself() -> None:
    code = """
warnings.simplefilter("ignore", DeprecationWarning)
frame()
child = os.fork()
frame()
if child:
    assert os.waitpid(child, 0)[1] == 0
    print("good")
"""
    assert run(code, FASTIMAGEZMQ_THREADS="3") == "good"


@LINUX
def test_the_end_of_a_process_whose_daemon_thread_encodes() -> None:
    code = """
import atexit
def last():
    print(frame().shape == image.shape, jpeg_threads(), flush=True)
atexit.unregister(_codec._stop_threads)
atexit.register(last)  # run after the pool has been stopped
atexit.register(_codec._stop_threads)
started = threading.Event()
def encode():
    while True:
        frame()
        started.set()
for _ in range(3):
    threading.Thread(target=encode, daemon=True).start()
started.wait()
"""
    for _ in range(3):
        assert run(code, FASTIMAGEZMQ_THREADS="4") == "True 0"


def test_a_process_ends_at_once() -> None:
    began = time.monotonic()
    run("frame(); print('good')", FASTIMAGEZMQ_THREADS="8")
    assert time.monotonic() - began < 30
