/* Blocks of memory for pixels and JPEGs, lent and taken back.
 *
 * A fresh block of a few megabytes costs as much time in page faults as a JPEG
 * row or two; a block that was used before costs none. What is bounded is what
 * lies idle, never what is lent: a lease is refused only when malloc fails.
 *
 * Sizes are rounded up to classes, four to each power of two, so a block is at
 * most a quarter larger than asked for (and never below FIZ_BLOCK_MIN).
 *
 * Every function may be called from any thread, without the GIL, and in a child
 * of fork() (after fiz_pool_init). A block belongs to the one who leased it
 * until it is released; its bytes are whatever they were.
 */
#ifndef FIZ_POOL_H
#define FIZ_POOL_H

#include <stddef.h>
#include <stdint.h>

#define FIZ_BLOCK_MIN ((size_t)4096)
#define FIZ_BLOCK_ALIGNMENT ((size_t)64)
#define FIZ_IDLE_BYTES_MAX ((size_t)256 << 20) /* beyond it the longest idle are freed */
#define FIZ_IDLE_BLOCKS_MAX 32                 /* of one size class */

typedef struct fiz_block fiz_block;

typedef struct {
    size_t leases;       /* blocks lent at this moment */
    size_t idle_blocks;  /* blocks that wait to be lent again */
    size_t idle_bytes;   /* their capacities together */
    uint64_t allocated;  /* blocks that malloc was asked for since the start */
    uint64_t reused;     /* leases that an idle block served since the start */
} fiz_pool_counts;

/* Makes the pool safe across fork(). Once, at import; 0 or -1. */
int fiz_pool_init(void);

/* A block of at least `nbytes` (0 is allowed), aligned to FIZ_BLOCK_ALIGNMENT,
 * or NULL when there is no memory. */
fiz_block *fiz_pool_lease(size_t nbytes);

/* Gives a block back. NULL is allowed. */
void fiz_pool_release(fiz_block *block);

/* A block of at least `nbytes` that begins with the first `used` bytes of
 * `block`, which is released. When there is no memory: NULL, and `block` is
 * still the caller's. */
fiz_block *fiz_pool_grow(fiz_block *block, size_t used, size_t nbytes);

uint8_t *fiz_block_data(fiz_block *block);
size_t fiz_block_capacity(const fiz_block *block);

fiz_pool_counts fiz_pool_count(void);

/* Frees every idle block. */
void fiz_pool_trim(void);

#endif
