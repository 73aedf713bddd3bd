/* A mutex and a condition variable with static initialisers on POSIX and Windows.
 *
 * Critical sections under a mutex are a few pointer moves: nobody calls malloc,
 * libjpeg or Python while holding one, and nobody holds two (the handlers of
 * fork.h excepted, which take them in the order of their registration).
 *
 * What is not static is made by the _init functions and ended by the _destroy functions. Only
 * a condition that was made so can be waited for with a limit.
 *
 * fiz_yield lets other threads run that want this CPU; it returns at once if none does.
 */
#ifndef FIZ_MUTEX_H
#define FIZ_MUTEX_H

#ifdef _WIN32

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>

typedef SRWLOCK fiz_mutex;
#define FIZ_MUTEX_INIT SRWLOCK_INIT

static inline void fiz_mutex_reset(fiz_mutex *mutex) { InitializeSRWLock(mutex); }
static inline void fiz_mutex_lock(fiz_mutex *mutex) { AcquireSRWLockExclusive(mutex); }
static inline void fiz_mutex_unlock(fiz_mutex *mutex) { ReleaseSRWLockExclusive(mutex); }

typedef CONDITION_VARIABLE fiz_condition;
#define FIZ_CONDITION_INIT CONDITION_VARIABLE_INIT

static inline void fiz_condition_reset(fiz_condition *c) { InitializeConditionVariable(c); }
static inline void fiz_condition_signal(fiz_condition *c) { WakeConditionVariable(c); }
static inline void fiz_condition_broadcast(fiz_condition *c) { WakeAllConditionVariable(c); }
static inline void fiz_condition_wait(fiz_condition *c, fiz_mutex *mutex)
{
    (void)SleepConditionVariableSRW(c, mutex, INFINITE, 0);
}

static inline int fiz_mutex_init(fiz_mutex *mutex) { InitializeSRWLock(mutex); return 0; }
static inline void fiz_mutex_destroy(fiz_mutex *mutex) { (void)mutex; }
static inline int fiz_condition_init(fiz_condition *c) { InitializeConditionVariable(c); return 0; }
static inline void fiz_condition_destroy(fiz_condition *c) { (void)c; }
static inline void fiz_condition_wait_for(fiz_condition *c, fiz_mutex *mutex, unsigned ms)
{
    (void)SleepConditionVariableSRW(c, mutex, ms, 0);
}

static inline void fiz_yield(void) { (void)SwitchToThread(); }

#else

#include <pthread.h>
#include <sched.h>
#include <time.h>

typedef pthread_mutex_t fiz_mutex;
#define FIZ_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER

static inline void fiz_mutex_reset(fiz_mutex *mutex) { (void)pthread_mutex_init(mutex, NULL); }
static inline void fiz_mutex_lock(fiz_mutex *mutex) { (void)pthread_mutex_lock(mutex); }
static inline void fiz_mutex_unlock(fiz_mutex *mutex) { (void)pthread_mutex_unlock(mutex); }

typedef pthread_cond_t fiz_condition;
#define FIZ_CONDITION_INIT PTHREAD_COND_INITIALIZER

static inline void fiz_condition_reset(fiz_condition *c) { (void)pthread_cond_init(c, NULL); }
static inline void fiz_condition_signal(fiz_condition *c) { (void)pthread_cond_signal(c); }
static inline void fiz_condition_broadcast(fiz_condition *c) { (void)pthread_cond_broadcast(c); }
static inline void fiz_condition_wait(fiz_condition *c, fiz_mutex *mutex)
{
    (void)pthread_cond_wait(c, mutex);
}

static inline int fiz_mutex_init(fiz_mutex *mutex) { return pthread_mutex_init(mutex, NULL); }
static inline void fiz_mutex_destroy(fiz_mutex *mutex) { (void)pthread_mutex_destroy(mutex); }
static inline void fiz_condition_destroy(fiz_condition *c) { (void)pthread_cond_destroy(c); }

#ifdef __APPLE__ /* it has no clock of a condition's own, but takes a span */

static inline int fiz_condition_init(fiz_condition *c) { return pthread_cond_init(c, NULL); }
static inline void fiz_condition_wait_for(fiz_condition *c, fiz_mutex *mutex, unsigned ms)
{
    struct timespec span = { ms / 1000, (long)(ms % 1000) * 1000000 };

    (void)pthread_cond_timedwait_relative_np(c, mutex, &span);
}

#else

/* The time of day may be set while somebody waits. */
static inline int fiz_condition_init(fiz_condition *c)
{
    pthread_condattr_t kind;
    int error = pthread_condattr_init(&kind);

    if (error)
        return error;
    error = pthread_condattr_setclock(&kind, CLOCK_MONOTONIC);
    if (!error)
        error = pthread_cond_init(c, &kind);
    (void)pthread_condattr_destroy(&kind);
    return error;
}

static inline void fiz_condition_wait_for(fiz_condition *c, fiz_mutex *mutex, unsigned ms)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_timedwait(c, mutex, &until);
}

#endif

static inline void fiz_yield(void) { (void)sched_yield(); }

#endif

#endif
