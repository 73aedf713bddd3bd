"""A SUB hub goes on after libzmq has cut a publisher: for a part too large, or for noise."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

from fastimagezmq import HubTimeout, ImageHub, ImageSender
from fastimagezmq.aio import AsyncImageHub
from fastimagezmq.transport import SerializingContext, SerializingSocket, cuts
from processes import PEERS, Peer
from rings import Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 100_000
AT_MOST = 10.0
"""Seconds until a frame comes again: ten times the longest pause."""

PACE = 100
LIBRARIES = ["fastimagezmq", "imagezmq"]
DESCRIPTORS = Path("/proc/self/fd")

both = pytest.mark.parametrize("latest", [False, True], ids=["plain", "latest"])


class Camera:
    """A PUB sender in a process of its own."""

    def __init__(self, peer: Peer) -> None:
        self.port: int = peer.hear()
        self._peer = peer

    def publish(self, size: int) -> int:
        """Have a frame of so many bytes published among the small ones; gives its number."""
        self._peer.tell(size)
        number: int = self._peer.hear()
        return number


@contextlib.contextmanager
def camera(
    name: str = "camera", *, library: str = "fastimagezmq", port: int | str = "*"
) -> Iterator[Camera]:
    with Peer(PEERS / "camera.py", library, port, PACE, name) as peer:
        yield Camera(peer)


@pytest.fixture(scope="module")
def publisher() -> Iterator[Camera]:
    """One camera for the tests that do without its end."""
    with camera() as opened:
        yield opened


def _name(message: Any) -> Any:
    return message[0] if isinstance(message, list) else message


def opened(port: int, latest: bool = False, host: str = "127.0.0.1", **arguments: Any) -> ImageHub:
    options = {"MAXMSGSIZE": LIMIT} | arguments.pop("options", {})
    key = _name if latest else None
    return ImageHub(
        f"tcp://{host}:{port}",
        REQ_REP=False,
        timeout=AT_MOST,
        latest=latest,
        key=key,
        options=options,
        **arguments,
    )


class Watched:
    """The frames of a hub, which must be whole, in order, and each there once."""

    def __init__(self, hub: ImageHub) -> None:
        self.hub = hub
        self.numbers: dict[str, list[int]] = {}

    def next(self) -> tuple[str, int]:
        (name, number, checksum), image = self.hub.recv_image()
        assert zlib.crc32(image.tobytes()) == checksum
        got = self.numbers.setdefault(name, [])
        assert not got or number > got[-1], f"{name}: {number} after {got[-1]}"
        got.append(number)
        return name, number

    def some(self, count: int, name: str = "camera") -> int:
        """Take so many frames more of a camera; gives the last one's number."""
        last = len(self.numbers.get(name, [])) + count
        while len(self.numbers.get(name, [])) < last:
            self.next()
        return self.numbers[name][-1]

    def past(self, number: int) -> None:
        """Take frames until one of the camera's has a higher number."""
        while self.some(1) <= number:
            pass

    def nothing(self) -> None:
        """Take frames until none has come for a while."""
        self.hub._fiz_timeout = 0.3
        with contextlib.suppress(HubTimeout):
            while True:
                self.next()
        self.hub._fiz_timeout = AT_MOST


def wait_until(true: Callable[[], bool], seconds: float = AT_MOST) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.005)


# --- what is too large ----------------------------------------------------------------


@both
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_frame_that_is_too_large_costs_a_moment(library: str, latest: bool) -> None:
    with camera(library=library) as publisher, opened(publisher.port, latest) as hub:
        seen = Watched(hub)
        seen.some(5)
        seen.past(publisher.publish(LIMIT))
        assert hub.stats().cut == 0
        for count in (1, 2):
            cut = publisher.publish(LIMIT + 1)
            seen.past(cut)
            assert cut not in seen.numbers["camera"]
            assert hub.stats().cut == count
        seen.some(20)
        assert hub.stats()[:2] == (len(seen.numbers["camera"]), 0)
        assert hub.stats().cut == 2


