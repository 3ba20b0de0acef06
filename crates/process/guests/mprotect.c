// mprotect: a page watched by its faults, as garbage collectors do it.
#include "guest.h"

static char *memory;
static volatile sig_atomic_t faults;
static volatile uintptr_t last;

static void fault(int signal, siginfo_t *info, void *context) {
    (void)context;
    if (signal != SIGSEGV || info->si_code != SEGV_ACCERR) _exit(97);
    last = (uintptr_t)info->si_addr;
    faults++;
    // Opens the page that was touched; the store is then done again.
    if (mprotect((void *)(last & ~4095UL), 4096, PROT_READ | PROT_WRITE) != 0) _exit(96);
}

int main(void) {
    memory = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    on_siginfo(SIGSEGV, fault, 0);
    SYS(mprotect(memory, 16 * 4096, PROT_READ));
    for (int i = 0; i < 16; i += 3) {
        memory[i * 4096 + i] = i;
        EQ(last - (uintptr_t)memory, i * 4096 + i);
        memory[i * 4096 + 7] = 1;
    }
    EQ(faults, 6);
    ok("one fault for each page written");
    SYS(mprotect(memory + 4096, 4096, PROT_NONE));
    volatile char c = memory[4096 + 5];
    EQ(c, 0);
    EQ(faults, 7);
    ok("reading a closed page");
    int p[2];
    SYS(pipe(p));
    EQ(write(p[1], "x", 1), 1);
    SYS(mprotect(memory, 4096, PROT_READ));
    FAILS(EFAULT, read(p[0], memory, 1));
    EQ(faults, 7);
    ok("the kernel's store is an error, not a fault");
    FAILS(EINVAL, mprotect(memory + 1, 4096, PROT_READ));
    return 0;
}
