// epoll, level-triggered: add, change, delete, one-shot, hang-up, nesting, errors.
#include "guest.h"
#include <sys/epoll.h>

static struct epoll_event got[8];

static void want(int ep, int n, uint32_t events, uint64_t data) {
    EQ(epoll_wait(ep, got, 8, 0), n);
    if (n == 0) return;
    EQ(got[0].events, events);
    EQ(got[0].data.u64, data);
}

int main(void) {
    int ep = SYS(epoll_create1(0)), p[2];
    SYS(pipe(p));
    char c;
    struct epoll_event in = {EPOLLIN, {.u64 = 0x1122334455667788}}, out = {EPOLLOUT, {.u64 = 2}};
    SYS(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &in));
    want(ep, 0, 0, 0);
    EQ(write(p[1], "ab", 2), 2);
    want(ep, 1, EPOLLIN, in.data.u64);
    EQ(read(p[0], &c, 1), 1);
    want(ep, 1, EPOLLIN, in.data.u64);
    EQ(read(p[0], &c, 1), 1);
    want(ep, 0, 0, 0);
    ok("ready as long as there is something to read");

    FAILS(EEXIST, epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &in));
    FAILS(ENOENT, epoll_ctl(ep, EPOLL_CTL_MOD, p[1], &out));
    FAILS(ENOENT, epoll_ctl(ep, EPOLL_CTL_DEL, p[1], NULL));
    FAILS(EBADF, epoll_ctl(ep, EPOLL_CTL_ADD, 99, &in));
    FAILS(EINVAL, epoll_ctl(ep, EPOLL_CTL_ADD, ep, &in));
    FAILS(EINVAL, epoll_wait(ep, got, 0, 0));
    FAILS(EINVAL, epoll_wait(p[0], got, 1, 0));
    int file = SYS(open("f", O_RDWR | O_CREAT, 0600));
    FAILS(EPERM, epoll_ctl(ep, EPOLL_CTL_ADD, file, &in));
    ok("errors");

    SYS(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &out));
    want(ep, 1, EPOLLOUT, 2);
    out.events = EPOLLOUT | EPOLLONESHOT;
    SYS(epoll_ctl(ep, EPOLL_CTL_MOD, p[1], &out));
    want(ep, 1, EPOLLOUT, 2);
    want(ep, 0, 0, 0);
    SYS(epoll_ctl(ep, EPOLL_CTL_MOD, p[1], &out));
    want(ep, 1, EPOLLOUT, 2);
    SYS(epoll_ctl(ep, EPOLL_CTL_DEL, p[1], NULL));
    want(ep, 0, 0, 0);
    ok("modified, one-shot, deleted");

    int outer = SYS(epoll_create1(0));
    struct epoll_event inner = {EPOLLIN, {.u64 = 7}};
    SYS(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &inner));
    want(outer, 0, 0, 0);
    close(p[1]);
    want(outer, 1, EPOLLIN, 7);
    want(ep, 1, EPOLLHUP, in.data.u64);
    ok("hang-up, seen through an epoll in an epoll");
    int again = SYS(dup(p[0]));
    close(p[0]);
    want(ep, 1, EPOLLHUP, in.data.u64);
    close(again);
    want(ep, 0, 0, 0);
    ok("the last close of the open file removes it");
    int64_t start = now_ns(CLOCK_MONOTONIC);
    EQ(epoll_wait(ep, got, 8, 3), 0);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 3000000);
    ok("timeout");
    return 0;
}