@both
def test_the_others_lose_nothing(latest: bool, publisher: Camera) -> None:
    with camera("other") as honest, opened(publisher.port, latest) as hub:
        hub.connect(f"tcp://127.0.0.1:{honest.port}")
        seen = Watched(hub)
        seen.some(1, "other")
        for count in (1, 2):
            seen.some(3)
            seen.past(publisher.publish(LIMIT + 1))
            assert hub.stats().cut == count
        other = seen.numbers["other"]
        if latest:  # a newer one may replace one that has arrived
            row = next(row for row in hub.stats().cameras if row.camera == "other")
            assert row.received >= other[-1] - other[0] + 1
        else:
            assert other == list(range(other[0], other[-1] + 1))


@both
def test_a_hub_that_never_waits_notices_too(latest: bool, publisher: Camera) -> None:
    """It is kept busy by malformed messages, which it passes over within one call."""
    with (
        Peer(PEERS / "hostile_publisher.py", "flood") as flood,
        opened(publisher.port, latest) as hub,
    ):
        hub.connect(f"tcp://127.0.0.1:{flood.hear()}")
        seen = Watched(hub)
        while not hub.stats().malformed:
            seen.some(1)
        seen.past(publisher.publish(LIMIT + 1))
        assert hub.stats().cut == 1


@both
def test_nobody_has_to_wait_for_it_to_be_counted(latest: bool, publisher: Camera) -> None:
    with opened(publisher.port, latest) as hub:
        Watched(hub).some(1)
        publisher.publish(LIMIT + 1)
        wait_until(lambda: hub.stats().cut == 1)


def test_what_came_before_it_is_given(publisher: Camera) -> None:
    """Also when the hub comes to it late."""
    with opened(publisher.port) as hub:
        seen = Watched(hub)
        first = seen.some(1)
        time.sleep(0.2)
        cut = publisher.publish(LIMIT + 1)
        wait_until(lambda: hub.stats().cut == 1)
        time.sleep(0.2)
        assert hub.stats().cut == 1
        seen.past(cut)
        assert [n for n in seen.numbers["camera"] if n < cut] == list(range(first, cut))


@both
def test_a_camera_whose_every_frame_is_too_large(latest: bool, publisher: Camera) -> None:
    """It is asked ever less often, and is there when that has changed."""
    with opened(publisher.port, latest, options={"MAXMSGSIZE": 500}) as hub:
        began = time.monotonic()
        wait_until(lambda: hub.stats().cut >= 4)
        assert time.monotonic() - began >= 0.1 + 0.2 + 0.4
        assert hub.stats().received == 0
        hub.zmq_socket.setsockopt(zmq.MAXMSGSIZE, LIMIT)
        Watched(hub).some(3)


@both
def test_all_cameras_come_back(latest: bool) -> None:
    """A session of libzmq's that was cut is not taken for one that lies in its memory now."""
    with contextlib.ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        names = "abcdef"
        publishers = [stack.enter_context(context.socket(zmq.PUB)) for _ in names]
        ports = [publisher.bind_to_random_port("tcp://127.0.0.1") for publisher in publishers]
        hub = stack.enter_context(opened(ports[0], latest))
        for port in ports[1:]:
            hub.connect(f"tcp://127.0.0.1:{port}")
        cut = 0
        for _ in range(4):
            heard: set[str] = set()
            deadline = time.monotonic() + AT_MOST
            while len(heard) < len(names):
                assert time.monotonic() < deadline, f"only {heard} are heard"
                for name, publisher in zip(names, publishers, strict=True):
                    header = {"msg": [name], "dtype": "uint8", "shape": [1]}
                    publisher.send_multipart([json.dumps(header).encode(), b"1"])
                while hub.poll(0.01):
                    heard.add(hub.recv_image()[0][0])
            assert hub.stats().cut == cut
            for publisher in publishers:
                publisher.send(bytes(LIMIT + 1))
            cut += len(names)
            wait_until(functools.partial(lambda count: hub.stats().cut == count, cut))


# --- what is no message ---------------------------------------------------------------


@both
def test_noise_after_frames(latest: bool) -> None:
    """Without MAXMSGSIZE too: each connection brings a frame, and then what is no ZMTP."""
    with (
        Peer(PEERS / "hostile_publisher.py", "corrupt") as publisher,
        opened(publisher.hear(), latest, options={"MAXMSGSIZE": -1}) as hub,
    ):
        for number in range(4):
            assert hub.recv_image()[0] == ["corrupt", number]
            assert number <= hub.stats().cut <= number + 1


