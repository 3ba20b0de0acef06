// What is mapped beside memory that a thread has computed on becomes one mapping with it, as if nothing had looked at it: it can be moved as one.
#include "guest.h"

enum { PAGE = 4096, HALF = 4 };

static volatile sig_atomic_t alarms;
static void note(int signal) { (void)signal; alarms++; }

// Writes a value to the pages, until an alarm has come.
static void fill(unsigned char *at, unsigned char value) {
    struct itimerval timer = {{0, 0}, {0, 1000}};
    int before = alarms;
    SYS(setitimer(ITIMER_REAL, &timer, NULL));
    for (unsigned n = 0; n < HALF || alarms == before; n++) at[n % HALF * PAGE] = value;
}

static void compute(unsigned char *at) { fill(at, 1); }

static void move(const char *what, unsigned char *at) {
    memset(at + HALF * PAGE, 2, HALF * PAGE);
    unsigned char *to = mmap(NULL, 4 * HALF * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(to != MAP_FAILED);
    CHECK(mremap(at, 2 * HALF * PAGE, 3 * HALF * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    compute(to + 2 * HALF * PAGE);
    for (int page = 0; page < 3 * HALF; page++) EQ(to[page * PAGE], page / HALF == 1 ? 2 : 1);
    ok("%s", what);
}

// The middle of a mapping moves away and back to between its neighbours, which are as they were.
static void there_and_back(void) {
    unsigned char *at = mmap(NULL, 3 * HALF * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *to = mmap(NULL, HALF * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED && to != MAP_FAILED);
    unsigned char *middle = at + HALF * PAGE;
    for (int part = 0; part < 3; part++) fill(at + part * HALF * PAGE, 5);
    CHECK(mremap(middle, HALF * PAGE, HALF * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    CHECK(mremap(to, HALF * PAGE, HALF * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, middle) == middle);
    fill(at, 6);
    for (int page = 0; page < 3 * HALF; page++) EQ(at[page * PAGE], page < HALF ? 6 : 5);
    ok("there and back");
}

int main(void) {
    on_signal(SIGALRM, note, 0);
    unsigned char *at = mmap(NULL, 4 * HALF * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    unsigned char *heap = sbrk(HALF * PAGE);
    compute(heap);
    CHECK(sbrk(HALF * PAGE) == heap + HALF * PAGE);
    compute(heap);

    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    CHECK(mmap(at, HALF * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == at);
    compute(at);
    CHECK(mmap(at + HALF * PAGE, HALF * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == at + HALF * PAGE);
    move("mapped beside it", at);

    at = mmap(NULL, 4 * HALF * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    SYS(mprotect(at, HALF * PAGE, PROT_READ | PROT_WRITE));
    compute(at);
    SYS(mprotect(at + HALF * PAGE, HALF * PAGE, PROT_READ | PROT_WRITE));
    move("made writable beside it", at);
    move("the heap", heap);
    there_and_back();
    return 0;
}
