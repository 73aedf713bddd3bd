/* JPEG to pixels, from and to memory that the caller owns, on as many threads as help. */
#ifndef FIZ_JPEG_DECODE_H
#define FIZ_JPEG_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "jpeg_header.h"
#include "picture.h"
#include "status.h"

/* The sides of the picture that decoding at 1/denominator (1, 2, 4, 8) gives. */
static inline uint32_t fiz_jpeg_scaled(uint32_t side, unsigned denominator)
{
    return (side + denominator - 1) / denominator;
}

/* Decodes `size` bytes at `data`, whose header was read and admitted, into
 * `picture`, whose sides are the scaled ones. Slow integer DCT and smooth chroma
 * upsampling, as libjpeg's defaults are; EXIF is not looked at.
 *
 * At most `threads` threads work at it; 0: as many as help, which is one for a
 * small picture. It is always one unless the file is sequential, of one scan, and
 * has restart markers at beginnings of MCU rows. Pixels and errors do not depend
 * on how many they are.
 *
 * FIZ_GRAY takes Y of a colour JPEG. FIZ_YUV420 takes the planes as they are
 * stored: only from a 4:2:0 YCbCr file and at denominator 1. Anything missing
 * or corrupt is FIZ_REFUSED, and then the pixels are undefined. Any thread,
 * without the GIL. Should another thread write to `data` meanwhile, the outcome
 * is an error or wrong pixels, nothing worse. */
fiz_status fiz_jpeg_decode(const uint8_t *data, size_t size, const fiz_jpeg_header *header,
                           unsigned denominator, unsigned threads, const fiz_picture *picture,
                           fiz_error *error);

#endif
