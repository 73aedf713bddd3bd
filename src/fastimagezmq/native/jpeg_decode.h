/* JPEG to pixels, from and to memory that the caller owns. */
#ifndef FIZ_JPEG_DECODE_H
#define FIZ_JPEG_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "jpeg_header.h"
#include "picture.h"
#include "status.h"

#define FIZ_JPEG_SCANS_MAX 100

/* Makes the decoder safe across fork(). Once, at import; 0 or -1. */
int fiz_jpeg_decode_init(void);

/* The sides of the picture that decoding at 1/denominator (1, 2, 4, 8) gives. */
static inline uint32_t fiz_jpeg_scaled(uint32_t side, unsigned denominator)
{
    return (side + denominator - 1) / denominator;
}

/* Decodes `size` bytes at `data`, whose header was read and admitted, into
 * `picture`, whose sides are the scaled ones. Slow integer DCT and smooth chroma
 * upsampling, as libjpeg's defaults are; EXIF is not looked at.
 *
 * FIZ_GRAY takes Y of a colour JPEG. FIZ_YUV420 takes the planes as they are
 * stored: only from a 4:2:0 YCbCr file and at denominator 1. Anything missing
 * or corrupt is FIZ_REFUSED, and then the pixels are undefined. Any thread,
 * without the GIL. Should another thread write to `data` meanwhile, the outcome
 * is an error or wrong pixels, nothing worse. */
fiz_status fiz_jpeg_decode(const uint8_t *data, size_t size, const fiz_jpeg_header *header,
                           unsigned denominator, const fiz_picture *picture, fiz_error *error);

#endif
