// cc: -pthread
// Signals and threads: to one thread, to the process, masks of each, a waiting thread.
#include "guest.h"

static __thread volatile sig_atomic_t here;
static atomic_int ready, handled_by;
static pthread_t threads[3];

static void note(int signal) {
    (void)signal;
    here++;
    for (int i = 0; i < 3; i++)
        if (pthread_equal(pthread_self(), threads[i])) handled_by = i + 1;
}

static void *work(void *arg) {
    int n = (int)(intptr_t)arg;
    // Only the last one takes what is sent to the process.
    sigset_t usr2 = set_of(SIGUSR2), old, usr1 = set_of(SIGUSR1);
    if (n != 2) PT(pthread_sigmask(SIG_BLOCK, &usr2, NULL));
    PT(pthread_sigmask(SIG_BLOCK, &usr1, &old));
    ready++;
    while (here == 0) sigsuspend(&old);
    return (void *)(intptr_t)here;
}

static void *wait_for(void *arg) {
    int signal;
    PT(sigwait(arg, &signal));
    return (void *)(intptr_t)signal;
}

int main(void) {
    on_signal(SIGUSR1, note, 0);
    on_signal(SIGUSR2, note, 0);
    sigset_t both = set_of(SIGUSR1);
    for (int i = 0; i < 3; i++) PT(pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i));
    sigaddset(&both, SIGUSR2);
    PT(pthread_sigmask(SIG_BLOCK, &both, NULL));
    while (ready < 3) sleep_ms(1);
    for (int i = 0; i < 2; i++) {
        PT(pthread_kill(threads[i], SIGUSR1));
        void *result;
        PT(pthread_join(threads[i], &result));
        EQ((intptr_t)result, 1);
        EQ(handled_by, i + 1);
    }
    ok("sent to a thread, handled there");
    SYS(kill(getpid(), SIGUSR2));
    PT(pthread_join(threads[2], NULL));
    EQ(handled_by, 3);
    ok("sent to the process, handled where it is not blocked");
    sigset_t term = set_of(SIGTERM);
    PT(pthread_sigmask(SIG_BLOCK, &term, NULL));
    PT(pthread_create(&threads[0], NULL, wait_for, &term));
    SYS(kill(getpid(), SIGTERM));
    void *result;
    PT(pthread_join(threads[0], &result));
    EQ((intptr_t)result, SIGTERM);
    ok("blocked everywhere, taken by a waiting thread");
    return 0;
}
