#include "check.h"

#include <string.h>

#include "native/jpeg_decode.h"
#include "native/jpeg_encode.h"
#include "native/pool.h"

static const fiz_layout layouts[] = { FIZ_BGR, FIZ_RGB, FIZ_BGRX, FIZ_RGBX, FIZ_GRAY, FIZ_YUV420 };

static fiz_encode_options options_of(int quality, fiz_sampling sampling)
{
    fiz_encode_options options = { quality, sampling, 0 };
    return options;
}

/* The JPEG of a picture at the end of its fence. */
static size_t jpeg_of(const fiz_picture *picture, fiz_encode_options options, fence *f)
{
    fiz_block *block;
    fiz_error error;
    size_t size;

    CHECK(fiz_jpeg_encode(picture, &options, 1, &block, &size, &error) == FIZ_OK);
    *f = fence_new(size);
    memcpy(f->data, fiz_block_data(block), size);
    fiz_pool_release(block);
    return size;
}

static fiz_status decode(const uint8_t *data, size_t size, unsigned denominator,
                         const fiz_picture *into, fiz_error *error)
{
    fiz_jpeg_header header;
    fiz_status status = fiz_jpeg_header_read(data, size, &header, error);

    if (status == FIZ_OK)
        status = fiz_jpeg_header_admit(&header, size, 1u << 24, error);
    return status == FIZ_OK ? fiz_jpeg_decode(data, size, &header, denominator, 1, into, error)
                            : status;
}

/* All layouts, samplings and sides around the block sizes: nothing beyond the
 * picture is read or written, and what comes out is near what went in. */
static void round_trips_within_their_fences(void)
{
    static const uint32_t sides[] = { 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64 };
    const size_t n = sizeof sides / sizeof *sides;

    for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++)
        for (size_t i = 0; i < n * n; i++)
            for (int sampling = FIZ_SAMPLING_444; sampling <= FIZ_SAMPLING_420; sampling++) {
                test_picture in, out;
                fiz_error error;
                fence jpeg;
                size_t size;
                if (layouts[l] == FIZ_YUV420 && sampling != FIZ_SAMPLING_420)
                    continue;
                in = picture_new(layouts[l], sides[i / n], sides[i % n], i % 3);
                out = picture_new(layouts[l], sides[i / n], sides[i % n], i % 5);
                size = jpeg_of(&in.picture, options_of(100, (fiz_sampling)sampling), &jpeg);
                CHECK(decode(jpeg.data, size, 1, &out.picture, &error) == FIZ_OK);
                if (layouts[l] == FIZ_GRAY || layouts[l] == FIZ_YUV420)
                    CHECK(picture_distance(&in.picture, &out.picture) <= 4);
                fence_free(&jpeg);
                picture_free(&in);
                picture_free(&out);
            }
    CHECK(fiz_pool_count().leases == 0);
}

static void scaled_within_their_fences(void)
{
    for (uint32_t side = 1; side < 40; side += 3)
        for (unsigned denominator = 1; denominator <= 8; denominator *= 2)
            for (int l = 0; l < 5; l++) {
                test_picture in = picture_new(layouts[l], side, 41 - side, 0);
                test_picture out = picture_new(layouts[l], fiz_jpeg_scaled(side, denominator),
                                               fiz_jpeg_scaled(41 - side, denominator), 0);
                fence jpeg;
                fiz_error error;
                size_t size = jpeg_of(&in.picture, options_of(90, FIZ_SAMPLING_420), &jpeg);
                CHECK(decode(jpeg.data, size, denominator, &out.picture, &error) == FIZ_OK);
                fence_free(&jpeg);
                picture_free(&in);
                picture_free(&out);
            }
}

static void every_prefix_is_refused(void)
{
    test_picture in = picture_new(FIZ_BGR, 70, 50, 0);
    test_picture out = picture_new(FIZ_BGR, 70, 50, 0);
    fiz_encode_options options = { 60, FIZ_SAMPLING_420, 1 };
    fence whole;
    size_t size = jpeg_of(&in.picture, options, &whole);
    fiz_error error;

    for (size_t cut = 0; cut < size; cut++) {
        fence part = fence_new(cut);
        memcpy(part.data, whole.data, cut);
        CHECK(decode(part.data, cut, 1, &out.picture, &error) == FIZ_REFUSED);
        fence_free(&part);
    }
    CHECK(decode(whole.data, size, 1, &out.picture, &error) == FIZ_OK);
    fence_free(&whole);
    picture_free(&in);
    picture_free(&out);
    CHECK(fiz_pool_count().leases == 0);
}

/* Whatever a byte is changed to: a status, no crash, nothing kept. */
static void changed_bytes_are_survived(void)
{
    static const fiz_layout into[] = { FIZ_BGR, FIZ_GRAY, FIZ_YUV420 };
    test_picture in = picture_new(FIZ_BGR, 40, 36, 0);
    fiz_encode_options options = { 50, FIZ_SAMPLING_420, 1 };
    fence jpeg;
    size_t size = jpeg_of(&in.picture, options, &jpeg);
    uint32_t noise = 3;
    fiz_error error;

    for (int l = 0; l < 3; l++) {
        test_picture out = picture_new(into[l], 40, 36, 0);
        for (size_t at = 0; at < size; at++) {
            uint8_t kept = jpeg.data[at];
            for (int round = 0; round < 6; round++) {
                noise = noise * 1664525u + 1013904223u;
                jpeg.data[at] = round ? (uint8_t)(noise >> 24) : 0xFF;
                (void)decode(jpeg.data, size, 1, &out.picture, &error);
            }
            jpeg.data[at] = kept;
        }
        CHECK(decode(jpeg.data, size, 1, &out.picture, &error) == FIZ_OK);
        picture_free(&out);
    }
    fence_free(&jpeg);
    picture_free(&in);
    CHECK(fiz_pool_count().leases == 0);
}

