/* How long to look again and again for what may come at once, before sleeping.
 *
 * To put a CPU to sleep and to wake it takes tens of microseconds, on a virtual machine
 * twice that; between two processes that answer each other at once it is most of the time
 * of a small message. So a waiter that was woken soon, several times in a row, looks for as
 * long before it sleeps the next time, and one that waited long looks no more. The rule is
 * that of the Linux kernel's KVM (virt/kvm/halt-polling in its documentation): grow while
 * waits are short, stop when one is long.
 *
 * Looking costs CPU time, FIZ_SPIN_MAX_NS at most: for each message that comes within that
 * time, and once when the waits become longer. Nothing where messages come at a camera's pace.
 */
#ifndef FIZ_SPIN_H
#define FIZ_SPIN_H

#include <stdint.h>

#define FIZ_SPIN_START_NS 10000u
#define FIZ_SPIN_MAX_NS 200000u

/* What one waiter has learned: for how long to look. All zero to begin with. */
typedef struct {
    uint32_t span_ns;
} fiz_spin;

/* Nanoseconds by a clock that never goes back. */
uint64_t fiz_spin_clock(void);

/* Learns from a wait that has ended after `waited_ns`, looking and sleeping together. */
static inline void fiz_spin_learn(fiz_spin *spin, uint64_t waited_ns)
{
    if (waited_ns > FIZ_SPIN_MAX_NS)
        spin->span_ns = 0;
    else if (waited_ns > spin->span_ns)
        spin->span_ns = spin->span_ns == 0                     ? FIZ_SPIN_START_NS
                        : spin->span_ns > FIZ_SPIN_MAX_NS / 2 ? FIZ_SPIN_MAX_NS
                                                              : 2 * spin->span_ns;
}

#endif
