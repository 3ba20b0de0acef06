// cc: -pthread
// fork with threads: only the caller exists in the child; exec ends all the others.
#include "guest.h"

static atomic_int ready, in_child;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void child_side(void) { in_child = 1; }

static void *other(void *arg) {
    (void)arg;
    ready = 1;
    for (;;) {
        PT(pthread_mutex_lock(&mutex));
        PT(pthread_mutex_unlock(&mutex));
        sleep_ms(1);
    }
}

static void *execute(void *arg) {
    (void)arg;
    execl("/proc/self/exe", "x", "again", NULL);
    die("exec: %s", strerror(errno));
}

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) {
        ok("executed by a thread, pid %s", getpid() == syscall(SYS_gettid) ? "is tid" : "differs");
        return 0;
    }
    pthread_t thread;
    PT(pthread_atfork(NULL, NULL, child_side));
    PT(pthread_create(&thread, NULL, other, NULL));
    while (!ready) sleep_ms(1);
    pid_t child = SYS(fork());
    if (child == 0) {
        EQ(in_child, 1);
        int tasks = 0;
        DIR *dir = opendir("/proc/self/task");
        CHECK(dir);
        for (struct dirent *e; (e = readdir(dir));) tasks += e->d_name[0] != '.';
        EQ(tasks, 1);
        _exit(0);
    }
    EQ(exit_of(child), 0);
    ok("a child has one thread");
    pid_t me = getpid();
    child = SYS(fork());
    if (child == 0) {
        pthread_t t;
        PT(pthread_create(&t, NULL, other, NULL));
        PT(pthread_create(&t, NULL, execute, NULL));
        for (;;) pause();
    }
    EQ(exit_of(child), 0);
    EQ(getpid(), me);
    ok("exec from a thread replaces the process");
    return 0;
}