@both
def test_another_program_at_the_publishers_port(latest: bool, port: int) -> None:
    """libzmq gives an address up where a socket of another kind is; the right one may follow."""
    with opened(port, latest) as hub:
        with ImageHub(f"tcp://127.0.0.1:{port}"):
            wait_until(lambda: hub.stats().cut >= 2)
        with camera(port=port):
            Watched(hub).some(3)


# --- what is no cut -------------------------------------------------------------------


@pytest.mark.parametrize(("host", "latest"), [("127.0.0.1", True), ("localhost", False)])
def test_restarts_of_the_publisher_are_no_cuts(host: str, latest: bool, port: int) -> None:
    """And each frame arrives once: there is one connection. A cut after them is known as one."""
    with opened(port, latest, host) as hub:
        for _ in range(2):
            with camera(port=port):
                Watched(hub).some(10)
            Watched(hub).nothing()
            assert hub.stats().cut == 0
        with camera(port=port) as publisher:
            seen = Watched(hub)
            seen.some(2)
            seen.past(publisher.publish(LIMIT + 1) + 30)
            assert hub.stats().cut == 1


@both
def test_an_address_that_the_program_disconnects_stays_so(latest: bool, publisher: Camera) -> None:
    address = f"tcp://127.0.0.1:{publisher.port}"
    with opened(publisher.port, latest, options={"MAXMSGSIZE": 500}) as hub:
        wait_until(lambda: hub.stats().cut >= 2)
        hub.zmq_socket.disconnect(address)
        assert hub.zmq_socket.endpoints == ()
        cut = hub.stats().cut
        time.sleep(0.5)
        assert hub.stats().cut == cut
        hub.zmq_socket.setsockopt(zmq.MAXMSGSIZE, -1)
        hub.connect(address)
        Watched(hub).some(2)


@both
def test_an_address_that_the_program_connects_itself(latest: bool, publisher: Camera) -> None:
    """As a program may that misses its camera: there is one connection then."""
    address = f"tcp://127.0.0.1:{publisher.port}"
    with opened(publisher.port, latest) as hub:
        seen = Watched(hub)
        seen.some(1)
        for _ in range(3):
            cut = publisher.publish(LIMIT + 1)
            for _ in range(50):
                hub.connect(address)
                time.sleep(0.005)
            seen.past(cut + 10)
        assert hub.stats().cut == 3
        assert hub.zmq_socket.endpoints == (address,)


@both
def test_a_program_that_wants_no_second_connection(latest: bool, publisher: Camera) -> None:
    with opened(publisher.port, latest, options={"RECONNECT_IVL": -1}) as hub:
        seen = Watched(hub)
        seen.some(1)
        publisher.publish(LIMIT + 1)
        seen.nothing()
        assert hub.stats().cut == 0


