// Nice values and scheduling policies are kept, inherited, and told again.
#include "guest.h"

static void *look(void *arg) {
    (void)arg;
    EQ(getpriority(PRIO_PROCESS, 0), 7);
    SYS(setpriority(PRIO_PROCESS, 0, 9));
    EQ(getpriority(PRIO_PROCESS, 0), 9);
    EQ(getpriority(PRIO_PROCESS, getpid()), 7);
    return NULL;
}

int main(void) {
    EQ(nice(5), 5);
    EQ(getpriority(PRIO_PROCESS, 0), 5);
    SYS(setpriority(PRIO_PROCESS, getpid(), 7));
    pthread_t thread;
    PT(pthread_create(&thread, NULL, look, NULL));
    PT(pthread_join(thread, NULL));
    pid_t child = SYS(fork());
    if (child == 0) {
        EQ(getpriority(PRIO_PROCESS, 0), 7);
        EQ(nice(100), 19);
        SYS(setpgid(0, 0));
        EQ(getpriority(PRIO_PGRP, 0), 19);
        _exit(0);
    }
    EQ(exit_of(child), 0);
    FAILS(ESRCH, getpriority(PRIO_PROCESS, 999999999));
    FAILS(ESRCH, setpriority(PRIO_PGRP, 999999999, 1));
    FAILS(EINVAL, getpriority(9, 0));
    FAILS(EINVAL, setpriority(-1, 0, 1));
    ok("nice values, of threads and children");

    child = SYS(fork());
    if (child == 0) {
        if (geteuid() == 0) {
            SYS(setresuid(1000, 1000, 1000));
            FAILS(EPERM, setpriority(PRIO_PROCESS, getppid(), 19));
        }
        struct rlimit none = {0, 0};
        SYS(setrlimit(RLIMIT_NICE, &none));
        FAILS(EACCES, setpriority(PRIO_PROCESS, 0, 6));
        SYS(setpriority(PRIO_PROCESS, 0, 8));
        SYS(setrlimit(RLIMIT_RTPRIO, &none));
        struct sched_param one = {1};
        FAILS(EPERM, sched_setscheduler(0, SCHED_FIFO, &one));
        _exit(0);
    }
    EQ(exit_of(child), 0);
    ok("who has no privilege only becomes nicer");

    struct sched_param param = {0}, got = {-1};
    EQ(sched_getscheduler(0), SCHED_OTHER);
    SYS(sched_setscheduler(0, SCHED_BATCH, &param));
    EQ(sched_getscheduler(getpid()), SCHED_BATCH);
    SYS(sched_getparam(0, &got));
    EQ(got.sched_priority, 0);
    child = SYS(fork());
    if (child == 0) {
        EQ(sched_getscheduler(0), SCHED_BATCH);
        SYS(sched_setscheduler(0, SCHED_IDLE | SCHED_RESET_ON_FORK, &param));
        EQ(sched_getscheduler(0), SCHED_IDLE | SCHED_RESET_ON_FORK);
        pid_t next = SYS(fork());
        if (next == 0) {
            EQ(sched_getscheduler(0), SCHED_IDLE);
            _exit(0);
        }
        _exit(exit_of(next));
    }
    EQ(exit_of(child), 0);
    EQ(sched_getscheduler(0), SCHED_BATCH);
    SYS(sched_setparam(0, &param));
    param.sched_priority = 5;
    FAILS(EINVAL, sched_setparam(0, &param));
    FAILS(EINVAL, sched_setscheduler(0, SCHED_OTHER, &param));
    param.sched_priority = 0;
    FAILS(EINVAL, sched_setscheduler(0, SCHED_FIFO, &param));
    FAILS(EINVAL, sched_setscheduler(0, 99, &param));
    FAILS(EINVAL, sched_setscheduler(-1, SCHED_OTHER, &param));
    FAILS(EINVAL, sched_getscheduler(-1));
    FAILS(ESRCH, sched_setscheduler(999999999, SCHED_OTHER, &param));
    FAILS(ESRCH, sched_getparam(999999999, &got));
    EQ(sched_getscheduler(0), SCHED_BATCH);
    ok("policies, of children too");

    EQ(sched_get_priority_min(SCHED_RR), 1);
    EQ(sched_get_priority_max(SCHED_RR), 99);
    EQ(sched_get_priority_max(SCHED_BATCH), 0);
    FAILS(EINVAL, sched_get_priority_max(99));
    cpu_set_t set;
    FAILS(ESRCH, sched_getaffinity(999999999, sizeof set, &set));
    ok("bounds and nobody");
    return 0;
}
