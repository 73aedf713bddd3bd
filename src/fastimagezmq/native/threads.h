/* One pool of threads for the whole process, on which tasks run in parallel.
 *
 * Threads are started when a call first has use for them and then wait, without
 * using the CPU, for the next. Callers work on their own tasks too, so a call
 * makes progress whatever the pool does: no thread could be started, others keep
 * all of them busy, or the pool has been stopped.
 *
 * A child of fork() begins with a pool of no threads (after fiz_threads_init).
 * Threads of the pool take no signals, and know nothing of Python.
 */
#ifndef FIZ_THREADS_H
#define FIZ_THREADS_H

#define FIZ_THREADS_MAX 256

typedef void (*fiz_task)(void *arg, unsigned index);

/* Makes the pool safe across fork(). Once, at import; 0 or -1. */
int fiz_threads_init(void);

/* Whether the size of the pool is settled in this process. */
int fiz_threads_sized(void);

/* Settles the size, unless it is settled already: 1..FIZ_THREADS_MAX threads can
 * work at once, the caller's included; 0: one for each usable CPU. */
void fiz_threads_set_size(unsigned size);

/* The size; settles it at the usable CPUs if nobody has. */
unsigned fiz_threads_size(void);

/* Calls task(arg, 0), ..., task(arg, count - 1), each once, on at most `threads`
 * threads (0 and 1: the caller's alone) of which the calling one is one, and
 * returns when all have returned. Tasks are begun in the order of their numbers.
 * A task must not call this function. Any thread. */
void fiz_parallel(unsigned threads, unsigned count, fiz_task task, void *arg);

/* Ends the threads, each after the task that it is at, and waits for them. From
 * then on, also in children, fiz_parallel works on its caller's thread alone. */
void fiz_threads_stop(void);

/* How many threads have been started in this process and not stopped. */
unsigned fiz_threads_started(void);

#endif
