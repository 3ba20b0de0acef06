// setitimer: an interval timer fires again and again until it is stopped.
#include "guest.h"

static volatile sig_atomic_t fired;
static void note(int signal) { (void)signal; fired++; }

int main(void) {
    sigset_t block = set_of(SIGALRM), old;
    on_signal(SIGALRM, note, 0);
    SYS(sigprocmask(SIG_BLOCK, &block, &old));
    struct itimerval timer = {{0, 5000}, {0, 5000}}, left;
    int64_t start = now_ns(CLOCK_MONOTONIC);
    SYS(setitimer(ITIMER_REAL, &timer, NULL));
    SYS(getitimer(ITIMER_REAL, &left));
    EQ(left.it_interval.tv_usec, 5000);
    CHECK(left.it_value.tv_sec == 0 && left.it_value.tv_usec <= 5000);
    while (fired < 4) sigsuspend(&old);
    int64_t took = now_ns(CLOCK_MONOTONIC) - start;
    CHECK(took >= 15000000);
    ok("an interval timer");
    struct itimerval off = {0};
    SYS(setitimer(ITIMER_REAL, &off, &left));
    EQ(left.it_interval.tv_usec, 5000);
    SYS(getitimer(ITIMER_REAL, &left));
    EQ(left.it_value.tv_usec + left.it_value.tv_sec, 0);
    ok("stopped");
    struct itimerval wrong = {{0, 0}, {0, 1000000}};
    FAILS(EINVAL, setitimer(ITIMER_REAL, &wrong, NULL));
    FAILS(EINVAL, getitimer(9, &left));
    FAILS(EINVAL, setitimer(9, &off, NULL));
    ok("a wrong time is refused, and a timer that there is not");
    show("took %lld ns", (long long)took);
    return 0;
}
