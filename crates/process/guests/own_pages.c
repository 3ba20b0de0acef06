// A program that asks for the very addresses where gapless has pages of its own: natively it gets them, under gapless it is told something else,
// but always the same.
#include "guest.h"

static void ask(uintptr_t at, size_t len) {
    char *got = mmap((void *)at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    show("mmap of %#zx: %p (%d)", at, got, got == MAP_FAILED ? errno : 0);
    if (got != MAP_FAILED) got[len - 1] = 1;
    show("mprotect: %d", mprotect((void *)at, len, PROT_READ | PROT_EXEC));
    show("munmap: %d", munmap((void *)at, len));
}

int main(void) {
    ask(0x10000, 0x1000);
    ask(0x100000, 0x1000);
    ask(0x50f0000, 0x1000);
    ask(0x50f1000, 0x8000);
    ask(0x50e0000, 0x100000);
    ok("whatever it was told, it goes on");
    for (int i = 0; i < 20; i++) getppid();
    ok("and calls");
    return 0;
}
