#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_setname_np */
#endif

#include "threads.h"

#include <stddef.h>

#include "cpus.h"
#include "fork.h"
#include "mutex.h"

#ifdef _WIN32
#include <process.h>
#include <stdint.h>
typedef HANDLE thread_handle;
#else
#include <signal.h>
typedef pthread_t thread_handle;
#endif

/* How often a caller looks whether the last tasks are done before it sleeps: for some
 * tens of microseconds, which is what sleeping and being woken would cost. */
#define LOOKS 100

/* A call of fiz_parallel, on its caller's stack. */
typedef struct job {
    struct job *next_waiting;
    fiz_task task;
    void *arg;
    unsigned count;
    unsigned begun;   /* tasks below this number have been taken */
    unsigned running; /* threads of the pool that are at one of its tasks */
    unsigned wanted;  /* threads of the pool that may still join */
    int cpu;          /* that its caller ran on */
} job;

/* All of it guarded by `mutex`. A waiting job has tasks that are not begun and
 * wants another thread; `starting` is the right to start threads. */
static fiz_mutex mutex = FIZ_MUTEX_INIT;
static fiz_condition work = FIZ_CONDITION_INIT;     /* a job waits, or the end has come */
static fiz_condition progress = FIZ_CONDITION_INIT; /* a job is done, or `starting` is over */
static job *first_waiting;
static unsigned pool_size;
static unsigned started;
static int starting, stopped;
static thread_handle handles[FIZ_THREADS_MAX];

static void forget_threads(void)
{
    fiz_condition_reset(&work);
    fiz_condition_reset(&progress);
    first_waiting = NULL;
    pool_size = 0;
    started = 0;
    starting = 0;
}

int fiz_threads_init(void)
{
    return fiz_fork_guard(&mutex, forget_threads);
}

/* The next three are called with the mutex held, and return with it. */

static void add_waiting(job *j)
{
    job **last = &first_waiting;

    while (*last != NULL)
        last = &(*last)->next_waiting;
    j->next_waiting = NULL;
    *last = j;
}

static void remove_waiting(job *j)
{
    for (job **at = &first_waiting; *at != NULL; at = &(*at)->next_waiting)
        if (*at == j) {
            *at = j->next_waiting;
            return;
        }
}

/* Runs the job's next task; the mutex is free meanwhile. */
static void run_next(job *j)
{
    unsigned index = j->begun++;

    if (j->begun == j->count)
        remove_waiting(j);
    fiz_mutex_unlock(&mutex);
    j->task(j->arg, index);
    fiz_mutex_lock(&mutex);
}

/* What a thread of the pool does all its life. */
static void serve(void)
{
    int cpu;

    fiz_mutex_lock(&mutex);
    while (!stopped) {
        job *j = first_waiting;
        if (j == NULL) {
            fiz_condition_wait(&work, &mutex);
            continue;
        }
        j->running++;
        if (--j->wanted == 0)
            remove_waiting(j);
        cpu = j->cpu;
        fiz_mutex_unlock(&mutex);
        fiz_cpus_leave(cpu);
        fiz_mutex_lock(&mutex);
        while (!stopped && j->begun < j->count)
            run_next(j);
        if (--j->running == 0) /* the job may be gone once the mutex is free */
            fiz_condition_broadcast(&progress);
    }
    fiz_mutex_unlock(&mutex);
}

#ifdef _WIN32

static unsigned __stdcall thread_main(void *unused)
{
    (void)unused;
    serve();
    return 0;
}

static int thread_start(thread_handle *handle)
{
    uintptr_t made = _beginthreadex(NULL, 0, thread_main, NULL, 0, NULL);

    *handle = (HANDLE)made;
    return made != 0;
}

static void thread_join(thread_handle handle)
{
    (void)WaitForSingleObject(handle, INFINITE);
    (void)CloseHandle(handle);
}

#else

