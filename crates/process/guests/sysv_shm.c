// System V shared memory: attach twice, fork, remove; by key; at an address; who may do what.
#include "guest.h"
#include <sys/ipc.h>
#include <sys/shm.h>

#define FAILED ((void *)-1)

static struct shmid_ds stat_of(int id) {
    struct shmid_ds ds;
    SYS(shmctl(id, IPC_STAT, &ds));
    return ds;
}

static void two_views(void) {
    int id = SYS(shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0600));
    EQ(stat_of(id).shm_atime, 0);
    char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
    CHECK(a != FAILED && b != FAILED && a != b);
    for (int i = 0; i < 10000; i++) EQ(a[i], 0);
    strcpy(a + 5000, "twice");
    EQ(strcmp(b + 5000, "twice"), 0);
    FAILS(EACCES, mprotect(b, 4096, PROT_READ | PROT_WRITE));
    pid_t child = SYS(fork());
    if (child == 0) {
        struct shmid_ds ds = stat_of(id);
        EQ(ds.shm_nattch, 4);
        EQ(ds.shm_segsz, 10000);
        strcpy(a, "child");
        SYS(shmdt(a));
        EQ(stat_of(id).shm_lpid, getpid());
        _exit(0);
    }
    EQ(exit_of(child), 0);
    EQ(strcmp(b, "child"), 0);
    struct shmid_ds ds = stat_of(id);
    EQ(ds.shm_nattch, 2);
    EQ(ds.shm_cpid, getpid());
    EQ(ds.shm_lpid, child);
    CHECK(ds.shm_atime != 0 && ds.shm_dtime != 0 && ds.shm_ctime != 0);
    EQ(ds.shm_perm.mode, 0600);
    ok("two views, and a child's");
    SYS(shmctl(id, IPC_RMID, NULL));
    EQ(stat_of(id).shm_perm.mode, 0600 | SHM_DEST);
    SYS(shmdt(a));
    EQ(strcmp(b, "child"), 0);
    // One that is gone for others can still be attached by its id.
    a = shmat(id, NULL, 0);
    CHECK(a != FAILED && strcmp(a, "child") == 0);
    SYS(munmap(a, 10000));
    EQ(stat_of(id).shm_nattch, 1);
    SYS(shmdt(b));
    FAILS(EINVAL, shmdt(b));
    FAILS(EINVAL, shmctl(id, IPC_STAT, &ds));
    CHECK(shmat(id, NULL, 0) == FAILED && errno == EINVAL);
    show("id %d", id);
    ok("removed after the last detach");
}

static void by_key(void) {
    key_t key = 0x67000000 | getpid();
    FAILS(ENOENT, shmget(key, 100, 0));
    FAILS(EINVAL, shmget(key, 0, IPC_CREAT | 0600));
    int id = SYS(shmget(key, 100, IPC_CREAT | IPC_EXCL | 0600));
    FAILS(EEXIST, shmget(key, 100, IPC_CREAT | IPC_EXCL | 0600));
    EQ(shmget(key, 100, IPC_CREAT | 0600), id);
    EQ(shmget(key, 0, 0), id);
    FAILS(EINVAL, shmget(key, 101, 0));
    int *word = shmat(id, NULL, 0);
    *word = 7;
    SYS(shmdt(word));
    EQ(stat_of(id).shm_nattch, 0);
    // Nobody has it, and it is still there.
    pid_t child = SYS(fork());
    if (child == 0) {
        int *mine = shmat(SYS(shmget(key, 100, 0)), NULL, 0);
        CHECK(mine != FAILED);
        EQ(*mine, 7);
        *mine = 8;
        _exit(0);
    }
    EQ(exit_of(child), 0);
    EQ(stat_of(id).shm_nattch, 0);
    struct shmid_ds ds = stat_of(id);
    ds.shm_perm.mode = 0400;
    SYS(shmctl(id, IPC_SET, &ds));
    EQ(stat_of(id).shm_perm.mode, 0400);
    SYS(shmctl(id, SHM_LOCK, NULL));
    EQ(stat_of(id).shm_perm.mode, 0400 | SHM_LOCKED);
    EQ(stat_of(id).shm_perm.__key, key);
    word = shmat(id, NULL, SHM_RDONLY);
    CHECK(word != FAILED);
    EQ(*word, 8);
    SYS(shmctl(id, IPC_RMID, NULL));
    FAILS(ENOENT, shmget(key, 100, 0));
    int next = SYS(shmget(key, 100, IPC_CREAT | 0600));
    CHECK(next != id);
    // Attachments of a process that calls exec or ends are gone with it.
    child = SYS(fork());
    if (child == 0) {
        CHECK(shmat(next, NULL, 0) != FAILED);
        execl("/proc/self/exe", "sysv_shm", "end", NULL);
        _exit(98);
    }
    EQ(exit_of(child), 0);
    EQ(stat_of(next).shm_nattch, 0);
    SYS(shmctl(next, IPC_RMID, NULL));
    FAILS(EINVAL, shmctl(next, IPC_RMID, NULL));
    SYS(shmdt(word));
    ok("by key, kept without anybody, changed, removed");
}

