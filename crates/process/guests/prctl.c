// prctl: names, parent-death signal, dumpable; the name in /proc.
#include "guest.h"
#include <sys/prctl.h>

int main(void) {
    char name[32] = "", text[32];
    SYS(prctl(PR_SET_NAME, "a name that is too long"));
    SYS(prctl(PR_GET_NAME, name));
    EQ(strcmp(name, "a name that is "), 0);
    slurp("/proc/self/comm", text, sizeof text);
    EQ(strcmp(text, "a name that is \n"), 0);
    ok("15 characters of a name");
    int value = -1;
    SYS(prctl(PR_GET_PDEATHSIG, &value));
    EQ(value, 0);
    SYS(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    SYS(prctl(PR_GET_PDEATHSIG, &value));
    EQ(value, SIGUSR1);
    pid_t child = SYS(fork());
    if (child == 0) {
        SYS(prctl(PR_GET_PDEATHSIG, &value));
        EQ(value, 0);
        SYS(prctl(PR_GET_NAME, name));
        EQ(strcmp(name, "a name that is "), 0);
        _exit(0);
    }
    EQ(exit_of(child), 0);
    ok("a child inherits the name, not the signal");
    EQ(prctl(PR_GET_DUMPABLE), 1);
    SYS(prctl(PR_SET_DUMPABLE, 0));
    EQ(prctl(PR_GET_DUMPABLE), 0);
    SYS(prctl(PR_SET_DUMPABLE, 1));
    FAILS(EINVAL, prctl(PR_SET_DUMPABLE, 7));
    FAILS(EINVAL, prctl(0x7fff0000));
    ok("dumpable, unknown");
    char status[4096];
    slurp("/proc/self/status", status, sizeof status);
    char *privileges = strstr(status, "NoNewPrivs:");
    CHECK(privileges != NULL);
    EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), atoi(privileges + strlen("NoNewPrivs:")));
    FAILS(EINVAL, prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SYS(prctl(PR_SET_TIMERSLACK, 1000));
    EQ(prctl(PR_GET_TIMERSLACK), 1000);
    child = SYS(fork());
    if (child == 0) {
        EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
        EQ(prctl(PR_GET_TIMERSLACK), 1000);
        _exit(0);
    }
    EQ(exit_of(child), 0);
    ok("no new privileges, timer slack, of a child too");
    return 0;
}
