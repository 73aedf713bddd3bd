"""A hub with latest=True that ends, forks or is interrupted: latest.py CASE."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import warnings
from typing import Any

import zmq

from fastimagezmq import ImageHub, StateError
from processes import say


def opened(reqrep: bool = True) -> Any:
    address = "tcp://127.0.0.1:*" if reqrep else "tcp://127.0.0.1:9"
    return ImageHub(address, REQ_REP=reqrep, latest=True)


def with_a_frame() -> Any:
    """Give a hub that has been sent a frame, and the sender."""
    hub = opened()
    sender = zmq.Context().socket(zmq.DEALER)
    sender.linger = 0
    sender.connect(hub.zmq_socket.last_endpoint.decode())
    sender.send_multipart([b"", b'{"msg": "a"}', b"body"])
    assert hub.zmq_socket.poll(10_000)
    globals()["kept"] = hub, sender
    return hub


def at_exit() -> None:
    with_a_frame()
    say("ends")


def by_an_exception() -> None:
    hub = with_a_frame()
    say("ends")
    raise RuntimeError(f"the program's own, with {hub}")


def with_a_daemon_thread_that_receives() -> None:
    hub = opened(reqrep=False)
    globals()["kept"] = hub
    threading.Thread(target=hub.recv_image, daemon=True).start()
    time.sleep(0.1)
    say("ends")


def dropped() -> None:
    hub = opened()
    hub.itself = hub
    began = time.monotonic()
    del hub
    gc.collect()
    assert time.monotonic() - began < 1.6
    while [one for one in threading.enumerate() if one.name == "fastimagezmq-drain"]:
        assert time.monotonic() - began < 10
        time.sleep(0.01)
    say("ends")


def forked() -> None:
    hub = with_a_frame()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        for use in (hub.recv_image, hub.send_reply, hub.stats):
            try:
                use()
            except StateError:
                continue
            os._exit(1)
        try:
            hub.zmq_socket.getsockopt(zmq.RCVHWM)
        except zmq.ZMQError:
            hub.close()
            del hub
            globals().pop("kept")
            gc.collect()
            sys.exit(7)
        os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 7, status
    assert hub.recv_jpg()[0] == "a"  # the parent's goes on
    hub.send_reply()
    say("ends")


def interrupted() -> None:
    hub = opened()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    say("waits")
    try:
        hub.recv_image()
    except KeyboardInterrupt:
        say(time.monotonic())
    hub.close()


def closed_by_a_handler() -> None:
    hub = opened()
    signal.signal(signal.SIGALRM, lambda *_: hub.close())
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        hub.recv_image()
    except zmq.ContextTerminated:
        assert hub.zmq_context.closed
        say("ends")


def with_its_context_terminated() -> None:
    hub = opened()
    hub.zmq_context.term()
    try:
        hub.recv_image()
    except zmq.ContextTerminated:
        hub.close()
        say("ends")


globals()[sys.argv[1]]()
