/* What the targets for the codec share. */
#ifndef FIZ_FUZZ_CODEC_H
#define FIZ_FUZZ_CODEC_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As at import, with as many threads as strips may use. */
void codec_init(void);

#endif