static void at_an_address(void) {
    int id = SYS(shmget(IPC_PRIVATE, 3 * 4096, IPC_CREAT | 0600));
    char *room = mmap(NULL, 16 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(room != MAP_FAILED);
    CHECK(shmat(id, room + 1, 0) == FAILED && errno == EINVAL);
    CHECK(shmat(id, room, 0) == FAILED && errno == EINVAL);
    CHECK(shmat(id, NULL, SHM_REMAP) == FAILED && errno == EINVAL);
    CHECK(shmat(id, room + 5, SHM_RND | SHM_REMAP) == room);
    SYS(munmap(room + 8 * 4096, 8 * 4096));
    CHECK(shmat(id, room + 8 * 4096, 0) == room + 8 * 4096);
    strcpy(room + 2 * 4096, "third page");
    EQ(strcmp(room + 10 * 4096, "third page"), 0);
    // A hole in the middle: what is left of it goes at once.
    SYS(munmap(room + 9 * 4096, 4096));
    SYS(shmdt(room + 8 * 4096));
    EQ(stat_of(id).shm_nattch, 1);
    CHECK(mmap(room + 8 * 4096, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
          room + 8 * 4096);
    SYS(shmctl(id, IPC_RMID, NULL));
    // Mapped over: that was the last of it.
    CHECK(mmap(room, 3 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == room);
    FAILS(EINVAL, shmctl(id, SHM_UNLOCK, NULL));
    EQ(room[2 * 4096], 0);
    ok("at an address, in pieces, mapped over");
}

static void of_another_user(void) {
    int mine = SYS(shmget(IPC_PRIVATE, 100, IPC_CREAT | 0640)), all = SYS(shmget(IPC_PRIVATE, 100, IPC_CREAT | 0604));
    pid_t child = SYS(fork());
    if (child == 0) {
        if (getuid() == 0) {
            SYS(setgid(12345));
            SYS(setuid(12345));
            struct shmid_ds ds;
            FAILS(EACCES, shmctl(mine, IPC_STAT, &ds));
            CHECK(shmat(mine, NULL, SHM_RDONLY) == FAILED && errno == EACCES);
            CHECK(shmat(all, NULL, 0) == FAILED && errno == EACCES);
            CHECK(shmat(all, NULL, SHM_RDONLY) != FAILED);
            FAILS(EPERM, shmctl(all, IPC_RMID, NULL));
        }
        _exit(0);
    }
    EQ(exit_of(child), 0);
    SYS(shmctl(mine, IPC_RMID, NULL));
    SYS(shmctl(all, IPC_RMID, NULL));
    ok("who may do what");
}

// A mutex and a condition in the segment, between processes.
static void a_mutex_in_it(void) {
    struct shared {
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        int turn;
    };
    int id = SYS(shmget(IPC_PRIVATE, sizeof(struct shared), IPC_CREAT | 0600));
    struct shared *a = shmat(id, NULL, 0), *b = shmat(id, NULL, 0);
    CHECK(a != FAILED && b != FAILED);
    pthread_mutexattr_t mutex;
    pthread_condattr_t condition;
    PT(pthread_mutexattr_init(&mutex));
    PT(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED));
    PT(pthread_condattr_init(&condition));
    PT(pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED));
    PT(pthread_mutex_init(&a->mutex, &mutex));
    PT(pthread_cond_init(&a->changed, &condition));
    pid_t child = SYS(fork());
    // Each side uses a mapping of its own.
    struct shared *it = child == 0 ? b : a;
    for (int i = 0; i < 20; i++) {
        PT(pthread_mutex_lock(&it->mutex));
        while (it->turn % 2 != (child == 0)) PT(pthread_cond_wait(&it->changed, &it->mutex));
        it->turn++;
        PT(pthread_cond_signal(&it->changed));
        PT(pthread_mutex_unlock(&it->mutex));
    }
    if (child == 0) _exit(0);
    EQ(exit_of(child), 0);
    EQ(a->turn, 40);
    SYS(shmctl(id, IPC_RMID, NULL));
    ok("a mutex and a condition in it");
}

int main(int argc, char **argv) {
    if (argc > 1) return strcmp(argv[1], "end") != 0;
    two_views();
    by_key();
    at_an_address();
    of_another_user();
    a_mutex_in_it();
    return 0;
}
