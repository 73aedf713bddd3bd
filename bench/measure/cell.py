"""One cell: a sender and a hub in two fresh processes on loopback."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from .children import Child, hear_any
from .ends import be_hub, be_sender

if TYPE_CHECKING:
    from ..peers import Setting

_GRACE_SECONDS = 45  # to start, to warm up, and to end


def run(
    peer: str,
    setting: Setting,
    pictures: str,
    seconds: float,
    rate: float | None = None,
) -> dict[str, Any]:
    """Measure a cell once.

    Args:
        peer: one of the modules in ``peers``, without its ``with_``.
        setting: what is sent, and how.
        pictures: a .npy file of shape (n, h, w, 3), uint8, in B, G, R: sent in turn.
        seconds: how long frames are sent.
        rate: frames a second to send; None is as many as possible.

    Returns:
        frames/s; CPU seconds a frame, and peak resident bytes, of either side; latency in
        seconds from before the encoding to after the decoding, by one clock; how many
        frames were sent and came.

    Raises:
        ChildError: a process failed, died or hung.
    """
    deadline = time.monotonic() + seconds + _GRACE_SECONDS
    with (
        Child("hub", be_hub, peer, setting, None) as hub,
        Child("sender", be_sender, peer, setting, pictures, seconds, rate) as sender,
    ):
        if setting.replies:
            sender.tell(hub.hear(deadline))
        else:
            hub.tell(sender.hear(deadline))
            hub.hear(deadline)
            sender.tell("the hub hears")
        told: dict[str, Any] = {}
        while len(told) < 2:
            waiting = [child for child in (hub, sender) if child.name not in told]
            # (The hub is listened to as well while the sender works: it may die first.)
            child, what = hear_any(waiting, deadline)
            told[child.name] = what
        sender.tell("end")
        hub.tell("end")
    return figures_of(told["sender"], told["hub"], setting)


def figures_of(sent: dict[str, Any], received: dict[str, Any], setting: Setting) -> dict[str, Any]:
    """Make figures, as ``run`` tells them, of what the two ends have told."""
    left, came = sent["left"], received["came"]
    latencies = [when - left[number] for number, when in came if number < len(left)]
    if setting.replies:
        rate = len(left) / sent["took"]
    else:
        between = came[-1][1] - came[0][1] if len(came) > 1 else 0.0
        rate = (len(came) - 1) / between if between else 0.0
    p50, p99 = np.percentile(latencies, [50, 99]).tolist() if latencies else (None, None)
    return {
        "rate": rate,
        "sender_cpu": sent["cpu"] / len(left),
        "hub_cpu": received["cpu"] / max(1, len(came)),
        "latency_p50": p50,
        "latency_p99": p99,
        "sender_peak": sent["peak"],
        "hub_peak": received["peak"],
        "sent": len(left),
        "came": len(came),
    }
