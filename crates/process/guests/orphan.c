// A child whose parent has ended gets another; a subreaper collects it.
#include "guest.h"
#include <sys/prctl.h>

int main(void) {
    int p[2], status;
    pid_t me = getpid(), grandchild;
    SYS(pipe(p));
    SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t child = SYS(fork());
    if (child == 0) {
        pid_t middle = getpid();
        if (SYS(fork()) == 0) {
            while (getppid() == middle) sleep_ms(1);
            EQ(getppid(), me);
            grandchild = getpid();
            EQ(write(p[1], &grandchild, sizeof grandchild), sizeof grandchild);
            _exit(6);
        }
        _exit(1);
    }
    EQ(exit_of(child), 1);
    EQ(read(p[0], &grandchild, sizeof grandchild), sizeof grandchild);
    EQ(wait(&status), grandchild);
    EQ(WEXITSTATUS(status), 6);
    ok("the orphan's new parent is the subreaper");
    show("pids %d %d", child, grandchild);
    return 0;
}
