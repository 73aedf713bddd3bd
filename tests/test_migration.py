"""Moving from imageZMQ step by step: every cell of the table in docs/migration.md, and the way."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import imagezmq as old
import numpy as np
import pytest
import zmq
from skimage import data

import fastimagezmq as new
from processes import beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANY_PORT = "tcp://127.0.0.1:*"
PAGE = Path(__file__).parent.parent / "docs" / "migration.md"
CAT = np.ascontiguousarray(data.chelsea()[:, :, ::-1])
JPEG = cv2.imencode(".jpg", CAT)[1].tobytes()
OTHER = b"a blob that is no JPEG"


def send_pixels(sender: Any) -> Any:
    return sender.send_image("m", CAT)


def send_jpeg(sender: Any) -> Any:
    return sender.send_jpg("m", JPEG)


def send_other(sender: Any) -> Any:
    return sender.send_jpg("m", OTHER)


# As the first column of the table has them: (library, options, what is sent).
SENDERS: dict[str, tuple[Any, dict[str, Any], Callable[[Any], Any]]] = {
    "old, send_image": (old, {}, send_pixels),
    "old, send_jpg of a JPEG": (old, {}, send_jpeg),
    "old, send_jpg of other bytes": (old, {}, send_other),
    "new, send_image": (new, {}, send_pixels),
    "new, send_jpg of a JPEG": (new, {}, send_jpeg),
    "new, send_jpg of other bytes": (new, {}, send_other),
    "new, send_image with stamp=True": (new, {"stamp": True}, send_pixels),
    "new, send_jpg of a JPEG with stamp=True": (new, {"stamp": True}, send_jpeg),
    "new, send_image with jpeg=90": (new, {"jpeg": 90}, send_pixels),
    "new, send_image with jpeg=90, stamp=True": (new, {"jpeg": 90, "stamp": True}, send_pixels),
}

# As the first row has them: (library, method).
HUBS = {
    "old hub, recv_image": (old, "recv_image"),
    "old hub, recv_jpg": (old, "recv_jpg"),
    "new hub, recv_image": (new, "recv_image"),
    "new hub, recv_jpg": (new, "recv_jpg"),
}


def endpoint(end: Any) -> str:
    address: str = end.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return address


def table() -> dict[str, dict[str, str]]:
    """Read the table of the page: by sender, then by hub, what is written in the cell."""
    rows = [
        [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    head, rule, *body = rows[next(n for n, row in enumerate(rows) if row[0] == "sender") :]
    assert set("".join(rule)) <= set("-: ")
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in body}


def outcome(content: Any, reply: bytes | None) -> str:
    """Say in the table's words what arrived."""
    if isinstance(content, Exception):
        return f"{type(content).__name__}: {content}"
    if content is None:
        assert reply is None or reply.startswith(b"ERROR")
        return "skipped"
    assert reply in (None, b"OK")
    if isinstance(content, np.ndarray):
        if content.shape == CAT.shape and (content == CAT).all():
            return "the pixels"
        assert content.shape == CAT.shape
        assert np.abs(content.astype(int) - CAT).mean() < 5
        return "the picture"
    raw = bytes(content)
    if raw == CAT.tobytes():
        return "the pixels' bytes"
    if raw == OTHER:
        return "the bytes"
    assert outcome(cv2.imdecode(np.frombuffer(raw, np.uint8), -1), reply) == "the picture"
    return "the JPEG"


@contextlib.contextmanager
def impatient(end: Any) -> Iterator[Any]:
    """Close without waiting, which imageZMQ's ends would do for ever."""
    with end:
        yield end
        end.zmq_socket.setsockopt(zmq.LINGER, 0)


def by_reqrep(sender_name: str, hub_name: str) -> str:
    library, options, send = SENDERS[sender_name]
    hub_library, method = HUBS[hub_name]
    with (
        impatient(hub_library.ImageHub(ANY_PORT)) as hub,
        impatient(library.ImageSender(endpoint(hub), **options)) as sender,
    ):
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 10_000)

        def receive() -> Any:
            message, content = None, None
            try:
                message, content = getattr(hub, method)()
            except KeyError as error:
                content = error
            assert message in (None, "m", "next")
            hub.send_reply(b"OK")
            return None if message == "next" else content

        with beside(receive) as received:
            reply = send(sender)
            # The same sender's next frame ends the wait of a hub that skipped this one.
            if reply.startswith(b"ERROR"):
                sender.send_image("next", CAT)
        return outcome(received.result(), reply)


