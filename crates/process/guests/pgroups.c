// Process groups and sessions: making, asking, signalling a group.
#include "guest.h"

static volatile sig_atomic_t got;
static void note(int signal) { (void)signal; got++; }

int main(int argc, char **argv) {
    if (argc > 1) {
        EQ(write(atoi(argv[1]), "e", 1), 1);
        for (;;) pause();
    }
    int p[2];
    char c;
    SYS(pipe(p));
    on_signal(SIGUSR1, note, SA_RESTART);
    pid_t leader = 0, members[3];
    for (int i = 0; i < 3; i++) {
        members[i] = SYS(fork());
        if (members[i] == 0) {
            SYS(setpgid(0, leader));
            EQ(getpgrp(), leader ? leader : getpid());
            sigset_t block = set_of(SIGUSR1), old;
            SYS(sigprocmask(SIG_BLOCK, &block, &old));
            EQ(write(p[1], "r", 1), 1);
            while (!got) sigsuspend(&old);
            _exit(got);
        }
        EQ(read(p[0], &c, 1), 1);
        if (i == 0) leader = members[0];
        EQ(getpgid(members[i]), leader);
    }
    SYS(kill(-leader, SIGUSR1));
    for (int i = 0; i < 3; i++) EQ(exit_of(members[i]), 1);
    EQ(got, 0);
    ok("a signal to a group reaches all of it and nobody else");
    FAILS(ESRCH, kill(-leader, SIGUSR1));
    pid_t child = SYS(fork());
    if (child == 0) {
        EQ(setsid(), getpid());
        EQ(getsid(0), getpid());
        EQ(getpgrp(), getpid());
        FAILS(EPERM, setsid());
        FAILS(EPERM, setpgid(0, 0));
        _exit(0);
    }
    EQ(exit_of(child), 0);
    CHECK(getsid(0) != child);
    FAILS(ESRCH, getpgid(999999999));
    int status;
    child = SYS(fork());
    if (child == 0) {
        SYS(setsid());
        SYS(raise(SIGTSTP));
        SYS(raise(SIGTTIN));
        SYS(raise(SIGTTOU));
        SYS(raise(SIGSTOP));
        _exit(5);
    }
    EQ(waitpid(child, &status, WUNTRACED), child);
    EQ(WSTOPSIG(status), SIGSTOP);
    SYS(kill(child, SIGCONT));
    EQ(exit_of(child), 5);
    child = SYS(fork());
    if (child == 0) {
        SYS(setpgid(0, 0));
        SYS(raise(SIGTSTP));
        _exit(6);
    }
    EQ(waitpid(child, &status, WUNTRACED), child);
    EQ(WSTOPSIG(status), SIGTSTP);
    SYS(kill(child, SIGCONT));
    EQ(exit_of(child), 6);
    ok("only SIGSTOP stops a group that nobody could continue");
    char to[8];
    snprintf(to, sizeof to, "%d", p[1]);
    child = SYS(fork());
    if (child == 0) {
        execl("/proc/self/exe", argv[0], to, NULL);
        die("exec: %s", strerror(errno));
    }
    EQ(read(p[0], &c, 1), 1);
    FAILS(EACCES, setpgid(child, child));
    SYS(kill(child, SIGKILL));
    EQ(waitpid(child, &status, 0), child);
    ok("a child that has called exec stays in its group");
    show("group %d, own %d, session %d", leader, getpgrp(), getsid(0));
    ok("a session of its own");
    return 0;
}
