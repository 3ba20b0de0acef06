// Errors of calls that a program makes by mistake.
#include "guest.h"

int main(void) {
    char c;
    FAILS(EBADF, read(77, &c, 1));
    FAILS(EBADF, write(-1, "x", 1));
    FAILS(EBADF, close(77));
    FAILS(EBADF, lseek(77, 0, SEEK_SET));
    FAILS(EBADF, fcntl(77, F_GETFL));
    struct stat st;
    FAILS(EBADF, fstat(77, &st));
    FAILS(ENOENT, stat("absent", &st));
    FAILS(EFAULT, stat(nowhere, &st));
    FAILS(EFAULT, pipe(nowhere));
    int file = SYS(open("f", O_RDWR | O_CREAT, 0600));
    FAILS(ENOTSOCK, listen(file, 1));
    FAILS(EINVAL, fcntl(0, 9999));
    FAILS(EAFNOSUPPORT, socket(9999, SOCK_STREAM, 0));
    FAILS(EINVAL, pipe2((int[2]){0, 0}, 0x40000000));
    FAILS(ENOSYS, syscall(1000));
    ok("each with its own number");
    return 0;
}
