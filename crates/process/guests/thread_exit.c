// cc: -pthread
// status: 17
// The first thread ends, another ends the process while a third is blocked.
#include "guest.h"

static pthread_t first;

static void *blocked(void *arg) {
    (void)arg;
    for (;;) pause();
    return NULL;
}

static void *last(void *arg) {
    (void)arg;
    PT(pthread_join(first, NULL));
    ok("joined the first thread");
    exit(17);
}

int main(void) {
    pthread_t thread;
    first = pthread_self();
    PT(pthread_create(&thread, NULL, blocked, NULL));
    PT(pthread_create(&thread, NULL, last, NULL));
    pthread_exit(NULL);
}
