# cython: freethreading_compatible=True, binding=True, embedsignature=False
"""Whole messages through pyzmq's own libzmq, without the GIL: a thin layer over ``native/``.

The functions take a `Port`, which is a pyzmq socket as libzmq knows it. Mixing them with
pyzmq's own calls on the same socket is fine. `attach` comes first.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBuffer_FillInfo,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.errno cimport EAGAIN as _EAGAIN, EINTR, EINVAL, ENOTSOCK
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc


cdef extern from "native/status.h" nogil:
    ctypedef enum fiz_status:
        FIZ_OK

    ctypedef struct fiz_error:
        char text[320]


cdef extern from "native/libzmq.h" nogil:
    enum:
        FIZ_ZMQ_DONTWAIT
        FIZ_ZMQ_TYPE
        FIZ_ZMQ_RCVTIMEO

    ctypedef struct fiz_zmq_msg:
        pass

    ctypedef struct fiz_libzmq:
        int (*error)()
        void (*version)(int *major, int *minor, int *patch)
        int (*getsockopt)(void *socket, int option, void *value, size_t *size)
        int (*msg_init)(fiz_zmq_msg *msg)
        int (*msg_move)(fiz_zmq_msg *to, fiz_zmq_msg *source)
        int (*msg_close)(fiz_zmq_msg *msg)
        void *(*msg_data)(fiz_zmq_msg *msg)
        size_t (*msg_size)(const fiz_zmq_msg *msg)
        int (*msg_more)(const fiz_zmq_msg *msg)
        const char *(*msg_gets)(const fiz_zmq_msg *msg, const char *property)

    fiz_libzmq fiz_zmq
    fiz_status fiz_libzmq_attach(const char *path, fiz_error *error)


cdef extern from "native/cpus.h" nogil:
    unsigned fiz_cpus_usable()


cdef extern from "native/spin.h" nogil:
    ctypedef struct fiz_spin:
        pass


cdef extern from "native/messages.h" nogil:
    enum:
        FIZ_PARTS_KEPT
        FIZ_SLICE_OVER

    ctypedef struct fiz_hold:
        fiz_hold *next

    int fiz_messages_init()
    int fiz_messages_send(
        void *socket, bint delimited, const void *header, size_t header_size,
        const void *body, size_t body_size, fiz_hold *hold, int flags)
    int fiz_messages_receive(
        void *socket, fiz_zmq_msg *parts, unsigned *count, int slice_ms, int flags,
        fiz_spin *spin)
    fiz_hold *fiz_messages_done()


cdef extern from "native/request.h" nogil:
    enum:
        FIZ_PASSED_OVER

    ctypedef enum fiz_turn:
        FIZ_TO_RECEIVE
        FIZ_RECEIVING
        FIZ_TO_REPLY
        FIZ_REPLYING

    ctypedef struct fiz_request:
        fiz_turn turn
        char passed_over[64]

    void fiz_request_end(fiz_request *request)
    int fiz_request_look(void *socket, fiz_request *request)
    int fiz_request_open(
        void *socket, fiz_request *request, int slice_ms, int flags, fiz_spin *spin)
    int fiz_request_receive(
        void *socket, fiz_request *request, fiz_zmq_msg *parts, unsigned *count, int slice_ms,
        int flags, fiz_spin *spin)
    int fiz_request_answer(void *socket, fiz_request *request)
    int fiz_request_reply(
        void *socket, fiz_request *request, const void *header, size_t header_size,
        const void *body, size_t body_size, fiz_hold *hold, int flags)


cdef extern from "native/header.h" nogil:
    ctypedef struct fiz_text:
        const char *start
        size_t size


cdef extern from "native/newest.h" nogil:
    enum:
        FIZ_KEY_KEPT

    ctypedef struct fiz_newest:
        pass

    ctypedef struct fiz_ticket:
        const char *key
        size_t key_size
        int64_t sequence
        uint64_t checksum

    ctypedef struct fiz_camera:
        void *frame
        uint64_t number
        char key[FIZ_KEY_KEPT]
        size_t key_size
        bint numbered
        uint64_t received
        uint64_t delivered
        uint64_t dropped
        uint64_t gaps

    ctypedef struct fiz_newest_counts:
        size_t cameras
        uint64_t dropped
        uint64_t forgotten
        uint64_t malformed

    fiz_newest *fiz_newest_new(size_t max_cameras)
    void *fiz_newest_put(fiz_newest *newest, const fiz_ticket *ticket, void *frame)
    int fiz_newest_take(fiz_newest *newest, unsigned ms, fiz_camera *taken)
    void fiz_newest_close(fiz_newest *newest)
    fiz_newest_counts fiz_newest_count(fiz_newest *newest)
    size_t fiz_newest_list(fiz_newest *newest, fiz_camera *cameras, size_t room)


cdef extern from "native/newest.h":
    void fiz_newest_free(fiz_newest *newest, void (*drop)(void *frame) noexcept)


cdef extern from "native/drain.h" nogil:
    enum:
        FIZ_PEER_MAX
        FIZ_BY_MESSAGE
        FIZ_BY_MEMBER
        FIZ_BY_PEER

    ctypedef int fiz_camera_kind

    ctypedef struct fiz_arrival:
        fiz_zmq_msg *parts
        unsigned count

    ctypedef struct fiz_drain:
        pass

    fiz_ticket fiz_ticket_of(
        const char *header, size_t size, const char *peer, fiz_camera_kind kind,
        fiz_text member, char *room)
    void fiz_arrival_free(void *arrival)
    int fiz_drain_init(
        fiz_drain *drain, fiz_newest *newest, bint routed, fiz_camera_kind kind,
        fiz_text member)
    void fiz_drain_end(fiz_drain *drain)
    int fiz_drain_run(fiz_drain *drain, void *socket, int fd, int other_fd, int limit_ms)
    int fiz_drain_reply(fiz_drain *drain, fiz_arrival *arrival, const void *data, size_t size)


# A body that libzmq reads in place. `link` stands first: a hold's address is its own.
ctypedef struct _Held:
    fiz_hold link
    Py_buffer view
    PyObject *port  # a reference to the port that sent it


import os as _os
from os import getpid as _getpid
from time import monotonic as _monotonic

import zmq.constants as _constants
from zmq.error import Again as _Again
from zmq.error import ContextTerminated as _ContextTerminated
from zmq.error import ZMQError as _ZMQError

__all__ = [
    "Arrival", "Drain", "Message", "Methods", "Newest", "Port", "Request", "Ticket", "attach",
    "receive", "release_done", "send",
]

cdef object _MESSAGE_KEY = object()
cdef int _ETERM = _constants.ETERM
cdef int _ROUTER = _constants.ROUTER
cdef bint _attached = False
# Whether a waiter may look for a while before it sleeps. With one CPU that would only keep
# whom it waits for from working. Known from the first port on.
cdef int _spins = -1

if fiz_messages_init():
    raise MemoryError


def attach(path):
    """Find libzmq's functions through the extension file of pyzmq's at ``path``.

    Returns libzmq's version, ``(major, minor, patch)``. Raises OSError, with one sentence
    that says what is missing, when they cannot be had there; the other functions of this
    module must not be called then.
    """
    global _attached
    cdef fiz_error error
    cdef bytes encoded = path.encode("utf-8", "surrogateescape")
    cdef int major = 0
    cdef int minor = 0
    cdef int patch = 0
    if fiz_libzmq_attach(encoded, &error) != FIZ_OK:
        raise OSError((<bytes>error.text).decode("utf-8", "replace"))
    fiz_zmq.version(&major, &minor, &patch)
    _attached = True
    return major, minor, patch


# From libzmq's numbers to exceptions, in one place


cdef int _raise(int error) except -1:
    if error == _EAGAIN:
        raise _Again()
    if error == _ETERM:
        raise _ContextTerminated()
    raise _ZMQError(error)


# Sockets


cdef class Request


@cython.final
@cython.auto_pickle(False)
@cython.binding(False)
cdef class Port:
    """A pyzmq socket as libzmq knows it, until the socket is closed.

    ``socket``: an open socket. ``close`` must be called before it is closed. ``request``: the
    socket is a ROUTER, and this port is to be used as a REP's. Raises zmq.ZMQError when libzmq
    does not take its handle for a socket of its type: then the functions found are not those
    of the libzmq that made it.

    ``overridden``: set by whoever replaces a method of the socket object itself.

    ``held``: how many bodies sent here libzmq may still read; `release_done` lowers it.
    """

    cdef void *_handle  # NULL once closed
    cdef object _kind  # the socket's class
    cdef int _owner  # the process that opened it
    cdef fiz_spin _spin  # of its reader
    cdef public bint overridden
    cdef readonly Py_ssize_t held
    cdef readonly Request request

    def __init__(self, socket, Request request=None):
        cdef int found = -1
        cdef size_t size = sizeof(found)
        cdef size_t handle = socket.underlying
        global _spins
        if not _attached:
            raise RuntimeError("libzmq's functions are not attached")
        if handle == 0:
            raise _ZMQError(ENOTSOCK)
        if fiz_zmq.getsockopt(<void *>handle, FIZ_ZMQ_TYPE, &found, &size) != 0:
            _raise(fiz_zmq.error())
        if found != (socket.type if request is None else _ROUTER):
            raise _ZMQError(EINVAL)
        if _spins < 0:
            _spins = fiz_cpus_usable() > 1 and _os.environ.get("FASTIMAGEZMQ_SPIN") != "0"
        self._kind = type(socket)
        self._owner = _getpid()
        self.request = request
        self._handle = <void *>handle

    def close(self):
        """Forget the socket: what is sent or received after this raises zmq.ZMQError."""
        self._handle = NULL


cdef int _interrupted(Port port) except -1:
    """Run the signal handlers. In a forked child every call is interrupted, for ever."""
    PyErr_CheckSignals()
    if port._handle == NULL or port._owner != _getpid():
        raise _ZMQError(ENOTSOCK)
    return 0


cdef void *_handle(Port port) except NULL:
    if port._handle == NULL:
        raise _ZMQError(ENOTSOCK)
    return port._handle


@cython.final
@cython.auto_pickle(False)
@cython.binding(False)
cdef class Methods:
    """Some methods of a class as they are now: whoever replaces one later wants it called.

    ``beneath``: a class whose methods those of ``kind`` override, and call.
    """

    cdef tuple _names
    cdef tuple _functions
    cdef object _beneath
    cdef tuple _names_beneath
    cdef tuple _functions_beneath

    def __init__(self, kind, *names, beneath=None):
        self._names = names
        self._functions = tuple([getattr(kind, name) for name in names])
        self._beneath = beneath
        self._names_beneath = () if beneath is None else tuple([
            name for name in names if getattr(kind, name) is not getattr(beneath, name)
        ])
        self._functions_beneath = tuple([getattr(beneath, name) for name in self._names_beneath])

    def unchanged(self, Port port not None):
        """Tell whether the socket behind ``port`` still has these methods."""
        return not port.overridden and self._in(port._kind)

    def kept_by(self, socket):
        """Tell whether a socket still has these methods."""
        own = socket.__dict__
        return self._in(type(socket)) and not any([name in own for name in self._names])

    cdef bint _in(self, kind) except -1:
        cdef Py_ssize_t i
        for i in range(len(self._names)):
            if getattr(kind, self._names[i]) is not self._functions[i]:
                return False
        for i in range(len(self._names_beneath)):
            if getattr(self._beneath, self._names_beneath[i]) is not self._functions_beneath[i]:
                return False
        return True


# Requests and replies


@cython.final
@cython.auto_pickle(False)
@cython.binding(False)
cdef class Request:
    """What a REP socket knows of its request, on a ROUTER: whose turn it is, and the envelope.

    It is its port's. ``passed_over`` is called with the address of a peer, or "", for each
    message of its that has no envelope, and is gone.
    """

    cdef fiz_request _request
    cdef object _passed_over

    def __cinit__(self, passed_over):
        self._passed_over = passed_over

    def __dealloc__(self):
        if _attached:
            fiz_request_end(&self._request)

    def to_reply(self, Port port not None):
        """Tell whether it is the reply's turn, or that of the rest of one."""
        cdef int error = fiz_request_look(_handle(port), &self._request)
        if error:
            _raise(error)
        return self._request.turn >= FIZ_TO_REPLY

    def took(self, bint more):
        """Say whether a part follows that which the socket gave last: it need not be asked."""
        if not more and self._request.turn == FIZ_RECEIVING:
            self._request.turn = FIZ_TO_REPLY

    def open(self, Port port not None, int flags=0):
        """Take the envelope of the next request, unless it has been taken; wait as `receive`.

        The socket gives the request's parts then. Raises zmq.ZMQError, also EFSM.
        """
        _wait(port, NULL, NULL, -1, flags)

    def answer(self, Port port not None):
        """Send the envelope, unless it has been sent; the socket takes the reply's parts then.

        ``finish`` tells of the last. Raises zmq.ZMQError, also EFSM.
        """
        cdef void *handle = _handle(port)
        cdef int error
        while True:
            with nogil:
                error = fiz_request_answer(handle, &self._request)
            if error == 0:
                return
            if error != EINTR:
                _raise(error)
            _interrupted(port)

    def finish(self, bint finished=True):
        """Say that the last part of a reply is about to be sent, or, False, that it was not."""
        self._request.turn = FIZ_TO_RECEIVE if finished else FIZ_REPLYING

    cdef int _pass_over(self) except -1:
        self._passed_over((<bytes>self._request.passed_over).decode("utf-8", "replace"))
        return 0


