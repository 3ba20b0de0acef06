// refused: semget
// System V semaphores: several at once, waiting for zero, undo at exit.
#include "guest.h"
#include <sys/ipc.h>
#include <sys/sem.h>

union semun {
    int val;
    unsigned short *array;
};

int main(void) {
    int id = SYS(semget(IPC_PRIVATE, 2, IPC_CREAT | 0600));
    SYS(semctl(id, 0, SETALL, (union semun){.array = (unsigned short[]){1, 0}}));
    struct sembuf take = {0, -1, IPC_NOWAIT}, give = {0, 1, 0};
    SYS(semop(id, &take, 1));
    FAILS(EAGAIN, semop(id, &take, 1));
    SYS(semop(id, &give, 1));
    struct sembuf both[] = {{0, -1, IPC_NOWAIT}, {1, -1, IPC_NOWAIT}};
    FAILS(EAGAIN, semop(id, both, 2));
    EQ(semctl(id, 0, GETVAL), 1);
    ok("all or none");
    pid_t child = SYS(fork());
    if (child == 0) {
        struct sembuf undo = {0, -1, SEM_UNDO}, signal = {1, 1, 0};
        SYS(semop(id, &undo, 1));
        SYS(semop(id, &signal, 1));
        _exit(0);
    }
    struct sembuf wait = {1, -1, 0};
    SYS(semop(id, &wait, 1));
    EQ(semctl(id, 1, GETPID), getpid());
    EQ(exit_of(child), 0);
    EQ(semctl(id, 0, GETVAL), 1);
    ok("a child's operation is undone at its exit");
    struct sembuf zero = {1, 0, 0};
    SYS(semop(id, &zero, 1));
    SYS(semctl(id, 0, IPC_RMID));
    FAILS(EINVAL, semop(id, &give, 1));
    ok("zero, removed");
    return 0;
}
