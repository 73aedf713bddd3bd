#include "jpeg_encoder.h"

#include <stdlib.h>
#include <string.h>

#include "fork.h"
#include "jpeg_error.h"
#include "raw_planes.h"
#include "spare.h"

#define ROWS_PER_CALL 64

/* One libjpeg object, made once, and what the running picture needs. */
typedef struct {
    struct jpeg_compress_struct cinfo;
    fiz_jpeg_error error;
    struct jpeg_destination_mgr destination;
    fiz_block *block;   /* where the JPEG goes; NULL between pictures */
    fiz_block *scratch; /* rows of planes with their edges filled up; mostly NULL */
    size_t size;        /* of the JPEG, once it is complete */
} encoder;

static fiz_spares spares = FIZ_SPARES_INIT;

int fiz_jpeg_encoder_init(void)
{
    return fiz_fork_guard(&spares.mutex, NULL);
}

/* The destination: the block, or a block of twice the size once it is full. */

static encoder *encoder_of(j_compress_ptr cinfo)
{
    return cinfo->client_data;
}

static void destination_init(j_compress_ptr cinfo)
{
    encoder *e = encoder_of(cinfo);

    e->destination.next_output_byte = fiz_block_data(e->block);
    e->destination.free_in_buffer = fiz_block_capacity(e->block);
}

/* libjpeg calls this when the buffer is full, whatever free_in_buffer says. */
static boolean destination_grow(j_compress_ptr cinfo)
{
    encoder *e = encoder_of(cinfo);
    size_t used = fiz_block_capacity(e->block);
    fiz_block *larger = fiz_pool_grow(e->block, used, 2 * used);

    if (larger == NULL)
        fiz_jpeg_stop((j_common_ptr)cinfo, FIZ_STOP_MEMORY);
    e->block = larger;
    e->destination.next_output_byte = fiz_block_data(larger) + used;
    e->destination.free_in_buffer = fiz_block_capacity(larger) - used;
    return TRUE;
}

static void destination_end(j_compress_ptr cinfo)
{
    encoder *e = encoder_of(cinfo);

    e->size = fiz_block_capacity(e->block) - e->destination.free_in_buffer;
}

/* Makes the libjpeg object; 0 when there is no memory, and then there is none. */
static int libjpeg_open(encoder *e)
{
    e->cinfo.err = fiz_jpeg_error_init(&e->error);
    if (FIZ_SETJMP(e->error.jump)) {
        jpeg_destroy_compress(&e->cinfo);
        return 0;
    }
    jpeg_create_compress(&e->cinfo);
    e->cinfo.client_data = e;
    e->cinfo.dest = &e->destination;
    return 1;
}

static encoder *encoder_new(void)
{
    encoder *e = calloc(1, sizeof *e);

    if (e == NULL)
        return NULL;
    e->destination.init_destination = destination_init;
    e->destination.empty_output_buffer = destination_grow;
    e->destination.term_destination = destination_end;
    if (!libjpeg_open(e)) {
        free(e);
        return NULL;
    }
    return e;
}

static void encoder_free(encoder *e)
{
    jpeg_destroy_compress(&e->cinfo);
    free(e);
}

static void choose_colours(encoder *e, fiz_layout layout)
{
    switch (layout) {
    case FIZ_BGR: e->cinfo.in_color_space = JCS_EXT_BGR; break;
    case FIZ_RGB: e->cinfo.in_color_space = JCS_EXT_RGB; break;
    case FIZ_BGRX: e->cinfo.in_color_space = JCS_EXT_BGRX; break;
    case FIZ_RGBX: e->cinfo.in_color_space = JCS_EXT_RGBX; break;
    case FIZ_GRAY: e->cinfo.in_color_space = JCS_GRAYSCALE; break;
    case FIZ_YUV420: e->cinfo.in_color_space = JCS_YCbCr; break;
    }
    e->cinfo.input_components = layout == FIZ_YUV420 ? 3 : (int)fiz_layout_channels(layout);
}

static void choose_parameters(encoder *e, const fiz_picture *picture,
                              const fiz_encode_options *options)
{
    j_compress_ptr cinfo = &e->cinfo;

    cinfo->image_width = picture->width;
    cinfo->image_height = picture->height;
    choose_colours(e, picture->layout);
    jpeg_set_defaults(cinfo);
    jpeg_set_quality(cinfo, options->quality, TRUE);
    cinfo->dct_method = JDCT_ISLOW;
    cinfo->restart_in_rows = (int)options->restart_rows;
    if (picture->layout == FIZ_GRAY || options->sampling == FIZ_SAMPLING_GRAY) {
        jpeg_set_colorspace(cinfo, JCS_GRAYSCALE);
    } else {
        cinfo->comp_info[0].h_samp_factor = options->sampling == FIZ_SAMPLING_444 ? 1 : 2;
        cinfo->comp_info[0].v_samp_factor = options->sampling == FIZ_SAMPLING_420 ? 2 : 1;
    }
    cinfo->raw_data_in = picture->layout == FIZ_YUV420;
}

