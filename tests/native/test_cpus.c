#include "check.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "native/cpus.h"

#ifdef __linux__

static char root[] = "/tmp/fiz-cpus-XXXXXX";

/* Writes a file below the made-up root, and the folders that it stands in. */
static void put(const char *name, const char *text)
{
    char path[256];
    FILE *file;

    CHECK(snprintf(path, sizeof path, "%s/%s", root, name) < (int)sizeof path);
    for (char *at = strchr(path + sizeof root, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = 0;
        (void)mkdir(path, 0700);
        *at = '/';
    }
    file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT(top)                                                                   \
    "29 23 0:25 " top " /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"           \
    "31 23 0:27 " top " /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"

static void quota_of_the_second_version(void)
{
    CHECK(fiz_cpus_quota(root) == 0); /* nothing is there */
    put("proc/self/cgroup", "0::/user.slice/camera.service\n");
    CHECK(fiz_cpus_quota(root) == 0);
    put("proc/self/mountinfo", "23 1 8:1 / / rw - ext4 /dev/root rw\n" V2_MOUNT);
    CHECK(fiz_cpus_quota(root) == 0);
    put("sys/fs/cgroup/user.slice/camera.service/cpu.max", "max 100000\n");
    CHECK(fiz_cpus_quota(root) == 0);
    put("sys/fs/cgroup/user.slice/camera.service/cpu.max", "350000 100000\n");
    CHECK(fiz_cpus_quota(root) == 4);
    put("sys/fs/cgroup/user.slice/cpu.max", "200000 100000\n");
    CHECK(fiz_cpus_quota(root) == 2);
    put("sys/fs/cgroup/cpu.max", "10000 100000\n");
    CHECK(fiz_cpus_quota(root) == 1);
    put("sys/fs/cgroup/cpu.max", "nonsense\n");
    CHECK(fiz_cpus_quota(root) == 2);
    put("sys/fs/cgroup/cpu.max", "150000 100000\n");
    put("proc/self/cgroup", "0::/../../elsewhere\n"); /* above what is mounted */
    CHECK(fiz_cpus_quota(root) == 2);
}

static void quota_of_the_first_version(void)
{
    put("proc/self/cgroup", "12:cpuset:/x\n5:cpu,cpuacct:/host/box\n1:name=systemd:/y\n");
    put("proc/self/mountinfo", V1_MOUNT("/"));
    put("sys/fs/cgroup/cpu,cpuacct/host/box/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu,cpuacct/host/box/cpu.cfs_period_us", "100000\n");
    CHECK(fiz_cpus_quota(root) == 0);
    put("sys/fs/cgroup/cpu,cpuacct/host/box/cpu.cfs_quota_us", "250000\n");
    CHECK(fiz_cpus_quota(root) == 3);
    /* a container, whose own group is what is mounted */
    put("proc/self/mountinfo", V1_MOUNT("/host/box"));
    CHECK(fiz_cpus_quota(root) == 0);
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000\n");
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    CHECK(fiz_cpus_quota(root) == 1);
}

static void remove_all(void)
{
    char command[64];

    CHECK(snprintf(command, sizeof command, "rm -r %s", root) < (int)sizeof command);
    CHECK(system(command) == 0);
}

void run_cpu_tests(void)
{
    CHECK(fiz_cpus_usable() >= 1 && fiz_cpus_usable() <= (unsigned)sysconf(_SC_NPROCESSORS_CONF));
    CHECK(mkdtemp(root) != NULL);
    RUN(quota_of_the_second_version);
    RUN(quota_of_the_first_version);
    remove_all();
}

#else

void run_cpu_tests(void)
{
    CHECK(fiz_cpus_usable() >= 1 && fiz_cpus_quota("") == 0);
}

#endif
