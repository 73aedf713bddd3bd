"""The command line: ``fastimagezmq`` or ``python -m fastimagezmq``."""

from __future__ import annotations

import argparse
import builtins
import dataclasses
import importlib
import importlib.machinery
import io
import itertools
import json
import math
import os
import platform
import signal
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from .__version__ import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .benchmark import Result

__all__ = ["main"]

_SHIM = Path(__file__).parent / "_shim"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; ``argv`` defaults to the process's own arguments.

    Returns:
        The exit status: 0, 1 if the command fails, 2 for arguments that make no sense, 130
        after Ctrl-C.
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
    bench = _add_bench(commands)
    doctor = _add_doctor(commands)
    _add_keys(commands)
    arguments = parser.parse_args(argv)
    if arguments.command == "bench":
        return _bench(arguments, bench)
    if arguments.command == "doctor":
        return _doctor(arguments, doctor)
    if arguments.command in ("keygen", "authorize", "revoke"):
        return _keys(arguments, parser)
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


# --- bench ---------------------------------------------------------------------------


def _add_bench(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    bench = commands.add_parser(
        "bench",
        help="measure frames a second on this machine, or to a hub on another one",
        description="Measures frames a second, raw and as JPEG, one frame at a time, and how"
        " long each stage takes. Without ADDRESS, sender and hub are two processes on this"
        " machine. With it, the hub must be running there and do nothing but receive and"
        " answer: 'fastimagezmq bench --hub', or any program, of imageZMQ too, that calls"
        " recv_image() and send_reply() in a loop; such a one gets raw pixels only, in frames"
        " whose message is 'fastimagezmq bench'. If imagezmq is installed here, it is measured"
        " beside. The pictures are synthetic.",
    )
    bench.add_argument("address", nargs="?", metavar="ADDRESS", help="such as tcp://hub:5555")
    bench.add_argument(
        "--hub",
        nargs="?",
        const="tcp://*:5555",
        metavar="ADDRESS",
        help="be the hub that others measure against, until Ctrl-C (default: %(const)s)",
    )
    bench.add_argument(
        "--jpeg",
        action="store_true",
        help="the hub at ADDRESS is fastimagezmq's: send it JPEG too",
    )
    bench.add_argument(
        "--seconds", type=_seconds, default=30, help="how long in all (default: %(default)s)"
    )
    bench.add_argument("--json", action="store_true", help="print JSON")
    return bench


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return seconds


def _bench(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from .errors import Error  # noqa: PLC0415 (for this command only)

    if arguments.hub and arguments.address:
        parser.error("give either ADDRESS, to send to, or --hub, to receive")
    try:
        if arguments.hub:
            return _serve_bench(arguments.hub)
        return _measure(arguments)
    except Error as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _serve_bench(address: str) -> int:
    from .benchmark import Server  # noqa: PLC0415

    server = Server(address)
    print(f"hub at {server.address}; Ctrl-C ends it", flush=True)
    try:
        server.serve()
    except KeyboardInterrupt:
        print(f"\n{server.frames} frames received")
    finally:
        server.close()
    return 0


def _measure(arguments: argparse.Namespace) -> int:
    from . import benchmark  # noqa: PLC0415

    measured = benchmark.measure(arguments.address, arguments.seconds, takes_jpeg=arguments.jpeg)
    results = _until_interrupted(measured)
    machine = f"Python {platform.python_version()}, {platform.machine()}"
    if arguments.json:
        told = {
            "fastimagezmq": __version__,
            "machine": f"{machine}, {benchmark.cores()} cores",
            "address": arguments.address,
            "quality": benchmark.QUALITY,
            "pictures": "synthetic",
            "results": [
                {**dataclasses.asdict(result), "limited_by": result.limited_by}
                for result in results
            ],
        }
        print(json.dumps(told, indent=1))
        return 0
    if arguments.address:
        where = f"sender here, hub at {arguments.address}"
    else:
        where = "sender and hub are two processes here, on TCP loopback"
    print(f"fastimagezmq {__version__}, {machine}, {benchmark.cores()} cores")
    print(f"{where}; one frame at a time")
    print(f"synthetic pictures, made like photographs; JPEG quality {benchmark.QUALITY}\n")
    _print_results(results)
    return 0


def _until_interrupted(results: Iterable[Result]) -> Iterator[Result]:
    """Give the results until Ctrl-C, also one that came where Python can raise nothing.

    An exception out of a signal handler is dropped, with a word on stderr, when it falls into
    an object's finaliser; and these measurements make and drop many objects. Here it is
    remembered, so the word is left out.
    """
    interrupted = False

    def note(_number: int, _frame: object) -> NoReturn:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    def pass_over(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            hook(unraisable)

    before = signal.signal(signal.SIGINT, note)
    hook, sys.unraisablehook = sys.unraisablehook, pass_over
    try:
        for result in results:
            if interrupted:
                raise KeyboardInterrupt
            yield result
        if interrupted:
            raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = hook


def _print_results(results: Iterable[Result]) -> None:
    """Print a line for each size and kind as soon as it is measured, in 80 columns."""
    row = "{:<14}{:>9}{:>9}{:>6}{:>9}{:>7}{:>9}{:>7} {:<9}".format
    print(f"{'':<48}{' ms a frame ':-^22}")
    names = ("frames", "frames/s", "imagezmq", "ratio", "Mbit/s", "encode", "transfer", "hub")
    print(row(*names, "limit").rstrip(), flush=True)
    untold = beside = False
    for (kind, width, height), group in itertools.groupby(
        results, key=lambda result: (result.kind, result.width, result.height)
    ):
        ours, theirs = [*group, None][:2]
        assert ours is not None
        label = f"{kind:<5}{width}x{height}"
        if ours.rate is None:
            print(f"{label:<14} {ours.note}", flush=True)
            continue
        other = theirs.rate if theirs else None
        beside = beside or other is not None
        untold = untold or ours.hub is None
        print(
            row(
                label,
                _three_digits(ours.rate),
                _three_digits(other),
                _three_digits(ours.rate / other if other else None),
                _three_digits(ours.bits and ours.bits / 1e6),
                *(
                    _three_digits(stage if stage is None else stage * 1e3)
                    for stage in (ours.encode, ours.transfer, ours.hub)
                ),
                ours.limited_by,
            ).rstrip(),
            flush=True,
        )
    print("\nencode, hub: what the sender and the hub work; transfer: all the rest")
    if untold:
        print("this hub does not tell how long it works: that is within transfer")
    if not beside:
        print("imagezmq is not installed here, so nothing stands beside")


def _three_digits(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


# --- doctor --------------------------------------------------------------------------


def _add_doctor(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    doctor = commands.add_parser(
        "doctor",
        help="look this installation, or the way to a hub, over, and say what is wrong",
        description="Looks this installation over: versions, which way messages take, whether"
        " SIMD is in use, how many threads a JPEG gets, and whether a picture can be encoded,"
        " decoded and sent. With an ADDRESS it looks at the way to that hub instead: name, port,"
        " handshake, kind of socket. The exit status is 1 if something is wrong.",
    )
    doctor.add_argument(
        "address", nargs="?", metavar="ADDRESS", help="a hub's, such as tcp://hub.local:5555"
    )
    doctor.add_argument(
        "--pub", action="store_true", help="ADDRESS is a PUB sender's (REQ_REP=False)"
    )
    doctor.add_argument(
        "--send", action="store_true", help="send one small picture to the hub at ADDRESS"
    )
    doctor.add_argument("--json", action="store_true", help="print JSON")
    return doctor


def _doctor(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from . import doctor, reach  # noqa: PLC0415

    address, pub, send, as_json = arguments.address, arguments.pub, arguments.send, arguments.json
    if address is None and (pub or send):
        parser.error("--pub and --send are about an ADDRESS: give one, tcp://hub.local:5555")
    if pub and send:
        parser.error("a PUB sender (--pub) takes no pictures: leave out --send")
    looked_at = (
        doctor.examine() if address is None else reach.examine(address, subscribe=pub, send=send)
    )
    findings = []
    for finding in looked_at:
        findings.append(finding)
        if not as_json:
            _print_finding(finding.name, finding.told)
    wrong = [finding for finding in findings if finding.advice]
    if as_json:
        told = {finding.name: finding.told for finding in findings}
        advice = {finding.name: finding.advice for finding in wrong}
        print(json.dumps({"well": not wrong, "found": told, "advice": advice}, indent=1))
        return int(bool(wrong))
    for finding in wrong:
        print(f"{finding.name}: {finding.advice}")
    if not wrong:
        print("all is well")
    return int(bool(wrong))


def _print_finding(name: str, told: str) -> None:
    """Print a line of 80 columns at most; what is too long loses its middle."""
    room = 80 - 15
    if len(told) > room:
        kept = (room - 3) // 2
        told = f"{told[:kept]}...{told[-(room - 3 - kept) :]}"
    print(f"{name:<15}{told}", flush=True)


# --- keygen, authorize, revoke -------------------------------------------------------


def _add_keys(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    keygen = commands.add_parser(
        "keygen",
        help="make a key pair for this end: NAME.pub and NAME.key",
        description="Makes a key pair for this end: NAME.pub, for the machine at the other end, and"
        " NAME.key, which is secret and stays here. Nothing is overwritten.",
    )
    keygen.add_argument(
        "name", nargs="?", metavar="NAME", help="the key's name, or a path (default: the host's)"
    )
    authorize = commands.add_parser(
        "authorize",
        help="let in the camera, or the hub, that has a public key",
        description="Adds public keys to the list of those that a hub, or a PUB sender, on this"
        " machine lets in. It sees that at once, also while it runs.",
    )
    authorize.add_argument("--revoke", action="store_true", help="take them off the list instead")
    revoke = commands.add_parser(
        "revoke",
        help="let that one in no more",
        description="Takes public keys off the list of those that a hub, or a PUB sender, on this"
        " machine lets in. It sees that at once, also while it runs and they are connected.",
    )
    for command in (authorize, revoke):
        command.add_argument(
            "files",
            nargs="+",
            metavar="FILE",
            help="a .pub file that 'fastimagezmq keygen' has written"
            + ("" if command is authorize else ", or the name of one on the list"),
        )
        command.add_argument(
            "--to" if command is authorize else "--from",
            dest="list",
            metavar="PATH",
            help="the list, a folder or a file (default: one in your user configuration)",
        )


def _keys(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from . import authorized, keys  # noqa: PLC0415 (for these commands only)
    from .errors import SecurityError  # noqa: PLC0415

    status = 0
    try:
        if arguments.command == "keygen":
            public, secret = keys.generate(arguments.name or platform.node() or "fastimagezmq")
            print(f"{secret}: secret, it stays on this machine")
            print(f"{public}: for the other end's machine")
            return 0
        where = arguments.list or authorized.default_path()
        revoking = arguments.command == "revoke" or arguments.revoke
        for file in arguments.files:
            if revoking:
                done = authorized.revoke(file, where)
                print(f"{file}: {'taken off' if done else 'was not on'} the list {where}")
                status = status if done else 1
            else:
                done = authorized.authorize(file, where)
                print(f"{file}: {'added to' if done else 'is already on'} the list {where}")
    except SecurityError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return status
