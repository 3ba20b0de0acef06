// refused: mq_open
// POSIX message queues: what is sent is received, the most urgent first.
#include "guest.h"
#include <mqueue.h>

int main(void) {
    struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 16};
    char name[64], got[16];
    snprintf(name, sizeof name, "/gapless-%d", (int)getpid());
    mqd_t queue = SYS(mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr));
    SYS(mq_send(queue, "late", 5, 1));
    SYS(mq_send(queue, "soon", 5, 9));
    unsigned priority;
    EQ(mq_receive(queue, got, sizeof got, &priority), 5);
    EQ(strcmp(got, "soon"), 0);
    EQ(priority, 9);
    SYS(mq_close(queue));
    SYS(mq_unlink(name));
    ok("the most urgent first");
    return 0;
}
