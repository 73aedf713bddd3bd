#include "fork.h"

#ifdef _WIN32

int fiz_fork_guard(fiz_mutex *mutex)
{
    (void)mutex; /* no fork() here */
    return 0;
}

int fiz_fork_guarded(void)
{
    return 0;
}

#else

static fiz_mutex *guarded[FIZ_FORK_MUTEXES];
static int guarded_count;

static void before_fork(void)
{
    for (int i = 0; i < guarded_count; i++)
        fiz_mutex_lock(guarded[i]);
}

static void after_fork_in_parent(void)
{
    for (int i = guarded_count; i-- > 0;)
        fiz_mutex_unlock(guarded[i]);
}

static void after_fork_in_child(void)
{
    for (int i = guarded_count; i-- > 0;)
        fiz_mutex_reset(guarded[i]);
}

int fiz_fork_guard(fiz_mutex *mutex)
{
    for (int i = 0; i < guarded_count; i++)
        if (guarded[i] == mutex)
            return 0;
    if (guarded_count == FIZ_FORK_MUTEXES)
        return -1;
    if (guarded_count == 0
        && pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0)
        return -1;
    guarded[guarded_count++] = mutex;
    return 0;
}

int fiz_fork_guarded(void)
{
    return guarded_count;
}

#endif
