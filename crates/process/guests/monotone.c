// Time over a longer while: never back, no jump, both clocks advance alike.
#include "guest.h"

int main(void) {
    int64_t mono = now_ns(CLOCK_MONOTONIC), wall = now_ns(CLOCK_REALTIME);
    int64_t offset = wall - mono, largest = 0, before = mono;
    for (int i = 0; i < 100; i++) {
        int64_t m = now_ns(CLOCK_MONOTONIC), w = now_ns(CLOCK_REALTIME);
        CHECK(m >= mono);
        CHECK(llabs(w - m - offset) < 1000000000);
        if (m - mono > largest) largest = m - mono;
        mono = m;
        if (i % 10 == 0) {
            sleep_ms(3);
            CHECK(now_ns(CLOCK_MONOTONIC) >= m + 3000000);
        }
    }
    // A pause is allowed (a takeover is one), an hour is a jump.
    CHECK(largest < 3600000000000LL);
    show("largest step %lld ns, all %lld ns", (long long)largest, (long long)(mono - before));
    ok("100 readings");
    return 0;
}
