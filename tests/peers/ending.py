"""A program that ends without closing anything: ending.py LIBRARY CASE.

It tells how many seconds dropping and collecting took, and then ends as the case wants.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
import threading
import time
import warnings
from typing import Any

import numpy as np
import zmq
import zmq.utils.garbage

from processes import say

library = importlib.import_module(sys.argv[1])
IMAGE = np.zeros((480, 640, 3), np.uint8)


def absent() -> str:
    """Give the address of a hub that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def pending(linger: int | None = None) -> Any:
    """Give a sender whose frame waits for a hub that is not there."""
    sender = library.ImageSender(absent())
    if linger is not None:  # milliseconds; the default is what a close waits at most
        sender.zmq_socket.setsockopt(zmq.LINGER, linger)
    sender.zmq_socket.send_array(IMAGE, "pending", copy=False)
    return sender


def collect() -> None:
    """Collect, and tell how long it took."""
    began = time.monotonic()
    gc.collect()
    say(time.monotonic() - began)


def dropped() -> None:
    sender = pending()
    began = time.monotonic()
    del sender
    gc.collect()
    say(time.monotonic() - began)


def in_a_cycle_through_its_methods() -> None:
    sender = pending()
    sender.send_image = sender.send_image_reqrep
    sender.send_jpg = sender.send_jpg_reqrep
    del sender
    collect()


def in_a_cycle_with_its_socket_and_context() -> None:
    # Which of the three is finished first is the collector's choice.
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        sender = pending(linger=100)
        things = [sender, sender.zmq_socket, sender.zmq_context]
        cycle: list[Any] = [things[n] for n in order]
        cycle.append(cycle)
        sender.cycle = cycle
        del sender, things, cycle
    collect()


def many_in_one_cycle() -> None:
    ends = [library.ImageSender("tcp://127.0.0.1:*", REQ_REP=False) for _ in range(5)]
    ends += [library.ImageHub("tcp://127.0.0.1:*") for _ in range(5)]
    for end in ends:
        end.others = ends
    del ends, end
    collect()


def with_a_socket_of_its_context() -> None:
    sender = pending(linger=100)
    more = sender.zmq_context.socket(zmq.PUSH)
    more.connect(absent())
    more.send(bytes(100_000), copy=False)
    del sender
    del more
    collect()


def at_exit() -> None:
    globals()["kept"] = pending()
    globals()["hub"] = library.ImageHub("tcp://127.0.0.1:*")
    say(0.0)


def at_exit_in_a_cycle() -> None:
    sender = pending(linger=100)
    sender.send_image = sender.send_image_reqrep
    globals()["kept"] = sender
    say(0.0)


def by_an_exception() -> None:
    sender = pending(linger=100)
    say(0.0)
    raise RuntimeError(f"the program's own, with {sender} in its traceback")


def with_a_daemon_thread_that_receives() -> None:
    hub = library.ImageHub("tcp://127.0.0.1:*")
    globals()["kept"] = hub
    threading.Thread(target=hub.recv_image, daemon=True).start()
    say(0.0)


def with_a_daemon_thread_that_sends() -> None:
    sender = library.ImageSender(absent())
    threading.Thread(target=sender.send_image, args=("a", IMAGE), daemon=True).start()
    say(0.0)


def with_a_daemon_thread_that_streams() -> None:
    sender = library.ImageSender("tcp://127.0.0.1:*", REQ_REP=False)
    hub = library.ImageHub(sender.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT), REQ_REP=False)

    def stream() -> None:
        while True:
            sender.send_image("a", IMAGE)

    threading.Thread(target=stream, daemon=True).start()
    hub.recv_image()  # so that pictures are under way at the end
    say(0.0)


def before_pyzmq_lets_go_of_the_pictures() -> None:
    """Tell, when pyzmq stops keeping what libzmq reads from, whether the sender is closed."""
    sender = pending(linger=100)
    globals()["kept"] = sender
    zmq.utils.garbage.gc.stop = lambda: say(0.0 if sender.zmq_context.closed else 1000.0)


def with_a_forked_child() -> None:
    kept = [pending(linger=100), library.ImageHub("tcp://127.0.0.1:*")]
    with warnings.catch_warnings():
        # Python 3.12 and newer warn of forking beside threads; pyzmq has one.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        del kept
        gc.collect()
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    say(0.0)


globals()[sys.argv[2]]()
