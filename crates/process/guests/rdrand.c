// cc: -mrdrnd -mrdseed
// rdrand, rdseed and cpuid: what the processor says is an input.
#include "guest.h"
#include <cpuid.h>
#include <immintrin.h>

int main(void) {
    unsigned a, b, c, d;
    char vendor[13] = "";
    CHECK(__get_cpuid(0, &a, &b, &c, &d));
    memcpy(vendor, &b, 4);
    memcpy(vendor + 4, &d, 4);
    memcpy(vendor + 8, &c, 4);
    show("vendor %s, %u leaves", vendor, a);
    CHECK(__get_cpuid(1, &a, &b, &c, &d));
    // Bits 31..24 of ebx tell which processor we run on right now.
    show("leaf 1 %08x %08x %08x %08x", a, b, c, d);
    CHECK(d & bit_SSE2);
    ok("cpuid");
    if (c & bit_RDRND) {
        unsigned long long x = 0, y = 0;
        while (!_rdrand64_step(&x)) {}
        while (!_rdrand64_step(&y)) {}
        CHECK(x != y);
        show("rdrand %016llx %016llx", x, y);
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_RDSEED)) {
        unsigned long long x = 0;
        while (!_rdseed64_step(&x)) _mm_pause();
        show("rdseed %016llx", x);
    }
    ok("rdrand and rdseed, where there are any");
    return 0;
}