# Counts the forks that this process came through: asking for its number costs a system call.
cdef unsigned _generation = 1


def _count_fork():
    global _generation
    _generation += 1


if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_count_fork)


# Sending


cdef _Held *_hold(Port port, object body) except NULL:
    """Export the buffer of a body; it is released by `_release`."""
    cdef _Held *held = <_Held *>malloc(sizeof(_Held))
    if held == NULL:
        raise MemoryError
    try:
        PyObject_GetBuffer(body, &held.view, PyBUF_SIMPLE)
    except BaseException:
        free(held)
        raise
    Py_INCREF(port)
    held.port = <PyObject *>port
    with cython.critical_section(port):
        port.held += 1
    return held


cdef void _release(_Held *held) noexcept:
    cdef Port port = <Port>held.port
    with cython.critical_section(port):
        port.held -= 1
    Py_DECREF(port)
    PyBuffer_Release(&held.view)
    free(held)


@cython.binding(False)
def release_done():
    """Release what libzmq has read to the end since the last call.

    Until then a body that was sent in place keeps its buffer exported. `send` and
    `receive` do this too.
    """
    cdef fiz_hold *chain = fiz_messages_done()
    cdef fiz_hold *hold
    while chain != NULL:
        hold = chain
        chain = chain.next
        _release(<_Held *>hold)


