// status: 42
// How processes end: codes, atexit, _exit, signals, and the parent's view.
#include "guest.h"

static void last_words(void) { ok("atexit, in reverse"); }
static void first_words(void) { ok("atexit, last registered"); }

int main(void) {
    int codes[] = {0, 1, 127, 128, 255};
    for (int i = 0; i < 5; i++) {
        pid_t child = SYS(fork());
        if (child == 0) exit(codes[i]);
        EQ(exit_of(child), codes[i]);
    }
    pid_t child = SYS(fork());
    if (child == 0) _exit(256 + 3);
    EQ(exit_of(child), 3);
    ok("codes, eight bits of them");
    int signals[] = {SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR1, SIGRTMIN};
    for (int i = 0; i < 6; i++) {
        child = SYS(fork());
        if (child == 0) {
            sigset_t none = set_of(0);
            signal(signals[i], SIG_DFL);
            sigprocmask(SIG_SETMASK, &none, NULL);
            kill(getpid(), signals[i]);
            _exit(1);
        }
        int status;
        EQ(waitpid(child, &status, 0), child);
        EQ(WIFSIGNALED(status) ? WTERMSIG(status) : 0, signals[i]);
    }
    ok("signals");
    atexit(last_words);
    atexit(first_words);
    return 42;
}
