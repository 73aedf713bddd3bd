"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = (
    "fastimagezmq",
    "imagezmq",
    "vidgear",
    "simplejpeg",
    "pyzmq",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
)


def describe() -> dict[str, Any]:
    """Give the machine and the versions of all that takes part; no names of hosts or folders."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "load": os.getloadavg()[0],
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    import cv2  # noqa: PLC0415
    import zmq  # noqa: PLC0415

    from fastimagezmq import _codec  # noqa: PLC0415

    found = {"Python": platform.python_version(), "libzmq": zmq.zmq_version()}
    found["libjpeg-turbo of fastimagezmq"] = _codec.libjpeg_turbo_version()
    for line in cv2.getBuildInformation().splitlines():
        name, _, value = line.strip().partition(":")
        if name == "JPEG":
            found["libjpeg of cv2"] = value.strip()
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model"):
                return value.strip()
    return platform.processor() or "unknown"


def _memory() -> int | None:
    """Give the physical memory in bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
