// A file of 64 GiB that holds a few bytes, mapped whole: what is looked at is what was written. A thread computes on it, too.
#include "guest.h"

#define SIZE (64L << 30)

static volatile sig_atomic_t fired;
static void note(int signal) { (void)signal; fired = 1; }

int main(void) {
    int fd = SYS(open("f", O_RDWR | O_CREAT, 0600));
    SYS(ftruncate(fd, SIZE));
    EQ(pwrite(fd, "end", 3, SIZE - 3), 3);
    char *m = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(m != MAP_FAILED);
    m[SIZE / 2] = 'x';
    EQ(m[SIZE / 4], 0);
    char byte = 0;
    EQ(pread(fd, &byte, 1, SIZE / 2), 1);
    EQ(byte, 'x');
    EQ(m[SIZE - 1], 'd');
    ok("a few bytes far apart");
    on_signal(SIGALRM, note, 0);
    struct itimerval timer = {{0, 0}, {0, 10000}};
    SYS(setitimer(ITIMER_REAL, &timer, NULL));
    m[SIZE / 8] = 'y';
    for (long i = 0; !fired; i++) m[SIZE / 16] = 'z';
    EQ(pread(fd, &byte, 1, SIZE / 8), 1);
    EQ(byte, 'y');
    EQ(m[SIZE / 16], 'z');
    ok("written while it computes");
    SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, SIZE / 8, 4096));
    EQ(m[SIZE / 8], 0);
    SYS(ftruncate(fd, SIZE / 16));
    SYS(ftruncate(fd, SIZE));
    EQ(m[SIZE / 2] | m[SIZE / 16] | m[SIZE - 1], 0);
    ok("taken away");
    return 0;
}
