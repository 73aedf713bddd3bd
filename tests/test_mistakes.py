"""First mistakes get one sentence each, and leave nothing behind."""

from __future__ import annotations

import re
import socket
import threading
from typing import Any

import numpy as np
import pytest
import zmq

import fastimagezmq
from fastimagezmq import AddressError, CodecError, Error, ImageHub, ImageSender, StateError

IMAGE = np.zeros((8, 8, 3), np.uint8)
LEASED = "tcp://192.0.2.1:5555"  # of TEST-NET-1: no machine of anyone's


@pytest.fixture
def publisher(address: str) -> Any:
    with ImageSender(address, REQ_REP=False) as sender:
        yield sender


# --- images --------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"jpeg": 85}])
@pytest.mark.parametrize(
    ("image", "words"),
    [
        (None, "the camera returned no frame: not warmed up, or wrong index?"),
        ((True, IMAGE), "cap.read() returns (ok, image), send its second item"),
        ([[1, 2]], "image is a builtins.list, not a numpy array"),
        ("picture.jpg", "image is a builtins.str, not a numpy array"),
        (b"\xff\xd8", "image is a builtins.bytes, not a numpy array"),
    ],
)
def test_no_array(address: str, options: Any, image: Any, words: str) -> None:
    with ImageSender(address, REQ_REP=False, **options) as sender:
        with pytest.raises(TypeError) as error:
            sender.send_image("m", image)
        assert words in str(error.value)


@pytest.mark.parametrize("dtype", [object, [("x", "f4")]])
def test_dtypes_that_cannot_travel(publisher: ImageSender, dtype: Any) -> None:
    with pytest.raises(TypeError, match="only plain numbers can"):
        publisher.send_image("m", np.zeros(3, dtype))


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        ("text", "not a str: encode it, as in text.encode()"),
        (None, "not None"),
        ((True, b""), "cv2.imencode returns (ok, jpg_buffer), send its second item"),
        (5, "not a int"),
        (np.array([object()]), "not an array of objects or records"),
        (np.zeros(2, [("x", "u1")]), "not an array of objects or records"),
        (np.zeros(2, "M8[s]"), "not a ndarray"),
    ],
)
def test_no_blob(publisher: ImageSender, blob: Any, words: str) -> None:
    with pytest.raises(TypeError) as error:
        publisher.send_jpg("m", blob)
    assert words in str(error.value)


def test_a_message_that_is_no_json(publisher: ImageSender) -> None:
    with pytest.raises(TypeError, match="msg must be a JSON value"):
        publisher.send_image(b"name", IMAGE)
    with pytest.raises(TypeError, match="msg must be a JSON value"):
        publisher.send_jpg({1, 2}, b"")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((8, 8, 4), np.uint8), "BGRX"),
        (np.zeros((8, 8), np.uint8), "GRAY"),
        (np.zeros((8, 8, 3), np.float32), "float32"),
        (np.zeros((0, 8, 3), np.uint8), "0"),
    ],
)
def test_what_jpeg_cannot_hold(address: str, image: Any, words: str) -> None:
    with ImageSender(address, REQ_REP=False, jpeg=85) as sender:
        with pytest.raises(CodecError) as error:
            sender.send_image("m", image)
        assert words in str(error.value)
        sender.send_image("m", IMAGE)  # and it is as usable as before


