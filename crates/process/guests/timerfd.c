// timerfd: one shot, interval, absolute, disarmed, in poll.
#include "guest.h"
#include <sys/timerfd.h>

int main(void) {
    uint64_t times;
    int fd = SYS(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    struct itimerspec spec = {.it_value.tv_nsec = 3000000}, now;
    int64_t start = now_ns(CLOCK_MONOTONIC);
    SYS(timerfd_settime(fd, 0, &spec, NULL));
    EQ(read(fd, &times, 8), 8);
    EQ(times, 1);
    int64_t took = now_ns(CLOCK_MONOTONIC) - start;
    CHECK(took >= 3000000);
    SYS(timerfd_gettime(fd, &now));
    EQ(now.it_value.tv_nsec, 0);
    ok("one shot");

    spec.it_interval.tv_nsec = 1000000;
    SYS(timerfd_settime(fd, 0, &spec, NULL));
    sleep_ms(12);
    EQ(read(fd, &times, 8), 8);
    CHECK(times >= 9);
    show("%llu turns, %lld ns", (unsigned long long)times, (long long)took);
    ok("missed turns are in the count");

    SYS(fcntl(fd, F_SETFL, O_NONBLOCK));
    int64_t until = now_ns(CLOCK_MONOTONIC) + 5000000;
    spec = (struct itimerspec){.it_value = {until / 1000000000, until % 1000000000}};
    SYS(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL));
    struct pollfd p = {fd, POLLIN, 0};
    EQ(poll(&p, 1, 10000), 1);
    CHECK(now_ns(CLOCK_MONOTONIC) >= until);
    EQ(read(fd, &times, 8), 8);
    FAILS(EAGAIN, read(fd, &times, 8));
    ok("an absolute time, with poll");

    spec = (struct itimerspec){.it_value.tv_sec = 100};
    SYS(timerfd_settime(fd, 0, &spec, NULL));
    spec = (struct itimerspec){0};
    SYS(timerfd_settime(fd, 0, &spec, &now));
    CHECK(now.it_value.tv_sec >= 90);
    EQ(poll(&p, 1, 5), 0);
    ok("disarmed");
    int wall = SYS(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
    spec = (struct itimerspec){.it_value.tv_sec = 1};
    SYS(timerfd_settime(wall, TFD_TIMER_ABSTIME, &spec, NULL));
    p.fd = wall;
    EQ(poll(&p, 1, 1000), 1);
    EQ(read(wall, &times, 8), 8);
    EQ(times, 1);
    ok("a time in the past fires at once");
    return 0;
}
