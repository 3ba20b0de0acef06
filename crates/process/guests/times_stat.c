// stat fields and file times: what changes when; utimensat to the nanosecond; statx.
#include "guest.h"

static struct stat of(const char *path) {
    struct stat st;
    SYS(stat(path, &st));
    return st;
}

static int64_t ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

int main(void) {
    spit("f", "12345");
    struct stat first = of("f"), now;
    EQ(first.st_size, 5);
    EQ(first.st_nlink, 1);
    EQ(first.st_uid, getuid());
    CHECK(S_ISREG(first.st_mode));
    CHECK(first.st_blksize > 0 && first.st_ino > 0);
    int64_t age = now_ns(CLOCK_REALTIME) - ns(first.st_mtim);
    CHECK(age > -1000000000LL && age < 60000000000LL);
    ok("a new file");
    sleep_ms(20);
    SYS(chmod("f", 0600));
    now = of("f");
    CHECK(ns(now.st_ctim) > ns(first.st_ctim));
    EQ(ns(now.st_mtim), ns(first.st_mtim));
    sleep_ms(20);
    int fd = SYS(open("f", O_RDWR));
    EQ(write(fd, "x", 1), 1);
    now = of("f");
    CHECK(ns(now.st_mtim) > ns(first.st_mtim));
    EQ(ns(now.st_mtim), ns(now.st_ctim));
    ok("chmod changes ctime, write both");
    struct timespec times[2] = {{1000000001, 123456789}, {1000000002, 987654321}};
    SYS(utimensat(AT_FDCWD, "f", times, 0));
    now = of("f");
    EQ(ns(now.st_atim), ns(times[0]));
    EQ(ns(now.st_mtim), ns(times[1]));
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = UTIME_NOW;
    SYS(futimens(fd, times));
    now = of("f");
    EQ(now.st_atim.tv_nsec, 123456789);
    CHECK(ns(now.st_mtim) >= ns(first.st_mtim));
    ok("times set, kept and now");
    SYS(mkdir("d", 0755));
    struct stat d = of("d");
    sleep_ms(20);
    spit("d/x", "");
    CHECK(ns(of("d").st_mtim) > ns(d.st_mtim));
    EQ(of("d").st_dev, first.st_dev);
    ok("a directory's time moves with its names");
    struct statx x;
    SYS(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x));
    EQ(x.stx_size, 5);
    EQ(x.stx_ino, now.st_ino);
    EQ(x.stx_mtime.tv_nsec, now.st_mtim.tv_nsec);
    ok("statx agrees");
    show("dev %lu ino %lu mtime %lld ctime %lld blocks %ld", (unsigned long)now.st_dev,
         (unsigned long)now.st_ino, (long long)ns(now.st_mtim), (long long)ns(now.st_ctim),
         (long)now.st_blocks);
    return 0;
}
