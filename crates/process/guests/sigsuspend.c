// sigsuspend, sigwaitinfo, sigtimedwait: waiting for signals.
#include "guest.h"

static volatile sig_atomic_t got;
static void note(int signal) { got = signal; }

int main(void) {
    sigset_t block = set_of(SIGUSR1), none = set_of(0), now;
    sigaddset(&block, SIGRTMIN);
    on_signal(SIGUSR1, note, 0);
    SYS(sigprocmask(SIG_BLOCK, &block, NULL));
    SYS(raise(SIGUSR1));
    EQ(got, 0);
    FAILS(EINTR, sigsuspend(&none));
    EQ(got, SIGUSR1);
    SYS(sigprocmask(SIG_BLOCK, NULL, &now));
    EQ(sigismember(&now, SIGUSR1), 1);
    ok("sigsuspend takes what is pending and restores the mask");

    pid_t parent = getpid(), child = SYS(fork());
    if (child == 0) {
        sleep_ms(5);
        SYS(sigqueue(parent, SIGRTMIN, (union sigval){.sival_int = 5}));
        _exit(0);
    }
    siginfo_t info;
    sigset_t wanted = set_of(SIGRTMIN);
    EQ(sigwaitinfo(&wanted, &info), SIGRTMIN);
    EQ(info.si_value.sival_int, 5);
    EQ(info.si_pid, child);
    EQ(exit_of(child), 0);
    ok("sigwaitinfo");
    struct timespec time = {0, 2000000};
    int64_t start = now_ns(CLOCK_MONOTONIC);
    FAILS(EAGAIN, sigtimedwait(&wanted, &info, &time));
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 2000000);
    ok("sigtimedwait times out");
    // Several queued: in the order of their numbers, then of their sending.
    for (int i = 0; i < 3; i++) SYS(sigqueue(parent, SIGRTMIN, (union sigval){.sival_int = i}));
    for (int i = 0; i < 3; i++) {
        EQ(sigwaitinfo(&wanted, &info), SIGRTMIN);
        EQ(info.si_value.sival_int, i);
    }
    ok("queued in order");
    return 0;
}
