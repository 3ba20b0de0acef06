// Code in a file that is written to after it was mapped: what nobody has touched in a private mapping changes with the file.
#include "guest.h"

int main(void) {
    int fd = SYS(open("code", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0700));
    // mov $1,%eax; ret
    unsigned char one[4096] = {0xb8, 1, 0, 0, 0, 0xc3};
    EQ(write(fd, one, sizeof one), sizeof one);
    long (*code)(void) = mmap(NULL, sizeof one, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    CHECK(code != MAP_FAILED);
    EQ(code(), 1);
    // rdtsc; shl $32,%rdx; or %rdx,%rax; ret
    unsigned char tsc[] = {0x0f, 0x31, 0x48, 0xc1, 0xe2, 32, 0x48, 0x09, 0xd0, 0xc3};
    EQ(pwrite(fd, tsc, sizeof tsc, 0), sizeof tsc);
    long first = code(), second = code();
    CHECK(second >= first && first > 1);
    show("tsc %ld %ld", first, second);
    ok("rdtsc in it");
    // A call in it, often enough to be worth something; then another one in its place.
    unsigned char call[] = {0xb8, SYS_getpid, 0, 0, 0, 0x0f, 0x05, 0xc3};
    EQ(pwrite(fd, call, sizeof call, 0), sizeof call);
    for (int i = 0; i < 20; i++) EQ(code(), getpid());
    call[1] = SYS_getppid;
    EQ(pwrite(fd, call, sizeof call, 0), sizeof call);
    for (int i = 0; i < 20; i++) EQ(code(), getppid());
    ok("and calls");
    return 0;
}
