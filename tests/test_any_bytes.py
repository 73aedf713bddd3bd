"""Bytes from outside: the fuzzers' seeds and finds, and a hundred thousand mutated messages."""

from __future__ import annotations

import gc
import json
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from any_bytes import any_jpeg, any_key_file, any_message, any_picture
from fastimagezmq import encode_jpeg, wire
from fastimagezmq.clocks import Exchange
from photos import crop
from test_codec_hostile import resident

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS = Path(__file__).parent / "fuzz" / "seeds"
SEPARATOR = b"\n--\n"  # as fuzz/python_target.py's
COUNT = 100_000

Parts = list[bytes]


# --- what fuzzers begin with, and what they have found ------------------------------


def seeds(folder: str) -> list[Any]:
    paths = sorted((SEEDS / folder).iterdir())
    assert paths
    return [pytest.param(path.read_bytes(), id=path.name) for path in paths]


@pytest.mark.parametrize("data", seeds("message"))
def test_messages(data: bytes) -> None:
    any_message(data.split(SEPARATOR))


@pytest.mark.parametrize("data", seeds("jpeg"))
def test_jpegs(data: bytes) -> None:
    any_jpeg(data)


@pytest.mark.parametrize("data", seeds("picture"))
def test_pictures(data: bytes) -> None:
    any_picture(data)


@pytest.mark.parametrize("data", seeds("key_file"))
def test_key_files(data: bytes, tmp_path: Path) -> None:
    any_key_file(data, tmp_path / "keys")


