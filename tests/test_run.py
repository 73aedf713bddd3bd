"""``python -m fastimagezmq run program.py``: the program runs as it would, with our imagezmq."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import fastimagezmq

HEAD = """\
import json, os, sys
def tell(**what):
    print(json.dumps(what), flush=True)
"""

TELL_WHOSE = (
    "import imagezmq; tell(file=imagezmq.__file__, title=imagezmq.__title__, argv=sys.argv)"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with blanks and non-ASCII letters in its name."""
    path = tmp_path / "my prögrams"
    path.mkdir()
    return path


def write(folder: Path, text: str, name: str = "program.py") -> Path:
    path = folder / name
    path.write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
    return path


def run(
    *command: object, cwd: Path | None = None, status: int = 0, plain: bool = False, **options: str
) -> list[Any]:
    """Run a program; gives what it told."""
    launcher = [sys.executable] if plain else [sys.executable, "-m", "fastimagezmq", "run"]
    result = subprocess.run(
        [*launcher, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=cwd,
        env=os.environ | options,
    )
    assert result.returncode == status, result.stderr
    told: list[Any] = [json.loads(line) for line in result.stdout.splitlines()]
    return [*told, result.stderr] if status else told


def is_ours(told: dict[str, Any]) -> bool:
    return bool(told["file"] == fastimagezmq.__file__ and told["title"] == "fastimagezmq")


def test_a_program_that_imports_imagezmq_gets_ours(folder: Path) -> None:
    program = write(
        folder,
        """
        import imagezmq
        import imagezmq.imagezmq
        import imagezmq.imagezmq as submodule
        from imagezmq import ImageSender
        from imagezmq.imagezmq import ImageHub, SerializingSocket
        from imagezmq import imagezmq as also
        import fastimagezmq

        tell(file=imagezmq.__file__, title=imagezmq.__title__)
        names = [n for n in dir(fastimagezmq) if not n.startswith("_")]
        tell(
            module=imagezmq is fastimagezmq,
            submodule=submodule is also is imagezmq.imagezmq is fastimagezmq.imagezmq,
            sender=ImageSender is fastimagezmq.ImageSender,
            hub=ImageHub is fastimagezmq.ImageHub,
            socket=SerializingSocket is fastimagezmq.SerializingSocket,
        )
        from imagezmq import *
        tell(star=ImageHub is fastimagezmq.ImageHub and zmq is imagezmq.zmq and np is imagezmq.np)
        """,
    )
    told = run(program)
    assert is_ours(told[0])
    assert all({**told[1], **told[2]}.values())
    # The same program, run by Python alone, has the real one: the test can tell them apart.
    without_shim = write(folder, TELL_WHOSE, "plain.py")
    assert not is_ours(run(without_shim, plain=True)[0])
    assert is_ours(run(without_shim)[0])


def test_a_pair_of_programs_streams(folder: Path) -> None:
    program = write(
        folder,
        """
        import threading, imagezmq
        image = imagezmq.np.arange(192, dtype="uint8").reshape(8, 8, 3)
        hub = imagezmq.ImageHub("tcp://127.0.0.1:*")
        address = hub.zmq_socket.getsockopt_string(imagezmq.zmq.LAST_ENDPOINT)
        def send():
            with imagezmq.ImageSender(connect_to=address) as sender:
                replies.append(sender.send_image("a", image).decode())
        replies = []
        thread = threading.Thread(target=send)
        thread.start()
        message, received = hub.recv_image()
        hub.send_reply(b"thanks")
        thread.join()
        tell(message=message, same=bool((received == image).all()), replies=replies)
        """,
    )
    assert run(program) == [{"message": "a", "same": True, "replies": ["thanks"]}]


SURROUNDINGS = """
    import beside_it
    tell(
        argv=sys.argv, name=__name__, file=__file__, cwd=os.getcwd(), spec=__spec__, doc=__doc__,
        main=sys.modules["__main__"].__dict__ is globals(), cached=__cached__,
        builtins=type(__builtins__).__name__, path=sys.path[-3:], beside=beside_it.WHAT,
        future=__import__("inspect").get_annotations(beside_it.WHAT.__class__),
        first=[p for p in sys.path if not p.endswith("_shim")][0],
        names=sorted(n for n in globals() if not n.startswith("__")),
    )
"""


@pytest.mark.parametrize("how", ["absolute", "relative", "below", "link"])
def test_a_program_sees_what_it_would_see_of_python_alone(folder: Path, how: str) -> None:
    program = write(folder, SURROUNDINGS)
    write(folder, "WHAT = 'a module in the program\\'s folder'", "beside_it.py")
    cwd = folder.parent if how == "below" else folder
    name: object = {
        "absolute": program,
        "relative": "program.py",
        "below": Path(folder.name) / "program.py",
        "link": "link.py",
    }[how]
    if how == "link":
        target = folder / "elsewhere"
        target.mkdir()
        for file in ("program.py", "beside_it.py"):
            shutil.move(folder / file, target / file)
        try:
            (folder / "link.py").symlink_to(target / "program.py")
        except OSError:
            pytest.skip("no links here")
    arguments = (name, "--help", "-x", "two words", "--", "--version")
    told = run(*arguments, cwd=cwd)
    assert told == run(*arguments, cwd=cwd, plain=True)
    assert told[0]["argv"] == list(map(str, arguments))
    assert told[0]["name"] == "__main__"
    assert Path(told[0]["file"]).is_absolute()


@pytest.mark.parametrize(
    ("text", "status", "errors"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('told at exit')", 1, "told at exit\n"),
        ("raise SystemExit(4)", 4, ""),
        ("os._exit(5)", 5, ""),
        ("pass", 0, ""),
    ],
)
def test_exit_statuses(folder: Path, text: str, status: int, errors: str) -> None:
    told = run(write(folder, text), status=status)
    assert told == ([errors] if status else [])


def test_an_exception_has_its_traceback(folder: Path) -> None:
    program = write(folder, "\ndef work():\n    return 1 / 0\nwork()\n")
    (errors,) = run(program, status=1)
    assert errors.startswith("Traceback")
    assert errors.endswith("ZeroDivisionError: division by zero\n")
    assert "return 1 / 0" in errors
    assert str(program) in errors


def test_a_syntax_error_is_told(folder: Path) -> None:
    program = write(folder, "x = (\n")
    (errors,) = run(program, status=1)
    assert "SyntaxError" in errors
    assert str(program) in errors


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to a process")
def test_ctrl_c_reaches_the_program(folder: Path) -> None:
    program = write(
        folder,
        """
        import signal, imagezmq
        hub = imagezmq.ImageHub("tcp://127.0.0.1:*")
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
            hub.recv_image()
        except KeyboardInterrupt:
            tell(caught=True)
            raise
        """,
    )
    assert run(program, status=-signal.SIGINT)[0] == {"caught": True}


def test_annotations_are_not_ours(folder: Path) -> None:
    # No "from __future__" of the launcher's reaches the program.
    program = write(
        folder,
        """
        def f(x: int): pass
        tell(kind=type(f.__annotations__["x"]).__name__)
        """,
    )
    assert run(program) == [{"kind": "type"}]


def test_sources_of_the_program_can_be_had(folder: Path) -> None:
    program = write(
        folder,
        """
        import inspect
        def work():
            return 'here'
        tell(source=inspect.getsource(work))
        """,
    )
    assert run(program) == [{"source": "def work():\n    return 'here'\n"}]


def test_threads_and_exit_handlers_outlive_the_last_line(folder: Path) -> None:
    program = write(
        folder,
        """
        import atexit, pickle, threading
        def work():
            threading.main_thread().join()
            import imagezmq
            ours = pickle.loads(pickle.dumps(Thing())).__class__ is Thing
            tell(file=imagezmq.__file__, title=imagezmq.__title__, pickled=ours)
        class Thing:
            pass
        atexit.register(lambda: tell(at_exit=Thing.__name__))
        threading.Thread(target=work).start()
        """,
    )
    told = run(program)
    assert is_ours(told[0])
    assert told[0]["pickled"]
    assert told[1] == {"at_exit": "Thing"}


@pytest.mark.parametrize("start", multiprocessing.get_all_start_methods())
def test_processes_of_multiprocessing_get_ours(folder: Path, start: str) -> None:
    program = write(
        folder,
        f"""
        import multiprocessing
        import imagezmq
        def work(number):
            tell(
                file=imagezmq.__file__, title=imagezmq.__title__, argv=sys.argv, number=number,
                pid=os.getpid(),
            )
        if __name__ == "__main__":
            context = multiprocessing.get_context({start!r})
            process = context.Process(target=work, args=(7,))
            process.start()
            process.join()
            tell(exitcode=process.exitcode, pid=os.getpid())
        """,
    )
    child, parent = run(program, "an argument")
    assert is_ours(child)
    assert child["argv"] == [str(program), "an argument"]
    assert child["number"] == 7
    assert child["pid"] != parent["pid"]
    assert parent["exitcode"] == 0


def test_programs_that_the_program_starts_get_ours(folder: Path) -> None:
    other = write(
        folder,
        "import imagezmq; tell(file=imagezmq.__file__, title=imagezmq.__title__, extra=sys.path)",
        "other.py",
    )
    program = write(
        folder, f"import subprocess\nsubprocess.run([sys.executable, {str(other)!r}], check=True)\n"
    )
    extra = folder / "extra"
    extra.mkdir()
    (told,) = run(program, PYTHONPATH=str(extra))
    assert is_ours(told)
    assert str(extra) in told["extra"]


def test_imagezmqs_own_folder_first_on_the_path_makes_no_difference(folder: Path) -> None:
    # Some of imageZMQ's older programs begin so.
    theirs = folder / "imagezmq"
    theirs.mkdir()
    write(theirs, "__title__ = 'imagezmq, as it is beside the program'", "imagezmq.py")
    write(folder, "__title__ = 'another one'", "imagezmq.py")
    program = write(
        folder,
        """
        sys.path.insert(0, 'imagezmq')
        import imagezmq
        tell(file=imagezmq.__file__, title=imagezmq.__title__)
        """,
    )
    assert is_ours(run(program, cwd=folder)[0])


def test_the_environment_is_changed_in_nothing_else(folder: Path) -> None:
    program = write(folder, "tell(**{k: v for k, v in os.environ.items() if k != '_'})")
    (ours,) = run(program, PYTHONPATH="")
    (plain,) = run(program, plain=True, PYTHONPATH="")
    changed = {name for name in ours.keys() | plain if ours.get(name) != plain.get(name)}
    assert changed == {"PYTHONPATH"}
    assert ours["PYTHONPATH"] == str(Path(fastimagezmq.__file__).parent / "_shim")


@pytest.mark.parametrize("command", [("run",), ("run", "absent.py"), (), ("walk",), ("run", ".")])
def test_wrong_arguments_are_told_with_status_2(command: tuple[str, ...], folder: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "fastimagezmq", *command],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=folder,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("usage: ")
    if command in (("run", "absent.py"), ("run", ".")):
        assert f"there is no program {command[1]}" in result.stderr


def test_the_installed_command_is_the_same(folder: Path) -> None:
    installed = shutil.which("fastimagezmq", path=str(Path(sys.executable).parent))
    if installed is None:
        pytest.skip("the command is not installed beside this Python")
    command = [installed, "run", str(write(folder, TELL_WHOSE)), "a"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    told = json.loads(result.stdout)
    assert is_ours(told)
    assert told["argv"] == command[2:]
