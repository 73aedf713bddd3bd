#include "jpeg_decode.h"

#include <string.h>

#include "jpeg_decoder.h"
#include "threads.h"

/* A second thread pays for itself from about so many pixels of the file on, and one more
 * for each so many. */
#define PIXELS_FOR_TWO 70000u
#define PIXELS_A_THREAD 80000u
#define STRIPS_MAX FIZ_THREADS_MAX

/* Where the restart intervals of a file stand among its rows of MCUs. */
typedef struct {
    uint32_t rows;       /* of MCUs */
    uint32_t row_pixels; /* pixels of the file that a row is high */
    uint32_t step;       /* an interval begins with each row that is a multiple of it */
    uint32_t step_intervals; /* intervals in so many rows */
    uint64_t intervals;      /* in the file */
} grid;

/* The rows that a strip gives begin `context` rows after those that it decodes:
 * smooth chroma upsampling looks at the rows above and below, so a row is decoded
 * before the first (it needs to begin an interval) and after the last. */
typedef struct {
    uint32_t start; /* the first row of MCUs that it decodes */
    size_t entropy; /* offset of its entropy-coded data */
    fiz_status status;
} strip;

typedef struct {
    fiz_jpeg_file file;
    const fiz_picture *picture;
    unsigned denominator;
    grid grid;
    uint32_t context;
    unsigned count;
    strip strips[STRIPS_MAX];
} strips;