static void *thread_main(void *unused)
{
    (void)unused;
#ifdef __APPLE__
    (void)pthread_setname_np("fiz-jpeg");
#endif
    serve();
    return NULL;
}

/* A thread inherits its signal mask, so none can reach it before it is set. */
static int thread_start(thread_handle *handle)
{
    sigset_t all, before;
    int made;

    (void)sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return 0;
    made = pthread_create(handle, NULL, thread_main, NULL) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
#ifdef __linux__
    if (made)
        (void)pthread_setname_np(*handle, "fiz-jpeg");
#endif
    return made;
}

static void thread_join(thread_handle handle)
{
    (void)pthread_join(handle, NULL);
}

#endif

int fiz_threads_sized(void)
{
    int sized;

    fiz_mutex_lock(&mutex);
    sized = pool_size > 0;
    fiz_mutex_unlock(&mutex);
    return sized;
}

void fiz_threads_set_size(unsigned size)
{
    if (size == 0)
        size = fiz_cpus_usable();
    if (size > FIZ_THREADS_MAX)
        size = FIZ_THREADS_MAX;
    fiz_mutex_lock(&mutex);
    if (pool_size == 0)
        pool_size = size;
    fiz_mutex_unlock(&mutex);
}

unsigned fiz_threads_size(void)
{
    unsigned size;

    if (!fiz_threads_sized())
        fiz_threads_set_size(0);
    fiz_mutex_lock(&mutex);
    size = pool_size;
    fiz_mutex_unlock(&mutex);
    return size;
}

unsigned fiz_threads_started(void)
{
    unsigned count;

    fiz_mutex_lock(&mutex);
    count = started;
    fiz_mutex_unlock(&mutex);
    return count;
}

/* Sees to it that `wanted` threads are there; if some cannot be started, or
 * somebody else is at it, the caller goes on with those there are. Called with
 * the mutex held, which is free while a thread is being started. */
static void start_threads(unsigned wanted)
{
    if (started >= wanted || starting || stopped)
        return;
    starting = 1;
    while (started < wanted && !stopped) {
        thread_handle handle;
        int made;
        fiz_mutex_unlock(&mutex);
        made = thread_start(&handle);
        fiz_mutex_lock(&mutex);
        if (!made)
            break;
        handles[started++] = handle;
    }
    starting = 0;
    fiz_condition_broadcast(&progress);
}

void fiz_parallel(unsigned threads, unsigned count, fiz_task task, void *arg)
{
    job j = { NULL, task, arg, count, 0, 0, 0, -1 };
    unsigned size = threads > 1 && count > 1 ? fiz_threads_size() : 1;
    unsigned wanted = threads < count ? threads : count;

    if (wanted > size)
        wanted = size;
    fiz_mutex_lock(&mutex);
    if (wanted > 1)
        start_threads(wanted - 1);
    if (wanted > 1 && started > 0) {
        j.wanted = wanted - 1 < started ? wanted - 1 : started;
        j.cpu = fiz_cpus_current();
        add_waiting(&j);
        for (unsigned i = 0; i < j.wanted; i++)
            fiz_condition_signal(&work);
    }
    while (j.begun < j.count)
        run_next(&j);
    for (unsigned looks = 0; j.running > 0 && looks < LOOKS; looks++) {
        fiz_mutex_unlock(&mutex);
        fiz_yield();
        fiz_mutex_lock(&mutex);
    }
    while (j.running > 0)
        fiz_condition_wait(&progress, &mutex);
    fiz_mutex_unlock(&mutex);
}

void fiz_threads_stop(void)
{
    unsigned count;

    fiz_mutex_lock(&mutex);
    stopped = 1;
    fiz_condition_broadcast(&work);
    while (starting)
        fiz_condition_wait(&progress, &mutex);
    count = started;
    started = 0;
    fiz_mutex_unlock(&mutex);
    for (unsigned i = 0; i < count; i++)
        thread_join(handles[i]);
}
