"""The gate of an endpoint."""

from __future__ import annotations

import threading
import time

from fastimagezmq._gate import Gate
from processes import beside


def test_who_waits_at_a_gate_gets_in_before_who_leaves_it_comes_back() -> None:
    gate = Gate()
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            gate.enter()
            time.sleep(0.001)
            gate.leave()

    with beside(come_and_go):
        began = time.monotonic()
        for _ in range(20):
            assert gate.try_enter(5)
            gate.leave()
        seconds = time.monotonic() - began
        over.set()
    assert seconds < 2
