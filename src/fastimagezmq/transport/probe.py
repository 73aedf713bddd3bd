"""Find out why nothing comes from an address: one short connection of our own.

The probe resolves the name, connects, and begins to shake hands as ZMTP 3.0 says
(https://rfc.zeromq.org/spec/23/): greeting, then the peer's READY with its socket type.
The peer sees a connection that ends in mid-handshake, which ZeroMQ's sockets pass over.
With CURVE on both ends a socket of our own then tries to be let in.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import socket
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import zmq

if TYPE_CHECKING:
    from .guard import Guard

__all__ = ["Finding", "Outcome", "probe"]

PROBE_SECONDS = 2.0
"""How long to wait for a connection, and for each answer on it."""

_SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
_VERSION = b"\x03\x00"
_MECHANISM = b"NULL".ljust(20, b"\0") + b"\x00" + bytes(31)  # not as server, and filler
_MAX_COMMAND = 4096

# What each of our sockets can talk to.
_PARTNERS = {
    zmq.REQ: (b"REP", b"ROUTER"),
    zmq.SUB: (b"PUB", b"XPUB"),
}


class Outcome(enum.Enum):
    """How far the probe came."""

    CONNECTED = "connected"  # and the peer's socket is one that ours can talk to
    NO_NAME = "name not found"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    FILTERED = "no answer"
    NOT_ZMQ = "not ZeroMQ"
    SILENT = "accepts, but does not speak"
    SECURED = "security, where this end has none"
    UNSECURED = "no security, where this end has some"
    STRANGER = "one end's key is not what the other wants"
    NOT_ALLOWED = "this end's address is not allowed"
    WRONG_PEER = "wrong kind of socket"
    UNKNOWN = "cannot tell"


class Finding(NamedTuple):
    """What the probe found, and details for the sentence that tells it."""

    outcome: Outcome
    host: str = ""
    port: int = 0
    detail: str = ""


def probe(
    address: str,
    socket_type: int,
    timeout: float = PROBE_SECONDS,
    guard: Guard | None = None,
) -> Finding:
    """Try ``address`` (tcp:// or ipc://) as a socket of ``socket_type`` would.

    Never raises; takes ``timeout`` seconds a step at most, name look-up aside. ``guard``: with
    the security of the end that waits.
    """
    mechanism = b"CURVE" if guard is not None and guard.encrypts else b"NULL"
    finding = _reached(address, socket_type, timeout, mechanism)
    if guard is not None and finding.outcome is Outcome.CONNECTED and mechanism == b"CURVE":
        outcome = _let_in(address, socket_type, timeout, guard)
        return finding._replace(outcome=outcome, detail=guard.own_key)
    return finding


def _reached(address: str, socket_type: int, timeout: float, mechanism: bytes) -> Finding:
    transport, _, rest = address.partition("://")
    try:
        if transport == "ipc" and hasattr(socket, "AF_UNIX"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(timeout)
                connection.connect("\0" + rest[1:] if rest.startswith("@") else rest)
                return _shake_hands(connection, rest, 0, socket_type, mechanism)
        if transport != "tcp":
            return Finding(Outcome.UNKNOWN)
        # libzmq takes "source;destination".
        parts = urlsplit("tcp://" + rest.rpartition(";")[2])
        host, port = parts.hostname or "", parts.port or 0
    except OSError as error:
        return _failed(error, rest, 0)
    except ValueError:
        return Finding(Outcome.UNKNOWN)
    try:
        with socket.create_connection((host, port), timeout) as connection:
            return _shake_hands(connection, host, port, socket_type, mechanism)
    except socket.gaierror as error:
        return Finding(Outcome.NO_NAME, host, port, error.strerror or "")
    except OSError as error:
        return _failed(error, host, port)
    except UnicodeError:
        return Finding(Outcome.NO_NAME, host, port, "not a host name")


def _failed(error: OSError, host: str, port: int) -> Finding:
    if isinstance(error, TimeoutError):
        outcome = Outcome.FILTERED
    elif error.errno in (errno.ECONNREFUSED, errno.ENOENT):
        outcome = Outcome.REFUSED
    else:
        outcome = Outcome.UNREACHABLE
    return Finding(outcome, host, port, error.strerror or str(error))


def _shake_hands(
    connection: socket.socket, host: str, port: int, socket_type: int, own: bytes
) -> Finding:
    """Exchange greetings and read the peer's READY, which names its socket type.

    ``own``: this end's mechanism. With CURVE only the greetings are looked at.
    """
    greeted = False
    try:
        connection.sendall(_SIGNATURE + _VERSION)
        greeting = _read(connection, 12)
        if greeting[:1] != b"\xff" or not greeting[9] & 1:
            return Finding(Outcome.NOT_ZMQ, host, port)
        if greeting[10] < 3:  # ZMTP 2 and older tell their type in another form
            return Finding(Outcome.CONNECTED, host, port)
        # A peer of another mechanism hangs up when it sees ours: look at its own first.
        greeting += _read(connection, 52)
        mechanism = greeting[12:32].rstrip(b"\0")
        if mechanism != own:
            outcome = Outcome.SECURED if own == b"NULL" else Outcome.UNSECURED
            return Finding(outcome, host, port, mechanism.decode("ascii", "replace"))
        if own != b"NULL":
            return Finding(Outcome.CONNECTED, host, port)
        greeted = True
        connection.sendall(_MECHANISM)
        # It sends its READY without waiting for ours. We send none: a peer of the wrong
        # kind would hang up before it had told its own.
        peer = _socket_type(_read_command(connection))
    except TimeoutError:
        # A peer that refuses an address leaves the handshake as it is, or hangs up.
        return Finding(Outcome.NOT_ALLOWED if greeted else Outcome.SILENT, host, port)
    except (OSError, EOFError):
        return Finding(Outcome.NOT_ALLOWED if greeted else Outcome.NOT_ZMQ, host, port)
    except ValueError:
        return Finding(Outcome.NOT_ZMQ, host, port)
    if not peer or peer in _PARTNERS.get(zmq.SocketType(socket_type), (peer,)):
        return Finding(Outcome.CONNECTED, host, port, peer.decode("ascii", "replace"))
    return Finding(Outcome.WRONG_PEER, host, port, peer.decode("ascii", "replace"))


_EVENTS = zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED


def _let_in(address: str, socket_type: int, timeout: float, guard: Guard) -> Outcome:
    """Try whether a peer that speaks CURVE lets this end in, by a socket like its own."""
    from zmq.utils.monitor import recv_monitor_message  # noqa: PLC0415

    deadline = time.monotonic() + timeout
    with zmq.Context() as context, context.socket(socket_type) as trial:
        trial.linger = 0
        try:
            guard.prepare(trial, address)
            with trial.get_monitor_socket(_EVENTS) as monitor:
                trial.connect(address)
                left_ms = int((deadline - time.monotonic()) * 1000)
                event = recv_monitor_message(monitor)["event"] if monitor.poll(left_ms) else None
                trial.disable_monitor()
        except Exception:
            return Outcome.UNKNOWN
    # A peer that refuses a key hangs up, or leaves the handshake as it is.
    succeeded = event == zmq.Event.HANDSHAKE_SUCCEEDED
    return Outcome.CONNECTED if succeeded else Outcome.STRANGER


def _read_command(connection: socket.socket) -> bytes:
    flags, size = _read(connection, 2)
    if flags & 0x02:  # a long frame: eight bytes of length, of which we have one
        size = int.from_bytes(bytes([size]) + _read(connection, 7))
    if size > _MAX_COMMAND:
        raise ValueError
    return _read(connection, size)


def _socket_type(ready: bytes) -> bytes:
    """Return the Socket-Type of a READY command's properties, or b"" if it has none."""
    with contextlib.suppress(IndexError):
        at = 1 + ready[0]
        while at < len(ready):
            name = ready[at + 1 : at + 1 + ready[at]]
            at += 1 + ready[at]
            size = int.from_bytes(ready[at : at + 4])
            value = ready[at + 4 : at + 4 + size]
            at += 4 + size
            if name.lower() == b"socket-type":
                return value
    return b""


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data
