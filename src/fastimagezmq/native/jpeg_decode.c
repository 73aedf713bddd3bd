#include "jpeg_decode.h"

#include <stdlib.h>
#include <string.h>

#include "fork.h"
#include "jpeg_error.h"
#include "pool.h"
#include "raw_planes.h"
#include "spare.h"

#define ROWS_PER_CALL 16

/* One libjpeg object, made once, and what the running picture needs. */
typedef struct {
    struct jpeg_decompress_struct cinfo;
    fiz_jpeg_error error;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    fiz_block *scratch; /* rows of planes in whole blocks; mostly NULL */
} decoder;

static fiz_spares spares = FIZ_SPARES_INIT;

int fiz_jpeg_decode_init(void)
{
    return fiz_fork_guard(&spares.mutex);
}

/* The source: all of the data at once. Asking for more is an error, also for a
 * missing end-of-image marker: every proper prefix of a JPEG is refused. */

static void source_nothing(j_decompress_ptr cinfo)
{
    (void)cinfo;
}

static boolean source_more(j_decompress_ptr cinfo)
{
    cinfo->src->bytes_in_buffer = 0; /* within an MCU libjpeg has not brought it up to date */
    fiz_jpeg_stop((j_common_ptr)cinfo, FIZ_STOP_TRUNCATED);
    return FALSE;
}

static void source_skip(j_decompress_ptr cinfo, long count)
{
    if (count <= 0)
        return;
    if ((unsigned long)count > cinfo->src->bytes_in_buffer) {
        cinfo->src->bytes_in_buffer = 0;
        fiz_jpeg_stop((j_common_ptr)cinfo, FIZ_STOP_TRUNCATED);
    }
    cinfo->src->next_input_byte += count;
    cinfo->src->bytes_in_buffer -= (size_t)count;
}

/* A file of a few kilobytes can claim thousands of scans over a large picture. */
static void count_scans(j_common_ptr cinfo)
{
    if (((j_decompress_ptr)cinfo)->input_scan_number > FIZ_JPEG_SCANS_MAX)
        fiz_jpeg_stop(cinfo, FIZ_STOP_SCANS);
}

/* Makes the libjpeg object; 0 when there is no memory, and then there is none. */
static int libjpeg_open(decoder *d)
{
    memset(&d->cinfo, 0, sizeof d->cinfo);
    d->cinfo.err = fiz_jpeg_error_init(&d->error);
    if (FIZ_SETJMP(d->error.jump)) {
        jpeg_destroy_decompress(&d->cinfo);
        return 0;
    }
    jpeg_create_decompress(&d->cinfo);
    d->cinfo.src = &d->source;
    d->cinfo.progress = &d->progress;
    return 1;
}

static decoder *decoder_new(void)
{
    decoder *d = calloc(1, sizeof *d);

    if (d == NULL)
        return NULL;
    d->source.init_source = source_nothing;
    d->source.fill_input_buffer = source_more;
    d->source.skip_input_data = source_skip;
    d->source.resync_to_restart = jpeg_resync_to_restart;
    d->source.term_source = source_nothing;
    d->progress.progress_monitor = count_scans;
    if (!libjpeg_open(d)) {
        free(d);
        return NULL;
    }
    return d;
}

static void decoder_free(decoder *d)
{
    jpeg_destroy_decompress(&d->cinfo);
    free(d);
}

/* A decoder for this header. libjpeg keeps the tables of earlier files for
 * files that bring none: one that might use them gets a fresh object, so that
 * what a file decodes to never depends on what was decoded before it. */
static decoder *decoder_for(const fiz_jpeg_header *header)
{
    decoder *d = fiz_spare_take(&spares);

    if (d == NULL)
        return decoder_new();
    if (header->self_contained)
        return d;
    jpeg_destroy_decompress(&d->cinfo);
    if (libjpeg_open(d))
        return d;
    free(d);
    return NULL;
}

static J_COLOR_SPACE colours_of(fiz_layout layout)
{
    switch (layout) {
    case FIZ_BGR: return JCS_EXT_BGR;
    case FIZ_RGB: return JCS_EXT_RGB;
    case FIZ_BGRX: return JCS_EXT_BGRA; /* as BGRX, and X is promised to be 255 */
    case FIZ_RGBX: return JCS_EXT_RGBA;
    case FIZ_GRAY: return JCS_GRAYSCALE;
    case FIZ_YUV420: break;
    }
    return JCS_YCbCr;
}

static void read_rows(decoder *d, const fiz_picture *picture)
{
    JSAMPROW rows[ROWS_PER_CALL];

    while (d->cinfo.output_scanline < picture->height) {
        uint32_t first = d->cinfo.output_scanline;
        uint32_t left = picture->height - first;
        uint32_t count = left < ROWS_PER_CALL ? left : ROWS_PER_CALL;
        for (uint32_t i = 0; i < count; i++)
            rows[i] = fiz_plane_row(&picture->planes[0], first + i);
        (void)jpeg_read_scanlines(&d->cinfo, rows, count);
    }
}

/* Points `rows` at where the plane's part of a row of MCUs goes. libjpeg writes
 * whole blocks: rows below the plane go to scratch, and so do all rows where the
 * width is not whole blocks. */
static void raw_rows(const fiz_raw_plane *p, uint32_t first, JSAMPROW *rows)
{
    for (uint32_t i = 0; i < p->rows; i++) {
        int inside = first + i < p->height;
        rows[i] = p->exact && inside ? fiz_plane_row(p->plane, first + i)
                                     : p->scratch + i * p->padded;
    }
}

