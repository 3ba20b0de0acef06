// Measures a shell command inside the guest, in the format of bench.c.
//
//   timed NAME COMMAND
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: timed NAME COMMAND\n");
        return 2;
    }
    printf("@B %s\n", argv[1]);
    fflush(stdout);
    uint64_t start = now();
    int status = system(argv[2]);
    printf("@E %s %llu rc=%d\n", argv[1], (unsigned long long)(now() - start), status);
    return status != 0;
}
