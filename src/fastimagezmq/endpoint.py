"""What a sender and a hub have in common: their sockets' life, from open to closed."""

from __future__ import annotations

import contextlib
import functools
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, cast

import zmq

from . import log
from ._gate import Gate
from .closing import Closing
from .errors import AddressError, SecurityError, StateError
from .transport import SerializingContext, SerializingSocket
from .transport.addresses import is_local
from .transport.messages import Port
from .transport.sockets import CLOSE_SECONDS, line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .transport.guard import Guard
    from .transport.messages import Line, Methods

__all__ = ["Endpoint", "exclusive"]

_HANDSHAKE_MS = 5000
"""After so long a connection that has not shaken hands ends, as ``transport.guard`` has it for
secured ones; an honest peer tries again. libzmq's own limit is 30 seconds, in which more
descriptors pile up."""

# libzmq lets go of an address some time after its socket is closed.
_REBIND_SECONDS = 5.0

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


class Endpoint(Closing):
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
    _fiz_guard: Guard | None = None  # with security= or allow=
    _fiz_unbound: tuple[str, ...] = ()  # addresses that a socket opened anew is to be bound to
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
        self.zmq_context = SerializingContext()
        return self._open_socket(socket_type, defaults)

    def _open_socket(
        self, socket_type: int, defaults: Mapping[int, int] = MappingProxyType({})
    ) -> SerializingSocket:
        self.zmq_socket = socket = self._new_socket(socket_type)
        for option, value in (*defaults.items(), *self._fiz_options.items()):
            _set_option(socket, option, value)
        if self._fiz_guard is not None:
            self._fiz_guard.protect(socket)  # last: no option is set after it
        return socket

    def _bind_defaults(self) -> dict[int, int]:
        """Return the options of a socket that binds."""
        # A guard sees to that itself.
        return {zmq.HANDSHAKE_IVL: _HANDSHAKE_MS} if self._fiz_guard is None else {}

    def _new_socket(self, socket_type: int) -> SerializingSocket:
        return cast("SerializingSocket", self.zmq_context.socket(socket_type))

    def _secure(self, security: Any, allow: Any, *, binds: bool) -> None:
        """Take what ``security=`` and ``allow=`` were given, before a socket is opened.

        Raises:
            SecurityError: something is missing, wrong, or for the other end.
        """
        if security is None and allow is None:
            return
        # Here, since `import fastimagezmq` would pay for it.
        from .security import networks, security_of  # noqa: PLC0415
        from .transport.guard import Guard  # noqa: PLC0415

        if allow is not None and not binds:
            raise SecurityError(
                f"allow= is for the end that binds, and this {type(self).__name__} connects: leave"
                " it out"
            )
        self._fiz_guard = Guard(
            None if security is None else security_of(security, binds=binds),
            () if allow is None else networks(allow),
            binds=binds,
        )

    def _socket_in_use(self) -> Any:
        """Return the socket through which messages pass."""
        return self.__dict__.get("zmq_socket")

    def _check_secured(self) -> None:
        """Refuse to go on when the socket is another than the one that was secured.

        Raises:
            SecurityError: a subclass or the program has put a socket of its own in its place.
        """
        guard = self._fiz_guard
        if guard is not None and self._socket_in_use() is not guard.socket:
            raise SecurityError(
                f"this {type(self).__name__}'s socket is the program's own, which security= and"
                " allow= cannot secure: leave them out, or the socket as it is"
            )

    def _cut_off_revoked(self) -> None:
        """Open the socket anew if a peer that is connected to it has been revoked.

        A socket cannot end one of its connections. This ends all of them, and drops what
        they have not taken yet; who is still authorized connects again by itself.

        Raises:
            AddressError: the address cannot be bound again. Nothing is sent then; the next
                call tries again.
        """
        guard = self._fiz_guard
        if guard is None:
            return
        self._check_secured()
        if not self._fiz_unbound:
            if not guard.someone_was_revoked():
                return
            socket_type, self._fiz_unbound = int(self.zmq_socket.type), self.zmq_socket.bound
            self.zmq_socket.close(0)
            guard.forget()
            self._open_socket(socket_type)
        while self._fiz_unbound:
            self._bind_again(self._fiz_unbound[0])
            self._fiz_unbound = self._fiz_unbound[1:]

    def _bind_again(self, address: str) -> None:
        """Bind an address that the socket before has let go of, or is about to."""
        deadline = time.monotonic() + _REBIND_SECONDS
        while True:
            try:
                self.zmq_socket.bind(address)
            except AddressError as error:
                if error.errno != zmq.EADDRINUSE or time.monotonic() > deadline:
                    raise
            else:
                return
            time.sleep(0.002)
            if self._fiz_gate.closed:
                raise zmq.ContextTerminated

    def _tell_exposure(self) -> None:
        """Say that everybody who reaches this end may connect, if so."""
        socket = self._socket_in_use()
        if self._fiz_guard is None and isinstance(socket, SerializingSocket):
            for address in socket.bound:
                if not is_local(address):
                    log.info(
                        "fastimagezmq: this %s at %s is open to everybody who reaches it, and"
                        " nothing is encrypted; security= or allow= change that",
                        type(self).__name__,
                        address,
                    )

    def _line(self, socket: Any, methods: Methods) -> Line | None:
        """Tell what messages go through; None: the program's own socket, which frames them."""
        if self._fiz_guard is not None:
            self._check_secured()
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
        if self._fiz_guard is not None:
            self._fiz_guard.close()
        context = self.__dict__.get("zmq_context")
        if isinstance(context, SerializingContext):
            context.close_all(besides=self.__dict__.get("zmq_socket"))
        elif context is not None:
            context.destroy(linger=int(CLOSE_SECONDS * 1000))

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
        told = "what was given" if _is_secret(option) else f"{value!r}: {error}"
        raise ValueError(f"the zmq option {option!r} cannot be set to {told}") from None


def _is_secret(option: Any) -> bool:
    secrets = ("CURVE_SECRETKEY", "PLAIN_PASSWORD")
    return option in secrets or option in [zmq.SocketOption[name] for name in secrets]
