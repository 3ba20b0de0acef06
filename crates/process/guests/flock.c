// flock: shared and exclusive, held by the open file, waiting for it.
#include "guest.h"
#include <sys/file.h>

int main(void) {
    spit("f", "");
    int a = SYS(open("f", O_RDWR)), b = SYS(open("f", O_RDWR)), copy = SYS(dup(a));
    SYS(flock(a, LOCK_EX));
    FAILS(EWOULDBLOCK, flock(b, LOCK_SH | LOCK_NB));
    SYS(flock(copy, LOCK_EX | LOCK_NB));
    SYS(flock(a, LOCK_SH));
    SYS(flock(b, LOCK_SH | LOCK_NB));
    FAILS(EWOULDBLOCK, flock(a, LOCK_EX | LOCK_NB));
    SYS(flock(b, LOCK_UN));
    SYS(flock(a, LOCK_EX | LOCK_NB));
    ok("exclusive, shared, changed");
    close(a);
    FAILS(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
    int ready[2];
    SYS(pipe(ready));
    pid_t child = SYS(fork());
    if (child == 0) {
        close(copy);
        EQ(write(ready[1], "x", 1), 1);
        SYS(flock(b, LOCK_EX));
        char text[8];
        EQ(slurp("f", text, sizeof text), 5);
        _exit(0);
    }
    char c;
    EQ(read(ready[0], &c, 1), 1);
    sleep_ms(5);
    spit("f", "ready");
    close(copy);
    EQ(exit_of(child), 0);
    ok("the last close of the open file lets the waiter in");
    return 0;
}
