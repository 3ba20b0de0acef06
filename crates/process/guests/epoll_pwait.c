// epoll_pwait: the mask is changed only while waiting.
#include "guest.h"
#include <sys/epoll.h>

static volatile sig_atomic_t got;
static void note(int signal) { (void)signal; got++; }

int main(void) {
    int ep = SYS(epoll_create1(0));
    struct epoll_event event;
    sigset_t block = set_of(SIGUSR1), none = set_of(0);
    on_signal(SIGUSR1, note, SA_RESTART);
    SYS(sigprocmask(SIG_BLOCK, &block, NULL));
    SYS(raise(SIGUSR1));
    EQ(epoll_wait(ep, &event, 1, 1), 0);
    EQ(got, 0);
    FAILS(EINTR, epoll_pwait(ep, &event, 1, -1, &none));
    EQ(got, 1);
    SYS(raise(SIGUSR1));
    EQ(epoll_pwait(ep, &event, 1, 0, &block), 0);
    EQ(got, 1);
    ok("a pending signal interrupts at once when the mask allows it");
    return 0;
}
