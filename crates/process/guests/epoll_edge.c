// epoll, edge-triggered: one event for each arrival, drained until EAGAIN.
#include "guest.h"
#include <sys/epoll.h>

int main(void) {
    int ep = SYS(epoll_create1(EPOLL_CLOEXEC)), s[2];
    struct epoll_event got[4], watch = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.fd = 1}};
    char c;
    SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
    SYS(epoll_ctl(ep, EPOLL_CTL_ADD, s[0], &watch));
    EQ(epoll_wait(ep, got, 4, 0), 1);
    EQ(got[0].events, EPOLLOUT);
    EQ(epoll_wait(ep, got, 4, 0), 0);
    ok("the state at the start is one event");
    EQ(write(s[1], "ab", 2), 2);
    EQ(epoll_wait(ep, got, 4, 0), 1);
    EQ(got[0].events, EPOLLIN | EPOLLOUT);
    EQ(epoll_wait(ep, got, 4, 0), 0);
    EQ(read(s[0], &c, 1), 1);
    EQ(epoll_wait(ep, got, 4, 0), 0);
    EQ(write(s[1], "c", 1), 1);
    EQ(epoll_wait(ep, got, 4, 0), 1);
    EQ(read(s[0], &c, 1), 1);
    EQ(c, 'b');
    EQ(read(s[0], &c, 1), 1);
    FAILS(EAGAIN, read(s[0], &c, 1));
    EQ(epoll_wait(ep, got, 4, 0), 0);
    ok("an arrival is an event, what is left over is not");
    SYS(epoll_ctl(ep, EPOLL_CTL_MOD, s[0], &watch));
    EQ(epoll_wait(ep, got, 4, 0), 1);
    ok("a change arms it again");
    SYS(shutdown(s[1], SHUT_WR));
    EQ(epoll_wait(ep, got, 4, 0), 1);
    EQ(got[0].events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    close(s[1]);
    EQ(epoll_wait(ep, got, 4, 0), 1);
    EQ(got[0].events, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
    EQ(read(s[0], &c, 1), 0);
    ok("half closed, closed");

    // A child keeps writing; the parent only reads after an event.
    SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
    watch.events = EPOLLIN | EPOLLET;
    SYS(epoll_ctl(ep, EPOLL_CTL_ADD, s[0], &watch));
    pid_t child = SYS(fork());
    if (child == 0) {
        close(s[0]);
        for (int i = 0; i < 50; i++) {
            EQ(write(s[1], &(char){i}, 1), 1);
            if (i % 16 == 0) sleep_ms(1);
        }
        _exit(0);
    }
    close(s[1]);
    int next = 0, rounds = 0;
    for (ssize_t r = 1; r != 0; rounds++) {
        int n;
        while ((n = epoll_wait(ep, got, 4, -1)) == -1) EQ(errno, EINTR);
        CHECK(n >= 1);
        while ((r = read(s[0], &c, 1)) == 1) EQ(c, next++);
        if (r == -1) EQ(errno, EAGAIN);
    }
    EQ(next, 50);
    EQ(exit_of(child), 0);
    ok("no arrival is missed");
    show("%d rounds", rounds);
    return 0;
}