@cython.binding(False)
def send(
    Port port not None, bytes header not None, body, Py_ssize_t copy_below, int flags=0,
    bint delimited=False,
):
    """Send a message of two parts, or of one: all of it, or nothing.

    ``header``: bytes, copied. ``body``: a contiguous buffer, copied if it has fewer bytes than
    ``copy_below``; else libzmq reads it in place, until some time after this returns, and it
    must not change before; None for a message of one part. ``flags``: ``zmq.DONTWAIT`` or 0.
    ``delimited``: send an empty part before them, as a DEALER must to a REP.

    Signal handlers run while it waits; when one raises, nothing has been sent. Raises
    zmq.ZMQError as ``zmq.Socket.send`` does, BufferError and TypeError for what is no
    contiguous buffer.
    """
    cdef void *handle = _handle(port)
    cdef fiz_request *request = _request_of(port)
    cdef const char *start = header
    cdef size_t size = <size_t>len(header)
    cdef _Held *held = NULL
    cdef const void *data = NULL
    cdef size_t nbytes = 0
    cdef int error
    release_done()
    while True:
        if body is not None:
            held = _hold(port, body)
            # An empty buffer may have no address; an empty part is one all the same.
            data = held.view.buf if held.view.len else start
            nbytes = <size_t>held.view.len
        if held == NULL or held.view.len < copy_below:
            with nogil:
                error = _pass(
                    handle, request, delimited, start, size, data, nbytes, NULL, flags)
            if held != NULL:
                _release(held)
        else:
            with nogil:
                error = _pass(
                    handle, request, delimited, start, size, data, nbytes, &held.link, flags)
        if error == 0:
            return
        release_done()
        if error != EINTR:
            _raise(error)
        _interrupted(port)


