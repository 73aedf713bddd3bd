#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif

#include "cpus.h"

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#else
#include <unistd.h>
#endif

#ifdef __linux__

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define CPUS_MAX 8192 /* more than any kernel is built for */
#define LINE_MAX_BYTES 4096
#define PATH_MAX_BYTES (3 * LINE_MAX_BYTES)

/* A mounted hierarchy of control groups, and this process's place in it. */
typedef struct {
    char mount[LINE_MAX_BYTES]; /* where it is mounted */
    char root[LINE_MAX_BYTES];  /* the group that is seen there */
    char group[LINE_MAX_BYTES]; /* the process's group */
} hierarchy;

static unsigned affinity(void)
{
    static const size_t set_bytes = CPU_ALLOC_SIZE(CPUS_MAX);
    union {
        cpu_set_t set;
        unsigned char bytes[CPUS_MAX / 8];
    } mask;

    if (sched_getaffinity(0, set_bytes, &mask.set) != 0)
        return 0;
    return (unsigned)CPU_COUNT_S(set_bytes, &mask.set);
}

/* Whether `word` is one of the words in `list`, which commas separate. */
static int lists(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length)
        if ((at == list || at[-1] == ',') && (at[length] == 0 || at[length] == ','))
            return 1;
    return 0;
}

/* Finds the process's group in /proc/self/cgroup, whose lines are
 * number:controllers:path; version 2 has no controllers. */
static int find_group(const char *root, int version, char group[LINE_MAX_BYTES])
{
    char path[PATH_MAX_BYTES], line[LINE_MAX_BYTES];
    int found = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        char *controllers = strchr(line, ':');
        char *name = controllers ? strchr(controllers + 1, ':') : NULL;
        if (name == NULL)
            continue;
        *name++ = 0;
        name[strcspn(name, "\n")] = 0;
        found = version == 2 ? controllers[1] == 0 : lists(controllers + 1, "cpu");
        if (found)
            (void)snprintf(group, LINE_MAX_BYTES, "%s", name);
    }
    (void)fclose(file);
    return found;
}

/* Finds where the groups are mounted, in /proc/self/mountinfo: "... root mount
 * options [optional fields] - type source options". */
static int find_mount(const char *root, int version, hierarchy *h)
{
    char path[PATH_MAX_BYTES], line[LINE_MAX_BYTES], type[32], options[LINE_MAX_BYTES];
    int found = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        const char *rest = strstr(line, " - ");
        if (rest == NULL || sscanf(line, "%*s %*s %*s %4095s %4095s", h->root, h->mount) != 2
            || sscanf(rest, " - %31s %*s %4095s", type, options) != 2)
            continue;
        found = version == 2 ? strcmp(type, "cgroup2") == 0
                             : strcmp(type, "cgroup") == 0 && lists(options, "cpu");
    }
    (void)fclose(file);
    return found;
}

/* Reads up to two numbers from a file of a group; "max" and what cannot be read
 * are no numbers. Returns how many there are. */
static int read_numbers(const char *folder, const char *name, long long numbers[2])
{
    char path[PATH_MAX_BYTES + 64];
    FILE *file;
    int count;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    count = fscanf(file, "%lld %lld", &numbers[0], &numbers[1]);
    (void)fclose(file);
    return count < 0 ? 0 : count;
}

/* The quota of one group in CPUs, rounded up; 0 for none. */
static unsigned group_quota(const char *folder, int version)
{
    long long numbers[2] = { 0, 0 }, period[2] = { 0, 0 };

    if (version == 2) {
        if (read_numbers(folder, "cpu.max", numbers) != 2)
            return 0;
    } else {
        if (read_numbers(folder, "cpu.cfs_quota_us", numbers) != 1
            || read_numbers(folder, "cpu.cfs_period_us", period) != 1)
            return 0;
        numbers[1] = period[0];
    }
    if (numbers[0] <= 0 || numbers[1] <= 0 || numbers[0] / numbers[1] >= INT_MAX)
        return 0;
    return (unsigned)(numbers[0] / numbers[1] + (numbers[0] % numbers[1] != 0));
}

/* The smallest quota from the process's group up to what is mounted. */
static unsigned hierarchy_quota(const char *root, int version)
{
    hierarchy h;
    char folder[PATH_MAX_BYTES];
    const char *below;
    unsigned smallest = 0;
    size_t top;

    if (!find_group(root, version, h.group) || !find_mount(root, version, &h))
        return 0;
    /* The group's path below the mount. A container may see a path of its host,
     * of which nothing is mounted but the container's own group. */
    below = h.group;
    if (strcmp(h.root, "/") != 0) {
        size_t length = strlen(h.root);
        int inside = strncmp(below, h.root, length) == 0
                     && (below[length] == 0 || below[length] == '/');
        below = inside ? below + length : "";
    }
    if (strncmp(below, "/..", 3) == 0)
        below = "";
    top = (size_t)snprintf(folder, sizeof folder, "%s%s", root, h.mount);
    (void)snprintf(folder + top, sizeof folder - top, "%s", below);
    for (;;) {
        unsigned quota = group_quota(folder, version);
        char *last = strrchr(folder + top, '/');
        if (quota > 0 && (smallest == 0 || quota < smallest))
            smallest = quota;
        if (last == NULL)
            return smallest;
        *last = 0;
    }
}

unsigned fiz_cpus_quota(const char *root)
{
    unsigned second = hierarchy_quota(root, 2);
    unsigned first = hierarchy_quota(root, 1);

    return first == 0 || (second > 0 && second < first) ? second : first;
}

#else

unsigned fiz_cpus_quota(const char *root)
{
    (void)root;
    return 0;
}

static unsigned affinity(void)
{
#ifdef _WIN32
    DWORD_PTR ours = 0, all = 0;
    unsigned count = 0;

    if (GetProcessAffinityMask(GetCurrentProcess(), &ours, &all))
        for (; ours != 0; ours &= ours - 1)
            count++;
    return count;
#else
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (unsigned)count : 0;
#endif
}

#endif

unsigned fiz_cpus_usable(void)
{
    unsigned cpus = affinity(), quota = fiz_cpus_quota("");

    if (cpus == 0)
        cpus = 1;
    return quota > 0 && quota < cpus ? quota : cpus;
}

#ifdef __linux__

int fiz_cpus_current(void)
{
    return sched_getcpu();
}

void fiz_cpus_leave(int cpu)
{
    cpu_set_t allowed, others;

    if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getcpu() != cpu
        || sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    others = allowed;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        (void)sched_setaffinity(0, sizeof allowed, &allowed);
}

#else

int fiz_cpus_current(void)
{
    return -1;
}

void fiz_cpus_leave(int cpu)
{
    (void)cpu;
}

#endif
