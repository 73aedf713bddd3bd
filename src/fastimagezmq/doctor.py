"""Looking an installation over: what ``fastimagezmq doctor`` tells, without its printing.

Nothing is concluded from versions alone where it can be tried: a picture is encoded and
decoded, frames pass over loopback, and whether SIMD code runs is measured.
"""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import zmq

from . import _codec
from .__version__ import __version__
from .image_hub import ImageHub
from .image_sender import ImageSender
from .transport import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from .security import Security

__all__ = ["Finding", "examine"]

_WAIT_MS = 5000
_SIMD_FACTOR = 1.3  # less is within what measuring it twice gives
_ROUNDS = 5
_TIMING = "from fastimagezmq import doctor; print(doctor._codec_seconds())"


class Finding(NamedTuple):
    """One thing that was looked at."""

    name: str
    told: str
    """What was found, in a few words."""
    advice: str = ""
    """One sentence of what to do; empty where all is well."""


def examine() -> Iterator[Finding]:
    """Look at one thing after the other; takes about two seconds."""
    yield Finding("fastimagezmq", __version__)
    yield Finding("Python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("platform", platform.platform())
    yield Finding("numpy", np.__version__)
    yield Finding("pyzmq", f"{zmq.__version__}, libzmq {zmq.zmq_version()}")
    yield Finding("messages", _way())
    yield Finding("libjpeg-turbo", f"built with {_codec.libjpeg_turbo_version()}")
    yield _tried("SIMD", _simd, "run it again; if it still fails, install fastimagezmq anew")
    yield _threads()
    yield _tried("JPEG", _round_trip, "build fastimagezmq anew, with libjpeg-turbo 2.1 or newer")
    yield _tried("security", _security, "see 'The list' in docs/security.md")
    yield _tried("loopback", _loopback, "see that this machine's firewall leaves 127.0.0.1 open")


def _tried(name: str, trial: Callable[[], str], advice: str) -> Finding:
    try:
        return Finding(name, trial())
    except Exception as error:
        return Finding(name, f"failed: {error or type(error).__name__}", advice)


def _way() -> str:
    way = messages.way
    if way.native:
        return f"native, through {way.reason}"
    return f"by pyzmq's calls: {way.reason}"


# --- threads -------------------------------------------------------------------------


def _threads() -> Finding:
    told = os.environ.get("FASTIMAGEZMQ_THREADS")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = _codec.thread_count()
    if told and told == str(count):
        return Finding("threads", f"{count}: FASTIMAGEZMQ_THREADS={told}")
    advice = "set FASTIMAGEZMQ_THREADS to a whole number from 1 to 256, or not at all"
    return Finding("threads", f"{count}: {_cpus(count)}", advice if told or caught else "")


def _cpus(count: int) -> str:
    """Say why so many threads are used where nobody has set their number."""
    installed = os.cpu_count() or 1
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        allowed = installed
    if count < allowed:
        return f"the control group's CPU quota, of {allowed} CPUs"
    if allowed < installed:
        return f"the affinity allows these of {installed} CPUs"
    return "one for each CPU"


# --- the codec -----------------------------------------------------------------------


def _picture() -> NDArray[np.uint8]:
    """Make a picture with slopes and edges, (480, 640, 3)."""
    y, x = np.mgrid[:480, :640]
    channels = (x // 3, y // 2, (x + y) // 6 + (x // 40 % 2) * 60)
    return np.stack(channels, axis=-1).astype(np.uint8)


def _round_trip() -> str:
    image = _picture()
    jpeg = _codec.encode_jpeg(image, 95, subsampling="444")
    decoded = _codec.decode_jpeg(jpeg)
    if decoded.shape != image.shape:
        raise ValueError(f"a picture of shape {image.shape} came back as {decoded.shape}")
    # Edges ring a little; the mean is below 1 here.
    off = float(np.abs(decoded.astype(int) - image).mean())
    if off > 3:
        raise ValueError(f"pixels came back {off:.0f} off on average")
    return f"encoded and decoded 640x480, {len(jpeg)} bytes"


def _codec_seconds() -> float:
    """Give how long encoding and decoding takes on one thread, in seconds."""
    image = _picture()
    times = []
    for _ in range(_ROUNDS + 1):
        began = time.perf_counter()
        _codec.decode_jpeg(_codec.encode_jpeg(image, threads=1), threads=1)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def _simd() -> str:
    """Compare with a process in which libjpeg-turbo is asked to use none."""
    if os.environ.get("JSIMD_FORCENONE") == "1":
        return "turned off by JSIMD_FORCENONE=1"
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for without in (True, False) * 2:
        environment = os.environ | {"JSIMD_FORCENONE": "1"} if without else dict(os.environ)
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _TIMING],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            raise RuntimeError(f"a process of its own ended with {last}")
        seconds[without].append(float(done.stdout))
    factor = statistics.fmean(seconds[True]) / statistics.fmean(seconds[False])
    if factor < _SIMD_FACTOR:
        return f"cannot tell: as fast with JSIMD_FORCENONE=1 (factor {factor:.1f})"
    return f"in use: JPEG is {factor:.1f} times as fast as without"


# --- the transport -------------------------------------------------------------------


def _loopback() -> str:
    return f"640x480 raw and its reply, {_milliseconds(20):.2f} ms"


def _security() -> str:
    """Try CURVE, and look at the list of those whom this user lets in."""
    # Here, since `import fastimagezmq` would pay for it.
    from .authorized import ListedKeys, default_path  # noqa: PLC0415
    from .keys import SecretKey, has_curve  # noqa: PLC0415
    from .security import Security  # noqa: PLC0415

    if not has_curve():
        return "this libzmq was built without CURVE: only allow= is possible"
    hub, sender = SecretKey(), SecretKey()
    milliseconds = _milliseconds(
        5,
        Security.binding(hub, [sender.public]),
        Security.connecting(sender, hub.public),
    )
    listed = default_path()
    count = len(ListedKeys(listed)) if listed.exists() else 0
    return f"CURVE works, {milliseconds:.2f} ms; keys on your list: {count}"


def _milliseconds(
    frames: int, of_hub: Security | None = None, of_sender: Security | None = None
) -> float:
    """Send pictures from a thread to a hub of this process, and compare; gives ms a frame."""
    image = _picture()
    options = {zmq.RCVTIMEO: _WAIT_MS, zmq.SNDTIMEO: _WAIT_MS}
    with ImageHub("tcp://127.0.0.1:*", options=options, security=of_hub) as hub:
        address = hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
        with ImageSender(address, options=options, security=of_sender) as sender:

            def send() -> None:
                # What fails here, the hub below tells: it waits in vain.
                with contextlib.suppress(zmq.ZMQError):
                    for number in range(frames):
                        sender.send_image(number, image)

            thread = threading.Thread(target=send, daemon=True)
            began = time.perf_counter()
            thread.start()
            try:
                for number in range(frames):
                    message, received = hub.recv_image()
                    hub.send_reply()
                    if message != number or not np.array_equal(received, image):
                        raise ValueError("a frame came back changed")
                thread.join(_WAIT_MS / 1000)
            except zmq.Again:
                raise TimeoutError(f"no frame came to {address} in {_WAIT_MS} ms") from None
            return (time.perf_counter() - began) / frames * 1000
