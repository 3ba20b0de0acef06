// Signals reach loops that make no call: compiled, in registers only, and written at run time. The handler sees what was counted.
#include "guest.h"
#include <alloca.h>
#include <ucontext.h>

static sigjmp_buf out;
static volatile uint64_t counted;

// Each loop counts in rbx.
static void leave(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)info;
    counted = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RBX];
    if (counted) siglongjmp(out, 1);
    // It is not in its loop yet.
    struct itimerval timer = {{0, 0}, {0, 5000}};
    SYS(setitimer(ITIMER_REAL, &timer, NULL));
}

static volatile sig_atomic_t noted;
static void note(int signal) { (void)signal; noted = 1; }

static void in_c(void) {
    volatile uint64_t turns = 0;
    do turns++;
    while (!noted);
    show("%llu turns in C", (unsigned long long)turns);
}

static void in_registers(void) {
    __asm__ volatile("xor %%ebx,%%ebx\n1: inc %%rbx\njmp 1b" ::: "rbx", "cc");
}

static void (*at_run_time)(void);

// push %rbx; xor %ebx,%ebx; 1: inc %rbx; jmp 1b
static const unsigned char code[] = {0x53, 0x31, 0xdb, 0x48, 0xff, 0xc3, 0xeb, 0xfb};

// What is on the stack where the frame of the next signal will be: not all of it is written over.
static __attribute__((noinline)) void litter(void) {
    unsigned char below[32768];
    memset(below, 0x5a, sizeof below);
    __asm__ volatile("" ::"r"(below) : "memory");
}

static void by_timer(void) {
    litter();
    struct itimerval timer = {{0, 0}, {0, 5000}};
    SYS(setitimer(ITIMER_REAL, &timer, NULL));
}

static pid_t by_child(int signal) {
    litter();
    pid_t parent = getpid(), child = SYS(fork());
    if (child == 0) {
        sleep_ms(3);
        SYS(kill(parent, signal));
        _exit(0);
    }
    return child;
}

int main(void) {
    at_run_time = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at_run_time != MAP_FAILED);
    memcpy((void *)at_run_time, code, sizeof code);

    on_signal(SIGALRM, note, 0);
    on_signal(SIGUSR1, note, 0);
    by_timer();
    in_c();
    noted = 0;
    pid_t child = by_child(SIGUSR1);
    in_c();
    EQ(exit_of(child), 0);
    ok("a loop in C, by a timer and by another process");

    // The frame of the signal begins at another place of a page each time.
    for (int depth = 0; depth < 8192; depth += 1024) {
        volatile char *room = alloca(depth + 16);
        room[0] = 0;
        noted = 0;
        by_timer();
        in_c();
    }
    ok("frames wherever they begin");

    on_siginfo(SIGALRM, leave, 0);
    on_siginfo(SIGUSR1, leave, 0);
    void (*const loops[])(void) = {in_registers, at_run_time};
    for (int i = 0; i < 2; i++) {
        for (int by = 0; by < 2; by++) {
            child = 0;
            counted = 0;
            if (!sigsetjmp(out, 1)) {
                if (by) child = by_child(SIGUSR1);
                else by_timer();
                loops[i]();
            }
            CHECK(counted > 0);
            if (child) EQ(exit_of(child), 0);
            show("%llu turns", (unsigned long long)counted);
        }
        ok("a loop %s", i ? "written at run time" : "in registers");
    }
    return 0;
}
