// cc: -pthread
// Mutex and condition variables: a bounded queue, broadcast, timed waits.
#include "guest.h"

enum { PRODUCERS = 3, EACH = 50, ROOM = 4 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int queue[ROOM], used, done;
static long sum;

static void *produce(void *arg) {
    for (int i = 0; i < EACH; i++) {
        PT(pthread_mutex_lock(&mutex));
        while (used == ROOM) PT(pthread_cond_wait(&changed, &mutex));
        queue[used++] = (int)(intptr_t)arg * 1000 + i;
        PT(pthread_cond_broadcast(&changed));
        PT(pthread_mutex_unlock(&mutex));
    }
    return NULL;
}

static void *consume(void *arg) {
    (void)arg;
    for (;;) {
        PT(pthread_mutex_lock(&mutex));
        while (used == 0 && !done) PT(pthread_cond_wait(&changed, &mutex));
        if (used == 0) break;
        sum += queue[--used];
        PT(pthread_cond_broadcast(&changed));
        PT(pthread_mutex_unlock(&mutex));
    }
    PT(pthread_mutex_unlock(&mutex));
    return NULL;
}

int main(void) {
    pthread_t producers[PRODUCERS], consumers[2];
    for (int i = 0; i < 2; i++) PT(pthread_create(&consumers[i], NULL, consume, NULL));
    for (int i = 0; i < PRODUCERS; i++) PT(pthread_create(&producers[i], NULL, produce, (void *)(intptr_t)i));
    for (int i = 0; i < PRODUCERS; i++) PT(pthread_join(producers[i], NULL));
    PT(pthread_mutex_lock(&mutex));
    done = 1;
    PT(pthread_cond_broadcast(&changed));
    PT(pthread_mutex_unlock(&mutex));
    for (int i = 0; i < 2; i++) PT(pthread_join(consumers[i], NULL));
    EQ(sum, (0L + 1000 + 2000) * EACH + 3L * EACH * (EACH - 1) / 2);
    ok("a bounded queue between threads");

    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t start = now_ns(CLOCK_MONOTONIC);
    until.tv_nsec += 3000000;
    if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
    PT(pthread_mutex_lock(&mutex));
    int r = 0;
    while (r == 0) r = pthread_cond_timedwait(&changed, &mutex, &until);
    EQ(r, ETIMEDOUT);
    EQ(pthread_mutex_trylock(&mutex), EBUSY);
    PT(pthread_mutex_unlock(&mutex));
    show("waited %lld ns", (long long)(now_ns(CLOCK_MONOTONIC) - start));
    ok("a timed wait times out and has the mutex again");
    return 0;
}
