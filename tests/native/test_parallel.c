#include "check.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "native/threads.h"

#define CALLERS 6
#define TASKS 40

/* One call: how often each task was run, and how many were at once. */
typedef struct {
    atomic_uint runs[TASKS];
    atomic_uint now, most;
    pthread_t caller;
    unsigned microseconds;
    atomic_uint by_others;
} call;

static void task(void *arg, unsigned index)
{
    call *c = arg;
    unsigned now = atomic_fetch_add(&c->now, 1) + 1, most = atomic_load(&c->most);

    while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now))
        ;
    if (!pthread_equal(pthread_self(), c->caller))
        atomic_fetch_add(&c->by_others, 1);
    if (c->microseconds > 0)
        usleep(c->microseconds);
    atomic_fetch_add(&c->runs[index], 1);
    atomic_fetch_sub(&c->now, 1);
}

/* Runs the tasks and checks that each was run once, on no more threads than told. */
static unsigned run(unsigned threads, unsigned count, unsigned microseconds)
{
    call c;

    memset(&c, 0, sizeof c);
    c.caller = pthread_self();
    c.microseconds = microseconds;
    fiz_parallel(threads, count, task, &c);
    for (unsigned i = 0; i < TASKS; i++)
        CHECK(atomic_load(&c.runs[i]) == (i < count));
    CHECK(atomic_load(&c.most) <= (threads > 1 ? threads : 1));
    CHECK(atomic_load(&c.most) <= 4 && atomic_load(&c.now) == 0);
    return atomic_load(&c.by_others);
}

static void no_thread_before_it_is_of_use(void)
{
    CHECK(fiz_threads_sized() && fiz_threads_size() == 4 && fiz_threads_started() == 0);
    CHECK(run(1, TASKS, 0) == 0 && run(0, 3, 0) == 0 && run(4, 1, 0) == 0 && run(4, 0, 0) == 0);
    CHECK(fiz_threads_started() == 0);
}

static void goes_on_without_threads(void)
{
    thread_starts_left = 0;
    CHECK(run(4, TASKS, 0) == 0 && fiz_threads_started() == 0);
    thread_starts_left = 1;
    CHECK(run(4, TASKS, 1000) > 0 && fiz_threads_started() == 1);
    thread_starts_left = -1;
    (void)run(3, TASKS, 0);
    CHECK(fiz_threads_started() == 2);
    (void)run(100, TASKS, 0);
    CHECK(fiz_threads_started() == 3); /* and the caller: four */
}

static void *caller(void *seed)
{
    uint32_t noise = (uint32_t)(uintptr_t)seed;

    for (int i = 0; i < 300; i++) {
        noise = noise * 1664525u + 1013904223u;
        (void)run(noise >> 29, (noise >> 8) % (TASKS + 1), (noise >> 24) % 16 ? 0 : 200);
    }
    return NULL;
}

static void many_callers_at_once(void)
{
    pthread_t threads[CALLERS];

    for (uintptr_t i = 0; i < CALLERS; i++)
        CHECK(pthread_create(&threads[i], NULL, caller, (void *)i) == 0);
    for (int i = 0; i < CALLERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(fiz_threads_started() == 3);
}

#ifndef NO_FORK

static atomic_int enough;

static void *calls(void *unused)
{
    while (!atomic_load(&enough))
        (void)run(4, 8, 0);
    return unused;
}

static void a_child_has_threads_of_its_own(void)
{
    pthread_t threads[2];

    atomic_store(&enough, 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, calls, NULL) == 0);
    for (int i = 0; i < 100; i++) {
        int status;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(10);
            CHECK(!fiz_threads_sized() && fiz_threads_started() == 0);
            fiz_threads_set_size(3);
            while (run(4, 8, 100) == 0)
                ;
            CHECK(fiz_threads_started() == 2);
            fiz_threads_stop();
            CHECK(fiz_threads_started() == 0 && run(4, 8, 0) == 0);
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&enough, 1);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(fiz_threads_size() == 4 && fiz_threads_started() == 3);
}

#endif

void run_parallel_tests(void)
{
    RUN(no_thread_before_it_is_of_use);
    RUN(goes_on_without_threads);
    RUN(many_callers_at_once);
#ifndef NO_FORK
    RUN(a_child_has_threads_of_its_own);
#endif
}

static void calls_go_on_when_it_stops(void)
{
    pthread_t threads[CALLERS];

    for (uintptr_t i = 0; i < CALLERS; i++)
        CHECK(pthread_create(&threads[i], NULL, caller, (void *)i) == 0);
    usleep(2000);
    fiz_threads_stop();
    fiz_threads_stop();
    CHECK(fiz_threads_started() == 0);
    for (int i = 0; i < CALLERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(run(4, TASKS, 0) == 0 && fiz_threads_started() == 0);
}

void run_stop_tests(void)
{
    RUN(calls_go_on_when_it_stops);
}
