// sendmsg with descriptors and credentials over a socketpair.
#include "guest.h"

static void send_fds(int socket, const int *fds, int n) {
    char control[CMSG_SPACE(sizeof(int) * 4)] = {0}, byte = 'F';
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    *c = (struct cmsghdr){CMSG_LEN(sizeof(int) * n), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
    EQ(sendmsg(socket, &message, 0), 1);
}

static int receive_fds(int socket, int *fds, size_t room, int *flags) {
    char control[CMSG_SPACE(sizeof(int) * 4)] = {0}, byte;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = room ? CMSG_SPACE(sizeof(int) * room) : 0};
    EQ(recvmsg(socket, &message, MSG_CMSG_CLOEXEC), 1);
    EQ(byte, 'F');
    *flags = message.msg_flags;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (!c) return 0;
    EQ(c->cmsg_type, SCM_RIGHTS);
    int n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(c), sizeof(int) * n);
    return n;
}

int main(void) {
    int s[2], p[2], fds[4], flags;
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    SYS(pipe(p));
    pid_t child = SYS(fork());
    if (child == 0) {
        close(p[0]);
        close(p[1]);
        EQ(receive_fds(s[1], fds, 2, &flags), 2);
        EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
        char text[8] = "";
        EQ(read(fds[0], text, 5), 5);
        EQ(strcmp(text, "piped"), 0);
        EQ(lseek(fds[1], 0, SEEK_CUR), 2);
        EQ(write(fds[1], "child", 5), 5);
        _exit(0);
    }
    int file = SYS(open("f", O_RDWR | O_CREAT, 0600));
    EQ(write(file, "ab", 2), 2);
    send_fds(s[0], (int[]){p[0], file}, 2);
    close(p[0]);
    EQ(write(p[1], "piped", 5), 5);
    EQ(exit_of(child), 0);
    EQ(lseek(file, 0, SEEK_CUR), 7);
    ok("a pipe and a file, with the file's offset");

    // In flight the descriptor keeps the pipe open.
    SYS(pipe(p));
    send_fds(s[0], &p[1], 1);
    close(p[1]);
    SYS(fcntl(p[0], F_SETFL, O_NONBLOCK));
    char c;
    FAILS(EAGAIN, read(p[0], &c, 1));
    EQ(receive_fds(s[1], fds, 0, &flags), 0);
    CHECK(flags & MSG_CTRUNC);
    EQ(read(p[0], &c, 1), 0);
    ok("kept while in flight, closed when there is no room for it");

    // What was sent before comes with them, what was sent after does not.
    EQ(write(s[0], "before", 6), 6);
    send_fds(s[0], &file, 1);
    EQ(write(s[0], "after", 5), 5);
    char text[20] = "";
    EQ(read(s[1], text, sizeof text), 7);
    EQ(read(s[1], text + 7, sizeof text - 7), 5);
    EQ(strcmp(text, "beforeFafter"), 0);
    ok("descriptors end a read");

    int on = 1;
    SYS(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    EQ(write(s[0], "x", 1), 1);
    char control[256], byte;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    EQ(recvmsg(s[1], &message, 0), 1);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    CHECK(head);
    EQ(head->cmsg_type, SCM_CREDENTIALS);
    struct ucred who;
    memcpy(&who, CMSG_DATA(head), sizeof who);
    EQ(who.pid, getpid());
    EQ(who.uid, getuid());
    socklen_t size = sizeof who;
    SYS(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &who, &size));
    EQ(who.pid, getpid());
    ok("credentials");
    return 0;
}