def by_pubsub(sender_name: str, hub_name: str) -> str:
    library, options, send = SENDERS[sender_name]
    hub_library, method = HUBS[hub_name]
    with (
        impatient(library.ImageSender(ANY_PORT, REQ_REP=False, **options)) as sender,
        impatient(hub_library.ImageHub(endpoint(sender), REQ_REP=False)) as hub,
    ):
        # Until the subscription has arrived, nothing that is sent does.
        while not hub.zmq_socket.poll(10):
            sender.send_jpg("sync", b"")
        while hub.zmq_socket.poll(50):
            hub.recv_jpg()
        assert send(sender) is None
        # A hub that skips a frame comes to the next one.
        sender.send_jpg("next", JPEG)
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 10_000)
        try:
            message, content = getattr(hub, method)()
        except KeyError as error:
            message, content = "m", error
        return outcome(None if message == "next" else content, None)


@pytest.mark.parametrize("hub", HUBS)
@pytest.mark.parametrize("sender", SENDERS)
def test_what_is_understood(sender: str, hub: str) -> None:
    expected = table()[sender][hub]
    assert by_reqrep(sender, hub) == expected
    assert by_pubsub(sender, hub) == expected


def test_the_table_has_these_cells_and_no_others() -> None:
    written = table()
    assert list(written) == list(SENDERS)
    assert all(list(cells) == list(HUBS) for cells in written.values())


def test_a_stamp_is_seen_by_recv_frame_only() -> None:
    with new.ImageHub(ANY_PORT) as hub, new.ImageSender(endpoint(hub), stamp=True) as sender:
        for number in range(2):
            with beside(lambda: sender.send_image("m", CAT)):
                frame = hub.recv_frame()
                hub.send_reply()
            assert frame.sequence == number
            assert 0 <= frame.age < 5  # type: ignore[operator]


# --- the way, and back -------------------------------------------------------------


class Site:
    """One hub and two cameras, of which each can be the old program or the new one."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.hub: Any = None
        self.cameras: list[Any] = [None, None]

    def set_hub(self, library: Any) -> None:
        """Stop the hub's program and start it anew; the cameras know nothing of it."""
        if self.hub is not None:
            self.hub.close()
        self.hub = library.ImageHub(f"tcp://127.0.0.1:{self.port}")

    def set_camera(self, number: int, library: Any, **options: Any) -> None:
        if self.cameras[number] is not None:
            self.cameras[number].close()
        self.cameras[number] = library.ImageSender(f"tcp://127.0.0.1:{self.port}", **options)

    def stream(self) -> list[str]:
        """Send a few frames of each camera; gives what the hub got of each."""
        seen = []
        for number, camera in enumerate(self.cameras):
            for frame in range(3):
                message = {"camera": number, "frame": frame}
                with beside(lambda camera=camera, message=message: camera.send_image(message, CAT)):  # type: ignore[misc]
                    got, image = self.hub.recv_image()
                    self.hub.send_reply(b"OK")
                assert got == message
                arrived = outcome(image, b"OK")
            seen.append(arrived)
        return seen

    def close(self) -> None:
        for end in [*self.cameras, self.hub]:
            end.close()


def test_the_way_and_the_way_back(port: int) -> None:
    site = Site(port)
    with contextlib.closing(site):
        site.set_hub(old)
        site.set_camera(0, old)
        site.set_camera(1, old)
        assert site.stream() == ["the pixels", "the pixels"]
        # Step 1, the hub: the cameras' programs run on.
        site.set_hub(new)
        assert site.stream() == ["the pixels", "the pixels"]
        # Step 2, one camera after another.
        site.set_camera(0, new)
        assert site.stream() == ["the pixels", "the pixels"]
        site.set_camera(1, new)
        assert site.stream() == ["the pixels", "the pixels"]
        # Step 3, JPEG, one camera after another.
        site.set_camera(0, new, jpeg=90, stamp=True)
        assert site.stream() == ["the picture", "the pixels"]
        # And back: JPEG first, the hub last or before the cameras, as one likes.
        site.set_camera(0, new)
        site.set_hub(old)
        assert site.stream() == ["the pixels", "the pixels"]
        site.set_camera(0, old)
        site.set_camera(1, old)
        assert site.stream() == ["the pixels", "the pixels"]
