/* JPEG to pixels with libjpeg, on the caller's thread: a whole file or a strip of it. */
#ifndef FIZ_JPEG_DECODER_H
#define FIZ_JPEG_DECODER_H

#include <stddef.h>
#include <stdint.h>

#include "jpeg_header.h"
#include "picture.h"
#include "status.h"

#define FIZ_JPEG_SCANS_MAX 100

/* A file whose header was read and admitted. */
typedef struct {
    const uint8_t *data;
    size_t size;
    const fiz_jpeg_header *header;
} fiz_jpeg_file;

/* Rows of MCUs that begin with a restart interval, to be decoded as if they were
 * a picture of their own, within a file of one sequential Huffman-coded scan. */
typedef struct {
    size_t entropy;   /* offset of their entropy-coded data, which may go on after them */
    uint32_t height;  /* of these rows, in pixels of the file; above 0 */
    unsigned restart; /* number (0..7) of the restart marker that ends the first interval */
    uint32_t skip;    /* rows of scaled pixels, at the top, that are context only */
} fiz_jpeg_strip;

/* Makes the decoder safe across fork(). Once, at import; 0 or -1. */
int fiz_jpeg_decoder_init(void);

/* Decodes a file as fiz_jpeg_decode tells, on the caller's thread alone; with
 * `strip` only that of it: what comes after the rows to skip, as far as `picture`
 * goes. A strip for which the file turns out to be of the wrong kind is
 * FIZ_REFUSED. Any thread, without the GIL. */
fiz_status fiz_jpeg_decode_alone(const fiz_jpeg_file *file, const fiz_jpeg_strip *strip,
                                 unsigned denominator, const fiz_picture *picture,
                                 fiz_error *error);

#endif
