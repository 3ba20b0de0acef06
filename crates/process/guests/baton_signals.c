// cc: -pthread
// Signals for threads that wait while others give way to each other: sent to one thread, to the process, by a timer; with SA_RESTART and without; and
// timeouts that run out.
#include "guest.h"
#include <linux/futex.h>

static uint64_t history = 14695981039346656037u;
static void note(uint64_t what) { history = (history ^ what) * 1099511628211u; }

static long futex(atomic_int *at, int op, int value, const struct timespec *timeout) {
    return syscall(SYS_futex, at, op, value, timeout, NULL, FUTEX_BITSET_MATCH_ANY);
}

// Two players who wake each other; in between one of them does something else.
static atomic_int ball;
static _Atomic(void (*)(int)) in_between;

static void *player(void *arg) {
    int me = (int)(intptr_t)arg, rounds = 0;
    while (ball >= 0) {
        int now = ball;
        if (now % 2 != me) {
            futex(&ball, FUTEX_WAIT_PRIVATE, now, NULL);
            continue;
        }
        note(gettid());
        void (*act)(int) = in_between;
        if (act && me == 0 && rounds++ % 16 == 15) act(rounds);
        if (!atomic_compare_exchange_strong(&ball, &now, now + 1)) break;
        futex(&ball, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
    }
    return NULL;
}

static pthread_t players[2];

static void play(void) {
    ball = 0;
    for (intptr_t i = 0; i < 2; i++) PT(pthread_create(&players[i], NULL, player, (void *)i));
}

static void end_play(void) {
    ball = -10;
    futex(&ball, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
    for (int i = 0; i < 2; i++) PT(pthread_join(players[i], NULL));
}

// The one who waits all the time, on a word that nobody wakes before the end.
static atomic_int end;
static pthread_t waiter;
static _Atomic long handled, interrupted;
static __thread double here = 1.5;

static void on_signal_here(int signal) {
    CHECK(pthread_equal(pthread_self(), waiter));
    handled++;
    note(1000 + signal);
    here += 1;
    // A handler gives way, too.
    SYS(sched_yield());
}

static void *wait_for_end(void *arg UNUSED) {
    double before = 3.25;
    while (!end) {
        errno = 0;
        long r = futex(&end, FUTEX_WAIT_PRIVATE, 0, NULL);
        if (r == -1 && errno == EINTR) interrupted++;
        before += 1;
    }
    CHECK(before > 4 && here == 1.5 + handled);
    return NULL;
}

static int sent;
static void send_to_thread(int round UNUSED) {
    if (sent++ < 20) PT(pthread_kill(waiter, SIGUSR1));
}
static void send_to_process(int round UNUSED) {
    if (sent++ < 20) SYS(kill(getpid(), SIGUSR2));
}

// 20 signals for the one who waits, while the players play.
static void disturbed(const char *what, int flags, void (*act)(int)) {
    handled = interrupted = sent = 0;
    end = 0;
    on_signal(SIGUSR1, on_signal_here, flags);
    on_signal(SIGUSR2, on_signal_here, flags);
    sigset_t both = set_of(SIGUSR1);
    sigaddset(&both, SIGUSR2);
    PT(pthread_create(&waiter, NULL, wait_for_end, NULL));
    // Everybody else has them blocked.
    PT(pthread_sigmask(SIG_BLOCK, &both, NULL));
    in_between = NULL;
    play();
    while (ball < 500) sleep_ms(1);
    in_between = act;
    while (sent < 20) sleep_ms(1);
    end_play();
    // One of them at least comes while it waits.
    while (handled == 0 || (interrupted == 0 && !(flags & SA_RESTART))) {
        PT(pthread_kill(waiter, SIGUSR1));
        sleep_ms(1);
    }
    end = 1;
    futex(&end, FUTEX_WAKE_PRIVATE, 1, NULL);
    PT(pthread_join(waiter, NULL));
    PT(pthread_sigmask(SIG_UNBLOCK, &both, NULL));
    CHECK(flags & SA_RESTART ? interrupted == 0 : interrupted <= handled);
    show("%s: %ld handled, %ld interrupted, %llx", what, (long)handled, (long)interrupted, (unsigned long long)history);
    ok("%s", what);
}

static _Atomic int alarms;
static void on_alarm(int signal UNUSED) {
    alarms++;
    note(77);
}

// The clock's signals reach the main thread, which waits for another; the players never stop for them.
static void timer(void) {
    on_signal(SIGALRM, on_alarm, 0);
    sigset_t alarm = set_of(SIGALRM);
    PT(pthread_sigmask(SIG_BLOCK, &alarm, NULL));
    in_between = NULL;
    play();
    PT(pthread_sigmask(SIG_UNBLOCK, &alarm, NULL));
    struct itimerval every = {{0, 2000}, {0, 2000}};
    SYS(setitimer(ITIMER_REAL, &every, NULL));
    end = 0;
    while (alarms < 5) futex(&end, FUTEX_WAIT_PRIVATE, 0, NULL);
    SYS(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL));
    end_play();
    show("%d alarms, %llx", alarms, (unsigned long long)history);
    ok("a timer's signals");
}

static _Atomic int timeouts;
static void *times_out(void *arg) {
    atomic_int never = 0;
    for (int i = 0; i < 5; i++) {
        struct timespec t = {0, 1500000};
        int op = FUTEX_WAIT_PRIVATE;
        if (arg) {
            clock_gettime(CLOCK_MONOTONIC, &t);
            t.tv_nsec += 1500000;
            if (t.tv_nsec >= 1000000000) t.tv_nsec -= 1000000000, t.tv_sec++;
            op = FUTEX_WAIT_BITSET_PRIVATE;
        }
        FAILS(ETIMEDOUT, futex(&never, op, 0, &t));
        note(55);
        timeouts++;
    }
    return NULL;
}

static void timed(void) {
    pthread_t threads[2];
    in_between = NULL;
    play();
    for (intptr_t i = 0; i < 2; i++) PT(pthread_create(&threads[i], NULL, times_out, (void *)i));
    for (int i = 0; i < 2; i++) PT(pthread_join(threads[i], NULL));
    end_play();
    EQ(timeouts, 10);
    show("timeouts %llx", (unsigned long long)history);
    ok("timeouts run out");
}

int main(void) {
    disturbed("to a thread, with SA_RESTART", SA_RESTART, send_to_thread);
    disturbed("to a thread, without", 0, send_to_thread);
    disturbed("to the process, with SA_RESTART", SA_RESTART, send_to_process);
    disturbed("to the process, without", 0, send_to_process);
    timer();
    timed();
    return 0;
}
