// msync, mincore, mlock and madvise: what is not mapped is ENOMEM, wrong flags and addresses EINVAL.
#include "guest.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

static char *m;

static void in_the_hole(void) {
    unsigned char resident[3];
    FAILS(ENOMEM, msync(m, 3 * 4096, MS_ASYNC));
    FAILS(ENOMEM, msync(m + 4096, 4096, MS_SYNC));
    FAILS(ENOMEM, mincore(m, 3 * 4096, resident));
    FAILS(ENOMEM, mlock(m + 4096, 4096));
    FAILS(ENOMEM, munlock(m, 3 * 4096));
    FAILS(ENOMEM, syscall(SYS_mlock2, m + 4096, 4096, 0));
    FAILS(ENOMEM, madvise(m, 3 * 4096, MADV_WILLNEED));
    FAILS(ENOMEM, madvise(m, 3 * 4096, MADV_RANDOM));
    FAILS(ENOMEM, madvise(m, 3 * 4096, MADV_DONTNEED));
    FAILS(ENOMEM, madvise(m + 4096, 4096, MADV_POPULATE_READ));
    ok("not mapped");
}

static void wrong(void) {
    unsigned char resident[3];
    FAILS(EINVAL, msync(m, 4096, MS_SYNC | MS_ASYNC));
    FAILS(EINVAL, msync(m, 4096, 8));
    FAILS(EINVAL, msync(m + 1, 4096, MS_SYNC));
    FAILS(EINVAL, mincore(m + 1, 4096, resident));
    FAILS(EINVAL, mlockall(0));
    FAILS(EINVAL, mlockall(99));
    FAILS(EINVAL, mlockall(4));
    FAILS(EINVAL, syscall(SYS_mlock2, m, 4096, 2));
    FAILS(EINVAL, madvise(m + 1, 4096, MADV_WILLNEED));
    FAILS(EINVAL, madvise(m, -4096L, MADV_WILLNEED));
    FAILS(EINVAL, madvise(m, 4096, 999));
    ok("wrong");
}

int main(void) {
    m = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m != MAP_FAILED);
    memset(m, 'm', 3 * 4096);
    unsigned char resident[4] = {0, 0, 0, 9};
    SYS(mincore(m, 2 * 4096 + 1, resident));
    EQ(resident[0] & resident[1] & resident[2] & 1, 1);
    EQ(resident[3], 9);
    SYS(msync(m, 3 * 4096, MS_ASYNC));
    SYS(msync(m, 4096, MS_SYNC | MS_INVALIDATE));
    SYS(mlock(m + 5, 4096));
    SYS(syscall(SYS_mlock2, m, 4096, 1));
    SYS(munlock(m, 3 * 4096));
    SYS(munlockall());
    SYS(madvise(m, 4095, MADV_SEQUENTIAL));
    SYS(madvise(m, 3 * 4096, MADV_POPULATE_WRITE));
    SYS(madvise(m, 0, MADV_WILLNEED));
    ok("mapped");
    SYS(munmap(m + 4096, 4096));
    in_the_hole();
    wrong();
    return 0;
}
