// cc: -fno-toplevel-reorder
// reads: code
// A program that puts its own code elsewhere and back, as those do that want it on huge pages; and that lets the kernel fetch it again.
#include "guest.h"
#include <sys/mman.h>
#include <x86intrin.h>

enum { PAGE = 4096, TIMES = 20 };

#define HOT __attribute__((section("hot"), noinline, noclone))

HOT __attribute__((aligned(4096))) static long compared(long nr, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall\ncmp $-4096, %%rax\n" : "=a"(result) : "0"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory", "cc");
    return result;
}

HOT static long numbered(void) {
    long result;
    __asm__ volatile("mov $110, %%eax\nsyscall\n" : "=a"(result) : : "rcx", "r11", "memory");
    return result;
}

HOT static uint64_t counter(void) { return __rdtsc(); }

// The end of the page.
HOT __attribute__((aligned(4096))) void behind(void) { __asm__ volatile("nop"); }

static uint64_t last;

static void try(const char *what) {
    long me = getpid(), parent = getppid();
    struct timespec now;
    for (int i = 0; i < TIMES; i++) {
        EQ(compared(SYS_getpid, 0, 0, 0), me);
        EQ(numbered(), parent);
        EQ(compared(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0), 0);
        // Never answered in the process: it stops behind the call.
        EQ(compared(SYS_getsid, 0, 0, 0), getsid(0));
        EQ(compared(SYS_read, -1, 0, 1), -EBADF);
        uint64_t c = counter();
        CHECK(c >= last);
        last = c;
    }
    show("counter %llu", (unsigned long long)last);
    ok("%s", what);
}

int main(void) {
    char *page = (char *)((uintptr_t)compared & -PAGE);
    EQ((char *)behind - page, PAGE);
    CHECK((char *)counter > page && (char *)counter < page + PAGE);
    try("as it was loaded");

    // Each page comes from the file again, as it was.
    SYS(madvise(page, PAGE, MADV_DONTNEED));
    try("dropped, and fetched again");

    char *copy = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(copy != MAP_FAILED);
    memcpy(copy, page, PAGE);
    CHECK(mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
    memcpy(page, copy, PAGE);
    SYS(mprotect(page, PAGE, PROT_READ | PROT_EXEC));
    try("copied out, and back into memory of its own");

    SYS(mprotect(copy, PAGE, PROT_READ | PROT_EXEC));
    CHECK(mremap(copy, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page) == page);
    try("a copy moved into its place");

    // Behind the page is nothing: the call fails, but not before it has done the page.
    char *made = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(made != MAP_FAILED);
    SYS(munmap(made + PAGE, PAGE));
    // rdtsc; shl $32,%rdx; or %rdx,%rax; ret
    memcpy(made, (unsigned char[]){0x0f, 0x31, 0x48, 0xc1, 0xe2, 32, 0x48, 0x09, 0xd0, 0xc3}, 10);
    FAILS(ENOMEM, mprotect(made, 2 * PAGE, PROT_READ | PROT_EXEC));
    uint64_t c = ((uint64_t (*)(void))made)();
    CHECK(c >= last);
    show("counter %llu", (unsigned long long)c);
    ok("made executable by a call that failed");
    return 0;
}
