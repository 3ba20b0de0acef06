// Three alarms reach a loop that makes no call, the first one late: what was computed before it must not put off the others.
#include "guest.h"

static volatile sig_atomic_t fired;
static void note(int signal) { (void)signal; fired++; }

int main(void) {
    on_signal(SIGALRM, note, 0);
    struct itimerval timer = {{0, 10000}, {1, 0}}, off = {0};
    SYS(setitimer(ITIMER_REAL, &timer, NULL));
    while (fired < 3) {}
    SYS(setitimer(ITIMER_REAL, &off, NULL));
    ok("three alarms after a second of silence");
    return 0;
}
