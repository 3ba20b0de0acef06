// cc: -pthread
// Threads that give way to each other again and again by futexes: in pairs, in a ring, at a barrier, at a contended lock, and from a queue.
#include "guest.h"
#include <linux/futex.h>

enum { ROUNDS = 10000, RING = 5, LAPS = 400, WORKERS = 4 };

// Who did what, in order: the same in a replay.
static uint64_t history = 14695981039346656037u;
static void note(uint64_t what) { history = (history ^ what) * 1099511628211u; }

static long futex(atomic_int *at, int op, int value) { return syscall(SYS_futex, at, op, value, NULL, NULL, 0); }

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn;

static void *pair(void *arg) {
    int me = (int)(intptr_t)arg;
    for (int i = 0; i < ROUNDS; i++) {
        PT(pthread_mutex_lock(&mutex));
        while (turn % 2 != me) PT(pthread_cond_wait(&changed, &mutex));
        note(gettid() * 2 + i % 2);
        turn++;
        PT(pthread_cond_signal(&changed));
        PT(pthread_mutex_unlock(&mutex));
    }
    return NULL;
}

static void pairs(void) {
    pthread_t threads[2];
    for (intptr_t i = 0; i < 2; i++) PT(pthread_create(&threads[i], NULL, pair, (void *)i));
    for (int i = 0; i < 2; i++) PT(pthread_join(threads[i], NULL));
    EQ(turn, 2 * ROUNDS);
    show("pairs %llx", (unsigned long long)history);
    ok("two threads in turn by a condition");
}

// One word each: who has it wakes the next, with registers that must be the same afterwards.
static atomic_int place[RING];
static int laps;

static void *in_ring(void *arg) {
    int me = (int)(intptr_t)arg, next = (me + 1) % RING;
    double x = me + 0.5;
    for (int i = 0; i < LAPS; i++) {
        while (place[me] == 0)
            if (futex(&place[me], FUTEX_WAIT_PRIVATE, 0) == -1) CHECK(errno == EAGAIN || errno == EINTR);
        place[me] = 0;
        laps++;
        x = x * 1.0000001 + laps % 3;
        errno = me + 1;
        note(gettid());
        place[next] = 1;
        futex(&place[next], FUTEX_WAKE_PRIVATE, 1);
        if (i % 50 == 49) SYS(sched_yield());
    }
    note((uint64_t)(x * 1000));
    return NULL;
}

static void ring(void) {
    pthread_t threads[RING];
    for (intptr_t i = 0; i < RING; i++) PT(pthread_create(&threads[i], NULL, in_ring, (void *)i));
    place[0] = 1;
    futex(&place[0], FUTEX_WAKE_PRIVATE, 1);
    for (int i = 0; i < RING; i++) PT(pthread_join(threads[i], NULL));
    EQ(laps, RING * LAPS);
    show("ring %llx", (unsigned long long)history);
    ok("a ring");
}

static pthread_barrier_t barrier;
static int sum;

static void *at_barrier(void *arg) {
    int serial = 0;
    for (int i = 0; i < 100; i++) {
        PT(pthread_mutex_lock(&mutex));
        sum += i + (arg != NULL);
        // Whoever comes now finds the lock taken.
        if (i % 3 == 0) SYS(sched_yield());
        note(gettid() + i);
        PT(pthread_mutex_unlock(&mutex));
        int r = pthread_barrier_wait(&barrier);
        CHECK(r == 0 || r == PTHREAD_BARRIER_SERIAL_THREAD);
        serial += r != 0;
        EQ(sum >= WORKERS * (i * (i + 1) / 2), 1);
        r = pthread_barrier_wait(&barrier);
        CHECK(r == 0 || r == PTHREAD_BARRIER_SERIAL_THREAD);
    }
    return (void *)(intptr_t)serial;
}

static void barriers(void) {
    pthread_t threads[WORKERS];
    PT(pthread_barrier_init(&barrier, NULL, WORKERS));
    for (int i = 0; i < WORKERS; i++) PT(pthread_create(&threads[i], NULL, at_barrier, NULL));
    int serial = 0;
    for (int i = 0; i < WORKERS; i++) {
        void *n;
        PT(pthread_join(threads[i], &n));
        serial += (int)(intptr_t)n;
    }
    EQ(serial, 100);
    EQ(sum, WORKERS * 4950);
    show("barrier %llx", (unsigned long long)history);
    ok("a barrier, and a lock that is taken while others want it");
}

static int queue[8], first, filled, taken;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;

static void *takes(void *arg) {
    long mine = (long)(intptr_t)arg;
    for (;;) {
        PT(pthread_mutex_lock(&mutex));
        while (filled == 0) PT(pthread_cond_wait(&not_empty, &mutex));
        int job = queue[first];
        first = (first + 1) % 8;
        filled--;
        note(gettid() * 100000 + job);
        taken += job >= 0;
        PT(pthread_cond_signal(&not_full));
        PT(pthread_mutex_unlock(&mutex));
        if (job < 0) break;
        mine += job;
        // Something that only the supervisor can answer, now and then.
        if (job % 64 == 0) CHECK(umask(022) == 022);
    }
    return (void *)(intptr_t)mine;
}

static void put(int job) {
    PT(pthread_mutex_lock(&mutex));
    while (filled == 8) PT(pthread_cond_wait(&not_full, &mutex));
    queue[(first + filled++) % 8] = job;
    PT(pthread_cond_signal(&not_empty));
    PT(pthread_mutex_unlock(&mutex));
}

static void pool(void) {
    pthread_t threads[WORKERS];
    umask(022);
    for (int i = 0; i < WORKERS; i++) PT(pthread_create(&threads[i], NULL, takes, NULL));
    for (int i = 0; i < 2000; i++) put(i);
    for (int i = 0; i < WORKERS; i++) put(-1);
    long sum = 0;
    for (int i = 0; i < WORKERS; i++) {
        void *n;
        PT(pthread_join(threads[i], &n));
        sum += (long)(intptr_t)n;
    }
    EQ(sum, 1999000);
    EQ(taken, 2000);
    show("pool %llx", (unsigned long long)history);
    ok("a pool with a queue");
}

// Two are woken at once, and one of them goes on for more than its slice while the other could run.
static atomic_int start[2], ended;

static void *runs_long(void *arg) {
    int me = (int)(intptr_t)arg;
    for (int lap = 1; lap <= 200; lap++) {
        while (start[me] != lap) futex(&start[me], FUTEX_WAIT_PRIVATE, lap - 1);
        for (int i = 0; i < (lap % 4 == 3 ? 150 : 1); i++) {
            getppid();
            note(gettid());
        }
        if (++ended == 2 * lap) futex(&ended, FUTEX_WAKE_PRIVATE, 1);
    }
    return NULL;
}

static void slices(void) {
    pthread_t threads[2];
    for (intptr_t i = 0; i < 2; i++) PT(pthread_create(&threads[i], NULL, runs_long, (void *)i));
    for (int lap = 1; lap <= 200; lap++) {
        for (int i = 0; i < 2; i++) {
            start[i] = lap;
            futex(&start[i], FUTEX_WAKE_PRIVATE, 1);
        }
        for (int now; (now = ended) != 2 * lap;) futex(&ended, FUTEX_WAIT_PRIVATE, now);
    }
    for (int i = 0; i < 2; i++) PT(pthread_join(threads[i], NULL));
    show("slices %llx", (unsigned long long)history);
    ok("who has been given way to gives way after its slice");
}

int main(void) {
    pairs();
    ring();
    barriers();
    pool();
    slices();
    return 0;
}
