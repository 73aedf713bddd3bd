#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "native/jpeg_decoder.h"
#include "native/jpeg_encoder.h"

int allocations_left = -1;
int thread_starts_left = -1;
alone_calls encoded_alone, decoded_alone;

/* The linker sends our calls here (--wrap). */
int __real_posix_memalign(void **memory, size_t alignment, size_t nbytes);
void *__real_calloc(size_t count, size_t nbytes);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t nbytes);
void *__wrap_calloc(size_t count, size_t nbytes);

static int allocation_fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t nbytes)
{
    return allocation_fails() ? 12 : __real_posix_memalign(memory, alignment, nbytes);
}

void *__wrap_calloc(size_t count, size_t nbytes)
{
    return allocation_fails() ? NULL : __real_calloc(count, nbytes);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *arg)
{
    if (thread_starts_left == 0)
        return EAGAIN;
    if (thread_starts_left > 0)
        thread_starts_left--;
    return __real_pthread_create(thread, attributes, start, arg);
}

static int call_fails(alone_calls *calls)
{
    unsigned number = atomic_fetch_add(&calls->count, 1);

    return number < 64 && (calls->failing >> number & 1);
}

fiz_status __real_fiz_jpeg_encode_alone(const fiz_picture *picture,
                                        const fiz_encode_options *options, size_t capacity,
                                        fiz_block **block, size_t *size, fiz_error *error);
fiz_status __wrap_fiz_jpeg_encode_alone(const fiz_picture *picture,
                                        const fiz_encode_options *options, size_t capacity,
                                        fiz_block **block, size_t *size, fiz_error *error);

fiz_status __wrap_fiz_jpeg_encode_alone(const fiz_picture *picture,
                                        const fiz_encode_options *options, size_t capacity,
                                        fiz_block **block, size_t *size, fiz_error *error)
{
    if (call_fails(&encoded_alone))
        return FIZ_NO_MEMORY;
    return __real_fiz_jpeg_encode_alone(picture, options, capacity, block, size, error);
}

fiz_status __real_fiz_jpeg_decode_alone(const fiz_jpeg_file *file, const fiz_jpeg_strip *strip,
                                        unsigned denominator, const fiz_picture *picture,
                                        fiz_error *error);
fiz_status __wrap_fiz_jpeg_decode_alone(const fiz_jpeg_file *file, const fiz_jpeg_strip *strip,
                                        unsigned denominator, const fiz_picture *picture,
                                        fiz_error *error);

fiz_status __wrap_fiz_jpeg_decode_alone(const fiz_jpeg_file *file, const fiz_jpeg_strip *strip,
                                        unsigned denominator, const fiz_picture *picture,
                                        fiz_error *error)
{
    if (call_fails(&decoded_alone))
        return FIZ_NO_MEMORY;
    return __real_fiz_jpeg_decode_alone(file, strip, denominator, picture, error);
}

fence fence_new(size_t nbytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t whole = (nbytes + page - 1) / page * page;
    fence f;

    f.mapped = whole + page;
    f.pages = mmap(NULL, f.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(f.pages != MAP_FAILED);
    CHECK(mprotect((uint8_t *)f.pages + whole, page, PROT_NONE) == 0);
    f.data = (uint8_t *)f.pages + whole - nbytes;
    return f;
}

void fence_free(fence *f)
{
    CHECK(munmap(f->pages, f->mapped) == 0);
}

uint32_t plane_width(const fiz_picture *p, int plane)
{
    return plane ? (p->width + 1) / 2 : p->width * fiz_layout_channels(p->layout);
}

uint32_t plane_height(const fiz_picture *p, int plane)
{
    return plane ? (p->height + 1) / 2 : p->height;
}

static int plane_count(const fiz_picture *p)
{
    return p->layout == FIZ_YUV420 ? 3 : 1;
}

test_picture picture_new(fiz_layout layout, uint32_t width, uint32_t height, size_t gap)
{
    test_picture t;
    uint32_t noise = 1;

    memset(&t, 0, sizeof t);
    t.picture.layout = layout;
    t.picture.width = width;
    t.picture.height = height;
    for (int i = 0; i < plane_count(&t.picture); i++) {
        uint32_t columns = plane_width(&t.picture, i), rows = plane_height(&t.picture, i);
        size_t stride = columns + gap;
        t.memory[i] = fence_new(stride * (rows - 1) + columns);
        t.picture.planes[i].data = t.memory[i].data;
        t.picture.planes[i].odd = (ptrdiff_t)stride;
        t.picture.planes[i].pair = 2 * (ptrdiff_t)stride;
        for (uint32_t y = 0; y < rows; y++)
            for (uint32_t x = 0; x < columns; x++) {
                noise = noise * 1664525u + 1013904223u;
                fiz_plane_row(&t.picture.planes[i], y)[x] =
                    (uint8_t)(x / 2 + y + (x / 24 % 2) * 40 + (noise >> 28));
            }
    }
    return t;
}

void picture_free(test_picture *t)
{
    for (int i = 0; i < plane_count(&t->picture); i++)
        fence_free(&t->memory[i]);
}

int picture_distance(const fiz_picture *a, const fiz_picture *b)
{
    int most = 0;

    CHECK(a->layout == b->layout && a->width == b->width && a->height == b->height);
    for (int i = 0; i < plane_count(a); i++)
        for (uint32_t y = 0; y < plane_height(a, i); y++)
            for (uint32_t x = 0; x < plane_width(a, i); x++) {
                int d = abs(fiz_plane_row(&a->planes[i], y)[x]
                            - fiz_plane_row(&b->planes[i], y)[x]);
                most = d > most ? d : most;
            }
    return most;
}
