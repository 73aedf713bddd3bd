"""What programs written for imageZMQ 1.2.0 rely on, one test each."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import gc
import importlib
import inspect
import sys
import threading
import time
import types
from typing import TYPE_CHECKING, Any

import cv2
import imagezmq as theirs
import numpy as np
import pytest
import zmq
from skimage import data

import fastimagezmq as imagezmq
from processes import beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANY_PORT = "tcp://127.0.0.1:*"
CLASSES = ("ImageSender", "ImageHub", "SerializingSocket", "SerializingContext")
CAT = data.chelsea()
JPEG = cv2.imencode(".jpg", CAT)[1]


def endpoint(end: Any) -> str:
    address: str = end.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return address


@contextlib.contextmanager
def answering(hub: Any, count: int, method: str = "recv_image") -> Iterator[list[Any]]:
    """Let a hub take and answer ``count`` frames beside the block; gives the list of them."""
    received: list[Any] = []

    def serve() -> None:
        for number in range(count):
            received.append(getattr(hub, method)())
            hub.send_reply(b"reply %d" % number)

    with beside(serve):
        yield received


def subscribed(sender: Any, hub: Any, send: Callable[[], Any] | None = None) -> None:
    """Return when what a PUB sender sends arrives at a hub, and none of it is under way."""
    over = threading.Event()

    def keep_sending() -> int:
        count = 0
        while not over.wait(0.005):
            sender.send_jpg(["sync", count], b"") if send is None else send()
            count += 1
        return count

    with beside(keep_sending) as sent:
        message, _ = hub.recv_jpg()
        over.set()
    if send is None:
        while message[1] < sent.result() - 1:
            message, _ = hub.recv_jpg()


# --- names -------------------------------------------------------------------------


def test_every_public_name_is_there() -> None:
    for module, own in ((theirs, imagezmq), (theirs.imagezmq, imagezmq.imagezmq)):
        public = {name for name in dir(module) if not name.startswith("_")}
        assert public >= {*CLASSES, "zmq", "np"}
        assert not public - set(dir(own))
    described = {name for name in dir(theirs) if name.startswith("__") and name != "__builtins__"}
    assert not described - set(dir(imagezmq))
    assert imagezmq.zmq is zmq
    assert imagezmq.np is np


def test_the_description_of_the_package_is_text() -> None:
    from fastimagezmq import __version__ as version

    assert isinstance(version, str)
    names = ("title", "description", "url", "version", "author", "author_email", "license")
    for name in (*names, "copyright"):
        assert isinstance(getattr(imagezmq, f"__{name}__"), str)


def test_import_star_gives_what_imagezmqs_gives() -> None:
    for module in ("", ".imagezmq"):
        names: dict[str, Any] = {}
        exec(f"from fastimagezmq{module} import *", names)
        old: dict[str, Any] = {}
        exec(f"from imagezmq{module} import *", old)
        assert not {name for name in old if not name.startswith("__")} - set(names)
        for name in CLASSES:
            assert names[name] is getattr(imagezmq, name)


def test_the_submodule_has_the_same_classes() -> None:
    submodule = importlib.import_module("fastimagezmq.imagezmq")
    assert submodule is imagezmq.imagezmq
    assert isinstance(submodule, types.ModuleType)
    for name in CLASSES:
        assert getattr(submodule, name) is getattr(imagezmq, name)


def test_the_socket_classes_are_pyzmqs() -> None:
    assert issubclass(imagezmq.SerializingSocket, zmq.Socket)
    assert issubclass(imagezmq.SerializingContext, zmq.Context)
    with imagezmq.SerializingContext() as context:
        assert type(context) is imagezmq.SerializingContext
        with context.socket(zmq.PAIR) as made:
            assert type(made) is imagezmq.SerializingSocket


@pytest.mark.parametrize("name", CLASSES)
def test_every_method_takes_the_same_arguments(name: str) -> None:
    old, new = getattr(theirs, name), getattr(imagezmq, name)
    methods = [key for key, value in vars(old).items() if inspect.isfunction(value)]
    assert methods or name == "SerializingContext"
    for method in methods:
        before = inspect.signature(getattr(old, method)).parameters.values()
        after = inspect.signature(getattr(new, method)).parameters.values()
        extra = [parameter for parameter in after if parameter.kind is parameter.KEYWORD_ONLY]
        assert [(p.name, p.default, p.kind) for p in before] == [
            (p.name, p.default, p.kind) for p in after if p not in extra
        ], method
        # What is new is by keyword, and left out unless asked for.
        assert all(parameter.default is not parameter.empty for parameter in extra)
        assert not extra or method == "__init__"


# --- constructing ------------------------------------------------------------------


def test_the_default_addresses_meet() -> None:
    # Another program may hold port 5555 of this machine: then there is nothing to see.
    try:
        hub = imagezmq.ImageHub()
    except zmq.ZMQError as error:
        assert error.errno == zmq.EADDRINUSE
        pytest.skip("port 5555 is in use")
    with hub, imagezmq.ImageSender() as sender, answering(hub, 1):
        assert endpoint(hub).endswith(":5555")
        assert endpoint(sender) == "tcp://127.0.0.1:5555"
        assert sender.send_image("default", CAT) == b"reply 0"


@pytest.mark.parametrize(("yes", "no"), [(True, False), (1, 0), (np.True_, np.False_), (1.0, 0.0)])
def test_req_rep_may_be_any_truth(yes: Any, no: Any) -> None:
    with imagezmq.ImageHub(ANY_PORT, yes) as hub:
        assert hub.REQ_REP is yes
        assert hub.zmq_socket.type == zmq.REP
        with imagezmq.ImageSender(endpoint(hub), yes) as sender, answering(hub, 1) as received:
            assert sender.zmq_socket.type == zmq.REQ
            assert sender.send_image("a", CAT) == b"reply 0"
        assert received[0][0] == "a"
    with imagezmq.ImageSender(ANY_PORT, no) as sender:
        assert sender.zmq_socket.type == zmq.PUB
        with imagezmq.ImageHub(endpoint(sender), no) as hub:
            assert hub.REQ_REP is no
            assert hub.zmq_socket.type == zmq.SUB
            subscribed(sender, hub)


@pytest.mark.parametrize("other", [None, "PUB", 2])
def test_req_rep_that_is_not_true_is_pubsub(other: Any) -> None:
    with imagezmq.ImageSender(ANY_PORT, other) as sender:
        assert sender.zmq_socket.type == zmq.PUB
        with imagezmq.ImageHub(endpoint(sender), REQ_REP=other) as hub:
            assert hub.zmq_socket.type == zmq.SUB


def test_arguments_by_keyword() -> None:
    with (
        imagezmq.ImageHub(open_port=ANY_PORT, REQ_REP=True) as hub,
        imagezmq.ImageSender(connect_to=endpoint(hub), REQ_REP=True) as sender,
        answering(hub, 2) as received,
    ):
        sender.send_image(msg="by keyword", image=CAT)
        sender.send_jpg(msg="by keyword", jpg_buffer=JPEG)
    assert [message for message, _ in received] == ["by keyword"] * 2


# --- what programs do to the objects -----------------------------------------------


def test_attributes_can_be_assigned() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub, imagezmq.ImageSender(endpoint(hub)) as sender:
        for end in (hub, sender):
            end.name = "Pi in the garden"  # type: ignore[union-attr]
            assert end.name == "Pi in the garden"  # type: ignore[union-attr]
        calls = []
        sender.send_image = lambda *frame: calls.append(frame)  # type: ignore[method-assign,assignment]
        sender.send_image("a", CAT)
        assert len(calls) == 1


def test_send_image_reqrep_can_be_overridden() -> None:
    class Doubling(imagezmq.ImageSender):
        def send_image_reqrep(self, msg: Any, image: Any) -> Any:
            return super().send_image_reqrep(msg, image * 2)

        def send_jpg_reqrep(self, msg: Any, jpg_buffer: Any) -> Any:
            return super().send_jpg_reqrep(msg, bytes(jpg_buffer) * 2)

    dark = CAT // 4
    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        Doubling(endpoint(hub)) as sender,
        answering(hub, 1) as images,
    ):
        assert sender.send_image("a", dark) == b"reply 0"
    assert (images[0][1] == dark * 2).all()
    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        Doubling(endpoint(hub)) as sender,
        answering(hub, 1, "recv_jpg") as blobs,
    ):
        assert sender.send_jpg("a", b"ab") == b"reply 0"
    assert blobs[0][1].bytes == b"abab"


def test_send_image_pubsub_can_be_overridden() -> None:
    class Naming(imagezmq.ImageSender):
        def send_image_pubsub(self, msg: Any, image: Any) -> Any:
            super().send_image_pubsub({"camera": msg}, image)
            return "overridden"

    with (
        Naming(ANY_PORT, REQ_REP=False) as sender,
        imagezmq.ImageHub(endpoint(sender), REQ_REP=False) as hub,
    ):
        subscribed(sender, hub)
        assert sender.send_image("a", CAT) == "overridden"
        assert hub.recv_image()[0] == {"camera": "a"}


def test_init_pubsub_written_as_imagezmq_writes_it() -> None:
    class Connecting(imagezmq.ImageSender):
        """A PUB sender that connects, as programs have it that do not know the hubs' number."""

        def init_pubsub(self, address: str) -> None:
            self.zmq_context = imagezmq.SerializingContext()
            self.zmq_socket = self.zmq_context.socket(zmq.PUB)
            self.zmq_socket.setsockopt(zmq.SNDHWM, 7)
            self.zmq_socket.connect(address)
            self.send_image = self.send_image_pubsub  # type: ignore[method-assign]
            self.send_jpg = self.send_jpg_pubsub  # type: ignore[method-assign]

    class Binding(imagezmq.ImageHub):
        def init_pubsub(self, address: str) -> None:
            self.zmq_context = imagezmq.SerializingContext()
            self.zmq_socket = self.zmq_context.socket(zmq.SUB)
            self.zmq_socket.setsockopt(zmq.SUBSCRIBE, b"")
            self.zmq_socket.bind(address)

    with (
        Binding(ANY_PORT, REQ_REP=False) as hub,
        Connecting(endpoint(hub), REQ_REP=False) as sender,
    ):
        assert sender.zmq_socket.getsockopt(zmq.SNDHWM) == 7
        subscribed(sender, hub)
        sender.send_image("a", CAT)
        message, image = hub.recv_image()
        assert (message, image.tobytes()) == ("a", CAT.tobytes())


