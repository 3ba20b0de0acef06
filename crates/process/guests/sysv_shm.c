// refused: shmget
// System V shared memory: attach twice, fork, remove.
#include "guest.h"
#include <sys/ipc.h>
#include <sys/shm.h>

int main(void) {
    int id = SYS(shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0600));
    char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
    CHECK(a != (void *)-1 && b != (void *)-1 && a != b);
    for (int i = 0; i < 10000; i++) EQ(a[i], 0);
    strcpy(a + 5000, "twice");
    EQ(strcmp(b + 5000, "twice"), 0);
    pid_t child = SYS(fork());
    if (child == 0) {
        struct shmid_ds ds;
        SYS(shmctl(id, IPC_STAT, &ds));
        EQ(ds.shm_nattch, 4);
        EQ(ds.shm_segsz, 10000);
        strcpy(a, "child");
        SYS(shmdt(a));
        _exit(0);
    }
    EQ(exit_of(child), 0);
    EQ(strcmp(b, "child"), 0);
    struct shmid_ds ds;
    SYS(shmctl(id, IPC_STAT, &ds));
    EQ(ds.shm_nattch, 2);
    EQ(ds.shm_cpid, getpid());
    ok("two views, and a child's");
    SYS(shmctl(id, IPC_RMID, NULL));
    SYS(shmdt(a));
    EQ(strcmp(b, "child"), 0);
    SYS(shmdt(b));
    FAILS(EINVAL, shmdt(b));
    FAILS(EINVAL, shmctl(id, IPC_STAT, &ds));
    show("id %d", id);
    ok("removed after the last detach");
    return 0;
}
