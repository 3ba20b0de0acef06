// wait4 and waitid: order, options, status, usage, not found.
#include "guest.h"

static pid_t child_that_exits(int status, int hold) {
    pid_t child = SYS(fork());
    if (child == 0) {
        if (hold >= 0) {
            char c;
            while (read(hold, &c, 1) != 0) {}
        }
        _exit(status);
    }
    return child;
}

int main(void) {
    int hold[2], status;
    struct rusage usage;
    siginfo_t info;
    FAILS(ECHILD, wait(NULL));
    SYS(pipe2(hold, O_CLOEXEC));
    pid_t a = SYS(fork());
    if (a == 0) {
        close(hold[1]);
        char c;
        EQ(read(hold[0], &c, 1), 0);
        _exit(1);
    }
    EQ(waitpid(a, &status, WNOHANG), 0);
    info.si_pid = 77;
    EQ(waitid(P_PID, a, &info, WEXITED | WNOHANG), 0);
    EQ(info.si_pid, 0);
    close(hold[1]);
    // Looked at, not taken.
    SYS(waitid(P_PID, a, &info, WEXITED | WNOWAIT));
    EQ(info.si_pid, a);
    EQ(info.si_status, 1);
    EQ(info.si_code, CLD_EXITED);
    EQ(wait4(a, &status, 0, &usage), a);
    EQ(WEXITSTATUS(status), 1);
    FAILS(ECHILD, waitpid(a, &status, 0));
    ok("a running child, then its end");
    pid_t b = child_that_exits(2, -1), c = child_that_exits(3, -1);
    EQ(waitpid(c, &status, 0), c);
    EQ(WEXITSTATUS(status), 3);
    EQ(wait(&status), b);
    EQ(WEXITSTATUS(status), 2);
    ok("the one asked for, then any");
    // In a group of its own.
    pid_t d = SYS(fork());
    if (d == 0) {
        setpgid(0, 0);
        _exit(4);
    }
    setpgid(d, d);
    pid_t e = child_that_exits(5, -1);
    EQ(waitpid(0, &status, 0), e);
    EQ(waitpid(-d, &status, 0), d);
    FAILS(EINVAL, waitpid(-1, &status, 0x100));
    FAILS(EINVAL, waitid(P_ALL, 0, &info, WEXITED | 0x100));
    FAILS(EINVAL, waitid(P_ALL, 0, &info, WNOHANG));
    FAILS(ESRCH, waitpid(INT_MIN, &status, 0));
    ok("by process group");
    EQ(waitid(P_ALL, 0, &info, WEXITED) == -1 && errno == ECHILD, 1);
    show("pids %d %d %d %d %d", a, b, c, d, e);
    return 0;
}
