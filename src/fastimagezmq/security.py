"""What ``security=`` and ``allow=`` take, made into keys, lists and address ranges."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from .authorized import FixedKeys, ListedKeys, default_path
from .errors import SecurityError
from .keys import PathLike, PublicKey, SecretKey

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    Network: TypeAlias = IPv4Network | IPv6Network

    Addresses: TypeAlias = str | Network | Iterable[str | Network]
    SecurityLike: TypeAlias = "Security | PathLike | SecretKey | tuple[Any, Any]"

__all__ = ["Security", "networks", "security_of"]


@dataclass(frozen=True)
class Security:
    """Who one end is, and whom it trusts: made by ``binding`` or ``connecting``."""

    secret: SecretKey
    """The end's own key pair."""
    authorized: FixedKeys | ListedKeys | None = None
    """Whom an end that binds lets in."""
    peers: PublicKey | Mapping[str, PublicKey] | None = None
    """Whom an end that connects expects: at any address, or at each."""

    @classmethod
    def binding(
        cls, secret: PathLike | SecretKey, authorized: PathLike | Iterable[PublicKey] | None = None
    ) -> Security:
        """Give the security of an end that binds: a REQ/REP hub, or a PUB sender.

        Args:
            secret: its own .key file, or the key itself.
            authorized: the list of those it lets in, a folder of .pub files or one file, read
                again when it changes; None: the list that ``fastimagezmq authorize`` writes to.
                Or public keys, which stay as they are.

        Raises:
            SecurityError: a file is missing, wrong, or others may read or write it.
        """
        if authorized is None:
            authorized = default_path()
        listed = (
            ListedKeys(authorized)
            if isinstance(authorized, str | os.PathLike)
            else FixedKeys(authorized)
        )
        return cls(_secret(secret), authorized=listed)

    @classmethod
    def connecting(
        cls,
        secret: PathLike | SecretKey,
        peer: PathLike | PublicKey | Mapping[str, PathLike | PublicKey],
    ) -> Security:
        """Give the security of an end that connects: a REQ/REP sender, or a PUB/SUB hub.

        Args:
            secret: its own .key file, or the key itself.
            peer: the .pub file of the end that it connects to, or the key itself; or a mapping
                from each address to that.

        Raises:
            SecurityError: as ``binding``.
        """
        if isinstance(peer, Mapping):
            return cls(
                _secret(secret), peers={address: _public(key) for address, key in peer.items()}
            )
        return cls(_secret(secret), peers=_public(peer))

    def expected_at(self, address: str) -> PublicKey:
        """Give the public key of whom is expected at an address.

        Raises:
            SecurityError: none was given.
        """
        key = self.peers.get(address) if isinstance(self.peers, Mapping) else self.peers
        if key is None:
            raise SecurityError(
                f"no public key was given for {address}: add it to the mapping that"
                " Security.connecting() was given"
            )
        return key


def security_of(given: Any, *, binds: bool) -> Security:
    """Make what ``security=`` was given into a Security for an end that binds or connects.

    Args:
        given: a Security, a .key file, or a pair of that and what the other end is known by.
        binds: whether this end binds.

    Raises:
        SecurityError: it is for the other end, or as ``Security.binding``.
        TypeError: it is nothing of the kind.
    """
    if isinstance(given, Security):
        if binds and given.authorized is None:
            raise SecurityError(
                "this end binds, so it needs Security.binding(own secret key, list of those it"
                " lets in)"
            )
        if not binds and given.peers is None:
            raise SecurityError(
                "this end connects, so it needs Security.connecting(own secret key, public key of"
                " the other end)"
            )
        return given
    if isinstance(given, str | os.PathLike | SecretKey):
        if binds:
            return Security.binding(given)
        raise SecurityError(
            "this end connects, so it has to know the other end's key too: give"
            ' security=("own.key", "other.pub")'
        )
    if isinstance(given, tuple) and len(given) == 2:
        return Security.binding(*given) if binds else Security.connecting(*given)
    raise TypeError(
        f'security= takes a Security, or the paths ("own.key", "other.pub"), not {type(given)}'
    )


def networks(given: Any) -> tuple[Network, ...]:
    """Make what ``allow=`` was given into address ranges.

    Raises:
        SecurityError: none is given, or one is no range.
    """
    # Here, since most programs need it never.
    from ipaddress import IPv4Network, IPv6Network, ip_network  # noqa: PLC0415

    items = [given] if isinstance(given, str | IPv4Network | IPv6Network) else list(given)
    if not items:
        raise SecurityError(
            'allow= names no addresses, so nobody could connect: give allow=["192.168.1.0/24"], or'
            " leave it out to let everybody in"
        )
    try:
        return tuple(ip_network(item) for item in items)
    except (ValueError, TypeError) as error:
        raise SecurityError(
            f'allow= takes addresses and ranges such as "192.168.1.0/24" or "fd00::/8": {error}'
        ) from None


def _secret(given: PathLike | SecretKey) -> SecretKey:
    return given if isinstance(given, SecretKey) else SecretKey.load(given)


def _public(given: PathLike | PublicKey) -> PublicKey:
    return given if isinstance(given, PublicKey) else PublicKey.load(given)
