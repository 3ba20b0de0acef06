// Signals between processes, both ways, in lockstep.
#include "guest.h"

static volatile sig_atomic_t got;
static void note(int signal) { (void)signal; got++; }

int main(void) {
    sigset_t block = set_of(SIGUSR1), old;
    on_signal(SIGUSR1, note, 0);
    SYS(sigprocmask(SIG_BLOCK, &block, &old));
    pid_t parent = getpid(), child = SYS(fork());
    pid_t other = child == 0 ? parent : child;
    for (int turn = 0; turn < 20; turn++) {
        if (child != 0) SYS(kill(other, SIGUSR1));
        while (got <= turn) sigsuspend(&old);
        if (child == 0) SYS(kill(other, SIGUSR1));
    }
    if (child == 0) _exit(got);
    EQ(exit_of(child), 20);
    EQ(got, 20);
    ok("20 signals each way");
    return 0;
}
