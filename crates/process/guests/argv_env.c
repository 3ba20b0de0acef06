// args: first --second=2 third
// env: GUEST_WORD=a word
// env: GUEST_EMPTY=
// Arguments, environment and the auxiliary vector.
#include "guest.h"
#include <sys/auxv.h>

int main(int argc, char **argv) {
    EQ(argc, 4);
    for (int i = 1; i < argc; i++) ok("argument %d is %s", i, argv[i]);
    CHECK(argv[argc] == NULL);
    CHECK(getenv("GUEST_WORD") && getenv("GUEST_EMPTY"));
    ok("GUEST_WORD is %s, GUEST_EMPTY is '%s'", getenv("GUEST_WORD"), getenv("GUEST_EMPTY"));
    CHECK(getenv("GUEST_ABSENT") == NULL);
    SYS(setenv("GUEST_NEW", "1", 1));
    EQ(strcmp(getenv("GUEST_NEW"), "1"), 0);
    EQ(getauxval(AT_PAGESZ), 4096);
    EQ(getauxval(AT_UID), getuid());
    EQ(getauxval(AT_SECURE), 0);
    EQ(getauxval(AT_CLKTCK), sysconf(_SC_CLK_TCK));
    CHECK(getauxval(AT_ENTRY) && getauxval(AT_PHDR) && getauxval(AT_RANDOM) && getauxval(AT_EXECFN));
    show("entry %lx, hwcap %lx, execfn %s", getauxval(AT_ENTRY), getauxval(AT_HWCAP),
         (char *)getauxval(AT_EXECFN));
    show("argv at %p", (void *)argv);
    ok("auxiliary vector");
    return 0;
}
