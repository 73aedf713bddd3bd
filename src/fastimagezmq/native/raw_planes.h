/* The planes of a 4:2:0 picture as libjpeg's raw-data calls take and give them:
 * one row of MCUs at a time, each plane as wide as whole 8x8 blocks. */
#ifndef FIZ_RAW_PLANES_H
#define FIZ_RAW_PLANES_H

#include <stddef.h>
#include <stdint.h>

#include "picture.h"

#define FIZ_RAW_Y_ROWS 16
#define FIZ_RAW_C_ROWS 8

typedef struct {
    const fiz_plane *plane;
    uint32_t width, height;
    size_t padded;    /* the width in whole blocks */
    int exact;        /* the width is whole blocks: no copy is needed */
    uint32_t rows;    /* of one row of MCUs */
    uint8_t *scratch; /* `rows` rows of `padded` bytes; NULL until given */
} fiz_raw_plane;

/* Describes the three planes; returns the bytes of their scratch together. */
static inline size_t fiz_raw_planes(const fiz_picture *picture, fiz_raw_plane planes[3])
{
    size_t needed = 0;

    for (int i = 0; i < 3; i++) {
        fiz_raw_plane *p = &planes[i];
        p->plane = &picture->planes[i];
        p->width = i ? (picture->width + 1) / 2 : picture->width;
        p->height = i ? (picture->height + 1) / 2 : picture->height;
        p->padded = ((size_t)p->width + 7) / 8 * 8;
        p->exact = p->padded == p->width;
        p->rows = i ? FIZ_RAW_C_ROWS : FIZ_RAW_Y_ROWS;
        p->scratch = NULL;
        needed += p->padded * p->rows;
    }
    return needed;
}

/* Shares out the scratch. */
static inline void fiz_raw_give(fiz_raw_plane planes[3], uint8_t *scratch)
{
    for (int i = 0; i < 3; i++) {
        planes[i].scratch = scratch;
        scratch += planes[i].padded * planes[i].rows;
    }
}

/* The first row of the plane in the row of MCUs that holds `scanline` of Y. */
static inline uint32_t fiz_raw_first(const fiz_raw_plane *plane, uint32_t scanline)
{
    return scanline / FIZ_RAW_Y_ROWS * plane->rows;
}

#endif
