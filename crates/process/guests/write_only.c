// Memory mapped for writing alone: the processor lets it be read as well, and its bytes count.
#include "guest.h"

int main(void) {
    char *at = (char *)0x70000000;
    char *memory = mmap(at, 4096, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(memory == at);
    memset(memory, 7, 4096);
    ok("mapped and written");
    EQ(memory[4095], 7);
    ok("read");
    SYS(mprotect(memory, 4096, PROT_READ));
    SYS(mprotect(memory, 4096, PROT_WRITE));
    memory[0] = 8;
    ok("protected and written again");
    EQ(memory[0] + memory[1], 15);
    return 0;
}
