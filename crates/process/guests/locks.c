// cc: -pthread
// The other locks: recursive and checked mutexes, rwlock, barrier, once, spin, semaphores.
#include "guest.h"
#include <semaphore.h>

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_spinlock_t spin;
static int onces, value, spun;
static atomic_int serial;

static void init(void) { onces++; }

static void *work(void *arg) {
    int me = (int)(intptr_t)arg;
    PT(pthread_once(&once, init));
    for (int round = 0; round < 5; round++) {
        int r = pthread_barrier_wait(&barrier);
        CHECK(r == 0 || r == PTHREAD_BARRIER_SERIAL_THREAD);
        if (r != 0) serial++;
        if (me == round % 3) {
            PT(pthread_rwlock_wrlock(&rwlock));
            value = value * 7 + round;
            PT(pthread_rwlock_unlock(&rwlock));
        }
        pthread_barrier_wait(&barrier);
        PT(pthread_rwlock_rdlock(&rwlock));
        int expect = 0;
        for (int i = 0; i <= round; i++) expect = expect * 7 + i;
        EQ(value, expect);
        PT(pthread_rwlock_unlock(&rwlock));
        PT(pthread_spin_lock(&spin));
        spun++;
        PT(pthread_spin_unlock(&spin));
    }
    return NULL;
}

int main(void) {
    pthread_t threads[3];
    PT(pthread_barrier_init(&barrier, NULL, 3));
    PT(pthread_spin_init(&spin, 0));
    for (int i = 0; i < 3; i++) PT(pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i));
    for (int i = 0; i < 3; i++) PT(pthread_join(threads[i], NULL));
    EQ(onces, 1);
    EQ(serial, 5);
    EQ(spun, 15);
    ok("once, barrier, rwlock, spinlock");

    pthread_mutexattr_t attributes;
    pthread_mutex_t mutex;
    PT(pthread_mutexattr_init(&attributes));
    PT(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE));
    PT(pthread_mutex_init(&mutex, &attributes));
    PT(pthread_mutex_lock(&mutex));
    PT(pthread_mutex_lock(&mutex));
    PT(pthread_mutex_unlock(&mutex));
    PT(pthread_mutex_unlock(&mutex));
    EQ(pthread_mutex_unlock(&mutex), EPERM);
    PT(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK));
    PT(pthread_mutex_init(&mutex, &attributes));
    PT(pthread_mutex_lock(&mutex));
    EQ(pthread_mutex_lock(&mutex), EDEADLK);
    ok("recursive and checked mutexes");

    sem_t sem;
    SYS(sem_init(&sem, 0, 1));
    SYS(sem_wait(&sem));
    FAILS(EAGAIN, sem_trywait(&sem));
    struct timespec past = {1, 0};
    FAILS(ETIMEDOUT, sem_timedwait(&sem, &past));
    SYS(sem_post(&sem));
    int n;
    SYS(sem_getvalue(&sem, &n));
    EQ(n, 1);
    ok("semaphore");
    return 0;
}
