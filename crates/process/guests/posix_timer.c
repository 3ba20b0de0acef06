// timer_create: a signal with a value, its interval, its overruns, its end.
#include "guest.h"

int main(void) {
    sigset_t set = set_of(SIGRTMIN);
    SYS(sigprocmask(SIG_BLOCK, &set, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN,
                             .sigev_value.sival_int = 77};
    timer_t timer;
    SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec spec = {.it_value.tv_nsec = 1000000, .it_interval.tv_nsec = 2000000}, now;
    SYS(timer_settime(timer, 0, &spec, NULL));
    siginfo_t info;
    for (int i = 0; i < 3; i++) {
        EQ(sigwaitinfo(&set, &info), SIGRTMIN);
        EQ(info.si_code, SI_TIMER);
        EQ(info.si_value.sival_int, 77);
    }
    ok("three signals with their value");
    SYS(timer_gettime(timer, &now));
    EQ(now.it_interval.tv_nsec, 2000000);
    CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec <= 2000000);
    sleep_ms(20);
    EQ(sigwaitinfo(&set, &info), SIGRTMIN);
    CHECK(timer_getoverrun(timer) >= 1);
    EQ(timer_getoverrun(timer), info.si_overrun);
    sleep_ms(20);
    EQ(timer_getoverrun(timer), info.si_overrun);
    EQ(sigwaitinfo(&set, &info), SIGRTMIN);
    CHECK(info.si_overrun >= 1);
    EQ(timer_getoverrun(timer), info.si_overrun);
    ok("missed turns are counted, and told of the signal that was taken last");
    SYS(timer_delete(timer));
    FAILS(EINVAL, timer_gettime(timer, &now));
    FAILS(EOPNOTSUPP, timer_create(CLOCK_MONOTONIC_RAW, &event, &timer));
    FAILS(EOPNOTSUPP, timer_create(CLOCK_REALTIME_COARSE, &event, &timer));
    FAILS(EINVAL, timer_create(99, &event, &timer));
    SYS(timer_create(CLOCK_TAI, &event, &timer));
    ok("deleted; not every clock has timers");
    return 0;
}
