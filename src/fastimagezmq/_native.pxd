"""The C side of `_codec`: what `native/*.h` declares, where the contracts stand."""

from libc.stddef cimport ptrdiff_t, size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "native/status.h" nogil:
    ctypedef enum fiz_status:
        FIZ_OK
        FIZ_NO_MEMORY
        FIZ_REFUSED

    ctypedef struct fiz_error:
        char text[320]


cdef extern from "native/pool.h" nogil:
    ctypedef struct fiz_block:
        pass

    ctypedef struct fiz_pool_counts:
        size_t leases
        size_t idle_blocks
        size_t idle_bytes
        uint64_t allocated
        uint64_t reused

    int fiz_pool_init()
    fiz_block *fiz_pool_lease(size_t nbytes)
    void fiz_pool_release(fiz_block *block)
    uint8_t *fiz_block_data(fiz_block *block)
    fiz_pool_counts fiz_pool_count()
    void fiz_pool_trim()


cdef extern from "native/picture.h" nogil:
    ctypedef enum fiz_layout:
        FIZ_BGR
        FIZ_RGB
        FIZ_BGRX
        FIZ_RGBX
        FIZ_GRAY
        FIZ_YUV420

    ctypedef struct fiz_plane:
        uint8_t *data
        ptrdiff_t pair
        ptrdiff_t odd

    ctypedef struct fiz_picture:
        fiz_layout layout
        uint32_t width
        uint32_t height
        fiz_plane planes[3]

    unsigned fiz_layout_channels(fiz_layout layout)


cdef extern from "native/jpeg_header.h" nogil:
    enum:
        FIZ_JPEG_SIDE_MAX

    ctypedef struct fiz_jpeg_component:
        uint8_t h
        uint8_t v

    ctypedef struct fiz_jpeg_header:
        uint32_t width
        uint32_t height
        uint8_t component_count
        fiz_jpeg_component components[4]
        uint8_t progressive
        uint32_t restart_interval

    fiz_status fiz_jpeg_header_read(
        const uint8_t *data, size_t size, fiz_jpeg_header *header, fiz_error *error)
    fiz_status fiz_jpeg_header_admit(
        const fiz_jpeg_header *header, size_t size, uint64_t max_pixels, fiz_error *error)
    bint fiz_jpeg_header_is_420(const fiz_jpeg_header *header)


cdef extern from "native/threads.h" nogil:
    enum:
        FIZ_THREADS_MAX

    int fiz_threads_init()
    bint fiz_threads_sized()
    void fiz_threads_set_size(unsigned size)
    unsigned fiz_threads_size()
    void fiz_threads_stop()


cdef extern from "native/jpeg_encoder.h" nogil:
    ctypedef enum fiz_sampling:
        FIZ_SAMPLING_444
        FIZ_SAMPLING_422
        FIZ_SAMPLING_420
        FIZ_SAMPLING_GRAY

    ctypedef struct fiz_encode_options:
        int quality
        fiz_sampling sampling
        unsigned restart_rows

    int fiz_jpeg_encoder_init()


cdef extern from "native/jpeg_encode.h" nogil:
    fiz_status fiz_jpeg_encode(
        const fiz_picture *picture, const fiz_encode_options *options, unsigned threads,
        fiz_block **block, size_t *size, fiz_error *error)


cdef extern from "native/jpeg_decoder.h" nogil:
    int fiz_jpeg_decoder_init()


cdef extern from "native/jpeg_decode.h" nogil:
    uint32_t fiz_jpeg_scaled(uint32_t side, unsigned denominator)
    fiz_status fiz_jpeg_decode(
        const uint8_t *data, size_t size, const fiz_jpeg_header *header,
        unsigned denominator, unsigned threads, const fiz_picture *picture, fiz_error *error)


cdef extern from "native/version.h":
    const char *FIZ_LIBJPEG_TURBO_VERSION
