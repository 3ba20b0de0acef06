// Jumps: setjmp over frames, out of handlers with the mask, user contexts.
#include "guest.h"
#include <ucontext.h>

static jmp_buf far;
static sigjmp_buf out;
static ucontext_t main_context, coroutine;
static int steps[8], count;

__attribute__((noinline)) static void down(volatile int depth) {
    volatile char room[256];
    room[depth] = depth;
    if (depth == 20) longjmp(far, 20);
    if (depth < 30) down(depth + 1);
    CHECK(room[depth] == depth);
}

static void handler(int signal) { siglongjmp(out, signal); }

static void run(void) {
    for (int i = 0; i < 3; i++) {
        steps[count++] = i;
        swapcontext(&coroutine, &main_context);
    }
}

int main(void) {
    volatile int kept = 3;
    int r = setjmp(far);
    if (r == 0) {
        kept = 4;
        down(0);
    }
    EQ(r, 20);
    EQ(kept, 4);
    ok("over twenty frames");
    on_signal(SIGUSR1, handler, 0);
    for (volatile int i = 0; i < 3; i++)
        if (sigsetjmp(out, 1) == 0) {
            raise(SIGUSR1);
            die("behind the jump");
        }
    sigset_t now;
    SYS(sigprocmask(SIG_BLOCK, NULL, &now));
    EQ(sigismember(&now, SIGUSR1), 0);
    ok("out of a handler, with the mask");
    static char stack[65536];
    SYS(getcontext(&coroutine));
    coroutine.uc_stack.ss_sp = stack;
    coroutine.uc_stack.ss_size = sizeof stack;
    coroutine.uc_link = &main_context;
    makecontext(&coroutine, run, 0);
    for (int i = 0; i < 4; i++) {
        SYS(swapcontext(&main_context, &coroutine));
        if (i < 3) steps[count++] = 10 + i;
    }
    int expect[] = {0, 10, 1, 11, 2, 12};
    EQ(count, 6);
    EQ(memcmp(steps, expect, sizeof expect), 0);
    ok("a coroutine");
    return 0;
}
