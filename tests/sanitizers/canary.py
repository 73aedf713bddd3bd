"""Makes a deliberate error: canary.py LIBRARY FOLDER address|leak|undefined|thread.

A set-up that does not report it would report nothing of ours either. LIBRARY is canary.c,
built with the sanitizer; FOLDER is where fastimagezmq must come from.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from pathlib import Path

import zmq

import fastimagezmq._codec

library, folder, kind = sys.argv[1:]
assert Path(folder).resolve() in Path(fastimagezmq._codec.__file__).resolve().parents
canary = ctypes.CDLL(library)

# libzmq's threads are there, and so is whatever is suppressed for their sake.
with zmq.Context() as context, context.socket(zmq.PAIR) as first, context.socket(zmq.PAIR) as other:
    other.connect(f"tcp://127.0.0.1:{first.bind_to_random_port('tcp://127.0.0.1')}")
    first.send(bytes(100_000), copy=False)
    other.recv()

match kind:
    case "address":
        canary.overflow(ctypes.c_size_t(100))
    case "leak":
        for _ in range(10):  # a register or the stack may still hold the last one
            canary.leak(ctypes.c_size_t(100))
    case "undefined":
        canary.overflow_int(1)
    case "thread":
        times = ctypes.c_long(1_000_000)
        threads = [threading.Thread(target=canary.count, args=[times]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
