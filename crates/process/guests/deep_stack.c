// The stack grows by being used, up to megabytes.
#include "guest.h"

__attribute__((noinline)) static uint64_t down(int depth) {
    volatile unsigned char room[2048];
    for (int i = 0; i < 2048; i += 64) room[i] = depth + i;
    uint64_t below = depth ? down(depth - 1) : 0;
    uint64_t sum = 0;
    for (int i = 0; i < 2048; i += 64) sum += room[i];
    return below * 31 + sum;
}

int main(void) {
    struct rlimit limit;
    SYS(getrlimit(RLIMIT_STACK, &limit));
    show("limit %lld", (long long)limit.rlim_cur);
    uint64_t first = down(1500);
    EQ(first == down(1500), 1);
    ok("three megabytes of frames: %016llx", (unsigned long long)first);
    pid_t child = SYS(fork());
    if (child == 0) _exit(down(2500) == 0);
    EQ(exit_of(child), 0);
    ok("deeper in a child");
    return 0;
}
