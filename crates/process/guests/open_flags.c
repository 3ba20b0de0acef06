// open: O_EXCL, O_DIRECTORY, O_PATH, O_TMPFILE, modes of access, fsync and friends.
#include "guest.h"
#include <sys/file.h>
#include <sys/ioctl.h>

#ifndef FIGETBSZ
#define FIGETBSZ _IO(0, 2)
#endif

// What a descriptor of a regular file is asked for besides its bytes.
static void ask(void) {
    int fd = SYS(open("asked", O_RDWR | O_CREAT, 0600)), n = -1;
    EQ(write(fd, "ten bytes.", 10), 10);
    SYS(lseek(fd, 3, SEEK_SET));
    SYS(ioctl(fd, FIONREAD, &n));
    EQ(n, 7);
    SYS(lseek(fd, 12, SEEK_SET));
    SYS(ioctl(fd, FIONREAD, &n));
    EQ(n, -2);
    SYS(ioctl(fd, FIGETBSZ, &n));
    CHECK(n >= 512);
    FAILS(ENOTTY, ioctl(fd, TIOCGWINSZ, &n));
    EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED), 0);
    EQ(posix_fadvise(fd, 0, 0, 99), EINVAL);
    EQ(posix_fadvise(fd, 0, -1, POSIX_FADV_NORMAL), EINVAL);
    struct timespec omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    SYS(utimensat(AT_FDCWD, "absent", omit, 0));
    int p[2];
    SYS(pipe(p));
    SYS(flock(p[0], LOCK_EX));
    SYS(flock(p[0], LOCK_UN));
    FAILS(EINVAL, flock(p[0], 3));
    EQ(fcntl(fd, F_GETOWN), 0);
    EQ(fcntl(fd, F_GETSIG), 0);
    FAILS(EINVAL, fcntl(fd, F_SETSIG, 100));
    ok("questions and advice");
    // With both bits of the access mode a descriptor is good for ioctl alone.
    char byte;
    int neither = SYS(open("asked", 3));
    FAILS(EBADF, read(neither, &byte, 1));
    FAILS(EBADF, write(neither, "x", 1));
    EQ(fcntl(neither, F_GETFL) & O_ACCMODE, 3);
    SYS(ioctl(neither, FIONREAD, &n));
    EQ(n, 10);
    FAILS(EISDIR, open(".", 3));
    SYS(mkfifo("fifo", 0600));
    FAILS(EINVAL, open("fifo", 3));
    ok("neither reading nor writing");
}

int main(void) {
    char text[16];
    FAILS(ENOENT, open("f", O_RDONLY));
    int fd = SYS(open("f", O_WRONLY | O_CREAT | O_EXCL, 0600));
    FAILS(EEXIST, open("f", O_WRONLY | O_CREAT | O_EXCL, 0600));
    EQ(write(fd, "abc", 3), 3);
    FAILS(EBADF, read(fd, text, 1));
    int reader = SYS(open("f", O_RDONLY));
    FAILS(EBADF, write(reader, "x", 1));
    FAILS(ENOTDIR, open("f", O_RDONLY | O_DIRECTORY));
    FAILS(ENOTDIR, open("f/x", O_RDONLY));
    FAILS(EISDIR, open(".", O_WRONLY));
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[299] = 0;
    FAILS(ENAMETOOLONG, open(name, O_RDONLY));
    FAILS(ENOENT, open("", O_RDONLY));
    FAILS(EFAULT, open(nowhere, O_RDONLY));
    ok("exclusive, access modes, errors");
    int path = SYS(open("f", O_PATH));
    FAILS(EBADF, read(path, text, 1));
    struct stat st;
    SYS(fstat(path, &st));
    EQ(st.st_size, 3);
    FAILS(EBADF, fcntl(path, F_SETFL, O_NONBLOCK));
    EQ(fcntl(path, F_GETFL), O_PATH);
    int zero;
    FAILS(EBADF, ioctl(path, FIONREAD, &zero));
    FAILS(EBADF, mmap(NULL, 3, PROT_READ, MAP_PRIVATE, path, 0) == MAP_FAILED ? -1 : 0);
    ok("O_PATH");
    SYS(fsync(fd));
    SYS(fdatasync(fd));
    sync();
    int p[2];
    SYS(pipe(p));
    FAILS(EINVAL, fsync(p[0]));
    ok("fsync, fdatasync, sync");
    int temporary = open(".", O_TMPFILE | O_RDWR, 0600);
    if (temporary >= 0) {
        SYS(fstat(temporary, &st));
        EQ(st.st_nlink, 0);
    } else {
        CHECK(errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT);
    }
    char template[] = "tmp-XXXXXX";
    int made = SYS(mkstemp(template));
    EQ(write(made, "t", 1), 1);
    SYS(unlink(template));
    show("mkstemp chose %s", template);
    ok("temporary files");
    ask();
    return 0;
}
