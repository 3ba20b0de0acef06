// Signals: handlers, masks, pending, order, flags, nesting.
#include "guest.h"

static char seen[64];
static volatile sig_atomic_t count, depth, depth_max;

static void note(int signal) {
    char letter = signal == SIGUSR1 ? '1' : signal == SIGUSR2 ? '2' : signal == SIGTERM ? 't'
                  : signal == SIGHUP ? 'h' : signal == SIGFPE ? 'f' : signal == SIGSEGV ? 'S' : signal >= SIGRTMIN ? 'r' + signal - SIGRTMIN : '?';
    seen[count++] = letter;
}

static void nest(int signal) {
    if (++depth > depth_max) depth_max = depth;
    if (++count < 4) raise(signal);
    depth--;
}

static void reset(void) {
    memset(seen, 0, sizeof seen);
    count = depth = depth_max = 0;
}

int main(void) {
    on_signal(SIGUSR1, note, 0);
    SYS(raise(SIGUSR1));
    SYS(kill(getpid(), SIGUSR1));
    EQ(strcmp(seen, "11"), 0);
    ok("raise and kill of oneself arrive before the call returns");

    // All wait behind a full mask; a handler with a full mask runs alone.
    reset();
    struct sigaction action = {.sa_handler = note};
    sigfillset(&action.sa_mask);
    for (int s = 1; s <= SIGRTMIN + 2; s++) sigaction(s, &action, NULL);
    sigset_t all, old, pending;
    sigfillset(&all);
    SYS(sigprocmask(SIG_SETMASK, &all, &old));
    int order[] = {SIGRTMIN + 1, SIGTERM, SIGUSR2, SIGRTMIN, SIGUSR1, SIGHUP, SIGUSR1, SIGRTMIN + 1, SIGFPE, SIGSEGV};
    for (int i = 0; i < 10; i++) SYS(kill(getpid(), order[i]));
    EQ(count, 0);
    SYS(sigpending(&pending));
    EQ(sigismember(&pending, SIGTERM), 1);
    EQ(sigismember(&pending, SIGALRM), 0);
    SYS(sigprocmask(SIG_SETMASK, &old, NULL));
    EQ(strcmp(seen, "fSh12trss"), 0);
    ok("those of faults first, then the lowest, real-time signals queue, others do not");

    reset();
    on_signal(SIGUSR1, nest, 0);
    SYS(raise(SIGUSR1));
    EQ(count, 4);
    EQ(depth_max, 1);
    reset();
    on_signal(SIGUSR1, nest, SA_NODEFER);
    SYS(raise(SIGUSR1));
    EQ(count, 4);
    EQ(depth_max, 4);
    ok("a signal is blocked in its handler unless SA_NODEFER");

    reset();
    on_signal(SIGUSR1, note, SA_RESETHAND);
    SYS(raise(SIGUSR1));
    SYS(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_handler == SIG_DFL);
    ok("SA_RESETHAND");

    on_signal(SIGUSR1, SIG_IGN, 0);
    SYS(raise(SIGUSR1));
    FAILS(EINVAL, sigaction(SIGKILL, &(struct sigaction){.sa_handler = note}, NULL));
    FAILS(ESRCH, kill(999999999, 0));
    SYS(kill(getpid(), 0));
    FAILS(EINVAL, kill(getpid(), 99));
    ok("ignored, unknown and impossible signals");

    pid_t child = SYS(fork());
    if (child == 0) {
        on_signal(SIGTERM, SIG_DFL, 0);
        SYS(raise(SIGTERM));
        _exit(1);
    }
    int status;
    EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    EQ(WTERMSIG(status), SIGTERM);
    ok("the default action ends a process");
    return 0;
}
