#include "codec.h"

#include "check.h"
#include "native/jpeg_decoder.h"
#include "native/jpeg_encoder.h"
#include "native/pool.h"
#include "native/threads.h"

void codec_init(void)
{
    CHECK(fiz_pool_init() == 0 && fiz_threads_init() == 0);
    CHECK(fiz_jpeg_encoder_init() == 0 && fiz_jpeg_decoder_init() == 0);
    fiz_threads_set_size(4);
}