static void copy_scratch(const fiz_raw_plane *p, uint32_t first)
{
    if (p->exact)
        return;
    for (uint32_t i = 0; i < p->rows && first + i < p->height; i++)
        memcpy(fiz_plane_row(p->plane, first + i), p->scratch + i * p->padded, p->width);
}

static void read_planes(decoder *d, const fiz_picture *picture)
{
    JSAMPROW rows[3][FIZ_RAW_Y_ROWS];
    JSAMPARRAY arrays[3] = { rows[0], rows[1], rows[2] };
    fiz_raw_plane planes[3];
    size_t needed = fiz_raw_planes(picture, planes);

    d->scratch = fiz_pool_lease(needed);
    if (d->scratch == NULL)
        fiz_jpeg_stop((j_common_ptr)&d->cinfo, FIZ_STOP_MEMORY);
    fiz_raw_give(planes, fiz_block_data(d->scratch));
    while (d->cinfo.output_scanline < picture->height) {
        uint32_t scanline = d->cinfo.output_scanline;
        for (int i = 0; i < 3; i++)
            raw_rows(&planes[i], fiz_raw_first(&planes[i], scanline), rows[i]);
        (void)jpeg_read_raw_data(&d->cinfo, arrays, FIZ_RAW_Y_ROWS);
        for (int i = 0; i < 3; i++)
            copy_scratch(&planes[i], fiz_raw_first(&planes[i], scanline));
    }
}

/* What libjpeg read must be what was admitted: the two parsers agree on every
 * file that is left alone, and this holds them to it. */
static fiz_status check_header(const decoder *d, const fiz_jpeg_header *header,
                               const fiz_picture *picture, fiz_error *error)
{
    const struct jpeg_decompress_struct *c = &d->cinfo;

    if (c->image_width != header->width || c->image_height != header->height
        || c->num_components != header->component_count)
        return fiz_refuse(error, "JPEG data changed while it was being decoded, or has two "
                                 "contradicting headers");
    if (picture->layout != FIZ_YUV420)
        return FIZ_OK;
    if (!fiz_jpeg_header_is_420(header) || c->jpeg_color_space != JCS_YCbCr)
        return fiz_refuse(error, "JPEG is not stored as 4:2:0 YCbCr, so its planes cannot be had "
                                 "as YUV420: decode it to another colorspace");
    return FIZ_OK;
}

/* A component that no scan brought would come out gray without a word. Known
 * only once a multi-scan file has been read, which jpeg_start_decompress does. */
static fiz_status check_components(const decoder *d, fiz_error *error)
{
    const struct jpeg_decompress_struct *c = &d->cinfo;

    for (int i = 0; i < c->num_components; i++) {
        int missing = c->comp_info[i].quant_table == NULL;
        if (c->progressive_mode && c->coef_bits != NULL)
            missing |= c->coef_bits[i][0] < 0;
        if (missing)
            return fiz_refuse(error, "JPEG data is truncated: no scan brings its colour component "
                                     "%d", i + 1);
    }
    return FIZ_OK;
}

/* Holds the one setjmp of decoding: no local of it changes after that call. */
static fiz_status decode(decoder *d, const uint8_t *data, size_t size,
                         const fiz_jpeg_header *header, unsigned denominator,
                         const fiz_picture *picture, fiz_error *error)
{
    j_decompress_ptr cinfo = &d->cinfo;
    fiz_status status;

    if (FIZ_SETJMP(d->error.jump))
        return fiz_jpeg_caught((j_common_ptr)cinfo, "decode", size - d->source.bytes_in_buffer,
                               error);
    d->source.next_input_byte = data + header->soi;
    d->source.bytes_in_buffer = size - header->soi;
    (void)jpeg_read_header(cinfo, TRUE);
    status = check_header(d, header, picture, error);
    if (status != FIZ_OK)
        return status;
    cinfo->out_color_space = colours_of(picture->layout);
    cinfo->raw_data_out = picture->layout == FIZ_YUV420;
    cinfo->scale_num = 1;
    cinfo->scale_denom = denominator;
    cinfo->dct_method = JDCT_ISLOW;
    (void)jpeg_start_decompress(cinfo);
    if (jpeg_has_multiple_scans(cinfo)) {
        status = check_components(d, error);
        if (status != FIZ_OK)
            return status;
    }
    if (cinfo->output_width != picture->width || cinfo->output_height != picture->height)
        return fiz_refuse(error, "JPEG decodes to %ux%u pixels, not to %ux%u",
                          (unsigned)cinfo->output_width, (unsigned)cinfo->output_height,
                          (unsigned)picture->width, (unsigned)picture->height);
    if (picture->layout == FIZ_YUV420)
        read_planes(d, picture);
    else
        read_rows(d, picture);
    (void)jpeg_finish_decompress(cinfo);
    return FIZ_OK;
}

fiz_status fiz_jpeg_decode(const uint8_t *data, size_t size, const fiz_jpeg_header *header,
                           unsigned denominator, const fiz_picture *picture, fiz_error *error)
{
    decoder *d = decoder_for(header);
    fiz_status status;

    if (d == NULL)
        return FIZ_NO_MEMORY;
    status = decode(d, data, size, header, denominator, picture, error);
    fiz_pool_release(d->scratch);
    d->scratch = NULL;
    jpeg_abort_decompress(&d->cinfo); /* of no effect after FIZ_OK */
    if (!fiz_spare_keep(&spares, d))
        decoder_free(d);
    return status;
}
