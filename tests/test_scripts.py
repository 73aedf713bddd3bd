"""scripts/system.sh: what it says and does where something is missing.

It runs with a PATH of its own that holds the few programs it needs and stand-ins for apt-get,
sudo and id, so that nothing of the machine's is called or changed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "system.sh"
TOOLS = ("bash", "dirname", "env", "mktemp", "rm", "tail", "uname")
COMPILER = shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
NO_COMPILER = "a C compiler, libjpeg-turbo's headers"

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="a script for Unix"),
    pytest.mark.skipif(
        shutil.which(COMPILER) is None,
        reason="needs the C compiler and libjpeg-turbo's headers, as building from source does",
    ),
]


class Machine:
    """A PATH and what can be found on it."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls = folder / "calls"
        self.calls.touch()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, tool
            (self.bin / tool).symlink_to(found)
        self.script("id", "echo 0")

    def script(self, name: str, body: str) -> None:
        path = self.bin / name
        # It may be a link to the machine's own program, which must not be written through.
        path.unlink(missing_ok=True)
        with path.open("x") as file:
            file.write(f"#!{shutil.which('bash')}\n{body}\n")
        path.chmod(0o755)

    def apt_get(self, *, knows_packages: bool) -> None:
        """Add an apt-get that "installs" the compiler, once its lists are there."""
        lists = self.bin.parent / "lists"
        if knows_packages:
            lists.touch()
        self.script(
            "apt-get",
            f"""
            echo "apt-get $*" >>{self.calls}
            case "$*" in
              *update*) : >{lists} ;;
              *) [[ -e {lists} ]] || {{ echo "E: Unable to locate package"; exit 100; }}
                 : >{self.bin}/installed ;;
            esac""",
        )

    def compiler(self, *, installed: bool) -> None:
        """Add a compiler that works as soon as it is installed."""
        if installed:
            (self.bin / "installed").touch()
        self.script(
            "test-cc",
            f"""
            PATH={shlex.quote(os.environ["PATH"])}  # for the assembler and the linker
            [[ -e {self.bin}/installed ]] && exec {COMPILER} "$@"
            exit 127""",
        )

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        defaults = {"PATH": str(self.bin), "CC": "test-cc", "PYTHON": sys.executable}
        return subprocess.run(
            [str(self.bin / "bash"), str(SCRIPT)],
            env=defaults | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.compiler(installed=False)
    return machine


def failed(result: subprocess.CompletedProcess[str]) -> str:
    """Check that it failed with one line, and give that."""
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("fastimagezmq: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_nothing_missing_nothing_done(machine: Machine) -> None:
    machine.compiler(installed=True)
    machine.apt_get(knows_packages=True)
    result = machine.run()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert machine.called() == []


def test_apt_installs_what_is_missing_and_says_why(machine: Machine) -> None:
    machine.apt_get(knows_packages=True)
    result = machine.run()
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        f"fastimagezmq: installing with apt, for want of {NO_COMPILER}: gcc libc6-dev libjpeg-dev\n"
    )
    (call,) = machine.called()
    assert call.endswith(" install -y --no-install-recommends gcc libc6-dev libjpeg-dev")


def test_lists_are_fetched_only_when_apt_does_not_know_a_package(machine: Machine) -> None:
    machine.apt_get(knows_packages=False)
    assert machine.run().returncode == 0
    assert [call.split()[-1] for call in machine.called()] == [
        "libjpeg-dev",
        "update",
        "libjpeg-dev",
    ]


def test_apt_that_fails_is_quoted(machine: Machine) -> None:
    machine.script("apt-get", "echo 'E: no such luck'; exit 100")
    result = machine.run()
    assert result.returncode == 1
    assert "E: no such luck\n" in result.stderr
    assert "fastimagezmq: apt could not install gcc libc6-dev libjpeg-dev" in result.stderr


def test_apt_that_succeeds_in_vain_is_noticed(machine: Machine) -> None:
    machine.script("apt-get", "exit 0")
    result = machine.run()
    assert result.returncode == 1
    assert f"still missing after installing gcc libc6-dev libjpeg-dev: {NO_COMPILER}" in (
        result.stderr
    )


def test_neither_root_nor_sudo(machine: Machine) -> None:
    machine.apt_get(knows_packages=True)
    machine.script("id", "echo 1000")
    sentence = failed(machine.run())
    assert "neither root nor sudo" in sentence
    assert "apt-get install gcc libc6-dev libjpeg-dev" in sentence
    assert machine.called() == []


def test_sudo_is_used_by_others_than_root(machine: Machine) -> None:
    machine.apt_get(knows_packages=True)
    machine.script("id", "echo 1000")
    machine.script("sudo", '[[ $1 == -n ]] && shift; [[ $1 == true ]] || "$@"')
    assert machine.run().returncode == 0
    assert len(machine.called()) == 1


def test_sudo_never_asks_for_a_password_where_nobody_is(machine: Machine) -> None:
    machine.apt_get(knows_packages=True)
    machine.script("id", "echo 1000")
    machine.script("sudo", '[[ $1 == -n ]] || sleep 100; echo "a password is required" >&2; exit 1')
    sentence = failed(machine.run(CI="true"))
    assert "sudo apt-get install gcc libc6-dev libjpeg-dev" in sentence


@pytest.mark.parametrize(
    ("manager", "packages"),
    [
        ("dnf", "dnf install python3 python3-devel gcc libjpeg-turbo-devel"),
        ("pacman", "pacman -S python base-devel libjpeg-turbo"),
        ("zypper", "zypper install python3 python3-devel gcc libjpeg8-devel"),
        ("apk", "apk add python3 python3-dev build-base libjpeg-turbo-dev"),
        (None, "Python 3.11 or newer with its headers, a C compiler and libjpeg-turbo's headers"),
    ],
)
def test_systems_without_apt_are_told_what_to_install(
    machine: Machine, manager: str | None, packages: str
) -> None:
    machine.script("uname", "echo Linux")
    if manager:
        machine.script(manager, "exit 1")
    sentence = failed(machine.run())
    assert f"missing: {NO_COMPILER}" in sentence
    assert packages in sentence


def test_macos_is_told_what_to_install(machine: Machine) -> None:
    machine.script("uname", "echo Darwin")
    assert "brew install python jpeg-turbo" in failed(machine.run())


def test_an_old_python_is_refused_in_one_sentence(machine: Machine) -> None:
    machine.script("python3.9", "[[ $1 == -V ]] && echo Python 3.9.2 || exit 1")
    sentence = failed(machine.run(PYTHON="python3.9"))
    assert "needs Python 3.11 or newer, and python3.9 is Python 3.9.2" in sentence


def test_a_python_that_is_not_there(machine: Machine) -> None:
    assert "there is no Python at /absent/python" in failed(machine.run(PYTHON="/absent/python"))
