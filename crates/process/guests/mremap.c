// mremap: grows in place or moves, shrinks, moves to a fixed place; keeps contents; leaves an empty range behind.
#include "guest.h"

// MREMAP_DONTUNMAP: the pages move, the range stays.
static void leave_the_range(void) {
    char *m = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m != MAP_FAILED);
    memset(m, 'q', 2 * 4096);
    char *to = mremap(m, 2 * 4096, 2 * 4096, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(to != MAP_FAILED && to != m);
    EQ(to[4096], 'q');
    EQ(m[4096], 0);
    m[4096] = 'x';
    char *place = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const int flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    CHECK(mremap(m + 4096, 4096, 4096, flags, place) == place);
    EQ(place[0], 'x');
    EQ(m[4096], 0);
    FAILS(EINVAL, mremap(m, 4096, 8192, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
    FAILS(EINVAL, mremap(m, 4096, 4096, MREMAP_DONTUNMAP, NULL));
    // What is shared is then there twice.
    char *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(s != MAP_FAILED);
    s[0] = 's';
    char *again = mremap(s, 4096, 4096, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(again != MAP_FAILED && again != s);
    again[0]++;
    EQ(s[0], 't');
    pid_t child = SYS(fork());
    if (child == 0) {
        s[0]++;
        _exit(0);
    }
    EQ(exit_of(child), 0);
    EQ(again[0], 'u');
    ok("moved away from a range that stays");
}

int main(void) {
    char *m = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m != MAP_FAILED);
    memset(m, 'a', 2 * 4096);
    m = mremap(m, 2 * 4096, 64 * 4096, MREMAP_MAYMOVE);
    CHECK(m != MAP_FAILED);
    for (int i = 0; i < 2 * 4096; i++) EQ(m[i], 'a');
    for (int i = 2 * 4096; i < 64 * 4096; i++) EQ(m[i], 0);
    m[63 * 4096] = 'z';
    CHECK(mremap(m, 64 * 4096, 4096, 0) == m);
    ok("grown and shrunk");
    char *place = mmap(NULL, 4 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(place != MAP_FAILED);
    CHECK(mremap(m, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, place + 4096) == place + 4096);
    EQ(place[4096 + 17], 'a');
    char *blocked = mmap(place + 8192, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(blocked == place + 8192);
    CHECK(mremap(place + 4096, 4096, 8192, 0) == MAP_FAILED);
    EQ(errno, ENOMEM);
    ok("moved to a fixed place; no room to grow");
    // What realloc does with large blocks.
    char *block = malloc(1 << 20);
    CHECK(block);
    memset(block, 'r', 1 << 20);
    block = realloc(block, 8 << 20);
    CHECK(block);
    EQ(block[(1 << 20) - 1], 'r');
    free(block);
    ok("realloc");
    leave_the_range();
    return 0;
}
