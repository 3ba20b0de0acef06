// Files of the program's own, written again and again in every way, and looked at in every other way in between.
#include "guest.h"

enum { TIMES = 10, PIECE = 100 };

static char piece[PIECE];

// What a descriptor's file holds at the end of `size` bytes, as seen by other means than the descriptor that wrote it.
static void seen(const char *name, int fd, long size) {
    struct stat by_name, by_fd;
    char last[PIECE];
    SYS(stat(name, &by_name));
    SYS(fstat(fd, &by_fd));
    CHECK(memcmp(&by_name, &by_fd, sizeof by_fd) == 0);
    EQ(by_name.st_size, size);
    CHECK(by_name.st_mtim.tv_sec == by_name.st_ctim.tv_sec && by_name.st_mtim.tv_nsec == by_name.st_ctim.tv_nsec);
    int other = SYS(open(name, O_RDONLY));
    EQ(pread(other, last, PIECE, size - PIECE), PIECE);
    CHECK(memcmp(last, piece, PIECE) == 0);
    EQ(lseek(other, 0, SEEK_END), size);
    SYS(close(other));
}

static void offsets(void) {
    int fd = SYS(open("a", O_RDWR | O_CREAT, 0640)), same = SYS(dup(fd)), other = SYS(open("a", O_WRONLY));
    char all[4 * PIECE];
    for (int i = 0; i < TIMES; i++) {
        SYS(lseek(fd, 0, SEEK_SET));
        EQ(write(fd, piece, PIECE), PIECE);
        EQ(write(same, piece, PIECE), PIECE);
        EQ(lseek(fd, 0, SEEK_CUR), 2 * PIECE);
        EQ(pwrite(fd, "pwrite", 6, 3), 6);
        EQ(pwrite(same, "beyond", 6, 2 * PIECE + 20), 6);
        EQ(lseek(same, 0, SEEK_CUR), 2 * PIECE);
        EQ(lseek(fd, 0, SEEK_END), 2 * PIECE + 26);
        EQ(pread(fd, all, sizeof all, 0), 2 * PIECE + 26);
        CHECK(memcmp(all, "abcpwrite", 9) == 0 && memcmp(all + PIECE, piece, PIECE) == 0);
        CHECK(all[2 * PIECE] == 0 && memcmp(all + 2 * PIECE + 20, "beyond", 6) == 0);
        EQ(pwrite(other, "other", 5, 0), 5);
        EQ(lseek(other, 0, SEEK_CUR), 5 * i);
        EQ(write(other, "OTHER", 5), 5);
        EQ(pread(fd, all, 5, 5 * i), 5);
        CHECK(memcmp(all, "OTHER", 5) == 0);
        SYS(ftruncate(fd, 5 * i + 5));
        FAILS(EBADF, read(other, all, 1));
        EQ(write(fd, all, 0), 0);
        FAILS(EFAULT, write(fd, nowhere, 7));
        FAILS(EFAULT, pwrite(fd, nowhere, 7, 0));
        FAILS(EINVAL, pwrite(fd, all, 7, -1));
        FAILS(ENOTSOCK, send(fd, all, 7, 0));
        FAILS(ENOTSOCK, recv(fd, all, 7, 0));
        SYS(stat("a", &(struct stat){0}));
    }
    SYS(close(fd));
    EQ(write(same, "x", 1), 1);
    SYS(close(same));
    SYS(close(other));
    int reader = SYS(open("/etc/passwd", O_RDONLY));
    for (int i = 0; i < TIMES; i++) {
        FAILS(EBADF, write(reader, all, 7));
        FAILS(EBADF, pwrite(reader, all, 7, 0));
        FAILS(ENOTSOCK, recv(reader, all, 7, 0));
        EQ(pread(reader, all, 7, 0), 7);
    }
    SYS(close(reader));
    ok("offsets");
}

static void appends(void) {
    int one = SYS(open("log", O_WRONLY | O_CREAT | O_APPEND, 0640)), other = SYS(open("log", O_RDWR | O_APPEND));
    long size = 0;
    for (int i = 0; i < TIMES; i++) {
        struct iovec vector[3] = {{piece, 10}, {NULL, 0}, {piece + 10, PIECE - 10}};
        EQ(write(one, piece, PIECE), PIECE);
        EQ(write(other, piece, PIECE), PIECE);
        EQ(writev(one, vector, 3), PIECE);
        EQ(pwrite(other, piece, PIECE, 0), PIECE);
        seen("log", one, size += 4 * PIECE);
        EQ(lseek(one, 0, SEEK_CUR), size - PIECE);
        SYS(lseek(one, 0, SEEK_SET));
        vector[2].iov_base = nowhere;
        CHECK(writev(one, vector, 3) != PIECE);
        SYS(ftruncate(other, size));
    }
    // Until somebody takes the name away, and after.
    SYS(unlink("log"));
    for (int i = 0; i < TIMES; i++) EQ(write(one, piece, PIECE), PIECE);
    EQ(lseek(other, 0, SEEK_END), size + TIMES * PIECE);
    SYS(close(one));
    SYS(close(other));
    ok("the end of a file");
}