def test_init_reqrep_written_as_imagezmq_writes_it() -> None:
    class Sender(imagezmq.ImageSender):
        def init_reqrep(self, address: str) -> None:
            self.zmq_context = imagezmq.SerializingContext()
            self.zmq_socket = self.zmq_context.socket(zmq.REQ)
            self.zmq_socket.setsockopt(zmq.LINGER, 0)
            self.zmq_socket.connect(address)
            self.send_image = self.send_image_reqrep  # type: ignore[method-assign]
            self.send_jpg = self.send_jpg_reqrep  # type: ignore[method-assign]

    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        Sender(endpoint(hub)) as sender,
        answering(hub, 2) as received,
    ):
        assert sender.send_image("a", CAT) == b"reply 0"
        assert sender.send_jpg("b", JPEG) == b"reply 1"
    assert [message for message, _ in received] == ["a", "b"]


def test_init_that_does_not_call_ours() -> None:
    class Sender(imagezmq.ImageSender):
        def __init__(self, address: str) -> None:
            self.init_reqrep(address)

    class Hub(imagezmq.ImageHub):
        def __init__(self, address: str) -> None:
            self.REQ_REP = True
            self.init_reqrep(address)

    with Hub(ANY_PORT) as hub, Sender(endpoint(hub)) as sender, answering(hub, 1) as received:
        assert sender.send_image("a", CAT) == b"reply 0"
    assert received[0][0] == "a"


