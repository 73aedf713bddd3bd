"""Leases: whose memory it is and when it goes back."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastimagezmq import _codec
from fastimagezmq._codec import lease, pool_stats, pool_trim


def test_a_lease_is_a_writable_buffer_of_its_size() -> None:
    block = lease(1000)
    view = memoryview(block)
    assert (view.format, view.shape, view.readonly, view.contiguous) == ("B", (1000,), False, True)
    assert len(block) == block.nbytes == 1000
    assert block.readonly is False
    view[:] = bytes(range(250)) * 4
    assert bytes(block) == block.tobytes() == bytes(range(250)) * 4
    assert repr(block) == "<fastimagezmq.Lease of 1000 bytes, writable>"


def test_an_encoded_lease_is_read_only() -> None:
    block = _codec.encode_jpeg(np.zeros((8, 8, 3), np.uint8))
    assert block.readonly is True
    assert memoryview(block).readonly
    assert not np.frombuffer(block, np.uint8).flags.writeable
    assert repr(block).endswith("bytes, read-only>")
    with pytest.raises(BufferError):
        block.__buffer__(1)  # PyBUF_WRITABLE
    assert bytes(block.__buffer__(0)) == bytes(block)


@given(st.integers(0, 1 << 21))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_size_is_aligned_and_whole(nbytes: int) -> None:
    before = pool_stats().leases
    block = lease(nbytes)
    array = np.frombuffer(block, np.uint8)
    assert array.size == nbytes
    assert nbytes == 0 or array.ctypes.data % 64 == 0
    array[:] = 0xA5
    assert pool_stats().leases == before + 1
    del block, array
    assert pool_stats().leases == before


def test_the_block_stays_while_a_view_does() -> None:
    before = pool_stats().leases
    block = lease(5000)
    array = np.frombuffer(block, np.uint8)[100:200]
    array[:] = 7
    del block
    others = [lease(5000) for _ in range(10)]
    for other in others:
        np.frombuffer(other, np.uint8)[:] = 9
    assert (array == 7).all()
    assert pool_stats().leases == before + 11
    del array, others, other
    assert pool_stats().leases == before


def test_a_released_block_is_used_again() -> None:
    pool_trim()
    first = lease(70_000)
    address = np.frombuffer(first, np.uint8).ctypes.data
    del first
    stats = pool_stats()
    assert stats.idle_blocks == 1
    assert 70_000 <= stats.idle_bytes <= 70_000 * 1.25
    second = lease(70_001)
    assert np.frombuffer(second, np.uint8).ctypes.data == address
    assert pool_stats().reused == stats.reused + 1
    assert pool_stats().allocated == stats.allocated
    assert pool_stats().idle_blocks == 0


def test_trim_frees_what_is_idle_only() -> None:
    kept = lease(10_000)
    np.frombuffer(kept, np.uint8)[:] = 3
    lease(20_000)
    assert pool_stats().idle_blocks > 0
    pool_trim()
    assert pool_stats()[3:] == (0, 0)
    assert (np.frombuffer(kept, np.uint8) == 3).all()


def test_idle_memory_is_bounded_and_leases_are_not() -> None:
    pool_trim()
    many = [lease(4096) for _ in range(500)]
    assert pool_stats().leases >= 500
    del many
    assert pool_stats().idle_blocks <= 32
    large = [lease(100 << 20) for _ in range(4)]  # never touched: address space only
    assert len(large) == 4
    del large
    assert pool_stats().idle_bytes <= 256 << 20
    pool_trim()


@pytest.mark.parametrize("bad", [-1, -(10**30)])
def test_a_negative_size_is_refused(bad: int) -> None:
    with pytest.raises(ValueError, match=r"^a lease has 0 bytes or more, not -1"):
        lease(bad)


@pytest.mark.parametrize("bad", [None, 1.5, "8", b"8"])
def test_a_size_that_is_no_integer_is_refused(bad: object) -> None:
    with pytest.raises(TypeError, match="integer"):
        lease(bad)


@pytest.mark.parametrize("huge", [sys.maxsize, sys.maxsize + 1, 10**30, sys.maxsize // 2])
def test_more_than_there_is_ends_in_memory_error(huge: int) -> None:
    before = pool_stats()
    with pytest.raises(MemoryError):
        lease(huge)
    assert pool_stats() == before


def test_a_lease_cannot_be_made_or_copied_otherwise() -> None:
    told = r"^a Lease is made by lease\(nbytes\) and by encode_jpeg\(image\)$"
    with pytest.raises(TypeError, match=told):
        _codec.Lease()
    with pytest.raises(TypeError, match=told):
        _codec.Lease.__new__(_codec.Lease)
    with pytest.raises(TypeError):
        type("Other", (_codec.Lease,), {})
    with pytest.raises(TypeError):
        pickle.dumps(lease(3))


def test_a_lease_is_weakly_referable() -> None:
    block = lease(10)
    reference = weakref.ref(block)
    assert reference() is block
    del block
    assert reference() is None


def test_threads_lease_and_release_at_once() -> None:
    before = pool_stats().leases
    failures: list[str] = []

    def work(mark: int) -> None:
        kept = []
        for size in range(1, 400):
            array = np.frombuffer(lease(size * 97), np.uint8)
            array[:] = mark
            kept.append(array)
            if len(kept) > 5 and not (kept.pop(0) == mark).all():
                failures.append(f"thread {mark}: a block was given to two")

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert pool_stats().leases == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_can_encode_while_the_parent_does() -> None:
    image = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    expected = bytes(_codec.encode_jpeg(image))
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            _codec.decode_jpeg(_codec.encode_jpeg(image))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                fine = bytes(_codec.encode_jpeg(image)) == expected
                fine = fine and _codec.decode_jpeg(expected).shape == (64, 64, 3)
                os._exit(0 if fine else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    gc.collect()
