// cc: -no-pie -fno-pie -Wl,--section-start=.there=0x50f2000
// A program whose own code lies low, and a part of it where gapless would have pages of its own.
#include "guest.h"

#define THERE __attribute__((section(".there"), noinline, noclone))

static atomic_int go;

THERE static long call(long nr) {
    long result;
    __asm__ volatile("syscall\ncmp $-4096, %%rax\n" : "=a"(result) : "0"(nr) : "rcx", "r11", "memory", "cc");
    return result;
}

THERE static void *spin(void *unused) {
    (void)unused;
    while (!atomic_load_explicit(&go, memory_order_relaxed)) {}
    return NULL;
}

int main(void) {
    show("code at %p", (void *)call);
    CHECK((uintptr_t)call >= 0x50f2000 && (uintptr_t)spin < 0x50f9000);
    long me = getpid(), parent = getppid();
    for (int i = 0; i < 20; i++) {
        EQ(call(SYS_getpid), me);
        EQ(call(SYS_getppid), parent);
    }
    ok("calls from there");
    pthread_t spinner;
    PT(pthread_create(&spinner, NULL, spin, NULL));
    sleep_ms(1);
    go = 1;
    PT(pthread_join(spinner, NULL));
    ok("a thread that computes there gives way");
    return 0;
}
