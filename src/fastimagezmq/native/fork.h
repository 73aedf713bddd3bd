/* Mutexes, and what they guard, that survive fork().
 *
 * A child of fork() has one thread. A mutex that another thread of the parent
 * held at that moment would stay locked in the child for ever, and what it
 * guards might be half changed. So every guarded mutex is taken before the
 * fork, released after it in the parent, and made anew in the child. What a
 * child must forget besides (threads, who waits for them) its owner resets there.
 */
#ifndef FIZ_FORK_H
#define FIZ_FORK_H

#include "mutex.h"

#define FIZ_FORK_MUTEXES 8

/* Guards `mutex`, which must live as long as the process. `in_child`, unless it
 * is NULL, is called in each child once every guarded mutex is made anew, and
 * may only assign. To be called while the module is being imported: not from two
 * threads at once. Guarding a mutex twice is the same as once. Returns 0, or -1
 * when the system has no memory for the handlers or FIZ_FORK_MUTEXES are guarded
 * already. */
int fiz_fork_guard(fiz_mutex *mutex, void (*in_child)(void));

/* How many mutexes are guarded (0 where there is no fork). */
int fiz_fork_guarded(void);

#endif
