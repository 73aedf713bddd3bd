#include "any_jpeg.h"

#include <string.h>

#include "native/jpeg_decode.h"
#include "native/pool.h"

#define PIXELS_MAX ((uint32_t)1 << 16)
#define PLANE_MAX ((size_t)PIXELS_MAX * 4)

any_jpeg any_jpeg_new(void)
{
    any_jpeg m;

    m.data = fence_new(ANY_JPEG_SIZE_MAX);
    for (int i = 0; i < 6; i++)
        m.planes[i / 3][i % 3] = fence_new(PLANE_MAX);
    return m;
}

void any_jpeg_free(any_jpeg *m)
{
    fence_free(&m->data);
    for (int i = 0; i < 6; i++)
        fence_free(&m->planes[i / 3][i % 3]);
}

/* A picture whose planes end at their fences, all bytes `fill`. */
static fiz_picture picture_at(fence *fences, fiz_layout layout, uint32_t width, uint32_t height,
                              int fill)
{
    fiz_picture p = { layout, width, height, { { NULL, 0, 0 } } };

    for (int i = 0; i < (layout == FIZ_YUV420 ? 3 : 1); i++) {
        size_t stride = plane_width(&p, i), size = stride * plane_height(&p, i);
        CHECK(size <= PLANE_MAX);
        p.planes[i].data = fences[i].data + PLANE_MAX - size;
        p.planes[i].odd = (ptrdiff_t)stride;
        p.planes[i].pair = 2 * (ptrdiff_t)stride;
        memset(p.planes[i].data, fill, size);
    }
    return p;
}

/* An undamaged file is decoded as ever, whatever came before it. */
static void decode_undamaged(any_jpeg *m, any_jpeg_bytes file)
{
    fiz_jpeg_header header;
    fiz_picture picture;
    fiz_error error;

    CHECK(fiz_jpeg_header_read(file.data, file.size, &header, &error) == FIZ_OK);
    CHECK(fiz_jpeg_header_admit(&header, file.size, PIXELS_MAX, &error) == FIZ_OK);
    picture = picture_at(m->planes[1], FIZ_BGR, header.width, header.height, 0);
    CHECK(fiz_jpeg_decode(file.data, file.size, &header, 1, 1, &picture, &error) == FIZ_OK);
}

void any_jpeg_check(any_jpeg *m, any_jpeg_bytes file, uint8_t wish, any_jpeg_bytes undamaged)
{
    static const fiz_layout layouts[] = { FIZ_BGR, FIZ_RGBX, FIZ_GRAY, FIZ_YUV420 };
    fiz_layout layout = layouts[wish % 4];
    unsigned denominator = layout == FIZ_YUV420 ? 1 : 1u << (wish / 4 % 4);
    uint8_t *data = m->data.data + ANY_JPEG_SIZE_MAX - file.size;
    fiz_error errors[2] = { { "" }, { "" } };
    fiz_picture pictures[2];
    fiz_status statuses[2];
    fiz_jpeg_header header;
    fiz_status status;

    CHECK(file.size <= ANY_JPEG_SIZE_MAX);
    if (file.size > 0)
        memcpy(data, file.data, file.size);
    status = fiz_jpeg_header_read(data, file.size, &header, &errors[0]);
    if (status == FIZ_OK)
        status = fiz_jpeg_header_admit(&header, file.size, PIXELS_MAX, &errors[0]);
    CHECK((status == FIZ_OK) == (errors[0].text[0] == 0));
    if (status != FIZ_OK)
        return;
    for (int i = 0; i < 2; i++) {
        pictures[i] = picture_at(m->planes[i], layout, fiz_jpeg_scaled(header.width, denominator),
                                 fiz_jpeg_scaled(header.height, denominator), i ? 0xFF : 0);
        statuses[i] = fiz_jpeg_decode(data, file.size, &header, denominator, i ? 4 : 1,
                                      &pictures[i], &errors[i]);
        CHECK((statuses[i] == FIZ_OK) == (errors[i].text[0] == 0));
        CHECK(fiz_pool_count().leases == 0);
        if (i == 0)
            decode_undamaged(m, undamaged);
    }
    /* In strips as on one thread: the status, the text, and every sample. */
    CHECK(statuses[0] == statuses[1] && strcmp(errors[0].text, errors[1].text) == 0);
    if (statuses[0] == FIZ_OK)
        CHECK(picture_distance(&pictures[0], &pictures[1]) == 0); /* no sample was left out */
}