static void mapped(void) {
    int fd = SYS(open("m", O_RDWR | O_CREAT, 0640));
    SYS(ftruncate(fd, 8192));
    for (int i = 0; i < TIMES; i++) EQ(pwrite(fd, piece, PIECE, i), PIECE);
    char *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(shared != MAP_FAILED && private != MAP_FAILED);
    CHECK(memcmp(shared + TIMES - 1, piece, PIECE) == 0);
    for (int i = 0; i < TIMES; i++) {
        char byte = 'A' + i, back;
        EQ(pwrite(fd, &byte, 1, 4096 + i), 1);
        EQ(shared[4096 + i], byte);
        if (i == 0) EQ(private[4096], byte);
        shared[i] = byte;
        EQ(pread(fd, &back, 1, i), 1);
        EQ(back, byte);
    }
    SYS(munmap(shared, 8192));
    SYS(munmap(private, 8192));
    EQ(pwrite(fd, piece, PIECE, 0), PIECE);
    SYS(close(fd));
    ok("mappings see what is written");
}

static void limits(void) {
    struct rlimit limit, low;
    SYS(getrlimit(RLIMIT_FSIZE, &limit));
    signal(SIGXFSZ, SIG_IGN);
    low = limit;
    low.rlim_cur = 5 * PIECE + 7;
    for (int round = 0; round < 4; round++) {
        int fd = SYS(open("limited", O_WRONLY | O_CREAT | O_TRUNC, 0640));
        if (round % 2) SYS(setrlimit(RLIMIT_FSIZE, &low));
        for (int i = 0; i < 5; i++) EQ(write(fd, piece, PIECE), PIECE);
        SYS(setrlimit(RLIMIT_FSIZE, &low));
        EQ(write(fd, piece, PIECE), 7);
        FAILS(EFBIG, write(fd, piece, PIECE));
        EQ(pwrite(fd, piece, PIECE, 5 * PIECE + 1), 6);
        FAILS(EFBIG, pwrite(fd, piece, PIECE, 5 * PIECE + 7));
        SYS(setrlimit(RLIMIT_FSIZE, &limit));
        EQ(write(fd, piece, PIECE), PIECE);
        SYS(close(fd));
    }
    int sealed = SYS(memfd_create("sealed", MFD_ALLOW_SEALING));
    for (int i = 0; i < TIMES; i++) EQ(write(sealed, piece, PIECE), PIECE);
    SYS(fcntl(sealed, F_ADD_SEALS, F_SEAL_GROW));
    FAILS(EPERM, write(sealed, piece, PIECE));
    EQ(pwrite(sealed, piece, PIECE, 0), PIECE);
    SYS(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE));
    FAILS(EPERM, pwrite(sealed, piece, PIECE, 0));
    ok("limits and seals");
}

static void *both(void *name) {
    int fd = SYS(open(name, O_WRONLY | O_APPEND));
    for (int i = 0; i < 100; i++) EQ(write(fd, piece, PIECE), PIECE);
    SYS(close(fd));
    return NULL;
}

int main(void) {
    for (int i = 0; i < PIECE; i++) piece[i] = 'a' + i % 26;
    offsets();
    appends();
    mapped();
    limits();

    // Two threads, then two processes, append to one file.
    SYS(close(SYS(open("common", O_WRONLY | O_CREAT, 0640))));
    pthread_t thread;
    EQ(pthread_create(&thread, NULL, both, "common"), 0);
    both("common");
    EQ(pthread_join(thread, NULL), 0);
    pid_t child = SYS(fork());
    both("common");
    if (child == 0) _exit(0);
    int status;
    EQ(waitpid(child, &status, 0), child);
    EQ(status, 0);
    int fd = SYS(open("common", O_RDONLY));
    seen("common", fd, 400 * PIECE);
    char line[PIECE];
    for (int i = 0; i < 400; i++) {
        EQ(read(fd, line, PIECE), PIECE);
        CHECK(memcmp(line, piece, PIECE) == 0);
    }
    ok("two threads and two processes");

    // Nothing but writing and asking by name.
    struct stat grown;
    int grows = SYS(open("grows", O_WRONLY | O_CREAT, 0640));
    for (int i = 0; i < 4 * TIMES; i++) {
        if (i % 3) EQ(write(grows, piece, PIECE), PIECE);
        SYS(stat("grows", &grown));
        EQ(grown.st_size, (i - i / 3) * PIECE);
        SYS(stat("common", &grown));
        EQ(grown.st_size, 400 * PIECE);
    }
    ok("sizes");

    // The time of a change is never before one that the clock has shown.
    int timed = SYS(open("timed", O_WRONLY | O_CREAT, 0640));
    for (int i = 0; i < TIMES; i++) {
        struct timespec before;
        struct stat about;
        SYS(clock_gettime(CLOCK_REALTIME_COARSE, &before));
        EQ(write(timed, piece, PIECE), PIECE);
        SYS(fstat(timed, &about));
        CHECK(about.st_mtim.tv_sec > before.tv_sec ||
              (about.st_mtim.tv_sec == before.tv_sec && about.st_mtim.tv_nsec >= before.tv_nsec));
    }
    ok("times");
    return 0;
}
