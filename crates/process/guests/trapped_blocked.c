// Instructions that gapless traps, while the signals of their traps are blocked, ignored or handled: nothing of that shows.
#include "guest.h"
#include <cpuid.h>
#include <x86intrin.h>

static volatile sig_atomic_t handled;
static void note(int signal) { (void)signal; handled++; }

static void traps(void) {
    unsigned a, b, c, d;
    for (int i = 0; i < 3; i++) {
        uint64_t before = __rdtsc();
        __cpuid_count(0, 0, a, b, c, d);
        CHECK(a >= 1);
        CHECK(__rdtsc() >= before);
    }
}

static void expect(int signal, int blocked, void (*action)(int)) {
    sigset_t now;
    struct sigaction is;
    SYS(sigprocmask(SIG_BLOCK, NULL, &now));
    EQ(sigismember(&now, signal), blocked);
    SYS(sigaction(signal, NULL, &is));
    CHECK(is.sa_handler == action);
    sigset_t pending;
    SYS(sigpending(&pending));
    EQ(sigismember(&pending, signal), 0);
}

static int death(int blocked, void (*action)(int)) {
    pid_t child = SYS(fork());
    if (child == 0) {
        sigset_t set = set_of(SIGSEGV);
        on_signal(SIGSEGV, action, 0);
        SYS(sigprocmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL));
        traps();
        *(volatile int *)nowhere = 1;
        _exit(0);
    }
    int status;
    EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

int main(void) {
    const int signals[] = {SIGSEGV, SIGILL};
    for (int i = 0; i < 2; i++) {
        sigset_t set = set_of(signals[i]);
        SYS(sigprocmask(SIG_BLOCK, &set, NULL));
        traps();
        expect(signals[i], 1, SIG_DFL);
        on_signal(signals[i], note, 0);
        traps();
        expect(signals[i], 1, note);
        SYS(sigprocmask(SIG_UNBLOCK, &set, NULL));
        traps();
        expect(signals[i], 0, note);
        EQ(raise(signals[i]), 0);
        EQ(handled, i + 1);
        on_signal(signals[i], SIG_IGN, 0);
        traps();
        expect(signals[i], 0, SIG_IGN);
        EQ(raise(signals[i]), 0);
    }
    EQ(handled, 2);
    ok("traps leave masks and actions alone");
    EQ(death(0, SIG_IGN), SIGSEGV);
    EQ(death(1, SIG_IGN), SIGSEGV);
    EQ(death(1, note), SIGSEGV);
    EQ(death(1, SIG_DFL), SIGSEGV);
    ok("a fault of one's own kills if it is blocked or ignored");
    return 0;
}
