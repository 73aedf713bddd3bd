"""What the documents say is what the code does: names, bytes, examples, links, arrows."""

from __future__ import annotations

import ast
import contextlib
import inspect
import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import zmq

import fastimagezmq
from fastimagezmq import _codec, cli, image_sender, wire
from fastimagezmq.clocks import Exchange
from fastimagezmq.transport import sockets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "fastimagezmq"
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

COMPLETE = "<!-- complete -->"
"""Stands above a python block that runs as it is; the others must only compile."""


def label(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# --- reading markdown ----------------------------------------------------------------


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line above the fence."""

    language: str
    text: str
    above: str
    line: int


def blocks_of(text: str) -> list[Block]:
    found: list[Block] = []
    opened: tuple[str, str, int] | None = None
    lines = text.splitlines()
    body: list[str] = []
    for number, line in enumerate(lines):
        fence = re.fullmatch(r"\s*(?:```|~~~)\s*(\S*).*", line)
        if opened is None:
            if fence:
                opened = (fence[1], lines[number - 1] if number else "", number + 2)
                body = []
        elif fence and not fence[1]:
            language, above, first = opened
            found.append(Block(language, "".join(f"{row}\n" for row in body), above, first))
            opened = None
        else:
            body.append(line)
    assert opened is None, f"a fence is not closed: line {opened}"
    return found


def without_blocks(text: str) -> str:
    return re.sub(r"(?ms)^\s*(```|~~~).*?^\s*\1\s*$", "", text)


def headings_of(text: str) -> list[str]:
    return re.findall(r"(?m)^#{1,6} +(.*?)\s*$", without_blocks(text))


def sections_of(page: Path) -> dict[str, str]:
    """Give the text below each heading, up to the next heading of any level."""
    pieces = re.split(r"(?m)^#{1,6} +(.*?)\s*$", page.read_text(encoding="utf-8"))
    titles = [title.replace("`", "") for title in pieces[1::2]]
    assert len(set(titles)) == len(titles), "two sections have the same title"
    return dict(zip(titles, pieces[2::2], strict=True))


def tables_of(text: str) -> list[list[dict[str, str]]]:
    """Give each table as rows by column name."""
    found = []
    for table in re.findall(r"(?m)(?:^\|.*\|$\n?)+", text):
        rows = [
            [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in table.splitlines()
        ]
        head, rule, *body = rows
        assert all(set(cell) <= set("-: ") for cell in rule)
        found.append([dict(zip(head, row, strict=True)) for row in body])
    return found


def rows_with(text: str, column: str) -> list[dict[str, str]]:
    """Give the rows of the one table that has this column, or none."""
    tables = [table for table in tables_of(text) if column in table[0]]
    assert len(tables) < 2, f"two tables have a column {column!r}"
    return tables[0] if tables else []


def code(cell: str) -> list[str]:
    """Give what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


# --- every page ----------------------------------------------------------------------


def python_blocks() -> Iterator[Any]:
    for page in PAGES:
        for block in blocks_of(page.read_text(encoding="utf-8")):
            if block.language in ("python", "py"):
                yield pytest.param(page, block, id=f"{label(page)}:{block.line}")


@pytest.mark.parametrize(("page", "block"), list(python_blocks()))
def test_python_blocks(page: Path, block: Block, tmp_path: Path) -> None:
    compile(block.text, f"{label(page)}:{block.line}", "exec")
    if block.above.strip() != COMPLETE:
        return
    # Behind as many blank lines as give a traceback the document's own line numbers.
    (tmp_path / "example.py").write_text("\n" * (block.line - 1) + block.text, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert ran.returncode == 0, ran.stderr


def anchors_of(page: Path) -> set[str]:
    """Give the anchors that GitHub makes of headings."""
    anchors: set[str] = set()
    for heading in headings_of(page.read_text(encoding="utf-8")):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count, free = 0, slug
        while free in anchors:
            count += 1
            free = f"{slug}-{count}"
        anchors.add(free)
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_links_point_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", without_blocks(page.read_text(encoding="utf-8")))
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", text)
    targets += re.findall(r"(?m)^\s*\[[^]]+\]:\s*(\S+)", text)
    targets += re.findall(r"""(?:href|src)=["']([^"']+)""", text)
    for target in targets:
        if re.match(r"[a-z][a-z+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{label(page)} links to {target}: there is no such file"
        if anchor and there.suffix == ".md":
            assert anchor in anchors_of(there), f"{label(page)} links to {target}: no such heading"


# --- docs/api.md: every name and parameter -------------------------------------------

API = sections_of(DOCS / "api.md")
PUBLIC = [
    name
    for name in fastimagezmq.__all__
    if not name.startswith("__") and not inspect.ismodule(getattr(fastimagezmq, name))
]
CLASSES = {name: getattr(fastimagezmq, name) for name in PUBLIC}
CLASSES = {name: kind for name, kind in CLASSES.items() if inspect.isclass(kind)}
ERRORS = {name: kind for name, kind in CLASSES.items() if issubclass(kind, Exception)}


def own_members(kind: type) -> dict[str, Any]:
    """Give the public members that this package defines, those of base classes included."""
    members: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.split(".")[0] == "fastimagezmq":
            members |= {name: what for name, what in vars(base).items() if name[0] != "_"}
            if dataclass_fields := getattr(base, "__dataclass_fields__", None):
                members |= dict.fromkeys(dataclass_fields)
    return members


def callables() -> dict[str, Any]:
    """Give each documented callable by the title of its section."""
    found: dict[str, Any] = {}
    for name in PUBLIC:
        thing = getattr(fastimagezmq, name)
        if name in ERRORS:
            continue
        if not inspect.isclass(thing):
            found[name] = thing
            continue
        own = [base for base in thing.__mro__ if base.__module__.startswith("fastimagezmq")]
        fields_only = issubclass(thing, tuple) or hasattr(thing, "__dataclass_fields__")
        if not fields_only and any(inspect.isfunction(vars(base).get("__init__")) for base in own):
            found[name] = thing
        for member, what in own_members(thing).items():
            if inspect.isroutine(what):
                bound = what.__get__(None, thing) if isinstance(what, classmethod) else what
                found[f"{name}.{member}"] = bound
    return found


def test_every_public_name_is_told() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in fastimagezmq.__all__:
        assert f"`{name}`" in text, f"docs/api.md does not mention {name}"
    for name in PUBLIC:
        assert name in ERRORS or name in API, f"docs/api.md has no section {name}"


def test_what_is_looked_at_is_there() -> None:
    """Guards the tests below against looking at nothing."""
    found = callables()
    for name in (
        "ImageSender",
        "ImageHub",
        "Frame",
        "ImageSender.send_image",
        "ImageHub.recv_frame",
        "ImageHub.close",
        "SerializingSocket.send_array",
        "SerializingContext.close_all",
        "Lease.tobytes",
        "encode_jpeg",
        "decode_jpeg",
        "jpeg_info",
    ):
        assert name in found
    assert "HubStats" not in found
    assert set(ERRORS) >= {"Error", "WireError"}


@pytest.mark.parametrize("name", list(callables()))
def test_every_parameter_is_told_with_its_default(name: str) -> None:
    assert name in API, f"docs/api.md has no section {name}"
    parameters = [
        parameter
        for parameter in inspect.signature(callables()[name]).parameters.values()
        if parameter.name != "self"
        # *args and **kwargs are handed on to pyzmq's own class.
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    rows = {code(row["parameter"])[0]: row for row in rows_with(API[name], "parameter")}
    assert list(rows) == [parameter.name for parameter in parameters]
    for parameter in parameters:
        row = rows[parameter.name]
        assert row["type"], f"{name}: {parameter.name} has no type"
        assert row["meaning"], f"{name}: {parameter.name} has no meaning"
        if parameter.default is inspect.Parameter.empty:
            assert row["default"] == "required", parameter.name
        else:
            told = eval(code(row["default"])[0], {"numpy": np})
            assert told == parameter.default, parameter.name


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in ERRORS])
def test_every_attribute_is_told(name: str) -> None:
    kind = CLASSES[name]
    expected = {
        member
        for member, what in own_members(kind).items()
        if not inspect.isroutine(what) and member not in ("count", "index")
    }
    if name in ("ImageSender", "ImageHub"):
        expected |= {"zmq_socket", "zmq_context"}
    section = API[name]
    rows = rows_with(section, "attribute") + rows_with(section, "field")
    assert {code(next(iter(row.values())))[0] for row in rows} == expected


def test_every_section_is_of_something_that_exists() -> None:
    for title in API:
        owner, _, member = title.partition(".")
        if member and owner in CLASSES:
            assert member in own_members(CLASSES[owner]), title


def test_errors_and_what_else_they_are() -> None:
    rows = {code(row["class"])[0]: row for row in rows_with(API["Errors"], "class")}
    assert set(rows) == set(ERRORS)
    for name, row in rows.items():
        told = {eval(base, vars(fastimagezmq)) for base in code(row["is also"])}
        assert all(issubclass(ERRORS[name], base) for base in told)
        bases = {base for base in ERRORS[name].__bases__ if base is not Exception}
        own = {base for base in bases if base.__name__[0] != "_"}
        assert told >= own, f"{name} is also {own - told}"
        for kind in (ValueError, zmq.ZMQError):
            assert issubclass(ERRORS[name], kind) == (kind in told)


def test_colour_spaces_and_picamera2s_names() -> None:
    rows = rows_with(API["Colour spaces"], "name")
    names = [code(row["name"])[0] for row in rows]
    theirs = [code(row["picamera2's name"])[0] for row in rows if row["picamera2's name"]]
    assert {*names, *theirs} == set(_codec.COLORSPACES)
    orders = {"blue": 0, "green": 1, "red": 2}
    red, green, blue = 200, 90, 10
    for row in rows:
        order = row["bytes of a pixel in memory"].split(", ")
        if order[0] not in orders:
            continue
        values = {"red": red, "green": green, "blue": blue, "unused": 77}
        picture = np.empty((16, 16, len(order)), np.uint8)
        picture[:] = [values[channel] for channel in order]
        for name in (code(row["name"])[0], code(row["picamera2's name"])[0]):
            jpeg = fastimagezmq.encode_jpeg(picture, 100, subsampling="444", colorspace=name)
            pixel = fastimagezmq.decode_jpeg(jpeg, colorspace="BGR")[8, 8].astype(int)
            assert np.abs(pixel - [blue, green, red]).max() <= 3, name


def test_every_command_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    printed = capsys.readouterr().out
    commands = re.findall(r"(?m)^ {4}([a-z]\w*)\b", printed)
    assert "run" in commands
    told = " ".join(code(API["Command line"]))
    for word in [*commands, *re.findall(r"--[a-z-]+", printed)]:
        assert re.search(rf"(?<!\w){word}\b", told), f"docs/api.md does not mention {word}"


def test_the_closing_time_is_told() -> None:
    told = f"{sockets.CLOSE_SECONDS:g} seconds"
    for title in ("What close() promises", "SerializingSocket.close"):
        assert told in API[title]


# --- docs/wire.md: every byte --------------------------------------------------------

WIRE = sections_of(DOCS / "wire.md")
PICTURE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
BLACK = np.zeros((16, 16, 3), np.uint8)


def undumped(text: str) -> tuple[bytes, bool]:
    """Read a dump as hexdump -C prints it; the second is whether it goes on ("...")."""
    data = b""
    *rows, last = text.splitlines()
    for row in rows:
        match = re.fullmatch(r"([0-9a-f]{8})  ((?:[0-9a-f]{2} {1,2})+) *\|(.*)\|", row)
        assert match, f"not a line of a dump: {row}"
        assert int(match[1], 16) == len(data), row
        some = bytes.fromhex(match[2])
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in some)
        assert match[3] == shown, row
        data += some
    if last == "...":
        return data, True
    assert int(last, 16) == len(data)
    return data, False


def sent(send: Callable[[Any], Any], reply: bytes, **options: Any) -> tuple[list[bytes], Any]:
    """Give the parts of the message that a REQ sender sends, and what it makes of a reply."""
    returned: list[Any] = []
    with zmq.Context() as context, context.socket(zmq.REP) as hub:
        hub.rcvtimeo = 10_000
        hub.bind("tcp://127.0.0.1:*")

        def run() -> None:
            with fastimagezmq.ImageSender(hub.last_endpoint.decode(), **options) as sender:
                returned.append(send(sender))

        thread = threading.Thread(target=run)
        thread.start()
        parts = hub.recv_multipart()
        hub.send(reply)
        thread.join()
    return parts, returned[0]


def send_pixels(sender: Any) -> Any:
    return sender.send_image("cam", PICTURE)


def send_big_endian(sender: Any) -> Any:
    return sender.send_image({"id": 7, "name": "Küche"}, np.array([[1, 2], [3, 258]], ">u2"))


def send_blob(sender: Any) -> Any:
    return sender.send_jpg("cam", b"\xff\xd8\xff\xd9")


def send_colour(sender: Any) -> Any:
    return sender.send_image("cam", BLACK)


def send_gray(sender: Any) -> Any:
    return sender.send_image("cam", BLACK[..., 0])


EXAMPLES: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "pixels": (send_pixels, {}),
    "big-endian numbers": (send_big_endian, {}),
    "a blob": (send_blob, {}),
    "a JPEG picture": (send_colour, {"jpeg": 85}),
    "a stamped gray JPEG": (send_gray, {"jpeg": 85, "colorspace": "GRAY", "stamp": True}),
}


