// Sleeping: relative, absolute, on two clocks; never too short.
#include "guest.h"

int main(void) {
    for (int i = 0; i < 5; i++) {
        int64_t start = now_ns(CLOCK_MONOTONIC), ms = 1 << i;
        struct timespec time = {0, ms * 1000000};
        SYS(nanosleep(&time, NULL));
        int64_t took = now_ns(CLOCK_MONOTONIC) - start;
        CHECK(took >= ms * 1000000);
        show("%lld ms took %lld ns", (long long)ms, (long long)took);
    }
    ok("relative");
    clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME};
    for (int i = 0; i < 2; i++) {
        int64_t until = now_ns(clocks[i]) + 3000000;
        struct timespec time = {until / 1000000000, until % 1000000000};
        PT(clock_nanosleep(clocks[i], TIMER_ABSTIME, &time, NULL));
        CHECK(now_ns(clocks[i]) >= until);
        PT(clock_nanosleep(clocks[i], TIMER_ABSTIME, &time, NULL));
    }
    ok("absolute, also in the past");
    struct timespec wrong = {0, 1000000000};
    FAILS(EINVAL, nanosleep(&wrong, NULL));
    EQ(clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &wrong, NULL), EOPNOTSUPP);
    EQ(clock_nanosleep(CLOCK_MONOTONIC_COARSE, 0, &wrong, NULL), EOPNOTSUPP);
    EQ(usleep(1000), 0);
    EQ(sleep(0), 0);
    ok("errors and old names");
    return 0;
}
