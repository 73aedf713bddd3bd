/* One deliberate error for each sanitizer. Called from Python, they prove that a set-up
 * reports what it is there to report: see canary.py. */
#include <limits.h>
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

/* Counts without a lock; two threads at once make a race. */
static volatile long counter;

void count(long times)
{
    while (times-- > 0)
        counter++;
}
