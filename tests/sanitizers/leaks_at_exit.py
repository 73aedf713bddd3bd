"""Looks for leaks when Python's own exit begins: imported by the .pth file of test-sanitized.sh.

LeakSanitizer itself looks after everything has ended. An interpreter never frees all of what it
made, so that would drown what matters. Before that, whatever is of use is reachable.
"""

from __future__ import annotations

import atexit
import ctypes

_check = getattr(ctypes.CDLL(None), "__lsan_do_recoverable_leak_check", None)
if _check is not None:
    atexit.register(_check)  # the first to be registered is the last to run
