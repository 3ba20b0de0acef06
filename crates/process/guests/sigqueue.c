// What a handler is told: code, sender, value, status.
#include "guest.h"

static volatile siginfo_t last;
static volatile sig_atomic_t count;
static void note(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    *(siginfo_t *)&last = *info;
    count++;
}

int main(void) {
    on_siginfo(SIGUSR1, note, 0);
    SYS(kill(getpid(), SIGUSR1));
    EQ(last.si_code, SI_USER);
    EQ(last.si_pid, getpid());
    EQ(last.si_uid, getuid());
    ok("kill");
    SYS(raise(SIGUSR1));
    EQ(last.si_code, SI_TKILL);
    EQ(last.si_pid, getpid());
    ok("raise");
    SYS(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = -9}));
    EQ(last.si_code, SI_QUEUE);
    EQ(last.si_value.sival_int, -9);
    ok("sigqueue");
    pid_t parent = getpid(), child = SYS(fork());
    if (child == 0) {
        SYS(sigqueue(parent, SIGUSR1, (union sigval){.sival_ptr = (void *)&last}));
        _exit(0);
    }
    EQ(exit_of(child), 0);
    EQ(last.si_pid, child);
    CHECK(last.si_value.sival_ptr == (void *)&last);
    EQ(count, 4);
    ok("from another process");
    show("child %d", child);
    return 0;
}
