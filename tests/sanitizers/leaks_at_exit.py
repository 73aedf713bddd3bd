"""Looks for leaks when Python's own exit begins: imported by the .pth file of test-sanitized.sh.

LeakSanitizer itself looks after everything has ended. An interpreter never frees all of what it
made, so that would drown what matters. Before that, whatever is of use can be reached.

What a running Python thread holds cannot, though: since Python 3.11 its frames lie in memory that
no malloc gave, where LeakSanitizer does not look. So a process whose daemon threads still run is
left alone.
"""

from __future__ import annotations

import _thread
import atexit
import ctypes

_check = getattr(ctypes.CDLL(None), "__lsan_do_recoverable_leak_check", None)


def _look() -> None:
    if _thread._count() == 0:  # leaves no object behind, as sys._current_frames() would
        _check()


if _check is not None:
    atexit.register(_look)  # the first to be registered is the last to run
