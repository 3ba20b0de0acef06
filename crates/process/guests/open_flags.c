// open: O_EXCL, O_DIRECTORY, O_PATH, O_TMPFILE, modes of access, fsync and friends.
#include "guest.h"

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
    EQ(fcntl(path, F_GETFL) & O_PATH, O_PATH);
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
    return 0;
}
