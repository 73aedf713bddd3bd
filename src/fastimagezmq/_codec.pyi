from collections.abc import Sequence
from numbers import Real
from typing import Final, NamedTuple, Self, SupportsIndex, TypeAlias, TypeVar, final, overload

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

__all__ = [
    "COLORSPACES",
    "DEFAULT_MAX_PIXELS",
    "SUBSAMPLINGS",
    "THREADS_MAX",
    "JpegInfo",
    "JpegJob",
    "Lease",
    "PoolStats",
    "decode_jpeg",
    "encode_jpeg",
    "jpeg_info",
    "lease",
    "libjpeg_turbo_version",
    "pool_stats",
    "pool_trim",
    "thread_count",
]

_Pixels: TypeAlias = npt.NDArray[np.uint8]
_Out = TypeVar("_Out", bound=_Pixels | tuple[_Pixels, _Pixels, _Pixels] | list[_Pixels])

COLORSPACES: Final[tuple[str, ...]]
SUBSAMPLINGS: Final[tuple[str, ...]]
DEFAULT_MAX_PIXELS: Final[int]
THREADS_MAX: Final[int]

class PoolStats(NamedTuple):
    leases: int
    allocated: int
    reused: int
    idle_blocks: int
    idle_bytes: int

class JpegInfo(NamedTuple):
    width: int
    height: int
    subsampling: str
    components: int
    restart_interval: int
    progressive: bool

@final
class Lease:
    @property
    def nbytes(self) -> int: ...
    @property
    def readonly(self) -> bool: ...
    def tobytes(self) -> bytes: ...
    def __bytes__(self) -> bytes: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class JpegJob:
    def __new__(
        cls,
        image: _Pixels | Buffer | Sequence[_Pixels],
        quality: SupportsIndex,
        *,
        subsampling: str,
        colorspace: str,
        size: tuple[int, int] | None = None,
        threads: SupportsIndex,
        restart_rows: SupportsIndex,
    ) -> Self: ...
    def encode(self) -> Lease: ...

def lease(nbytes: SupportsIndex) -> Lease: ...
def pool_stats() -> PoolStats: ...
def pool_trim() -> None: ...
def encode_jpeg(
    image: _Pixels | Buffer | Sequence[_Pixels],
    quality: SupportsIndex = 85,
    *,
    subsampling: str = "420",
    colorspace: str = "BGR",
    size: tuple[int, int] | None = None,
    threads: SupportsIndex = 0,
    restart_rows: SupportsIndex = 1,
) -> Lease: ...
@overload
def decode_jpeg(
    data: Buffer,
    *,
    colorspace: str = "BGR",
    scale: float | Real = 1,
    out: None = None,
    max_pixels: SupportsIndex = ...,
    threads: SupportsIndex = 0,
) -> _Pixels: ...
@overload
def decode_jpeg(
    data: Buffer,
    *,
    colorspace: str = "BGR",
    scale: float | Real = 1,
    out: _Out,
    max_pixels: SupportsIndex = ...,
    threads: SupportsIndex = 0,
) -> _Out: ...
def jpeg_info(data: Buffer) -> JpegInfo: ...
def libjpeg_turbo_version() -> str: ...
def thread_count() -> int: ...
