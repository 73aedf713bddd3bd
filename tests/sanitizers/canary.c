/* One deliberate error for each sanitizer. Called from Python, they prove that a set-up
 * reports what it is there to report: see canary.py. */
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A byte beyond a block. */
int overflow(size_t nbytes)
{
    volatile char *block = malloc(nbytes);
    int byte = block[nbytes];

    free((void *)block);
    return byte;
}

/* A block that nobody can free any more. */
void leak(size_t nbytes)
{
    volatile char *block = malloc(nbytes);

    block[0] = 1;
}

/* What C leaves undefined. */
int overflow_int(int addend)
{
    return INT_MAX + addend;
}

/* Counts without a lock. Two threads must call it, and neither begins before the other
 * is there too: that is told by relaxed atomics, which order nothing. */
static volatile long counter;
static atomic_int inside;

void count(long times)
{
    atomic_fetch_add_explicit(&inside, 1, memory_order_relaxed);
    while (atomic_load_explicit(&inside, memory_order_relaxed) < 2)
        sched_yield();
    while (times-- > 0)
        counter++;
}
