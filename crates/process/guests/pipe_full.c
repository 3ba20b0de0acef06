// A full pipe: EAGAIN, partial writes, a blocked writer, FIONREAD, pipe size.
#include "guest.h"
#include <sys/ioctl.h>

int main(void) {
    int p[2];
    SYS(pipe2(p, O_NONBLOCK));
    char block[4096];
    memset(block, 'x', sizeof block);
    FAILS(EAGAIN, read(p[0], block, 1));
    long total = 0;
    ssize_t r;
    while ((r = write(p[1], block, sizeof block)) > 0) total += r;
    EQ(errno, EAGAIN);
    EQ(total, 65536);
    EQ(fcntl(p[1], F_GETPIPE_SZ), 65536);
    int n = 0;
    SYS(ioctl(p[0], FIONREAD, &n));
    EQ(n, 65536);
    ok("a pipe holds 65536 bytes");

    SYS(fcntl(p[0], F_SETFL, 0));
    SYS(fcntl(p[1], F_SETFL, 0));
    pid_t child = SYS(fork());
    if (child == 0) {
        // Blocks until the parent has read.
        close(p[0]);
        for (int i = 0; i < 40; i++) {
            memset(block, 'a' + i % 26, sizeof block);
            EQ(write(p[1], block, sizeof block), sizeof block);
        }
        _exit(0);
    }
    close(p[1]);
    sleep_ms(10);
    long sum = 0, bytes = 0;
    while ((r = SYS(read(p[0], block, 1000))) > 0) {
        bytes += r;
        for (int i = 0; i < r; i++) sum += block[i];
    }
    EQ(bytes, 65536 + 40 * 4096);
    long expect = 65536L * 'x';
    for (int i = 0; i < 40; i++) expect += 4096L * ('a' + i % 26);
    EQ(sum, expect);
    EQ(exit_of(child), 0);
    ok("a blocked writer goes on when there is room");
    return 0;
}
