// cc: -pthread
// The futex call itself: value check, timeout, wake counts, requeue, bitsets.
#include "guest.h"
#include <linux/futex.h>

static uint32_t one, two;
static atomic_int woken;

static long futex(uint32_t *at, int op, uint32_t value, const void *time, uint32_t *at2, uint32_t value3) {
    return syscall(SYS_futex, at, op, value, time, at2, value3);
}

static void *waiter(void *arg) {
    (void)arg;
    while (futex(&one, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) != 0) EQ(errno, EINTR);
    atomic_fetch_add(&woken, 1);
    return NULL;
}

static void *bit_waiter(void *bits) {
    while (futex(&one, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (uint32_t)(uintptr_t)bits) != 0)
        EQ(errno, EINTR);
    atomic_fetch_add(&woken, 1);
    return NULL;
}

int main(void) {
    pthread_t threads[3];
    FAILS(EAGAIN, futex(&one, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0));
    struct timespec short_time = {0, 2000000};
    int64_t start = now_ns(CLOCK_MONOTONIC);
    FAILS(ETIMEDOUT, futex(&one, FUTEX_WAIT_PRIVATE, 0, &short_time, NULL, 0));
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 2000000);
    int64_t until = now_ns(CLOCK_MONOTONIC) + 2000000;
    struct timespec absolute = {until / 1000000000, until % 1000000000};
    FAILS(ETIMEDOUT, futex(&one, FUTEX_WAIT_BITSET_PRIVATE, 0, &absolute, NULL, FUTEX_BITSET_MATCH_ANY));
    CHECK(now_ns(CLOCK_MONOTONIC) >= until);
    EQ(futex(&one, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
    ok("value check, relative and absolute timeouts, nobody to wake");

    for (int i = 0; i < 3; i++) PT(pthread_create(&threads[i], NULL, waiter, NULL));
    // Whoever is not waiting yet is not moved: ask until all three are.
    int moved = 0;
    while (moved < 3) {
        // Both ways to ask say how many were moved.
        int op = moved ? FUTEX_REQUEUE_PRIVATE : FUTEX_CMP_REQUEUE_PRIVATE;
        long r = SYS(futex(&one, op, 0, (void *)1, &two, 0));
        moved += r;
        if (r == 0) sleep_ms(1);
    }
    EQ(moved, 3);
    EQ(futex(&one, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 0);
    EQ(futex(&two, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
    EQ(futex(&two, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 2);
    for (int i = 0; i < 3; i++) PT(pthread_join(threads[i], NULL));
    EQ(woken, 3);
    FAILS(EAGAIN, futex(&one, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)10, &two, 5));
    ok("requeue and wake counts");

    woken = 0;
    PT(pthread_create(&threads[0], NULL, bit_waiter, (void *)1));
    PT(pthread_create(&threads[1], NULL, bit_waiter, (void *)2));
    while (futex(&one, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 2) == 0) sleep_ms(1);
    PT(pthread_join(threads[1], NULL));
    EQ(woken, 1);
    while (futex(&one, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 1) == 0) sleep_ms(1);
    PT(pthread_join(threads[0], NULL));
    EQ(woken, 2);
    ok("bitsets choose who wakes");

    // FUTEX_WAKE_OP: set the second, wake on it by its old value.
    two = 4;
    EQ(futex(&one, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &two,
             FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 4)), 0);
    EQ(two, 7);
    ok("wake-op");
    return 0;
}
