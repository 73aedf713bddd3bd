# cython: freethreading_compatible=True, binding=True, embedsignature=False
"""The gate of an endpoint: one thread at a time. It knows no sockets."""

cimport cython

import os as _os
from threading import Condition as _Condition
from time import monotonic as _monotonic

__all__ = ["Gate"]


cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident() nogil

# Counts the forks that this process came through: asking for its number costs a system call.
cdef unsigned _generation = 1


def _count_fork():
    global _generation
    _generation += 1


if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_count_fork)


# A signal handler that waits on top of its own thread's wait is not told: that one is.
cdef object _LINE_SECONDS = 0.05


@cython.final
@cython.auto_pickle(False)
@cython.binding(False)
cdef class Gate:
    """Lets one thread at a time through, in one process, until it is closed.

    A lock that costs little while nobody contends for it, which a message for a small
    picture would notice. A thread may pass again while it is inside, as a signal handler
    does. ``enter`` belongs inside the ``try`` whose ``finally`` calls ``leave``, which undoes
    what this thread's ``enter`` did, be it nothing.

    ``closed``: set by whoever wants it so; nobody is thrown out.
    """

    # Guarded by the GIL, or by the critical section where there is none.
    cdef unsigned long _holder  # the thread inside, or 0
    cdef unsigned _depth
    cdef unsigned _waiting
    cdef unsigned _process  # the generation that may enter, or 0 for any
    cdef object _left
    cdef public bint closed

    def __cinit__(self):
        self._left = _Condition()

    def claim(self):
        """Let only this process enter from now on, and open the gate."""
        self._process = _generation
        self.closed = False

    @property
    def strange(self):
        """Whether the gate belongs to a process that this one was forked from."""
        return self._process != 0 and self._process != _generation

    @property
    def held(self):
        """Whether a thread is inside."""
        return self._holder != 0

    @property
    def held_here(self):
        """Whether the calling thread is inside."""
        return self._holder == PyThread_get_thread_ident()

    def enter(self):
        """Wait for one's turn. False: the gate is closed, or belongs to another process."""
        if self._process != 0 and self._process != _generation:
            return False
        if not self._take(False):
            self._wait(None)
        return not self.closed

    def try_enter(self, timeout=0.0):
        """Enter, closed or not, if that can be within ``timeout`` seconds; tell whether."""
        return bool(self._take(False)) or (timeout > 0 and bool(self._wait(timeout)))

    def leave(self):
        """Let the next one in. True: the gate is closed, and this thread is out of it."""
        cdef bint last = False
        cdef bint noticed = False
        if self._process != 0 and self._process != _generation:
            return False
        if self._holder == PyThread_get_thread_ident():
            with cython.critical_section(self):
                self._depth -= 1
                last = self._depth == 0
                if last:
                    self._holder = 0
                noticed = last and self._waiting > 0
            if noticed:
                with self._left:
                    self._left.notify()
            return last and self.closed
        return bool(self.closed)

    cdef bint _take(self, bint in_line) noexcept:
        """Go in if nobody is there; who comes anew lets those in line go first."""
        cdef unsigned long me = PyThread_get_thread_ident()
        cdef bint taken
        with cython.critical_section(self):
            taken = self._holder == me or (
                self._holder == 0 and (in_line or self._waiting == 0)
            )
            if taken:
                self._holder = me
                self._depth += 1
        return taken

    cdef bint _wait(self, timeout) except -1:
        # A thread that leaves looks at _waiting after it has made room, and one that waits
        # tries once more after it has made itself known: one of the two sees the other.
        cdef bint taken = False
        end = None if timeout is None else _monotonic() + timeout
        with self._left:
            with cython.critical_section(self):
                self._waiting += 1
            try:
                # Those in line have been told, or will be: whoever comes anew must not be
                # quicker than they are to wake, or they would never get in.
                taken = self._waiting == 1 and self._take(True)
                while not taken:
                    slice = _LINE_SECONDS
                    if end is not None:
                        slice = min(slice, end - _monotonic())
                        if slice <= 0:
                            break
                    self._left.wait(slice)
                    taken = self._take(True)
            finally:
                with cython.critical_section(self):
                    self._waiting -= 1
                if not taken:
                    self._left.notify()  # it may have been this thread that was told
        return taken
