"""Two hosts on one machine: network namespaces joined by a veth pair, made without privileges."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

HERE, THERE = "10.9.0.1", "10.9.0.2"


class Refused(Exception):
    """Namespaces, or a limited rate, cannot be had on this machine; says why."""


class TwoHosts:
    """``here`` and ``there`` are what to put before a command that is to run on that host.

    ``across`` is likewise for a process on the first host whose command is to run on the second.

    Raises:
        Refused: on entering.
    """

    here: list[str]
    there: list[str]
    across: list[str]

    def __enter__(self) -> Self:
        for command in ("unshare", "nsenter", "ip"):
            if shutil.which(command) is None:
                raise Refused(f"no {command} command here")
        self._keepers: list[subprocess.Popen[bytes]] = []
        try:
            self.here = self._host("unshare", "--user", "--map-root-user", "--net")
            self.there = self._host(*self.here, "unshare", "--net")
            far = self._keepers[1].pid
            self.across = ["nsenter", "-t", str(far), "-n"]
            self._run(self.here, f"ip link add here type veth peer name there netns {far}")
            for host, name, address in ((self.here, "here", HERE), (self.there, "there", THERE)):
                self._run(host, f"ip addr add {address}/24 dev {name}")
                self._run(host, f"ip link set {name} up")
        except BaseException:
            self._end()
            raise
        return self

    def _host(self, *command: str) -> list[str]:
        """Make a namespace, which lasts as long as a process in it."""
        keeper = subprocess.Popen([*command, "sleep", "1000"], stderr=subprocess.PIPE)
        self._keepers.append(keeper)
        # Only what runs last has both the namespace and its rights there.
        name = Path(f"/proc/{keeper.pid}/comm")
        while keeper.poll() is None and name.read_text(encoding="ascii") != "sleep\n":
            time.sleep(0.001)
        if keeper.poll() is not None:
            raise Refused("network namespaces are refused here")
        return ["nsenter", "-t", str(keeper.pid), "-U", "--preserve-credentials", "-n"]

    def _run(self, host: list[str], command: str) -> None:
        done = subprocess.run(
            [*host, *command.split()], check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise Refused(f"'{command}' is refused here: {done.stderr.strip()}")

    def limit(self, bits_a_second: int) -> None:
        """Let the first host send no faster; as much as takes 50 ms waits, the rest is lost."""
        if shutil.which("tc") is None:
            raise Refused("no tc command here")
        self._run(
            self.here,
            f"tc qdisc add dev here root tbf rate {bits_a_second}bit burst 16kb latency 50ms",
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        for keeper in self._keepers:
            keeper.kill()
            keeper.communicate()
