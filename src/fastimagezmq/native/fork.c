#include "fork.h"

#include <stddef.h>

#ifdef _WIN32

int fiz_fork_guard(fiz_mutex *mutex, void (*in_child)(void))
{
    (void)mutex; /* no fork() here */
    (void)in_child;
    return 0;
}

int fiz_fork_guarded(void)
{
    return 0;
}

#else

static struct {
    fiz_mutex *mutex;
    void (*in_child)(void);
} guarded[FIZ_FORK_MUTEXES];
static int guarded_count;

static void before_fork(void)
{
    for (int i = 0; i < guarded_count; i++)
        fiz_mutex_lock(guarded[i].mutex);
}

static void after_fork_in_parent(void)
{
    for (int i = guarded_count; i-- > 0;)
        fiz_mutex_unlock(guarded[i].mutex);
}

static void after_fork_in_child(void)
{
    for (int i = guarded_count; i-- > 0;)
        fiz_mutex_reset(guarded[i].mutex);
    for (int i = 0; i < guarded_count; i++)
        if (guarded[i].in_child != NULL)
            guarded[i].in_child();
}

int fiz_fork_guard(fiz_mutex *mutex, void (*in_child)(void))
{
    for (int i = 0; i < guarded_count; i++)
        if (guarded[i].mutex == mutex)
            return 0;
    if (guarded_count == FIZ_FORK_MUTEXES)
        return -1;
    if (guarded_count == 0
        && pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0)
        return -1;
    guarded[guarded_count].mutex = mutex;
    guarded[guarded_count++].in_child = in_child;
    return 0;
}

int fiz_fork_guarded(void)
{
    return guarded_count;
}

#endif
