// cc: -pthread
// Who is woken by a futex, in which order, and how long the waker goes on: bitsets, counts, a word with two addresses, wrong values.
#include "guest.h"
#include <linux/futex.h>

enum { WAITERS = 6 };
static int word, go;
static atomic_int awake, flag;
static int order[WAITERS];
static char trace[4096];
static atomic_int traced;

static long futex(int *at, int op, int value, int bits) { return syscall(SYS_futex, at, op, value, NULL, NULL, bits); }

// What came after what: only as far as the threads have a fixed order, which natively they have not.
static void note(char what) {
    int at = traced++;
    if (at < (int)sizeof trace - 1) trace[at] = what;
}

static void say_trace(const char *of) {
    show("%s: %s", of, trace);
    memset(trace, 0, sizeof trace);
    traced = 0;
}

static void *wait_with(void *arg) {
    int n = (int)(intptr_t)arg;
    while (futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, 1 << (n & 31)) == -1) CHECK(errno == EINTR);
    note((char)('0' + n % 10));
    order[awake++] = n;
    return NULL;
}

static void *sets_flag(void *arg UNUSED) {
    while (!go) futex(&go, FUTEX_WAIT_PRIVATE, 0, 0);
    flag = 1;
    return NULL;
}

// Whoever does not wait yet cannot be moved, here to where it is.
static bool are_asleep(int n) {
    return syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)(intptr_t)WAITERS, &word, 0) == n;
}

static void wrong_values(void) {
    int *unaligned = (int *)((char *)&word + 1);
    for (int i = 0; i < 6; i++) {
        FAILS(EAGAIN, futex(&word, FUTEX_WAIT_PRIVATE, 1, 0));
        FAILS(EAGAIN, futex(&word, FUTEX_WAIT, 2, 0));
        FAILS(EAGAIN, futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 3, 5));
        FAILS(EINVAL, futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 3, 0));
        FAILS(EINVAL, futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 3, 0));
        FAILS(EINVAL, futex(unaligned, FUTEX_WAIT_PRIVATE, 1, 0));
        FAILS(EINVAL, futex(unaligned, FUTEX_WAKE_PRIVATE, 1, 0));
        FAILS(EFAULT, futex(nowhere, FUTEX_WAIT_PRIVATE, 1, 0));
        EQ(futex(&word, FUTEX_WAKE_PRIVATE, 1, 0), 0);
        EQ(futex(&word, FUTEX_WAKE, INT_MAX, 0), 0);
        EQ(futex(&word, FUTEX_WAKE_BITSET, INT_MAX, 1), 0);
        SYS(sched_yield());
    }
    ok("wrong values, wrong addresses, nobody to wake");
}

static void in_order(void) {
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        PT(pthread_create(&threads[i], NULL, wait_with, (void *)(intptr_t)i));
        while (!are_asleep(i + 1)) sched_yield();
    }
    EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, 1 << 30), 0);
    EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, 1 << 4), 1);
    note('a');
    EQ(futex(&word, FUTEX_WAKE_PRIVATE, 2, 0), 2);
    note('b');
    while (awake < 3) sched_yield();
    note('c');
    EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, 1 << 2 | 1 << 5), 2);
    // Whatever the count says, one is woken.
    EQ(futex(&word, FUTEX_WAKE_PRIVATE, 0, 0), 1);
    EQ(futex(&word, FUTEX_WAKE_PRIVATE, -1, 0), 0);
    for (int i = 0; i < WAITERS; i++) PT(pthread_join(threads[i], NULL));
    // Who is woken together runs in any order.
    EQ(order[0] * order[0] + order[1] * order[1] + order[2] * order[2], 4 * 4 + 0 + 1);
    say_trace("order");
    ok("bitsets and counts choose who wakes");
}

// The waker is not stopped by waking: it goes on until its slice is over.
static void waker_goes_on(int calls) {
    pthread_t thread;
    awake = 0;
    PT(pthread_create(&thread, NULL, wait_with, NULL));
    while (!are_asleep(1)) sched_yield();
    for (int i = 0; i < calls; i++) getppid();
    EQ(futex(&word, FUTEX_WAKE_PRIVATE, 1, 0), 1);
    int after = 0;
    while (awake == 0) getppid(), after++;
    PT(pthread_join(thread, NULL));
    show("%d calls before, %d after", calls, after);
    ok("a waker that calls on");
}

// It makes no call after that, and yet the other one gets its turn.
static void waker_spins(void) {
    pthread_t thread;
    PT(pthread_create(&thread, NULL, sets_flag, NULL));
    sleep_ms(5);
    for (int i = 0; i < 8; i++) getppid();
    go = 1;
    futex(&go, FUTEX_WAKE_PRIVATE, 1, 0);
    while (!flag) {
    }
    PT(pthread_join(thread, NULL));
    ok("a waker that computes");
}

// One word, two addresses: shared memory that is mapped twice.
static int *here, *there;

static void *wait_there(void *arg) {
    int **at = arg;
    while (futex(*at, FUTEX_WAIT, 0, 0) == -1) CHECK(errno == EINTR);
    awake++;
    return NULL;
}

static void two_addresses(void) {
    int fd = SYS(memfd_create("word", 0));
    SYS(ftruncate(fd, 8192));
    here = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    there = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
    CHECK(here != MAP_FAILED && there != MAP_FAILED);
    int *second = here + 1024;
    pthread_t threads[4];
    int **at[4] = {&here, &second, &there, &second};
    awake = 0;
    for (int i = 0; i < 4; i++) PT(pthread_create(&threads[i], NULL, wait_there, at[i]));
    int woken = 0;
    while (woken < 3) woken += SYS(futex(there, FUTEX_WAKE, 1, 0)), sched_yield();
    EQ(futex(second, FUTEX_WAKE, 9, 0), 0);
    while (SYS(futex(here, FUTEX_WAKE, 1, 0)) == 0) sched_yield();
    for (int i = 0; i < 4; i++) PT(pthread_join(threads[i], NULL));
    EQ(awake, 4);
    EQ(*there, 0);
    ok("a word with two addresses");
}

int main(void) {
    wrong_values();
    in_order();
    waker_goes_on(0);
    waker_goes_on(20);
    waker_goes_on(200);
    waker_spins();
    two_addresses();
    return 0;
}
