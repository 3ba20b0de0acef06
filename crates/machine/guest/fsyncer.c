// Acknowledges only what is on the disk, to see that nothing acknowledged is lost when the machine changes hosts.
//
//   fsyncer FILE PORT
//
// The file holds records of 16 bytes, each its number in 15 digits and a newline, numbered from 1. A client sends lines:
//   an empty line   appends the next record, syncs the file, and answers its number
//   check           reads the whole file back and answers "ok COUNT", or "bad NUMBER" of the first record that is wrong
// One client after the other is served. Started again, it goes on after the last whole record.
#include "serve.h"
#include <fcntl.h>

enum { RECORD = 16 };

static void record(char text[RECORD], long number) {
    text[RECORD - 1] = '\n';
    for (int i = RECORD - 2; i >= 0; i--, number /= 10) text[i] = '0' + number % 10;
}

// The number of the last record, or minus that of the first wrong one.
static long check(int file) {
    char found[RECORD], expected[RECORD];
    for (long number = 1;; number++) {
        ssize_t n = pread(file, found, RECORD, (number - 1) * RECORD);
        if (n < 0) fail("read");
        if (n < RECORD) return number - 1;
        record(expected, number);
        if (memcmp(found, expected, RECORD)) return -number;
    }
}

static void append(int file, long number) {
    char text[RECORD];
    record(text, number);
    if (pwrite(file, text, RECORD, (number - 1) * RECORD) != RECORD) fail("write");
    if (fsync(file)) fail("fsync");
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: fsyncer FILE PORT\n");
        return 2;
    }
    int file = open(argv[1], O_RDWR | O_CREAT, 0644);
    if (file < 0) fail(argv[1]);
    long last = check(file);
    if (last < 0) {
        fprintf(stderr, "%s: record %ld is wrong\n", argv[1], -last);
        return 1;
    }
    int listening = listener(atoi(argv[2]));
    printf("fsyncer: %ld records\n", last);
    fflush(stdout);
    for (;;) {
        int fd = accepted(listening);
        FILE *client = fd < 0 ? 0 : fdopen(fd, "r");
        char line[64], answer[64];
        while (client && fgets(line, sizeof line, client)) {
            if (!strcmp(line, "check\n")) {
                long found = check(file);
                snprintf(answer, sizeof answer, found < 0 ? "bad %ld\n" : "ok %ld\n", labs(found));
            } else {
                append(file, ++last);
                snprintf(answer, sizeof answer, "%ld\n", last);
            }
            if (send_all(fd, answer, strlen(answer))) break;
        }
        if (client) fclose(client);
    }
}
