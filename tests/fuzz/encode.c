/* libFuzzer: pictures of any layout, sides, strides and samples. Eight bytes choose them, the
 * others are the samples, over and over. What is encoded is the same in strips as on one thread,
 * and a JPEG of those sides that can be decoded. */
#include <string.h>

#include "check.h"
#include "codec.h"
#include "native/jpeg_decode.h"
#include "native/jpeg_encode.h"
#include "native/pool.h"

#define CHOICES 8
#define SIDE_MAX 100u

static void fill(const fiz_picture *p, const uint8_t *samples, size_t count)
{
    size_t next = 0;

    for (int i = 0; i < (p->layout == FIZ_YUV420 ? 3 : 1); i++)
        for (uint32_t y = 0; y < plane_height(p, i); y++)
            for (uint32_t x = 0; x < plane_width(p, i); x++)
                fiz_plane_row(&p->planes[i], y)[x] = samples[next++ % count];
}

/* The last row first. */
static void turn_over(fiz_picture *p)
{
    for (int i = 0; i < (p->layout == FIZ_YUV420 ? 3 : 1); i++) {
        fiz_plane *plane = &p->planes[i];
        plane->data = fiz_plane_row(plane, plane_height(p, i) - 1);
        plane->odd = -plane->odd;
        plane->pair = 2 * plane->odd;
    }
}

static void decode(const uint8_t *data, size_t size, const fiz_picture *source)
{
    test_picture out = picture_new(FIZ_BGR, source->width, source->height, 0);
    fiz_jpeg_header header;
    fiz_error error;

    CHECK(fiz_jpeg_header_read(data, size, &header, &error) == FIZ_OK);
    CHECK(header.width == source->width && header.height == source->height);
    CHECK(fiz_jpeg_header_admit(&header, size, (uint64_t)SIDE_MAX * SIDE_MAX, &error) == FIZ_OK);
    CHECK(fiz_jpeg_decode(data, size, &header, 1, 4, &out.picture, &error) == FIZ_OK);
    picture_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int ready;
    fiz_layout layout;
    fiz_encode_options options;
    test_picture in;
    fiz_block *blocks[2];
    size_t sizes[2];

    if (size < CHOICES)
        return -1;
    if (!ready) {
        codec_init();
        ready = 1;
    }
    layout = (fiz_layout)(data[0] % (FIZ_YUV420 + 1));
    options.sampling = layout == FIZ_YUV420 ? FIZ_SAMPLING_420
                                            : (fiz_sampling)(data[1] % (FIZ_SAMPLING_GRAY + 1));
    options.quality = 1 + data[2] % 100;
    options.restart_rows = data[3] % 5;
    in = picture_new(layout, 1 + data[4] % SIDE_MAX, 1 + data[5] % SIDE_MAX, data[6] % 16);
    if (size > CHOICES)
        fill(&in.picture, data + CHOICES, size - CHOICES);
    if (data[7] & 1)
        turn_over(&in.picture);
    for (unsigned i = 0; i < 2; i++) {
        fiz_error error;
        CHECK(fiz_jpeg_encode(&in.picture, &options, i ? 4 : 1, &blocks[i], &sizes[i], &error)
              == FIZ_OK);
    }
    CHECK(sizes[0] == sizes[1]);
    CHECK(memcmp(fiz_block_data(blocks[0]), fiz_block_data(blocks[1]), sizes[0]) == 0);
    decode(fiz_block_data(blocks[0]), sizes[0], &in.picture);
    fiz_pool_release(blocks[0]);
    fiz_pool_release(blocks[1]);
    CHECK(fiz_pool_count().leases == 0);
    picture_free(&in);
    return 0;
}
