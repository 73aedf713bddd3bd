"""A signal of a timer comes while something waits: interrupted.py CASE ADDRESS.

CASE is what the handler does; what it led to is told as JSON.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import zmq

from fastimagezmq import ImageHub, StateError
from fastimagezmq.transport import SerializingContext, messages
from processes import say

case, address = sys.argv[1:]
signals = 0


def line(socket: Any) -> Any:
    """Give what whole messages go through."""
    return socket.port or socket


class Interrupted(Exception):
    pass


def after(seconds: float, handler: Any, every: float = 0) -> None:
    """Have the handler called then, and again and again."""

    def counting(*_: Any) -> None:
        global signals  # noqa: PLW0603
        signals += 1
        handler()

    signal.signal(signal.SIGALRM, counting)
    signal.setitimer(signal.ITIMER_REAL, seconds, every)


def raise_interrupted() -> None:
    raise Interrupted


def returns(socket: Any) -> Any:
    """It returns: the wait goes on, and the message comes."""

    def handler() -> None:
        if signals == 3:
            say("interrupted")

    after(0.05, handler, 0.01)
    return [part.bytes.decode() for part in messages.receive(line(socket))]


def raises(socket: Any) -> Any:
    """It raises: no message is lost by that."""
    after(0.05, raise_interrupted)
    try:
        messages.receive(line(socket))
    except Interrupted:
        say("interrupted")
        return [part.bytes.decode() for part in messages.receive(line(socket))]


def closes_the_socket(socket: Any) -> Any:
    """It closes the socket under the wait."""
    after(0.05, socket.close)
    try:
        messages.receive(line(socket))
    except zmq.ZMQError as error:
        return zmq.Errno(error.errno).name


def closes_while_it_sends(socket: Any) -> Any:
    with socket.context.socket(zmq.PUSH) as unconnected:
        after(0.05, unconnected.close)
        try:
            messages.send(line(unconnected), b"header", bytes(100_000), copy_below=65536)
        except zmq.ZMQError as error:
            return zmq.Errno(error.errno).name


def keeps_coming(socket: Any) -> Any:
    """A timer of the program's keeps no RCVTIMEO from passing."""
    with ImageHub("tcp://127.0.0.1:*") as hub:
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 700)
        after(0.01, lambda: None, 0.01)
        began = time.monotonic()
        try:
            hub.recv_image()
        except zmq.Again:
            return time.monotonic() - began


def keeps_coming_after_close(socket: Any) -> Any:
    """Nor does it keep a close() in the handler from ending the wait."""
    hub = ImageHub("tcp://127.0.0.1:*")
    after(0.05, hub.close, 0.01)
    began = time.monotonic()
    try:
        hub.recv_image()
    except (zmq.ContextTerminated, StateError):
        signal.setitimer(signal.ITIMER_REAL, 0)
        return time.monotonic() - began if hub.zmq_context.closed else "open"


def forks(socket: Any) -> Any:
    """A child of fork() has the socket, and can use it no more."""
    with socket.context.socket(zmq.PUSH) as pushing:
        pushing.connect(address)
        messages.send(line(pushing), b"header", b"body", copy_below=messages.ALL)
        child = os.fork()
        if child == 0:
            time.sleep(0.01)  # libzmq looks for commands once in a while only
            told = []
            for use in (
                lambda: messages.receive(line(socket)),
                lambda: messages.receive(line(socket), 500),
                lambda: messages.receive(line(socket), flags=int(zmq.DONTWAIT)),
                lambda: messages.send(line(pushing), b"header", b"body", copy_below=messages.ALL),
            ):
                try:
                    use()
                except zmq.ZMQError as error:
                    told.append(zmq.Errno(error.errno).name)
            say(told)
            os._exit(0)
        os.waitpid(child, 0)
    return "parent"


with SerializingContext() as context, context.socket(zmq.PULL) as receiving:
    receiving.connect(address)
    result = globals()[case](receiving)
    signal.setitimer(signal.ITIMER_REAL, 0)
    say(result)
