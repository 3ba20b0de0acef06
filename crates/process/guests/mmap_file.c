// A mapped file: private and shared views, the tail of the last page, SIGBUS, msync.
#include "guest.h"

static sigjmp_buf back;
static void fault(int signal) { siglongjmp(back, signal); }

int main(void) {
    static char text[6000], now[8192];
    for (size_t i = 0; i < sizeof text; i++) text[i] = 'a' + i % 26;
    int fd = SYS(open("f", O_RDWR | O_CREAT, 0600));
    EQ(write(fd, text, sizeof text), sizeof text);
    char *private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    char *shared = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *second = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 4096);
    CHECK(private != MAP_FAILED && shared != MAP_FAILED && second != MAP_FAILED);
    EQ(memcmp(private, text, sizeof text), 0);
    EQ(memcmp(second, text + 4096, sizeof text - 4096), 0);
    for (int i = 6000; i < 8192; i++) EQ(shared[i], 0);
    ok("contents, offset, zeros behind the end");
    private[0] = 'P';
    shared[1] = 'S';
    EQ(pread(fd, now, 2, 0), 2);
    EQ(now[0], 'a');
    EQ(now[1], 'S');
    EQ(pwrite(fd, "W", 1, 4100), 1);
    EQ(shared[4100], 'W');
    EQ(second[4], 'W');
    ok("a private store stays here, a shared one is in the file, a write is in both maps");
    SYS(msync(shared, 8192, MS_SYNC));
    close(fd);
    SYS(unlink("f"));
    EQ(shared[100], text[100]);
    ok("the map outlives descriptor and name");
    on_signal(SIGBUS, fault, 0);
    volatile char c = 0;
    int signal = sigsetjmp(back, 1);
    if (signal == 0) {
        c = shared[8192];
        die("read %d beyond the end", c);
    }
    EQ(signal, SIGBUS);
    ok("a page beyond the end is SIGBUS");
    int readonly = SYS(open("/proc/self/exe", O_RDONLY));
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, readonly, 0) == MAP_FAILED);
    EQ(errno, EACCES);
    char *elf = mmap(NULL, 4096, PROT_READ, MAP_SHARED, readonly, 0);
    CHECK(elf != MAP_FAILED);
    EQ(memcmp(elf, "\177ELF", 4), 0);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 99, 0) == MAP_FAILED);
    EQ(errno, EBADF);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, readonly, 5) == MAP_FAILED);
    EQ(errno, EINVAL);
    ok("errors");
    return 0;
}
