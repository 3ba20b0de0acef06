// System V semaphores: several at once, waiting for zero, undo at exit, in the order of coming, with a deadline, by signals.
#include "guest.h"
#include <sys/ipc.h>
#include <sys/sem.h>

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

static int value(int id, int n) { return SYS(semctl(id, n, GETVAL)); }

static void add(int id, int n, int by, int flags) {
    struct sembuf op = {n, by, flags};
    SYS(semop(id, &op, 1));
}

// Waits until so many threads wait for a semaphore to grow.
static void await_waiting(int id, int n, int count) {
    while (SYS(semctl(id, n, GETNCNT)) != count) sleep_ms(1);
}

static void all_or_none(int id) {
    SYS(semctl(id, 0, SETALL, (union semun){.array = (unsigned short[]){1, 0, 0}}));
    struct sembuf take = {0, -1, IPC_NOWAIT}, give = {0, 1, 0};
    SYS(semop(id, &take, 1));
    FAILS(EAGAIN, semop(id, &take, 1));
    SYS(semop(id, &give, 1));
    struct sembuf both[] = {{0, -1, IPC_NOWAIT}, {1, -1, IPC_NOWAIT}};
    FAILS(EAGAIN, semop(id, both, 2));
    EQ(value(id, 0), 1);
    struct sembuf turns[] = {{2, 3, 0}, {2, -3, 0}, {2, 0, IPC_NOWAIT}, {2, 2, 0}};
    SYS(semop(id, turns, 4));
    EQ(value(id, 2), 2);
    ok("all or none");
}

static void undone(int id) {
    pid_t child = SYS(fork());
    if (child == 0) {
        add(id, 0, -1, SEM_UNDO);
        add(id, 1, 1, 0);
        _exit(0);
    }
    add(id, 1, -1, 0);
    EQ(semctl(id, 1, GETPID), getpid());
    EQ(exit_of(child), 0);
    EQ(value(id, 0), 1);
    EQ(semctl(id, 0, GETPID), child);
    ok("a child's operation is undone at its exit");
    child = SYS(fork());
    if (child == 0) {
        add(id, 0, -1, SEM_UNDO);
        pause();
        _exit(1);
    }
    // Waits for what only the child's death gives back.
    while (value(id, 0) == 1) sleep_ms(1);
    SYS(kill(child, SIGKILL));
    add(id, 0, -1, 0);
    int status;
    EQ(waitpid(child, &status, 0), child);
    EQ(WTERMSIG(status), SIGKILL);
    SYS(semctl(id, 0, SETVAL, (union semun){.val = 5}));
    child = SYS(fork());
    if (child == 0) {
        add(id, 0, -1, SEM_UNDO);
        SYS(semctl(id, 0, SETVAL, (union semun){.val = 3}));
        _exit(0);
    }
    EQ(exit_of(child), 0);
    EQ(value(id, 0), 3);
    ok("at its death too, but not what was set since");
}

static void in_order(int id) {
    SYS(semctl(id, 0, SETVAL, (union semun){.val = 0}));
    int pipes[2];
    SYS(pipe(pipes));
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = SYS(fork());
        if (children[i] == 0) {
            // The second one wants two, and the third one only one.
            add(id, 0, i == 1 ? -2 : -1, 0);
            char c = '0' + i;
            EQ(write(pipes[1], &c, 1), 1);
            _exit(0);
        }
        await_waiting(id, 0, i + 1);
    }
    char who[4] = "";
    add(id, 0, 1, 0);
    EQ(read(pipes[0], who, 1), 1);
    // Given to who waits, before whoever comes later can take it.
    add(id, 0, 1, 0);
    struct sembuf mine = {0, -1, IPC_NOWAIT};
    FAILS(EAGAIN, semop(id, &mine, 1));
    EQ(read(pipes[0], who + 1, 1), 1);
    EQ(semctl(id, 0, GETNCNT), 1);
    add(id, 0, 2, 0);
    EQ(read(pipes[0], who + 2, 1), 1);
    for (int i = 0; i < 3; i++) EQ(exit_of(children[i]), 0);
    ok("served as %s", who);
    EQ(value(id, 0), 0);
    // One that waits for zero, and lets another one go on.
    SYS(semctl(id, 1, SETVAL, (union semun){.val = 2}));
    pid_t child = SYS(fork());
    if (child == 0) {
        struct sembuf ops[] = {{1, 0, 0}, {0, 1, 0}};
        SYS(semop(id, ops, 2));
        _exit(0);
    }
    while (SYS(semctl(id, 1, GETZCNT)) != 1) sleep_ms(1);
    add(id, 1, -1, 0);
    EQ(value(id, 0), 0);
    add(id, 1, -1, 0);
    add(id, 0, -1, 0);
    EQ(exit_of(child), 0);
    ok("zero");
}

