// stdin: first line\nsecond line, longer\n\nlast line without an end
// Standard input to standard output, in small pieces, and its length.
#include "guest.h"

int main(void) {
    char piece[7];
    long total = 0;
    for (ssize_t n; (n = SYS(read(0, piece, sizeof piece))) > 0; total += n)
        for (ssize_t at = 0; at < n;) at += SYS(write(1, piece + at, n - at));
    EQ(write(1, "\n", 1), 1);
    ok("%ld bytes", total);
    fputs("a word on standard error\n", stderr);
    return 0;
}
