// What the system says about itself: uname, sysinfo, limits, processors, identity.
#include "guest.h"
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

int main(void) {
    struct utsname u;
    SYS(uname(&u));
    EQ(strcmp(u.sysname, "Linux"), 0);
    EQ(strcmp(u.machine, "x86_64"), 0);
    char host[256];
    SYS(gethostname(host, sizeof host));
    EQ(strcmp(host, u.nodename), 0);
    show("%s %s", u.nodename, u.release);
    ok("uname");
    struct sysinfo s;
    SYS(sysinfo(&s));
    CHECK(s.totalram > 0 && s.procs > 0 && s.uptime > 0);
    show("uptime %ld, free %lu, procs %d", s.uptime, s.freeram, s.procs);
    ok("sysinfo");
    cpu_set_t cpus;
    SYS(sched_getaffinity(0, sizeof cpus, &cpus));
    CHECK(CPU_COUNT(&cpus) >= 1);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    EQ(sysconf(_SC_PAGESIZE), 4096);
    show("processors %d, on %d", CPU_COUNT(&cpus), sched_getcpu());
    ok("processors");
    struct rlimit files, again;
    SYS(getrlimit(RLIMIT_NOFILE, &files));
    files.rlim_cur = 64;
    SYS(setrlimit(RLIMIT_NOFILE, &files));
    SYS(prlimit(0, RLIMIT_NOFILE, NULL, &again));
    EQ(again.rlim_cur, 64);
    int last = -1;
    for (int fd; (fd = open("/dev/null", O_RDONLY)) >= 0;) last = fd;
    EQ(errno, EMFILE);
    EQ(last, 63);
    for (int fd = 3; fd < 64; fd++) close(fd);
    ok("a limit on descriptors");
    struct statfs fs;
    SYS(statfs(".", &fs));
    CHECK(fs.f_bsize > 0 && fs.f_blocks > 0);
    show("uid %d gid %d ppid %d, free blocks %lu", getuid(), getgid(), getppid(), (unsigned long)fs.f_bavail);
    EQ(getuid(), geteuid());
    EQ(getgid(), getegid());
    CHECK(getgroups(0, NULL) >= 0);
    uid_t r, e, saved;
    SYS(getresuid(&r, &e, &saved));
    EQ(saved, r);
    ok("file system and identity");
    int priority = getpriority(PRIO_PROCESS, 0);
    EQ(nice(0), priority);
    int policy = SYS(sched_getscheduler(0));
    show("priority %d, policy %d", priority, policy);
    SYS(sched_yield());
    ok("scheduling");
    return 0;
}
