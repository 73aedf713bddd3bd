"""How a default sender gets over dying hubs and a bad network: the figures of make soak.

``soak_recovery.py [KILLS [FRAMES]]`` prints the rows of the table in docs/reliability.md and
ends with status 1 when a frame was corrupt, lost, answered out of order, or held up for longer
than ``HANG_SECONDS``.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import statistics
import sys
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fastimagezmq import HubTimeout, ImageSender
from processes import PEERS, Peer
from relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator

HANG_SECONDS = 20.0
PORT = 25555
ADDRESS = f"tcp://127.0.0.1:{PORT}"
LIBRARIES = itertools.cycle(("fastimagezmq", "imagezmq"))


def frames(size: int) -> Iterator[tuple[list[int], np.ndarray[Any, Any]]]:
    """Give messages and pixels that a mortal hub can check, without end."""
    pixels = np.random.default_rng(1).integers(0, 256, size + 256, np.uint8)
    for number in itertools.count():
        image = pixels[number % 256 :][:size]
        yield [number, zlib.crc32(image.tobytes())], image


def killed_hubs(count: int) -> bool:
    """Kill the hub of a streaming sender again and again."""
    answered: list[float] = []
    ended = threading.Event()

    def stream(sender: ImageSender) -> None:
        for message, image in frames(640 * 480 * 3):
            sender.send_image(message, image)
            answered.append(time.monotonic())
            if ended.is_set():
                return

    seconds: list[float] = []
    wrong = hangs = 0
    sender = ImageSender(ADDRESS)
    streaming = threading.Thread(target=stream, args=(sender,), daemon=True)
    streaming.start()
    for number in range(count + 1):
        with Peer(PEERS / "mortal_hub.py", next(LIBRARIES), ADDRESS, 0.005) as hub:
            since = hub.hear()["since"]
            deadline = time.monotonic() + HANG_SECONDS
            while not (answered and answered[-1] > since) and time.monotonic() < deadline:
                time.sleep(0.002)
            came = [moment for moment in answered if moment > since]
            hangs += not came
            if came and number:  # the first hub was waited for, not recovered from
                seconds.append(came[0] - since)
            for _ in range(3):
                wrong += not hub.hear()[1]
            time.sleep(random.uniform(0, 0.1))
            if number == count:
                ended.set()
                streaming.join(HANG_SECONDS)
                hangs += streaming.is_alive()
        time.sleep(random.choice((0, 0.1, 0.3, 1.0)))  # how long nobody listens
    sender.close()
    print(
        f"| hub killed {count} times, restarted after 0 to 1 s | {len(seconds)} recoveries,"
        f" p50 {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s;"
        f" {sender.stats().resent} frames sent again, {wrong} corrupt, {hangs} hangs |",
        flush=True,
    )
    return not wrong and not hangs and len(seconds) == count


def bad_network(count: int, in_flight: int) -> bool:
    """Send frames through a relay that stalls, cuts and resets, also within a frame."""
    size = 100_000
    port = PORT + 1
    corrupt = hangs = faults = 0
    heard: list[int] = []
    replies: list[bytes | None] = []
    longest = 0.0
    with (
        Peer(PEERS / "mortal_hub.py", next(LIBRARIES), f"tcp://127.0.0.1:{port}") as hub,
        Relay(port) as relay,
        ImageSender(relay.address, timeout=HANG_SECONDS, in_flight=in_flight) as sender,
    ):
        hub.hear()
        for message, image in itertools.islice(frames(size), count):
            abruptly = random.random() < 0.5
            match random.randrange(100):
                case 0:
                    relay.cut(abruptly=abruptly)
                case 1 | 2:
                    relay.cut_after(random.randrange(1, 2 * size), abruptly=abruptly)
                case 3:
                    relay.stall()
                    threading.Timer(random.uniform(0, 0.5), relay.flow).start()
                case 4:  # at any moment of this frame: also when its reply is on the way
                    cut = functools.partial(relay.cut, abruptly=abruptly)
                    threading.Timer(random.uniform(0, 0.005), cut).start()
                case _:
                    faults -= 1
            faults += 1
            began = time.monotonic()
            try:
                replies.append(sender.send_image(message, image))
            except HubTimeout:
                hangs += 1
            longest = max(longest, time.monotonic() - began)
            if in_flight > 1:
                replies[-1:] = sender.replies()
        relay.flow()
        hangs += not sender.flush(HANG_SECONDS)
        replies += sender.replies()
        with contextlib.suppress(AssertionError):
            while True:
                (number, _), right = hub.hear(1)
                heard.append(number)
                corrupt += not right
        resent = sender.stats().resent
    lost = count - len(set(heard))
    misplaced = sum(reply != b"got %d" % number for number, reply in enumerate(replies))
    doubles = len(heard) - len(set(heard))
    print(
        f"| {count} frames of {size} bytes, {in_flight} in flight, through a relay with {faults}"
        f" faults | {corrupt} corrupt, {lost} lost, {misplaced} wrong replies, {hangs} hangs,"
        f" {resent} sent again, {doubles} arrived twice, the slowest took {longest:.2f} s |",
        flush=True,
    )
    return not (corrupt or hangs or lost or misplaced)


def main() -> int:
    """Print the table's rows; 1 if something went wrong."""
    kills, count = [int(argument) for argument in sys.argv[1:3]] or (100, 10_000)
    random.seed(1)
    results = [killed_hubs(kills), bad_network(count, 1), bad_network(count, 4)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
