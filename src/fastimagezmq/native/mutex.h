/* A mutex with a static initialiser on POSIX and Windows.
 *
 * Critical sections under it are a few pointer moves: nobody calls malloc,
 * libjpeg or Python while holding one, and nobody holds two (the handlers of
 * fork.h excepted, which take them in the order of their registration).
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

#else

#include <pthread.h>

typedef pthread_mutex_t fiz_mutex;
#define FIZ_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER

static inline void fiz_mutex_reset(fiz_mutex *mutex) { (void)pthread_mutex_init(mutex, NULL); }
static inline void fiz_mutex_lock(fiz_mutex *mutex) { (void)pthread_mutex_lock(mutex); }
static inline void fiz_mutex_unlock(fiz_mutex *mutex) { (void)pthread_mutex_unlock(mutex); }

#endif

#endif
