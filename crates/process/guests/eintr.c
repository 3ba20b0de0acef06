// A blocking call and a signal: EINTR without SA_RESTART, carried on with it.
#include "guest.h"

static int p[2];
static volatile sig_atomic_t fired;
static void note(int signal) { (void)signal; fired++; }
static void feed(int signal) {
    (void)signal;
    if (fired++ == 2 && write(p[1], "x", 1) != 1) _exit(97);
}

static void ticks(long us) {
    struct itimerval timer = {{0, us}, {0, us}};
    SYS(setitimer(ITIMER_REAL, &timer, NULL));
}

int main(void) {
    char c;
    SYS(pipe(p));
    on_signal(SIGALRM, note, 0);
    ticks(3000);
    FAILS(EINTR, read(p[0], &c, 1));
    struct pollfd waits = {p[0], POLLIN, 0};
    FAILS(EINTR, poll(&waits, 1, -1));
    struct timespec time = {100, 0}, left = {0};
    FAILS(EINTR, nanosleep(&time, &left));
    CHECK(left.tv_sec >= 90);
    pid_t child = SYS(fork());
    if (child == 0)
        for (;;) pause();
    FAILS(EINTR, waitpid(child, NULL, 0));
    CHECK(fired >= 4);
    ok("read, poll, nanosleep and wait are interrupted");

    ticks(0);
    fired = 0;
    on_signal(SIGALRM, feed, SA_RESTART);
    ticks(3000);
    EQ(read(p[0], &c, 1), 1);
    CHECK(fired >= 3);
    // poll is never restarted, whatever the flag.
    FAILS(EINTR, poll(&waits, 1, -1));
    ticks(0);
    ok("with SA_RESTART read goes on, poll does not");
    SYS(kill(child, SIGKILL));
    EQ(waitpid(child, NULL, 0), child);
    return 0;
}
