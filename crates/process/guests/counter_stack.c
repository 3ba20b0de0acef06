// cc: -Wl,-z,execstack
// The time stamp counter read by code on the stack, in an image that another one has made room for.
#include "guest.h"

typedef unsigned long (*code)(void);

int main(int argc, char **argv) {
    if (argc == 1) {
        char self[PATH_MAX] = {0};
        SYS(readlink("/proc/self/exe", self, sizeof self - 1));
        // By way of the shell, all of whose code is known.
        execl("/bin/sh", "sh", "-c", "exec \"$0\" again", self, NULL);
        die("exec of the shell");
    }
    EQ(argc, 2);
    CHECK(strcmp(argv[1], "again") == 0);
    // rdtsc; shl $32,%rdx; or %rdx,%rax; ret
    unsigned char tsc[] = {0x0f, 0x31, 0x48, 0xc1, 0xe2, 32, 0x48, 0x09, 0xd0, 0xc3};
    void *volatile at = tsc;
    unsigned long first = ((code)at)(), second = ((code)at)();
    CHECK(second >= first);
    show("tsc %lu %lu", first, second);
    ok("rdtsc on the stack");
    return 0;
}
