/* Pixels to baseline JPEG (ITU-T T.81; JFIF 1.02) on as many threads as help. */
#ifndef FIZ_JPEG_ENCODE_H
#define FIZ_JPEG_ENCODE_H

#include <stddef.h>

#include "jpeg_encoder.h"
#include "picture.h"
#include "pool.h"
#include "status.h"

/* Encodes `picture`, whose sides are 1..65500, with the default Huffman tables
 * and the slow integer DCT. A picture in FIZ_GRAY becomes a gray JPEG whatever
 * the sampling; FIZ_YUV420 must come with FIZ_SAMPLING_420, and its planes are
 * taken as they are (full-range BT.601, as JFIF says). Past the edges of a
 * picture whose sides are not multiples of 8 or 16, the last column and row are
 * repeated; nothing outside of the picture is read.
 *
 * At most `threads` threads work at it; 0: as many as help, which is one for a
 * small picture. Without restart markers it is always one. The JPEG does not
 * depend on how many they are.
 *
 * On FIZ_OK `*block` is the caller's and its first `*size` bytes are the JPEG.
 * Otherwise nothing is held. Any thread, without the GIL. */
fiz_status fiz_jpeg_encode(const fiz_picture *picture, const fiz_encode_options *options,
                           unsigned threads, fiz_block **block, size_t *size, fiz_error *error);

#endif
