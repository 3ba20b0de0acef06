// O_APPEND: two processes append to one file, each write goes to the end.
#include "guest.h"

enum { LINES = 50 };

int main(void) {
    int fd = SYS(open("f", O_WRONLY | O_CREAT | O_APPEND, 0644));
    EQ(write(fd, "start\n", 6), 6);
    EQ(lseek(fd, 0, SEEK_SET), 0);
    for (int who = 0; who < 2; who++)
        if (SYS(fork()) == 0) {
            int mine = SYS(open("f", O_WRONLY | O_APPEND));
            for (int i = 0; i < LINES; i++) {
                char line[16];
                int n = snprintf(line, sizeof line, "%c %02d\n", 'a' + who, i);
                EQ(write(i % 2 ? mine : fd, line, n), n);
            }
            _exit(0);
        }
    EQ(wait(NULL) > 0, 1);
    EQ(wait(NULL) > 0, 1);
    static char text[4096];
    EQ(slurp("f", text, sizeof text), 6 + 2 * LINES * 5);
    EQ(strncmp(text, "start\n", 6), 0);
    int next[2] = {0};
    for (char *line = text + 6; *line; line += 5) {
        int who = line[0] - 'a';
        CHECK(who == 0 || who == 1);
        EQ(atoi(line + 2), next[who]++);
        EQ(line[4], '\n');
    }
    ok("no line is lost or torn, each writer's are in order");
    int rw = SYS(open("f", O_RDWR | O_APPEND));
    EQ(lseek(rw, 0, SEEK_CUR), 0);
    EQ(pwrite(rw, "end\n", 4, 0), 4);
    EQ(lseek(rw, 0, SEEK_CUR), 0);
    EQ(slurp("f", text, sizeof text), 6 + 2 * LINES * 5 + 4);
    EQ(strncmp(text, "start\n", 6), 0);
    ok("Linux: pwrite appends too");
    return 0;
}
