// execve of a script: the #! line names the interpreter and one argument.
#include "guest.h"

int main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "as interpreter") == 0) {
        EQ(strcmp(argv[2], "./script"), 0);
        EQ(strcmp(argv[3], "a"), 0);
        EQ(strcmp(argv[4], "b c"), 0);
        ok("interpreter, its argument, script, arguments");
        return 3;
    }
    char self[PATH_MAX] = "", text[PATH_MAX + 64];
    SYS(readlink("/proc/self/exe", self, sizeof self - 1));
    snprintf(text, sizeof text, "#!%s as interpreter\nwhatever\n", self);
    spit("script", text);
    SYS(chmod("script", 0755));
    pid_t child = SYS(fork());
    if (child == 0) {
        execl("./script", "ignored", "a", "b c", NULL);
        die("exec: %s", strerror(errno));
    }
    EQ(exit_of(child), 3);

    spit("sh", "#!/bin/sh\nexit $(($1 + 1))\n");
    SYS(chmod("sh", 0755));
    child = SYS(fork());
    if (child == 0) {
        execl("./sh", "sh", "40", NULL);
        die("exec: %s", strerror(errno));
    }
    EQ(exit_of(child), 41);
    ok("a shell script");

    spit("absent", "#!/no/such/interpreter\n");
    SYS(chmod("absent", 0755));
    char *const args[] = {"absent", NULL};
    FAILS(ENOENT, execv("./absent", args));
    ok("a missing interpreter is an error");
    return 0;
}
