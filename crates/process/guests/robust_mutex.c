// cc: -pthread
// A robust mutex tells the next owner that the last one died holding it.
#include "guest.h"

static pthread_mutex_t *mutex;
static int hold_pipe[2];

static void *die_holding(void *arg) {
    (void)arg;
    PT(pthread_mutex_lock(mutex));
    return NULL;
}

static void recover(const char *who) {
    EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
    PT(pthread_mutex_consistent(mutex));
    PT(pthread_mutex_unlock(mutex));
    PT(pthread_mutex_lock(mutex));
    PT(pthread_mutex_unlock(mutex));
    ok("%s", who);
}

int main(void) {
    mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(mutex != MAP_FAILED);
    pthread_mutexattr_t attributes;
    PT(pthread_mutexattr_init(&attributes));
    PT(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
    PT(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
    PT(pthread_mutex_init(mutex, &attributes));

    pthread_t thread;
    PT(pthread_create(&thread, NULL, die_holding, NULL));
    PT(pthread_join(thread, NULL));
    recover("a thread ended");

    pid_t child = SYS(fork());
    if (child == 0) {
        PT(pthread_mutex_lock(mutex));
        _exit(0);
    }
    EQ(exit_of(child), 0);
    recover("a process exited");

    // Killed while another process waits in the kernel for the mutex.
    SYS(pipe(hold_pipe));
    child = SYS(fork());
    if (child == 0) {
        PT(pthread_mutex_lock(mutex));
        EQ(write(hold_pipe[1], "x", 1), 1);
        for (;;) pause();
    }
    char c;
    EQ(read(hold_pipe[0], &c, 1), 1);
    pid_t killer = SYS(fork());
    if (killer == 0) {
        sleep_ms(10);
        SYS(kill(child, SIGKILL));
        _exit(0);
    }
    recover("a process was killed");
    int status;
    EQ(waitpid(child, &status, 0), child);
    EQ(WTERMSIG(status), SIGKILL);
    EQ(exit_of(killer), 0);

    PT(pthread_create(&thread, NULL, die_holding, NULL));
    PT(pthread_join(thread, NULL));
    EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
    PT(pthread_mutex_unlock(mutex));
    EQ(pthread_mutex_lock(mutex), ENOTRECOVERABLE);
    ok("not made consistent: not recoverable");
    return 0;
}
