// args: 7 24
// Writes, maps, unmaps, protects, moves, drops, forks and computes at random, with a copy of what must be where. It computes
// until an alarm comes, so that each round ends in the middle of its writes.
#include "guest.h"

enum { PAGE = 4096, AREAS = 6, PAGES = 48 };

struct area {
    unsigned char *at;
    size_t pages;
    // What the first word of each page must be.
    uint64_t *copy;
    bool shared, of_file, closed;
};

static struct area areas[AREAS];
static uint64_t state;
static volatile sig_atomic_t alarms;
static void note(int signal) { (void)signal; alarms++; }

static uint64_t draw(uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static uint64_t *word(struct area *a, size_t page) { return (uint64_t *)(a->at + page * PAGE); }

static uint64_t of_file(struct area *a, size_t page) { return a->of_file ? page + 1 : 0; }

static int file(void) {
    char name[] = "areaXXXXXX";
    int fd = SYS(mkstemp(name));
    SYS(unlink(name));
    for (uint64_t page = 0; page < PAGES; page++) {
        uint64_t number = page + 1;
        EQ(pwrite(fd, &number, 8, page * PAGE), 8);
    }
    return fd;
}

static void make(struct area *a) {
    *a = (struct area){.pages = 1 + draw(PAGES), .shared = draw(3) == 0, .of_file = draw(2)};
    a->copy = malloc(PAGES * 8);
    int fd = a->of_file ? file() : -1;
    int flags = (a->shared ? MAP_SHARED : MAP_PRIVATE) | (a->of_file ? 0 : MAP_ANONYMOUS);
    a->at = mmap(NULL, a->pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
    CHECK(a->at != MAP_FAILED);
    if (fd >= 0) SYS(close(fd));
    for (size_t page = 0; page < a->pages; page++) a->copy[page] = of_file(a, page);
}

static void drop(struct area *a) {
    SYS(munmap(a->at, a->pages * PAGE));
    free(a->copy);
    a->at = NULL;
}

static void verify(void) {
    for (int i = 0; i < AREAS; i++) {
        struct area *a = &areas[i];
        if (!a->at) continue;
        if (a->closed) SYS(mprotect(a->at, a->pages * PAGE, PROT_READ));
        for (size_t page = 0; page < a->pages; page++) {
            if (*word(a, page) != a->copy[page])
                die("area %d, page %zu: %llx, not %llx", i, page, (unsigned long long)*word(a, page),
                    (unsigned long long)a->copy[page]);
        }
        if (a->closed) SYS(mprotect(a->at, a->pages * PAGE, PROT_NONE));
    }
}

// Stores without a call, zeros among them, to one page in so many.
static void store(size_t step) {
    struct area *a = &areas[draw(AREAS)];
    if (!a->at || a->closed) return;
    size_t page = draw(a->pages) / step * step;
    uint64_t value = draw(4) ? state : 0;
    *word(a, page) = value;
    a->copy[page] = value;
}

static void change(struct area *a) {
    size_t len = a->pages * PAGE;
    switch (draw(7)) {
    case 0:
        drop(a);
        make(a);
        break;
    case 1:
        a->closed = !a->closed;
        SYS(mprotect(a->at, len, a->closed ? PROT_NONE : PROT_READ | PROT_WRITE));
        break;
    case 2: {
        // Half of it is dropped; shared memory keeps what it holds.
        size_t from = draw(a->pages);
        SYS(madvise(a->at + from * PAGE, len - from * PAGE, MADV_DONTNEED));
        for (size_t page = from; page < a->pages && !a->shared; page++) a->copy[page] = of_file(a, page);
        break;
    }
    case 3: {
        // It moves to where another mapping was.
        unsigned char *to = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(to != MAP_FAILED);
        to[0] = 1;
        a->at = mremap(a->at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
        CHECK(a->at == to);
        break;
    }
    case 4: {
        if (a->shared || a->of_file || a->pages == PAGES) break;
        size_t more = a->pages + draw(PAGES - a->pages) + 1;
        a->at = mremap(a->at, len, more * PAGE, MREMAP_MAYMOVE);
        CHECK(a->at != MAP_FAILED);
        for (size_t page = a->pages; page < more; page++) a->copy[page] = 0;
        a->pages = more;
        break;
    }
    case 5: {
        // The break goes up, is written to, and comes down again.
        unsigned char *old = sbrk(64 * PAGE);
        CHECK(old != (void *)-1);
        memset(old, 7, 64 * PAGE);
        CHECK(sbrk(-32 * PAGE) != (void *)-1);
        CHECK(sbrk(32 * PAGE) != (void *)-1);
        EQ(old[31 * PAGE], 7);
        EQ(old[32 * PAGE], 0);
        CHECK(sbrk(-64 * PAGE) != (void *)-1);
        break;
    }
    case 6: {
        // A call writes to it.
        if (a->closed) break;
        int pipe_[2];
        SYS(pipe(pipe_));
        uint64_t value = state;
        EQ(write(pipe_[1], &value, 8), 8);
        size_t page = draw(a->pages);
        EQ(read(pipe_[0], word(a, page), 8), 8);
        a->copy[page] = value;
        SYS(close(pipe_[0]));
        SYS(close(pipe_[1]));
        break;
    }
    }
}

// Computes until an alarm comes.
static uint64_t compute(void) {
    struct itimerval timer = {{0, 2000}, {0, 2000}}, off = {0};
    uint64_t stores = 0;
    int before = alarms;
    size_t step = 1 << draw(5);
    SYS(setitimer(ITIMER_REAL, &timer, NULL));
    for (; alarms == before; stores++) store(step);
    SYS(setitimer(ITIMER_REAL, &off, NULL));
    return stores;
}

int main(int argc, char **argv) {
    EQ(argc, 3);
    state = atoi(argv[1]);
    on_signal(SIGALRM, note, 0);
    for (int i = 0; i < AREAS; i++) make(&areas[i]);
    uint64_t stores = 0;
    for (int round = 0; round < atoi(argv[2]); round++) {
        for (uint64_t n = draw(4); n > 0; n--) change(&areas[draw(AREAS)]);
        stores += compute();
        verify();
        if (draw(8) == 0) {
            // A child goes on with a copy of all of it, and its stores to what is private stay its own.
            pid_t child = SYS(fork());
            if (child == 0) {
                for (int i = 0; i < AREAS; i++)
                    if (areas[i].shared) drop(&areas[i]);
                compute();
                verify();
                _exit(0);
            }
            stores += compute();
            EQ(exit_of(child), 0);
            verify();
        }
    }
    show("%llu stores", (unsigned long long)stores);
    ok("what was written is there");
    return 0;
}
