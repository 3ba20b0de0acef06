// /dev/null, zero, full, urandom.
#include "guest.h"

int main(void) {
    char text[64];
    memset(text, 7, sizeof text);
    int null = SYS(open("/dev/null", O_RDWR)), zero = SYS(open("/dev/zero", O_RDWR));
    EQ(write(null, text, 64), 64);
    EQ(read(null, text, 64), 0);
    EQ(read(zero, text, 64), 64);
    for (int i = 0; i < 64; i++) EQ(text[i], 0);
    int full = SYS(open("/dev/full", O_RDWR));
    FAILS(ENOSPC, write(full, "x", 1));
    struct stat st;
    SYS(fstat(null, &st));
    CHECK(S_ISCHR(st.st_mode));
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
    CHECK(map != MAP_FAILED);
    EQ(map[5000], 0);
    map[5000] = 1;
    ok("null, zero, full");
    // Shared, it is memory without a name.
    char *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
    CHECK(shared != MAP_FAILED);
    char *other = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
    CHECK(other != MAP_FAILED);
    pid_t child = SYS(fork());
    if (child == 0) {
        shared[5000] = 1;
        _exit(0);
    }
    EQ(exit_of(child), 0);
    EQ(shared[5000], 1);
    EQ(other[5000], 0);
    ok("zero, shared");
    uint64_t a = 0, b = 0;
    int random = SYS(open("/dev/urandom", O_RDONLY));
    EQ(read(random, &a, 8), 8);
    EQ(read(random, &b, 8), 8);
    CHECK(a != b);
    ok("urandom");
    show("%016llx %016llx", (unsigned long long)a, (unsigned long long)b);
    return 0;
}
