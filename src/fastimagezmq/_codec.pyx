# cython: freethreading_compatible=True, binding=True, embedsignature=False
"""Pooled memory and JPEG: a thin layer over ``native/``.

Here arguments are checked and turned into C; whatever takes time runs in C
without the GIL. Every argument is checked before anything is acquired.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_FillInfo,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from ._native cimport (
    FIZ_BGR, FIZ_BGRX, FIZ_GRAY, FIZ_JPEG_SIDE_MAX, FIZ_LIBJPEG_TURBO_VERSION, FIZ_NO_MEMORY,
    FIZ_OK, FIZ_RGB, FIZ_RGBX, FIZ_SAMPLING_420, FIZ_SAMPLING_422, FIZ_SAMPLING_444,
    FIZ_SAMPLING_GRAY, FIZ_THREADS_MAX, FIZ_YUV420, fiz_block, fiz_block_data,
    fiz_encode_options, fiz_error, fiz_jpeg_decode, fiz_jpeg_decoder_init, fiz_jpeg_encode,
    fiz_jpeg_encoder_init, fiz_jpeg_header, fiz_jpeg_header_admit, fiz_jpeg_header_is_420,
    fiz_jpeg_header_read, fiz_jpeg_scaled, fiz_layout, fiz_layout_channels, fiz_picture,
    fiz_pool_count, fiz_pool_counts, fiz_pool_init, fiz_pool_lease, fiz_pool_release,
    fiz_pool_trim, fiz_sampling, fiz_status, fiz_threads_init, fiz_threads_set_size,
    fiz_threads_size, fiz_threads_sized, fiz_threads_stop,
)
from ._planes cimport _rows_contiguous, _set_i420, _set_plane

import atexit as _atexit
import os as _os
import warnings as _warnings
from numbers import Real as _Real
from operator import index as _index
from typing import NamedTuple

import numpy as _np

from .errors import CodecError

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

THREADS_MAX = FIZ_THREADS_MAX
DEFAULT_MAX_PIXELS = 1 << 27

cdef dict _LAYOUTS = {
    "BGR": FIZ_BGR,
    "RGB": FIZ_RGB,
    "BGRX": FIZ_BGRX,
    "RGBX": FIZ_RGBX,
    "GRAY": FIZ_GRAY,
    "YUV420": FIZ_YUV420,
    # picamera2 names its formats by DRM's rule: the last letter is first in memory
    "RGB888": FIZ_BGR,
    "BGR888": FIZ_RGB,
    "XRGB8888": FIZ_BGRX,
    "XBGR8888": FIZ_RGBX,
}
cdef dict _SAMPLINGS = {
    "444": FIZ_SAMPLING_444,
    "422": FIZ_SAMPLING_422,
    "420": FIZ_SAMPLING_420,
    "gray": FIZ_SAMPLING_GRAY,
}
COLORSPACES = tuple(_LAYOUTS)
SUBSAMPLINGS = tuple(_SAMPLINGS)

cdef object _LEASE_KEY = object()
cdef Py_ssize_t _SSIZE_MAX = <Py_ssize_t>((<size_t>-1) >> 1)
cdef uint8_t _NOTHING = 0

if (
    fiz_pool_init()
    or fiz_threads_init()
    or fiz_jpeg_encoder_init()
    or fiz_jpeg_decoder_init()
):
    raise MemoryError


class PoolStats(NamedTuple):
    """What the pool holds; counters since the start of the process (see `pool_stats`)."""

    leases: int
    allocated: int
    reused: int
    idle_blocks: int
    idle_bytes: int


class JpegInfo(NamedTuple):
    """What stands in the header of a JPEG (see `jpeg_info`)."""

    width: int
    height: int
    subsampling: str
    components: int
    restart_interval: int
    progressive: bool


# Buffers


@cython.final
cdef class Lease:
    """A block of bytes from the pool, held until its last reader is gone.

    One-dimensional ``uint8`` buffer of ``nbytes`` bytes, 64-byte aligned, usable
    wherever bytes-like objects are: ``memoryview(x)``, ``np.frombuffer(x,
    np.uint8)``, ``socket.send(x, copy=False)``, ``file.write(x)``. Made by `lease`
    (writable) and by `encode_jpeg` (read-only). The block goes back to the pool
    when the last reference and the last view of the buffer are gone; until then
    nobody else is given it.
    """

    # Owned: NULL only between __cinit__ and _lease_of, which no Python code sees.
    cdef fiz_block *_block
    cdef Py_ssize_t _nbytes
    cdef bint _readonly
    cdef object __weakref__

    def __cinit__(self, key=None, /):
        if key is not _LEASE_KEY:
            raise TypeError("a Lease is made by lease(nbytes) and by encode_jpeg(image)")

    def __dealloc__(self):
        fiz_pool_release(self._block)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self._data(), self._nbytes, self._readonly, flags)

    def __buffer__(self, flags, /):
        """Return a memoryview: PEP 688, which Python 3.11 does not know by itself."""
        view = memoryview(self)
        if flags & PyBUF_WRITABLE and view.readonly:
            raise BufferError("the lease is read-only")
        return view

    def __len__(self):
        return self._nbytes

    def __bytes__(self):
        return self.tobytes()

    def __repr__(self):
        access = "read-only" if self._readonly else "writable"
        return f"<fastimagezmq.Lease of {self._nbytes} bytes, {access}>"

    @property
    def nbytes(self):
        """Size of the buffer in bytes."""
        return self._nbytes

    @property
    def readonly(self):
        """Whether views of the buffer are read-only."""
        return bool(self._readonly)

    def tobytes(self):
        """Return a copy as `bytes`."""
        return PyBytes_FromStringAndSize(<char *>self._data(), self._nbytes)

    cdef uint8_t *_data(self) noexcept:
        return fiz_block_data(self._block) if self._block != NULL else &_NOTHING


cdef Lease _lease_of(fiz_block *block, size_t nbytes, bint readonly):
    """Hand a leased block over to a new Lease; on an error it is released."""
    cdef Lease self
    try:
        self = Lease.__new__(Lease, _LEASE_KEY)
    except BaseException:
        fiz_pool_release(block)
        raise
    self._block = block
    self._nbytes = <Py_ssize_t>nbytes
    self._readonly = readonly
    return self


@cython.final
@cython.no_gc_clear
cdef class _Export:
    """A buffer of somebody's, held until this object goes."""

    cdef Py_buffer view
    cdef bint held

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)


