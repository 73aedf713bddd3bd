"""Waiting that says what it waits for: nothing waits in silence for ever."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, Any

import zmq

from .. import log
from ..errors import HubTimeout
from . import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Buffer

    from .guard import Guard
    from .messages import Line
    from .probe import Finding
    from .sockets import SerializingSocket

__all__ = [
    "FIRST_WARNING_SECONDS",
    "NEXT_WARNING_SECONDS",
    "SLICE_MS",
    "Patience",
    "receive",
    "send",
]

FIRST_WARNING_SECONDS = 5.0
NEXT_WARNING_SECONDS = 60.0


SLICE_MS = 500
"""A signal handler that closes the socket can only leave a note: it is looked for this often."""

_DONTWAIT = int(zmq.DONTWAIT)


def receive(
    socket: SerializingSocket,
    line: Line,
    *,
    endpoints: Sequence[str] = (),
    cancelled: Callable[[], bool] = lambda: False,
    deadline: float | None = None,
    slice_ms: int = SLICE_MS,
) -> list[Any]:
    """Go on waiting for a message after a slice without one; warn while none comes.

    Waits as long as the socket's RCVTIMEO says. After five seconds, and each minute
    from then on, the addresses in ``endpoints`` are probed in the background and what
    is wrong with them is logged, one WARNING each. ``cancelled`` is asked after each slice.
    ``deadline`` is a time of ``time.monotonic`` until which to wait at most.

    Raises:
        HubTimeout: nothing came until the deadline.
        zmq.Again: nothing came within RCVTIMEO.
        zmq.ContextTerminated: the socket's context was terminated meanwhile, or the wait
            was cancelled.
    """
    limit_ms = int(socket.getsockopt(zmq.RCVTIMEO))
    patience = Patience(
        endpoints,
        int(socket.type),
        cancelled,
        waited_ms=slice_ms,
        guard=socket.guard,
        slice_ms=slice_ms,
    )
    while True:
        next_ms = patience.next_slice_ms(limit_ms)
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise HubTimeout("nothing came in time")
            next_ms = min(next_ms, math.ceil(left * 1000))
        parts = messages.receive(line, next_ms)
        if parts is not None:
            return parts


def send(
    socket: SerializingSocket,
    line: Line,
    header: bytes,
    body: Buffer,
    *,
    copy_below: int,
    delimited: bool = False,
    limit_ms: int | None = None,
    endpoints: Sequence[str] = (),
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Send a message that was not taken at once; warn while nobody takes it, as ``receive``.

    ``limit_ms`` is used in place of the socket's SNDTIMEO; below 0 is for ever.

    Raises:
        zmq.Again: nobody took it within SNDTIMEO. Nothing has been sent, then or when
            another exception is raised.
        zmq.ContextTerminated: as ``receive``.
    """
    if limit_ms is None:
        limit_ms = int(socket.getsockopt(zmq.SNDTIMEO))
    if limit_ms == 0:
        raise zmq.Again
    # What a DEALER puts a delimiter before goes to a hub, as what a REQ socket sends.
    kind = zmq.REQ if delimited else int(socket.type)
    patience = Patience(endpoints, kind, cancelled, waited_ms=0, guard=socket.guard)
    while True:
        if socket.poll(patience.next_slice_ms(limit_ms), zmq.POLLOUT):
            with contextlib.suppress(zmq.Again):
                messages.send(
                    line, header, body, _DONTWAIT, copy_below=copy_below, delimited=delimited
                )
                return


class Patience:
    """What happens between the slices of one long wait."""

    def __init__(
        self,
        endpoints: Sequence[str],
        socket_type: int,
        cancelled: Callable[[], bool],
        waited_ms: int,
        guard: Guard | None = None,
        slice_ms: int = SLICE_MS,
    ) -> None:
        self._slice_ms = slice_ms
        self._endpoints = endpoints
        self._guard = guard
        self._socket_type = socket_type
        self._cancelled = cancelled
        self._started = time.monotonic() - waited_ms / 1000
        self._warning = self._started + FIRST_WARNING_SECONDS

    def next_slice_ms(self, limit_ms: int) -> int:
        """Look after a slice whether to go on; return how long the next one may be.

        Args:
            limit_ms: how long to wait in all; below 0: for ever.

        Raises:
            zmq.Again: that long has been waited.
            zmq.ContextTerminated: the wait was cancelled.
        """
        if self._cancelled():
            raise zmq.ContextTerminated
        now = time.monotonic()
        if now >= self._warning:
            waited = round(now - self._started)
            _diagnose(self._endpoints, self._socket_type, waited, self._guard)
            self._warning = now + NEXT_WARNING_SECONDS
        if limit_ms < 0:
            return self._slice_ms
        left_ms = limit_ms - int((now - self._started) * 1000)
        if left_ms <= 0:
            raise zmq.Again
        return min(self._slice_ms, left_ms)


