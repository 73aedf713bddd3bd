#include "check.h"

#include <string.h>

#include "native/pool.h"

static void sizes(void)
{
    static const size_t asked[] = { 0, 1, 4095, 4096, 4097, 5120, 5121, 8191, 8192, 8193,
                                    100000, 1 << 20, (1 << 20) + 1, 6220800 };

    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        fiz_block *block = fiz_pool_lease(asked[i]);
        size_t capacity = fiz_block_capacity(block);
        CHECK(capacity >= asked[i] && capacity >= FIZ_BLOCK_MIN);
        CHECK(capacity == FIZ_BLOCK_MIN || capacity <= asked[i] + asked[i] / 4);
        CHECK((uintptr_t)fiz_block_data(block) % FIZ_BLOCK_ALIGNMENT == 0);
        memset(fiz_block_data(block), 0xA5, capacity);
        fiz_pool_release(block);
    }
    CHECK(fiz_pool_lease(SIZE_MAX) == NULL);
    CHECK(fiz_pool_lease(SIZE_MAX / 4 + 1) == NULL);
    fiz_pool_release(NULL);
    CHECK(fiz_pool_count().leases == 0);
}

static void capacities_are_classes(void)
{
    for (size_t size = 4096; size < (size_t)1 << 24; size += size / 7) {
        fiz_block *block = fiz_pool_lease(size), *again;
        size_t capacity = fiz_block_capacity(block);
        fiz_pool_release(block);
        again = fiz_pool_lease(capacity);
        CHECK(again == block);
        fiz_pool_release(again);
    }
    fiz_pool_trim();
}

static void reuse(void)
{
    fiz_pool_counts before = fiz_pool_count(), after;
    fiz_block *first = fiz_pool_lease(50000), *second;

    fiz_pool_release(first);
    second = fiz_pool_lease(50001);
    CHECK(second == first);
    after = fiz_pool_count();
    CHECK(after.allocated == before.allocated + 1 && after.reused == before.reused + 1);
    CHECK(after.leases == 1 && after.idle_blocks == before.idle_blocks);
    fiz_pool_release(second);
}

static void growing_keeps_the_bytes(void)
{
    fiz_block *block = fiz_pool_lease(5000);

    memset(fiz_block_data(block), 0x5A, 5000);
    block = fiz_pool_grow(block, 5000, 500000);
    CHECK(fiz_block_capacity(block) >= 500000 && fiz_pool_count().leases == 1);
    for (int i = 0; i < 5000; i++)
        CHECK(fiz_block_data(block)[i] == 0x5A);
    CHECK(fiz_pool_grow(block, 5000, SIZE_MAX) == NULL);
    CHECK(fiz_block_data(block)[4999] == 0x5A);
    fiz_pool_release(block);
}

static void idle_blocks_of_a_class_are_bounded(void)
{
    fiz_block *blocks[FIZ_IDLE_BLOCKS_MAX + 8];
    const int count = sizeof blocks / sizeof *blocks;

    fiz_pool_trim();
    for (int i = 0; i < count; i++)
        blocks[i] = fiz_pool_lease(4096);
    CHECK(fiz_pool_count().leases == (size_t)count);
    for (int i = 0; i < count; i++)
        fiz_pool_release(blocks[i]);
    CHECK(fiz_pool_count().idle_blocks == FIZ_IDLE_BLOCKS_MAX);
    CHECK(fiz_pool_count().idle_bytes == FIZ_IDLE_BLOCKS_MAX * FIZ_BLOCK_MIN);
    fiz_pool_trim();
    CHECK(fiz_pool_count().idle_blocks == 0 && fiz_pool_count().idle_bytes == 0);
}

/* Large blocks are never touched, so this takes address space, not memory. */
static void idle_bytes_are_bounded_and_the_oldest_go(void)
{
    fiz_block *blocks[6], *small = fiz_pool_lease(4096), *newest;

    fiz_pool_trim();
    fiz_pool_release(small);
    for (int i = 0; i < 6; i++)
        blocks[i] = fiz_pool_lease((size_t)64 << 20);
    for (int i = 0; i < 6; i++) {
        fiz_pool_release(blocks[i]);
        CHECK(fiz_pool_count().idle_bytes <= FIZ_IDLE_BYTES_MAX);
    }
    CHECK(fiz_pool_count().idle_blocks == 4); /* the small one was the oldest */
    newest = fiz_pool_lease((size_t)64 << 20);
    CHECK(newest == blocks[5]);
    fiz_pool_release(newest);
    fiz_pool_release(fiz_pool_lease(FIZ_IDLE_BYTES_MAX + 1)); /* too large to keep */
    CHECK(fiz_pool_count().idle_blocks == 4);
    fiz_pool_trim();
}

static void no_memory(void)
{
    fiz_block *block;

    fiz_pool_trim();
    allocations_left = 0;
    CHECK(fiz_pool_lease(4096) == NULL);
    CHECK(fiz_pool_count().leases == 0);
    block = fiz_pool_lease(4096);
    allocations_left = 0;
    CHECK(fiz_pool_grow(block, 1, 100000) == NULL);
    CHECK(fiz_pool_count().leases == 1);
    fiz_pool_release(block);
    allocations_left = -1;
}

void run_pool_tests(void)
{
    RUN(sizes);
    RUN(capacities_are_classes);
    RUN(reuse);
    RUN(growing_keeps_the_bytes);
    RUN(idle_blocks_of_a_class_are_bounded);
    RUN(idle_bytes_are_bounded_and_the_oldest_go);
    RUN(no_memory);
}