cdef _Export _export(object owner, int flags):
    cdef _Export self = _Export.__new__(_Export)
    PyObject_GetBuffer(owner, &self.view, flags)
    self.held = True
    return self


def lease(nbytes):
    """Lend a writable block of ``nbytes`` bytes (an int, 0 or more) from the pool.

    Its contents are undefined. Raises TypeError for what is no integer, ValueError
    for a negative size and MemoryError when the system has no memory.
    """
    size = _index(nbytes)
    if size < 0:
        raise ValueError(f"a lease has 0 bytes or more, not {size}")
    if size > _SSIZE_MAX:
        raise MemoryError
    return _lease(size)


cdef Lease _lease(size_t nbytes):
    cdef fiz_block *block
    with nogil:
        block = fiz_pool_lease(nbytes)
    if block == NULL:
        raise MemoryError
    return _lease_of(block, nbytes, False)


def pool_stats():
    """Count the pool's blocks: a `PoolStats`.

    ``leases`` are alive now (each a `Lease`, or an array over one), ``allocated``
    blocks were taken from the system and ``reused`` leases were served without,
    since the start; ``idle_blocks`` of ``idle_bytes`` together wait for a next use.
    """
    cdef fiz_pool_counts counts = fiz_pool_count()
    return PoolStats(
        counts.leases, counts.allocated, counts.reused, counts.idle_blocks, counts.idle_bytes
    )