def test_init_pubsub_called_on_a_finished_sender_switches_it() -> None:
    class Sender(imagezmq.ImageSender):
        def __init__(self, address: str) -> None:
            self.init_pubsub(address)

    with Sender(ANY_PORT) as sender, imagezmq.ImageHub(endpoint(sender), REQ_REP=False) as hub:
        subscribed(sender, hub)
        assert sender.send_image("a", CAT) is None
        assert hub.recv_image()[0] == "a"


def test_zmq_socket_can_be_swapped() -> None:
    # As programs do that got a REQ socket stuck: close it and make another.
    with imagezmq.ImageHub(ANY_PORT) as hub, imagezmq.ImageSender("tcp://127.0.0.1:1") as sender:
        sender.zmq_socket.close(linger=0)
        sender.zmq_socket = sender.zmq_context.socket(zmq.REQ)
        sender.zmq_socket.connect(endpoint(hub))
        with answering(hub, 2) as received:
            assert sender.send_image("a", CAT) == b"reply 0"
            assert sender.send_jpg("b", JPEG) == b"reply 1"
        assert [message for message, _ in received] == ["a", "b"]


def test_zmq_context_can_be_swapped() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub, imagezmq.ImageSender("tcp://127.0.0.1:1") as sender:
        sender.zmq_socket.close(linger=0)
        sender.zmq_context.term()
        sender.zmq_context = imagezmq.SerializingContext()
        sender.zmq_socket = sender.zmq_context.socket(zmq.REQ)
        sender.zmq_socket.connect(endpoint(hub))
        with answering(hub, 1):
            assert sender.send_image("a", CAT) == b"reply 0"


