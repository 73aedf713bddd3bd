#include "jpeg_encode.h"

#include <string.h>

#include "jpeg_header.h"
#include "threads.h"

/* A thread more pays for itself from about this many pixels for each. */
#define PIXELS_A_THREAD 80000u
/* Twice as many strips as threads even out rows of unlike content, but each costs
 * some microseconds: not when they would be smaller than this. */
#define PIXELS_A_STRIP 80000u
#define STRIPS_MAX 256u

/* A picture is cut into strips of whole restart intervals. An encoder starts
 * each interval afresh, so a strip encoded as a picture of its own has the very
 * entropy-coded bytes that it has within the whole, but for the numbers of its
 * restart markers, which count from the top of the picture. */
typedef struct {
    fiz_block *block;
    size_t size;
    size_t entropy; /* where its entropy-coded data begins */
    fiz_status status;
} strip;

typedef struct {
    const fiz_picture *picture;
    const fiz_encode_options *options;
    uint32_t interval_rows; /* pixel rows of a restart interval */
    uint32_t intervals;
    unsigned count;
    strip strips[STRIPS_MAX];
} strips;

static uint32_t mcu_height(const fiz_picture *picture, const fiz_encode_options *options)
{
    return picture->layout != FIZ_GRAY && options->sampling == FIZ_SAMPLING_420 ? 16 : 8;
}

/* The first interval of a strip; of the one after the last: their count. */
static uint32_t first_interval(const strips *s, unsigned index)
{
    return (uint32_t)((uint64_t)s->intervals * index / s->count);
}

/* A multiple of the threads, so that each has as much to do. */
static unsigned strip_count(const fiz_picture *picture, uint32_t intervals, unsigned threads)
{
    size_t pixels = (size_t)picture->width * picture->height;
    unsigned count = pixels / PIXELS_A_STRIP / 2 >= threads ? 2 * threads : threads;

    if (count > STRIPS_MAX) count = STRIPS_MAX;
    return count < intervals ? count : intervals;
}

/* Adds to the numbers of the restart markers. No 0xFF of entropy-coded data is
 * followed by what could be taken for one. */
static void renumber(uint8_t *data, size_t size, unsigned added)
{
    const uint8_t *end = data + size;

    while ((data = memchr(data, 0xFF, (size_t)(end - data))) != NULL && end - data > 1) {
        if (data[1] >= FIZ_JPEG_RST0 && data[1] < FIZ_JPEG_RST0 + 8)
            data[1] = (uint8_t)(FIZ_JPEG_RST0 + ((data[1] - FIZ_JPEG_RST0 + added) & 7));
        data += 2;
    }
}

static void encode_strip(void *arg, unsigned index)
{
    strips *s = arg;
    strip *own = &s->strips[index];
    uint32_t first = first_interval(s, index);
    uint32_t intervals = first_interval(s, index + 1) - first;
    fiz_picture part = fiz_picture_rows(s->picture, first * s->interval_rows,
                                        intervals * s->interval_rows);
    /* The others are joined to the first strip in its block. Theirs are given back
     * at once, so they may as well be large: none has to grow, and so how many blocks
     * are in use at a time does not depend on how the threads happen to run. */
    size_t capacity = index == 0 ? fiz_jpeg_guess(s->picture, s->options)
                                 : 3 * fiz_jpeg_guess(&part, s->options);
    fiz_jpeg_header header;
    fiz_error error;

    own->status = fiz_jpeg_encode_alone(&part, s->options, capacity, &own->block, &own->size,
                                        &error);
    if (own->status != FIZ_OK)
        return;
    own->status = fiz_jpeg_header_read(fiz_block_data(own->block), own->size, &header, &error);
    own->entropy = header.entropy;
    if (own->status == FIZ_OK && first % 8 != 0)
        renumber(fiz_block_data(own->block) + own->entropy, own->size - own->entropy, first);
}

/* Joins the strips in the block of the first: 0, or -1 without memory. */
static int join(strips *s, size_t *size)
{
    strip *whole = &s->strips[0];
    size_t total = whole->size;
    fiz_jpeg_header header;
    fiz_error error;
    uint8_t *out;

    for (unsigned i = 1; i < s->count; i++)
        total += s->strips[i].size - s->strips[i].entropy;
    if (total > fiz_block_capacity(whole->block)) {
        fiz_block *larger = fiz_pool_grow(whole->block, whole->size, total);
        if (larger == NULL)
            return -1;
        whole->block = larger;
    }
    out = fiz_block_data(whole->block);
    if (fiz_jpeg_header_read(out, whole->size, &header, &error) != FIZ_OK)
        return -1;
    out[header.sof + 5] = (uint8_t)(s->picture->height >> 8);
    out[header.sof + 6] = (uint8_t)s->picture->height;
    /* Each end-of-image marker but the last gives way to a restart marker. */
    out += whole->size;
    for (unsigned i = 1; i < s->count; i++) {
        strip *next = &s->strips[i];
        size_t count = next->size - next->entropy;
        out[-1] = (uint8_t)(FIZ_JPEG_RST0 + ((first_interval(s, i) - 1) & 7));
        memcpy(out, fiz_block_data(next->block) + next->entropy, count);
        out += count;
    }
    *size = total;
    return 0;
}

/* Whether it succeeded; if not, nothing is held. */
static int encode_in_strips(strips *s, unsigned threads, fiz_block **block, size_t *size)
{
    int good = 1;

    memset(s->strips, 0, s->count * sizeof *s->strips);
    fiz_parallel(threads, s->count, encode_strip, s);
    for (unsigned i = 0; i < s->count; i++)
        good &= s->strips[i].status == FIZ_OK;
    good = good && join(s, size) == 0;
    for (unsigned i = good ? 1 : 0; i < s->count; i++)
        fiz_pool_release(s->strips[i].block);
    if (good)
        *block = s->strips[0].block;
    return good;
}

fiz_status fiz_jpeg_encode(const fiz_picture *picture, const fiz_encode_options *options,
                           unsigned threads, fiz_block **block, size_t *size, fiz_error *error)
{
    size_t useful = (size_t)picture->width * picture->height / PIXELS_A_THREAD;
    strips s;

    if (threads == 0)
        threads = useful < FIZ_THREADS_MAX ? (unsigned)useful : FIZ_THREADS_MAX;
    if (threads > 1 && threads > fiz_threads_size())
        threads = fiz_threads_size();
    if (threads > 1 && options->restart_rows > 0) {
        s.picture = picture;
        s.options = options;
        s.interval_rows = options->restart_rows * mcu_height(picture, options);
        s.intervals = (picture->height + s.interval_rows - 1) / s.interval_rows;
        s.count = strip_count(picture, s.intervals, threads);
        /* Where strips fail, one thread decides, and has the words for it. */
        if (s.count > 1 && encode_in_strips(&s, threads, block, size))
            return FIZ_OK;
    }
    return fiz_jpeg_encode_alone(picture, options, fiz_jpeg_guess(picture, options), block, size,
                                 error);
}
