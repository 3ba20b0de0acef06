// Private memory: copied on write, zeroed, given back, at fixed addresses.
#include "guest.h"

int main(void) {
    char *m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m != MAP_FAILED);
    for (int i = 0; i < 1 << 20; i += 4096) EQ(m[i], 0);
    memset(m, 'p', 1 << 20);
    pid_t child = SYS(fork());
    if (child == 0) {
        for (int i = 0; i < 1 << 20; i += 4096) {
            EQ(m[i], 'p');
            m[i] = 'c';
        }
        _exit(0);
    }
    EQ(exit_of(child), 0);
    for (int i = 0; i < 1 << 20; i++) EQ(m[i], 'p');
    ok("copied on write");
    SYS(madvise(m + 4096, 4096, MADV_DONTNEED));
    EQ(m[4096], 0);
    EQ(m[0], 'p');
    EQ(m[8192], 'p');
    ok("MADV_DONTNEED");
    SYS(munmap(m + 8192, 4096));
    FAILS(ENOMEM, mprotect(m + 8192, 4096, PROT_READ));
    int p[2];
    SYS(pipe(p));
    FAILS(EFAULT, write(p[1], m + 8192, 1));
    char *again = mmap(m + 8192, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(again == m + 8192);
    EQ(again[0], 0);
    ok("a hole, filled again");
    CHECK(mmap(m, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
    EQ(errno, EEXIST);
    CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    EQ(errno, EINVAL);
    ok("errors");
    return 0;
}
