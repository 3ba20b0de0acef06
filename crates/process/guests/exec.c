// execve: a new program in the same process, with new arguments and environment.
#include "guest.h"

extern char **environ;

int main(int argc, char **argv) {
    char text[64];
    if (argc == 4 && strcmp(argv[1], "again") == 0) {
        snprintf(text, sizeof text, "%d", getpid());
        EQ(strcmp(argv[2], text), 0);
        EQ(strcmp(argv[3], ""), 0);
        EQ(strcmp(environ[0], "ONE=1"), 0);
        CHECK(environ[1] == NULL);
        ok("pid, arguments and environment as given");
        EQ(lseek(9, 0, SEEK_CUR), 3);
        FAILS(EBADF, lseek(8, 0, SEEK_CUR));
        ok("descriptors are kept unless close-on-exec");
        show("pid %d", getpid());
        return 5;
    }
    char *const none[] = {NULL}, *const argv0[] = {"x", NULL};
    FAILS(ENOENT, execve("absent", argv0, none));
    FAILS(EACCES, execve("/", argv0, none));
    spit("plain", "not a program");
    FAILS(EACCES, execve("plain", argv0, none));
    SYS(chmod("plain", 0755));
    FAILS(ENOEXEC, execve("plain", argv0, none));
    ok("what cannot be executed leaves the program running");

    pid_t child = SYS(fork());
    if (child == 0) {
        int fd = SYS(open("f", O_RDWR | O_CREAT, 0644));
        EQ(write(fd, "abc", 3), 3);
        SYS(dup2(fd, 9));
        SYS(dup3(fd, 8, O_CLOEXEC));
        snprintf(text, sizeof text, "%d", getpid());
        char *const args[] = {"other name", "again", text, "", NULL};
        char *const env[] = {"ONE=1", NULL};
        execve("/proc/self/exe", args, env);
        die("exec: %s", strerror(errno));
    }
    EQ(exit_of(child), 5);
    ok("status of the new program");
    return 0;
}
