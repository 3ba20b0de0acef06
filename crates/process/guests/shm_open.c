// shm_open: shared memory by name, between unrelated opens; semaphores by name.
#include "guest.h"
#include <semaphore.h>

int main(void) {
    char name[64], sem_name[64];
    // Names are one space for the whole host: ours must not meet another run's.
    snprintf(name, sizeof name, "/gapless-guest-%d", getpid());
    snprintf(sem_name, sizeof sem_name, "/gapless-sem-%d", getpid());
    int fd = SYS(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    FAILS(EEXIST, shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    SYS(ftruncate(fd, 4096));
    int *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(m != MAP_FAILED);
    sem_t *sem = sem_open(sem_name, O_CREAT | O_EXCL, 0600, 0);
    CHECK(sem != SEM_FAILED);
    pid_t child = SYS(fork());
    if (child == 0) {
        int other = SYS(shm_open(name, O_RDWR, 0));
        int *mine = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
        CHECK(mine != MAP_FAILED && mine != m);
        sem_t *mine_too = sem_open(sem_name, 0);
        CHECK(mine_too != SEM_FAILED);
        mine[10] = 1234;
        SYS(sem_post(mine_too));
        _exit(0);
    }
    while (sem_wait(sem) == -1) EQ(errno, EINTR);
    EQ(m[10], 1234);
    EQ(exit_of(child), 0);
    SYS(shm_unlink(name));
    SYS(sem_unlink(sem_name));
    FAILS(ENOENT, shm_open(name, O_RDWR, 0));
    ok("memory and semaphore by name");
    return 0;
}
