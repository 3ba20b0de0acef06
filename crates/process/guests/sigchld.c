// SIGCHLD: who ended and how; ignored children leave no status.
#include "guest.h"

static volatile int codes[8], statuses[8];
static volatile pid_t pids[8];
static volatile sig_atomic_t count;
static void note(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    codes[count] = info->si_code;
    statuses[count] = info->si_status;
    pids[count++] = info->si_pid;
}

int main(void) {
    sigset_t block = set_of(SIGCHLD), old;
    SYS(sigprocmask(SIG_BLOCK, &block, &old));
    on_siginfo(SIGCHLD, note, 0);
    pid_t first = SYS(fork());
    if (first == 0) _exit(9);
    while (count < 1) sigsuspend(&old);
    EQ(codes[0], CLD_EXITED);
    EQ(statuses[0], 9);
    EQ(pids[0], first);
    EQ(exit_of(first), 9);
    pid_t second = SYS(fork());
    if (second == 0)
        for (;;) pause();
    SYS(kill(second, SIGTERM));
    while (count < 2) sigsuspend(&old);
    EQ(codes[1], CLD_KILLED);
    EQ(statuses[1], SIGTERM);
    int status;
    EQ(waitpid(second, &status, 0), second);
    EQ(WTERMSIG(status), SIGTERM);
    ok("exited and killed");

    on_signal(SIGCHLD, SIG_IGN, 0);
    pid_t child = SYS(fork());
    if (child == 0) _exit(1);
    FAILS(ECHILD, waitpid(child, &status, 0));
    FAILS(ECHILD, wait(&status));
    ok("ignored: wait waits for the end and finds nothing");
    show("pids %d %d %d", first, second, child);
    return 0;
}
