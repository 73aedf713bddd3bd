"""What ``security=`` and ``allow=`` do to the sockets of one sender or hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq

from .. import log
from ..authorized import ListedKeys
from ..errors import SecurityError
from ..throttle import Throttle
from .zap import Handler

if TYPE_CHECKING:
    from ..security import Network, Security
    from .messages import Part
    from .zap import Request

__all__ = ["Guard"]

_DOMAIN = b"fastimagezmq"

HANDSHAKE_MS = 5000
"""After so long a connection that is not let in ends, and its peer tries again. libzmq's own
limit is 30 seconds."""

_LIBZMQ_HANDSHAKE_MS = 30000


class Guard:
    """Keeps strangers out: who binds has a list, who connects has its peer's key.

    Args:
        security: own keys, and whom to trust; None: no encryption.
        allow: of an end that binds: the address ranges that may connect; empty: all.
        binds: whether this end binds.

    Invariants: a socket is protected before it has any address; every libzmq option that it
    takes is set to fail closed, so without a living handler nobody gets in; a peer is noted as
    let in before libzmq is told.
    """

    def __init__(
        self, security: Security | None, allow: tuple[Network, ...], *, binds: bool
    ) -> None:
        self._security = security
        self._allow = allow
        self._binds = binds
        self._handler: Handler | None = None
        self._warnings = Throttle()
        self._let_in: set[str] = set()  # keys; added to by the handler's thread
        self.socket: Any = None
        """The socket protected last: the endpoint's own."""
        if security is not None and isinstance(security.authorized, ListedKeys):
            security.authorized.warn = _warn_of_list

    @property
    def encrypts(self) -> bool:
        """Whether there are keys."""
        return self._security is not None

    @property
    def own_key(self) -> str:
        """What this end is known by, in Z85; empty without keys."""
        return "" if self._security is None else self._security.secret.public.text

    def protect(self, socket: Any) -> None:
        """Set a socket's options, before it is bound or connected.

        Raises:
            SecurityError: this libzmq cannot do that.
        """
        try:
            if self._binds:
                self._ask_for_each_connection_to(socket)
            if self._security is not None:
                self._security.secret.give_to(socket)
                if self._binds:  # (0 would choose NULL; the peer's key makes a client)
                    socket.setsockopt(zmq.CURVE_SERVER, 1)
            if int(socket.getsockopt(zmq.HANDSHAKE_IVL)) == _LIBZMQ_HANDSHAKE_MS:
                socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        except zmq.ZMQError as error:
            raise SecurityError(
                f"libzmq {zmq.zmq_version()} cannot secure this socket ({error.strerror}): install"
                " pyzmq's own wheel"
            ) from None
        self.socket = socket
        socket.guard = self

    def prepare(self, socket: Any, address: str) -> None:
        """Make another socket connect to an address as this end does; it is not protected.

        Raises:
            SecurityError: no key was given for the address.
        """
        assert self._security is not None
        self._security.secret.give_to(socket)
        key = self._security.expected_at(address)
        socket.setsockopt(zmq.CURVE_SERVERKEY, key.text.encode())

    def _ask_for_each_connection_to(self, socket: Any) -> None:
        context = socket.context
        if self._handler is None or self._handler.context is not context:
            self.close()
            self._handler = Handler(context, self._decide)
        socket.setsockopt(zmq.ZAP_DOMAIN, _DOMAIN)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without a handler nobody gets in

    def look_at(self, socket: Any, address: str, *, binding: bool) -> None:
        """Look at an address before a protected socket is bound or connected to it.

        Raises:
            SecurityError: the transport has no security, or no key was given for the address.
        """
        transport = address.partition("://")[0]
        if transport not in ("tcp", "ipc"):
            raise SecurityError(
                f"{address} cannot be secured: security= is for tcp:// and ipc:// addresses"
            )
        if self._allow and transport != "tcp":
            raise SecurityError(
                f"{address} has no IP addresses that allow= could look at: it is for tcp:// ones"
            )
        if binding != self._binds:
            does, other = ("binds", "connected") if self._binds else ("connects", "bound")
            raise SecurityError(f"this end {does} with security, so it cannot be {other} as well")
        if not binding and self._security is not None:
            self.prepare(socket, address)

    # --- who is let in --------------------------------------------------------------

    def _decide(self, request: Request) -> str | None:
        """Decide on the handler's thread; gives the User-Id, or None."""
        if self._allow and not self._allows(request.address):
            self._refused(
                request.address,
                f"refused a connection from {request.address}, which is not in allow=",
            )
            return None
        if self._security is None:
            return request.address if request.mechanism == "NULL" else None
        if request.mechanism != "CURVE":
            return None
        key = _z85(request.key)
        if self._is_authorized(key):
            self._let_in.add(key)
            return key
        self._refused(
            request.address,
            f"refused a connection from {request.address}: its public key {key} is not authorized."
            " If it is a camera or hub of yours, run 'fastimagezmq authorize' here with its .pub"
            " file",
        )
        return None

    def _allows(self, address: str) -> bool:
        # Here, since most programs need it never.
        from ipaddress import IPv6Address, ip_address  # noqa: PLC0415

        try:
            peer = ip_address(address)
        except ValueError:
            return False
        if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        return any(peer in network for network in self._allow)

    def _is_authorized(self, key: str) -> bool:
        keys = None if self._security is None else self._security.authorized
        return keys is not None and keys.admits(key)

    def _refused(self, address: str, sentence: str) -> None:
        if self._warnings.due(address):
            log.warning_aside(
                "fastimagezmq: %s (more from this address within a minute are refused in silence)",
                sentence,
            )

    def admits(self, part: Part) -> bool:
        """Tell whether the sender of a message is authorized now; ``part``: any of its parts."""
        if self._security is None or not self._binds:
            return True  # who is not let in has no connection
        try:
            return self._is_authorized(str(part.get("User-Id")))
        except (zmq.ZMQError, AttributeError):
            return False

    def someone_was_revoked(self) -> bool:
        """Tell whether a peer that was let in since ``forget`` is not authorized any more."""
        return any(not self._is_authorized(key) for key in tuple(self._let_in))

    def forget(self) -> None:
        """Forget who was let in: their connections are closed."""
        self._let_in.clear()

    def close(self) -> None:
        """End the handler; nobody is let in from now on."""
        if self._handler is not None:
            self._handler.close()
            self._handler = None


def _z85(key: bytes) -> str:
    # Here, since most programs need it never.
    from zmq.utils import z85  # noqa: PLC0415

    return z85.encode(key).decode()


def _warn_of_list(sentence: str) -> None:
    log.warning_aside(
        "fastimagezmq: %s; whom that concerns is not let in until it can be read", sentence
    )
