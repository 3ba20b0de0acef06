// cc: -pthread
// sigaltstack: a handler on its own stack survives the overflow of a thread's.
#include "guest.h"

static sigjmp_buf back;
static char *stack;
static volatile int inside;

static void overflow(int signal, siginfo_t *info, void *context) {
    (void)info, (void)context;
    char here;
    inside = &here >= stack && &here < stack + 65536;
    siglongjmp(back, signal);
}

static void note(int signal) {
    (void)signal;
    char here;
    stack_t now;
    sigaltstack(NULL, &now);
    inside = (&here >= stack && &here < stack + 65536) + 2 * (now.ss_flags == SS_ONSTACK);
}

__attribute__((noinline)) static int dig(volatile int n) {
    volatile char room[1024];
    room[n % 1024] = n;
    return n < 0 ? 0 : dig(n + 1) + room[n % 1024];
}

static void *work(void *arg) {
    (void)arg;
    stack_t alt = {.ss_sp = stack, .ss_size = 65536}, old;
    SYS(sigaltstack(&alt, &old));
    EQ(old.ss_flags, SS_DISABLE);
    on_siginfo(SIGSEGV, overflow, SA_ONSTACK);
    int signal = sigsetjmp(back, 1);
    if (signal == 0) die("dug through: %d", dig(0));
    EQ(signal, SIGSEGV);
    EQ(inside, 1);
    ok("a stack overflow is handled");
    on_signal(SIGUSR1, note, SA_ONSTACK);
    SYS(raise(SIGUSR1));
    EQ(inside, 3);
    on_signal(SIGUSR1, note, 0);
    SYS(raise(SIGUSR1));
    EQ(inside, 0);
    stack_t small = {.ss_sp = stack, .ss_size = 10};
    FAILS(ENOMEM, sigaltstack(&small, NULL));
    ok("only with SA_ONSTACK, not too small");
    return NULL;
}

int main(void) {
    stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    pthread_attr_t attributes;
    pthread_t thread;
    PT(pthread_attr_init(&attributes));
    PT(pthread_attr_setstacksize(&attributes, 256 * 1024));
    PT(pthread_create(&thread, &attributes, work, NULL));
    PT(pthread_join(thread, NULL));
    return 0;
}
