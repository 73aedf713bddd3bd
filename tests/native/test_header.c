#include "check.h"

#include <string.h>

#include "native/jpeg_header.h"

/* A 16x8 picture in 4:2:2 with a restart interval, up to the first scan, then one
 * byte of entropy-coded data. Tables are named but not there. */
static const uint8_t small[] = {
    0xFF, 0xD8, 0xFF, 0xFE, 0x00, 0x04, 0xFF, 0xD8, /* a comment that looks like a start */
    0xFF, 0xC0, 0x00, 0x11, 0x08, 0x00, 0x08, 0x00, 0x10, 0x03,
    0x01, 0x21, 0x00, 0x02, 0x11, 0x01, 0x03, 0x11, 0x01,
    0xFF, 0xFF, 0xDD, 0x00, 0x04, 0x00, 0x07, /* a fill byte before the marker */
    0xFF, 0xDA, 0x00, 0x0C, 0x03, 0x01, 0x00, 0x02, 0x11, 0x03, 0x11, 0x00, 0x3F, 0x00,
    0x55, 0xFF, 0xD9
};
enum { SOF_AT = 8, DRI_AT = 28, SOS_AT = 34, ENTROPY_AT = 48 };

static fiz_status read_bytes(const uint8_t *data, size_t size, fiz_jpeg_header *header)
{
    fence f = fence_new(size);
    fiz_error error = { "" };
    fiz_status status;

    if (size > 0)
        memcpy(f.data, data, size);
    status = fiz_jpeg_header_read(f.data, size, header, &error);
    CHECK((status == FIZ_OK) == (error.text[0] == 0));
    fence_free(&f);
    return status;
}

static void fields_and_offsets(void)
{
    fiz_jpeg_header h;

    CHECK(read_bytes(small, sizeof small, &h) == FIZ_OK);
    CHECK(h.width == 16 && h.height == 8 && h.precision == 8 && h.component_count == 3);
    CHECK(h.components[0].h == 2 && h.components[0].v == 1 && h.components[2].quant == 1);
    CHECK(h.restart_interval == 7 && !h.progressive && !h.arithmetic && !h.lossless);
    CHECK(h.soi == 0 && h.sof == SOF_AT && h.dri == DRI_AT && h.sos == SOS_AT);
    CHECK(h.entropy == ENTROPY_AT && !h.self_contained && h.frame_marker == 0xC0);
}

static void bytes_before_the_start(void)
{
    uint8_t data[sizeof small + 100];
    fiz_jpeg_header h;

    for (size_t junk = 1; junk <= 100; junk++) {
        memset(data, junk % 2 ? 0xFF : 0x00, junk);
        memcpy(data + junk, small, sizeof small);
        CHECK(read_bytes(data, sizeof small + junk, &h) == FIZ_OK);
        CHECK(h.soi == junk && h.sof == junk + SOF_AT);
    }
}

static void every_prefix_is_refused(void)
{
    fiz_jpeg_header h;

    for (size_t size = 0; size < ENTROPY_AT; size++)
        CHECK(read_bytes(small, size, &h) == FIZ_REFUSED);
    CHECK(read_bytes(small, ENTROPY_AT, &h) == FIZ_OK);
}

/* Reads nothing outside of the bytes whatever they say: the fence tells. */
static void any_bytes_are_survived(void)
{
    uint8_t data[sizeof small];
    fiz_jpeg_header h;
    fiz_error error;
    uint32_t noise = 7;

    for (size_t at = 0; at < sizeof small; at++)
        for (int value = 0; value < 256; value++) {
            memcpy(data, small, sizeof small);
            data[at] = (uint8_t)value;
            if (read_bytes(data, sizeof data, &h) == FIZ_OK)
                (void)fiz_jpeg_header_admit(&h, sizeof data, 1u << 27, &error);
        }
    for (int round = 0; round < 20000; round++) {
        memcpy(data, small, sizeof small);
        for (int i = 0; i < 4; i++) {
            noise = noise * 1664525u + 1013904223u;
            data[(noise >> 8) % sizeof data] = (uint8_t)(noise >> 24);
        }
        if (read_bytes(data, sizeof data, &h) == FIZ_OK)
            CHECK(h.width > 0 && h.height > 0 && h.component_count >= 1
                  && h.component_count <= 4 && h.entropy <= sizeof data && h.sos < h.entropy
                  && h.sof < h.sos);
    }
}

static void a_claim_without_the_bytes_is_refused(void)
{
    uint8_t data[sizeof small];
    fiz_jpeg_header h;
    fiz_error error;

    memcpy(data, small, sizeof small);
    memcpy(data + SOF_AT + 5, "\xFF\xDC\xFF\xDC", 4); /* 65500x65500 */
    CHECK(read_bytes(data, sizeof data, &h) == FIZ_OK);
    CHECK(fiz_jpeg_header_admit(&h, sizeof data, 1u << 27, &error) == FIZ_REFUSED);
    CHECK(strstr(error.text, "max_pixels") != NULL);
    CHECK(fiz_jpeg_header_admit(&h, sizeof data, UINT64_MAX, &error) == FIZ_REFUSED);
    CHECK(strstr(error.text, "truncated") != NULL);
    /* 4:2:2 of 16x8 has 4 blocks: 8 bits are just enough */
    CHECK(read_bytes(small, ENTROPY_AT + 1, &h) == FIZ_OK);
    CHECK(fiz_jpeg_header_admit(&h, ENTROPY_AT + 1, 128, &error) == FIZ_OK);
    CHECK(fiz_jpeg_header_admit(&h, ENTROPY_AT, 128, &error) == FIZ_REFUSED);
    CHECK(fiz_jpeg_header_admit(&h, ENTROPY_AT + 1, 127, &error) == FIZ_REFUSED);
}

void run_header_tests(void)
{
    RUN(fields_and_offsets);
    RUN(bytes_before_the_start);
    RUN(every_prefix_is_refused);
    RUN(any_bytes_are_survived);
    RUN(a_claim_without_the_bytes_is_refused);
}