cdef inline int _pass(
    void *handle, fiz_request *request, bint delimited, const char *header, size_t header_size,
    const void *body, size_t body_size, fiz_hold *hold, int flags
) noexcept nogil:
    if request == NULL:
        return fiz_messages_send(
            handle, delimited, header, header_size, body, body_size, hold, flags)
    return fiz_request_reply(handle, request, header, header_size, body, body_size, hold, flags)


cdef inline fiz_request *_request_of(Port port) noexcept:
    return NULL if port.request is None else &port.request._request


# Receiving


@cython.final
cdef class Message:
    """One part of a received message, as ``zmq.Frame`` gives it: a writable buffer.

    One-dimensional, bytes. Its memory is libzmq's own, and stays valid after the socket is
    closed, until the last reference and the last view are gone.
    """

    # Initialised in __cinit__, so that libzmq may always be asked about it and close it.
    cdef fiz_zmq_msg _msg
    cdef object _copied
    cdef object __weakref__

    def __cinit__(self, key=None, /):
        if key is not _MESSAGE_KEY:
            raise TypeError("a Message is made by receiving one")
        fiz_zmq.msg_init(&self._msg)

    def __dealloc__(self):
        if _attached:
            fiz_zmq.msg_close(&self._msg)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(
            view, self, fiz_zmq.msg_data(&self._msg), <Py_ssize_t>fiz_zmq.msg_size(&self._msg),
            0, flags)

    def __buffer__(self, flags, /):
        """Return a memoryview: PEP 688, which Python 3.11 does not know by itself."""
        return memoryview(self)

    def __len__(self):
        return fiz_zmq.msg_size(&self._msg)

    def __bytes__(self):
        return PyBytes_FromStringAndSize(
            <char *>fiz_zmq.msg_data(&self._msg), <Py_ssize_t>fiz_zmq.msg_size(&self._msg))

    def __repr__(self):
        nbytes = len(self)
        if nbytes <= 16:
            return f"<fastimagezmq.Message {self.bytes!r}>"
        return f"<fastimagezmq.Message {self.bytes[:12]!r}... of {nbytes} bytes>"

    @property
    def bytes(self):
        """The contents as `bytes`: a copy, made when it is first asked for."""
        with cython.critical_section(self):
            if self._copied is None:
                self._copied = self.__bytes__()
            return self._copied

    @property
    def buffer(self):
        """A memoryview of the contents."""
        return memoryview(self)

    @property
    def more(self):
        """Whether another part of the same message followed."""
        return bool(fiz_zmq.msg_more(&self._msg))

    def get(self, option):
        """Return a property, such as "Peer-Address", as `str`, or ``zmq.MORE`` as `int`.

        Raises zmq.ZMQError when the message has no such property.
        """
        cdef const char *value
        cdef bytes name
        if isinstance(option, int):
            if option == _constants.MORE:
                return int(self.more)
            raise _ZMQError(EINVAL)
        name = option.encode() if isinstance(option, str) else option
        value = fiz_zmq.msg_gets(&self._msg, name)
        if value == NULL:
            raise _ZMQError(EINVAL)
        return value.decode("utf-8", "replace")

    def __getitem__(self, option):
        return self.get(option)


