"""How old what arrives is, and what memory that takes, for a part of a minute each.

``make soak`` has the same for a minute, with figures. What is asserted leaves room for a busy
machine.
"""

from __future__ import annotations

import statistics
import sys

import pytest

from freshness import slow_link, slow_subscriber, stalled_hub

SECONDS = 15.0
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc"),
]


def test_two_frames_a_second_of_a_hundred_at_720p() -> None:
    seen = slow_subscriber("fastimagezmq", SECONDS)
    assert statistics.median(seen.ages) < 0.1
    assert seen.hub_grew < 40e6


def test_a_link_of_8_mbit_a_second() -> None:
    seen, _ = slow_link("fastimagezmq", SECONDS, sndhwm=4)
    assert max(seen.ages) < 5
    assert seen.publisher_grew < 40e6


def test_raw_1080p_to_a_hub_that_stands_still() -> None:
    assert stalled_hub(SECONDS).publisher_grew < 150e6
