// Small files read in every way, again and again: whole, in pieces, beyond the end, by two descriptors, locked, changed meanwhile.
#include "guest.h"
#include <sys/file.h>

enum { TIMES = 12, SIZE = 5000 };

static char content[SIZE];

static void make(const char *name, int size) {
    int fd = SYS(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0640));
    EQ(write(fd, content, size), size);
    SYS(close(fd));
}

// `expect` is what it holds, if that is known.
static void read_all(const char *name, int size, const char *expect) {
    char buffer[SIZE + 100];
    struct stat by_fd, by_name;
    int fd = SYS(open(name, O_RDONLY | O_CLOEXEC));
    SYS(fstat(fd, &by_fd));
    SYS(stat(name, &by_name));
    CHECK(memcmp(&by_fd, &by_name, sizeof by_fd) == 0);
    EQ(by_fd.st_size, size);
    EQ(lseek(fd, 0, SEEK_CUR), 0);
    EQ(read(fd, buffer, sizeof buffer), size);
    CHECK(expect == NULL || memcmp(buffer, expect, size) == 0);
    EQ(read(fd, buffer, sizeof buffer), 0);
    EQ(lseek(fd, -10, SEEK_END), size - 10);
    EQ(read(fd, buffer, 4), 4);
    EQ(lseek(fd, -2, SEEK_CUR), size - 8);
    FAILS(EINVAL, lseek(fd, -size, SEEK_CUR));
    EQ(lseek(fd, 100000, SEEK_SET), 100000);
    EQ(read(fd, buffer, 4), 0);
    EQ(pread(fd, buffer, 7, 3), 7);
    CHECK(expect == NULL || memcmp(buffer, expect + 3, 7) == 0);
    EQ(pread(fd, buffer, 7, size), 0);
    FAILS(EINVAL, pread(fd, buffer, 7, -1));
    FAILS(EFAULT, pread(fd, nowhere, 7, 0));
    FAILS(EFAULT, fstat(fd, nowhere));
    FAILS(EBADF, write(fd, "x", 1));
    EQ(lseek(fd, 0, SEEK_CUR), 100000);
    SYS(close(fd));
    FAILS(EBADF, close(fd));
    FAILS(EBADF, read(fd, buffer, 1));
    FAILS(EBADF, fstat(fd, &by_fd));
}

int main(void) {
    for (int i = 0; i < SIZE; i++) content[i] = i % 251;
    struct stat about;
    SYS(stat("/etc/passwd", &about));
    CHECK(about.st_size > 64 && about.st_size < SIZE);
    for (int i = 0; i < TIMES; i++) {
        // A file of the host's, one of the program's own, one of another size each time.
        int fd = SYS(open("/etc/passwd", O_RDONLY));
        char first[64], again[64];
        EQ(read(fd, first, 64), 64);
        EQ(pread(fd, again, 64, 0), 64);
        CHECK(memcmp(first, again, 64) == 0);
        SYS(close(fd));
        make("own", SIZE);
        read_all("own", SIZE, content);
        read_all("/etc/passwd", about.st_size, NULL);
        make("grows", 100 + i);
        read_all("grows", 100 + i, content);
    }
    ok("read, seek, fstat and close agree");

    for (int i = 0; i < TIMES; i++) {
        char a, b, c;
        int one = SYS(open("/etc/passwd", O_RDONLY)), other = SYS(open("/etc/passwd", O_RDONLY)), same = SYS(dup(one));
        EQ(read(one, &a, 1), 1);
        EQ(read(same, &b, 1), 1);
        EQ(read(other, &c, 1), 1);
        EQ(a, c);
        EQ(lseek(one, 0, SEEK_CUR), 2);
        EQ(lseek(other, 0, SEEK_CUR), 1);
        SYS(close(one));
        EQ(pread(same, &c, 1, 1), 1);
        EQ(b, c);
        // What is closed is used again by another file.
        EQ(SYS(open("own", O_RDONLY)), one);
        EQ(read(one, &a, 1), 1);
        EQ(a, content[0]);
        SYS(close(one));
        SYS(close(other));
        SYS(close(same));
    }
    ok("two descriptors share an offset or do not");

    for (int i = 0; i < TIMES; i++) {
        // A descriptor of a file is no directory, and once it is closed it is nothing.
        struct stat none;
        char c;
        int fd = SYS(open("/etc/passwd", O_RDONLY));
        EQ(read(fd, &c, 1), 1);
        for (int j = 0; j < 6; j++) {
            FAILS(ENOTDIR, fstatat(fd, "x", &none, 0));
            FAILS(ENOTDIR, openat(fd, "x", O_RDONLY));
        }
        umask(022);
        FAILS(ENOTDIR, fstatat(fd, "x", &none, 0));
        SYS(close(fd));
        FAILS(EBADF, fstatat(fd, "x", &none, 0));
        FAILS(EBADF, openat(fd, "x", O_RDONLY));
    }
    ok("a closed file is no directory either");

    int locked = SYS(open("own", O_RDWR));
    for (int i = 0; i < TIMES; i++) {
        SYS(flock(locked, LOCK_EX));
        int fd = SYS(open("own", O_RDONLY));
        char c;
        EQ(pwrite(locked, "Z", 1, i), 1);
        EQ(pread(fd, &c, 1, i), 1);
        EQ(c, 'Z');
        FAILS(EWOULDBLOCK, flock(fd, LOCK_EX | LOCK_NB));
        SYS(close(fd));
        SYS(flock(locked, LOCK_UN));
    }
    SYS(close(locked));
    ok("what is written is read, and locks hold");

    pid_t child = SYS(fork());
    if (child == 0) {
        for (int i = 0; i < TIMES; i++) read_all("/etc/passwd", about.st_size, NULL);
        _exit(0);
    }
    for (int i = 0; i < TIMES; i++) read_all("/etc/passwd", about.st_size, NULL);
    int status;
    EQ(waitpid(child, &status, 0), child);
    EQ(status, 0);
    ok("so it is for two processes at once");
    return 0;
}
