// Buffers of which only a part is memory: what of a call's bytes is moved then, and that none is lost.
#include "guest.h"
#include <sys/ioctl.h>

// Five bytes, and nothing behind them.
static char *edge(int protection) {
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    memcpy(pages + 4091, "abcde", 5);
    if (protection == PROT_NONE) SYS(munmap(pages + 4096, 4096));
    else SYS(mprotect(pages + 4096, 4096, protection));
    return pages + 4091;
}

static void stream(const char *what, int from, int to, char *in, char *out) {
    char text[32] = "";
    int waiting;
    for (int i = 0; i < 8; i++) {
        EQ(write(to, "0123456789", 10), 10);
        FAILS(EFAULT, read(from, in, 10));
        FAILS(EFAULT, read(from, nowhere, 10));
        struct iovec pieces[] = {{text, 4}, {in, 10}};
        FAILS(EFAULT, readv(from, pieces, 2));
        SYS(ioctl(from, FIONREAD, &waiting));
        EQ(waiting, 10);
        EQ(read(from, in, 5), 5);
        EQ(memcmp(in, "01234", 5), 0);
        EQ(read(from, text, sizeof text), 5);
        EQ(memcmp(text, "56789", 5), 0);
        FAILS(EFAULT, write(to, out, 10));
        SYS(ioctl(from, FIONREAD, &waiting));
        EQ(waiting, 0);
    }
    ok("%s keeps what could not be stored", what);
}

int main(void) {
    char *in = edge(PROT_READ), *out = edge(PROT_NONE), text[32] = "";
    int fd = SYS(open("f", O_RDWR | O_CREAT, 0600));
    for (int i = 0; i < 8; i++) {
        EQ(pwrite(fd, "0123456789", 10, 0), 10);
        EQ(lseek(fd, 2, SEEK_SET), 2);
        EQ(read(fd, in, 8), 5);
        EQ(memcmp(in, "23456", 5), 0);
        EQ(lseek(fd, 0, SEEK_CUR), 7);
        EQ(pread(fd, in, 10, 0), 5);
        EQ(pwrite(fd, out, 10, 0), 5);
        EQ(pread(fd, text, 10, 0), 10);
        EQ(memcmp(text, "abcde56789", 10), 0);
        struct iovec pieces[] = {{text, 3}, {nowhere, 3}, {text, 3}};
        EQ(preadv(fd, pieces, 3, 0), 3);
        EQ(pwritev(fd, pieces, 3, 0), 3);
        FAILS(EFAULT, pread(fd, nowhere, 3, 0));
        FAILS(EFAULT, pwrite(fd, nowhere, 3, 0));
    }
    ok("files move what there is room for");
    int ends[2];
    SYS(pipe(ends));
    stream("a pipe", ends[0], ends[1], in, out);
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    stream("a socket", ends[0], ends[1], in, out);
    // Of the number of pieces the kernel looks at the lower half.
    struct iovec pieces[] = {{"one", 3}, {"two", 3}};
    for (int i = 0; i < 8; i++) {
        EQ(syscall(SYS_writev, ends[1], pieces, (1UL << 32) + 2), 6);
        EQ(read(ends[0], text, sizeof text), 6);
    }
    ok("four milliards and two pieces are two");
    return 0;
}
