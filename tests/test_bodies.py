"""Whose memory goes into a message: own, immutable, or a leased copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastimagezmq import _codec
from fastimagezmq.transport import bodies

FIXED = b"0123456789ab"


def views_of(owner: Any) -> list[Any]:
    array = np.frombuffer(owner, np.uint8)
    return [
        owner,
        memoryview(owner),
        array,
        array.reshape(3, 4),
        array.reshape(3, 4)[1:, ::2],
        memoryview(array)[2:],
        np.asarray(memoryview(array)).reshape(2, 6).T,
    ]


@pytest.mark.parametrize("index", range(7))
def test_what_ends_in_bytes_cannot_change(index: int) -> None:
    assert bodies.is_immutable(views_of(FIXED)[index])


@pytest.mark.parametrize("index", range(7))
def test_what_ends_elsewhere_can(index: int) -> None:
    assert not bodies.is_immutable(views_of(bytearray(FIXED))[index])


def test_a_read_only_view_of_a_writable_array_can_change() -> None:
    array = np.zeros(12, np.uint8)
    view = array[:]
    view.flags.writeable = False
    assert not bodies.is_immutable(view)
    assert not bodies.is_immutable(memoryview(view).toreadonly())
    array.flags.writeable = False
    assert not bodies.is_immutable(array)  # its owner can make it writable again


def test_a_finished_lease_cannot_change() -> None:
    assert bodies.is_immutable(_codec.encode_jpeg(np.zeros((8, 8, 3), np.uint8)))
    assert not bodies.is_immutable(_codec.lease(8))


@given(hnp.arrays(hnp.integer_dtypes(), hnp.array_shapes(min_dims=0, min_side=0)), st.booleans())
def test_leased_copies_are_equal_and_apart(array: Any, transposed: bool) -> None:
    view = array.T if transposed else array
    copy = bodies.leased_copy(view)
    assert bytes(copy) == view.tobytes()
    before = bytes(copy)
    array.fill(7)
    assert bytes(copy) == before


@pytest.mark.parametrize("blob", [b"abc", bytearray(b"abc"), memoryview(b"abcabc")[::2]])
def test_leased_copies_and_bodies_of_blobs(blob: Any) -> None:
    contiguous = bodies.of_blob(blob)
    assert bytes(contiguous) == bytes(blob)
    assert bytes(bodies.leased_copy(contiguous)) == bytes(blob)


def test_a_contiguous_array_is_not_copied() -> None:
    array = np.zeros((4, 5, 3), np.uint8)
    assert np.shares_memory(bodies.of_array(array), array)
    assert isinstance(bodies.of_array(array[:, ::-1]), _codec.Lease)


def test_subclasses_of_ndarray_are_plain_inside() -> None:
    class Odd(np.ndarray):
        def reshape(self, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError

    array = np.arange(6, dtype=np.uint8).view(Odd)
    assert bytes(memoryview(bodies.of_array(bodies.checked_array(array)))) == bytes(range(6))
    masked = np.ma.masked_array(np.arange(3, dtype=np.uint8), mask=[True, False, True])
    assert bytes(memoryview(bodies.of_array(bodies.checked_array(masked)))) == bytes(range(3))
