// A signal reaches a loop that makes no call.
#include "guest.h"

static volatile sig_atomic_t fired;
static void note(int signal) { (void)signal; fired++; }

int main(void) {
    on_signal(SIGALRM, note, 0);
    struct itimerval timer = {{0, 10000}, {0, 10000}}, off = {0};
    SYS(setitimer(ITIMER_REAL, &timer, NULL));
    volatile uint64_t turns = 0;
    while (fired < 3) turns++;
    SYS(setitimer(ITIMER_REAL, &off, NULL));
    show("%llu turns", (unsigned long long)turns);
    ok("three alarms in a loop");
    return 0;
}
