// posix_spawn with file actions and attributes.
#include "guest.h"
#include <spawn.h>

extern char **environ;

int main(int argc, char **argv) {
    if (argc > 1) {
        char text[16] = "";
        EQ(read(0, text, sizeof text), 5);
        EQ(strcmp(text, "input"), 0);
        EQ(write(1, "output", 6), 6);
        EQ(getpgrp(), getpid());
        return argc;
    }
    (void)argv;
    spit("in", "input");
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    PT(posix_spawn_file_actions_init(&actions));
    PT(posix_spawn_file_actions_addopen(&actions, 0, "in", O_RDONLY, 0));
    PT(posix_spawn_file_actions_addopen(&actions, 1, "out", O_WRONLY | O_CREAT, 0644));
    PT(posix_spawn_file_actions_addclose(&actions, 7));
    PT(posix_spawnattr_init(&attributes));
    PT(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP));
    PT(posix_spawnattr_setpgroup(&attributes, 0));
    SYS(dup2(0, 7));
    char *args[] = {"x", "a", "b", NULL};
    pid_t child;
    PT(posix_spawn(&child, "/proc/self/exe", &actions, &attributes, args, environ));
    EQ(exit_of(child), 3);
    char text[16];
    EQ(slurp("out", text, sizeof text), 6);
    EQ(strcmp(text, "output"), 0);
    ok("file actions and process group");
    EQ(posix_spawn(&child, "absent", NULL, NULL, args, environ), ENOENT);
    ok("a missing program is the caller's error");
    return 0;
}
