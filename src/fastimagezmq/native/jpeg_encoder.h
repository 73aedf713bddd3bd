/* Pixels to JPEG with libjpeg, on the caller's thread, straight into a pooled block. */
#ifndef FIZ_JPEG_ENCODER_H
#define FIZ_JPEG_ENCODER_H

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
    unsigned restart_rows; /* a restart marker after so many MCU rows, which together
                            * have at most 65535 MCUs; 0 for none */
} fiz_encode_options;

/* Makes the encoder safe across fork(). Once, at import; 0 or -1. */
int fiz_jpeg_encoder_init(void);

/* A first guess at the bytes of the JPEG. Wrong guesses cost a copy. */
size_t fiz_jpeg_guess(const fiz_picture *picture, const fiz_encode_options *options);

/* Encodes `picture` as fiz_jpeg_encode tells, into a block of at least `capacity`
 * bytes, which grows if it must.
 *
 * On FIZ_OK `*block` is the caller's and its first `*size` bytes are the JPEG.
 * Otherwise nothing is held. Any thread, without the GIL. */
fiz_status fiz_jpeg_encode_alone(const fiz_picture *picture, const fiz_encode_options *options,
                                 size_t capacity, fiz_block **block, size_t *size,
                                 fiz_error *error);

#endif