@cython.binding(False)
def receive(Port port not None, int slice_ms=-1, int flags=0):
    """Wait for a message and take it whole: a list of its `Message` parts.

    Only the first three parts are kept: a frame has two. Waits as long as the socket's
    RCVTIMEO says, or, with a ``slice_ms`` of 0 or more (milliseconds), that long at most
    and then returns None. ``flags``: ``zmq.DONTWAIT`` or 0.

    Signal handlers run while it waits; when one raises, no message is lost. Raises
    zmq.ZMQError as ``zmq.Socket.recv`` does.
    """
    cdef fiz_zmq_msg parts[FIZ_PARTS_KEPT]
    cdef unsigned count = 0
    if not _wait(port, parts, &count, slice_ms, flags):
        return None
    release_done()  # what a reply answers has been read
    return _taken(parts, count)


cdef bint _wait(
    Port port, fiz_zmq_msg *parts, unsigned *count, int slice_ms, int flags
) except -1:
    """Wait for a message, or, without ``parts``, for its envelope; False: the slice is over."""
    cdef void *handle = _handle(port)
    cdef fiz_request *request = _request_of(port)
    cdef fiz_spin *spin = &port._spin if _spins else NULL
    cdef bint limited = False  # the slice is RCVTIMEO
    cdef int error
    cdef double end = 0
    while True:
        with nogil:
            if request == NULL:
                error = fiz_messages_receive(handle, parts, count, slice_ms, flags, spin)
            elif parts == NULL:
                error = fiz_request_open(handle, request, slice_ms, flags, spin)
            else:
                error = fiz_request_receive(
                    handle, request, parts, count, slice_ms, flags, spin)
        if error == 0:
            return True
        if error == FIZ_PASSED_OVER:
            port.request._pass_over()
            PyErr_CheckSignals()
            # From now on RCVTIMEO is a slice: each such message would start it anew.
            if slice_ms < 0 and not flags & FIZ_ZMQ_DONTWAIT:
                slice_ms = _limit_of(handle)
                limited = slice_ms >= 0
        elif error == EINTR:
            _interrupted(port)
        elif error != FIZ_SLICE_OVER:
            _raise(error)
        if error == FIZ_SLICE_OVER or (error == FIZ_PASSED_OVER and slice_ms == 0):
            if limited:
                raise _Again()
            return False
        # The first signal, or message passed over, starts the slice anew, those after it do
        # not: a timer's signals must not keep it from ending.
        if slice_ms > 0:
            if end == 0:
                end = _monotonic() + slice_ms / 1000.0
            slice_ms = max(0, <int>((end - _monotonic()) * 1000))


