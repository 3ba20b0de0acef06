// stdin: 17 apples\n4 pears\n
// The C library's streams: scanf, buffered output, flush at exit.
#include "guest.h"

int main(void) {
    int n, sum = 0;
    char what[16];
    while (scanf("%d %15s", &n, what) == 2) {
        printf("ok read %d %s\n", n, what);
        sum += n;
    }
    printf("ok sum %d\n", sum);
    FILE *f = fopen("f", "w+");
    CHECK(f);
    for (int i = 0; i < 5000; i++) fprintf(f, "%d\n", i);
    rewind(f);
    long total = 0;
    while (fscanf(f, "%d", &n) == 1) total += n;
    EQ(total, 4999L * 5000 / 2);
    CHECK(fseek(f, 0, SEEK_END) == 0);
    printf("ok file of %ld bytes\n", ftell(f));
    fclose(f);
    f = tmpfile();
    CHECK(f);
    fclose(f);
    printf("ok flushed at exit\n");
    return 0;
}