def test_every_example_on_the_wire_is_tested() -> None:
    titles = {title.partition(": ")[2] for title in WIRE if title.startswith("Example: ")}
    assert titles == {*EXAMPLES, "on the connection"}


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_the_examples_are_what_is_sent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        time = staticmethod(lambda: 1700000000.25)

    monkeypatch.setattr(image_sender, "time", Clock)
    found = blocks_of(WIRE[f"Example: {name}"])
    assert [block.language for block in found][:3] == ["json", "hexdump", "hexdump"]
    header, body, *replies = [undumped(block.text) for block in found[1:]]
    send, options = EXAMPLES[name]
    reply = replies[0][0] if replies else b"OK"
    parts, returned = sent(send, reply, **options)
    assert returned == reply
    assert header == (parts[0], False)
    assert found[0].text == parts[0].decode("ascii") + "\n"
    prefix, goes_on = body
    assert parts[1].startswith(prefix) if goes_on else parts[1] == prefix


def test_the_example_on_the_connection() -> None:
    dumps = [undumped(block.text)[0] for block in blocks_of(WIRE["Example: on the connection"])]
    expected, reply = dumps
    returned: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
            with fastimagezmq.ImageSender(address) as sender:
                returned.append(send_pixels(sender))

        thread = threading.Thread(target=run)
        thread.start()
        connection, _ = server.accept()
        with connection:
            connection.settimeout(10)
            # Greeting and READY of a REP socket, as ZMTP 3.0 says.
            connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(52, b"\0"))
            connection.sendall(b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REP")
            received = b""
            while not received.endswith(expected):
                some = connection.recv(4096)
                assert some, f"the connection ended after {received!r}"
                received += some
            # 64 bytes of greeting and one command, and then nothing but the message.
            command = received[64 : -len(expected)]
            assert command[:1] == b"\x04"
            assert len(command) == 2 + command[1]
            connection.sendall(reply)
            thread.join()
    assert returned == [b"OK"]


def test_headers_that_receivers_must_accept() -> None:
    [block] = [block for block in blocks_of(WIRE["As read"]) if block.language == "jsonl"]
    headers = block.text.splitlines()
    assert len(headers) >= 5
    for header in headers:
        json.loads(header)
        frame = wire.parse_frame([header.encode(), PICTURE.tobytes()])
        assert frame.message == "cam"
        assert frame.image.dtype == np.uint8
        assert (frame.image == PICTURE).all()


def test_keys_and_their_order() -> None:
    told = [code(row["key"])[0] for row in rows_with(WIRE["Keys"], "key")]
    before = Exchange(0, 1.5, 1.5, 1.75)
    pixels = json.loads(wire.pixels_header("m", np.dtype("u1"), (1,), 1.5, 0, before))
    blob = json.loads(wire.blob_header("m", wire.ENC_JPEG, 1.5, 0, before))
    assert set(told) == {*pixels, *blob}
    order = re.search(r"keys in the order (.*?), those", WIRE["As written"])
    assert order
    keys = code(order[1])
    assert keys == ["msg", "dtype", "shape", "enc", "ts", "seq", "echo"]
    assert list(pixels) == [key for key in keys if key != "enc"]
    assert list(blob) == [key for key in keys if key not in ("dtype", "shape")]


def test_values_of_enc() -> None:
    told = [code(row["`enc`"])[0] for row in rows_with(WIRE["JPEG pictures"], "`enc`")]
    assert told == [wire.ENC_JPEG, wire.ENC_JPEG_GRAY]


@pytest.mark.skipif(sys.byteorder != "little", reason="the names are those of such machines")
def test_dtypes_travel_under_the_names_in_the_table() -> None:
    rows = rows_with(WIRE["dtype"], "dtype")
    assert len(rows) > 20
    for row in rows:
        names, sizes = code(row["dtype"]), row["bytes"].split()
        for name, size in zip(names, sizes, strict=True):
            dtype = np.dtype(name)
            assert dtype.itemsize == int(size), name
            assert wire.checked_dtype(dtype) == name
            header = wire.parse_header(wire.pixels_header("m", dtype, (1,)))
            assert header.dtype == dtype
            big = "big-endian" in row["each number is"]
            assert (dtype.byteorder == ">") == big, name


@pytest.fixture
def refusing_hub() -> Iterator[Callable[..., bytes]]:
    """A hub that waits in recv_image; give it parts and it gives its reply."""
    with fastimagezmq.ImageHub("tcp://127.0.0.1:*", max_bytes=1_000_000) as hub:
        address = hub.zmq_socket.last_endpoint.decode()

        def serve() -> None:
            with contextlib.suppress(zmq.ContextTerminated):
                hub.recv_image()

        thread = threading.Thread(target=serve)
        thread.start()
        with zmq.Context() as context, context.socket(zmq.REQ) as sender:
            sender.rcvtimeo = 10_000
            sender.linger = 0
            sender.connect(address)

            def ask(*parts: bytes) -> bytes:
                sender.send_multipart(parts)
                return sender.recv()

            yield ask
        hub.close()
        thread.join()


def test_replies_to_malformed_messages(refusing_hub: Callable[..., bytes]) -> None:
    section = WIRE["Malformed messages"]
    rows = rows_with(section, "reply")
    assert len(rows) > 5
    for row in rows:
        body = bytes.fromhex("".join(code(row["body"])))
        reply = refusing_hub(code(row["header"])[0].encode(), body)
        assert reply.decode() == code(row["reply"])[0]
    for count in (1, 3):
        reply = refusing_hub(*[b'{"msg": "cam"}'] * count).decode()
        assert f"`{reply}`" in section.replace("\n", " ")


def test_limits_are_told() -> None:
    rows = {row["limit"]: int(row["value"]) for row in rows_with(WIRE["Limits"], "limit")}
    assert list(rows.values()) == [
        wire.MAX_HEADER_BYTES,
        wire.DEFAULT_MAX_BYTES,
        wire.MAX_DIMENSIONS,
        _codec.DEFAULT_MAX_PIXELS,
        65500,
    ]
    with pytest.raises(fastimagezmq.CodecError, match="wider or taller than 65500"):
        fastimagezmq.encode_jpeg(np.zeros((1, 65501, 3), np.uint8))


# --- docs/architecture.md: the arrows ------------------------------------------------


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_name(path): path for path in [*PACKAGE.rglob("*.py"), *PACKAGE.glob("*.pyx")]}


