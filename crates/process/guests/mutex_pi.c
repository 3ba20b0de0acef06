// cc: -pthread
// Mutexes that pass their owner's priority on: waiting for one ends at its time, is not ended by a signal, and gets what a dying owner leaves.
#include "guest.h"
#include <linux/futex.h>

static pthread_mutex_t mutex;
static _Atomic int owner_waits;

static void make(int robust) {
    pthread_mutexattr_t attributes;
    PT(pthread_mutexattr_init(&attributes));
    PT(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
    PT(pthread_mutexattr_setrobust(&attributes, robust));
    PT(pthread_mutex_init(&mutex, &attributes));
}

static struct timespec soon(clockid_t clock) {
    int64_t at = now_ns(clock) + 2000000;
    return (struct timespec){at / 1000000000, at % 1000000000};
}

static void *gives_up(void *arg UNUSED) {
    struct timespec at = soon(CLOCK_REALTIME);
    EQ(pthread_mutex_timedlock(&mutex, &at), ETIMEDOUT);
    CHECK(now_ns(CLOCK_REALTIME) >= at.tv_sec * 1000000000LL + at.tv_nsec);
    at = soon(CLOCK_MONOTONIC);
    int result = pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &at);
    // Not every C library and kernel can.
    CHECK(result == ETIMEDOUT || result == EINVAL);
    struct timespec past = {1, 0};
    EQ(pthread_mutex_timedlock(&mutex, &past), ETIMEDOUT);
    return NULL;
}

// A bit in the word says that somebody waits in the kernel.
static bool is_waited_for(void) { return *(volatile uint32_t *)&mutex.__data.__lock & FUTEX_WAITERS; }

static _Atomic int handled;
static void on_usr1(int signal UNUSED) { handled++; }

static void *is_disturbed(void *arg UNUSED) {
    PT(pthread_mutex_lock(&mutex));
    EQ(handled, 3);
    PT(pthread_mutex_unlock(&mutex));
    return NULL;
}

static void *dies_holding(void *arg UNUSED) {
    PT(pthread_mutex_lock(&mutex));
    owner_waits = 1;
    while (!is_waited_for()) sleep_ms(1);
    return NULL;
}

static void *inherits(void *arg UNUSED) {
    EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
    PT(pthread_mutex_consistent(&mutex));
    PT(pthread_mutex_unlock(&mutex));
    PT(pthread_mutex_lock(&mutex));
    PT(pthread_mutex_unlock(&mutex));
    return NULL;
}

int main(void) {
    pthread_t thread, other;
    make(PTHREAD_MUTEX_STALLED);
    PT(pthread_mutex_lock(&mutex));
    PT(pthread_create(&thread, NULL, gives_up, NULL));
    PT(pthread_join(thread, NULL));
    PT(pthread_mutex_unlock(&mutex));
    ok("waiting ends at its time");

    on_signal(SIGUSR1, on_usr1, 0);
    PT(pthread_mutex_lock(&mutex));
    PT(pthread_create(&thread, NULL, is_disturbed, NULL));
    while (!is_waited_for()) sleep_ms(1);
    for (int i = 1; i <= 3; i++) {
        PT(pthread_kill(thread, SIGUSR1));
        while (handled < i) sleep_ms(1);
    }
    PT(pthread_mutex_unlock(&mutex));
    PT(pthread_join(thread, NULL));
    ok("a signal does not end the waiting");

    make(PTHREAD_MUTEX_ROBUST);
    PT(pthread_create(&thread, NULL, dies_holding, NULL));
    while (!owner_waits) sleep_ms(1);
    PT(pthread_create(&other, NULL, inherits, NULL));
    PT(pthread_join(thread, NULL));
    PT(pthread_join(other, NULL));
    ok("who waits for a dying owner is the next one");
    return 0;
}
