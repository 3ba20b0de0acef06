// A program that lets itself be stopped after every instruction, calls included.
#include "guest.h"
#include <ucontext.h>

enum { TF = 0x100, TIMES = 20, STEPS_MAX = 1 << 16 };

static uintptr_t seen[STEPS_MAX];
static volatile size_t steps, elsewhere;

static void step(int signal, siginfo_t *info, void *context) {
    (void)signal;
    uintptr_t rip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    if (steps < STEPS_MAX) seen[steps] = rip;
    elsewhere += (uintptr_t)info->si_addr != rip;
    steps++;
}

// Both shapes of a call, with the flag set or not; the two results must be alike.
static long both(long flag) {
    long first, second;
    __asm__ volatile(
        "sub $128, %%rsp\n"
        "pushfq\n"
        "or %[flag], (%%rsp)\n"
        "popfq\n"
        "mov $110, %%eax\n"
        "syscall\n"
        "mov %%rax, %[first]\n"
        "mov $110, %%rax\n"
        "syscall\n"
        "cmp $-4096, %%rax\n"
        "pushfq\n"
        "andq $~0x100, (%%rsp)\n"
        "popfq\n"
        "add $128, %%rsp\n"
        : "=&a"(second), [first] "=&r"(first)
        : [flag] "r"(flag)
        : "rcx", "r11", "memory", "cc");
    EQ(first, second);
    return second;
}

int main(void) {
    long parent = getppid();
    on_siginfo(SIGTRAP, step, 0);
    for (int i = 0; i < TIMES; i++) EQ(both(0), parent);
    EQ(steps, 0);
    for (int i = 0; i < TIMES; i++) EQ(both(TF), parent);
    CHECK(steps >= 7 * TIMES);
    EQ(elsewhere, 0);
    CHECK(steps % TIMES == 0);
    size_t once = steps / TIMES;
    for (size_t i = 0; i < once; i++) {
        uintptr_t at = seen[i];
        CHECK(at > (uintptr_t)both && at < (uintptr_t)both + 256);
        for (int n = 1; n < TIMES; n++) EQ(seen[n * once + i], at);
    }
    ok("every step is one of the program's own");
    for (int i = 0; i < TIMES; i++) EQ(both(0), parent);
    EQ(steps, TIMES * once);
    ok("and none when the flag is clear");
    return 0;
}
