// clone with CLONE_PARENT: a sibling, whose end their parent is told.
#include "guest.h"

static pid_t clone_as(unsigned long flags) { return syscall(SYS_clone, flags, 0, 0, 0, 0); }

int main(void) {
    int p[2], status;
    pid_t me = getpid(), sibling;
    SYS(pipe(p));
    pid_t child = SYS(fork());
    if (child == 0) {
        sibling = SYS(clone_as(CLONE_PARENT | SIGUSR1));
        if (sibling == 0) {
            EQ(getppid(), me);
            _exit(4);
        }
        FAILS(ECHILD, waitpid(sibling, NULL, __WALL));
        EQ(write(p[1], &sibling, sizeof sibling), sizeof sibling);
        _exit(3);
    }
    EQ(read(p[0], &sibling, sizeof sibling), sizeof sibling);
    EQ(exit_of(child), 3);
    // The signal of its end is that of the caller's.
    EQ(waitpid(sibling, &status, 0), sibling);
    EQ(WEXITSTATUS(status), 4);
    show("pids %d %d", child, sibling);
    ok("a child of its parent's parent");
    return 0;
}
