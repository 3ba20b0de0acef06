// Code made and changed at run time, system calls and rdtsc in it included.
#include "guest.h"

typedef long (*code)(long);

int main(void) {
    unsigned char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    // lea imm8(%rdi),%rax; ret
    unsigned char add[] = {0x48, 0x8d, 0x47, 0, 0xc3};
    for (int i = 0; i < 100; i++) {
        add[3] = i;
        memcpy(page, add, sizeof add);
        EQ(((code)page)(1000), 1000 + i);
    }
    ok("rewritten between calls");
    // mov $nr,%eax; syscall; ret - as a just-in-time compiler may write it.
    unsigned char call[] = {0xb8, SYS_getpid, 0, 0, 0, 0x0f, 0x05, 0xc3};
    memcpy(page, call, sizeof call);
    for (int i = 0; i < 3; i++) EQ(((code)page)(0), getpid());
    // Another call at the same place: a site that was seen before is new again.
    call[1] = SYS_getppid;
    memcpy(page, call, sizeof call);
    EQ(((code)page)(0), getppid());
    // mov %edi,%eax before the instruction: nothing to recognise.
    unsigned char loose[] = {0x89, 0xf8, 0x0f, 0x05, 0xc3};
    memcpy(page + 4094, loose, sizeof loose);
    EQ(((code)(page + 4094))(SYS_getpid), getpid());
    ok("system calls in code made at run time");
    // rdtsc; shl $32,%rdx; or %rdx,%rax; ret
    unsigned char tsc[] = {0x0f, 0x31, 0x48, 0xc1, 0xe2, 32, 0x48, 0x09, 0xd0, 0xc3};
    memcpy(page + 100, tsc, sizeof tsc);
    long first = ((code)(page + 100))(0), second = ((code)(page + 100))(0);
    CHECK(second >= first);
    show("tsc %ld %ld", first, second);
    ok("rdtsc in it");
    // Written, then executable only; twice.
    for (int i = 1; i < 3; i++) {
        SYS(mprotect(page, 8192, PROT_READ | PROT_WRITE));
        add[3] = i;
        memcpy(page, add, sizeof add);
        SYS(mprotect(page, 8192, PROT_READ | PROT_EXEC));
        EQ(((code)page)(5), 5 + i);
    }
    ok("write or execute");
    // An instruction that changes the one behind it.
    SYS(mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC));
    // movb $7,4(%rip): the immediate of the next mov. mov $1,%eax; ret
    unsigned char ahead[] = {0xc6, 0x05, 1, 0, 0, 0, 7, 0xb8, 1, 0, 0, 0, 0xc3};
    memcpy(page, ahead, sizeof ahead);
    EQ(((code)page)(0), 7);
    ok("changed just ahead of itself");
    return 0;
}
