"""A program that waits until a signal comes: signalled.py LIBRARY hub|sender close|default.

With "close" SIGTERM's handler closes what waits; with "default" Ctrl-C is left to Python.
It tells what the wait ended with, and ends with status 0.
"""

from __future__ import annotations

import importlib
import signal
import socket
import sys
import threading
import time
from typing import Any

import numpy as np

from processes import say

library = importlib.import_module(sys.argv[1])
kind, handling = sys.argv[2:]

# A port that is bound and does not listen: nothing ever answers there.
with socket.socket() as nobody:
    nobody.bind(("127.0.0.1", 0))
    address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
    end: Any = (
        library.ImageSender(address) if kind == "sender" else library.ImageHub("tcp://127.0.0.1:*")
    )
    if handling == "close":
        signal.signal(signal.SIGTERM, lambda *_: end.close())
    main = threading.get_ident()

    def tell_when_waiting() -> None:
        """Say so once the main thread is in a call of the library's, and a little later."""
        frame = None
        while frame is None:
            frame = sys._current_frames()[main]
            while frame is not None and frame.f_code.co_name not in ("recv_image", "send_image"):
                frame = frame.f_back
        time.sleep(0.05)
        say("waiting")

    threading.Thread(target=tell_when_waiting).start()
    try:
        if kind == "hub":
            end.recv_image()
        else:
            end.send_image("a", np.zeros((480, 640, 3), np.uint8))
    except BaseException as error:
        said = [kind.__name__ for kind in type(error).__mro__]
    began = time.monotonic()
    end.close()
    say({"raised": said, "closed": end.zmq_context.closed, "seconds": time.monotonic() - began})
