// cc: -pthread
// One thread spins on a flag without any system call until another sets it.
#include "guest.h"

static volatile int go, answer;
static atomic_int lock = 1;

static void *spin(void *arg) {
    (void)arg;
    while (!go) {}
    answer = 42;
    // A test-and-set lock that somebody else has to give up.
    while (atomic_exchange(&lock, 1)) __builtin_ia32_pause();
    answer = 43;
    return NULL;
}

int main(void) {
    pthread_t thread;
    PT(pthread_create(&thread, NULL, spin, NULL));
    sleep_ms(5);
    go = 1;
    while (answer != 42) {}
    ok("both sides spun");
    sleep_ms(5);
    atomic_store(&lock, 0);
    PT(pthread_join(thread, NULL));
    EQ(answer, 43);
    ok("a spinning lock");
    return 0;
}
