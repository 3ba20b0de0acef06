// status: signal 6
// abort: the status says so, also when SIGABRT is caught or blocked.
#include "guest.h"

static volatile sig_atomic_t got;
static void note(int signal) { (void)signal; got++; }

int main(void) {
    struct rlimit none = {0, 0};
    SYS(setrlimit(RLIMIT_CORE, &none));
    pid_t child = SYS(fork());
    if (child == 0) abort();
    int status;
    EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    EQ(WTERMSIG(status), SIGABRT);
    EQ(WCOREDUMP(status) != 0, 0);
    ok("a child");
    on_signal(SIGABRT, note, 0);
    SYS(raise(SIGABRT));
    EQ(got, 1);
    ok("raise can be caught, abort ends all the same");
    abort();
}
