// args: 16
// Alarms reach a thread that computes on a large heap, of which it writes to one megabyte: how late is shown.
#include "guest.h"

enum { PAGE = 4096, ALARMS = 8, WRITTEN = 256 };

static int64_t due;
static volatile int64_t late[ALARMS];
static volatile sig_atomic_t alarms;

static void note(int signal) {
    (void)signal;
    late[alarms] = now_ns(CLOCK_MONOTONIC) - due;
    alarms++;
}

int main(int argc, char **argv) {
    EQ(argc, 2);
    size_t pages = (size_t)atoi(argv[1]) << 8;
    unsigned char *heap = malloc(pages * PAGE);
    CHECK(heap);
    for (size_t page = 0; page < pages; page++) memset(heap + page * PAGE, page % 255 + 1, PAGE);
    on_signal(SIGALRM, note, 0);
    timer_t timer;
    SYS(timer_create(CLOCK_MONOTONIC, NULL, &timer));
    uint64_t writes = 0;
    for (int i = 0; i < ALARMS; i++) {
        due = now_ns(CLOCK_MONOTONIC) + 20000000;
        struct itimerspec spec = {.it_value = {due / 1000000000, due % 1000000000}};
        SYS(timer_settime(timer, TIMER_ABSTIME, &spec, NULL));
        // Each megabyte is another one.
        size_t from = pages / ALARMS * i;
        for (size_t n = 0; alarms == i; n++, writes++) heap[(from + n * 61 % WRITTEN) * PAGE + n % PAGE]++;
        show("alarm %d late by %.1f ms", i, late[i] / 1e6);
    }
    EQ(alarms, ALARMS);
    show("%llu writes", (unsigned long long)writes);
    ok("%d alarms", ALARMS);
    return 0;
}