class Gray(imagezmq.SerializingSocket):
    """A socket of a program's own, which frames arrays in its own way."""

    def send_array(self, A: Any, msg: Any = "NoName", *args: Any, **options: Any) -> Any:
        return super().send_array(A[..., 1] if A.ndim else A, f"gray {msg}", *args, **options)

    def recv_array(self, *args: Any, **options: Any) -> Any:
        message, array = super().recv_array(*args, **options)
        return f"own {message}", array


class GrayContext(imagezmq.SerializingContext):
    _socket_class = Gray


def test_send_array_of_a_subclass_is_called() -> None:
    class Sender(imagezmq.ImageSender):
        def init_reqrep(self, address: str) -> None:
            self.zmq_context = GrayContext()
            self.zmq_socket = self.zmq_context.socket(zmq.REQ)
            self.zmq_socket.connect(address)

    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        Sender(endpoint(hub)) as sender,
        answering(hub, 4) as received,
    ):
        assert sender.send_image("a", CAT) == b"reply 0"
        assert sender.send_image("b", CAT[:, ::-1]) == b"reply 1"
        assert sender.send_image("c", np.array(7)) == b"reply 2"
        assert sender.send_jpg("d", JPEG) == b"reply 3"
    assert [message for message, _ in received] == ["gray a", "gray b", "gray c", "d"]
    assert (received[0][1] == CAT[..., 1]).all()
    assert (received[1][1] == CAT[:, ::-1, 1]).all()
    assert received[2][1].shape == ()


def test_recv_array_of_a_subclass_is_called() -> None:
    class Hub(imagezmq.ImageHub):
        def init_reqrep(self, address: str) -> None:
            self.zmq_context = GrayContext()
            self.zmq_socket = self.zmq_context.socket(zmq.REP)
            self.zmq_socket.bind(address)

    with Hub(ANY_PORT) as hub, imagezmq.ImageSender(endpoint(hub)) as sender:
        with answering(hub, 1) as received:
            assert sender.send_image("a", CAT) == b"reply 0"
        assert received[0][0] == "own a"
        assert (received[0][1] == CAT).all()


def test_a_subclass_of_the_socket_class_as_programs_register_it() -> None:
    # Its methods take copy= and track= as pyzmq's do.
    with GrayContext() as context, context.socket(zmq.PAIR) as a, context.socket(zmq.PAIR) as b:
        a.bind("inproc://pair")
        b.connect("inproc://pair")
        big = np.arange(1 << 18, dtype=np.uint8).reshape(256, 512, 2)
        tracker = a.send_array(big, "t", copy=False, track=True)
        assert isinstance(tracker, zmq.MessageTracker)
        message, array = b.recv_array()
        assert message == "own gray t"
        assert (array == big[..., 1]).all()
        del array
        tracker.wait(5)


def test_a_hub_that_answers_with_a_picture() -> None:
    # The reply of a REQ/REP pair can be a frame too: send_jpg on the hub's socket.
    with imagezmq.ImageHub(ANY_PORT) as hub, imagezmq.ImageSender(endpoint(hub)) as sender:

        def serve() -> None:
            message, image = hub.recv_image()
            small = cv2.imencode(".jpg", image[::4, ::4])[1]
            hub.zmq_socket.send_jpg(f"thumbnail of {message}", small, copy=False)
            message, image = hub.recv_image()
            hub.zmq_socket.send_array(image[::4, ::4], f"part of {message}", copy=False)

        with beside(serve):
            sender.zmq_socket.send_array(CAT, "a", copy=False)
            message, blob = sender.zmq_socket.recv_jpg()
            assert message == "thumbnail of a"
            assert type(blob) is bytes
            picture = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == CAT[::4, ::4].shape
            sender.zmq_socket.send_array(CAT, "b", copy=False)
            message, array = sender.zmq_socket.recv_array(copy=False)
            assert message == "part of b"
            assert (array == CAT[::4, ::4]).all()


