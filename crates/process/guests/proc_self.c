// args: one two
// /proc/self: exe, cmdline, maps, stat, status, fd, task, environ, cwd.
#include "guest.h"

static char text[65536];

static int marker = 1;

int main(int argc, char **argv) {
    EQ(argc, 3);
    char path[PATH_MAX] = "", other[64];
    SYS(readlink("/proc/self/exe", path, sizeof path - 1));
    CHECK(strrchr(path, '/') && strstr(path, "proc_self"));
    show("exe %s", path);
    ssize_t n = slurp("/proc/self/cmdline", text, sizeof text);
    EQ(n, strlen(argv[0]) + 1 + 8);
    EQ(memcmp(text + strlen(argv[0]) + 1, "one\0two", 8), 0);
    ok("exe and cmdline");
    slurp("/proc/self/maps", text, sizeof text);
    int code = 0, data = 0, stack = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long from, to;
        char mode[8];
        EQ(sscanf(line, "%lx-%lx %7s", &from, &to, mode), 3);
        CHECK(from < to);
        if ((unsigned long)main >= from && (unsigned long)main < to) {
            code++;
            EQ(strcmp(mode, "r-xp"), 0);
            CHECK(strstr(line, path));
        }
        if ((unsigned long)&marker >= from && (unsigned long)&marker < to) {
            data++;
            EQ(strcmp(mode, "rw-p"), 0);
        }
        if ((unsigned long)&path >= from && (unsigned long)&path < to) stack += !!strstr(line, "[stack]");
    }
    EQ(code, 1);
    EQ(data, 1);
    EQ(stack, 1);
    show("main %p data %p stack %p", (void *)main, (void *)&marker, (void *)path);
    ok("maps");
    slurp("/proc/self/stat", text, sizeof text);
    int pid, ppid;
    char state;
    EQ(sscanf(text, "%d (proc_self) %c %d", &pid, &state, &ppid), 3);
    EQ(pid, getpid());
    EQ(ppid, getppid());
    EQ(state, 'R');
    slurp("/proc/self/status", text, sizeof text);
    snprintf(other, sizeof other, "\nPid:\t%d\n", getpid());
    CHECK(strstr(text, other));
    CHECK(strstr(text, "\nThreads:\t1\n"));
    ok("stat and status");
    int fd = SYS(open("f", O_RDWR | O_CREAT, 0600));
    snprintf(other, sizeof other, "/proc/self/fd/%d", fd);
    memset(path, 0, sizeof path);
    SYS(readlink(other, path, sizeof path - 1));
    EQ(strcmp(strrchr(path, '/'), "/f"), 0);
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir);
    bool seen[1024] = {0};
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && atoi(e->d_name) < 1024) seen[atoi(e->d_name)] = true;
    CHECK(seen[0] && seen[1] && seen[2] && seen[fd] && seen[dirfd(dir)]);
    closedir(dir);
    int again = SYS(open(other, O_RDONLY));
    struct stat a, b;
    SYS(fstat(fd, &a));
    SYS(fstat(again, &b));
    EQ(a.st_ino, b.st_ino);
    ok("fd");
    memset(path, 0, sizeof path);
    SYS(readlink("/proc/self/cwd", path, sizeof path - 1));
    CHECK(getcwd(text, sizeof text));
    EQ(strcmp(path, text), 0);
    snprintf(other, sizeof other, "/proc/%d/comm", getpid());
    slurp(other, text, sizeof text);
    EQ(strcmp(text, "proc_self\n"), 0);
    FAILS(ENOENT, open("/proc/999999999/comm", O_RDONLY));
    ok("cwd, and by pid");
    return 0;
}
