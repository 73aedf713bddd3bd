#include "pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fork.h"
#include "mutex.h"

#ifdef _WIN32
#include <malloc.h>
#endif

/* An idle block is poisoned under AddressSanitizer: who touches one after its
 * release is caught, though malloc knows it as alive. */
#if defined(__SANITIZE_ADDRESS__)
#define FIZ_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIZ_POISON 1
#endif
#endif
#ifdef FIZ_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

/* Stands in front of the bytes. The links are of use only while it is idle. */
struct fiz_block {
    fiz_block *newer, *older;             /* all idle blocks, by the time of their release */
    fiz_block *newer_of_size, *older_of_size; /* the idle blocks of its class likewise */
    size_t capacity;
    unsigned size_class;
    int lent;
};

#define HEADER_BYTES FIZ_BLOCK_ALIGNMENT
typedef char header_fits[sizeof(fiz_block) <= HEADER_BYTES ? 1 : -1];

#define STEPS 4u          /* classes to each power of two */
#define MIN_SHIFT 10u     /* FIZ_BLOCK_MIN == STEPS << MIN_SHIFT */
#define CLASSES (STEPS * (8 * sizeof(size_t) - MIN_SHIFT))
#define LARGEST (SIZE_MAX / 4)

typedef struct {
    fiz_block *newest, *oldest;
    size_t count;
} size_list;

/* All of it guarded by `mutex`. */
static fiz_mutex mutex = FIZ_MUTEX_INIT;
static size_list idle_of_size[CLASSES];
static fiz_block *newest, *oldest;
static fiz_pool_counts counts;

/* The class of a size and its capacity: the top three bits of nbytes - 1, plus
 * one, name the step (5..8 quarters of a power of two). */
static unsigned class_of(size_t nbytes, size_t *capacity)
{
    unsigned shift = MIN_SHIFT;
    size_t quarters;

    if (nbytes <= FIZ_BLOCK_MIN) {
        *capacity = FIZ_BLOCK_MIN;
        return 0;
    }
    while (((nbytes - 1) >> shift) >= 2 * STEPS)
        shift++;
    quarters = ((nbytes - 1) >> shift) + 1;
    *capacity = quarters << shift;
    return (shift - MIN_SHIFT) * STEPS + (unsigned)(quarters - STEPS);
}

static void *aligned_new(size_t nbytes)
{
#ifdef _WIN32
    return _aligned_malloc(nbytes, FIZ_BLOCK_ALIGNMENT);
#else
    void *memory;
    return posix_memalign(&memory, FIZ_BLOCK_ALIGNMENT, nbytes) == 0 ? memory : NULL;
#endif
}

static void block_free(fiz_block *block)
{
    ASAN_UNPOISON_MEMORY_REGION(fiz_block_data(block), block->capacity);
#ifdef _WIN32
    _aligned_free(block);
#else
    free(block);
#endif
}

/* Frees a chain that is linked by `older` and no longer in any list. */
static void chain_free(fiz_block *block)
{
    while (block != NULL) {
        fiz_block *next = block->older;
        block_free(block);
        block = next;
    }
}

/* The next two are called with the mutex held. */

static void idle_remove(fiz_block *block)
{
    size_list *list = &idle_of_size[block->size_class];

    if (block->newer != NULL) block->newer->older = block->older;
    else newest = block->older;
    if (block->older != NULL) block->older->newer = block->newer;
    else oldest = block->newer;

    if (block->newer_of_size != NULL) block->newer_of_size->older_of_size = block->older_of_size;
    else list->newest = block->older_of_size;
    if (block->older_of_size != NULL) block->older_of_size->newer_of_size = block->newer_of_size;
    else list->oldest = block->newer_of_size;

    list->count--;
    counts.idle_blocks--;
    counts.idle_bytes -= block->capacity;
}