cdef int _limit_of(void *handle) except -2:
    """Return RCVTIMEO."""
    cdef int limit_ms = -1
    cdef size_t size = sizeof(limit_ms)
    if fiz_zmq.getsockopt(handle, FIZ_ZMQ_RCVTIMEO, &limit_ms, &size) != 0:
        _raise(fiz_zmq.error())
    return limit_ms


cdef list _taken(fiz_zmq_msg *parts, unsigned count):
    """Move parts into Message objects."""
    cdef list messages = []
    cdef Message message
    cdef unsigned i = 0
    try:
        while i < count:
            message = Message.__new__(Message, _MESSAGE_KEY)
            fiz_zmq.msg_move(&message._msg, &parts[i])
            i += 1
            messages.append(message)
    finally:
        while i < count:
            fiz_zmq.msg_close(&parts[i])
            i += 1
    return messages


# The newest frames


cdef unsigned _SLICE_MS = 50  # so soon does a signal's handler run while something waits


@cython.final
@cython.auto_pickle(False)
cdef class Ticket:
    """Says whose frame a message is: what tells its camera, and which frame it is.

    ``header``: the first part of a message. ``peer``: its sender's address, or None.
    ``member``: the field of ``msg`` that tells the camera, as JSON spells it, without quotes;
    None: all of ``msg``. ``by_peer``: the peer tells the camera.

    ``key``: JSON text, empty for what is no header.
    """

    cdef readonly bytes key
    cdef int64_t _sequence
    cdef uint64_t _checksum

    def __init__(self, bytes header not None, bytes peer=None, bytes member=None,
                 bint by_peer=False):
        cdef char room[FIZ_PEER_MAX]
        cdef fiz_ticket ticket = fiz_ticket_of(
            header, <size_t>len(header), NULL if peer is None else <const char *>peer,
            _kind(member, by_peer), _text(member), room)
        self.key = PyBytes_FromStringAndSize(ticket.key, <Py_ssize_t>ticket.key_size)
        self._sequence = ticket.sequence
        self._checksum = ticket.checksum

    @staticmethod
    def of_key(bytes key not None):
        """Return a ticket for a camera that is told by ``key``, without a sequence number."""
        cdef Ticket ticket = Ticket.__new__(Ticket)
        ticket.key = key
        ticket._sequence = -1
        return ticket