def test_seeds_are_of_every_kind_and_small() -> None:
    files = [path for path in SEEDS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 32_000
    assert {path.name for path in (SEEDS / "jpeg").iterdir() if any_jpeg(path.read_bytes())} >= {
        "420", "422", "444", "gray", "restarts", "gray-restarts", "progressive", "gray-progressive"
    }  # fmt: skip
    messages = {path.name: path.read_bytes() for path in (SEEDS / "message").iterdir()}
    whole = {name for name, data in messages.items() if any_message(data.split(SEPARATOR))}
    assert whole >= {"raw", "float", "stamped", "rest", "time", "jpeg", "jpeg-gray", "jpeg-plain"}


# --- mutated messages ----------------------------------------------------------------


def real_messages() -> list[Parts]:
    """Of each kind that a sender writes."""
    u1, picture = np.dtype("u1"), crop(24, 20)
    gray = encode_jpeg(picture[..., 1], colorspace="GRAY", subsampling="gray")
    before = Exchange(6, 1e9 + 0.5, 1e9 + 0.51, 1e9 + 0.6)
    return [
        [wire.pixels_header("cam", u1, picture.shape), picture.tobytes()],
        [wire.pixels_header({"n": [1, None]}, np.dtype(">u2"), (4, 5)), bytes(40)],
        [wire.pixels_header("a", np.dtype("<f8"), (2, 3), 1e9 + 1, 7, before), bytes(48)],
        [wire.pixels_header("b", np.dtype("<M8[ns]"), (3,)), bytes(24)],
        [wire.pixels_header("c", np.dtype("<U2"), (2,)), "abcd".encode("utf-32-le")],
        [wire.blob_header("cam", wire.ENC_JPEG), bytes(encode_jpeg(picture))],
        [wire.blob_header("cam", wire.ENC_JPEG, 1e9, 3), bytes(encode_jpeg(crop(20, 60), 40))],
        [wire.blob_header(1.5, wire.ENC_JPEG_GRAY), bytes(gray)],
        [wire.blob_header("k\u00fc"), bytes(encode_jpeg(picture, restart_rows=0))],
        [wire.blob_header("note"), b"no picture at all"],
    ]


NOTABLE = (0x00, 0x01, 0x7F, 0x80, 0xFF, 0x22, 0x5C, 0x7B, 0xD8, 0xD9, 0xDA)
VALUES = (
    None, True, 0, -1, 1, 2**31, 2**63 - 1, 2**63, 10**400, 1.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "x", "uint8", "|u1", "<f4", ">c16", "O", "V4", "i4,f4", "S5", "<U3", "m8[7D]",
    "jpeg", "jpeg-gray", "\ud800", [], [0], [-1], [-1, -1], [2, -1], [1] * 33, [2**62, 2**62, 0],
    {}, {"msg": 1},
)  # fmt: skip
NUMBERS = (0, -1, 0.5, 1e9, 2**53, 2**63, -1e308, 1e308, 1.1e308, 10**400, float("nan"))
NAMES = ("msg", "dtype", "shape", "enc", "ts", "seq", "echo", "", "x", "\u0000")


def flip(parts: Parts, some: random.Random) -> None:
    at = some.randrange(len(parts))
    changed = bytearray(parts[at])
    for _ in range(min(some.randint(1, 4), len(changed))):
        where = some.randrange(len(changed))
        changed[where] = some.choice(NOTABLE) if some.random() < 0.5 else some.randrange(256)
    parts[at] = bytes(changed)


def truncate(parts: Parts, some: random.Random) -> None:
    at = some.randrange(len(parts))
    parts[at] = parts[at][: some.randint(0, len(parts[at]))]


def remove(parts: Parts, some: random.Random) -> None:
    at = some.randrange(len(parts))
    start = some.randint(0, len(parts[at]))
    parts[at] = parts[at][:start] + parts[at][start + some.randint(0, 16) :]


def splice(parts: Parts, some: random.Random) -> None:
    """Put some of another message's part into one."""
    at, other = some.randrange(len(parts)), some.choice(some.choice(MESSAGES))
    start, end = (some.randint(0, len(parts[at])) for _ in range(2))
    first, last = sorted(some.randint(0, len(other)) for _ in range(2))
    parts[at] = parts[at][:start] + other[first:last] + parts[at][max(start, end) :]


def other_body(parts: Parts, some: random.Random) -> None:
    parts[-1] = some.choice(MESSAGES)[-1]


def duplicate(parts: Parts, some: random.Random) -> None:
    parts.insert(some.randint(0, len(parts)), some.choice(parts))


def drop(parts: Parts, some: random.Random) -> None:
    del parts[some.randrange(len(parts))]
    if not parts:
        parts.append(b"")


def swap(parts: Parts, some: random.Random) -> None:
    parts.reverse()


def change_field(parts: Parts, some: random.Random) -> None:
    """Change the header as JSON: a value, a name, an entry more, one less."""
    try:
        fields = json.loads(parts[0])
    except (ValueError, RecursionError):
        return
    if not isinstance(fields, dict):
        return
    value = some.choice(VALUES)
    names = list(fields) or [""]
    match some.randrange(6):
        case 0:
            fields[some.choice(names)] = value
        case 1:
            fields[some.choice(NAMES)] = value
        case 2:
            fields |= {"seq": 7, "ts": some.choice(NUMBERS)}
            fields["echo"] = [6, *some.choices(NUMBERS, k=3)]
        case 3:
            fields.pop(some.choice(names), None)
        case 4:
            fields[some.choice(NAMES)] = fields.pop(some.choice(names), value)
        case _:  # within a list
            lists = [held for held in fields.values() if isinstance(held, list)]
            if lists:
                some.choice(lists).insert(some.randrange(3), value)
    parts[0] = json.dumps(fields).encode()


def nest(parts: Parts, some: random.Random) -> None:
    depth = some.choice((2, 60, 5000))
    parts[0] = b'{"msg": ' + b"[" * depth + parts[0] + b"]" * depth + b"}"


MESSAGES = real_messages()
MUTATIONS: list[Callable[[Parts, random.Random], None]] = [
    flip, flip, flip, truncate, remove, splice, other_body, duplicate, drop, swap,
    change_field, change_field, change_field, change_field, nest,
]  # fmt: skip


def test_a_hundred_thousand_mutated_messages() -> None:
    some = random.Random(20261125)
    frames = settled = 0
    for number in range(COUNT):
        parts = list(some.choice(MESSAGES))
        for _ in range(some.choice((1, 1, 1, 2, 3))):
            some.choice(MUTATIONS)(parts, some)
        try:
            frames += any_message(parts)
        except BaseException:
            sys.stderr.write(f"message {number}: {parts!r:.2000}\n")
            raise
        if number == COUNT // 5 and sys.platform == "linux":
            gc.collect()
            settled = resident()
    assert COUNT * 0.1 < frames < COUNT * 0.9  # both are tried
    if sys.platform == "linux":
        gc.collect()
        assert resident() - settled < 8 << 20
