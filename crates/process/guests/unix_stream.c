// cc: -pthread
// Unix stream sockets: by path, abstract and paired; accept, names, half close, peek.
#include "guest.h"
#include <sys/ioctl.h>

static struct sockaddr_un path_name = {AF_UNIX, "socket"};

static void *serve(void *arg) {
    int listener = (int)(intptr_t)arg;
    for (int i = 0; i < 2; i++) {
        int s = SYS(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
        char c;
        while (SYS(read(s, &c, 1)) == 1) {
            c++;
            EQ(write(s, &c, 1), 1);
        }
        close(s);
    }
    return NULL;
}

static void talk(const struct sockaddr_un *name, socklen_t size) {
    int s = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
    SYS(connect(s, (const void *)name, size));
    EQ(write(s, "HAL", 3), 3);
    SYS(shutdown(s, SHUT_WR));
    char text[8] = "";
    size_t n = 0;
    for (ssize_t r; (r = SYS(read(s, text + n, sizeof text - n))) > 0;) n += r;
    EQ(strcmp(text, "IBM"), 0);
    struct sockaddr_un peer = {0};
    socklen_t length = sizeof peer;
    SYS(getpeername(s, (void *)&peer, &length));
    EQ(length, size);
    EQ(memcmp(&peer, name, size), 0);
    length = sizeof peer;
    SYS(getsockname(s, (void *)&peer, &length));
    EQ(length, sizeof peer.sun_family);
    close(s);
}

int main(void) {
    struct sockaddr_un abstract = {AF_UNIX, "\0gapless guest"};
    socklen_t abstract_size = offsetof(struct sockaddr_un, sun_path) + 14;
    socklen_t path_size = offsetof(struct sockaddr_un, sun_path) + 7;
    pthread_t thread;
    int listener = SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    FAILS(ENOENT, connect(listener, (void *)&path_name, path_size));
    SYS(bind(listener, (void *)&path_name, path_size));
    int other = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
    FAILS(ECONNREFUSED, connect(other, (void *)&path_name, path_size));
    FAILS(EADDRINUSE, bind(other, (void *)&path_name, path_size));
    SYS(listen(listener, 4));
    PT(pthread_create(&thread, NULL, serve, (void *)(intptr_t)listener));
    talk(&path_name, path_size);
    talk(&path_name, path_size);
    PT(pthread_join(thread, NULL));
    struct stat st;
    SYS(stat("socket", &st));
    CHECK(S_ISSOCK(st.st_mode));
    SYS(unlink("socket"));
    FAILS(ENOENT, connect(other, (void *)&path_name, path_size));
    ok("by path");
    close(listener);

    listener = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
    SYS(bind(listener, (void *)&abstract, abstract_size));
    SYS(listen(listener, 4));
    PT(pthread_create(&thread, NULL, serve, (void *)(intptr_t)listener));
    talk(&abstract, abstract_size);
    talk(&abstract, abstract_size);
    PT(pthread_join(thread, NULL));
    ok("abstract");

    int s[2];
    char text[8] = "";
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    EQ(send(s[0], "abc", 3, 0), 3);
    EQ(recv(s[1], text, 2, MSG_PEEK), 2);
    EQ(recv(s[1], text, 8, 0), 3);
    EQ(strcmp(text, "abc"), 0);
    EQ(send(s[0], "abcd", 4, 0), 4);
    EQ(send(s[0], "efgh", 4, 0), 4);
    EQ(recv(s[1], text, 8, MSG_WAITALL), 8);
    EQ(memcmp(text, "abcdefgh", 8), 0);
    ok("pair: peek, wait for all");
    close(s[0]);
    EQ(recv(s[1], text, 8, 0), 0);
    SYS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
    EQ(send(s[0], "one", 3, 0), 3);
    EQ(send(s[0], "two", 3, 0), 3);
    int waiting;
    SYS(ioctl(s[1], FIONREAD, &waiting));
    EQ(waiting, 6);
    EQ(recv(s[1], text, 8, 0), 3);
    EQ(recv(s[1], text, 2, MSG_TRUNC), 3);
    ok("packets keep their borders");
    return 0;
}
