// cc: -pthread
// Several threads in one epoll: each event to one of them, a wake-up from outside.
#include "guest.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

enum { WORKERS = 3, JOBS = 60 };
static int ep, stop_fd;
static int pipes[JOBS / 10][2];
static atomic_int done, sum;

static void *work(void *arg) {
    (void)arg;
    for (;;) {
        struct epoll_event event;
        int n = epoll_wait(ep, &event, 1, -1);
        if (n == -1 && errno == EINTR) continue;
        EQ(n, 1);
        int fd = event.data.fd;
        if (fd == stop_fd) return NULL;
        unsigned char c;
        EQ(read(fd, &c, 1), 1);
        sum += c;
        done++;
        event = (struct epoll_event){EPOLLIN | EPOLLONESHOT, {.fd = fd}};
        SYS(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &event));
    }
}

int main(void) {
    pthread_t threads[WORKERS];
    ep = SYS(epoll_create1(0));
    stop_fd = SYS(eventfd(0, 0));
    for (int i = 0; i < JOBS / 10; i++) {
        SYS(pipe(pipes[i]));
        struct epoll_event event = {EPOLLIN | EPOLLONESHOT, {.fd = pipes[i][0]}};
        SYS(epoll_ctl(ep, EPOLL_CTL_ADD, pipes[i][0], &event));
    }
    for (int i = 0; i < WORKERS; i++) PT(pthread_create(&threads[i], NULL, work, NULL));
    int expect = 0;
    for (int i = 0; i < JOBS; i++) {
        unsigned char c = i;
        expect += c;
        EQ(write(pipes[i * 7 % (JOBS / 10)][1], &c, 1), 1);
    }
    while (done < JOBS) sleep_ms(1);
    EQ(sum, expect);
    ok("every byte was taken once");
    struct epoll_event event = {EPOLLIN, {.fd = stop_fd}};
    SYS(epoll_ctl(ep, EPOLL_CTL_ADD, stop_fd, &event));
    SYS(eventfd_write(stop_fd, 1));
    for (int i = 0; i < WORKERS; i++) PT(pthread_join(threads[i], NULL));
    ok("all were woken");
    return 0;
}