def test_send_image_goes_on_after_an_answer_of_several_parts() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub, imagezmq.ImageSender(endpoint(hub)) as sender:

        def serve() -> None:
            hub.recv_image()
            hub.zmq_socket.send_jpg("a whole frame", JPEG)
            hub.recv_image()
            hub.send_reply(b"second")

        with beside(serve):
            assert sender.send_image("a", CAT) == b'{"msg": "a whole frame"}'
            assert sender.send_image("b", CAT) == b"second"


def test_the_sockets_own_methods_can_be_used() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub, imagezmq.ImageSender(endpoint(hub)) as sender:

        def serve() -> None:
            assert hub.zmq_socket.recv_multipart() == [b"any", b"parts"]
            hub.zmq_socket.send_json({"answer": 1})
            assert hub.zmq_socket.recv_string() == "text"
            hub.zmq_socket.send_string("ünicode")
            assert hub.zmq_socket.recv_pyobj() == (1, 2)
            hub.zmq_socket.send(b"")

        with beside(serve):
            sender.zmq_socket.send_multipart([b"any", b"parts"])
            assert sender.zmq_socket.recv_json() == {"answer": 1}
            sender.zmq_socket.send_string("text")
            assert sender.zmq_socket.recv_string() == "ünicode"
            sender.zmq_socket.send_pyobj((1, 2))
            assert sender.zmq_socket.recv() == b""


def test_a_poller_takes_the_sockets() -> None:
    # The usual way to have a time limit, or to serve two hubs in one loop.
    poller = zmq.Poller()
    with imagezmq.ImageHub(ANY_PORT) as one, imagezmq.ImageHub(ANY_PORT) as other:
        poller.register(one.zmq_socket, zmq.POLLIN)
        poller.register(other.zmq_socket, zmq.POLLIN)
        assert poller.poll(0) == []
        with (
            imagezmq.ImageSender(endpoint(other)) as sender,
            beside(lambda: sender.send_image("a", CAT)),
        ):
            assert poller.poll(5000) == [(other.zmq_socket, zmq.POLLIN)]
            assert other.recv_image()[0] == "a"
            other.send_reply()


def test_bound_methods_can_be_kept() -> None:
    class Camera:
        def __init__(self, address: str) -> None:
            self.sender = imagezmq.ImageSender(address)
            self.send = self.sender.send_image
            self.sender.owner = self  # type: ignore[attr-defined]  # a cycle

    with imagezmq.ImageHub(ANY_PORT) as hub:
        camera = Camera(endpoint(hub))
        receive, reply = hub.recv_image, hub.send_reply
        with beside(functools.partial(camera.send, "a", CAT)):
            assert receive()[0] == "a"
            reply(b"OK")
        del camera, receive, reply
        began = time.monotonic()
        gc.collect()
        assert time.monotonic() - began < 1.5


def test_options_can_be_set_on_zmq_socket_at_any_time() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub, imagezmq.ImageSender(endpoint(hub)) as sender:
        sender.zmq_socket.setsockopt(zmq.RCVTIMEO, 5000)
        sender.zmq_socket.SNDTIMEO = 5000
        sender.zmq_socket.set_hwm(5)
        with answering(hub, 1):
            sender.send_image("a", CAT)
        sender.zmq_socket.setsockopt(zmq.LINGER, 100)
        sender.zmq_socket.linger = 50
        with answering(hub, 1):
            sender.send_image("b", CAT)
        assert sender.zmq_socket.getsockopt(zmq.LINGER) == 50
        assert sender.zmq_socket.RCVTIMEO == 5000


def test_zmq_context_makes_more_sockets() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub:
        extra = hub.zmq_context.socket(zmq.PUSH)
        sink = hub.zmq_context.socket(zmq.PULL)
        assert type(extra) is imagezmq.SerializingSocket
        extra.bind("inproc://frames")
        sink.connect("inproc://frames")
        extra.send_array(CAT, "inside", copy=False)
        message, image = sink.recv_array(copy=False)
        assert message == "inside"
        assert (image == CAT).all()
    assert extra.closed
    assert sink.closed
    assert hub.zmq_context.closed


