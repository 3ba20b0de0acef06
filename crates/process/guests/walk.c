// Directories gone through in order: known to the program or not, read or only looked at, while what comes next changes.
#include "guest.h"

enum { FILES = 60 };

static const char *const headers[] = {
    "aio.h",     "alloca.h",  "ar.h",      "argp.h",   "argz.h",    "assert.h",   "byteswap.h", "complex.h", "cpio.h",
    "ctype.h",   "dirent.h",  "dlfcn.h",   "elf.h",    "endian.h",  "envz.h",     "err.h",      "errno.h",   "error.h",
    "execinfo.h", "fcntl.h",  "features.h", "fenv.h",  "fmtmsg.h",  "fnmatch.h",  "fstab.h",    "fts.h",     "ftw.h",
    "glob.h",    "grp.h",     "gshadow.h", "iconv.h",  "ifaddrs.h", "inttypes.h", "langinfo.h", "libgen.h",  "limits.h",
    "link.h",    "locale.h",  "malloc.h",  "math.h",   "mntent.h",  "monetary.h", "mqueue.h",   "netdb.h",   "nl_types.h",
};
enum { HEADERS = sizeof headers / sizeof headers[0] };

// As many bytes as its size says, however it is asked for.
static long whole(int dir, const char *name) {
    static char buffer[1 << 16];
    struct stat by_name, by_fd;
    long size = 0, n;
    SYS(fstatat(dir, name, &by_name, AT_SYMLINK_NOFOLLOW));
    if (!S_ISREG(by_name.st_mode)) return 0;
    int fd = SYS(openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    SYS(fstat(fd, &by_fd));
    CHECK(memcmp(&by_name, &by_fd, sizeof by_fd) == 0);
    while ((n = SYS(read(fd, buffer, sizeof buffer))) > 0) size += n;
    SYS(close(fd));
    EQ(size, by_name.st_size);
    return size;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

// All of a directory of the host's, in order of name; sum of the sizes.
static long tree(const char *path) {
    char *names[1000];
    int count = 0;
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (struct dirent *e; count < 1000 && (e = readdir(d)) != NULL;) CHECK((names[count++] = strdup(e->d_name)) != NULL);
    qsort(names, count, sizeof *names, by_name);
    long sum = 0;
    for (int i = 0; i < count; i++) {
        sum += whole(dirfd(d), names[i]);
        free(names[i]);
    }
    SYS(closedir(d));
    return sum;
}

static void make(const char *name, int size) {
    char bytes[1000];
    memset(bytes, 'm', sizeof bytes);
    int fd = SYS(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0640));
    EQ(write(fd, bytes, size), size);
    SYS(close(fd));
}

static const char *numbered(int i) {
    static char name[20];
    snprintf(name, sizeof name, "d/file-%03d", i);
    return name;
}

static void *look(void *sum) {
    char path[100];
    struct stat about;
    for (int i = 0; i < HEADERS; i++) {
        snprintf(path, sizeof path, "/usr/include/%s", headers[i]);
        SYS(lstat(path, &about));
        *(long *)sum += about.st_size;
        // A name that is nowhere, between two that are there.
        snprintf(path, sizeof path, "/usr/include/%s-not", headers[i]);
        FAILS(ENOENT, lstat(path, &about));
    }
    return NULL;
}

int main(void) {
    long first = 0, again = 0, bytes = 0;
    // Nobody has listed it yet.
    look(&first);
    look(&again);
    EQ(first, again);
    int include = SYS(open("/usr/include", O_RDONLY | O_DIRECTORY));
    for (int i = 0; i < HEADERS; i++) bytes += whole(include, headers[i]);
    EQ(bytes, first);
    for (int i = HEADERS; i-- > 0;) bytes -= whole(include, headers[i]);
    EQ(bytes, 0);
    SYS(close(include));
    ok("names in order");

    pthread_t thread;
    long mine = 0, other = 0;
    EQ(pthread_create(&thread, NULL, look, &other), 0);
    look(&mine);
    EQ(pthread_join(thread, NULL), 0);
    EQ(mine, first);
    EQ(other, first);
    ok("by two threads");

    long sum = tree("/usr/include/linux");
    CHECK(sum > 0);
    EQ(tree("/usr/include/linux"), sum);
    pid_t child = SYS(fork());
    if (child == 0) _exit(tree("/usr/include/linux") != sum);
    int status;
    EQ(waitpid(child, &status, 0), child);
    EQ(status, 0);
    ok("all of a directory");

    SYS(mkdir("d", 0755));
    for (int i = 0; i < FILES; i++) make(numbered(i), i + 1);
    for (int round = 0; round < 3; round++) {
        struct stat about;
        for (int i = 0; i < FILES; i++) {
            if (i % 10 == 5) {
                // What comes next is another file, is gone, or is a link.
                make("next", 900);
                SYS(rename("next", numbered(i + 1)));
                SYS(unlink(numbered(i + 2)));
                SYS(unlink(numbered(i + 3)));
                SYS(symlink("file-000", numbered(i + 3)));
            }
            if (i % 10 == 7) {
                FAILS(ENOENT, stat(numbered(i), &about));
                make(numbered(i), i + 1);
            }
            SYS(lstat(numbered(i), &about));
            if (i % 10 == 8) {
                CHECK(S_ISLNK(about.st_mode));
                SYS(stat(numbered(i), &about));
                EQ(about.st_size, 1);
                SYS(unlink(numbered(i)));
                make(numbered(i), i + 1);
                SYS(lstat(numbered(i), &about));
            }
            EQ(about.st_size, i % 10 == 6 ? 900 : i + 1);
            if (i % 10 == 6) make(numbered(i), i + 1);
        }
        // Another process makes what comes next longer, and whoever walks waits for that in the middle.
        int go[2], done[2];
        char turn = 'x';
        SYS(pipe(go));
        SYS(pipe(done));
        child = SYS(fork());
        if (child == 0) {
            for (int i = 4; i < FILES; i += 5) {
                EQ(read(go[0], &turn, 1), 1);
                SYS(truncate(numbered(i), 500 + i));
                EQ(write(done[1], &turn, 1), 1);
            }
            _exit(0);
        }
        for (int i = 0; i < FILES; i++) {
            if (i % 5 == 3) {
                EQ(write(go[1], &turn, 1), 1);
                EQ(read(done[0], &turn, 1), 1);
            }
            SYS(lstat(numbered(i), &about));
            EQ(about.st_size, i % 5 == 4 ? 500 + i : i + 1);
        }
        EQ(waitpid(child, &status, 0), child);
        EQ(status, 0);
        for (int i = 4; i < FILES; i += 5) SYS(truncate(numbered(i), i + 1));
        for (int fd = 0; fd < 2; fd++) {
            SYS(close(go[fd]));
            SYS(close(done[fd]));
        }
    }
    ok("while it changes");
    return 0;
}