def _diagnose(endpoints: Sequence[str], socket_type: int, waited: int, guard: Guard | None) -> None:
    """Probe and log on a thread of its own: a name look-up can hang for half a minute."""
    for endpoint in endpoints:
        threading.Thread(
            target=_log_finding,
            args=(endpoint, socket_type, waited, guard),
            name="fastimagezmq-probe",
            daemon=True,
        ).start()


def _log_finding(endpoint: str, socket_type: int, waited: int, guard: Guard | None) -> None:
    # Here, since `import fastimagezmq` would pay for it, and most programs never come here.
    from .probe import probe  # noqa: PLC0415

    sentence = describe(probe(endpoint, socket_type, guard=guard), socket_type)
    if sentence is not None:
        what = "no reply from" if socket_type == zmq.REQ else "no connection to"
        log.warning("fastimagezmq: %s %s for %d s: %s", what, endpoint, waited, sentence)


def describe(finding: Finding, socket_type: int) -> str | None:
    """Say in one sentence what was found and what to try; None where nothing is wrong."""
    from .probe import Outcome  # noqa: PLC0415

    other = "hub" if socket_type == zmq.REQ else "sender"
    host, port = finding.host, finding.port
    match finding.outcome:
        case Outcome.CONNECTED if socket_type != zmq.REQ:
            return None  # a publisher that has nothing to say
        case Outcome.CONNECTED:
            return (
                "connected, but the hub has not replied: is it busy, or does its program not call"
                " send_reply() after each recv_image()?"
            )
        case Outcome.NO_NAME:
            return (
                f'the name "{host}" was not found ({finding.detail}): check its spelling, and'
                f" whether that machine is on; try {_other_name(host)}"
            )
        case Outcome.REFUSED:
            return (
                f"refused: nothing listens there. Is the {other} program running on that"
                " machine, or has it ended? Does it use this port?"
            )
        case Outcome.UNREACHABLE:
            return (
                f"unreachable ({finding.detail}): are both machines on the same network? Try"
                f" ping {host}"
            )
        case Outcome.FILTERED:
            return (
                "no answer at all: the machine is off, or a firewall filters the port. Try"
                f" ping {host}, and open TCP port {port} on it"
            )
        case Outcome.SILENT:
            return (
                "something accepts the connection but does not speak ZeroMQ: a stopped"
                f" {other}, or another program on this port?"
            )
        case Outcome.NOT_ZMQ:
            return (
                "another program, which does not speak ZeroMQ, listens there: check the port number"
            )
        case Outcome.SECURED:
            return (
                f"the {other} demands {finding.detail} security, and this end has none set: give it"
                ' security=("own.key", "other.pub")'
            )
        case Outcome.UNSECURED:
            return (
                f"the {other} has no security set (its mechanism is {finding.detail}), and this end"
                ' demands CURVE: give the other end security="own.key", or this one none'
            )
        case Outcome.STRANGER:
            return (
                f"the {other} does not let this end in: is this end's public key {finding.detail}"
                f" on the {other}'s list ('fastimagezmq authorize' there), is the .pub file that"
                " this end was given its newest one, and REQ_REP the same on both ends?"
            )
        case Outcome.NOT_ALLOWED:
            return (
                f"the {other} does not let this machine in: does its allow= name this machine's"
                " address?"
            )
        case Outcome.WRONG_PEER:
            return _mismatch(finding.detail, socket_type)
        case _ if socket_type == zmq.REQ:
            return f"is the {other} running, and does it use this address?"
        case _:
            return None


def _other_name(host: str) -> str:
    """Say what else to call a machine, besides the name that was not found."""
    if host.endswith(".local"):
        return "the IP address (names in .local need avahi or Bonjour on both machines)"
    return f"{host}.local or the IP address"


def _mismatch(peer: str, socket_type: int) -> str:
    own = zmq.SocketType(socket_type).name
    if peer == "ROUTER":
        peer = "REP"  # a hub's: see transport/reply.py
    advice = {
        ("REQ", "PUB"): "a PUB sender is there, where a hub should be: two senders cannot talk",
        ("SUB", "REP"): (
            "a REQ/REP hub is there, where a PUB sender should be: give the sender"
            " REQ_REP=False, or this hub REQ_REP=True"
        ),
        ("REQ", "SUB"): "a SUB hub is there: give the hub REQ_REP=True, or this sender False",
    }.get((own, peer), "give REQ_REP the same value on both ends")
    return f"its socket is {peer}, which a {own} socket cannot talk to: {advice}"
