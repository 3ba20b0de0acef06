// Descriptors: lowest free number, dup, dup2, dup3, F_DUPFD, flags of both kinds.
#include "guest.h"

int main(void) {
    int a = SYS(open("f", O_RDWR | O_CREAT, 0644));
    int b = SYS(dup(a));
    EQ(b, a + 1);
    close(a);
    int c = SYS(open("f", O_RDONLY | O_CLOEXEC));
    EQ(c, a);
    ok("the lowest free number is taken");
    EQ(fcntl(c, F_GETFD), FD_CLOEXEC);
    EQ(fcntl(b, F_GETFD), 0);
    EQ(fcntl(c, F_DUPFD, 50), 50);
    EQ(fcntl(50, F_GETFD), 0);
    EQ(fcntl(c, F_DUPFD_CLOEXEC, 50), 51);
    EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
    SYS(fcntl(51, F_SETFD, 0));
    EQ(fcntl(51, F_GETFD), 0);
    ok("close-on-exec belongs to the descriptor");
    EQ(dup2(b, 60), 60);
    EQ(dup2(b, b), b);
    FAILS(EINVAL, dup3(b, b, 0));
    FAILS(EBADF, dup2(99, 98));
    FAILS(EBADF, dup2(99, 99));
    FAILS(EBADF, close(99));
    ok("dup2 and dup3");
    EQ(write(b, "12345", 5), 5);
    EQ(lseek(60, 0, SEEK_CUR), 5);
    EQ(lseek(c, 0, SEEK_CUR), 0);
    EQ(fcntl(b, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR);
    SYS(fcntl(60, F_SETFL, O_APPEND));
    EQ(fcntl(b, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
    SYS(lseek(b, 0, SEEK_SET));
    EQ(write(b, "6", 1), 1);
    char text[16];
    slurp("f", text, sizeof text);
    EQ(strcmp(text, "123456"), 0);
    ok("offset and status flags belong to the open file");
    // Programs live with a kernel that lacks this one.
    if (close_range(50, 70, 0) != 0) {
        EQ(errno, ENOSYS);
        for (int fd = 50; fd <= 70; fd++) close(fd);
    }
    FAILS(EBADF, fcntl(60, F_GETFD));
    ok("a range is closed");
    return 0;
}