cdef fiz_camera_kind _kind(bytes member, bint by_peer):
    if by_peer:
        return FIZ_BY_PEER
    return FIZ_BY_MESSAGE if member is None else FIZ_BY_MEMBER


cdef fiz_text _text(bytes text):
    cdef fiz_text slice
    slice.start = NULL if text is None else <const char *>text
    slice.size = 0 if text is None else <size_t>len(text)
    return slice


cdef void _drop_object(void *frame) noexcept:
    Py_DECREF(<object>frame)


@cython.final
@cython.auto_pickle(False)
cdef class Newest:
    """The newest frame of each camera: a table that any thread may use.

    ``max_cameras``: of more, the one last seen longest ago is forgotten. ``native``: a
    `Drain` puts frames in, and `take` gives `Arrival` objects; else `put` does, of any kind.
    """

    cdef fiz_newest *_table
    cdef bint _native
    cdef unsigned _process  # the generation that made it
    cdef readonly object delivered
    """What `take` gave last, until `settled`: no exception of a signal handler's loses it."""

    def __cinit__(self, size_t max_cameras, bint native):
        self._native = native
        self._process = _generation
        self._table = fiz_newest_new(max_cameras)
        if self._table == NULL:
            raise MemoryError

    def __dealloc__(self):
        # A forked child may find it half changed, and has no use for it.
        if self._table != NULL and self._process == _generation:
            if self._native:
                fiz_newest_free(self._table, fiz_arrival_free)
            else:
                fiz_newest_free(self._table, _drop_object)

    def put(self, Ticket ticket not None, frame):
        """Put a frame in; return the one that has no place any more, or None.

        That may be ``frame`` itself, if it came before or the table is closed.
        """
        cdef fiz_ticket native
        cdef void *homeless
        if self._native:
            raise TypeError("a Drain puts frames into this table")
        native.key = ticket.key
        native.key_size = <size_t>len(ticket.key)
        native.sequence = ticket._sequence
        native.checksum = ticket._checksum
        Py_INCREF(frame)
        homeless = fiz_newest_put(self._table, &native, <PyObject *>frame)
        if homeless == NULL:
            return None
        result = <object>homeless
        Py_DECREF(result)
        return result

    def take(self, int wait_ms):
        """Wait for the next camera's frame; return ``(key, number, frame)``, or None.

        ``key`` is JSON text, or its beginning if it is long; ``number`` counts all frames that
        were put in. Signal handlers run while it waits. Raises zmq.ContextTerminated when the
        table is closed.
        """
        cdef fiz_camera taken
        if not self._wait(wait_ms, &taken):
            return None
        if self._native:
            frame = _arrived(<fiz_arrival *>taken.frame)
        else:
            frame = <object>taken.frame
            Py_DECREF(frame)
        self.delivered = _key_of(&taken), taken.number, frame
        return self.delivered

    def settled(self):
        """Forget what was taken last."""
        self.delivered = None

    def poll(self, int wait_ms):
        """Wait as `take` does; tell whether there is a frame, and leave it."""
        return self._wait(wait_ms, NULL)

    cdef bint _wait(self, int wait_ms, fiz_camera *taken) except -1:
        cdef int result
        cdef unsigned slice = 0
        cdef double end = _monotonic() + wait_ms / 1000.0 if wait_ms > 0 else 0
        cdef double left
        while True:
            with nogil:
                result = fiz_newest_take(self._table, slice, taken)
            if result < 0:
                raise _ContextTerminated()
            if result > 0:
                return True
            PyErr_CheckSignals()
            left = end - _monotonic() if wait_ms > 0 else 0
            if left <= 0:
                return False
            slice = min(_SLICE_MS, <unsigned>(left * 1000) + 1)

    def close(self):
        """Wake who waits; nothing is put in or taken any more."""
        fiz_newest_close(self._table)

    def counts(self):
        """Return how many frames were dropped, cameras forgotten, and other things dropped."""
        cdef fiz_newest_counts counts = fiz_newest_count(self._table)
        return counts.dropped, counts.forgotten, counts.malformed

    def cameras(self):
        """Return ``(key, received, delivered, dropped, gaps)`` of each camera, newest first.

        ``gaps`` is None where no frame had a sequence number.
        """
        cdef size_t room = fiz_newest_count(self._table).cameras
        cdef size_t count, i
        cdef fiz_camera *cameras = <fiz_camera *>malloc((room + 1) * sizeof(fiz_camera))
        cdef list found = []
        if cameras == NULL:
            raise MemoryError
        try:
            count = fiz_newest_list(self._table, cameras, room)
            for i in range(count):
                found.append((
                    _key_of(&cameras[i]), cameras[i].received, cameras[i].delivered,
                    cameras[i].dropped, cameras[i].gaps if cameras[i].numbered else None))
        finally:
            free(cameras)
        return found


