// cc: -static-pie -fPIE
// A static program at any address, relocating itself.
#include "guest.h"

static const char *table[] = {"relocated", "twice"};

int main(void) {
    EQ(strcmp(table[1], "twice"), 0);
    pid_t child = SYS(fork());
    if (child == 0) _exit(strlen(table[0]));
    EQ(exit_of(child), 9);
    show("at %p", (void *)main);
    ok("static at any address");
    return 0;
}
