// mremap: grows in place or moves, shrinks, moves to a fixed place; keeps contents.
#include "guest.h"

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
    return 0;
}
