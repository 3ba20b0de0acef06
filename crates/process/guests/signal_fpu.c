// cc: -mavx -lm
// A handler does not disturb the vector and floating-point state of what it interrupts;
// rounding mode and status survive system calls.
#include "guest.h"
#include <fenv.h>
#include <immintrin.h>

static volatile sig_atomic_t ran;

static void clobber(int signal) {
    (void)signal;
    ran++;
    __asm__ volatile(
        "vpcmpeqd %%xmm0,%%xmm0,%%xmm0\n vpcmpeqd %%xmm5,%%xmm5,%%xmm5\n"
        "vpcmpeqd %%xmm15,%%xmm15,%%xmm15\n fninit\n" ::: "xmm0", "xmm5", "xmm15");
    fesetround(FE_UPWARD);
}

int main(void) {
    if (!__builtin_cpu_supports("avx")) {
        ok("vector registers");
        ok("rounding");
        return 0;
    }
    on_signal(SIGUSR1, clobber, 0);
    float in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {0}, out15[8] = {0};
    long pid = getpid(), result;
    // kill(getpid(), SIGUSR1) with known vector registers around it.
    __asm__ volatile(
        "vmovups (%[in]),%%ymm5\n vmovups (%[in]),%%ymm15\n"
        "mov %[nr],%%eax\n mov %[pid],%%rdi\n mov %[sig],%%esi\n syscall\n"
        "vmovups %%ymm5,(%[out])\n vmovups %%ymm15,(%[out15])\n"
        : "=&a"(result)
        : [in] "r"(in), [out] "r"(out), [out15] "r"(out15), [nr] "i"(SYS_kill), [pid] "r"(pid),
          [sig] "i"(SIGUSR1)
        : "rcx", "r11", "rdi", "rsi", "xmm5", "xmm15", "memory");
    EQ(result, 0);
    EQ(ran, 1);
    EQ(memcmp(in, out, sizeof in), 0);
    EQ(memcmp(in, out15, sizeof in), 0);
    ok("vector registers");

    fesetround(FE_DOWNWARD);
    feclearexcept(FE_ALL_EXCEPT);
    volatile double one = 1, three = 3, third = one / three;
    SYS(raise(SIGUSR1));
    EQ(ran, 2);
    sleep_ms(1);
    EQ(fegetround(), FE_DOWNWARD);
    CHECK(fetestexcept(FE_INEXACT));
    CHECK(third * three < 1);
    ok("rounding");
    return 0;
}