def pool_trim():
    """Give the pool's idle blocks back to the system."""
    with nogil:
        fiz_pool_trim()


# Threads


def _stop_threads():
    with nogil:
        fiz_threads_stop()


_atexit.register(_stop_threads)


cdef int _size_threads() except -1:
    """Settle the size of the pool of threads, once in each process, forked ones too."""
    if fiz_threads_sized():
        return 0
    told = _os.environ.get("FASTIMAGEZMQ_THREADS", "")
    number = int(told) if told.isascii() and told.isdecimal() and len(told) < 10 else 0
    fits = 1 <= number <= FIZ_THREADS_MAX
    fiz_threads_set_size(number if fits else 0)
    if told and not fits:
        _warnings.warn(
            f"FASTIMAGEZMQ_THREADS must be an integer from 1 to {FIZ_THREADS_MAX}, not {told!r}: "
            f"going on with {fiz_threads_size()}, what the CPUs allow",
            RuntimeWarning,
            stacklevel=2,
        )
    return 0


def thread_count():
    """Return how many threads can work on one JPEG in this process, the caller's included.

    It is settled when a process first needs it: FASTIMAGEZMQ_THREADS (1 to 256) of the
    environment, or the CPUs that affinity and control groups' quotas leave.
    """
    _size_threads()
    return fiz_threads_size()


# Arguments


cdef object _refusal(fiz_status status, fiz_error *error):
    """The exception for a status of C other than FIZ_OK."""
    if status == FIZ_NO_MEMORY:
        return MemoryError()
    return CodecError((<bytes>error.text).decode("ascii", "replace"))


cdef str _kind(object value):
    """How an argument is named in an error message."""
    if isinstance(value, _np.ndarray):
        return f"{value.dtype} {value.shape}"
    return type(value).__name__


cdef long long _integer(object value, str name, long long low, long long high) except? -1:
    if not isinstance(value, (bool, _np.bool_)):
        try:
            number = _index(value)
        except TypeError:
            pass
        else:
            if low <= number <= high:
                return number
    raise CodecError(f"{name} must be an integer from {low} to {high}, not {value!r}")


cdef unsigned _threads(object threads) except? 0:
    _size_threads()
    return <unsigned>_integer(threads, "threads", 0, FIZ_THREADS_MAX)


cdef int _layout(object colorspace) except -1:
    if isinstance(colorspace, str):
        layout = _LAYOUTS.get(colorspace)
        if layout is not None:
            return layout
    raise CodecError(f"colorspace must be one of {', '.join(COLORSPACES)}, not {colorspace!r}")


cdef int _sampling(object subsampling) except -1:
    if isinstance(subsampling, str):
        sampling = _SAMPLINGS.get(subsampling)
        if sampling is not None:
            return sampling
    raise CodecError(
        f"subsampling must be one of {', '.join(map(repr, SUBSAMPLINGS))}, not {subsampling!r}"
    )


cdef unsigned _denominator(object scale) except 0:
    cdef unsigned denominator
    if isinstance(scale, _Real) and not isinstance(scale, bool):
        for denominator in (1, 2, 4, 8):
            if scale * denominator == 1:
                return denominator
    raise CodecError(f"scale must be 1, 1/2, 1/4 or 1/8, not {scale!r}")


cdef object _as_array(object value, str name):
    """The value as an ndarray without a copy of its data."""
    if isinstance(value, _np.ndarray):
        array = value
    else:
        try:
            array = _np.asarray(memoryview(value))
        except (TypeError, ValueError):
            raise CodecError(
                f"{name} must be a NumPy array of uint8, not {_kind(value)}"
            ) from None
    if array.dtype != _np.uint8:
        raise CodecError(f"{name} must be an array of uint8, not {_kind(array)}")
    return array


