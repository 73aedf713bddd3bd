/* What stands in a JPEG before its first entropy-coded byte.
 *
 * A small bounded parser of the markers of ITU-T T.81, annex B: linear in the
 * bytes that it looks at, allocates nothing, reads nothing outside of the given
 * bytes. It decides what may be decoded before libjpeg sees the data or memory
 * is taken, and it knows where the segments stand.
 */
#ifndef FIZ_JPEG_HEADER_H
#define FIZ_JPEG_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define FIZ_JPEG_SIDE_MAX 65500u /* libjpeg's JPEG_MAX_DIMENSION */
#define FIZ_JPEG_COMPONENTS_MAX 4
#define FIZ_JPEG_JUNK_MAX 65536u /* bytes before SOI that are passed over */
#define FIZ_JPEG_RST0 0xD0u /* RST0..RST7 end restart intervals, in turn */
#define FIZ_JPEG_EOI 0xD9u

typedef struct {
    uint8_t id;
    uint8_t h, v;  /* sampling factors, 1..4 */
    uint8_t quant; /* number of its quantisation table, 0..3 */
} fiz_jpeg_component;

typedef struct {
    uint32_t width, height;   /* in pixels, above 0 */
    uint8_t precision;        /* bits a sample */
    uint8_t component_count;  /* 1..FIZ_JPEG_COMPONENTS_MAX */
    fiz_jpeg_component components[FIZ_JPEG_COMPONENTS_MAX];
    uint8_t frame_marker;     /* second byte of SOFn: 0xC0, 0xC1, 0xC2, ... */
    uint8_t progressive;
    uint8_t arithmetic;
    uint8_t lossless;
    uint8_t hierarchical;
    uint8_t self_contained;   /* one scan, and each table it needs is defined before it */
    uint32_t restart_interval; /* MCUs, 0 for none */
    /* Offsets into the data; a marker's is that of its 0xFF. */
    size_t soi;
    size_t sof;
    size_t dri;     /* the one in force for the first scan, 0 for none */
    size_t sos;     /* the first */
    size_t entropy; /* first byte after that SOS segment */
} fiz_jpeg_header;

/* Fills `header`, or returns FIZ_REFUSED: empty, not a JPEG, truncated before
 * the first scan, malformed, or without pixels. */
fiz_status fiz_jpeg_header_read(const uint8_t *data, size_t size, fiz_jpeg_header *header,
                                fiz_error *error);

/* Whether a file of `size` bytes with this header may be decoded: a kind of
 * JPEG that is supported, at most `max_pixels` pixels, and long enough for the
 * picture it claims (T.81 spends at least two bits on a block in a sequential
 * file, one in the first DC scan of a progressive one). */
fiz_status fiz_jpeg_header_admit(const fiz_jpeg_header *header, size_t size, uint64_t max_pixels,
                                 fiz_error *error);

/* Whether the components are sampled 2x2, 1x1, 1x1. */
int fiz_jpeg_header_is_420(const fiz_jpeg_header *header);

#endif
