// Handlers for faults: address and code, jumping out, going on behind the instruction.
#include "guest.h"
#include <ucontext.h>

static sigjmp_buf back;
static volatile siginfo_t last;

static void leave(int signal, siginfo_t *info, void *context) {
    (void)context;
    *(siginfo_t *)&last = *info;
    siglongjmp(back, signal);
}

// Skips the two bytes of ud2.
static void skip(int signal, siginfo_t *info, void *context) {
    (void)signal;
    *(siginfo_t *)&last = *info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 4711;
}

int main(void) {
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    on_siginfo(SIGSEGV, leave, 0);
    on_siginfo(SIGFPE, leave, 0);
    for (int i = 0; i < 3; i++)
        if (sigsetjmp(back, 1) == 0) {
            *(volatile char *)nowhere = 1;
            die("stored at 8");
        }
    CHECK(last.si_addr == nowhere);
    EQ(last.si_code, SEGV_MAPERR);
    int signal = sigsetjmp(back, 1);
    if (signal == 0) {
        *(volatile char *)(page + 123) = 1;
        die("stored in a read-only page");
    }
    EQ(signal, SIGSEGV);
    CHECK(last.si_addr == page + 123);
    EQ(last.si_code, SEGV_ACCERR);
    ok("nothing there, not allowed");
    if (sigsetjmp(back, 1) == 0) {
        *(volatile char *)0xff00000000000000 = 1;
        die("stored outside all memory");
    }
    EQ(last.si_code, SI_KERNEL);
    ok("an address that cannot be");
    volatile int zero = 0, one = 1;
    signal = sigsetjmp(back, 1);
    if (signal == 0) {
        one = one / zero;
        die("divided by zero");
    }
    EQ(signal, SIGFPE);
    EQ(last.si_code, FPE_INTDIV);
    ok("division by zero");
    on_siginfo(SIGILL, skip, 0);
    long rax;
    __asm__ volatile("xor %%eax,%%eax\n ud2\n" : "=a"(rax)::"memory");
    EQ(rax, 4711);
    EQ(last.si_code, ILL_ILLOPN);
    on_siginfo(SIGTRAP, skip, 0);
    __asm__ volatile("xor %%eax,%%eax\n int3\n .byte 0x0f,0x0b\n" : "=a"(rax)::"memory");
    EQ(rax, 4711);
    EQ(last.si_signo, SIGTRAP);
    ok("ud2 and int3: the handler changes registers");

    pid_t child = SYS(fork());
    if (child == 0) {
        on_signal(SIGSEGV, SIG_DFL, 0);
        *(volatile char *)nowhere = 1;
        _exit(0);
    }
    int status;
    EQ(waitpid(child, &status, 0), child);
    EQ(WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGSEGV);
    child = SYS(fork());
    if (child == 0) {
        // A fault whose signal is blocked or ignored ends the process all the same.
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        *(volatile char *)nowhere = 1;
        _exit(0);
    }
    EQ(waitpid(child, &status, 0), child);
    EQ(WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGSEGV);
    ok("by default, and when blocked, it ends the process");
    return 0;
}
