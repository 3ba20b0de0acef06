// A page of initialised data becomes zeros in a loop that makes no call: where a file shows through, zeros are something written.
#include "guest.h"

enum { PAGE = 4096 };
static _Alignas(PAGE) volatile unsigned char data[3 * PAGE] = {[0 ... 3 * PAGE - 1] = 7};

static volatile sig_atomic_t fired;
static void note(int signal) { (void)signal; fired = 1; }

int main(void) {
    on_signal(SIGALRM, note, 0);
    struct itimerval timer = {{0, 0}, {0, 10000}};
    SYS(setitimer(ITIMER_REAL, &timer, NULL));
    for (int i = 0; i < PAGE; i++) data[PAGE + i] = 0;
    while (!fired) {}
    unsigned sum = 0;
    for (int i = 0; i < 3 * PAGE; i++) sum += data[i];
    EQ(sum, 2 * PAGE * 7);
    ok("a page of zeros between two of sevens");
    return 0;
}
