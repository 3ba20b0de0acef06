// cc: -pthread
// pthread_cancel: at a blocking call, with clean-up, and where it is disabled.
#include "guest.h"

static int p[2];
static atomic_int cleaned, ready;

static void clean(void *arg) { cleaned += (int)(intptr_t)arg; }

static void *blocked(void *arg) {
    char c;
    pthread_cleanup_push(clean, arg);
    ready = 1;
    while (read(p[0], &c, 1) == 1) {}
    pthread_cleanup_pop(0);
    return NULL;
}

static void *guarded(void *arg) {
    (void)arg;
    char c;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    ready = 1;
    EQ(read(p[0], &c, 1), 1);
    return (void *)7;
}

int main(void) {
    pthread_t thread;
    void *result;
    SYS(pipe(p));
    PT(pthread_create(&thread, NULL, blocked, (void *)3));
    while (!ready) sleep_ms(1);
    PT(pthread_cancel(thread));
    PT(pthread_join(thread, &result));
    CHECK(result == PTHREAD_CANCELED);
    EQ(cleaned, 3);
    ok("cancelled in read, cleaned up");
    ready = 0;
    PT(pthread_create(&thread, NULL, guarded, NULL));
    while (!ready) sleep_ms(1);
    PT(pthread_cancel(thread));
    sleep_ms(2);
    EQ(write(p[1], "x", 1), 1);
    PT(pthread_join(thread, &result));
    EQ((intptr_t)result, 7);
    ok("not where it is disabled");
    return 0;
}
