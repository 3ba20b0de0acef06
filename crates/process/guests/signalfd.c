// signalfd: blocked signals read as bytes, with who sent them.
#include "guest.h"
#include <sys/signalfd.h>

int main(void) {
    sigset_t set = set_of(SIGUSR1);
    sigaddset(&set, SIGCHLD);
    SYS(sigprocmask(SIG_BLOCK, &set, NULL));
    int fd = SYS(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    struct signalfd_siginfo info[4];
    FAILS(EAGAIN, read(fd, info, sizeof info));
    SYS(kill(getpid(), SIGUSR1));
    struct pollfd p = {fd, POLLIN, 0};
    EQ(poll(&p, 1, 0), 1);
    EQ(read(fd, info, sizeof info), sizeof info[0]);
    EQ(info[0].ssi_signo, SIGUSR1);
    EQ(info[0].ssi_code, SI_USER);
    EQ(info[0].ssi_pid, getpid());
    EQ(info[0].ssi_uid, getuid());
    ok("a signal of one's own");
    SYS(fcntl(fd, F_SETFL, 0));
    pid_t child = SYS(fork());
    if (child == 0) _exit(3);
    EQ(read(fd, info, sizeof info), sizeof info[0]);
    EQ(info[0].ssi_signo, SIGCHLD);
    EQ(info[0].ssi_pid, child);
    EQ(info[0].ssi_status, 3);
    EQ(exit_of(child), 3);
    ok("a child's end");
    set = set_of(SIGUSR2);
    SYS(sigprocmask(SIG_BLOCK, &set, NULL));
    EQ(signalfd(fd, &set, 0), fd);
    SYS(raise(SIGUSR1));
    SYS(raise(SIGUSR2));
    EQ(read(fd, info, sizeof info), sizeof info[0]);
    EQ(info[0].ssi_signo, SIGUSR2);
    ok("a changed set");
    return 0;
}