static volatile sig_atomic_t caught;

static void on_caught(int signal UNUSED) { caught = 1; }

static void waits_that_end(int id) {
    struct sembuf take = {0, -1, 0};
    int64_t before = now_ns(CLOCK_MONOTONIC);
    FAILS(EAGAIN, semtimedop(id, &take, 1, &(struct timespec){0, 20000000}));
    CHECK(now_ns(CLOCK_MONOTONIC) - before >= 20000000);
    FAILS(EINVAL, semtimedop(id, &take, 1, &(struct timespec){0, 1000000000}));
    on_signal(SIGALRM, on_caught, SA_RESTART);
    SYS(setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, 20000}}, NULL));
    FAILS(EINTR, semop(id, &take, 1));
    EQ(semctl(id, 0, GETNCNT), 0);
    add(id, 0, 1, 0);
    EQ(value(id, 0), 1);
    SYS(semtimedop(id, &take, 1, &(struct timespec){1, 0}));
    ok("a deadline, a signal");
    // Given before the signal comes: not taken back.
    caught = 0;
    pid_t child = SYS(fork());
    if (child == 0) {
        SYS(semop(id, &take, 1));
        while (!caught) sleep_ms(1);
        _exit(0);
    }
    await_waiting(id, 0, 1);
    add(id, 0, 1, 0);
    SYS(kill(child, SIGALRM));
    EQ(exit_of(child), 0);
    EQ(value(id, 0), 0);
    ok("given before a signal");
    child = SYS(fork());
    if (child == 0) {
        FAILS(EIDRM, semop(id, &take, 1));
        _exit(0);
    }
    await_waiting(id, 0, 1);
    SYS(semctl(id, 0, IPC_RMID));
    EQ(exit_of(child), 0);
    struct sembuf give = {0, 1, 0};
    FAILS(EINVAL, semop(id, &give, 1));
    ok("removed");
}

static void limits(void) {
    key_t key = 0x67000000 | getpid();
    FAILS(ENOENT, semget(key, 1, 0));
    FAILS(EINVAL, semget(key, 0, IPC_CREAT));
    FAILS(EINVAL, semget(key, -1, IPC_CREAT));
    int id = SYS(semget(key, 2, IPC_CREAT | IPC_EXCL | 0600));
    FAILS(EEXIST, semget(key, 2, IPC_CREAT | IPC_EXCL | 0600));
    FAILS(EINVAL, semget(key, 3, 0));
    EQ(semget(key, 1, 0), id);
    struct sembuf far = {2, 1, 0}, many = {0, 32767, 0}, one = {0, 1, 0};
    FAILS(EFBIG, semop(id, &far, 1));
    FAILS(EINVAL, semop(id, &one, 0));
    FAILS(E2BIG, semop(id, &one, 501));
    SYS(semop(id, &many, 1));
    FAILS(ERANGE, semop(id, &one, 1));
    FAILS(ERANGE, semctl(id, 0, SETVAL, (union semun){.val = 32768}));
    FAILS(EINVAL, semctl(id, 2, GETVAL));
    unsigned short values[2];
    SYS(semctl(id, 0, GETALL, (union semun){.array = values}));
    EQ(values[0], 32767);
    EQ(values[1], 0);
    struct semid_ds ds;
    SYS(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
    EQ(ds.sem_nsems, 2);
    CHECK(ds.sem_otime != 0 && ds.sem_ctime != 0);
    ds.sem_perm.mode = 0400;
    SYS(semctl(id, 0, IPC_SET, (union semun){.buf = &ds}));
    pid_t child = SYS(fork());
    if (child == 0) {
        if (getuid() == 0) SYS(setuid(12345));
        FAILS(EACCES, semop(id, &one, 1));
        if (getuid() == 12345) FAILS(EPERM, semctl(id, 0, IPC_RMID));
        _exit(0);
    }
    EQ(exit_of(child), 0);
    SYS(semctl(id, 0, IPC_RMID));
    ok("limits, and who may do what");
}

int main(void) {
    int id = SYS(semget(IPC_PRIVATE, 3, IPC_CREAT | 0600));
    all_or_none(id);
    undone(id);
    in_order(id);
    waits_that_end(id);
    limits();
    return 0;
}
