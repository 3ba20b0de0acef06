// Code that a program writes and runs in one stretch, without telling the system: what it asks of the processor is answered as in any other code.
#include "guest.h"
#include <cpuid.h>

typedef void (*ask)(unsigned leaf, unsigned *out);
typedef int (*number)(void);

// push %rbx; mov %edi,%eax; xor %ecx,%ecx; cpuid; mov %eax,(%rsi); mov %ebx,4(%rsi); mov %ecx,8(%rsi); mov %edx,12(%rsi); pop %rbx; ret
static const unsigned char asks[] = {0x53, 0x89, 0xf8, 0x31, 0xc9, 0x0f, 0xa2, 0x89, 0x06, 0x89, 0x5e,
                                     4,    0x89, 0x4e, 8,    0x89, 0x56, 12,   0x5b, 0xc3};
// mov $N,%eax; ret
static unsigned char numbers[] = {0xb8, 0, 0, 0, 0, 0xc3};

static unsigned char *new_page(void) {
    unsigned char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    memset(page, 0x90, 8192);
    return page;
}

static int number_at(unsigned char *at, int n) {
    numbers[1] = n;
    memcpy(at, numbers, sizeof numbers);
    return ((number)at)();
}

static void as_anywhere(unsigned char *code) {
    for (unsigned leaf = 0; leaf < 0x10; leaf++) {
        unsigned mapped[4], written[4];
        __cpuid_count(leaf, 0, mapped[0], mapped[1], mapped[2], mapped[3]);
        ((ask)code)(leaf, written);
        // Natively two looks at the topology may be from two processors.
        if (leaf == 1) mapped[1] &= 0xffffff, written[1] &= 0xffffff;
        if (leaf != 0xb) EQ(memcmp(mapped, written, sizeof mapped), 0);
    }
}

static sigjmp_buf back;

static void on_fault(int signal UNUSED) { siglongjmp(back, 1); }

// A stack that may be executed, and code on it that faults: the handler's frame must find room there.
static void *on_an_executable_stack(void *arg UNUSED) {
    unsigned char code[64];
    EQ(number_at(code, 5), 5);
    // hlt, which is not for programs.
    memset(code, 0xf4, sizeof code);
    for (volatile int i = 0; i < 3; i++) {
        if (sigsetjmp(back, 1) == 0) {
            ((number)code)();
            die("hlt was executed");
        }
    }
    EQ(number_at(code, 6), 6);
    return NULL;
}

int main(void) {
    unsigned char *page = new_page();
    // Something else runs there first.
    EQ(number_at(page, 7), 7);
    memcpy(page + 200, asks, sizeof asks);
    as_anywhere(page + 200);
    EQ(memcmp(page + 200, asks, 5), 0);
    ok("cpuid in code that was written behind code that ran");
    // Over the end of a page, and again.
    memcpy(page + 4096 - 6, asks, sizeof asks);
    as_anywhere(page + 4096 - 6);
    memset(page + 200, 0x90, sizeof asks);
    EQ(number_at(page + 205, 9), 9);
    as_anywhere(page + 4096 - 6);
    ok("over the end of a page, and something else in its place");
    // By a call: from a pipe, into a page that has just run.
    int pipes[2];
    SYS(pipe(pipes));
    for (int i = 0; i < 3; i++) {
        numbers[1] = 20 + i;
        EQ(write(pipes[1], numbers, sizeof numbers), sizeof numbers);
        EQ(read(pipes[0], page + 300, sizeof numbers), sizeof numbers);
        EQ(((number)(page + 300))(), 20 + i);
    }
    ok("read from a pipe");
    // In turns for a long time; another process; moved elsewhere.
    for (int i = 0; i < 100; i++) EQ(number_at(page + 400, i), i);
    unsigned char *other = new_page();
    EQ(number_at(other, 1), 1);
    pid_t child = SYS(fork());
    if (child == 0) {
        EQ(number_at(other + 100, 2), 2);
        EQ(((number)other)(), 1);
        _exit(0);
    }
    EQ(exit_of(child), 0);
    EQ(number_at(other + 100, 3), 3);
    other = mremap(other, 8192, 16384, MREMAP_MAYMOVE);
    CHECK(other != MAP_FAILED);
    EQ(((number)other)(), 1);
    EQ(number_at(other + 8192, 4), 4);
    ok("in turns, in a child, moved");
    on_signal(SIGSEGV, on_fault, 0);
    unsigned char *stack = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    pthread_attr_t attr;
    pthread_t thread;
    PT(pthread_attr_init(&attr));
    PT(pthread_attr_setstack(&attr, stack, 1 << 20));
    PT(pthread_create(&thread, &attr, on_an_executable_stack, NULL));
    PT(pthread_join(thread, NULL));
    ok("a fault on an executable stack");
    return 0;
}