@both
def test_hubs_that_bind_count_none(latest: bool) -> None:
    with (
        ImageHub("tcp://127.0.0.1:*", latest=latest, options={"MAXMSGSIZE": 100}) as hub,
        zmq.Context() as context,
        context.socket(zmq.REQ) as requester,
    ):
        requester.setsockopt(zmq.LINGER, 0)
        requester.connect(hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
        requester.send(bytes(1000))
        assert not hub.poll(0.3)
        assert hub.stats().cut == 0


# --- what is told, and what stays ------------------------------------------------------


@both
@pytest.mark.parametrize("limit", [500, -1])
def test_one_sentence_tells(
    limit: int, latest: bool, publisher: Camera, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[str]:
        return [text for record in caplog.records if "was cut" in (text := record.getMessage())]

    with contextlib.ExitStack() as stack:
        port = publisher.port
        if limit < 0:
            port = stack.enter_context(Peer(PEERS / "hostile_publisher.py", "corrupt")).hear()
        hub = stack.enter_context(opened(port, latest, options={"MAXMSGSIZE": limit}))
        wait_until(lambda: hub.stats().cut >= 2)
        wait_until(lambda: bool(told()))
    (sentence,) = told()
    assert f"tcp://127.0.0.1:{port} was cut, since what came was " in sentence
    assert ("larger than MAXMSGSIZE, 500 bytes" in sentence) == (limit > 0)


@both
def test_nothing_stays(latest: bool, publisher: Camera) -> None:
    """Neither threads nor descriptors, of a hub that is closed amid all that, or dropped."""

    def count() -> tuple[int, int]:
        descriptors = len(list(DESCRIPTORS.iterdir())) if DESCRIPTORS.exists() else 0
        return threading.active_count(), descriptors

    def cut_hub() -> ImageHub:
        hub = opened(publisher.port, latest, options={"MAXMSGSIZE": 500})
        wait_until(lambda: hub.stats().cut >= 2)
        return hub

    cut_hub().close()
    before = count()
    for _ in range(2):
        hub = cut_hub()
        began = time.monotonic()
        hub.close()
        assert time.monotonic() - began < 5
        assert hub.stats().cut >= 2
        del hub
        cut_hub()  # and dropped
    wait_until(lambda: count() <= before)


@both
def test_a_program_that_ends_without_close(latest: bool, publisher: Camera) -> None:
    """It ends, and says nothing."""
    code = (
        "import time, fastimagezmq\n"
        f"hub = fastimagezmq.ImageHub('tcp://127.0.0.1:{publisher.port}', REQ_REP=False,"
        f" latest={latest}, timeout=10)\n"
        "hub.connect('tcp://127.0.0.1:1')\n"
        "hub.recv_image()\n"
        "time.sleep(0.2)\n"
    )
    with Peer("-c", code) as program:
        assert program.end() == 0
        assert program.errors == ""


def test_a_hub_that_nobody_looks_at_goes_on(
    publisher: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each retry of a camera that is off is an event: thousands of them hold libzmq up nowhere."""
    events = []
    heard = cuts.Cuts._heard

    def counted(self: cuts.Cuts, kind: int, name: str, *rest: Any) -> None:
        events.append(name)
        heard(self, kind, name, *rest)

    monkeypatch.setattr(cuts.Cuts, "_heard", counted)
    options = {"RECONNECT_IVL": 1, "RCVHWM": 0}
    with opened(publisher.port, options=options) as hub:
        seen = Watched(hub)
        for off in range(1, 9):
            hub.connect(f"tcp://127.0.0.1:{off}")
        seconds = 0.5
        while len(events) < 4000:
            first = seen.some(1)
            events.clear()
            seconds *= 2
            time.sleep(seconds)
            last = publisher.publish(200)
            time.sleep(0.1)
            while seen.some(1) < last:
                pass
        assert seen.numbers["camera"][first - last - 1 :] == list(range(first, last + 1))


def test_a_program_that_receives_from_the_socket(publisher: Camera) -> None:
    with opened(publisher.port, options={"RCVTIMEO": 50}) as hub:

        def received() -> int:
            while True:
                with contextlib.suppress(zmq.Again):
                    return int(hub.zmq_socket.recv_array()[0][1])

        received()
        cut = publisher.publish(LIMIT + 1)
        while received() < cut:
            pass
        assert hub.stats().cut == 1


def test_a_program_with_a_monitor_of_its_own(publisher: Camera) -> None:
    """libzmq has one for a socket: the program takes the hub's, which receives as ever."""
    with opened(publisher.port) as hub:
        Watched(hub).some(1)
        monitor = hub.zmq_socket.get_monitor_socket()
        hub.connect("tcp://127.0.0.1:1")
        assert monitor.poll(AT_MOST * 1000)
        Watched(hub).some(10)
        assert hub.stats().cut == 0
        hub.zmq_socket.disable_monitor()


def test_tasks(publisher: Camera) -> None:
    async def main() -> None:
        async with AsyncImageHub(
            f"tcp://127.0.0.1:{publisher.port}",
            False,
            timeout=AT_MOST,
            options={"MAXMSGSIZE": LIMIT},
        ) as hub:
            await hub.recv_image()
            cut = await asyncio.to_thread(publisher.publish, LIMIT + 1)
            while (await hub.recv_image())[0][1] < cut:
                pass
            assert hub.stats().cut == 1

    asyncio.run(main())


@both
def test_with_security(latest: bool, tmp_path: Path) -> None:
    """The address is connected again with the key that is its own."""
    ring = Ring(tmp_path)
    ended = threading.Event()
    with contextlib.ExitStack() as stack:
        sender = stack.enter_context(
            ImageSender("tcp://127.0.0.1:*", REQ_REP=False, security=ring.binding())
        )
        hub = stack.enter_context(
            opened(
                int(sender.zmq_socket.bound[0].rpartition(":")[2]),
                latest,
                security=ring.connecting(),
            )
        )

        def publish() -> None:
            number = 0
            while not ended.wait(0.01):
                image = np.zeros(LIMIT + 100 if number == 20 else 10, np.uint8)
                sender.send_image(["camera", number, zlib.crc32(image.tobytes())], image)
                number += 1

        thread = threading.Thread(target=publish)
        thread.start()
        stack.callback(thread.join)
        stack.callback(ended.set)
        Watched(hub).past(20)
        assert hub.stats().cut == 1


# --- names ------------------------------------------------------------------------------


class Scripted(SerializingSocket):
    """A SUB socket of whose connections the test tells."""

    events: Any = None
    connected: tuple[str, ...] = ()

    def watch(self, events: int, *, bounded: bool = True) -> zmq.Socket[bytes]:
        del events, bounded
        read: zmq.Socket[bytes] = self.context.socket(zmq.PAIR)
        self.events = self.context.socket(zmq.PAIR)
        read.bind("inproc://script")
        self.events.connect("inproc://script")
        return read

    def connect(self, addr: str) -> Any:
        self.connected += (addr,)
        return super().connect(addr)

    def tell(self, event: zmq.Event, *names: str) -> None:
        for name in names:
            self.events.send_multipart([struct.pack("=HI", event, 0), name.encode()])


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """Connected to two publishers whose names are not what libzmq will call them."""
    context = SerializingContext()
    socket = Scripted(context, zmq.SUB)
    socket.cuts = cuts.of(socket)
    for name in NAMES:
        socket.connect(name)
    socket.connected = ()
    yield socket
    context.close_all()


NAMES = "tcp://127.1:9", "tcp://127.2:9"
NUMBERS = "tcp://127.0.0.1:9", "tcp://127.0.0.2:9"
END, AGAIN = zmq.Event.DISCONNECTED, zmq.Event.CONNECT_RETRIED


def look(socket: Scripted) -> int:
    """Look for as long as an end takes to be taken for a cut, and its address to be connected."""
    assert socket.cuts is not None
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        socket.cuts.look(socket)
        time.sleep(0.01)
    return socket.cuts.count


def test_new_names_are_learned(scripted: Scripted) -> None:
    scripted.tell(END, *NAMES)
    scripted.tell(AGAIN, *NUMBERS)
    scripted.tell(END, *NUMBERS)
    scripted.tell(AGAIN, *NUMBERS)
    assert (look(scripted), scripted.connected) == (0, ())
    scripted.tell(END, NUMBERS[1])
    assert (look(scripted), scripted.connected) == (1, NAMES[1:])
    scripted.tell(END, NAMES[1])
    scripted.tell(AGAIN, "tcp://127.0.0.3:9")  # it has moved
    scripted.tell(END, "tcp://127.0.0.3:9")
    assert (look(scripted), scripted.connected) == (2, 2 * NAMES[1:])


@pytest.mark.parametrize("survivor", [0, 1])
def test_a_cut_beside_an_end_when_names_are_new(survivor: int, scripted: Scripted) -> None:
    """Which one was cut cannot be known, so both are connected anew; one is counted."""
    scripted.tell(END, *NAMES)
    scripted.tell(AGAIN, NUMBERS[survivor])
    assert (look(scripted), sorted(scripted.connected)) == (1, sorted(NAMES))
    scripted.tell(END, *NAMES)
    scripted.tell(AGAIN, *NUMBERS)
    assert look(scripted) == 1


def test_a_camera_that_is_off_hides_no_cut(scripted: Scripted) -> None:
    scripted.tell(END, NAMES[0])
    scripted.tell(AGAIN, *5 * NUMBERS[:1])
    scripted.tell(END, NAMES[1])
    scripted.tell(AGAIN, *5 * NUMBERS[:1])
    assert (look(scripted), scripted.connected) == (1, NAMES[1:])
