// cc: -pthread
// Threads that compute without a call: each gets on, results are exact.
#include "guest.h"

static volatile int stop;
static volatile uint64_t turns[2];

static void *fixed(void *arg) {
    uint64_t x = (uintptr_t)arg * 2 + 1;
    for (int i = 0; i < 30000000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return (void *)x;
}

static void *endless(void *arg) {
    volatile uint64_t *mine = &turns[(uintptr_t)arg];
    while (!stop) ++*mine;
    return NULL;
}

int main(void) {
    pthread_t threads[2];
    for (uintptr_t i = 0; i < 2; i++) PT(pthread_create(&threads[i], NULL, fixed, (void *)i));
    for (uintptr_t i = 0; i < 2; i++) {
        void *result;
        PT(pthread_join(threads[i], &result));
        ok("thread %d computed %016llx", (int)i, (unsigned long long)(uintptr_t)result);
    }
    for (uintptr_t i = 0; i < 2; i++) PT(pthread_create(&threads[i], NULL, endless, (void *)i));
    // Until both have moved: neither may starve the other, nor this thread.
    while (turns[0] == 0 || turns[1] == 0) sleep_ms(1);
    stop = 1;
    for (int i = 0; i < 2; i++) PT(pthread_join(threads[i], NULL));
    show("turns %llu %llu", (unsigned long long)turns[0], (unsigned long long)turns[1]);
    ok("two endless loops and their stop");
    return 0;
}
