/* How many CPUs this process may keep busy. */
#ifndef FIZ_CPUS_H
#define FIZ_CPUS_H

/* The CPUs that the calling thread may run on, and no more than the CPU quota of
 * its control group (as containers have it), rounded up. At least 1. */
unsigned fiz_cpus_usable(void);

/* The CPU quota of this process's control groups (cgroup v2's cpu.max, v1's CFS
 * quota) in whole CPUs, rounded up: the smallest of its group and the groups
 * above that are visible; 0 for none. `root` stands before every path that is
 * read ("" for the system's own). */
unsigned fiz_cpus_quota(const char *root);

/* The CPU that the calling thread runs on, or -1 where that cannot be told. */
int fiz_cpus_current(void);

/* If the calling thread runs on `cpu`, moves it to another of those that it may use,
 * where the system lets. A scheduler may leave a woken thread beside its waker for
 * milliseconds, though another CPU is idle; a strip takes less. */
void fiz_cpus_leave(int cpu);

#endif
