// poll: what is ready on pipes, sockets and files; invalid descriptors; timeouts.
#include "guest.h"

int main(void) {
    int p[2], s[2], file = SYS(open("f", O_RDWR | O_CREAT, 0600));
    SYS(pipe(p));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    struct pollfd fds[] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}, {s[0], POLLIN | POLLOUT, 0},
                           {file, POLLIN | POLLOUT, 0}, {99, POLLIN, 0}, {-1, POLLIN, 9}};
    EQ(poll(fds, 6, -1), 4);
    EQ(fds[0].revents, 0);
    EQ(fds[1].revents, POLLOUT);
    EQ(fds[2].revents, POLLOUT);
    EQ(fds[3].revents, POLLIN | POLLOUT);
    EQ(fds[4].revents, POLLNVAL);
    EQ(fds[5].revents, 0);
    ok("each kind of descriptor");
    EQ(write(p[1], "x", 1), 1);
    EQ(write(s[1], "x", 1), 1);
    close(s[1]);
    EQ(poll(fds, 3, 0), 3);
    EQ(fds[0].revents, POLLIN);
    CHECK(fds[2].revents & POLLIN && fds[2].revents & POLLHUP);
    close(p[1]);
    char c;
    EQ(read(p[0], &c, 1), 1);
    EQ(poll(fds, 1, 0), 1);
    EQ(fds[0].revents, POLLHUP);
    ok("data, then hang-up");
    SYS(pipe(p));
    close(p[0]);
    fds[0] = (struct pollfd){p[1], POLLOUT, 0};
    EQ(poll(fds, 1, 0), 1);
    EQ(fds[0].revents, POLLOUT | POLLERR);
    ok("nobody reads");
    int64_t start = now_ns(CLOCK_MONOTONIC);
    EQ(poll(NULL, 0, 3), 0);
    int64_t took = now_ns(CLOCK_MONOTONIC) - start;
    CHECK(took >= 3000000);
    ok("timeout");
    SYS(pipe(p));
    pid_t child = SYS(fork());
    if (child == 0) {
        sleep_ms(3);
        EQ(write(p[1], "y", 1), 1);
        _exit(0);
    }
    fds[0] = (struct pollfd){p[0], POLLIN, 0};
    EQ(poll(fds, 1, -1), 1);
    EQ(exit_of(child), 0);
    ok("woken by a write");
    show("%lld ns", (long long)took);
    return 0;
}