cdef bytes _key_of(const fiz_camera *camera):
    return PyBytes_FromStringAndSize(
        camera.key, <Py_ssize_t>min(camera.key_size, <size_t>FIZ_KEY_KEPT))


@cython.final
@cython.auto_pickle(False)
cdef class Arrival:
    """A message that a `Drain` took. ``parts``: a list of `Message`."""

    cdef fiz_arrival *_arrival  # what a reply goes to; NULL once it is answered
    cdef readonly list parts

    def __cinit__(self, key=None, /):
        if key is not _MESSAGE_KEY:
            raise TypeError("an Arrival is made by a Drain")

    def __dealloc__(self):
        if self._arrival != NULL:
            fiz_arrival_free(self._arrival)


cdef Arrival _arrived(fiz_arrival *native):
    cdef Arrival arrival = Arrival.__new__(Arrival, _MESSAGE_KEY)
    cdef unsigned count = native.count
    arrival._arrival = native
    native.count = 0  # _taken closes what it cannot move
    arrival.parts = _taken(native.parts, count)
    return arrival


@cython.final
@cython.auto_pickle(False)
cdef class Drain:
    """Takes what arrives at a socket, without the GIL, into a `Newest` table.

    ``routed``: a ROUTER that speaks to REQ senders. ``member``, ``by_peer``: as for `Ticket`.
    """

    cdef fiz_drain _drain
    cdef Newest _newest
    cdef bytes _member
    cdef unsigned _process  # 0 until it is made

    def __cinit__(self, Newest newest not None, bint routed, bytes member=None,
                  bint by_peer=False):
        if not newest._native:
            raise TypeError("this table is for frames that Python puts in")
        self._newest = newest
        self._member = member
        if fiz_drain_init(
                &self._drain, newest._table, routed, _kind(member, by_peer), _text(member)):
            raise MemoryError
        self._process = _generation

    def __dealloc__(self):
        if self._process == _generation:
            fiz_drain_end(&self._drain)

    def run(self, Port port not None, int fd, int other_fd=-1, int limit_ms=-1):
        """Drain a socket, which nobody else uses meanwhile, until it is stopped.

        It is when ``fd`` gives an ``s``; any other byte makes it look for replies. Also when
        there is something to read at ``other_fd``, and after ``limit_ms``; below 0: never.
        Raises zmq.ZMQError as receiving does; it may be called again then.
        """
        cdef void *handle = _handle(port)
        cdef int error
        with nogil:
            error = fiz_drain_run(&self._drain, handle, fd, other_fd, limit_ms)
        if error:
            _raise(error)

    def reply(self, Arrival arrival not None, bytes data not None):
        """Have ``data`` sent to where ``arrival`` came from, as soon as the drain is woken."""
        cdef fiz_arrival *native = arrival._arrival
        cdef const char *start = data
        cdef int error
        if native == NULL:
            return
        arrival._arrival = NULL
        error = fiz_drain_reply(&self._drain, native, start, <size_t>len(data))
        if error:
            _raise(error)
