// Signals across execve: ignored ones stay ignored, caught ones go back to default,
// the mask and what is pending are kept.
#include "guest.h"

static void nothing(int signal) { (void)signal; }

int main(int argc, char **argv) {
    (void)argv;
    struct sigaction old;
    sigset_t set;
    if (argc > 1) {
        SYS(sigaction(SIGUSR1, NULL, &old));
        CHECK(old.sa_handler == SIG_IGN);
        SYS(sigaction(SIGUSR2, NULL, &old));
        CHECK(old.sa_handler == SIG_DFL);
        ok("dispositions");
        SYS(sigprocmask(SIG_BLOCK, NULL, &set));
        EQ(sigismember(&set, SIGTERM), 1);
        EQ(sigismember(&set, SIGUSR2), 0);
        SYS(sigpending(&set));
        EQ(sigismember(&set, SIGTERM), 1);
        ok("mask and pending");
        set = set_of(SIGTERM);
        int signal;
        PT(sigwait(&set, &signal));
        EQ(signal, SIGTERM);
        return 0;
    }
    on_signal(SIGUSR1, SIG_IGN, 0);
    on_signal(SIGUSR2, nothing, 0);
    set = set_of(SIGTERM);
    SYS(sigprocmask(SIG_BLOCK, &set, NULL));
    SYS(raise(SIGTERM));
    execl("/proc/self/exe", "x", "again", NULL);
    die("exec: %s", strerror(errno));
}
