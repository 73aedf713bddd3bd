"""The command line: ``fastimagezmq`` or ``python -m fastimagezmq``."""

from __future__ import annotations

import argparse
import builtins
import importlib
import importlib.machinery
import io
import os
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

from .__version__ import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_SHIM = Path(__file__).parent / "_shim"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; ``argv`` defaults to the process's own arguments.

    Returns:
        The exit status: 0, or 2 for arguments that make no sense.
    """
    parser = argparse.ArgumentParser(
        prog="fastimagezmq",
        description="imageZMQ's programs, unchanged, on a C core.",
    )
    parser.add_argument("--version", action="version", version=f"fastimagezmq {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    run = commands.add_parser(
        "run",
        help='run a program that says "import imagezmq", unedited, with fastimagezmq',
        description='Run a program that says "import imagezmq", unedited, with fastimagezmq in'
        " imageZMQ's place; also in the Python processes that the program starts.",
    )
    run.add_argument("program", help="the Python program's file")
    run.add_argument("args", nargs=argparse.REMAINDER, help="the program's own arguments")
    arguments = parser.parse_args(argv)
    return _run(arguments.program, arguments.args, run)


def _run(program: str, args: list[str], parser: argparse.ArgumentParser) -> int:
    path = Path(program)
    if not path.is_file():
        parser.error(f"there is no program {program}")
    sys.argv = [program, *args]
    # As `python program.py` would have it, with our imagezmq before any other. Child
    # processes find it through the environment.
    if not sys.flags.safe_path:
        sys.path[0] = str(path.resolve().parent)
    sys.path.insert(0, str(_SHIM))
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(_SHIM), *([inherited] if inherited else [])])
    # Imported now, so that a program which puts imageZMQ's folder on the path gets ours too.
    importlib.import_module("imagezmq")
    # Not runpy's module, which ends with the program's last line: threads may still run
    # then, and look their functions up in __main__.
    file = os.path.abspath(program)
    main_module = types.ModuleType("__main__")
    main_module.__dict__.update(
        __builtins__=builtins,
        __file__=file,
        __cached__=None,
        __loader__=importlib.machinery.SourceFileLoader("__main__", file),
    )
    with io.open_code(file) as source:
        code = compile(source.read(), file, "exec", dont_inherit=True)
    sys.modules["__main__"] = main_module
    exec(code, main_module.__dict__)  # noqa: S102
    return 0