static void write_rows(encoder *e, const fiz_picture *picture)
{
    JSAMPROW rows[ROWS_PER_CALL];

    while (e->cinfo.next_scanline < picture->height) {
        uint32_t first = e->cinfo.next_scanline;
        uint32_t left = picture->height - first;
        uint32_t count = left < ROWS_PER_CALL ? left : ROWS_PER_CALL;
        for (uint32_t i = 0; i < count; i++)
            rows[i] = fiz_plane_row(&picture->planes[0], first + i);
        (void)jpeg_write_scanlines(&e->cinfo, rows, count);
    }
}

/* Points `rows` at the plane's part of a row of MCUs. libjpeg reads whole blocks:
 * below the plane it is given the last row again, and where the width is not
 * whole blocks a copy of each row with its last sample repeated. */
static void raw_rows(const fiz_raw_plane *p, uint32_t first, JSAMPROW *rows)
{
    for (uint32_t i = 0; i < p->rows; i++) {
        uint32_t row = first + i < p->height ? first + i : p->height - 1;
        uint8_t *source = fiz_plane_row(p->plane, row);
        if (p->exact) {
            rows[i] = source;
            continue;
        }
        rows[i] = p->scratch + i * p->padded;
        memcpy(rows[i], source, p->width);
        memset(rows[i] + p->width, source[p->width - 1], p->padded - p->width);
    }
}

static void write_planes(encoder *e, const fiz_picture *picture)
{
    JSAMPROW rows[3][FIZ_RAW_Y_ROWS];
    JSAMPARRAY arrays[3] = { rows[0], rows[1], rows[2] };
    fiz_raw_plane planes[3];
    size_t needed = fiz_raw_planes(picture, planes);

    if (!planes[0].exact || !planes[1].exact) {
        e->scratch = fiz_pool_lease(needed);
        if (e->scratch == NULL)
            fiz_jpeg_stop((j_common_ptr)&e->cinfo, FIZ_STOP_MEMORY);
        fiz_raw_give(planes, fiz_block_data(e->scratch));
    }
    while (e->cinfo.next_scanline < picture->height) {
        for (int i = 0; i < 3; i++)
            raw_rows(&planes[i], fiz_raw_first(&planes[i], e->cinfo.next_scanline), rows[i]);
        (void)jpeg_write_raw_data(&e->cinfo, arrays, FIZ_RAW_Y_ROWS);
    }
}

/* Holds the one setjmp of encoding: no local of it changes after that call. */
static fiz_status encode(encoder *e, const fiz_picture *picture,
                         const fiz_encode_options *options, fiz_error *error)
{
    if (FIZ_SETJMP(e->error.jump)) {
        fiz_status status = fiz_jpeg_caught((j_common_ptr)&e->cinfo, "encode", 0, error);
        jpeg_abort_compress(&e->cinfo);
        return status;
    }
    choose_parameters(e, picture, options);
    jpeg_start_compress(&e->cinfo, TRUE);
    if (picture->layout == FIZ_YUV420)
        write_planes(e, picture);
    else
        write_rows(e, picture);
    jpeg_finish_compress(&e->cinfo);
    return FIZ_OK;
}

/* Photographs take about 0.7 bits a pixel at quality 80 and 4:2:0, 1 at 90, 2 at 95. */
size_t fiz_jpeg_guess(const fiz_picture *picture, const fiz_encode_options *options)
{
    size_t pixels = (size_t)picture->width * picture->height; /* at most 65500 squared */
    size_t guess = options->quality <= 85 ? pixels / 8 : pixels / 4;

    if (options->quality > 95)
        guess *= 2;
    return guess + FIZ_BLOCK_MIN;
}

fiz_status fiz_jpeg_encode_alone(const fiz_picture *picture, const fiz_encode_options *options,
                                 size_t capacity, fiz_block **block, size_t *size,
                                 fiz_error *error)
{
    encoder *e = fiz_spare_take(&spares);
    fiz_status status = FIZ_NO_MEMORY;

    if (e == NULL)
        e = encoder_new();
    if (e == NULL)
        return FIZ_NO_MEMORY;
    e->block = fiz_pool_lease(capacity);
    if (e->block != NULL)
        status = encode(e, picture, options, error);
    fiz_pool_release(e->scratch);
    e->scratch = NULL;
    if (status == FIZ_OK) {
        *block = e->block;
        *size = e->size;
    } else {
        fiz_pool_release(e->block);
    }
    e->block = NULL;
    if (!fiz_spare_keep(&spares, e))
        encoder_free(e);
    return status;
}