/* What was admitted is what is decoded, also when the bytes were changed meanwhile. */
static void another_header_is_refused(void)
{
    test_picture wide = picture_new(FIZ_BGR, 40, 20, 0), tall = picture_new(FIZ_BGR, 20, 40, 0);
    test_picture planes = picture_new(FIZ_YUV420, 40, 20, 0);
    fiz_jpeg_header header;
    fiz_error error;
    fence jpeg, other;
    size_t size = jpeg_of(&wide.picture, options_of(80, FIZ_SAMPLING_422), &jpeg);
    size_t other_size = jpeg_of(&tall.picture, options_of(80, FIZ_SAMPLING_422), &other);

    CHECK(fiz_jpeg_header_read(other.data, other_size, &header, &error) == FIZ_OK);
    CHECK(fiz_jpeg_decode(jpeg.data, size, &header, 1, 1, &tall.picture, &error) == FIZ_REFUSED);
    CHECK(strstr(error.text, "changed while it was being decoded") != NULL);
    CHECK(fiz_jpeg_header_read(jpeg.data, size, &header, &error) == FIZ_OK);
    CHECK(fiz_jpeg_decode(jpeg.data, size, &header, 1, 1, &tall.picture, &error) == FIZ_REFUSED);
    CHECK(strstr(error.text, "decodes to 40x20 pixels, not to 20x40") != NULL);
    CHECK(fiz_jpeg_decode(jpeg.data, size, &header, 1, 1, &planes.picture, &error) == FIZ_REFUSED);
    CHECK(strstr(error.text, "not stored as 4:2:0 YCbCr") != NULL);
    CHECK(fiz_jpeg_decode(jpeg.data, size, &header, 1, 1, &wide.picture, &error) == FIZ_OK);
    fence_free(&jpeg);
    fence_free(&other);
    picture_free(&wide);
    picture_free(&tall);
    picture_free(&planes);
}

/* The first guess at the size is too small here, so the block grows. */
static void noise_takes_a_larger_block(void)
{
    test_picture in = picture_new(FIZ_BGR, 400, 300, 0);
    fiz_picture *p = &in.picture;
    fiz_encode_options options = options_of(85, FIZ_SAMPLING_444);
    uint32_t noise = 9;
    fiz_block *block;
    fiz_error error;
    size_t size;

    for (uint32_t y = 0; y < 300; y++)
        for (uint32_t x = 0; x < 1200; x++) {
            noise = noise * 1664525u + 1013904223u;
            fiz_plane_row(&p->planes[0], y)[x] = (uint8_t)(noise >> 24);
        }
    CHECK(fiz_jpeg_encode(p, &options, 1, &block, &size, &error) == FIZ_OK);
    CHECK(size > 2 * (400 * 300 / 8 + FIZ_BLOCK_MIN) && size <= fiz_block_capacity(block));
    CHECK(memcmp(fiz_block_data(block) + size - 2, "\xFF\xD9", 2) == 0);
    fiz_pool_release(block);

    /* each allocation on the way may fail, and nothing is kept */
    for (int nth = 0;; nth++) {
        fiz_status status;
        fiz_pool_trim();
        allocations_left = nth;
        status = fiz_jpeg_encode(p, &options, 1, &block, &size, &error);
        if (status == FIZ_OK)
            break;
        CHECK(status == FIZ_NO_MEMORY && fiz_pool_count().leases == 0 && nth < 20);
    }
    CHECK(allocations_left >= 0);
    allocations_left = -1;
    fiz_pool_release(block);
    picture_free(&in);
}

static void no_memory_for_planes(void)
{
    test_picture in = picture_new(FIZ_YUV420, 30, 30, 0);
    fiz_encode_options options = options_of(85, FIZ_SAMPLING_420);
    fence jpeg;
    size_t size = jpeg_of(&in.picture, options, &jpeg);
    fiz_block *block;
    fiz_error error;

    fiz_pool_trim();
    allocations_left = 1; /* the JPEG's block, not the scratch */
    CHECK(fiz_jpeg_encode(&in.picture, &options, 1, &block, &size, &error) == FIZ_NO_MEMORY);
    fiz_pool_trim();
    allocations_left = 0;
    CHECK(decode(jpeg.data, size, 1, &in.picture, &error) == FIZ_NO_MEMORY);
    allocations_left = -1;
    CHECK(decode(jpeg.data, size, 1, &in.picture, &error) == FIZ_OK);
    CHECK(fiz_pool_count().leases == 0);
    fence_free(&jpeg);
    picture_free(&in);
}

void run_jpeg_tests(void)
{
    RUN(round_trips_within_their_fences);
    RUN(scaled_within_their_fences);
    RUN(every_prefix_is_refused);
    RUN(changed_bytes_are_survived);
    RUN(another_header_is_refused);
    RUN(noise_takes_a_larger_block);
    RUN(no_memory_for_planes);
}