def imported(name: str, *, typing: bool) -> set[str]:
    """Give the modules of this package that a module imports.

    ``typing``: also those under ``if TYPE_CHECKING:``.
    """
    path = MODULES[name]
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":  # not Python: its imports are lines of a fixed form
        return set(re.findall(r"(?m)^from \.(\w+) import", text))
    tree = ast.parse(text)
    package = ["fastimagezmq", *path.relative_to(PACKAGE).parts[:-1]]
    found: set[str] = set()

    def take(target: list[str]) -> None:
        if target[:1] == ["fastimagezmq"]:
            found.add(".".join(target[1:]) or "__init__")

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing:
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                take(alias.name.split("."))
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            for alias in node.names:
                submodule = ".".join([*base[1:], alias.name])
                take([*base, alias.name] if submodule in MODULES else base)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return found - {name}


def test_the_layers_are_the_imports() -> None:
    rows = rows_with((DOCS / "architecture.md").read_text(encoding="utf-8"), "module")
    told = {code(row["module"])[0]: code(row["imports"]) for row in rows}
    assert set(told) == set(MODULES)
    for name, imports in told.items():
        assert set(imports) == imported(name, typing=False), name
    order = list(told)
    for name in order:
        for other in imported(name, typing=True):
            assert order.index(other) > order.index(name), f"{name} imports {other}: upward"