def test_hub_connect_to_several_senders() -> None:
    with contextlib.ExitStack() as stack:
        senders = [
            stack.enter_context(imagezmq.ImageSender(ANY_PORT, REQ_REP=False)) for _ in range(3)
        ]
        hub = stack.enter_context(imagezmq.ImageHub(endpoint(senders[0]), REQ_REP=False))
        assert hub.connect(endpoint(senders[1])) is None
        hub.connect(open_port=endpoint(senders[2]))
        seen: set[int] = set()
        deadline = time.monotonic() + 10
        while seen != {0, 1, 2} and time.monotonic() < deadline:
            for number, sender in enumerate(senders):
                sender.send_image(number, CAT[:8, :8])
            while hub.zmq_socket.poll(5):
                seen.add(hub.recv_image()[0])
        assert seen == {0, 1, 2}


def test_hub_connect_subscribes() -> None:
    # imageZMQ's connect subscribes; a program's own init_pubsub may leave it to that.
    class Hub(imagezmq.ImageHub):
        def init_pubsub(self, address: str) -> None:
            self.zmq_context = imagezmq.SerializingContext()
            self.zmq_socket = self.zmq_context.socket(zmq.SUB)

    with imagezmq.ImageSender(ANY_PORT, REQ_REP=False) as sender, Hub("", REQ_REP=False) as hub:
        hub.connect(endpoint(sender))
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 5000)
        subscribed(sender, hub)


def test_hub_connect_while_another_thread_waits_for_frames() -> None:
    # A receiving thread and a window with a button "add camera": no frame has come yet.
    with (
        imagezmq.ImageSender(ANY_PORT, REQ_REP=False) as silent,
        imagezmq.ImageSender(ANY_PORT, REQ_REP=False) as sender,
        imagezmq.ImageHub(endpoint(silent), REQ_REP=False) as hub,
    ):
        over = threading.Event()

        def keep_sending() -> None:
            while not over.wait(0.01):
                sender.send_image("added", CAT[:8, :8])

        def receive() -> Any:
            waiting.set()
            return hub.recv_image()

        waiting = threading.Event()
        with beside(keep_sending), beside(receive) as received:
            waiting.wait()
            time.sleep(0.05)  # into the wait; without it the test passes for less reason
            began = time.monotonic()
            hub.connect(endpoint(sender))
            assert time.monotonic() - began < 2
            assert received.result(5)[0] == "added"
            over.set()


def test_hub_connect_does_nothing_in_reqrep() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub:
        assert hub.connect("tcp://127.0.0.1:1") is None
        assert hub.zmq_socket.endpoints == ()


# --- what is received --------------------------------------------------------------


@pytest.mark.parametrize("size", [(2, 2), (480, 640)])
def test_images_are_writable_contiguous_and_outlive_the_hub(size: tuple[int, int]) -> None:
    sent = np.random.default_rng(1).integers(0, 255, (*size, 3), np.uint8)
    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        imagezmq.ImageSender(endpoint(hub)) as sender,
        answering(hub, 2) as received,
    ):
        sender.send_image("a", sent)
        sender.send_image("b", sent // 2)
    (_, image), (_, other) = received
    assert type(image) is np.ndarray
    assert image.flags.writeable
    assert image.flags.c_contiguous
    assert (image == sent).all()
    assert (other == sent // 2).all()
    cv2.rectangle(image, (0, 0), (1, 1), (1, 2, 3), -1)  # draws into it
    assert image[0, 0].tolist() == [1, 2, 3]
    assert (other == sent // 2).all()


def test_copy_is_accepted_by_both_receives() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub, imagezmq.ImageSender(endpoint(hub)) as sender:
        for copy in (False, True):
            with beside(lambda: sender.send_image("a", CAT)):
                assert (hub.recv_image(copy)[1] == CAT).all()
                hub.send_reply()
            with beside(lambda: sender.send_jpg("a", JPEG)):
                assert hub.recv_jpg(copy=copy)[1].bytes == JPEG.tobytes()
                hub.send_reply()


def test_what_recv_jpg_returns() -> None:
    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        imagezmq.ImageSender(endpoint(hub)) as sender,
        answering(hub, 1, "recv_jpg") as received,
    ):
        sender.send_jpg("a", JPEG)
    blob = received[0][1]
    encoded = JPEG.tobytes()
    assert bytes(memoryview(blob)) == encoded
    assert not memoryview(blob).readonly
    assert bytes(blob) == encoded
    assert blob.bytes == encoded
    assert bytes(blob.buffer) == encoded
    assert len(blob) == len(encoded)
    assert blob.more is False
    assert blob.get("Peer-Address") == blob["Peer-Address"] == "127.0.0.1"
    assert blob.get(zmq.MORE) == 0
    with pytest.raises(zmq.ZMQError):
        blob.get("No-Such-Property")
    array = np.frombuffer(blob, dtype="uint8")
    assert array.tobytes() == encoded
    assert (cv2.imdecode(array, -1) == cv2.imdecode(JPEG, -1)).all()


@pytest.mark.parametrize("blob", [b"", b"text", "Grüße".encode(), bytes(100_000), b"\xff\xd8 no"])
def test_blobs_of_any_kind_pass_untouched(blob: bytes) -> None:
    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        imagezmq.ImageSender(endpoint(hub)) as sender,
        answering(hub, 1, "recv_jpg") as received,
    ):
        assert sender.send_jpg("audio", blob) == b"reply 0"
        assert received[0][1].bytes == blob
        assert hub.stats().malformed == 0


def test_recv_jpg_of_pixels_gives_their_bytes() -> None:
    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        imagezmq.ImageSender(endpoint(hub)) as sender,
        answering(hub, 1, "recv_jpg") as received,
    ):
        sender.send_image("a", CAT)
    assert received[0][1].bytes == CAT.tobytes()


