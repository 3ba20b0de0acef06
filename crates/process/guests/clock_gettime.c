// Clocks, by call and through the vDSO: they agree, and show what they said.
#include "guest.h"
#include <sys/times.h>

int main(void) {
    struct timespec resolution;
    clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,
                          CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_TAI};
    for (int i = 0; i < 7; i++) {
        SYS(clock_getres(clocks[i], &resolution));
        int64_t a = now_ns(clocks[i]), b = now_ns(clocks[i]);
        CHECK(b >= a && a > 0);
        show("clock %d %lld %lld", clocks[i], (long long)a, (long long)b);
    }
    ok("seven clocks do not fall");
    struct timespec by_call;
    int64_t before = now_ns(CLOCK_MONOTONIC);
    SYS(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &by_call));
    int64_t after = now_ns(CLOCK_MONOTONIC), between = by_call.tv_sec * 1000000000LL + by_call.tv_nsec;
    CHECK(before <= between && between <= after);
    ok("vDSO and call are one clock");
    struct timeval of_day;
    SYS(gettimeofday(&of_day, NULL));
    time_t seconds = time(NULL);
    CHECK(seconds >= of_day.tv_sec && seconds <= of_day.tv_sec + 60);
    show("%ld.%06ld %ld", (long)of_day.tv_sec, (long)of_day.tv_usec, (long)seconds);
    ok("gettimeofday and time");
    int64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID), thread = now_ns(CLOCK_THREAD_CPUTIME_ID);
    volatile unsigned work = 0;
    for (unsigned i = 0; i < 3000000; i++) work += i;
    CHECK(now_ns(CLOCK_PROCESS_CPUTIME_ID) >= cpu);
    CHECK(now_ns(CLOCK_THREAD_CPUTIME_ID) >= thread);
    CHECK(clock() != (clock_t)-1);
    CHECK(times(NULL) != (clock_t)-1);
    ok("processor time does not fall");
    FAILS(EINVAL, clock_gettime(77, &by_call));
    FAILS(EINVAL, clock_gettime(-1, &by_call));
    ok("an unknown clock");
    return 0;
}
