"""The table of newest frames, and the scanner that tells their cameras: `native/` by itself."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from fastimagezmq import _libzmq


def test_the_table_by_itself() -> None:
    table = _libzmq.Newest(2, False)
    ticket = _libzmq.Ticket.of_key
    assert table.take(0) is None
    assert table.put(ticket(b"a"), 1) is None
    assert table.put(ticket(b"a"), 2) == 1
    assert table.put(ticket(b"b"), 3) is None
    assert table.put(ticket(b"c"), 4) == 2  # a was seen longest ago
    assert table.take(0) == (b"b", 2, 3)
    assert table.delivered == (b"b", 2, 3)
    table.settled()
    assert table.delivered is None
    assert table.poll(0)
    assert table.counts() == (2, 1, 0)
    assert table.cameras() == [(b"c", 1, 0, 0, None), (b"b", 1, 1, 0, None)]
    table.close()
    assert table.put(ticket(b"c"), 5) == 5
    with pytest.raises(zmq.ContextTerminated):
        table.take(0)
    with pytest.raises(TypeError):
        _libzmq.Newest(2, True).put(ticket(b"a"), 1)
    with pytest.raises(TypeError):
        _libzmq.Drain(table, False)
    with pytest.raises(TypeError):
        _libzmq.Arrival()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
NAMES = st.sampled_from(["msg", "seq", "ts", "enc", "name", "", 'm"sg', "\\", "{"]) | st.text()


@given(
    st.lists(st.tuples(NAMES, JSON), max_size=6),
    JSON,
    st.sampled_from([(", ", ": "), (",", ":"), (" ,\n", "\t:\r")]),
    st.booleans(),
)
def test_a_header_is_read_as_a_parser_reads_it(
    fields: list[tuple[str, Any]], message: Any, separators: tuple[str, str], ascii_only: bool
) -> None:
    comma, colon = separators

    def dump(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, separators=separators)

    texts = [f"{dump(name)}{colon}{dump(value)}" for name, value in [*fields, ("msg", message)]]
    header = (" {" + comma.join(texts) + "}\n").encode("utf-8", "surrogatepass")
    ticket = _libzmq.Ticket(header)
    assert ticket.key.decode("utf-8", "surrogatepass") == dump(message)
    names = [name for name, _ in fields]
    by_name = _libzmq.Ticket(
        f'{{"msg": {{{comma.join(texts)}}}}}'.encode("utf-8", "surrogatepass"),
        None,
        json.dumps(names[0])[1:-1].encode() if names else b"absent",
    )
    if ascii_only:
        expected = dict(fields) | {"msg": message}
        value = expected[names[0]] if names else None
        assert by_name.key.decode() == dump(value)


def test_a_name_may_be_spelled_in_escapes() -> None:
    assert _libzmq.Ticket(rb'{"\u006dsg": 1}').key == b"1"
    assert _libzmq.Ticket(rb'{"\u006Dsg": 1, "msg": "2"}').key == b'"2"'
    assert _libzmq.Ticket(rb'{"\u00zzsg": 1}').key == b""
    assert _libzmq.Ticket(rb'{"\msg": 1}').key == b""


@given(st.binary(max_size=60) | st.text('{}[]",:\\msg 1u0', max_size=60).map(str.encode))
def test_other_bytes_are_passed_over(data: bytes) -> None:
    """In whatever it finds, it stays within the bytes: see `make test-native`."""
    key = _libzmq.Ticket(data, b"1.2.3.4", b"msg").key
    with contextlib.suppress(ValueError, RecursionError):
        fields = json.loads(data)
        assert (key != b"") == (isinstance(fields, dict) and "msg" in fields)
