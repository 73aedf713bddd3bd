#include "check.h"

#include <pthread.h>
#include <string.h>

#include "native/jpeg_decode.h"
#include "native/jpeg_encode.h"
#include "native/pool.h"

#define CALLERS 5

static void reset(alone_calls *calls, uint64_t failing)
{
    atomic_store(&calls->count, 0);
    calls->failing = failing;
}

static size_t encode(const fiz_picture *picture, const fiz_encode_options *options,
                     unsigned threads, fiz_block **block)
{
    fiz_error error;
    size_t size;

    CHECK(fiz_jpeg_encode(picture, options, threads, block, &size, &error) == FIZ_OK);
    return size;
}

static fiz_status decode(const uint8_t *data, size_t size, unsigned denominator,
                         unsigned threads, const fiz_picture *into, fiz_error *error)
{
    fiz_jpeg_header header;

    CHECK(fiz_jpeg_header_read(data, size, &header, error) == FIZ_OK);
    return fiz_jpeg_decode(data, size, &header, denominator, threads, into, error);
}

/* Encodes on one thread and on four, decodes on one thread and on four: the same,
 * in more than one strip where `strips`, and within the fences. */
static void same_on_four(fiz_layout layout, uint32_t width, uint32_t height,
                         fiz_encode_options options, int strips)
{
    test_picture in = picture_new(layout, width, height, width % 3);
    fiz_block *one, *four;
    size_t size = encode(&in.picture, &options, 1, &one);
    fence jpeg = fence_new(size);

    reset(&encoded_alone, 0);
    CHECK(encode(&in.picture, &options, 4, &four) == size);
    CHECK((atomic_load(&encoded_alone.count) > 1) == strips);
    CHECK(memcmp(fiz_block_data(one), fiz_block_data(four), size) == 0);
    memcpy(jpeg.data, fiz_block_data(one), size);
    for (unsigned denominator = 1; denominator <= 8; denominator *= 2) {
        uint32_t columns = fiz_jpeg_scaled(width, denominator);
        uint32_t rows = fiz_jpeg_scaled(height, denominator);
        test_picture first, second;
        fiz_error error;
        if (layout == FIZ_YUV420 && denominator > 1)
            break;
        first = picture_new(layout, columns, rows, 0);
        second = picture_new(layout, columns, rows, 5);
        CHECK(decode(jpeg.data, size, denominator, 1, &first.picture, &error) == FIZ_OK);
        reset(&decoded_alone, 0);
        CHECK(decode(jpeg.data, size, denominator, 4, &second.picture, &error) == FIZ_OK);
        if (!strips)
            CHECK(atomic_load(&decoded_alone.count) == 1);
        CHECK(picture_distance(&first.picture, &second.picture) == 0);
        picture_free(&first);
        picture_free(&second);
    }
    fiz_pool_release(one);
    fiz_pool_release(four);
    fence_free(&jpeg);
    picture_free(&in);
}

static void the_same_on_any_number_of_threads(void)
{
    static const uint32_t heights[] = { 17, 32, 33, 49, 79, 137 };
    static const uint32_t widths[] = { 1, 8, 31, 64 };

    for (int layout = FIZ_BGR; layout <= FIZ_YUV420; layout++)
        for (int sampling = FIZ_SAMPLING_444; sampling <= FIZ_SAMPLING_GRAY; sampling++)
            for (unsigned i = 0; i < sizeof heights / sizeof *heights; i++)
                for (unsigned j = 0; j < sizeof widths / sizeof *widths; j++)
                    for (unsigned rows = 1; rows <= 3; rows++) {
                        fiz_encode_options options = { 90, (fiz_sampling)sampling, rows };
                        unsigned high = sampling == FIZ_SAMPLING_420 && layout != FIZ_GRAY ? 16 : 8;
                        if (layout == FIZ_YUV420 && sampling != FIZ_SAMPLING_420)
                            continue;
                        same_on_four((fiz_layout)layout, widths[j], heights[i], options,
                                     heights[i] > high * rows);
                    }
    CHECK(fiz_pool_count().leases == 0);
}

/* 4:2:0, 4:2:2, gray of colour: how many strips there are tells that cuts were made. */
static void decodes_in_strips(void)
{
    fiz_encode_options options = { 80, FIZ_SAMPLING_420, 1 };
    test_picture in = picture_new(FIZ_BGR, 120, 200, 0);
    test_picture out = picture_new(FIZ_BGR, 120, 200, 0);
    fiz_jpeg_header header;
    fiz_block *block;
    fiz_error error;
    uint8_t *data;
    size_t size = encode(&in.picture, &options, 1, &block);

    data = fiz_block_data(block);
    for (unsigned threads = 1; threads <= 4; threads++) {
        reset(&decoded_alone, 0);
        CHECK(decode(data, size, 1, threads, &out.picture, &error) == FIZ_OK);
        CHECK(atomic_load(&decoded_alone.count) >= threads);
    }
    /* a restart marker that is not the next, and one too many or too few */
    CHECK(fiz_jpeg_header_read(data, size, &header, &error) == FIZ_OK);
    for (size_t at = header.entropy; at + 2 < size; at++)
        if (data[at] == 0xFF && data[at + 1] == 0xD4) {
            data[at + 1] = 0xD5;
            reset(&decoded_alone, 0);
            CHECK(decode(data, size, 1, 4, &out.picture, &error) == FIZ_REFUSED);
            CHECK(atomic_load(&decoded_alone.count) == 1);
            data[at + 1] = 0xD4;
        }
    CHECK(header.dri > 0 && data[header.dri + 5] == 8);
    for (int wrong = 7; wrong <= 9; wrong += 2) {
        data[header.dri + 5] = (uint8_t)wrong;
        reset(&decoded_alone, 0);
        CHECK(decode(data, size, 1, 4, &out.picture, &error) == FIZ_REFUSED);
        CHECK(atomic_load(&decoded_alone.count) == 1);
    }
    fiz_pool_release(block);
    picture_free(&in);
    picture_free(&out);
}

