// Shared memory between processes: anonymous and of a file, stores seen by the other side.
#include "guest.h"

struct shared {
    atomic_int turn;
    int cells[64];
};

static void play(struct shared *s) {
    s->turn = 0;
    memset(s->cells, 0, sizeof s->cells);
    pid_t child = SYS(fork());
    int me = child == 0;
    for (int i = 0; i < 64; i++) {
        if (i % 2 != me) continue;
        while (s->turn != i) sched_yield();
        s->cells[i] = i == 0 ? 1 : s->cells[i - 1] * 3 % 65537 + i;
        s->turn = i + 1;
    }
    if (child == 0) _exit(0);
    EQ(exit_of(child), 0);
    int expect = 1;
    for (int i = 1; i < 64; i++) expect = expect * 3 % 65537 + i;
    EQ(s->cells[63], expect);
}

int main(void) {
    struct shared *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(s != MAP_FAILED);
    play(s);
    ok("anonymous");
    SYS(munmap(s, 4096));
    int fd = SYS(open("f", O_RDWR | O_CREAT, 0600));
    SYS(ftruncate(fd, 4096));
    s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(s != MAP_FAILED);
    play(s);
    int last;
    EQ(pread(fd, &last, sizeof last, offsetof(struct shared, cells[63])), sizeof last);
    EQ(last, s->cells[63]);
    ok("of a file, and read sees the stores");
    return 0;
}
