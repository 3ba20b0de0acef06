// select and pselect: sets in and out, time left, a mask.
#include "guest.h"
#include <sys/select.h>

static volatile sig_atomic_t got;
static void note(int signal) { (void)signal; got++; }

int main(void) {
    int p[2];
    SYS(pipe(p));
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(p[0], &in);
    FD_SET(p[1], &out);
    EQ(select(p[1] + 1, &in, &out, NULL, NULL), 1);
    CHECK(!FD_ISSET(p[0], &in) && FD_ISSET(p[1], &out));
    EQ(write(p[1], "x", 1), 1);
    FD_SET(p[0], &in);
    struct timeval time = {100, 0};
    EQ(select(p[1] + 1, &in, &out, NULL, &time), 2);
    CHECK(FD_ISSET(p[0], &in) && FD_ISSET(p[1], &out));
    CHECK(time.tv_sec >= 90);
    ok("ready sets and the time that is left");
    char c;
    EQ(read(p[0], &c, 1), 1);
    time = (struct timeval){0, 3000};
    EQ(select(p[0] + 1, &in, NULL, NULL, &time), 0);
    CHECK(!FD_ISSET(p[0], &in));
    EQ(time.tv_usec, 0);
    ok("timeout clears the sets");
    FD_SET(60, &in); // Beyond the table of descriptors (64 at least) Linux looks at none.
    FAILS(EBADF, select(61, &in, NULL, NULL, NULL));
    FAILS(EINVAL, select(-1, NULL, NULL, NULL, NULL));
    ok("errors");
    sigset_t block = set_of(SIGUSR1), none = set_of(0);
    on_signal(SIGUSR1, note, 0);
    SYS(sigprocmask(SIG_BLOCK, &block, NULL));
    SYS(raise(SIGUSR1));
    FD_ZERO(&in);
    FD_SET(p[0], &in);
    struct timespec zero = {0, 0};
    EQ(pselect(p[0] + 1, &in, NULL, NULL, &zero, NULL), 0);
    EQ(got, 0);
    FD_SET(p[0], &in);
    FAILS(EINTR, pselect(p[0] + 1, &in, NULL, NULL, NULL, &none));
    EQ(got, 1);
    SYS(raise(SIGUSR1));
    FAILS(EINTR, pselect(p[0] + 1, &in, NULL, NULL, &zero, &none));
    EQ(got, 2);
    ok("pselect with a mask");
    return 0;
}