static uint32_t divisor(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static void sampling_of(const fiz_jpeg_header *header, unsigned *wide, unsigned *high)
{
    *wide = *high = 1;
    for (unsigned i = 0; i < header->component_count; i++) {
        if (header->components[i].h > *wide) *wide = header->components[i].h;
        if (header->components[i].v > *high) *high = header->components[i].v;
    }
}

/* Whether there are two places or more to begin at. A single component is not
 * interleaved (T.81, A.2.2), so its MCUs are blocks whatever its factors say. */
static int find_grid(const fiz_jpeg_header *header, grid *g)
{
    unsigned wide, high;
    uint32_t row_mcus, shared;

    sampling_of(header, &wide, &high);
    if (!header->self_contained || header->restart_interval == 0
        || (header->component_count == 1 && wide * high > 1))
        return 0;
    row_mcus = (header->width + 8 * wide - 1) / (8 * wide);
    g->row_pixels = 8 * high;
    g->rows = (header->height + g->row_pixels - 1) / g->row_pixels;
    shared = divisor(header->restart_interval, row_mcus);
    g->step = header->restart_interval / shared;
    g->step_intervals = row_mcus / shared;
    g->intervals = ((uint64_t)g->rows * row_mcus + header->restart_interval - 1)
                   / header->restart_interval;
    return g->rows > g->step;
}

/* Whether a component is stretched vertically, where libjpeg looks at neighbours.
 * As in libjpeg, a component is first decoded at up to 8 times the scale. */
static int needs_context(const fiz_jpeg_header *header, unsigned denominator, fiz_layout layout)
{
    const unsigned scaled = 8 / denominator;
    const unsigned count = layout == FIZ_GRAY ? 1 : header->component_count;
    unsigned wide, high;

    if (layout == FIZ_YUV420)
        return 0;
    sampling_of(header, &wide, &high);
    for (unsigned i = 0; i < count; i++) {
        const fiz_jpeg_component *c = &header->components[i];
        unsigned size = scaled;
        while (size < 8 && wide * scaled % (c->h * size * 2) == 0
               && high * scaled % (c->v * size * 2) == 0)
            size *= 2;
        if (high * scaled != c->v * size)
            return 1;
    }
    return 0;
}

/* Shares out the rows, one strip to a thread: a cut costs two rows of context.
 * `threads` is at most FIZ_THREADS_MAX. Returns whether there is more than one strip. */
static int plan(strips *s, unsigned threads)
{
    const grid *g = &s->grid;
    /* the last strip must have a row to give after its context */
    uint32_t places = (g->rows - s->context + g->step - 1) / g->step;

    s->count = threads < places ? threads : places;
    for (unsigned i = 0; i < s->count; i++)
        s->strips[i].start = (uint32_t)((uint64_t)places * i / s->count) * g->step;
    return s->count > 1;
}

/* Finds where the strips begin. Whether every restart marker is there, in order,
 * and the end-of-image marker after them, with nothing in between. */
static int find_strips(strips *s)
{
    const uint8_t *at = s->file.data + s->file.header->entropy;
    const uint8_t *end = s->file.data + s->file.size;
    const grid *g = &s->grid;
    uint64_t passed = 0, sought;
    unsigned next = 1;

    s->strips[0].entropy = s->file.header->entropy;
    sought = (uint64_t)(s->strips[1].start / g->step) * g->step_intervals;
    while ((at = memchr(at, 0xFF, (size_t)(end - at))) != NULL && end - at > 1) {
        unsigned marker = at[1]; /* once: the data may change */
        at += 2;
        if (marker == 0)
            continue;
        if (marker != FIZ_JPEG_RST0 + passed % 8 || passed + 1 == g->intervals)
            return marker == FIZ_JPEG_EOI && passed + 1 == g->intervals;
        if (++passed == sought) {
            s->strips[next++].entropy = (size_t)(at - s->file.data);
            sought = next == s->count ? 0 : (uint64_t)(s->strips[next].start / g->step)
                                            * g->step_intervals;
        }
    }
    return 0;
}

static void decode_strip(void *arg, unsigned index)
{
    strips *s = arg;
    const grid *g = &s->grid;
    strip *own = &s->strips[index];
    uint32_t context = index == 0 ? 0 : s->context;
    uint32_t first = own->start + context; /* rows of MCUs that it gives: first..end */
    uint32_t end = index + 1 == s->count ? g->rows : s->strips[index + 1].start + s->context;
    uint32_t below = s->context < g->rows - end ? s->context : g->rows - end;
    uint32_t scaled = g->row_pixels / s->denominator;
    uint32_t left = s->file.header->height - own->start * g->row_pixels;
    uint32_t height = (end + below - own->start) * g->row_pixels;
    fiz_picture part = fiz_picture_rows(s->picture, first * scaled, (end - first) * scaled);
    uint64_t intervals = (uint64_t)(own->start / g->step) * g->step_intervals;
    fiz_jpeg_strip rows = { own->entropy, height < left ? height : left,
                            (unsigned)(intervals % 8), context * scaled };
    fiz_error error;

    own->status = fiz_jpeg_decode_alone(&s->file, &rows, s->denominator, &part, &error);
}

static int decode_in_strips(strips *s, unsigned threads)
{
    int good = 1;

    fiz_parallel(threads, s->count, decode_strip, s);
    for (unsigned i = 0; i < s->count; i++)
        good &= s->strips[i].status == FIZ_OK;
    return good;
}

static unsigned useful_threads(uint64_t pixels)
{
    uint64_t threads = pixels / PIXELS_A_THREAD;

    if (threads < 2)
        return pixels >= PIXELS_FOR_TWO ? 2 : 1;
    return threads < FIZ_THREADS_MAX ? (unsigned)threads : FIZ_THREADS_MAX;
}

fiz_status fiz_jpeg_decode(const uint8_t *data, size_t size, const fiz_jpeg_header *header,
                           unsigned denominator, unsigned threads, const fiz_picture *picture,
                           fiz_error *error)
{
    strips s;

    s.file.data = data;
    s.file.size = size;
    s.file.header = header;
    if (threads == 0)
        threads = useful_threads((uint64_t)header->width * header->height);
    if (threads > 1 && threads > fiz_threads_size())
        threads = fiz_threads_size();
    if (threads > 1 && find_grid(header, &s.grid)) {
        s.picture = picture;
        s.denominator = denominator;
        s.context = (uint32_t)needs_context(header, denominator, picture->layout);
        /* Where strips fail, one thread decides, and has the words for it. */
        if (plan(&s, threads) && find_strips(&s) && decode_in_strips(&s, threads))
            return FIZ_OK;
    }
    return fiz_jpeg_decode_alone(&s.file, NULL, denominator, picture, error);
}