# --- options -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"jpeg": True}, TypeError, "give the JPEG quality, a number from 1 to 100"),
        ({"jpeg": "85"}, TypeError, "give the JPEG quality"),
        ({"jpeg": 85.0}, TypeError, "give the JPEG quality"),
        ({"jpeg": 0}, ValueError, "a number from 1 to 100"),
        ({"jpeg": 101}, ValueError, "a number from 1 to 100"),
        ({"colorspace": "RGB"}, ValueError, "raw pixels are sent as they are: add jpeg=85"),
        ({"subsampling": "444"}, ValueError, "raw pixels are sent as they are: add jpeg=85"),
        ({"jpeg": 85, "colorspace": "HSV"}, ValueError, "is none of BGR, RGB"),
        ({"jpeg": 85, "subsampling": "4:2:0"}, ValueError, "is none of 444"),
        (
            {"jpeg": 85, "colorspace": "YUV420", "subsampling": "444"},
            ValueError,
            "is 4:2:0 already",
        ),
        ({"options": {"NO_SUCH": 1}}, ValueError, "the zmq option 'NO_SUCH' cannot be set to 1"),
        ({"options": {zmq.SNDHWM: "x"}}, ValueError, "cannot be set to 'x'"),
        ({"sndhwm": -5}, ValueError, "cannot be set to -5"),
    ],
)
def test_sender_options(address: str, options: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as error:
        ImageSender(address, REQ_REP=False, **options)
    assert words in str(error.value)
    ImageSender(address, REQ_REP=False).close()  # nothing was left bound


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on_error": "ignore"}, 'give "skip" or "raise"'),
        ({"colorspace": "HSV"}, "is none of BGR, RGB"),
        ({"scale": 2}, "give 1, 1/2, 1/4 or 1/8"),
        ({"scale": True}, "give 1, 1/2, 1/4 or 1/8"),
        ({"max_bytes": "1 GB"}, "max_bytes='1 GB': give a whole number above 0"),
        ({"max_pixels": 0}, "max_pixels=0: give a whole number above 0"),
        ({"max_pixels": 1e6}, "give a whole number above 0"),
        ({"colorspace": "YUV420", "scale": 0.5}, "at full size only: leave out scale"),
        ({"options": {"NO_SUCH": 1}}, "cannot be set"),
    ],
)
def test_hub_options(address: str, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        ImageHub(address, **options)
    ImageHub(address).close()


def test_options_are_set_before_the_address(address: str) -> None:
    with ImageSender(address, sndhwm=7, options={"SNDBUF": 65536, zmq.SNDTIMEO: 9}) as sender:
        socket = sender.zmq_socket
        assert (socket.sndhwm, socket.sndbuf, socket.sndtimeo) == (7, 65536, 9)
    with ImageHub(address, rcvhwm=3, options={"RCVBUF": 4096}) as hub:
        assert (hub.zmq_socket.rcvhwm, hub.zmq_socket.rcvbuf) == (3, 4096)


# --- addresses -----------------------------------------------------------------------


def sentence(make: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(AddressError) as error:
        make(*arguments, **options)
    assert isinstance(error.value, zmq.ZMQError)
    assert isinstance(error.value, Error)
    assert error.value.errno
    text = str(error.value)
    assert "\n" not in text
    return text


def test_a_pub_sender_given_the_hubs_address() -> None:
    for address in (LEASED, "tcp://hub-computer:5555"):
        text = sentence(ImageSender, address, REQ_REP=False)
        assert "a PUB sender binds: use tcp://*:5555; the hub connects to it" in text


def test_a_hub_given_another_machines_address() -> None:
    text = sentence(ImageHub, LEASED)
    assert "an ImageHub binds: use tcp://*:5555 to listen on all of its interfaces" in text


def test_a_port_in_use(address: str) -> None:
    with ImageHub(address):
        text = sentence(ImageHub, address)
    assert "is in use: another program, or an earlier ImageHub or ImageSender" in text
    assert "in a notebook: close() it or restart the kernel" in text
    ImageHub(address).close()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:5555", 'has no transport: write "tcp://127.0.0.1:5555"'),
        ("hub", 'has no transport: write "tcp://hub"'),
        ("http://hub:5555", 'write "tcp://hub:5555"'),
        ("tcp://127.0.0.1", 'has no port: write "tcp://127.0.0.1:5555"'),
        ("tcp://:port", 'the port "port" in'),
        ("tcp://127.0.0.1:port", 'the port "port" in "tcp://127.0.0.1:port" is not a number'),
        ("tcp://5555", 'has no host: write "tcp://'),
        ("tcp://127.0.0.1:70000", "is not a number from 1 to 65535"),
    ],
)
def test_spelling(address: str, words: str) -> None:
    for make in (ImageSender, ImageHub):
        assert words in sentence(make, address)
        assert words in sentence(make, address, REQ_REP=False)