static void idle_add(fiz_block *block)
{
    size_list *list = &idle_of_size[block->size_class];

    block->newer = NULL;
    block->older = newest;
    if (newest != NULL) newest->newer = block;
    else oldest = block;
    newest = block;

    block->newer_of_size = NULL;
    block->older_of_size = list->newest;
    if (list->newest != NULL) list->newest->newer_of_size = block;
    else list->oldest = block;
    list->newest = block;

    list->count++;
    counts.idle_blocks++;
    counts.idle_bytes += block->capacity;
}

int fiz_pool_init(void)
{
    return fiz_fork_guard(&mutex, NULL);
}

fiz_block *fiz_pool_lease(size_t nbytes)
{
    fiz_block *block;
    size_t capacity;
    unsigned size_class;

    if (nbytes > LARGEST)
        return NULL;
    size_class = class_of(nbytes, &capacity);

    fiz_mutex_lock(&mutex);
    block = idle_of_size[size_class].newest; /* the newest: most likely still in a cache */
    if (block != NULL) {
        idle_remove(block);
        block->lent = 1;
        counts.reused++;
        counts.leases++;
    }
    fiz_mutex_unlock(&mutex);
    if (block != NULL) {
        ASAN_UNPOISON_MEMORY_REGION(fiz_block_data(block), block->capacity);
        return block;
    }

    block = aligned_new(HEADER_BYTES + capacity);
    if (block == NULL)
        return NULL;
    block->capacity = capacity;
    block->size_class = size_class;
    block->lent = 1;
    fiz_mutex_lock(&mutex);
    counts.allocated++;
    counts.leases++;
    fiz_mutex_unlock(&mutex);
    return block;
}

void fiz_pool_release(fiz_block *block)
{
    fiz_block *doomed = NULL;

    if (block == NULL)
        return;
    assert(block->lent);
    ASAN_POISON_MEMORY_REGION(fiz_block_data(block), block->capacity);

    fiz_mutex_lock(&mutex);
    block->lent = 0;
    counts.leases--;
    if (block->capacity > FIZ_IDLE_BYTES_MAX) {
        block->older = NULL;
        doomed = block;
    } else {
        size_list *list = &idle_of_size[block->size_class];
        idle_add(block);
        while (counts.idle_bytes > FIZ_IDLE_BYTES_MAX || list->count > FIZ_IDLE_BLOCKS_MAX) {
            fiz_block *last = counts.idle_bytes > FIZ_IDLE_BYTES_MAX ? oldest : list->oldest;
            idle_remove(last);
            last->older = doomed;
            doomed = last;
        }
    }
    fiz_mutex_unlock(&mutex);
    chain_free(doomed);
}

fiz_block *fiz_pool_grow(fiz_block *block, size_t used, size_t nbytes)
{
    fiz_block *larger;

    assert(used <= block->capacity && used <= nbytes);
    larger = fiz_pool_lease(nbytes);
    if (larger == NULL)
        return NULL;
    memcpy(fiz_block_data(larger), fiz_block_data(block), used);
    fiz_pool_release(block);
    return larger;
}

uint8_t *fiz_block_data(fiz_block *block)
{
    return (uint8_t *)block + HEADER_BYTES;
}

size_t fiz_block_capacity(const fiz_block *block)
{
    return block->capacity;
}

fiz_pool_counts fiz_pool_count(void)
{
    fiz_pool_counts snapshot;

    fiz_mutex_lock(&mutex);
    snapshot = counts;
    fiz_mutex_unlock(&mutex);
    return snapshot;
}

void fiz_pool_trim(void)
{
    fiz_block *doomed;

    fiz_mutex_lock(&mutex);
    doomed = newest;
    newest = oldest = NULL;
    memset(idle_of_size, 0, sizeof idle_of_size);
    counts.idle_blocks = 0;
    counts.idle_bytes = 0;
    fiz_mutex_unlock(&mutex);
    chain_free(doomed);
}
