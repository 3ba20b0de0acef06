// Standard output and error by every call that can say something, in turns, often enough for a shortcut to be taken; and by those that cannot.
#include "guest.h"
#include <sys/uio.h>

int main(void) {
    int other = SYS(dup(1));
    char line[64];
    struct stat st;
    SYS(fstat(1, &st));
    bool is_pipe = S_ISFIFO(st.st_mode);
    CHECK(!S_ISSOCK(st.st_mode));
    for (int i = 0; i < 12; i++) {
        int len = sprintf(line, "%d by write\n", i);
        EQ(write(1, line, len), len);
        len = sprintf(line, "%d by another descriptor\n", i);
        EQ(write(other, line, len), len);
        struct iovec pieces[] = {{line, 2}, {"", 0}, {" in pieces\n", 11}};
        EQ(writev(1, pieces, 3), 13);
        EQ(write(2, line, len), len);
        EQ(write(1, line, 0), 0);
        FAILS(EFAULT, write(1, nowhere, 5));
        FAILS(ENOTSOCK, sendto(1, line, len, 0, NULL, 0));
        FAILS(ENOTSOCK, send(2, line, len, MSG_NOSIGNAL));
        if (is_pipe) FAILS(ESPIPE, pwrite(1, line, len, 0));
        if (is_pipe) FAILS(ESPIPE, lseek(1, 0, SEEK_CUR));
        FAILS(EBADF, write(77, line, len));
    }
    ok("all was said by its own descriptor");
    for (int i = 0; i < 4; i++) {
        pid_t child = SYS(fork());
        if (child == 0) {
            for (int j = 0; j < 8; j++) EQ(write(1, "child\n", 6), 6);
            _exit(0);
        }
        int status;
        EQ(waitpid(child, &status, 0), child);
        EQ(status, 0);
        EQ(write(1, "parent\n", 7), 7);
    }
    ok("two processes say things in their order");
    SYS(close(other));
    FAILS(EBADF, write(other, line, 1));
    int file = SYS(open("f", O_RDWR | O_CREAT, 0600));
    int before = SYS(dup(1));
    for (int i = 0; i < 12; i++) {
        EQ(dup2(i % 2 ? before : file, 1), 1);
        EQ(write(1, "here\n", 5), 5);
    }
    EQ(dup2(before, 1), 1);
    EQ(lseek(file, 0, SEEK_END), 30);
    ok("what a number stands for may change between two calls");
    return 0;
}