def test_wildcards_cannot_be_connected_to() -> None:
    assert "put the hub's in place of *" in sentence(ImageSender, "tcp://*:5555")
    assert "put the sender's in place of *" in sentence(ImageHub, "tcp://*:5555", REQ_REP=False)
    assert "names no port" in sentence(ImageSender, "tcp://127.0.0.1:*")


@pytest.mark.parametrize("address", [None, 5555, ("127.0.0.1", 5555)])
def test_an_address_that_is_no_text(address: Any) -> None:
    for make in (ImageSender, ImageHub):
        with pytest.raises(TypeError, match="an address is text such as"):
            make(address)


def test_a_failed_constructor_leaves_nothing_bound(address: str, port: int) -> None:
    class Careless(ImageHub):
        def init_reqrep(self, address: str) -> None:
            super().init_reqrep(address)
            raise RuntimeError("of the program's own")

    with pytest.raises(RuntimeError):
        Careless(address)
    with socket.create_server(("127.0.0.1", port)):
        pass


# --- calls out of turn ---------------------------------------------------------------


def test_a_second_receive_before_the_reply(address: str) -> None:
    with ImageHub(address) as hub, ImageSender(address) as sender:
        replies: list[Any] = []
        thread = threading.Thread(target=lambda: replies.append(sender.send_image("m", IMAGE)))
        thread.start()
        hub.recv_image()
        for receive in (hub.recv_image, hub.recv_jpg, hub.recv_frame):
            with pytest.raises(StateError, match="call send_reply first") as error:
                receive()
            assert error.value.errno == zmq.EFSM
        hub.send_reply(b"at last")
        thread.join()
        assert replies == [b"at last"]


def test_a_reply_to_nobody(address: str) -> None:
    with ImageHub(address) as hub, pytest.raises(StateError, match="call recv_image first"):
        hub.send_reply()


def test_a_reply_on_a_sub_hub(address: str) -> None:
    with (
        ImageHub(address, REQ_REP=False) as hub,
        pytest.raises(StateError, match=r"a SUB hub \(REQ_REP=False\) only receives"),
    ):
        hub.send_reply()


def test_a_reply_that_is_text(address: str) -> None:
    with ImageHub(address) as hub, pytest.raises(TypeError, match=r"write b'OK' or text.encode"):
        hub.send_reply("OK")  # type: ignore[arg-type]


def test_a_second_frame_before_the_reply(address: str) -> None:
    class Own(ImageSender):  # with a socket that is not this library's to make anew
        def init_reqrep(self, address: str) -> None:
            self._open(zmq.REQ).connect(address)

    with ImageHub(address) as hub, Own(address) as sender:
        sender.zmq_socket.setsockopt(zmq.RCVTIMEO, 50)
        with pytest.raises(zmq.Again):
            sender.send_image("m", IMAGE)
        with pytest.raises(StateError, match="has had no reply yet"):
            sender.send_image("m", IMAGE)
        assert hub.recv_image()[0] == "m"
        hub.send_reply()


@pytest.mark.parametrize("make", [ImageSender, ImageHub])
def test_use_after_close(address: str, make: Any) -> None:
    with make(address) as endpoint:
        pass
    use = (lambda: endpoint.send_image("m", IMAGE)) if make is ImageSender else endpoint.recv_image
    with pytest.raises(StateError, match=f"this {make.__name__} is closed"):
        use()


def test_every_error_is_documented_and_has_a_class_of_old() -> None:
    assert issubclass(fastimagezmq.WireError, ValueError)
    assert issubclass(fastimagezmq.CodecError, ValueError)
    assert issubclass(AddressError, zmq.ZMQError)
    assert issubclass(StateError, zmq.ZMQError)
    for kind in (AddressError, CodecError, Error, StateError, fastimagezmq.WireError):
        assert kind.__doc__
        assert issubclass(kind, Error)


@pytest.mark.parametrize("threads", [-1, 257, True, 1.5, "2"])
def test_a_wrong_number_of_threads(threads: Any) -> None:
    words = "give a number of threads up to 256, or 0 for as many as help"
    with pytest.raises(ValueError, match=words):
        ImageHub("tcp://127.0.0.1:*", threads=threads)
    with pytest.raises(ValueError, match=words):
        ImageSender(jpeg=85, threads=threads)
