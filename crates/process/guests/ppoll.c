// ppoll: a signal that is blocked outside arrives only inside the call.
#include "guest.h"

static volatile sig_atomic_t got;
static void note(int signal) { (void)signal; got++; }

int main(void) {
    sigset_t block = set_of(SIGUSR1), none = set_of(0), now;
    on_signal(SIGUSR1, note, 0);
    SYS(sigprocmask(SIG_BLOCK, &block, NULL));
    int p[2];
    SYS(pipe(p));
    struct pollfd fd = {p[0], POLLIN, 0};
    pid_t parent = getpid(), child = SYS(fork());
    if (child == 0) {
        for (int i = 0; i < 3; i++) {
            SYS(kill(parent, SIGUSR1));
            sleep_ms(5);
        }
        EQ(write(p[1], "end", 3), 3);
        _exit(0);
    }
    int interrupted = 0;
    while (ppoll(&fd, 1, NULL, &none) == -1) {
        EQ(errno, EINTR);
        interrupted++;
        EQ(got, interrupted);
    }
    EQ(fd.revents, POLLIN);
    SYS(sigprocmask(SIG_BLOCK, NULL, &now));
    EQ(sigismember(&now, SIGUSR1), 1);
    EQ(exit_of(child), 0);
    // None, if the last byte was there before we first asked.
    CHECK(got >= 0 && got <= 3);
    show("%d signals", got);
    ok("interrupted once for each signal, then ready");
    struct timespec time = {0, 2000000};
    fd.fd = -1;
    EQ(ppoll(&fd, 1, &time, &block), 0);
    ok("timeout");
    struct timespec zero = {0, 0};
    got = 0;
    fd.fd = p[1];
    fd.events = POLLOUT;
    SYS(raise(SIGUSR1));
    EQ(ppoll(&fd, 1, &zero, &none), 1);
    EQ(got, 0);
    FAILS(EINTR, ppoll(NULL, 0, &zero, &none));
    EQ(got, 1);
    EQ(ppoll(NULL, 0, &zero, &none), 0);
    ok("no time: what is ready comes before a signal, and a signal before nothing");
    return 0;
}
