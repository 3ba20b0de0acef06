// cc: -pthread
// Threads that wait without a call, with pause and without: for a flag, in turns, for a ticket, for a lock in user space.
#include "guest.h"

enum { THREADS = 3, ROUNDS = 6 };

static volatile int turn, flag;
static atomic_uint next_ticket, served;
static atomic_int lock;
static volatile uint64_t sum;

static void *in_turns(void *arg) {
    int mine = (intptr_t)arg;
    for (int round = 0; round < ROUNDS; round++) {
        while (turn % THREADS != mine)
            if (mine & 1) __builtin_ia32_pause();
        sum += turn;
        turn++;
    }
    return NULL;
}

static void *by_ticket(void *arg) {
    (void)arg;
    for (int round = 0; round < ROUNDS; round++) {
        unsigned mine = atomic_fetch_add(&next_ticket, 1);
        while (atomic_load_explicit(&served, memory_order_acquire) != mine) __builtin_ia32_pause();
        uint64_t before = sum;
        for (volatile int i = 0; i < 1000; i++) {}
        sum = before + 1;
        atomic_fetch_add(&served, 1);
    }
    return NULL;
}

static void *by_lock(void *arg) {
    bool patient = (intptr_t)arg;
    for (int round = 0; round < ROUNDS; round++) {
        int free = 0;
        while (!atomic_compare_exchange_weak(&lock, &free, 1)) {
            free = 0;
            if (patient) __builtin_ia32_pause();
        }
        sum++;
        // Whoever has it computes for longer than anybody is let.
        if (round == 0) for (volatile int i = 0; i < 20000000; i++) {}
        atomic_store(&lock, 0);
    }
    return NULL;
}

static void *wait_for_flag(void *arg) {
    (void)arg;
    while (!flag) {}
    return NULL;
}

static void all(const char *what, void *(*run)(void *), uint64_t expected) {
    pthread_t id[THREADS];
    sum = 0;
    for (intptr_t i = 0; i < THREADS; i++) PT(pthread_create(&id[i], NULL, run, (void *)i));
    if (run == wait_for_flag) {
        sleep_ms(2);
        flag = 1;
    }
    for (int i = 0; i < THREADS; i++) PT(pthread_join(id[i], NULL));
    EQ(sum, expected);
    ok("%s", what);
}

int main(void) {
    all("in turns", in_turns, THREADS * ROUNDS * (THREADS * ROUNDS - 1) / 2);
    all("by ticket", by_ticket, THREADS * ROUNDS);
    all("by a lock", by_lock, THREADS * ROUNDS);
    all("for a flag", wait_for_flag, 0);
    return 0;
}
