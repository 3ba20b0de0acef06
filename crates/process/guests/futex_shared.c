// cc: -pthread
// Futexes in shared memory between processes: mutex, condition and semaphore; a wake that comes just before a signal.
#include "guest.h"
#include <linux/futex.h>
#include <semaphore.h>

struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    sem_t sem;
    int turn, sum;
};

static volatile sig_atomic_t caught;

static void on_usr1(int signal UNUSED) { caught = 1; }

// Who is woken and then gets a signal, before it runs again, was woken all the same.
static void woken_before_a_signal(int *word) {
    on_signal(SIGUSR1, on_usr1, 0);
    pid_t child = SYS(fork());
    if (child == 0) {
        EQ(syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0), 0);
        while (!caught) sleep_ms(1);
        _exit(0);
    }
    while (SYS(syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0)) == 0) sched_yield();
    SYS(kill(child, SIGUSR1));
    EQ(exit_of(child), 0);
    ok("woken before a signal");
}

static long wake(atomic_int *word) { return syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0); }

static void *waits(void *word) {
    syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
    _exit(1);
}

// Who waits for a private word waits for that one, whatever is mapped there since.
static void mapped_over(void) {
    pid_t child = SYS(fork());
    if (child == 0) {
        atomic_int *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), other = 0;
        for (int i = 0; i < 20; i++) EQ(wake(&other), 0);
        pthread_t thread;
        PT(pthread_create(&thread, NULL, waits, word));
        sleep_ms(2);
        CHECK(mmap(word, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == word);
        for (int i = 0; i < 20; i++) EQ(wake(word), 0);
        _exit(0);
    }
    EQ(exit_of(child), 0);
    ok("a shared word is another than the private one that was there");
}

int main(void) {
    struct shared *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(s != MAP_FAILED);
    pthread_mutexattr_t mutex;
    pthread_condattr_t cond;
    PT(pthread_mutexattr_init(&mutex));
    PT(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED));
    PT(pthread_mutex_init(&s->mutex, &mutex));
    PT(pthread_condattr_init(&cond));
    PT(pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED));
    PT(pthread_cond_init(&s->changed, &cond));
    SYS(sem_init(&s->sem, 1, 0));
    for (int me = 0; me < 3; me++)
        if (SYS(fork()) == 0) {
            for (int i = 0; i < 10; i++) {
                PT(pthread_mutex_lock(&s->mutex));
                while (s->turn % 3 != me) PT(pthread_cond_wait(&s->changed, &s->mutex));
                s->sum = s->sum * 3 % 1000003 + me;
                s->turn++;
                PT(pthread_cond_broadcast(&s->changed));
                PT(pthread_mutex_unlock(&s->mutex));
            }
            SYS(sem_post(&s->sem));
            _exit(0);
        }
    for (int i = 0; i < 3; i++)
        while (sem_wait(&s->sem) == -1) EQ(errno, EINTR);
    for (int i = 0; i < 3; i++) EQ(wait(NULL) > 0, 1);
    int expect = 0;
    for (int i = 0; i < 30; i++) expect = expect * 3 % 1000003 + i % 3;
    EQ(s->sum, expect);
    ok("three processes take turns");
    s->turn = 0;
    woken_before_a_signal(&s->turn);
    mapped_over();
    return 0;
}
