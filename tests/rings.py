"""Key pairs and a list of public keys in a folder, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq.auth

from fastimagezmq import PublicKey, authorized, keys

if TYPE_CHECKING:
    from pathlib import Path


class Ring:
    """Key pairs in a folder, by name, and a list."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.list = folder / "authorized"
        self.list.mkdir()
        for name in ("hub", "camera", "stranger"):
            self.make(name)
        self.authorize("camera")

    def make(self, name: str) -> None:
        keys.generate(self.folder / name)

    def pub(self, name: str) -> Path:
        return self.folder / f"{name}.pub"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def authorize(self, name: str) -> None:
        assert authorized.authorize(self.pub(name), self.list)

    def revoke(self, name: str) -> None:
        assert authorized.revoke(self.pub(name), self.list)

    def secret(self, name: str) -> str:
        found = zmq.auth.load_certificate(self.key(name))[1]
        assert found is not None
        return found.decode()

    def public(self, name: str) -> str:
        return PublicKey.load(self.pub(name)).text

    def binding(self, name: str = "hub") -> tuple[Path, Path]:
        return self.key(name), self.list

    def connecting(self, name: str = "camera", other: str = "hub") -> tuple[Path, Path]:
        return self.key(name), self.pub(other)
