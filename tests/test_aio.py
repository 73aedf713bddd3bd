"""Tasks send and receive, and may be cancelled at any moment: no frame is lost, none doubled."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

from fastimagezmq import (
    CodecError,
    HubTimeout,
    ImageHub,
    ImageSender,
    StateError,
    encode_jpeg,
)
from fastimagezmq import aio as library
from fastimagezmq.aio import AsyncImageHub, AsyncImageSender
from fastimagezmq.transport import waiting
from processes import PEERS, Peer, beside
from rings import Ring

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

PICTURE = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
LARGE = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), np.uint8)


@pytest.fixture(params=["native", "pyzmq"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FASTIMAGEZMQ_MESSAGES", request.param)
    return str(request.param)


async def now_and_then_cancelled(
    receive: Callable[[], Awaitable[Any]], chance: random.Random, longest: float
) -> tuple[Any, int]:
    """Receive one; a task that receives is cancelled after a random time, until one has got it."""
    cancelled = 0
    while True:
        task = asyncio.ensure_future(receive())
        if moment := chance.random() < 0.7:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            moment = chance.random() < 0.5
        if moment:
            await asyncio.wait([task], timeout=chance.random() * longest)
        elif chance.random() < 0.3:
            await asyncio.wait([task])
        task.cancel()
        try:
            return await task, cancelled
        except asyncio.CancelledError:
            cancelled += 1


# --- receiving ----------------------------------------------------------------------


def test_it_is_imported_only_when_asked_for() -> None:
    code = "import sys, fastimagezmq; print('asyncio' in sys.modules, 'zmq.asyncio' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False False\n"


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("jpeg", [None, 80])
@pytest.mark.parametrize("reqrep", [True, False])
def test_receives_cancelled_at_random(reqrep: bool, jpeg: int | None, address: str) -> None:
    count = 200
    chance = random.Random(f"{reqrep} {jpeg}")

    def send() -> None:
        if reqrep:
            with ImageSender(address, jpeg=jpeg) as sender:
                for number in range(count):
                    assert sender.send_image(number, PICTURE) == b"got %d" % number
            return
        with ImageSender(address, REQ_REP=False, jpeg=jpeg) as sender:
            while not joined.wait(0.01):
                sender.send_image(-1, PICTURE)
            for number in range(count):
                sender.send_image(number, PICTURE)
                time.sleep(0.0005)
            ended.wait(20)

    async def receive() -> None:
        got = []
        cancelled = 0
        async with AsyncImageHub(address, REQ_REP=reqrep) as hub:
            if not reqrep:
                await hub.recv_image()
                joined.set()
            while len(got) < count:
                (number, image), times = await now_and_then_cancelled(hub.recv_image, chance, 0.003)
                assert image.shape == PICTURE.shape
                cancelled += times
                if reqrep:
                    await hub.send_reply(b"got %d" % number)
                if number >= 0:
                    got.append(number)
            ended.set()
            assert hub.stats().malformed == 0
        assert got == list(range(count))
        assert cancelled > count // 4

    joined, ended = threading.Event(), threading.Event()
    with beside(send):
        asyncio.run(receive())


def test_a_cancelled_decode_leaves_its_frame(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on = threading.Event(), threading.Event()
    decodes: list[int] = []
    original = library._decode

    def slow(frame: Any) -> Any:
        decodes.append(1)
        began.set()
        assert go_on.wait(10)
        return original(frame)

    monkeypatch.setattr(library, "_decode", slow)

    async def receive() -> None:
        async with AsyncImageHub(address) as hub:
            for method in ("recv_image", "recv_jpg", "recv_frame"):
                began.clear()
                go_on.clear()
                task = asyncio.create_task(hub.recv_image())
                while not began.is_set():
                    await asyncio.sleep(0.001)  # the loop goes on while the codec works
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                with pytest.raises(StateError, match="no frame waits"):
                    await hub.send_reply()
                assert await hub.poll()
                go_on.set()
                received = await getattr(hub, method)()
                if method == "recv_image":
                    assert len(decodes) == 1  # once
                    assert received[1].shape == PICTURE.shape
                elif method == "recv_jpg":
                    assert bytes(received[1])[:2] == b"\xff\xd8"
                else:
                    assert received.image.shape == PICTURE.shape
                await hub.send_reply(method.encode())

    def send() -> None:
        with ImageSender(address, jpeg=80) as sender:
            for method in (b"recv_image", b"recv_jpg", b"recv_frame"):
                assert sender.send_image("cam", PICTURE) == method

    with beside(send):
        asyncio.run(receive())


def test_a_loop_replies(address: str) -> None:
    async def receive() -> None:
        async with AsyncImageHub(address) as hub:
            async for number, _ in hub:
                if number == 1:
                    await hub.send_reply(b"own")
                if number == 3:
                    break
            await asyncio.sleep(0.2)
            with contextlib.suppress(ZeroDivisionError):
                async for _ in hub:
                    raise ZeroDivisionError
            seen = []

            async def look() -> None:
                async for number, _ in hub:
                    seen.append(number)

            task = asyncio.create_task(look())
            while not seen:
                await asyncio.sleep(0.001)
            await hub.close()
            await task
            assert seen == [5]

    def send() -> None:
        with ImageSender(address) as sender:
            replies = [sender.send_image(number, PICTURE) for number in range(6)]
        assert replies == [b"OK", b"own", b"OK", b"OK", b"OK", b"OK"]

    with beside(send):
        asyncio.run(receive())


def test_what_is_no_frame(address: str) -> None:
    broken = bytes(encode_jpeg(PICTURE))[:300]

    async def receive() -> None:
        async with AsyncImageHub(address, timeout=10) as hub:
            assert (await hub.recv_image())[0] == "good"
            await hub.send_reply()
            assert hub.stats()[:2] == (1, 2)
        async with AsyncImageHub(address, on_error="raise") as hub:
            with pytest.raises(CodecError):
                await hub.recv_image()
            await hub.send_reply()  # accepted: its sender has been told
            assert (await hub.recv_image())[0] == "good"
            await hub.send_reply()

    def send() -> None:
        for count in (2, 1):
            with ImageSender(address) as sender:
                blobs = [b"nothing", broken][-count:]
                for blob in blobs:
                    assert (sender.send_jpg("bad", blob) or b"").startswith(b"ERROR")
                assert sender.send_image("good", PICTURE) == b"OK"

    with beside(send):
        asyncio.run(receive())


def test_waiting(address: str, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(waiting, "FIRST_WARNING_SECONDS", 0.05)

    async def wait() -> None:
        async with AsyncImageHub(address, REQ_REP=False, timeout=0.3) as hub:
            began = time.monotonic()
            with pytest.raises(HubTimeout, match=r"within 0\.3 s"):
                await hub.recv_image()
            assert 0.28 < time.monotonic() - began < 1.5
            assert not await hub.poll()
            assert not await hub.poll(0.05)
        async with AsyncImageHub(address, options={"RCVTIMEO": 50}) as hub:
            with pytest.raises(zmq.Again):
                await hub.recv_jpg()
            task = asyncio.create_task(hub.recv_frame())
            polling = asyncio.create_task(hub.poll(None))
            await asyncio.sleep(0.01)
            await hub.close()
            for waits in (task, polling):
                with pytest.raises(zmq.ContextTerminated):
                    await waits
            await hub.close()
            with pytest.raises(StateError, match="closed"):
                await hub.recv_image()

    with caplog.at_level(logging.WARNING):
        asyncio.run(wait())
        deadline = time.monotonic() + 5
        while "refused" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "refused" in caplog.text


def test_a_frame_that_waits_for_a_reply_is_no_news(address: str) -> None:
    """Other tasks have the processor meanwhile, and the reply ends the wait at once."""

    async def main() -> None:
        async with AsyncImageHub(address, timeout=10) as hub:
            looks = 0
            poll = hub._hub.poll

            def counted(timeout: float | None) -> bool:
                nonlocal looks
                looks += 1
                return poll(timeout)

            hub._hub.poll = counted  # type: ignore[method-assign]
            with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
                dealer.connect(address)
                for _ in range(2):
                    dealer.send_multipart([b"", b'{"msg": "camera"}', b"jpeg"])
                await hub.recv_jpg()
                assert await hub.poll(0.3) is False
                assert looks < 10
                task = asyncio.ensure_future(hub.poll(60))
                await asyncio.sleep(0.05)
                assert not task.done()
                began = time.monotonic()
                await hub.send_reply()
                assert await task is True
                assert time.monotonic() - began < waiting.SLICE_MS / 1000 / 2
                await hub.recv_jpg()

    asyncio.run(main())


@pytest.mark.parametrize("reqrep", [True, False])
def test_the_newest_frames(reqrep: bool, address: str) -> None:
    async def both() -> None:
        async with (
            AsyncImageHub(address, REQ_REP=reqrep, latest=True) as hub,
            AsyncImageSender(address, REQ_REP=reqrep) as sender,
        ):
            receiving = asyncio.create_task(hub.recv_image())
            await asyncio.sleep(0.01)
            receiving.cancel()
            receiving = asyncio.create_task(hub.recv_image())
            while not receiving.done():
                sending = asyncio.create_task(sender.send_image("cam", PICTURE))
                await asyncio.wait([receiving], timeout=0.05)
                if reqrep:
                    await receiving
                    await hub.send_reply(b"seen")
                    assert await sending == b"seen"
                await sending
            assert (await receiving)[0] == "cam"

    asyncio.run(both())


def test_a_hub_in_a_flood(port: int) -> None:
    """Garbage that never ends holds up neither other tasks, nor a timeout, nor a cancellation."""
    address = f"tcp://127.0.0.1:{port}"
    done = threading.Event()

    def flood() -> None:
        with zmq.Context() as context, context.socket(zmq.PUB) as socket:
            socket.linger = 0
            socket.bind(address)
            while not done.is_set():
                for _ in range(200):
                    socket.send(b"garbage")

    async def receive() -> None:
        try:
            async with AsyncImageHub(address, REQ_REP=False, timeout=0.3) as hub:
                while not await hub.poll(1):
                    pass
                began = time.monotonic()
                with pytest.raises(HubTimeout):
                    await hub.recv_image()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await hub.recv_image()
                assert time.monotonic() - began < 3
                assert hub.stats().malformed > 10
            with ImageHub(address, REQ_REP=False, timeout=0.3) as blocking:
                began = time.monotonic()
                with pytest.raises(HubTimeout, match=r"within 0\.3 s"):
                    blocking.recv_image()
                assert time.monotonic() - began < 3
        finally:
            done.set()

    with beside(flood):
        asyncio.run(receive())


def test_a_hub_that_is_dropped_and_one_of_two_event_loops(address: str) -> None:
    async def wait(hub: AsyncImageHub) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await hub.recv_image()

    async def drop() -> None:
        await wait(AsyncImageHub(address))
        gc.collect()
        await asyncio.sleep(0.01)
        hub = AsyncImageHub(address)  # the address is free again, and so is the descriptor
        await wait(hub)
        hubs.append(hub)

    async def go_on() -> None:
        async with hubs.pop() as hub, AsyncImageSender(address) as sender:
            sending = asyncio.create_task(sender.send_image("cam", PICTURE))
            assert (await hub.recv_image())[0] == "cam"
            await hub.send_reply()
            await sending

    hubs: list[AsyncImageHub] = []
    asyncio.run(drop())
    asyncio.run(go_on())


def test_with_keys(address: str, tmp_path: Path) -> None:
    ring = Ring(tmp_path)

    async def run() -> None:
        hub = AsyncImageHub(address, security=ring.binding())
        sender = AsyncImageSender(address, security=ring.connecting())
        async with hub, sender:
            sending = asyncio.create_task(sender.send_image("cam", PICTURE))
            assert (await asyncio.wait_for(hub.recv_image(), 10))[0] == "cam"
            await hub.send_reply(b"seen")
            assert await sending == b"seen"

    asyncio.run(run())


# --- sending ------------------------------------------------------------------------


@pytest.mark.usefixtures("way")
def test_sends_cancelled_at_random(address: str, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(2)
    count = 60

    async def run() -> None:
        got: list[int] = []
        async with AsyncImageHub(address) as hub, AsyncImageSender(address) as sender:

            async def serve() -> None:
                async for (number, first), image in hub:
                    assert image[0, 0, 0] == first
                    got.append(number)
                    if chance.random() < 0.5:
                        await asyncio.sleep(chance.random() * 0.01)

            serving = asyncio.create_task(serve())
            answered = []
            for number in range(count):
                image = np.full((200, 300, 3), number, np.uint8)
                send = asyncio.create_task(sender.send_image([number, number], image))
                if number % 3:
                    await asyncio.wait([send], timeout=chance.random() * 0.01)
                    send.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    assert await send == b"OK"
                    answered.append(number)
            serving.cancel()
            await asyncio.wait([serving])
        assert len(got) == len(set(got))  # none twice
        # What was cancelled may wait in the hub, from a connection that has ended.
        assert [number for number in got if number in answered] == answered
        assert count // 3 <= len(answered) < count

    asyncio.run(run())
    gc.collect()
    assert not caplog.records  # of futures that nobody asked for what went wrong


def test_a_cancelled_send_ends_at_once_and_never_arrives_later(address: str) -> None:
    async def run() -> None:
        async with AsyncImageSender(address, jpeg=90) as sender:
            for number in range(3):  # nobody is there
                began = time.monotonic()
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(sender.send_image(number, LARGE), 0.1)
                assert time.monotonic() - began < 0.5
            async with AsyncImageHub(address) as hub:
                sending = asyncio.create_task(sender.send_image("next", LARGE))
                async with asyncio.timeout(10):
                    assert (await hub.recv_image())[0] == "next"
                    sending.cancel()  # its reply is still to come
                    await hub.send_reply(b"old")
                    sending = asyncio.create_task(sender.send_image("last", LARGE))
                    assert (await hub.recv_image())[0] == "last"
                    await hub.send_reply(b"new")
                    assert await sending == b"new"

    asyncio.run(run())


def test_timeout_order_and_close(address: str) -> None:
    async def run() -> None:
        async with AsyncImageSender(address, timeout=0.6) as sender:
            with pytest.raises(HubTimeout):
                await sender.send_jpg("cam", b"blob")
            with pytest.raises(TypeError):
                await sender.send_image("cam", "no array")
            async with AsyncImageHub(address) as hub:
                sends = [asyncio.create_task(sender.send_jpg(n, b"blob")) for n in range(5)]
                for number in range(5):
                    assert (await hub.recv_jpg())[0] == number
                    await hub.send_reply(b"%d" % number)
                assert await asyncio.gather(*sends) == [b"%d" % n for n in range(5)]
            assert sender.stats().acknowledged == 5
        sender = AsyncImageSender(address)
        waits = asyncio.create_task(sender.send_jpg("cam", b"blob"))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await sender.close()
        assert time.monotonic() - began < 5
        with pytest.raises(zmq.ContextTerminated):
            await waits
        await sender.close()
        with pytest.raises(StateError, match="closed"):
            await sender.send_jpg("cam", b"blob")

    asyncio.run(run())


def test_in_flight_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="in_flight=4 is for"):
        AsyncImageSender(address, in_flight=4)


def test_a_hub_killed_with_a_frame_in_flight(address: str) -> None:
    async def run() -> None:
        async with AsyncImageSender(address) as sender:
            with Peer(PEERS / "mortal_hub.py", "fastimagezmq", address) as hub:
                hub.hear()
                sending = asyncio.create_task(sender.send_image([1, 0, "hold"], PICTURE))
                assert (await asyncio.to_thread(hub.hear))[0] == [1, 0, "hold"]
            with Peer(PEERS / "mortal_hub.py", "fastimagezmq", address) as hub:
                hub.hear()
                assert (await asyncio.to_thread(hub.hear))[0] == [1, 0, "hold"]
                hub.tell()
                assert await asyncio.wait_for(sending, 10) == b"got 1"
            assert sender.stats().resent >= 1

    asyncio.run(run())


def test_a_program_that_ends_amid_everything(address: str) -> None:
    """Ctrl-C cancels the tasks, and nothing keeps the process from its end."""
    code = f"""
