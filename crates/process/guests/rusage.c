// getrusage, times, clock: processor time used, by ourselves and by children.
#include "guest.h"
#include <sys/times.h>

static void burn(void) {
    volatile unsigned x = 0;
    for (unsigned i = 0; i < 20000000; i++) x += i;
}

static int64_t us(struct timeval t) { return t.tv_sec * 1000000LL + t.tv_usec; }

int main(void) {
    struct rusage before, after, children;
    struct tms t0, t1;
    SYS(getrusage(RUSAGE_SELF, &before));
    clock_t c0 = clock();
    SYS(times(&t0));
    burn();
    SYS(getrusage(RUSAGE_SELF, &after));
    CHECK(us(after.ru_utime) >= us(before.ru_utime));
    CHECK(us(after.ru_utime) + us(after.ru_stime) >= us(before.ru_utime) + us(before.ru_stime));
    CHECK(after.ru_maxrss > 0);
    CHECK(clock() >= c0);
    SYS(times(&t1));
    CHECK(t1.tms_utime >= t0.tms_utime);
    ok("our own");
    pid_t child = SYS(fork());
    if (child == 0) {
        burn();
        _exit(0);
    }
    int status;
    EQ(wait4(child, &status, 0, &after), child);
    SYS(getrusage(RUSAGE_CHILDREN, &children));
    CHECK(us(children.ru_utime) >= us(after.ru_utime));
    FAILS(EINVAL, getrusage(77, &after));
    show("child %lld us, us %lld us", (long long)us(children.ru_utime), (long long)us(before.ru_utime));
    ok("a child's");
    return 0;
}
