// brk: grows with zeros, shrinks, grows again with zeros.
#include "guest.h"

int main(void) {
    char *start = sbrk(0);
    CHECK(sbrk(100000) == start);
    CHECK((char *)sbrk(0) == start + 100000);
    for (int i = 0; i < 100000; i++) EQ(start[i], 0);
    memset(start, 'b', 100000);
    CHECK(brk(start + 5000) == 0);
    EQ(start[4999], 'b');
    CHECK(brk(start + 100000) == 0);
    EQ(start[4999], 'b');
    EQ(start[99999], 0);
    CHECK(brk(start) == 0);
    CHECK(sbrk(0) == start);
    ok("grown, shrunk, grown");
    char *blocks[50];
    for (int i = 0; i < 50; i++) {
        blocks[i] = malloc(1 << (i % 20));
        CHECK(blocks[i]);
        memset(blocks[i], i, 1 << (i % 20));
    }
    for (int i = 0; i < 50; i++) {
        EQ(blocks[i][(1 << (i % 20)) - 1], i);
        free(blocks[i]);
    }
    ok("malloc");
    show("brk at %p", (void *)start);
    return 0;
}
