// cc: -nostdlib -static -fno-stack-protector -fcf-protection=none
// status: 3
// No C library at all: the stack as the kernel made it, and bare system calls.

static long call3(long n, long a, long b, long c) {
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}

static void put(const char *text) {
    long n = 0;
    while (text[n]) n++;
    call3(1, 1, (long)text, n);
}

__attribute__((used)) void start(long *stack) {
    long argc = stack[0];
    char **argv = (char **)(stack + 1);
    if ((unsigned long)stack % 16 != 0 || argc < 1 || !argv[0] || argv[argc]) call3(231, 99, 0, 0);
    char **env = argv + argc + 1;
    while (*env) env++;
    int page = 0;
    for (unsigned long *aux = (unsigned long *)(env + 1); aux[0]; aux += 2)
        if (aux[0] == 6) page = aux[1] == 4096;
    if (!page) call3(231, 98, 0, 0);
    put("ok stack, arguments, auxiliary vector\n");
    // An unknown call is an error, not the end.
    if (call3(999, 0, 0, 0) != -38) call3(231, 97, 0, 0);
    put("ok no such call\n");
    call3(231, 3, 0, 0);
}

__attribute__((naked, used)) void _start(void) {
    __asm__("xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call start\n");
}
