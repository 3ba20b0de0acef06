// rdtsc and rdtscp: the processor's own clock is an input too.
#include "guest.h"
#include <x86intrin.h>

int main(void) {
    unsigned cpu;
    uint64_t first = __rdtsc(), last = first;
    for (int i = 0; i < 20; i++) {
        uint64_t now = i % 2 ? __rdtsc() : __rdtscp(&cpu);
        CHECK(now >= last);
        last = now;
    }
    sleep_ms(2);
    CHECK(__rdtsc() > last);
    show("tsc %llu to %llu", (unsigned long long)first, (unsigned long long)last);
    ok("the time stamp counter does not fall");
    return 0;
}
