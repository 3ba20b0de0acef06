// Stopping and continuing a child, and how wait tells.
#include "guest.h"

static volatile int code, value;
static void note(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    code = info->si_code;
    value = info->si_status;
}

int main(void) {
    int p[2], next[2], status;
    SYS(pipe(p));
    SYS(pipe(next));
    pid_t child = SYS(fork());
    if (child == 0) {
        for (char c = 'a';; c++) {
            if (write(p[1], &c, 1) != 1) _exit(1);
            raise(SIGSTOP);
            // The next stop would overwrite the news that we were continued.
            if (read(next[0], &c, 1) != 1) _exit(2);
        }
    }
    char c;
    for (int i = 0; i < 3; i++) {
        EQ(waitpid(child, &status, WUNTRACED), child);
        CHECK(WIFSTOPPED(status));
        EQ(WSTOPSIG(status), SIGSTOP);
        EQ(read(p[0], &c, 1), 1);
        EQ(c, 'a' + i);
        EQ(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
        SYS(kill(child, SIGCONT));
        siginfo_t info;
        SYS(waitid(P_PID, child, &info, WCONTINUED));
        EQ(info.si_code, CLD_CONTINUED);
        EQ(write(next[1], &c, 1), 1);
    }
    ok("stopped, told, continued, three times");
    EQ(waitpid(child, &status, WUNTRACED), child);
    SYS(kill(child, SIGTERM));
    SYS(kill(child, SIGKILL));
    EQ(waitpid(child, &status, 0), child);
    EQ(WTERMSIG(status), SIGKILL);
    ok("a stopped child can be killed");

    on_siginfo(SIGCHLD, note, SA_RESTART);
    sigset_t block = set_of(SIGCHLD), old;
    SYS(sigprocmask(SIG_BLOCK, &block, &old));
    child = SYS(fork());
    if (child == 0)
        for (;;) pause();
    SYS(kill(child, SIGSTOP));
    while (code != CLD_STOPPED) sigsuspend(&old);
    EQ(value, SIGSTOP);
    SYS(kill(child, SIGCONT));
    while (code != CLD_CONTINUED) sigsuspend(&old);
    EQ(value, SIGCONT);
    ok("SIGCHLD tells of a stop and of its end");
    on_siginfo(SIGCHLD, note, SA_RESTART | SA_NOCLDSTOP);
    code = 0;
    SYS(kill(child, SIGSTOP));
    EQ(waitpid(child, &status, WUNTRACED), child);
    SYS(kill(child, SIGCONT));
    EQ(waitpid(child, &status, WCONTINUED), child);
    sigset_t pending;
    SYS(sigpending(&pending));
    EQ(sigismember(&pending, SIGCHLD), 0);
    SYS(kill(child, SIGKILL));
    while (code != CLD_KILLED) sigsuspend(&old);
    EQ(waitpid(child, &status, 0), child);
    EQ(WTERMSIG(status), SIGKILL);
    ok("with SA_NOCLDSTOP of its death only");
    return 0;
}
