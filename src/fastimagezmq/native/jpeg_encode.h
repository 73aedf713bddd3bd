/* Pixels to baseline JPEG (ITU-T T.81; JFIF 1.02), straight into a pooled block. */
#ifndef FIZ_JPEG_ENCODE_H
#define FIZ_JPEG_ENCODE_H

#include <stddef.h>

#include "picture.h"
#include "pool.h"
#include "status.h"

typedef enum {
    FIZ_SAMPLING_444,
    FIZ_SAMPLING_422, /* chroma at half the width */
    FIZ_SAMPLING_420, /* chroma at half the width and height */
    FIZ_SAMPLING_GRAY /* no chroma: one component */
} fiz_sampling;

typedef struct {
    int quality; /* 1..100, libjpeg's scale */
    fiz_sampling sampling;
    unsigned restart_rows; /* a restart marker after so many MCU rows; 0 for none */
} fiz_encode_options;

/* Makes the encoder safe across fork(). Once, at import; 0 or -1. */
int fiz_jpeg_encode_init(void);

/* Encodes `picture`, whose sides are 1..65500, with the default Huffman tables
 * and the slow integer DCT. A picture in FIZ_GRAY becomes a gray JPEG whatever
 * the sampling; FIZ_YUV420 must come with FIZ_SAMPLING_420, and its planes are
 * taken as they are (full-range BT.601, as JFIF says). Past the edges of a
 * picture whose sides are not multiples of 8 or 16, the last column and row are
 * repeated; nothing outside of the picture is read.
 *
 * On FIZ_OK `*block` is the caller's and its first `*size` bytes are the JPEG.
 * Otherwise nothing is held. Any thread, without the GIL. */
fiz_status fiz_jpeg_encode(const fiz_picture *picture, const fiz_encode_options *options,
                           fiz_block **block, size_t *size, fiz_error *error);

#endif
