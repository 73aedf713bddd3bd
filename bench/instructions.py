"""Counts the instructions that a frame takes at each end: python bench/instructions.py [LIBRARY...]

For machines on which times say little, since other programs run. Each end in turn runs under
valgrind's callgrind, with the other end outside of it, at two numbers of frames; the difference,
divided by the frames between, leaves out what starting takes. Only the thread that calls is
counted: what libzmq's own does varies with how the kernel cuts the stream. LIBRARY is imagezmq or
fastimagezmq, by default both; raw pixels, REQ/REP over TCP loopback.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FEW, MANY = 100, 500


def hub(library: Any, frames: int) -> None:
    with library.ImageHub("tcp://127.0.0.1:*") as end:
        sys.stdout.write(end.zmq_socket.last_endpoint.decode() + "\n")
        sys.stdout.flush()
        for _ in range(frames):
            end.recv_image()
            end.send_reply()


def sender(library: Any, frames: int, width: int, height: int) -> None:
    import numpy as np  # noqa: PLC0415

    image = np.zeros((height, width, 3), np.uint8)
    with library.ImageSender(sys.stdin.readline().strip()) as end:
        for _ in range(frames):
            end.send_image("camera", image)


def counted(arguments: argparse.Namespace, library: str, end: str, frames: int) -> int:
    """Give the instructions of the thread that is one end of so many frames."""
    size = f"{arguments.width}x{arguments.height}"
    program = [sys.executable, __file__, "--size", size, "--frames", str(frames), library]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        valgrind = ["valgrind", "-q", "--tool=callgrind", "--separate-threads=yes"]
        valgrind.append(f"--callgrind-out-file={out}")
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        ends = {
            name: subprocess.Popen(
                [*(valgrind if name == end else []), *program, "--end", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for name in ("hub", "sender")
        }
        assert ends["hub"].stdout
        ends["sender"].communicate(ends["hub"].stdout.readline())
        ends["hub"].communicate()
        if any(process.returncode for process in ends.values()):
            raise SystemExit(f"{library}: a process has failed")
        totals = re.search(r"(?m)^totals: (\d+)", Path(f"{out}-01").read_text())
    assert totals
    return int(totals[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("libraries", nargs="*", default=["imagezmq", "fastimagezmq"])
    parser.add_argument("--size", default="320x240", help="of the pictures (default: %(default)s)")
    parser.add_argument("--end", choices=["hub", "sender"], help=argparse.SUPPRESS)
    parser.add_argument("--frames", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.width, arguments.height = map(int, arguments.size.split("x"))
    if arguments.end:
        library = importlib.import_module(arguments.libraries[0])
        if arguments.end == "hub":
            hub(library, arguments.frames)
        else:
            sender(library, arguments.frames, arguments.width, arguments.height)
        return
    for library in arguments.libraries:
        told = []
        for end in ("sender", "hub"):
            few, many = (counted(arguments, library, end, frames) for frames in (FEW, MANY))
            told.append(f"{end} {(many - few) / (MANY - FEW) / 1000:.1f}")
        print(f"{library} {arguments.size}, thousands of instructions: {', '.join(told)}")


if __name__ == "__main__":
    main()
