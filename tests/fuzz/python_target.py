"""A target of atheris: python_target.py NAME, then options and folders as libFuzzer takes them.

What must hold is told in tests/any_bytes.py, whose folder is in PYTHONPATH, and how the extensions
get instrumented in scripts/fuzz.sh.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fastimagezmq"]):
    import any_bytes

SEPARATOR = b"\n--\n"
"""What stands between the parts of a message in a file of the corpus."""


def message(data: bytes) -> None:
    """Take the bytes for the parts of a message."""
    any_bytes.any_message(data.split(SEPARATOR))


def jpeg(data: bytes) -> None:
    """Take the bytes for a JPEG."""
    any_bytes.any_jpeg(data)


def picture(data: bytes) -> None:
    """Take the bytes for an array to encode."""
    any_bytes.any_picture(data)


def key_file(data: bytes) -> None:
    """Take the bytes for a file of keys."""
    any_bytes.any_key_file(data, KEY_FILE)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        KEY_FILE = Path(folder, "keys")
        name, *rest = sys.argv[1:]
        atheris.enabled_hooks.add("RegEx")
        atheris.Setup(
            [sys.argv[0], *rest], {f.__name__: f for f in (message, jpeg, picture, key_file)}[name]
        )
        atheris.Fuzz()
