// cc: -static -pthread
// A static program: its own start-up, TLS, IRELATIVE relocations, vDSO.
#include "guest.h"

static __thread int mine = 3;

static void *work(void *arg) {
    mine *= (int)(intptr_t)arg;
    return (void *)(intptr_t)mine;
}

int main(void) {
    char text[64];
    memset(text, 'x', sizeof text);
    EQ(strnlen(text, sizeof text), 64);
    pthread_t thread;
    void *result;
    PT(pthread_create(&thread, NULL, work, (void *)7));
    PT(pthread_join(thread, &result));
    EQ((intptr_t)result, 21);
    int64_t t = now_ns(CLOCK_MONOTONIC);
    CHECK(now_ns(CLOCK_MONOTONIC) >= t);
    show("time %lld", (long long)t);
    ok("static, with a thread");
    return 0;
}
