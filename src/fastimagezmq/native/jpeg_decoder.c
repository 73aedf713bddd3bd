#include "jpeg_decoder.h"

#include <stdlib.h>
#include <string.h>

#include "fork.h"
#include "jpeg_error.h"
#include "pool.h"
#include "raw_planes.h"
#include "spare.h"

#define ROWS_PER_CALL 16
#define SEGMENTS_MAX 4

typedef struct {
    const uint8_t *data;
    size_t size;
} segment;

/* One libjpeg object, made once, and what the running picture needs. */
typedef struct {
    struct jpeg_decompress_struct cinfo;
    fiz_jpeg_error error;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    segment segments[SEGMENTS_MAX]; /* what the source gives, one after another */
    int segment_count, next_segment;
    uint8_t height[2];     /* what a strip's frame header says instead of the file's */
    unsigned restart;      /* what is added to the numbers of restart markers */
    fiz_block *scratch;    /* rows of planes in whole blocks; mostly NULL */
} decoder;

static fiz_spares spares = FIZ_SPARES_INIT;

int fiz_jpeg_decoder_init(void)
{
    return fiz_fork_guard(&spares.mutex, NULL);
}

static decoder *decoder_of(j_decompress_ptr cinfo)
{
    return cinfo->client_data;
}

/* The source: a few segments. Asking for more is an error, also for a missing
 * end-of-image marker: every proper prefix of a JPEG is refused. */

static void source_nothing(j_decompress_ptr cinfo)
{
    (void)cinfo;
}

static boolean source_more(j_decompress_ptr cinfo)
{
    decoder *d = decoder_of(cinfo);

    d->source.bytes_in_buffer = 0; /* within an MCU libjpeg has not brought it up to date */
    do {
        if (d->next_segment == d->segment_count)
            fiz_jpeg_stop((j_common_ptr)cinfo, FIZ_STOP_TRUNCATED);
        d->source.next_input_byte = d->segments[d->next_segment].data;
        d->source.bytes_in_buffer = d->segments[d->next_segment++].size;
    } while (d->source.bytes_in_buffer == 0);
    return TRUE;
}

static void source_skip(j_decompress_ptr cinfo, long count)
{
    size_t left = count > 0 ? (size_t)count : 0;

    while (left > cinfo->src->bytes_in_buffer) {
        left -= cinfo->src->bytes_in_buffer;
        (void)source_more(cinfo);
    }
    cinfo->src->next_input_byte += left;
    cinfo->src->bytes_in_buffer -= left;
}

/* libjpeg calls this for a restart marker that is not the one it expects, and it
 * expects a strip's to begin with RST0. */
static boolean source_resync(j_decompress_ptr cinfo, int expected)
{
    unsigned number = ((unsigned)expected + decoder_of(cinfo)->restart) % 8;

    if (cinfo->unread_marker != (int)(FIZ_JPEG_RST0 + number))
        return jpeg_resync_to_restart(cinfo, expected);
    cinfo->unread_marker = 0;
    return TRUE;
}

static void source_add(decoder *d, const uint8_t *data, size_t size)
{
    segment added = { data, size };

    d->segments[d->segment_count++] = added;
}

