// System call sites of every shape, called again and again: what a call leaves of registers, flags, red zone and memory is the same each time.
#include "guest.h"
#include <ucontext.h>

enum { TIMES = 40 };

// rax, and the flags, of getppid made by `mov $nr,%eax; syscall`, with every other register known before and checked after.
static long numbered(uint64_t flags_in) {
    long result;
    uint64_t flags, rcx, r11, here, red;
    __asm__ volatile(
        "movq $0x5a5a5a5a, -64(%%rsp)\n"
        "sub $128, %%rsp\n"
        "push %[in]\n"
        "popfq\n"
        "lea 128(%%rsp), %%rsp\n"
        "mov $0x1111, %%r8d\n"
        "mov $0x2222, %%r9d\n"
        "mov $0x3333, %%r10d\n"
        "mov $110, %%eax\n"
        "syscall\n"
        "7: lea -128(%%rsp), %%rsp\n"
        "pushfq\n"
        "pop %[flags]\n"
        "lea 128(%%rsp), %%rsp\n"
        "mov -64(%%rsp), %[red]\n"
        "mov %%rcx, %[rcx]\n"
        "mov %%r11, %[r11]\n"
        "lea 7b(%%rip), %[here]\n"
        "sub $0x1111, %%r8\n"
        "sub $0x2222, %%r9\n"
        "sub $0x3333, %%r10\n"
        "or %%r8, %%r9\n"
        "or %%r9, %%r10\n"
        "mov %%r10, %%rdx\n"
        "cld\n"
        : "=&a"(result), [flags] "=&r"(flags), [red] "=&r"(red), [rcx] "=&r"(rcx), [r11] "=&r"(r11), [here] "=&r"(here)
        : [in] "r"(flags_in)
        : "rcx", "r11", "r8", "r9", "r10", "rdx", "memory", "cc");
    EQ(flags & 0xcd5, flags_in & 0xcd5);
    EQ(red, 0x5a5a5a5a);
    EQ(rcx, here);
    EQ(r11 & 0xcd5, flags_in & 0xcd5);
    return result;
}

// The same call through `syscall; cmp $-4096,%rax; ja`.
static long compared(long nr, long a, long b, long c) {
    long result;
    int error;
    __asm__ volatile(
        "syscall\n"
        "cmp $-4096, %%rax\n"
        "seta %%cl\n"
        "movzbl %%cl, %1\n"
        : "=a"(result), "=r"(error)
        : "0"(nr), "D"(a), "S"(b), "d"(c)
        : "rcx", "r11", "memory", "cc");
    EQ(error, result < 0 && result > -4096);
    return result;
}

// A site whose second instruction is jumped to from elsewhere: it must stay as it is.
static long jumped_into(long nr, int skip) {
    long result;
    __asm__ volatile(
        "test %2, %2\n"
        "jnz 8f\n"
        "syscall\n"
        "8: cmp $-4096, %%rax\n"
        : "=a"(result)
        : "0"(nr), "r"(skip)
        : "rcx", "r11", "memory", "cc");
    return result;
}

// What looks like the number, but for a byte before it, is the fifth argument.
static long other_register(long nr) {
    long result;
    __asm__ volatile("mov $110, %%r8d\n"
                     "syscall\n"
                     "nop\n"
                     : "=a"(result)
                     : "0"(nr)
                     : "rcx", "r11", "r8", "memory", "cc");
    return result;
}

// Jumps to the `syscall` of a site, past the `mov`, with another number.
static long entered_late(long nr, int late) {
    long result;
    __asm__ volatile(
        "test %2, %2\n"
        "jnz 6f\n"
        "mov $110, %%eax\n"
        "6: syscall\n"
        : "=a"(result)
        : "0"(nr), "r"(late)
        : "rcx", "r11", "memory", "cc");
    return result;
}

static volatile sig_atomic_t fired, inside;
static void note(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    uint64_t rip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    // Wherever it came, that is code of the program or its libraries, never somewhere else.
    if (rip < 0x1000000) inside = 1;
    fired++;
}

int main(void) {
    long parent = getppid(), me = getpid();
    for (int i = 0; i < TIMES; i++) {
        // Carry, parity, sign, zero, overflow, direction.
        uint64_t flags[] = {0x202, 0x203, 0x206, 0x282, 0x242, 0xa02, 0x602, 0xed7};
        EQ(numbered(flags[i % 8]), parent);
        EQ(compared(SYS_getpid, 0, 0, 0), me);
        // Only the lower half of the number counts.
        EQ(compared(1L << 32 | SYS_getpid, 0, 0, 0), me);
        EQ(compared(1L << 40 | SYS_read, -1, 0, 8), -EBADF);
        EQ(other_register(SYS_getpid), me);
        EQ(jumped_into(SYS_getpid, 0), me);
        EQ(jumped_into(17, 1), 17);
        EQ(entered_late(0, 0), parent);
        EQ(entered_late(SYS_getpid, 1), me);
    }
    ok("registers, flags and red zone are as a call leaves them");

    struct timespec before = {0}, now;
    for (int i = 0; i < TIMES; i++) {
        EQ(compared(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0), 0);
        CHECK(now.tv_sec > before.tv_sec || (now.tv_sec == before.tv_sec && now.tv_nsec >= before.tv_nsec));
        before = now;
        EQ(compared(SYS_clock_gettime, CLOCK_MONOTONIC, 8, 0), -EFAULT);
        EQ(compared(SYS_clock_gettime, CLOCK_REALTIME, -1, 0), -EFAULT);
        EQ(compared(SYS_clock_gettime, 77, (long)&now, 0), -EINVAL);
        time_t first = compared(SYS_time, 0, 0, 0), second = time(NULL);
        CHECK(first <= second && second <= first + 1);
        EQ(compared(SYS_read, -1, (long)&now, 8), -EBADF);
        EQ(compared(SYS_write, 1 << 20, (long)&now, 8), -EBADF);
    }
    // The last eight bytes of a page, and an unmapped one behind it.
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    SYS(munmap(page + 4096, 4096));
    for (int i = 0; i < TIMES; i++) EQ(compared(SYS_clock_gettime, CLOCK_MONOTONIC, (long)page + 4088, 0), -EFAULT);
    ok("clocks go forward, bad pointers are refused");

    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
    SYS(sigaction(SIGALRM, &action, NULL));
    struct itimerval timer = {{0, 2000}, {0, 2000}};
    SYS(setitimer(ITIMER_REAL, &timer, NULL));
    while (fired < 10) {
        EQ(numbered(0x202), parent);
        EQ(compared(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0), 0);
    }
    memset(&timer, 0, sizeof timer);
    SYS(setitimer(ITIMER_REAL, &timer, NULL));
    EQ(inside, 0);
    ok("signals arrive between the calls of a busy loop, and never within one");

    for (int i = 0; i < 3; i++) {
        pid_t child = SYS(i == 1 ? vfork() : fork());
        if (child == 0) _exit(compared(SYS_getpid, 0, 0, 0) == me || numbered(0x202) != me);
        int status;
        EQ(waitpid(child, &status, 0), child);
        EQ(status, 0);
        EQ(compared(SYS_getpid, 0, 0, 0), me);
    }
    ok("a child has an identity of its own");
    return 0;
}