MESSAGES = ["", "Vögel", 3, 2.5, None, True, [1, ["a"]], {"a": {"b": [1]}}, "x" * 100_000]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda value: repr(value)[:20])
def test_a_message_is_any_json_value(message: Any) -> None:
    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        imagezmq.ImageSender(endpoint(hub)) as sender,
        answering(hub, 2) as received,
    ):
        sender.send_image(message, CAT)
        sender.send_jpg(message, JPEG)
    for got, _ in received:
        assert got == message
        assert type(got) is type(message)


def test_the_default_reply_is_ok() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub, imagezmq.ImageSender(endpoint(hub)) as sender:
        long = b"\0\xff" * 9999
        for reply, expected in (((), b"OK"), ((b"",), b""), ((long,), long)):
            with beside(lambda: sender.send_image("a", CAT)) as sent:
                hub.recv_image()
                assert hub.send_reply(*reply) is None
            assert sent.result() == expected
            assert type(sent.result()) is bytes


def test_a_pub_sender_returns_none_and_needs_no_hub() -> None:
    with imagezmq.ImageSender(ANY_PORT, REQ_REP=False) as sender:
        for _ in range(3):
            assert sender.send_image("a", CAT) is None
            assert sender.send_jpg("a", JPEG) is None


# --- patterns of whole programs ----------------------------------------------------


def test_the_documented_timeout_recipe(port: int) -> None:
    """As imageZMQ's documentation has it: options, zmq.Again, a new sender, until a hub is up."""
    address = f"tcp://127.0.0.1:{port}"

    def start() -> imagezmq.ImageSender:
        sender = imagezmq.ImageSender(connect_to=address)
        sender.zmq_socket.setsockopt(zmq.LINGER, 0)
        sender.zmq_socket.setsockopt(zmq.RCVTIMEO, 60)
        sender.zmq_socket.setsockopt(zmq.SNDTIMEO, 60)
        return sender

    attempts = 0
    with contextlib.ExitStack() as stack:
        received: list[Any] = []
        sender = start()
        while True:
            try:
                reply = sender.send_jpg("a", JPEG)
                break
            except (zmq.ZMQError, zmq.ContextTerminated, zmq.Again) as error:
                assert isinstance(error, zmq.Again)
                assert error.errno == zmq.EAGAIN
                attempts += 1
                assert attempts < 50
                began = time.monotonic()
                sender.close()
                assert time.monotonic() - began < 0.5
                if attempts == 3:
                    hub = stack.enter_context(imagezmq.ImageHub(f"tcp://*:{port}"))
                    received = stack.enter_context(answering(hub, 1, "recv_jpg"))
                sender = start()
        sender.close()
    assert attempts >= 3
    assert reply == b"reply 0"
    assert received[0][1].bytes == JPEG.tobytes()


