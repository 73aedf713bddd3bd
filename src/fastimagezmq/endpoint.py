"""What a sender and a hub have in common: their sockets' life, from open to closed."""

from __future__ import annotations

import contextlib
import functools
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, cast

import zmq

from .errors import StateError
from .transport import SerializingContext, SerializingSocket
from .transport.messages import Gate, Port
from .transport.sockets import CLOSE_SECONDS, line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from .transport.messages import Line, Methods

__all__ = ["Endpoint", "exclusive"]


_Method = TypeVar("_Method", bound="Callable[..., Any]")


def exclusive(method: _Method) -> _Method:
    """Make a method of an Endpoint one thread's turn at its socket.

    A ``close()`` that comes meanwhile leaves the socket to the thread that uses it: from
    another thread it terminates the context, which wakes this one; from a signal handler
    of this very thread it only leaves a note.

    The method raises StateError when the endpoint is closed, or was opened by the process
    that this one was forked from.
    """

    @functools.wraps(method)
    def turn(self: Endpoint, *args: Any) -> Any:
        gate = self._fiz_gate
        try:
            if not gate.enter():
                self._refuse()
            return method(self, *args)
        finally:
            if gate.leave():
                self._close_what_was_left()

    return cast("_Method", turn)


class Endpoint:
    """A socket, its context, a lock around them, and an end that never hangs.

    Programs reach into ``zmq_socket`` and ``zmq_context``, replace them, override the
    ``init_*`` methods that make them, and skip ``__init__``: so nothing here relies on an
    attribute that only ``__init__`` sets, and the names are such that a program's subclass
    will hardly take them for its own.
    """

    _fiz_gate: Gate  # lets in one thread at a time, and its signal handlers

    zmq_context: zmq.Context[Any]
    zmq_socket: Any

    _fiz_options: Mapping[Any, Any] = {}
    # The port of the socket used last: asking a pyzmq socket for anything costs a small
    # picture's time.
    _fiz_port: Port | None = None
    _fiz_ported: Any = None
    _fiz_close_noted = False  # to be completed by the thread that uses the socket

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ARG004 (__init__'s)
        """Make the object, ready for an ``__init__`` of the program's own."""
        self = super().__new__(cls)
        self._prepare()
        return self

    def _prepare(self) -> None:
        self._fiz_gate = Gate()

    def _open(
        self, socket_type: int, defaults: Mapping[int, int] = MappingProxyType({})
    ) -> SerializingSocket:
        """Make ``zmq_context`` and ``zmq_socket``; options are set before any address is.

        The program's options override ``defaults``.
        """
        self._fiz_gate.claim()
        self.zmq_context = context = SerializingContext()
        self.zmq_socket = socket = context.socket(socket_type)
        for option, value in (*defaults.items(), *self._fiz_options.items()):
            _set_option(socket, option, value)
        return socket

    def _line(self, socket: Any, methods: Methods) -> Line | None:
        """Tell what messages go through; None: the program's own socket, which frames them."""
        if socket is self._fiz_ported:
            port = self._fiz_port
            if port is not None and methods.unchanged(port):
                return port
        line = line_of(socket, methods)
        if type(line) is Port:
            self._fiz_port = line
            self._fiz_ported = socket
        return line

    def _check_process(self) -> None:
        # Before the gate is tried: a thread of the parent's may be inside for ever here.
        if self._fiz_gate.strange:
            raise self._state_error(
                "was opened by the process that this one was forked from: open a new one here"
            )

    def _check_open(self) -> None:
        if self._fiz_gate.closed:
            raise self._state_error("is closed")

    def _refuse(self) -> NoReturn:
        """Say why the gate is not open."""
        self._check_process()
        raise self._state_error("is closed")

    def _state_error(self, problem: str) -> StateError:
        return StateError(zmq.ENOTSOCK, f"this {type(self).__name__} {problem}")

    def close(self) -> None:
        """Close the socket and its context, within a second whatever the peer does.

        What can be delivered in that time is; a shorter LINGER that the program set is
        kept. Sockets that the program made from ``zmq_context`` are closed too. A second
        call does nothing. A thread that waits in this object gets ``zmq.ContextTerminated``.
        """
        gate = self._fiz_gate
        gate.closed = True
        if gate.strange:
            return  # the sockets are the parent process's
        if gate.held_here:
            self._fiz_close_noted = True
            return
        if gate.try_enter():
            try:
                self._close_socket()
            finally:
                gate.leave()
        self._close_context()

    def _close_what_was_left(self) -> None:
        """Close the socket that a ``close()`` found in use; called outside of the gate.

        ``close()`` sets its mark before it tries the gate, so one of the two sees the other.
        """
        gate = self._fiz_gate
        if gate.try_enter():
            try:
                self._close_socket()
                noted = self._fiz_close_noted
            finally:
                gate.leave()
            if noted:
                self._close_context()

    def _close_socket(self) -> None:
        socket = self.__dict__.get("zmq_socket")
        if socket is not None:
            socket.close()

    def _close_context(self) -> None:
        context = self.__dict__.get("zmq_context")
        if isinstance(context, SerializingContext):
            context.close_all(besides=self.__dict__.get("zmq_socket"))
        elif context is not None:
            context.destroy(linger=int(CLOSE_SECONDS * 1000))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Dropped without close(). At interpreter exit pieces may be gone already.
        with contextlib.suppress(Exception):
            if not self._fiz_gate.closed:
                self.close()


def _set_option(socket: zmq.Socket[Any], option: Any, value: Any) -> None:
    """Set a zmq option given as constant or by name.

    Raises:
        ValueError: libzmq has no such option, or refuses the value.
    """
    try:
        number = zmq.SocketOption[option] if isinstance(option, str) else option
        socket.set(number, value)
    except (KeyError, TypeError, zmq.ZMQError) as error:
        raise ValueError(f"the zmq option {option!r} cannot be set to {value!r}: {error}") from None
