// What a call waits for comes, and a signal right behind it: the call returns what came, and then the handler runs.
#include "guest.h"
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/file.h>

static volatile sig_atomic_t fired;
static void note(int signal) { (void)signal; fired++; }

static int p[2], listener, lock;
static struct sockaddr_in address;

static void feed(void) { EQ(write(p[1], "x", 1), 1); }
static void call_up(void) { SYS(connect(SYS(socket(AF_INET, SOCK_STREAM, 0)), (void *)&address, sizeof address)); }
static void signal_it(void) { SYS(kill(getppid(), SIGRTMIN)); }
static void let_go(void) { SYS(flock(lock, LOCK_UN)); }

// A child that gives the waiting parent what it waits for, and a signal.
static pid_t giver(void (*give)(void)) {
    int ready[2];
    char c;
    SYS(pipe(ready));
    pid_t child = SYS(fork());
    if (child == 0) {
        if (give == let_go) {
            lock = SYS(open("lock", O_RDWR));
            SYS(flock(lock, LOCK_EX));
        }
        EQ(write(ready[1], "r", 1), 1);
        sleep_ms(10);
        give();
        SYS(kill(getppid(), SIGUSR1));
        _exit(0);
    }
    EQ(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void took(pid_t child, int signals) {
    EQ(exit_of(child), 0);
    EQ(fired, signals);
}

int main(void) {
    char c;
    on_signal(SIGUSR1, note, 0);
    SYS(pipe(p));

    pid_t child = giver(feed);
    EQ(read(p[0], &c, 1), 1);
    took(child, 1);
    child = giver(feed);
    struct pollfd in = {p[0], POLLIN, 0};
    EQ(poll(&in, 1, -1), 1);
    took(child, 2);
    int ep = SYS(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    SYS(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &event));
    EQ(read(p[0], &c, 1), 1);
    child = giver(feed);
    EQ(epoll_wait(ep, &event, 1, -1), 1);
    took(child, 3);
    ok("read, poll and epoll_wait have what was written");

    listener = SYS(socket(AF_INET, SOCK_STREAM, 0));
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    SYS(bind(listener, (void *)&address, sizeof address));
    SYS(listen(listener, 4));
    socklen_t len = sizeof address;
    SYS(getsockname(listener, (void *)&address, &len));
    child = giver(call_up);
    SYS(accept(listener, NULL, NULL));
    took(child, 4);
    ok("accept has who called");

    sigset_t queued = set_of(SIGRTMIN);
    SYS(sigprocmask(SIG_BLOCK, &queued, NULL));
    child = giver(signal_it);
    EQ(sigwaitinfo(&queued, NULL), SIGRTMIN);
    took(child, 5);
    ok("sigwaitinfo has the signal that it waits for");

    lock = SYS(open("lock", O_RDWR | O_CREAT, 0600));
    child = giver(let_go);
    SYS(flock(lock, LOCK_EX));
    took(child, 6);
    ok("flock has the lock");

    on_signal(SIGCHLD, note, 0);
    for (int i = 0; i < 3; i++) {
        fired = 0;
        child = SYS(fork());
        if (child == 0) {
            sleep_ms(5);
            _exit(7);
        }
        int status;
        EQ(waitpid(child, &status, 0), child);
        EQ(WEXITSTATUS(status), 7);
        EQ(fired, 1);
    }
    signal(SIGCHLD, SIG_DFL);
    ok("waitpid is not interrupted by the end of the child that it waits for");

    // A stop ends the call first; a handler of SIGCONT then sees it interrupted.
    int ready[2], status;
    SYS(pipe(ready));
    EQ(read(p[0], &c, 1), 1);
    child = SYS(fork());
    if (child == 0) {
        on_signal(SIGCONT, note, 0);
        fired = 0;
        EQ(write(ready[1], "r", 1), 1);
        FAILS(EINTR, read(p[0], &c, 1));
        EQ(fired, 1);
        EQ(read(p[0], &c, 1), 1);
        _exit(0);
    }
    EQ(read(ready[0], &c, 1), 1);
    sleep_ms(20);
    SYS(kill(child, SIGSTOP));
    EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    feed();
    SYS(kill(child, SIGCONT));
    EQ(exit_of(child), 0);
    ok("what comes to a stopped process does not save its call");
    return 0;
}