def test_after_a_timeout_the_same_sender_sends_again(port: int) -> None:
    address = f"tcp://127.0.0.1:{port}"
    with imagezmq.ImageSender(address) as sender:
        sender.zmq_socket.setsockopt(zmq.RCVTIMEO, 20)
        for _ in range(3):
            with pytest.raises(zmq.Again) as error:
                sender.send_image("a", CAT)
            assert error.value.errno == zmq.EAGAIN
        sender.zmq_socket.setsockopt(zmq.RCVTIMEO, 10_000)
        with imagezmq.ImageHub(address) as hub, answering(hub, 1) as received:
            assert sender.send_image("b", CAT) == b"reply 0"
        assert [message for message, _ in received] == ["b"]


def test_a_hub_with_a_time_limit() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub, imagezmq.ImageSender(endpoint(hub)) as sender:
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 20)
        for receive in (hub.recv_image, hub.recv_jpg, hub.recv_frame):
            with pytest.raises(zmq.Again):
                receive()
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, -1)
        with answering(hub, 1):
            assert sender.send_image("a", CAT) == b"reply 0"


def test_three_stages_camera_to_hub_to_monitor() -> None:
    with (
        imagezmq.ImageHub(ANY_PORT) as hub,
        imagezmq.ImageSender(ANY_PORT, REQ_REP=False) as monitor,
        imagezmq.ImageHub(endpoint(monitor), REQ_REP=False) as screen,
        imagezmq.ImageSender(endpoint(hub)) as camera,
    ):
        subscribed(monitor, screen)

        def serve() -> None:
            for _ in range(20):
                name, image = hub.recv_image()
                hub.send_reply(b"OK")
                cv2.putText(image, name, (5, 50), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 255, 0))
                monitor.send_image(name, image)

        with beside(serve):
            for number in range(20):
                assert camera.send_image(f"frame {number}", CAT) == b"OK"
        for number in range(20):
            expected = CAT.copy()
            name = f"frame {number}"
            cv2.putText(expected, name, (5, 50), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 255, 0))
            message, image = screen.recv_image()
            assert message == name
            assert (image == expected).all()


def test_a_reader_thread_that_keeps_the_newest_frame() -> None:
    """As imageZMQ's fast PUB/SUB example: a thread drains the hub, the program takes the last."""
    newest: list[Any] = []
    with (
        imagezmq.ImageSender(ANY_PORT, REQ_REP=False) as sender,
        imagezmq.ImageHub(endpoint(sender), REQ_REP=False) as hub,
    ):
        subscribed(sender, hub)

        def drain() -> None:
            while not newest or newest[-1][0] != 49:
                newest[:] = [hub.recv_jpg()]

        with beside(drain):
            for number in range(50):
                sender.send_jpg(number, JPEG)
    assert newest[0][0] == 49
    assert (cv2.imdecode(np.frombuffer(newest[0][1], np.uint8), -1).shape) == CAT.shape


def test_a_frame_is_sent_on_as_it_was_received() -> None:
    with (
        imagezmq.ImageHub(ANY_PORT) as first,
        imagezmq.ImageHub(ANY_PORT) as second,
        imagezmq.ImageSender(endpoint(first)) as camera,
        imagezmq.ImageSender(endpoint(second)) as relay,
    ):

        def serve() -> None:
            for _ in range(2):
                first.send_reply(relay.send_jpg(*first.recv_jpg()))

        with beside(serve), answering(second, 2, "recv_jpg") as received:
            assert camera.send_jpg("a", JPEG) == b"reply 0"
            assert camera.send_jpg("b", b"text") == b"reply 1"
    assert [(message, blob.bytes) for message, blob in received] == [
        ("a", JPEG.tobytes()),
        ("b", b"text"),
    ]


def test_many_senders_and_one_hub() -> None:
    with imagezmq.ImageHub(ANY_PORT) as hub:

        def camera(number: int) -> list[bytes | None]:
            with imagezmq.ImageSender(endpoint(hub)) as sender:
                return [sender.send_image([number, n], CAT[:20, :20]) for n in range(10)]

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            replies = [pool.submit(camera, number) for number in range(8)]
            seen: dict[int, list[int]] = {number: [] for number in range(8)}
            for _ in range(80):
                (number, n), _ = hub.recv_image()
                seen[number].append(n)
                hub.send_reply(b"%d %d" % (number, n))
            for number, future in enumerate(replies):
                assert future.result(5) == [b"%d %d" % (number, n) for n in range(10)]
        assert all(order == list(range(10)) for order in seen.values())


def test_the_module_is_not_imagezmqs_own() -> None:
    assert sys.modules["imagezmq"] is theirs
    assert theirs.ImageHub is not imagezmq.ImageHub
