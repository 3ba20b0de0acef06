// Writing to nobody: SIGPIPE, EPIPE, MSG_NOSIGNAL, the default end.
#include "guest.h"

static volatile sig_atomic_t got;
static void note(int signal) { (void)signal; got++; }

int main(void) {
    int p[2], s[2];
    on_signal(SIGPIPE, note, 0);
    SYS(pipe(p));
    close(p[0]);
    FAILS(EPIPE, write(p[1], "x", 1));
    EQ(got, 1);
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    close(s[0]);
    FAILS(EPIPE, send(s[1], "x", 1, MSG_NOSIGNAL));
    EQ(got, 1);
    FAILS(EPIPE, send(s[1], "x", 1, 0));
    EQ(got, 2);
    on_signal(SIGPIPE, SIG_IGN, 0);
    FAILS(EPIPE, write(p[1], "x", 1));
    EQ(got, 2);
    ok("signal and error, error alone");
    EQ(write(p[1], "", 0), 0);
    EQ(writev(p[1], &(struct iovec){"", 0}, 1), 0);
    EQ(writev(s[1], &(struct iovec){"", 0}, 1), 0);
    FAILS(EPIPE, write(s[1], "", 0));
    EQ(readv(open(".", O_RDONLY), &(struct iovec){&s, 0}, 1), 0);
    FAILS(EBADF, readv(p[1], &(struct iovec){&s, 0}, 1));
    ok("nothing can be written to nobody");
    pid_t child = SYS(fork());
    if (child == 0) {
        on_signal(SIGPIPE, SIG_DFL, 0);
        write(p[1], "x", 1) == 1 ? _exit(1) : _exit(2);
    }
    int status;
    EQ(waitpid(child, &status, 0), child);
    EQ(WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGPIPE);
    ok("the default is to end");
    return 0;
}
