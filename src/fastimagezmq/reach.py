"""What ``fastimagezmq doctor ADDRESS`` looks at: how far one gets on the way to a hub or sender."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import numpy as np
import zmq

from .doctor import Finding
from .image_sender import ImageSender
from .transport import addresses, waiting
from .transport.probe import Outcome, probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .transport.probe import Finding as Probed

__all__ = ["examine"]

_REPLY_MS = 5000
_MESSAGE = "fastimagezmq doctor"
_AT_THE_NAME = (Outcome.NO_NAME,)
_AT_THE_PORT = (Outcome.REFUSED, Outcome.UNREACHABLE, Outcome.FILTERED)
_AT_THE_HANDSHAKE = (Outcome.NOT_ZMQ, Outcome.SILENT, Outcome.SECURED)


def examine(address: str, *, subscribe: bool, send: bool) -> Iterator[Finding]:
    """Go step by step towards an address; the first that fails, with advice, is the last.

    Args:
        address: a hub's, ``tcp://host:port``, as ImageSender takes it.
        subscribe: it is a PUB sender's, as ``ImageHub(REQ_REP=False)`` takes it.
        send: send one picture to the hub and wait for its reply.
    """
    kind = zmq.SUB if subscribe else zmq.REQ
    peer = "sender" if subscribe else "hub"
    wrong = _spelling(address, kind)
    if wrong is not None:
        yield Finding("address", address, wrong)
        return
    found = probe(address, kind)
    # (Without a sentence, a PUB sender is well: nobody is to wait for a reply of it.)
    advice = waiting.describe(found, kind) or ""
    outcome = found.outcome
    if found.port:
        failed = outcome in _AT_THE_NAME
        yield Finding("name", _name(found), advice if failed else "")
        if failed:
            return
        failed = outcome in _AT_THE_PORT
        yield Finding("port", _port(found, failed=failed), advice if failed else "")
        if failed:
            return
    failed = outcome in _AT_THE_HANDSHAKE or outcome in _AT_THE_PORT
    yield Finding("ZeroMQ", "no handshake" if failed else "shakes hands", advice if failed else "")
    if failed:
        return
    failed = outcome is not Outcome.CONNECTED
    told = f"its socket is {found.detail}" if found.detail else "its socket does not tell its type"
    yield Finding(peer, told, advice if failed else "")
    if send and not failed and not subscribe:
        yield _reply(address)


def _spelling(address: str, kind: int) -> str | None:
    with zmq.Context() as context, context.socket(kind) as tried:
        tried.setsockopt(zmq.LINGER, 0)
        try:
            with addresses.explained(kind, address, binding=False):
                tried.connect(address)
        except zmq.ZMQError as error:
            return str(error)
    return None


def _name(found: Probed) -> str:
    if found.outcome in _AT_THE_NAME:
        return f"{found.host} is not known"
    try:
        told = socket.getaddrinfo(found.host, found.port, type=socket.SOCK_STREAM)
    except OSError:
        return found.host
    numbers = list(dict.fromkeys(str(one[4][0]) for one in told))
    return found.host if numbers == [found.host] else f"{found.host} is {', '.join(numbers)}"


def _port(found: Probed, *, failed: bool) -> str:
    return f"{found.port}: {found.outcome.value}" if failed else f"{found.port} is open"


def _reply(address: str) -> Finding:
    """Send a small picture, and wait for the reply."""
    image = np.zeros((48, 64, 3), np.uint8)
    options = {zmq.RCVTIMEO: _REPLY_MS, zmq.SNDTIMEO: _REPLY_MS, zmq.LINGER: 0}
    with ImageSender(address, options=options) as sender:
        began = time.perf_counter()
        try:
            reply = sender.send_image(_MESSAGE, image)
        except zmq.Again:
            return Finding(
                "reply",
                f"none in {_REPLY_MS // 1000} s",
                "does the hub's program call recv_image() and then send_reply(), again and again?",
            )
        milliseconds = (time.perf_counter() - began) * 1000
    return Finding("reply", f"{reply!r:.40} to a picture of 64x48, after {milliseconds:.1f} ms")
