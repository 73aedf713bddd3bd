"""How the buffer of an array becomes planes of a picture: strides, and where I420 has what."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uint8_t

from ._native cimport fiz_picture, fiz_plane


cdef inline bint _rows_contiguous(Py_buffer *view) noexcept:
    """Whether the samples within each row stand side by side."""
    if view.ndim == 2:
        return view.shape[1] <= 1 or view.strides[1] == 1
    return (view.shape[2] <= 1 or view.strides[2] == 1) and (
        view.shape[1] <= 1 or view.strides[1] == view.shape[2]
    )


cdef inline ptrdiff_t _stride(Py_buffer *view) noexcept:
    """Bytes from row to row; of no meaning, and perhaps anything, for a single row."""
    return view.strides[0] if view.shape[0] > 1 else 0


cdef inline void _set_plane(fiz_plane *plane, Py_buffer *view) noexcept:
    plane.data = <uint8_t *>view.buf
    plane.pair = 2 * _stride(view)
    plane.odd = _stride(view)


cdef inline void _set_i420(fiz_picture *picture, Py_buffer *view) noexcept:
    """Planes inside one array of `columns` columns and 3/2 times the rows of Y.

    Y comes first. Two rows of U, then of V, share a row of the array; with an odd
    count of chroma rows, V begins in the middle of one.
    """
    cdef ptrdiff_t stride = _stride(view)
    cdef ptrdiff_t half = view.shape[1] // 2
    cdef ptrdiff_t y_rows = view.shape[0] // 3 * 2
    cdef ptrdiff_t c_rows = y_rows // 2
    cdef uint8_t *base = <uint8_t *>view.buf
    _set_plane(&picture.planes[0], view)
    picture.planes[1].data = base + y_rows * stride
    picture.planes[1].pair = stride
    picture.planes[1].odd = half
    picture.planes[2].data = base + (y_rows + c_rows // 2) * stride
    picture.planes[2].pair = stride
    picture.planes[2].odd = half
    if c_rows % 2:
        picture.planes[2].data += half
        picture.planes[2].odd = stride - half