cdef int _check_sides(Py_ssize_t width, Py_ssize_t height) except -1:
    if width < 1 or height < 1:
        raise CodecError(f"image of {width}x{height} pixels has no pixels")
    if width > FIZ_JPEG_SIDE_MAX or height > FIZ_JPEG_SIDE_MAX:
        raise CodecError(
            f"image of {width}x{height} pixels is wider or taller than {FIZ_JPEG_SIDE_MAX}"
        )
    return 0


# Encoding


cdef _Export _readable(object array):
    """The array's buffer with whole rows: the array itself, or one copy of it."""
    cdef _Export export = _export(array, PyBUF_STRIDES)
    if not _rows_contiguous(&export.view):
        export = _export(_np.ascontiguousarray(array), PyBUF_STRIDES)
    return export


cdef object _wrong_shape(object array, str colorspace, int layout):
    """The error for an image whose shape does not fit its colour space."""
    cdef unsigned channels = fiz_layout_channels(<fiz_layout>layout)
    told = f"image is {_kind(array)}, but colorspace {colorspace!r} takes"
    if layout == FIZ_GRAY:
        return CodecError(f"{told} (h, w) or (h, w, 1)")
    if channels == 3 and array.ndim == 3 and array.shape[2] == 4:
        return CodecError(
            f"{told} (h, w, 3): for 4 channels pass colorspace='BGRX' for OpenCV's order "
            "(picamera2's XRGB8888) or 'RGBX' for picamera2's XBGR8888"
        )
    if channels > 1 and array.ndim == 2:
        return CodecError(
            f"{told} (h, w, {channels}): for 2 dimensions pass colorspace='GRAY' for a gray "
            "image or 'YUV420' for an I420 one"
        )
    return CodecError(f"{told} (h, w, {channels})")


cdef tuple _read_pixels(object image, str colorspace, int layout, fiz_picture *picture):
    """Describe an image of one array of pixels; returns the exports that keep it."""
    cdef _Export export
    array = _as_array(image, "image")
    if array.ndim not in (2, 3) or not (
        array.ndim == 2 and layout == FIZ_GRAY
        or array.ndim == 3 and array.shape[2] == fiz_layout_channels(<fiz_layout>layout)
    ):
        raise _wrong_shape(array, colorspace, layout)
    _check_sides(array.shape[1], array.shape[0])
    export = _readable(array)
    picture.width = <unsigned>export.view.shape[1]
    picture.height = <unsigned>export.view.shape[0]
    _set_plane(&picture.planes[0], &export.view)
    return (export,)