/* A strip that fails is made good by one thread. */
static void strips_may_fail(void)
{
    fiz_encode_options options = { 80, FIZ_SAMPLING_420, 1 };
    test_picture in = picture_new(FIZ_BGR, 100, 150, 0);
    test_picture first = picture_new(FIZ_BGR, 100, 150, 0);
    test_picture out = picture_new(FIZ_BGR, 100, 150, 0);
    fiz_block *whole, *block;
    fiz_error error;
    size_t size = encode(&in.picture, &options, 1, &whole), again;

    CHECK(decode(fiz_block_data(whole), size, 1, 1, &first.picture, &error) == FIZ_OK);
    for (int nth = 0; nth < 8; nth++) {
        reset(&encoded_alone, (uint64_t)1 << nth);
        CHECK(encode(&in.picture, &options, 4, &block) == size);
        CHECK(memcmp(fiz_block_data(block), fiz_block_data(whole), size) == 0);
        fiz_pool_release(block);
        CHECK(fiz_pool_count().leases == 1);
        reset(&decoded_alone, (uint64_t)1 << nth);
        CHECK(decode(fiz_block_data(whole), size, 1, 4, &out.picture, &error) == FIZ_OK);
        CHECK(picture_distance(&first.picture, &out.picture) == 0);
    }
    reset(&encoded_alone, UINT64_MAX);
    CHECK(fiz_jpeg_encode(&in.picture, &options, 4, &block, &again, &error) == FIZ_NO_MEMORY);
    reset(&encoded_alone, 0);
    reset(&decoded_alone, UINT64_MAX);
    CHECK(decode(fiz_block_data(whole), size, 1, 4, &out.picture, &error) == FIZ_NO_MEMORY);
    reset(&decoded_alone, 0);
    fiz_pool_release(whole);
    CHECK(fiz_pool_count().leases == 0);
    picture_free(&in);
    picture_free(&first);
    picture_free(&out);
}

/* Noise outgrows the first guess, so joining takes a larger block. */
static void joined_in_a_larger_block(void)
{
    fiz_encode_options options = { 60, FIZ_SAMPLING_444, 1 };
    test_picture in = picture_new(FIZ_BGR, 400, 300, 0);
    uint32_t noise = 5;
    fiz_block *one, *four;
    size_t size;

    for (uint32_t y = 0; y < 300; y++)
        for (uint32_t x = 0; x < 1200; x++) {
            noise = noise * 1664525u + 1013904223u;
            fiz_plane_row(&in.picture.planes[0], y)[x] = (uint8_t)(noise >> 24);
        }
    size = encode(&in.picture, &options, 1, &one);
    CHECK(size > fiz_jpeg_guess(&in.picture, &options) * 3 / 2);
    CHECK(encode(&in.picture, &options, 4, &four) == size);
    CHECK(memcmp(fiz_block_data(one), fiz_block_data(four), size) == 0);
    fiz_pool_release(one);
    fiz_pool_release(four);
    picture_free(&in);
}

static void *caller(void *number)
{
    uint32_t side = 60 + 30 * (uint32_t)(uintptr_t)number;
    fiz_encode_options options = { 80, FIZ_SAMPLING_420, 1 };
    test_picture in = picture_new(FIZ_BGR, side, side, 0);
    test_picture first = picture_new(FIZ_BGR, side, side, 0);
    test_picture out = picture_new(FIZ_BGR, side, side, 0);
    fiz_block *one;
    fiz_error error;
    size_t size = encode(&in.picture, &options, 1, &one);

    CHECK(decode(fiz_block_data(one), size, 1, 1, &first.picture, &error) == FIZ_OK);
    for (int i = 0; i < 60; i++) {
        fiz_block *block;
        CHECK(encode(&in.picture, &options, 4, &block) == size);
        CHECK(memcmp(fiz_block_data(one), fiz_block_data(block), size) == 0);
        CHECK(decode(fiz_block_data(block), size, 1, 4, &out.picture, &error) == FIZ_OK);
        CHECK(picture_distance(&first.picture, &out.picture) == 0);
        CHECK(decode(fiz_block_data(block), size - 9, 1, 4, &out.picture, &error) == FIZ_REFUSED);
        fiz_pool_release(block);
    }
    fiz_pool_release(one);
    picture_free(&in);
    picture_free(&first);
    picture_free(&out);
    return NULL;
}

static void many_at_once(void)
{
    pthread_t threads[CALLERS];

    for (uintptr_t i = 0; i < CALLERS; i++)
        CHECK(pthread_create(&threads[i], NULL, caller, (void *)i) == 0);
    for (int i = 0; i < CALLERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(fiz_pool_count().leases == 0);
}

void run_strip_tests(void)
{
    RUN(the_same_on_any_number_of_threads);
    RUN(decodes_in_strips);
    RUN(strips_may_fail);
    RUN(joined_in_a_larger_block);
    RUN(many_at_once);
}
