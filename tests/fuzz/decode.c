/* libFuzzer: any bytes, taken for a JPEG. The last byte chooses layout and scale. */
#include "any_jpeg.h"
#include "codec.h"
#include "native/jpeg_encode.h"
#include "native/pool.h"

/* A file that differs from the seeds in its tables. */
static any_jpeg_bytes undamaged(void)
{
    static const fiz_encode_options options = { 37, FIZ_SAMPLING_422, 1 };
    test_picture in = picture_new(FIZ_RGB, 40, 24, 0);
    fiz_block *block;
    fiz_error error;
    any_jpeg_bytes file;
    uint8_t *copy;

    CHECK(fiz_jpeg_encode(&in.picture, &options, 1, &block, &file.size, &error) == FIZ_OK);
    copy = malloc(file.size);
    CHECK(copy != NULL);
    for (size_t i = 0; i < file.size; i++)
        copy[i] = fiz_block_data(block)[i];
    fiz_pool_release(block);
    picture_free(&in);
    file.data = copy;
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static any_jpeg memory;
    static any_jpeg_bytes between;

    if (size == 0 || size > ANY_JPEG_SIZE_MAX)
        return -1;
    if (between.data == NULL) {
        codec_init();
        memory = any_jpeg_new();
        between = undamaged();
    }
    any_jpeg_check(&memory, (any_jpeg_bytes){ data, size - 1 }, data[size - 1], between);
    return 0;
}
