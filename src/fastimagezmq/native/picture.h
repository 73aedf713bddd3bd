/* Pixels in memory that someone else owns. */
#ifndef FIZ_PICTURE_H
#define FIZ_PICTURE_H

#include <stddef.h>
#include <stdint.h>

/* The order of the samples in memory; one byte each. */
typedef enum {
    FIZ_BGR,
    FIZ_RGB,
    FIZ_BGRX, /* X: ignored when read, 255 when written */
    FIZ_RGBX,
    FIZ_GRAY,
    FIZ_YUV420 /* three planes: Y, and U and V at half the width and height, rounded up */
} fiz_layout;

/* A run of rows; the samples of one row stand side by side.
 *
 * Row i begins at data + (i / 2) * pair + (i % 2) * odd. For rows that are
 * `stride` bytes apart, pair is 2 * stride and odd is stride. Two numbers are
 * needed for the chroma planes inside an I420 array, where two rows of a plane
 * share one row of the array. Both may be negative. */
typedef struct {
    uint8_t *data;
    ptrdiff_t pair;
    ptrdiff_t odd;
} fiz_plane;

typedef struct {
    fiz_layout layout;
    uint32_t width;  /* in pixels */
    uint32_t height;
    fiz_plane planes[3]; /* the second and third only for FIZ_YUV420 */
} fiz_picture;

static inline uint8_t *fiz_plane_row(const fiz_plane *plane, uint32_t row)
{
    return plane->data + (ptrdiff_t)(row / 2) * plane->pair + (ptrdiff_t)(row % 2) * plane->odd;
}

/* The picture's rows from `first` on, `height` of them or as many as there are. For
 * FIZ_YUV420 `first` is a multiple of 4. */
static inline fiz_picture fiz_picture_rows(const fiz_picture *picture, uint32_t first,
                                           uint32_t height)
{
    fiz_picture part = *picture;

    part.height = picture->height - first < height ? picture->height - first : height;
    part.planes[0].data = fiz_plane_row(&picture->planes[0], first);
    if (picture->layout == FIZ_YUV420)
        for (int i = 1; i < 3; i++)
            part.planes[i].data = fiz_plane_row(&picture->planes[i], first / 2);
    return part;
}

/* Bytes of a pixel within a row of the first plane. */
static inline unsigned fiz_layout_channels(fiz_layout layout)
{
    switch (layout) {
    case FIZ_BGR:
    case FIZ_RGB:
        return 3;
    case FIZ_BGRX:
    case FIZ_RGBX:
        return 4;
    case FIZ_GRAY:
    case FIZ_YUV420:
        break;
    }
    return 1;
}

#endif
