// Calls on paths again and again, while what they name is moved, replaced, removed, changed, by this process and by another.
#include "guest.h"
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { TIMES = 8, SIZE = 3000 };

static char content[SIZE];

static void make(const char *name, int size) {
    int fd = SYS(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    EQ(write(fd, content, size), size);
    SYS(close(fd));
}

// Everything that can be asked of a file of this size, by calls that are made in the same place each time.
static void ask(int dir, const char *name, const char *path, int size) {
    struct stat at, by_path, by_fd;
    struct statx x;
    char buffer[SIZE + 1];
    for (int i = 0; i < TIMES; i++) {
        SYS(fstatat(dir, name, &at, 0));
        SYS(stat(path, &by_path));
        SYS(statx(dir, name, 0, STATX_ALL, &x));
        CHECK(memcmp(&at, &by_path, sizeof at) == 0);
        EQ(at.st_size, size);
        EQ(x.stx_size, size);
        EQ(x.stx_ino, at.st_ino);
        SYS(access(path, R_OK));
        FAILS(EINVAL, access(path, 8));
        int fd = SYS(openat(dir, name, O_RDONLY | O_CLOEXEC)), other = SYS(open(path, O_RDONLY));
        EQ(other, fd + 1);
        SYS(fstat(fd, &by_fd));
        CHECK(memcmp(&at, &by_fd, sizeof at) == 0);
        EQ(read(fd, buffer, sizeof buffer), size);
        EQ(read(other, buffer, 2), size < 2 ? size : 2);
        EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
        EQ(fcntl(other, F_GETFD), 0);
        SYS(close(fd));
        EQ(SYS(open(path, O_RDONLY)), fd);
        SYS(close(other));
        SYS(close(fd));
    }
}

static void absent(int dir, const char *name, int error) {
    struct stat about;
    for (int i = 0; i < TIMES; i++) {
        FAILS(error, fstatat(dir, name, &about, 0));
        FAILS(error, openat(dir, name, O_RDONLY));
        FAILS(error, openat(dir, name, O_RDONLY | O_DIRECTORY));
        FAILS(error, faccessat(dir, name, F_OK, 0));
    }
}

static void link_is(const char *name, const char *target) {
    char text[100];
    struct stat about;
    int len = strlen(target);
    for (int i = 0; i < TIMES; i++) {
        EQ(readlink(name, text, sizeof text), len);
        CHECK(memcmp(text, target, len) == 0);
        EQ(readlink(name, text, 2), 2);
        FAILS(EINVAL, readlink(name, text, 0));
        SYS(lstat(name, &about));
        CHECK(S_ISLNK(about.st_mode));
        FAILS(ELOOP, open(name, O_RDONLY | O_NOFOLLOW));
    }
}

static void changes(void) {
    SYS(mkdir("d", 0755));
    int dir = SYS(open("d", O_RDONLY | O_DIRECTORY));
    for (int i = 0; i < 4; i++) {
        make("d/f", 100 + i);
        ask(dir, "f", "d/f", 100 + i);
        SYS(rename("d/f", "d/g"));
        absent(dir, "f", ENOENT);
        ask(dir, "g", "d/g", 100 + i);
        make("d/h", 7);
        SYS(rename("d/h", "d/g"));
        ask(dir, "g", "d/../d//./g", 7);
        SYS(rename("d", "e"));
        absent(AT_FDCWD, "d/g", ENOENT);
        ask(dir, "g", "e/g", 7);
        SYS(rename("e", "d"));
        SYS(chmod("d/g", 0600));
        struct stat about;
        SYS(stat("d/g", &about));
        EQ(about.st_mode & 0777, 0600);
        SYS(truncate("d/g", 30));
        ask(dir, "g", "d/g", 30);
        SYS(unlink("d/g"));
        absent(dir, "g", ENOENT);
        absent(AT_FDCWD, "d/g/x", ENOENT);
    }
    make("d/f", 5);
    absent(dir, "f/", ENOTDIR);
    absent(dir, "f/x", ENOTDIR);
    SYS(link("d/f", "d/l"));
    for (int i = 0; i < TIMES; i++) {
        struct stat f, l;
        SYS(stat("d/f", &f));
        SYS(stat(i % 2 ? "d/l" : "d/f", &l));
        CHECK(memcmp(&f, &l, sizeof f) == 0);
        EQ(f.st_nlink, 2);
    }
    SYS(close(dir));
    absent(dir, "f", EBADF);
    EQ(SYS(open("d/f", O_RDONLY)), dir);
    absent(dir, "f", ENOTDIR);
    SYS(close(dir));
    EQ(SYS(open(".", O_RDONLY | O_DIRECTORY)), dir);
    absent(dir, "f", ENOENT);
    ask(dir, "d/f", "d/l", 5);
    SYS(close(dir));
    ok("names and what they stand for");
}

static void links(void) {
    make("one", 11);
    make("two", 22);
    for (int i = 0; i < 4; i++) {
        SYS(symlink("one", "link"));
        link_is("link", "one");
        ask(AT_FDCWD, "link", "link", 11);
        SYS(symlink("two", "new"));
        SYS(rename("new", "link"));
        link_is("link", "two");
        ask(AT_FDCWD, "link", "link", 22);
        SYS(unlink("link"));
    }
    // A file of the host's by its own name and by others.
    struct stat about;
    SYS(stat("/etc/passwd", &about));
    CHECK(about.st_size > 64 && about.st_size < SIZE);
    int dir = SYS(open("/etc", O_RDONLY | O_DIRECTORY));
    for (int i = 0; i < 4; i++) {
        ask(dir, "passwd", "/etc/passwd", about.st_size);
        SYS(symlink("/etc/passwd", "link"));
        ask(dir, "../etc/passwd", "link", about.st_size);
        ask(AT_FDCWD, "link", "link", about.st_size);
        SYS(unlink("link"));
        SYS(symlink("/etc", "link"));
        ask(AT_FDCWD, "link/passwd", "link/./passwd", about.st_size);
        SYS(unlink("link"));
        SYS(symlink("two", "link"));
        ask(AT_FDCWD, "link", "link", 22);
        absent(AT_FDCWD, "link/passwd", ENOTDIR);
        SYS(unlink("link"));
    }
    // Read, moved in and closed in any order, by descriptors that are given again.
    for (int i = 0; i < TIMES; i++) {
        char a[8], b[8];
        int one = SYS(open("/etc/passwd", O_RDONLY)), other = SYS(open("/etc/passwd", O_RDONLY));
        EQ(read(one, a, 4), 4);
        EQ(lseek(other, 2, SEEK_SET), 2);
        EQ(read(other, b, 2), 2);
        CHECK(memcmp(a + 2, b, 2) == 0);
        SYS(close(one));
        EQ(SYS(open("/etc/passwd", O_RDONLY)), one);
        EQ(lseek(one, 0, SEEK_CUR), 0);
        EQ(lseek(other, 0, SEEK_CUR), 4);
        int third = SYS(dup(other));
        SYS(close(other));
        EQ(read(third, a, 1), 1);
        EQ(pread(one, b, 1, 4), 1);
        EQ(a[0], b[0]);
        SYS(close(one));
        FAILS(EBADF, read(one, a, 1));
        SYS(close(third));
    }
    SYS(close(dir));
    SYS(symlink("loop", "loop"));
    absent(AT_FDCWD, "loop", ELOOP);
    FAILS(EINVAL, readlink("one", content, 1));
    ok("links");
}

static void places(void) {
    char name[300], top[4096];
    CHECK(getcwd(top, sizeof top) != NULL);
    SYS(mkdir("p", 0755));
    SYS(mkdir("q", 0755));
    make("p/x", 1);
    make("q/x", 2);
    for (int i = 0; i < 4; i++) {
        SYS(chdir("p"));
        ask(AT_FDCWD, "x", "../p/x", 1);
        ask(AT_FDCWD, "../q/x", "./../q/x", 2);
        int q = SYS(open("../q", O_RDONLY | O_DIRECTORY));
        SYS(fchdir(q));
        SYS(close(q));
        ask(AT_FDCWD, "x", "../q/x", 2);
        SYS(rename("../q", "../p/q"));
        ask(AT_FDCWD, "../x", ".././x", 1);
        SYS(rename("../../p/q", "../../q"));
        absent(AT_FDCWD, "../x", ENOENT);
        SYS(chdir(top));
        absent(AT_FDCWD, "x", ENOENT);
    }
    // Names up to the longest, and paths longer than what is looked up.
    memset(name, 'n', sizeof name);
    name[255] = 0;
    make(name, 3);
    ask(AT_FDCWD, name, name, 3);
    name[255] = 'n';
    name[256] = 0;
    absent(AT_FDCWD, name, ENAMETOOLONG);
    for (int i = 0; i < 280; i++) name[i] = i % 2 ? '/' : '.';
    strcpy(name + 280, "one");
    ask(AT_FDCWD, name, name, 11);
    absent(AT_FDCWD, "", ENOENT);
    ok("places");
}

static void pointers(void) {
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    SYS(munmap(pages + 4096, 4096));
    struct stat about;
    char *at_end = pages + 4096 - 4;
    for (int i = 0; i < TIMES; i++) {
        strcpy(at_end, "one");
        SYS(stat(at_end, &about));
        EQ(about.st_size, 11);
        memset(at_end, 'o', 4);
        FAILS(EFAULT, stat(at_end, &about));
        FAILS(EFAULT, stat(nowhere, &about));
        FAILS(EFAULT, stat("one", nowhere));
        FAILS(EFAULT, stat("one", (struct stat *)(pages + 4096 - 64)));
        FAILS(EFAULT, open(nowhere, O_RDONLY));
        FAILS(EFAULT, readlink("loop", nowhere, 10));
    }
    ok("bad pointers");
}

static void descriptors(void) {
    struct rlimit limit, low;
    int fds[40];
    const char *one = "/etc/passwd";
    SYS(getrlimit(RLIMIT_NOFILE, &limit));
    low = limit;
    low.rlim_cur = 20;
    for (int round = 0; round < 3; round++) {
        SYS(setrlimit(RLIMIT_NOFILE, &low));
        int n = 0;
        while (n < 40 && (fds[n] = open(one, O_RDONLY)) >= 0) n++;
        EQ(errno, EMFILE);
        FAILS(EMFILE, open("absent", O_RDONLY));
        EQ(fds[n - 1], 19);
        SYS(close(fds[2]));
        EQ(SYS(open(one, O_RDONLY)), fds[2]);
        // A descriptor above the limit is not given again.
        low.rlim_cur = 15;
        SYS(setrlimit(RLIMIT_NOFILE, &low));
        SYS(close(fds[n - 1]));
        FAILS(EMFILE, open(one, O_RDONLY));
        low.rlim_cur = 20;
        SYS(setrlimit(RLIMIT_NOFILE, &low));
        EQ(SYS(open(one, O_RDONLY)), fds[n - 1]);
        while (n-- > 0) SYS(close(fds[n]));
        SYS(setrlimit(RLIMIT_NOFILE, &limit));
    }
    ok("as many descriptors as there may be");
}

// A small file of the host is opened as before when it has been mapped, which takes its content out of the model's own memory.
static void mapped(void) {
    char first[64], again[64];
    for (int i = 0; i < 3 * TIMES; i++) {
        int fd = SYS(open("/etc/passwd", O_RDONLY));
        ssize_t got = SYS(read(fd, i == 0 ? first : again, sizeof first));
        CHECK(got > 0 && (i == 0 || memcmp(first, again, got) == 0));
        if (i == TIMES) {
            char *there = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
            CHECK(there != MAP_FAILED && memcmp(there, first, got) == 0);
            SYS(munmap(there, 4096));
        }
        SYS(close(fd));
    }
    ok("opened and read alike before and after it was mapped");
}

int main(int argc, char **argv) {
    if (argc > 1) {
        // After exec: the descriptor that was to be closed is.
        int kept = atoi(argv[1]), closed = atoi(argv[2]);
        char c;
        EQ(read(kept, &c, 1), 1);
        FAILS(EBADF, read(closed, &c, 1));
        return 0;
    }
    for (int i = 0; i < SIZE; i++) content[i] = 'a' + i % 26;
    changes();
    links();
    places();
    pointers();
    descriptors();
    mapped();

    // Another process changes what this one asks for, and asks itself.
    make("common", 10);
    int back[2], forth[2];
    char turn;
    SYS(pipe(back));
    SYS(pipe(forth));
    pid_t child = SYS(fork());
    for (int i = 0; i < 4; i++) {
        if (child == 0) {
            EQ(read(forth[0], &turn, 1), 1);
            ask(AT_FDCWD, "common", "./common", 10 + i);
            make("next", 11 + i);
            SYS(rename("next", "common"));
            ask(AT_FDCWD, "common", "./common", 11 + i);
            EQ(write(back[1], "x", 1), 1);
        } else {
            ask(AT_FDCWD, "common", "./common", 10 + i);
            EQ(write(forth[1], "x", 1), 1);
            EQ(read(back[0], &turn, 1), 1);
            ask(AT_FDCWD, "common", "./common", 11 + i);
        }
    }
    if (child == 0) _exit(0);
    int status;
    EQ(waitpid(child, &status, 0), child);
    EQ(status, 0);
    ok("two processes");

    // Permissions count for whoever asks.
    child = SYS(fork());
    if (child == 0) {
        ask(AT_FDCWD, "common", "common", 14);
        if (geteuid() == 0) {
            SYS(chmod("p", 0700));
            ask(AT_FDCWD, "p/x", "p/x", 1);
            SYS(setresuid(4321, 4321, 4321));
            absent(AT_FDCWD, "p/x", EACCES);
        }
        for (int i = 0; i < TIMES; i++) umask(i);
        _exit(0);
    }
    EQ(waitpid(child, &status, 0), child);
    EQ(status, 0);
    ok("permissions");

    int kept = -1, closed = -1;
    for (int i = 0; i < TIMES; i++) {
        kept = SYS(open("/etc/passwd", O_RDONLY));
        closed = SYS(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
        if (i < TIMES - 1) {
            SYS(close(kept));
            SYS(close(closed));
        }
    }
    char numbers[2][12];
    snprintf(numbers[0], sizeof numbers[0], "%d", kept);
    snprintf(numbers[1], sizeof numbers[1], "%d", closed);
    child = SYS(fork());
    if (child == 0) {
        execl("/proc/self/exe", argv[0], numbers[0], numbers[1], NULL);
        _exit(9);
    }
    EQ(waitpid(child, &status, 0), child);
    EQ(status, 0);
    ok("close on exec");
    return 0;
}
