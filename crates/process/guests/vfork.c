// vfork: the parent waits until the child has exited or executed.
#include "guest.h"

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) {
        ok("executed");
        return 12;
    }
    volatile int seen = 0;
    pid_t child = vfork();
    if (child == 0) {
        seen = 1;
        _exit(3);
    }
    CHECK(child > 0);
    EQ(seen, 1);
    EQ(exit_of(child), 3);
    ok("the parent goes on after the child's exit and sees its write");

    child = vfork();
    if (child == 0) {
        execl("/proc/self/exe", "vfork", "again", NULL);
        _exit(98);
    }
    CHECK(child > 0);
    EQ(exit_of(child), 12);
    ok("the parent goes on after the child's exec");
    show("pid %d", child);
    return 0;
}