def test_modules_that_speak_to_zeromq_are_told() -> None:
    rows = rows_with((DOCS / "architecture.md").read_text(encoding="utf-8"), "module")
    told = {code(row["module"])[0] for row in rows if row["zmq"] == "yes"}
    assert told == {
        name
        for name, path in MODULES.items()
        if re.search(r"(?m)^import zmq\b", path.read_text(encoding="utf-8"))
    }


def test_the_native_layers_are_the_includes() -> None:
    rows = rows_with((DOCS / "architecture.md").read_text(encoding="utf-8"), "file")
    told = {code(row["file"])[0]: code(row["includes"]) for row in rows}
    included: dict[str, set[str]] = {}
    for path in (PACKAGE / "native").glob("*.[ch]"):
        names = re.findall(r'(?m)^#include "(\w+)\.h"', path.read_text(encoding="utf-8"))
        included.setdefault(path.stem, set()).update(set(names) - {path.stem})
    assert {name: set(names) for name, names in told.items()} == included
    order = list(told)
    assert all(order.index(other) > order.index(name) for name in order for other in told[name])


def test_this_files_own_reading_of_markdown() -> None:
    text = (
        "# A\n\n<!-- complete -->\n```python\n# no heading\n```\n"
        "| `a\\|b` | c |\n| --- | --- |\n| 1 | 2 |\n"
    )
    assert headings_of(text) == ["A"]
    assert blocks_of(text) == [Block("python", "# no heading\n", COMPLETE, 5)]
    assert tables_of(text) == [[{"`a|b`": "1", "c": "2"}]]
    with pytest.raises(AssertionError):
        undumped("00000000  41 42                                             |AC|\n00000002\n")
    with pytest.raises(AssertionError):
        undumped("00000000  41 42                                             |AB|\n00000003\n")
    assert undumped("00000000  41 42   |AB|\n...\n") == (b"AB", True)
