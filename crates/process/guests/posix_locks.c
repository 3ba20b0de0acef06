// POSIX record locks: per process, ranges, waiting, lost at any close; OFD locks.
#include "guest.h"

static struct flock range(short type, off_t start, off_t length) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

static int lock(int fd, int command, short type, off_t start, off_t length) {
    struct flock l = range(type, start, length);
    return fcntl(fd, command, &l);
}

// What another process sees of a range: the lock that is in the way.
static struct flock seen_by_child(int fd, short type, off_t start, off_t length) {
    int p[2];
    struct flock l;
    SYS(pipe(p));
    pid_t child = SYS(fork());
    if (child == 0) {
        l = range(type, start, length);
        SYS(fcntl(fd, F_GETLK, &l));
        EQ(write(p[1], &l, sizeof l), sizeof l);
        _exit(0);
    }
    EQ(read(p[0], &l, sizeof l), sizeof l);
    EQ(exit_of(child), 0);
    close(p[0]);
    close(p[1]);
    return l;
}

int main(void) {
    spit("f", "0123456789");
    int fd = SYS(open("f", O_RDWR));
    SYS(lock(fd, F_SETLK, F_WRLCK, 2, 4));
    struct flock l = seen_by_child(fd, F_RDLCK, 0, 10);
    EQ(l.l_type, F_WRLCK);
    EQ(l.l_start, 2);
    EQ(l.l_len, 4);
    EQ(l.l_pid, getpid());
    SYS(lock(fd, F_SETLK, F_UNLCK, 3, 1));
    l = seen_by_child(fd, F_WRLCK, 3, 0);
    EQ(l.l_start, 4);
    EQ(l.l_len, 2);
    EQ(seen_by_child(fd, F_WRLCK, 3, 1).l_type, F_UNLCK);
    SYS(lock(fd, F_SETLK, F_RDLCK, 0, 0));
    EQ(seen_by_child(fd, F_RDLCK, 0, 0).l_type, F_UNLCK);
    EQ(seen_by_child(fd, F_WRLCK, 100, 1).l_type, F_RDLCK);
    ok("ranges, split and changed");

    int other = SYS(open("f", O_RDONLY));
    close(other);
    EQ(seen_by_child(fd, F_WRLCK, 0, 0).l_type, F_UNLCK);
    ok("any close of the file loses them");

    SYS(lock(fd, F_SETLK, F_WRLCK, 0, 1));
    int ready[2];
    char c;
    SYS(pipe(ready));
    pid_t child = SYS(fork());
    if (child == 0) {
        FAILS(EAGAIN, lock(fd, F_SETLK, F_WRLCK, 0, 1));
        EQ(write(ready[1], "x", 1), 1);
        SYS(lock(fd, F_SETLKW, F_WRLCK, 0, 1));
        _exit(0);
    }
    EQ(read(ready[0], &c, 1), 1);
    sleep_ms(5);
    SYS(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    EQ(exit_of(child), 0);
    ok("waited for, released");

    int a = SYS(open("f", O_RDWR)), b = SYS(open("f", O_RDWR));
    SYS(lock(a, F_OFD_SETLK, F_WRLCK, 0, 5));
    FAILS(EAGAIN, lock(b, F_OFD_SETLK, F_WRLCK, 4, 1));
    SYS(lock(b, F_OFD_SETLK, F_WRLCK, 5, 1));
    close(a);
    SYS(lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
    ok("locks of the open file");
    return 0;
}
