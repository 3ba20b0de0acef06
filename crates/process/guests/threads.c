// cc: -pthread
// Threads: create, join, results, thread-local storage, detached, ids, exit order.
#include "guest.h"

static __thread int mine = 5;
static pthread_key_t key;
static atomic_int destroyed, detached_done;

static void destroy(void *value) { destroyed += (int)(intptr_t)value; }

static void *work(void *arg) {
    int n = (int)(intptr_t)arg;
    EQ(mine, 5);
    mine += n;
    PT(pthread_setspecific(key, (void *)(intptr_t)(n + 1)));
    sched_yield();
    EQ(mine, 5 + n);
    char name[16];
    snprintf(name, sizeof name, "worker %d", n);
    PT(pthread_setname_np(pthread_self(), name));
    CHECK(syscall(SYS_gettid) != getpid());
    if (n % 2) pthread_exit((void *)(intptr_t)(n * n));
    return (void *)(intptr_t)(n * n);
}

static void *detached(void *arg) {
    (void)arg;
    detached_done = 1;
    return NULL;
}

int main(void) {
    pthread_t threads[8];
    PT(pthread_key_create(&key, destroy));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 8; i++) PT(pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i));
        for (int i = 7; i >= 0; i--) {
            void *result;
            PT(pthread_join(threads[i], &result));
            EQ((intptr_t)result, i * i);
        }
    }
    EQ(destroyed, 3 * 36);
    EQ(mine, 5);
    ok("24 threads, their results and storage");
    pthread_attr_t attributes;
    PT(pthread_attr_init(&attributes));
    PT(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED));
    pthread_t thread;
    PT(pthread_create(&thread, &attributes, detached, NULL));
    while (!detached_done) sleep_ms(1);
    ok("detached");
    show("tid %ld", (long)syscall(SYS_gettid));
    EQ(syscall(SYS_gettid), getpid());
    return 0;
}
