// Two processes that wait for each other's record lock: the second is told EDEADLK.
#include "guest.h"

static int lock(int fd, int command, short type, off_t start) {
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};
    return fcntl(fd, command, &l);
}

int main(void) {
    int fd = SYS(open("f", O_RDWR | O_CREAT, 0600)), ready[2];
    char c;
    SYS(pipe(ready));
    SYS(lock(fd, F_SETLK, F_WRLCK, 0));
    pid_t child = SYS(fork());
    if (child == 0) {
        SYS(lock(fd, F_SETLK, F_WRLCK, 1));
        EQ(write(ready[1], "x", 1), 1);
        if (lock(fd, F_SETLKW, F_WRLCK, 0) == 0) _exit(0);
        EQ(errno, EDEADLK);
        // Exiting gives the parent what it waits for.
        _exit(1);
    }
    EQ(read(ready[0], &c, 1), 1);
    int here = lock(fd, F_SETLKW, F_WRLCK, 1);
    if (here == -1) EQ(errno, EDEADLK);
    SYS(lock(fd, F_SETLK, F_UNLCK, 0));
    // Exactly one side is told: 0 here means that the child was, and gave way.
    EQ(exit_of(child), here == 0);
    ok("one of the two is told");
    return 0;
}
