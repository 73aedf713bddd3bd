/* What must hold of any bytes that are taken for a JPEG, wherever a fuzzer has them from. */
#ifndef FIZ_ANY_JPEG_H
#define FIZ_ANY_JPEG_H

#include <stddef.h>
#include <stdint.h>

#include "check.h"

#define ANY_JPEG_SIZE_MAX ((size_t)1 << 16)

typedef struct {
    const uint8_t *data;
    size_t size;
} any_jpeg_bytes;

/* Memory that ends at pages that cannot be read: for a file, and for two pictures. */
typedef struct {
    fence data;
    fence planes[2][3];
} any_jpeg;

any_jpeg any_jpeg_new(void);
void any_jpeg_free(any_jpeg *m);

/* Reads, admits and decodes a file of up to ANY_JPEG_SIZE_MAX bytes, on one thread and in
 * strips, with an undamaged one in between. It gives a status, touches nothing outside of the
 * given memory, keeps nothing, and gives the same again. `wish` chooses layout and scale. */
void any_jpeg_check(any_jpeg *m, any_jpeg_bytes file, uint8_t wish, any_jpeg_bytes undamaged);

#endif