static void source_set(decoder *d, const fiz_jpeg_file *file, const fiz_jpeg_strip *strip)
{
    const fiz_jpeg_header *h = file->header;
    size_t height = h->sof + 5; /* marker, length, precision, height: T.81, B.2.2 */

    d->source.bytes_in_buffer = 0;
    d->segment_count = d->next_segment = 0;
    if (strip == NULL) {
        d->restart = 0;
        source_add(d, file->data + h->soi, file->size - h->soi);
        return;
    }
    d->restart = strip->restart;
    d->height[0] = (uint8_t)(strip->height >> 8);
    d->height[1] = (uint8_t)strip->height;
    source_add(d, file->data + h->soi, height - h->soi);
    source_add(d, d->height, sizeof d->height);
    source_add(d, file->data + height + 2, h->entropy - (height + 2));
    source_add(d, file->data + strip->entropy, file->size - strip->entropy);
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
    d->cinfo.client_data = d;
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
    d->source.resync_to_restart = source_resync;
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

/* Rows to skip go where the first row of the picture comes to stand after them. */
static void read_rows(decoder *d, const fiz_picture *picture, uint32_t skip)
{
    JSAMPROW rows[ROWS_PER_CALL];

    while (d->cinfo.output_scanline < skip + picture->height) {
        uint32_t first = d->cinfo.output_scanline;
        uint32_t left = skip + picture->height - first;
        uint32_t count = left < ROWS_PER_CALL ? left : ROWS_PER_CALL;
        for (uint32_t i = 0; i < count; i++)
            rows[i] = fiz_plane_row(&picture->planes[0], first + i > skip ? first + i - skip : 0);
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
static fiz_status check_header(const decoder *d, const fiz_jpeg_header *header, uint32_t height,
                               const fiz_picture *picture, fiz_error *error)
{
    const struct jpeg_decompress_struct *c = &d->cinfo;

    if (c->image_width != header->width || c->image_height != height
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

/* What the cutting into strips has taken for granted. */
static fiz_status check_strip(const decoder *d, const fiz_jpeg_header *header,
                              const fiz_picture *picture, fiz_error *error)
{
    const struct jpeg_decompress_struct *c = &d->cinfo;
    int same = c->restart_interval == header->restart_interval
               && c->comps_in_scan == c->num_components;

    for (int i = 0; i < c->num_components; i++)
        same &= c->comp_info[i].h_samp_factor == header->components[i].h
                && c->comp_info[i].v_samp_factor == header->components[i].v;
    /* of other models it may take all components to make gray */
    same &= picture->layout != FIZ_GRAY || c->jpeg_color_space == JCS_YCbCr
            || c->jpeg_color_space == JCS_GRAYSCALE;
    return same ? FIZ_OK : fiz_refuse(error, "JPEG cannot be decoded in strips");
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
static fiz_status decode(decoder *d, const fiz_jpeg_file *file, const fiz_jpeg_strip *strip,
                         unsigned denominator, const fiz_picture *picture, fiz_error *error)
{
    j_decompress_ptr cinfo = &d->cinfo;
    const uint32_t skip = strip != NULL ? strip->skip : 0;
    fiz_status status;

    if (FIZ_SETJMP(d->error.jump))
        return fiz_jpeg_caught((j_common_ptr)cinfo, "decode",
                               file->size - d->source.bytes_in_buffer, error);
    source_set(d, file, strip);
    (void)jpeg_read_header(cinfo, TRUE);
    status = check_header(d, file->header, strip != NULL ? strip->height : file->header->height,
                          picture, error);
    if (status == FIZ_OK && strip != NULL)
        status = check_strip(d, file->header, picture, error);
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
    if (cinfo->output_width != picture->width
        || (strip == NULL ? cinfo->output_height != picture->height
                          : cinfo->output_height < skip + picture->height))
        return fiz_refuse(error, "JPEG decodes to %ux%u pixels, not to %ux%u",
                          (unsigned)cinfo->output_width, (unsigned)cinfo->output_height,
                          (unsigned)picture->width, (unsigned)picture->height);
    if (picture->layout == FIZ_YUV420)
        read_planes(d, picture);
    else
        read_rows(d, picture, skip);
    if (strip == NULL) /* what follows a strip is not its own */
        (void)jpeg_finish_decompress(cinfo);
    return FIZ_OK;
}

fiz_status fiz_jpeg_decode_alone(const fiz_jpeg_file *file, const fiz_jpeg_strip *strip,
                                 unsigned denominator, const fiz_picture *picture,
                                 fiz_error *error)
{
    decoder *d = decoder_for(file->header);
    fiz_status status;

    if (d == NULL)
        return FIZ_NO_MEMORY;
    status = decode(d, file, strip, denominator, picture, error);
    fiz_pool_release(d->scratch);
    d->scratch = NULL;
    jpeg_abort_decompress(&d->cinfo); /* of no effect after FIZ_OK for a whole file */
    if (!fiz_spare_keep(&spares, d))
        decoder_free(d);
    return status;
}
