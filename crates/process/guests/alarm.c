// alarm: one signal after whole seconds; a new one replaces it; a child has none.
#include "guest.h"

static volatile sig_atomic_t fired;
static void note(int signal) { (void)signal; fired++; }

int main(void) {
    sigset_t block = set_of(SIGALRM), old;
    on_signal(SIGALRM, note, 0);
    SYS(sigprocmask(SIG_BLOCK, &block, &old));
    EQ(alarm(100), 0);
    pid_t child = SYS(fork());
    if (child == 0) _exit(alarm(0));
    EQ(exit_of(child), 0);
    unsigned left = alarm(1);
    CHECK(left >= 90 && left <= 100);
    int64_t start = now_ns(CLOCK_MONOTONIC);
    while (!fired) sigsuspend(&old);
    int64_t took = now_ns(CLOCK_MONOTONIC) - start;
    CHECK(took > 900000000);
    EQ(fired, 1);
    ok("one alarm after a second");
    alarm(50);
    CHECK(alarm(0) > 40);
    EQ(alarm(0), 0);
    ok("cancelled");
    show("took %lld ns", (long long)took);
    return 0;
}
