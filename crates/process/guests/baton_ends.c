// cc: -pthread
// What becomes of threads that wait while others give way to each other: one ends, the process forks, runs another program or is killed.
#include "guest.h"
#include <linux/futex.h>
#include <spawn.h>

extern char **environ;

static long futex(atomic_int *at, int op, int value) { return syscall(SYS_futex, at, op, value, NULL, NULL, 0); }

static atomic_int ball, never;

static void *player(void *arg) {
    int me = (int)(intptr_t)arg;
    while (ball >= 0) {
        int now = ball;
        if (now % 2 != me) {
            futex(&ball, FUTEX_WAIT_PRIVATE, now);
            continue;
        }
        if (!atomic_compare_exchange_strong(&ball, &now, now + 1)) break;
        futex(&ball, FUTEX_WAKE_PRIVATE, INT_MAX);
    }
    return NULL;
}

static void *waits_forever(void *arg UNUSED) {
    for (;;) futex(&never, FUTEX_WAIT_PRIVATE, 0);
    return NULL;
}

static pthread_t players[2];

static void play(int rounds) {
    ball = 0;
    for (intptr_t i = 0; i < 2; i++) PT(pthread_create(&players[i], NULL, player, (void *)i));
    while (ball < rounds) sleep_ms(1);
}

static void end_play(void) {
    ball = -10;
    futex(&ball, FUTEX_WAKE_PRIVATE, INT_MAX);
    for (int i = 0; i < 2; i++) PT(pthread_join(players[i], NULL));
}

// Two that play and two that wait, for what comes to an end anyhow.
static void play_for_good(void) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) PT(pthread_create(&threads[i], NULL, waits_forever, NULL));
    play(400);
}

// ---- a thread ends ----

static pthread_mutex_t robust;
static atomic_int locked;

static void *ends_with_a_lock(void *arg UNUSED) {
    PT(pthread_mutex_lock(&robust));
    locked = 1;
    futex(&locked, FUTEX_WAKE_PRIVATE, 1);
    // Who wants it waits for it by now.
    for (int i = 0; i < 50; i++) SYS(sched_yield());
    sleep_ms(2);
    return NULL;
}

static void *joins(void *arg) {
    PT(pthread_join(*(pthread_t *)arg, NULL));
    return NULL;
}

static void threads_end(void) {
    pthread_mutexattr_t attr;
    PT(pthread_mutexattr_init(&attr));
    PT(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
    PT(pthread_mutex_init(&robust, &attr));
    play(400);
    for (int i = 0; i < 5; i++) {
        pthread_t ends, joiner;
        locked = 0;
        PT(pthread_create(&ends, NULL, ends_with_a_lock, NULL));
        PT(pthread_create(&joiner, NULL, joins, &ends));
        while (!locked) futex(&locked, FUTEX_WAIT_PRIVATE, 0);
        EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
        PT(pthread_mutex_consistent(&robust));
        PT(pthread_mutex_unlock(&robust));
        PT(pthread_join(joiner, NULL));
    }
    end_play();
    ok("a thread ends: who joins it, and who wants its lock");
}

// ---- the process forks ----

static void *forks(void *arg) {
    int how = (int)(intptr_t)arg;
    for (int i = 0; i < 4; i++) {
        pid_t child;
        if (how == 0) {
            child = SYS(fork());
            if (child == 0) {
                // The threads are not there, and nobody wakes anybody.
                EQ(futex(&never, FUTEX_WAKE_PRIVATE, INT_MAX), 0);
                ball = 0;
                play(100);
                end_play();
                _exit(7);
            }
        } else if (how == 1) {
            child = SYS(vfork());
            if (child == 0) _exit(7);
        } else {
            char *argv[] = {"/bin/sh", "-c", "exit 7", NULL};
            PT(posix_spawn(&child, argv[0], NULL, NULL, argv, environ));
        }
        EQ(exit_of(child), 7);
    }
    return NULL;
}

static void processes(void) {
    pthread_t waiter, forker;
    PT(pthread_create(&waiter, NULL, waits_forever, NULL));
    play(400);
    for (intptr_t how = 0; how < 3; how++) {
        PT(pthread_create(&forker, NULL, forks, (void *)how));
        PT(pthread_join(forker, NULL));
    }
    end_play();
    ok("fork, vfork and posix_spawn beside waiting threads");
}

// ---- the process ends, or becomes another ----

static void *execs(void *arg UNUSED) {
    char *argv[] = {"/bin/sh", "-c", "exit 9", NULL};
    execv(argv[0], argv);
    die("exec: %s", strerror(errno));
}

static void *exits(void *arg UNUSED) {
    for (int i = 0; i < 20; i++) SYS(sched_yield());
    exit(5);
}

// A child that plays, and what makes an end of it. It says when it plays by a byte in the pipe.
static int play_until(void *(*end)(void *), int signal) {
    int fds[2];
    SYS(pipe(fds));
    pid_t child = SYS(fork());
    if (child == 0) {
        pthread_t thread;
        play_for_good();
        EQ(write(fds[1], "p", 1), 1);
        if (end) PT(pthread_create(&thread, NULL, end, NULL));
        waits_forever(NULL);
    }
    char byte;
    EQ(read(fds[0], &byte, 1), 1);
    if (signal) SYS(kill(child, signal));
    int status;
    EQ(SYS(waitpid(child, &status, 0)), child);
    SYS(close(fds[0]));
    SYS(close(fds[1]));
    return status;
}

static void ends(void) {
    for (int i = 0; i < 3; i++) {
        EQ(play_until(execs, 0), 9 << 8);
        EQ(play_until(exits, 0), 5 << 8);
        EQ(play_until(NULL, SIGKILL), SIGKILL);
        EQ(play_until(NULL, SIGTERM), SIGTERM);
    }
    ok("exec, exit and death beside waiting threads");
}

// ---- stopped and continued; a word of two processes ----

static void stopped(void) {
    atomic_int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    pid_t child = SYS(fork());
    if (child == 0) {
        pthread_t waiter;
        PT(pthread_create(&waiter, NULL, waits_forever, NULL));
        play(200);
        for (int i = 0; i < 200; i++) {
            while (shared[0] == 0) futex(&shared[0], FUTEX_WAIT, 0);
            shared[0] = 0;
            shared[1]++;
            futex(&shared[1], FUTEX_WAKE, 1);
        }
        end_play();
        _exit(3);
    }
    for (int i = 0; i < 200; i++) {
        if (i % 50 == 25) {
            int status;
            SYS(kill(child, SIGSTOP));
            EQ(SYS(waitpid(child, &status, WUNTRACED)), child);
            CHECK(WIFSTOPPED(status));
            SYS(kill(child, SIGCONT));
        }
        int before = shared[1];
        shared[0] = 1;
        futex(&shared[0], FUTEX_WAKE, 1);
        while (shared[1] == before) futex(&shared[1], FUTEX_WAIT, before);
    }
    EQ(exit_of(child), 3);
    EQ(shared[1], 200);
    ok("stopped and continued, and woken by another process");
}

int main(void) {
    threads_end();
    processes();
    ends();
    stopped();
    return 0;
}
