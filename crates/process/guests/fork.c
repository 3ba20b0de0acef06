// fork: the child is a copy, with its own memory and shared file offsets.
#include "guest.h"

static int counter = 1;

int main(void) {
    pid_t me = getpid();
    int fd = SYS(open("f", O_RDWR | O_CREAT, 0644));
    pid_t child = SYS(fork());
    if (child == 0) {
        EQ(getppid(), me);
        CHECK(getpid() != me);
        counter = 2;
        EQ(write(fd, "child", 5), 5);
        ok("the child has its parent");
        _exit(7);
    }
    EQ(exit_of(child), 7);
    EQ(counter, 1);
    EQ(lseek(fd, 0, SEEK_CUR), 5);
    ok("memory is copied, the offset is shared");

    // Three generations, each counting the generations below it.
    for (int depth = 0;; depth++) {
        pid_t next = SYS(fork());
        if (next != 0) {
            int below = exit_of(next);
            if (depth != 0) _exit(below + 1);
            EQ(below, 3);
            break;
        }
        if (depth == 2) _exit(1);
    }
    ok("three generations");
    show("pids %d %d", me, child);
    return 0;
}
