// readv, writev, preadv, pwritev, pread, pwrite.
#include "guest.h"

int main(void) {
    int fd = SYS(open("f", O_RDWR | O_CREAT, 0600));
    struct iovec out[] = {{"one", 3}, {"", 0}, {"two", 3}, {"three", 5}};
    EQ(writev(fd, out, 4), 11);
    EQ(lseek(fd, 0, SEEK_CUR), 11);
    EQ(pwritev(fd, out, 1, 8), 3);
    char a[4] = "", b[16] = "";
    struct iovec in[] = {{a, 3}, {b, 15}};
    EQ(preadv(fd, in, 2, 0), 11);
    EQ(strcmp(a, "one"), 0);
    EQ(strcmp(b, "twothone"), 0);
    EQ(lseek(fd, 0, SEEK_CUR), 11);
    EQ(pwrite(fd, "ZZ", 2, 0), 2);
    EQ(lseek(fd, 3, SEEK_SET), 3);
    EQ(readv(fd, in, 2), 8);
    EQ(lseek(fd, 0, SEEK_CUR), 11);
    EQ(memcmp(a, "two", 3), 0);
    EQ(memcmp(b, "thone", 5), 0);
    EQ(pread(fd, a, 3, 0), 3);
    EQ(memcmp(a, "ZZe", 3), 0);
    ok("pieces in order, positions kept or moved");
    volatile int minus_one = -1;
    FAILS(EINVAL, readv(fd, in, minus_one));
    FAILS(EINVAL, pread(fd, a, 1, -1));
    FAILS(EFAULT, write(fd, nowhere, 4));
    struct iovec bad[] = {{"ok", 2}, {nowhere, 2}};
    int p[2];
    SYS(pipe(p));
    EQ(lseek(fd, 0, SEEK_SET), 0);
    FAILS(EFAULT, read(fd, nowhere, 4));
    EQ(lseek(fd, 0, SEEK_CUR), 0);
    show("a bad piece behind a good one gives %zd", writev(p[1], bad, 2));
    ok("errors");
    return 0;
}