import asyncio, numpy
from fastimagezmq.aio import AsyncImageSender
async def main():
    sender = AsyncImageSender({address!r})
    await sender.send_image("cam", numpy.zeros((9, 9, 3), numpy.uint8))
async def run():
    task = asyncio.create_task(main())
    await asyncio.sleep(0.1)
asyncio.run(run())
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


# --- imageZMQ at the other end ------------------------------------------------------


def test_with_imagezmq(address: str, port: int) -> None:
    async def run() -> None:
        with Peer(PEERS / "mortal_hub.py", "imagezmq", address) as hub:
            hub.hear()
            async with AsyncImageSender(address) as sender:
                for number in range(5):
                    assert await sender.send_image([number, 0], PICTURE) == b"got %d" % number
        there = f"tcp://127.0.0.1:{port}"
        async with AsyncImageHub(there) as hub_here:
            with Peer(PEERS / "sender.py", "imagezmq", there, "reqrep", "send_image") as peer:
                peer.hear()
                peer.tell()
                async for message, _ in hub_here:
                    if message == "end":
                        break
                assert hub_here.stats().received > 3

    asyncio.run(run())


def test_a_hub_that_blocks_and_one_that_does_not(address: str) -> None:
    async def publish() -> None:
        async with AsyncImageSender(address, REQ_REP=False, jpeg=80) as sender:
            while not seen.is_set():
                assert await sender.send_image("cam", PICTURE) is None
                await asyncio.sleep(0.005)

    def see() -> None:
        with ImageHub(address, REQ_REP=False) as hub:
            assert hub.recv_image()[0] == "cam"
        seen.set()

    seen = threading.Event()
    with beside(see):
        asyncio.run(publish())
