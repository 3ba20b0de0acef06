// Reading directories: every name once, positions, rewinding, changes while reading.
#include "guest.h"

enum { FILES = 40 };

static int compare(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }

int main(void) {
    char name[32], *names[FILES + 8], order[1024] = "";
    int n = 0;
    SYS(mkdir("d", 0755));
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "d/file-%02d", i * 7 % FILES);
        spit(name, "");
    }
    SYS(mkdir("d/sub", 0755));
    SYS(symlink("x", "d/link"));
    DIR *dir = opendir("d");
    CHECK(dir);
    struct dirent *e;
    long middle = -1;
    char after[64] = "";
    while ((e = readdir(dir))) {
        if (n == 20) {
            strcpy(after, e->d_name);
        }
        if (e->d_type != DT_UNKNOWN) {
            int type = e->d_name[0] == 'f' ? DT_REG : e->d_name[0] == 'l' ? DT_LNK : DT_DIR;
            EQ(e->d_type, type);
        }
        struct stat st;
        SYS(fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW));
        if (strcmp(e->d_name, "..") != 0) EQ(e->d_ino, st.st_ino);
        if (e->d_name[0] == 'f') sprintf(order + strlen(order), "%s ", e->d_name + 5);
        names[n++] = strdup(e->d_name);
        if (n == 20) middle = telldir(dir);
    }
    EQ(n, FILES + 4);
    show("order %s", order);
    seekdir(dir, middle);
    e = readdir(dir);
    CHECK(e);
    EQ(strcmp(e->d_name, after), 0);
    rewinddir(dir);
    e = readdir(dir);
    EQ(strcmp(e->d_name, names[0]), 0);
    qsort(names, n, sizeof *names, compare);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "file-%02d", i);
        EQ(strcmp(names[i + 2], name), 0);
    }
    ok("every name once, with type and inode; positions");
    rewinddir(dir);
    int left = 0;
    while ((e = readdir(dir)))
        if (e->d_name[0] == 'f') {
            SYS(unlinkat(dirfd(dir), e->d_name, 0));
            left++;
        }
    EQ(left, FILES);
    rewinddir(dir);
    for (n = 0; readdir(dir); n++) {}
    EQ(n, 4);
    closedir(dir);
    ok("removed while reading");
    return 0;
}
