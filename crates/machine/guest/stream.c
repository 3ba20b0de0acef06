// TCP streams whose every byte can be checked, to see that none is lost, doubled or changed when the machine changes hosts.
//
//   stream echo PORT      sends back what it receives
//   stream source PORT    sends without end: the byte at offset i of each connection is pattern(i)
//   stream sink PORT      receives pattern(i), and answers a line "OFFSET\n" for each 64 KiB; "bad OFFSET\n" ends a wrong one
//
// A child serves each connection.
#include "serve.h"
#include <stdint.h>
#include <sys/wait.h>

enum { BUFFER = 65536 };

// The low byte of a mix of the offset, so that bytes shifted by any distance differ soon.
static unsigned char pattern(uint64_t i) { return (i * 0x9e3779b97f4a7c15ull) >> 56; }

static void echo(int fd) {
    static char buffer[BUFFER];
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        if (send_all(fd, buffer, n)) return;
}

static void source(int fd) {
    static char buffer[BUFFER];
    for (uint64_t at = 0;; at += sizeof buffer) {
        for (size_t i = 0; i < sizeof buffer; i++) buffer[i] = pattern(at + i);
        if (send_all(fd, buffer, sizeof buffer)) return;
    }
}

static void sink(int fd) {
    static unsigned char buffer[BUFFER];
    char line[40];
    uint64_t at = 0;
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0) {
        uint64_t before = at / BUFFER;
        for (ssize_t i = 0; i < n; i++, at++)
            if (buffer[i] != pattern(at)) {
                int size = snprintf(line, sizeof line, "bad %llu\n", (unsigned long long)at);
                send_all(fd, line, size);
                return;
            }
        if (at / BUFFER != before) {
            int size = snprintf(line, sizeof line, "%llu\n", (unsigned long long)at);
            if (send_all(fd, line, size)) return;
        }
    }
}

int main(int argc, char **argv) {
    void (*serve)(int) = 0;
    if (argc == 3 && !strcmp(argv[1], "echo")) serve = echo;
    if (argc == 3 && !strcmp(argv[1], "source")) serve = source;
    if (argc == 3 && !strcmp(argv[1], "sink")) serve = sink;
    if (!serve) {
        fprintf(stderr, "usage: stream echo|source|sink PORT\n");
        return 2;
    }
    int listening = listener(atoi(argv[2]));
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accepted(listening);
        if (fd < 0) continue;
        pid_t child = fork();
        if (!child) {
            close(listening);
            serve(fd);
            _exit(0);
        }
        close(fd);
    }
}