cdef tuple _plane_shapes(Py_ssize_t width, Py_ssize_t height):
    chroma = ((height + 1) // 2, (width + 1) // 2)
    return (height, width), chroma, chroma


cdef tuple _read_planes(object image, fiz_picture *picture):
    """Describe a 4:2:0 image of three arrays."""
    cdef _Export export
    cdef int i
    if len(image) != 3:
        raise CodecError(f"image must be three planes (Y, U, V), not {len(image)}")
    arrays = [_as_array(plane, f"image[{i}]") for i, plane in enumerate(image)]
    if arrays[0].ndim != 2:
        raise CodecError(f"image[0], the Y plane, must be uint8 (h, w), not {_kind(arrays[0])}")
    height, width = arrays[0].shape
    _check_sides(width, height)
    exports = []
    for i, shape in enumerate(_plane_shapes(width, height)):
        if arrays[i].shape != shape:
            raise CodecError(
                f"image[{i}] must be uint8 {shape} beside a Y plane of {(height, width)}, "
                f"not {_kind(arrays[i])}"
            )
    for i in range(3):
        export = _readable(arrays[i])
        _set_plane(&picture.planes[i], &export.view)
        exports.append(export)
    picture.width = width
    picture.height = height
    return tuple(exports)


cdef tuple _size_of(object size):
    try:
        width, height = size
        return _index(width), _index(height)
    except (TypeError, ValueError):
        raise CodecError(f"size must be (width, height), not {size!r}") from None


cdef tuple _read_i420(object image, object size, fiz_picture *picture):
    """Describe a 4:2:0 image of one I420 array."""
    cdef _Export export
    array = _as_array(image, "image")
    if array.ndim != 2 or array.shape[0] % 3 or array.shape[1] % 2:
        raise CodecError(
            f"image is {_kind(array)}, but colorspace 'YUV420' takes an I420 array of shape "
            "(h*3/2, w) with even w and h, or three planes (Y, U, V)"
        )
    columns, rows = array.shape[1], array.shape[0] // 3 * 2
    width, height = (columns, rows) if size is None else _size_of(size)
    if not (0 <= width <= columns and 0 <= height <= rows):
        raise CodecError(
            f"size {width}x{height} does not lie within the I420 array {_kind(array)}, whose Y "
            f"plane is {columns}x{rows}"
        )
    if width % 2 or height % 2:
        raise CodecError(
            f"size {width}x{height} is odd, which an I420 array cannot hold: pass three planes "
            "(Y, U, V)"
        )
    _check_sides(width, height)
    export = _readable(array)
    _set_i420(picture, &export.view)
    picture.width = width
    picture.height = height
    return (export,)


cdef tuple _read_image(object image, str colorspace, int layout, object size,
                       fiz_picture *picture):
    picture.layout = <fiz_layout>layout
    if layout == FIZ_YUV420:
        if not isinstance(image, (tuple, list)):
            return _read_i420(image, size, picture)
        if size is None:
            return _read_planes(image, picture)
        raise CodecError("size goes with a single I420 array; three planes tell it themselves")
    if size is not None:
        raise CodecError(f"size goes with colorspace='YUV420', not with {colorspace!r}")
    return _read_pixels(image, colorspace, layout, picture)


cdef unsigned _restart_rows(object restart_rows, fiz_picture *picture, int sampling) except? 0:
    """MCU rows between restart markers, such that libjpeg's interval is a whole row."""
    cdef unsigned wide = 8
    cdef unsigned high = 8
    cdef unsigned rows = <unsigned>_integer(restart_rows, "restart_rows", 0, 65535)
    cdef unsigned rows_here
    if picture.layout != FIZ_GRAY:
        wide = 16 if sampling in (FIZ_SAMPLING_422, FIZ_SAMPLING_420) else 8
        high = 16 if sampling == FIZ_SAMPLING_420 else 8
    rows_here = (picture.height + high - 1) // high
    if rows >= rows_here:
        return 0
    wide = (picture.width + wide - 1) // wide
    if rows * wide > 65535:
        raise CodecError(
            f"restart_rows={rows} is {rows * wide} MCUs of this image, above the 65535 that a "
            f"JPEG can count: at most {65535 // wide}"
        )
    return rows


@cython.final
cdef class JpegJob:
    """An image that was checked as `encode_jpeg` checks it, to be encoded later.

    Takes what `encode_jpeg` takes and raises what it raises for arguments. Holds
    the pixels, which must not be written to before the last `encode` is over.
    """

    cdef fiz_picture _picture
    cdef fiz_encode_options _options
    cdef unsigned _threads
    cdef tuple _exports

    def __cinit__(self, image, quality, *, subsampling, colorspace, size=None, threads,
                  restart_rows):
        cdef int layout = _layout(colorspace)
        cdef int sampling = _sampling(subsampling)
        self._options.quality = <int>_integer(quality, "quality", 1, 100)
        self._options.sampling = <fiz_sampling>sampling
        self._threads = _threads(threads)
        if layout == FIZ_YUV420 and sampling != FIZ_SAMPLING_420:
            raise CodecError(
                f"colorspace 'YUV420' is stored as it is: subsampling must be '420', "
                f"not {subsampling!r}"
            )
        self._exports = _read_image(image, colorspace, layout, size, &self._picture)
        self._options.restart_rows = _restart_rows(restart_rows, &self._picture, sampling)

    def encode(self):
        """Encode; returns the JPEG as a read-only `Lease`. As often as wanted."""
        cdef fiz_block *block = NULL
        cdef size_t nbytes = 0
        cdef fiz_error error
        cdef fiz_status status
        with nogil:
            status = fiz_jpeg_encode(
                &self._picture, &self._options, self._threads, &block, &nbytes, &error
            )
        if status != FIZ_OK:
            raise _refusal(status, &error)
        return _lease_of(block, nbytes, True)


def encode_jpeg(image, quality=85, *, subsampling="420", colorspace="BGR", size=None,
                threads=0, restart_rows=1):
    """Encode pixels as baseline JPEG (ITU-T T.81) in a JFIF 1.02 file.

    ``image``: uint8, rows of any stride (also negative) as long as the pixels
    within a row stand side by side; other layouts are copied once. Shape (h, w, 3)
    for colorspace BGR and RGB, (h, w, 4) for BGRX and RGBX (X is ignored), (h, w)
    or (h, w, 1) for GRAY. For YUV420 (full-range BT.601, JFIF's own): three planes
    Y (h, w) and U, V (ceil(h/2), ceil(w/2)), or one I420 array (h*3/2, w), which
    may be larger than the picture when ``size=(width, height)`` says how large
    that is (cameras pad their rows). Sides are 1 to 65500 pixels.

    ``quality``: int, 1 to 100, on libjpeg's scale. ``subsampling``: "444", "422",
    "420" or "gray"; "420" for YUV420, of no meaning for GRAY. ``colorspace``: one of
    `COLORSPACES`, the order in memory, or picamera2's name for it (RGB888 is B, G,
    R in memory).

    ``restart_rows``: a restart marker after so many rows of MCUs, at which several
    threads can encode and decode the picture; 0 for none. ``threads``: the most
    that work at it, 1 to 256; 0 for as many as help. The JPEG is the same for all.

    Returns a read-only `Lease` that holds the JPEG. Raises CodecError (a
    ValueError) for an argument that does not fit, MemoryError without memory. Runs
    without the GIL; the image must not be written to meanwhile.
    """
    cdef JpegJob job = JpegJob(
        image, quality, subsampling=subsampling, colorspace=colorspace, size=size,
        threads=threads, restart_rows=restart_rows,
    )
    return job.encode()


# Decoding


cdef _Export _read_data(object data):
    try:
        return _export(data, PyBUF_SIMPLE)
    except TypeError:
        raise TypeError(
            f"JPEG data must be bytes-like (bytes, memoryview, Lease), not {_kind(data)}"
        ) from None
    except (BufferError, ValueError):
        raise CodecError(
            f"JPEG data must be contiguous bytes, not {_kind(data)} with gaps: copy it first"
        ) from None


cdef int _read_header(_Export data, fiz_jpeg_header *header) except -1:
    cdef fiz_error error
    cdef fiz_status status
    cdef const uint8_t *bytes_ = <const uint8_t *>data.view.buf
    cdef size_t nbytes = <size_t>data.view.len
    with nogil:
        status = fiz_jpeg_header_read(bytes_, nbytes, header, &error)
    if status != FIZ_OK:
        raise _refusal(status, &error)
    return 0


cdef _Export _writable(object array, tuple shape, str name):
    """The buffer of an array that is to be written, which has just this shape."""
    cdef _Export export
    cdef Py_ssize_t row
    if not isinstance(array, _np.ndarray):
        raise CodecError(f"{name} must be a NumPy array of uint8 {shape}, not {_kind(array)}")
    if array.dtype != _np.uint8 or array.shape != shape:
        raise CodecError(f"{name} must be uint8 {shape}, not {_kind(array)}")
    if not array.flags.writeable:
        raise CodecError(f"{name} is read-only: pass a writable array")
    export = _export(array, PyBUF_STRIDES | PyBUF_WRITABLE)
    if not _rows_contiguous(&export.view):
        raise CodecError(
            f"{name} has gaps within its rows (strides {array.strides}): the samples of a row "
            "must stand side by side"
        )
    row = export.view.shape[1] * (export.view.shape[2] if export.view.ndim == 3 else 1)
    if export.view.shape[0] > 1 and abs(export.view.strides[0]) < row:
        raise CodecError(f"{name} has rows that overlap (strides {array.strides})")
    return export


cdef int _check_apart(list arrays, _Export data) except -1:
    """Refuse arrays to be written that share memory with each other or the JPEG."""
    if data.view.len:
        arrays = [*arrays, _np.frombuffer(data.view.obj, _np.uint8)]
    for i, first in enumerate(arrays):
        for second in arrays[i + 1:]:
            if _np.shares_memory(first, second):
                raise CodecError("out shares memory with the JPEG data or with itself")
    return 0


cdef tuple _into_planes(object out, tuple shapes, _Export data, fiz_picture *picture):
    cdef _Export export
    cdef int i
    if len(out) != 3:
        raise CodecError(f"out must be three planes (Y, U, V), not {len(out)}")
    exports = []
    for i in range(3):
        export = _writable(out[i], shapes[i], f"out[{i}]")
        _set_plane(&picture.planes[i], &export.view)
        exports.append(export)
    _check_apart(list(out), data)
    return tuple(exports)


cdef tuple _into_array(object out, object shape, _Export data, fiz_picture *picture):
    cdef _Export export = _writable(out, shape, "out")
    if data is not None:
        _check_apart([out], data)
    if picture.layout == FIZ_YUV420:
        _set_i420(picture, &export.view)
    else:
        _set_plane(&picture.planes[0], &export.view)
    return (export,)


cdef object _new_array(tuple shape):
    """A writable array over a leased block."""
    cdef size_t nbytes = 1
    for side in shape:
        nbytes *= <size_t>side  # no overflow: sides are at most 98250, 65500 and 4
    if nbytes > <size_t>_SSIZE_MAX:
        raise MemoryError
    return _np.ndarray(shape, _np.uint8, _lease(nbytes))


def decode_jpeg(data, *, colorspace="BGR", scale=1, out=None, max_pixels=DEFAULT_MAX_PIXELS,
                threads=0):
    """Decode a JPEG (ITU-T T.81: baseline, progressive, arithmetic-coded; 8 bits).

    ``data``: bytes-like, the whole file; bytes before its start and after its end do
    not matter. ``colorspace``: one of `COLORSPACES`. ``scale``: 1, 1/2, 1/4 or 1/8;
    sides are rounded up. EXIF orientation is not applied.

    Returns a writable uint8 array: (h, w, 3) for BGR and RGB, (h, w, 4) with X = 255
    for BGRX and RGBX, (h, w) for GRAY (of a colour JPEG: its Y plane). YUV420 gives
    the planes as they are stored, of 4:2:0 files at scale 1 only: one I420 array
    (h*3/2, w) when both sides are even. Its memory is a `Lease` of the pool.

    ``out``: a writable uint8 array of just that shape, filled and returned; its rows
    may be any stride apart, also negative. For YUV420 also three planes Y (h, w) and
    U, V (ceil(h/2), ceil(w/2)), for any size. When an error is raised after decoding
    has begun, its contents are undefined.

    ``max_pixels``: a JPEG of more pixels (width * height, before scaling) is refused
    before memory is taken. ``threads``: the most that work at it, 1 to 256; 0 for as
    many as help. More than one can only where restart markers stand at the beginnings
    of rows of MCUs, as `encode_jpeg` puts them. The pixels are the same for all.

    Raises CodecError (a ValueError) for data that is not a
    complete, sound JPEG of a supported kind and for arguments that do not fit,
    TypeError for data that is not bytes-like, MemoryError without memory. Runs
    without the GIL; neither data nor out must be written to meanwhile.
    """
    cdef fiz_jpeg_header header
    cdef fiz_picture picture
    cdef fiz_error error
    cdef fiz_status status
    cdef int layout = _layout(colorspace)
    cdef unsigned denominator = _denominator(scale)
    cdef uint64_t limit = <uint64_t>_integer(max_pixels, "max_pixels", 1, (1 << 63) - 1)
    cdef unsigned most = _threads(threads)
    cdef _Export source = _read_data(data)
    cdef const uint8_t *start = <const uint8_t *>source.view.buf
    cdef size_t nbytes = <size_t>source.view.len

    _read_header(source, &header)
    status = fiz_jpeg_header_admit(&header, nbytes, limit, &error)
    if status != FIZ_OK:
        raise _refusal(status, &error)
    picture.layout = <fiz_layout>layout
    picture.width = fiz_jpeg_scaled(header.width, denominator)
    picture.height = fiz_jpeg_scaled(header.height, denominator)
    result, exports = _output(&header, &picture, denominator, out, source)
    with nogil:
        status = fiz_jpeg_decode(
            start, nbytes, &header, denominator, most, &picture, &error
        )
    del exports  # held until here: the pixels were written through them
    if status != FIZ_OK:
        raise _refusal(status, &error)
    return result


cdef tuple _output(fiz_jpeg_header *header, fiz_picture *picture, unsigned denominator,
                   object out, _Export source):
    """Where the pixels go: what decode_jpeg returns, and the exports that keep it."""
    cdef unsigned channels = fiz_layout_channels(picture.layout)
    width, height = picture.width, picture.height
    if picture.layout == FIZ_YUV420:
        if denominator != 1:
            raise CodecError("colorspace 'YUV420' gives the planes as they are: scale must be 1")
        if not fiz_jpeg_header_is_420(header):
            raise CodecError(
                f"JPEG is stored as {_subsampling_name(header)}, not as 4:2:0, so its planes "
                "cannot be had as YUV420: decode it to another colorspace"
            )
        if isinstance(out, (tuple, list)):
            return out, _into_planes(out, _plane_shapes(width, height), source, picture)
        if width % 2 or height % 2:
            raise CodecError(
                f"JPEG of {width}x{height} pixels has an odd side, which an I420 array cannot "
                "hold: pass out=(Y, U, V), three planes"
            )
        shape = (height * 3 // 2, width)
    else:
        shape = (height, width) if channels == 1 else (height, width, channels)
    if out is None:
        result = _new_array(shape)
        return result, _into_array(result, shape, None, picture)
    if picture.layout == FIZ_GRAY and getattr(out, "shape", None) == (height, width, 1):
        shape = (height, width, 1)
    return out, _into_array(out, shape, source, picture)


cdef str _subsampling_name(fiz_jpeg_header *header):
    if header.component_count == 1:
        return "gray"
    factors = [
        f"{header.components[i].h}x{header.components[i].v}"
        for i in range(header.component_count)
    ]
    told = ",".join(factors)
    return {
        "1x1,1x1,1x1": "444",
        "2x1,1x1,1x1": "422",
        "2x2,1x1,1x1": "420",
        "1x2,1x1,1x1": "440",
        "4x1,1x1,1x1": "411",
    }.get(told, told)


def jpeg_info(data):
    """Read the header of a JPEG: a `JpegInfo`; nothing is decoded.

    ``data``: bytes-like; at least everything up to the first scan. ``width`` and
    ``height`` in pixels, as stored; ``subsampling`` "444", "422", "420", "440", "411",
    "gray" or the sampling factors of each component, such as "2x2,2x1,2x1";
    ``components`` 1 to 4; ``restart_interval`` in MCUs, 0 for none. Raises CodecError
    for data that is no JPEG, TypeError for data that is not bytes-like.
    """
    cdef fiz_jpeg_header header
    cdef _Export source = _read_data(data)
    _read_header(source, &header)
    return JpegInfo(
        header.width,
        header.height,
        _subsampling_name(&header),
        header.component_count,
        header.restart_interval,
        bool(header.progressive),
    )


def libjpeg_turbo_version():
    """Return the version of the libjpeg-turbo headers compiled with, such as "2.1.5"."""
    return FIZ_LIBJPEG_TURBO_VERSION.decode("ascii")
