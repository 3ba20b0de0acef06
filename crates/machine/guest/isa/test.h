// What every program here begins with: how it names its cases, checks, expects traps, and reports.
//
// A program starts at the beginning of memory in S-mode without translation. It speaks to whoever runs it by ECALL from S-mode, a7 telling what:
// a case begins, a check failed, all is done, what position is it, set the line of the interrupt controller now or at the next WFI. While it runs,
//
//   s1  is where to go on behind the next trap; zero when none is expected
//   s2  scause, s3  stval, s4  sepc, s5  sstatus   are what the last trap found; s6 is the handler's own
//   t5, t6, a0-a2, a7 and ra are used up by the macros

#define CALL_FAIL 0x100
#define CALL_DONE 0x101
#define CALL_CASE 0x102
#define CALL_POSITION 0x103
#define CALL_LINE 0x104
#define CALL_LINE_AT_WFI 0x105

// Causes.
#define FETCH_ACCESS 1
#define ILLEGAL 2
#define BREAKPOINT 3
#define LOAD_MISALIGNED 4
#define LOAD_ACCESS 5
#define STORE_MISALIGNED 6
#define STORE_ACCESS 7
#define ECALL_USER 8
#define FETCH_PAGE 12
#define LOAD_PAGE 13
#define STORE_PAGE 15
#define SOFTWARE ((1 << 63) | 1)
#define TIMER ((1 << 63) | 5)
#define EXTERNAL ((1 << 63) | 9)

// sstatus.
#define SIE (1 << 1)
#define SPIE (1 << 5)
#define SPP (1 << 8)
#define FS (3 << 13)
#define FS_OFF (0 << 13)
#define FS_INITIAL (1 << 13)
#define FS_CLEAN (2 << 13)
#define FS_DIRTY (3 << 13)
#define SUM (1 << 18)
#define MXR (1 << 19)
#define SD (1 << 63)

// sip and sie.
#define SOFTWARE_BIT (1 << 1)
#define TIMER_BIT (1 << 5)
#define EXTERNAL_BIT (1 << 9)

#define STIMECMP 0x14d
#define SENVCFG 0x10a
#define CBZE (1 << 7)

#define RAM_BASE 0x80000000
#define RAM_END 0x81000000
// Nothing is there.
#define NOWHERE 0x08000000

// What user mode adds to an address of this program: nothing, unless the program maps itself once more for it.
#ifndef USER_OFFSET
#define USER_OFFSET 0
#endif

.option norelax
.option norvc

.text
.globl _start
_start:
    la      t0, trap
    csrw    stvec, t0
    csrw    satp, zero
    csrw    sie, zero
    csrw    sscratch, zero
    li      t0, -1
    csrw    STIMECMP, t0
    li      t0, FS | SIE | SPIE | SUM | MXR
    csrc    sstatus, t0
    csrwi   sip, 0
    li      s1, 0
    j       main

.balign 4
trap:
    csrr    s2, scause
    csrr    s3, stval
    csrr    s4, sepc
    csrr    s5, sstatus
    beqz    s1, 1f
    csrw    sepc, s1
    li      s1, 0
    li      s6, SPP
    csrs    sstatus, s6
    li      s6, SPIE
    csrc    sstatus, s6
    sret
1:  li      a0, 0
    mv      a1, s2
    mv      a2, s3
    j       fail

fail:
    li      a7, CALL_FAIL
    ecall
    // Whoever runs this may want to see more than the first.
    ret

.macro case_begins name
    .pushsection .rodata
98: .asciz  "\name"
    .popsection
    la      a0, 98b
    li      a7, CALL_CASE
    ecall
.endm

// A case begins.
#define CASE(name) case_begins name

// All cases are over.
#define DONE                                                                                                                                        \
    li      a7, CALL_DONE;                                                                                                                          \
    ecall

// Two registers are equal; `wanted` is the right one. Not t5.
#define CHECK_EQUAL(register, wanted)                                                                                                               \
    beq     register, wanted, 99f;                                                                                                                  \
    mv      t5, register;                                                                                                                           \
    mv      a2, wanted;                                                                                                                             \
    mv      a1, t5;                                                                                                                                 \
    li      a0, __LINE__;                                                                                                                           \
    jal     fail;                                                                                                                                   \
99:

// A register holds a constant.
#define CHECK(register, value)                                                                                                                      \
    li      t6, value;                                                                                                                              \
    CHECK_EQUAL(register, t6)

// A register holds an address of this program.
#define CHECK_ADDRESS(register, label)                                                                                                              \
    la      t6, label;                                                                                                                              \
    CHECK_EQUAL(register, t6)

// Some bits of a register are these.
#define CHECK_BITS(register, mask, value)                                                                                                           \
    li      t6, mask;                                                                                                                               \
    and     t5, register, t6;                                                                                                                       \
    li      t6, value;                                                                                                                              \
    beq     t5, t6, 99f;                                                                                                                            \
    mv      a1, t5;                                                                                                                                 \
    mv      a2, t6;                                                                                                                                 \
    li      a0, __LINE__;                                                                                                                           \
    jal     fail;                                                                                                                                   \
99:

// Control must not come here.
#define NEVER                                                                                                                                       \
    li      a0, __LINE__;                                                                                                                           \
    li      a1, -1;                                                                                                                                 \
    li      a2, -1;                                                                                                                                 \
    jal     fail

// The trap was of this kind, with this stval.
#define CHECK_TRAP(cause, value)                                                                                                                    \
    CHECK(s2, cause);                                                                                                                               \
    CHECK(s3, value)

// One instruction traps: cause and sepc are checked, stval is in s3.
#define EXPECT(cause, ...)                                                                                                                          \
    la      s1, 97f;                                                                                                                                \
96: __VA_ARGS__;                                                                                                                                    \
    NEVER;                                                                                                                                          \
97: CHECK(s2, cause);                                                                                                                               \
    CHECK_ADDRESS(s4, 96b);                                                                                                                         \
    CHECK_BITS(s5, SPP, SPP)

// User mode executes this with SIE clear, until it traps: by an ECALL at its end, if by nothing else. Afterwards it is S-mode again.
#define USER(...)                                                                                                                                   \
    li      t6, SPP | SPIE;                                                                                                                             \
    csrc    sstatus, t6;                                                                                                                            \
    la      t6, 96f;                                                                                                                                \
    li      s1, USER_OFFSET;                                                                                                                        \
    add     t6, t6, s1;                                                                                                                             \
    csrw    sepc, t6;                                                                                                                               \
    la      s1, 97f;                                                                                                                                \
    sret;                                                                                                                                           \
96: __VA_ARGS__;                                                                                                                                    \
    ecall;                                                                                                                                          \
97: CHECK_BITS(s5, SPP, 0)

// One instruction in user mode traps.
#define USER_EXPECT(cause, ...)                                                                                                                     \
    USER(__VA_ARGS__);                                                                                                                              \
    CHECK(s2, cause);                                                                                                                               \
    la      t6, 96b;                                                                                                                                \
    li      t5, USER_OFFSET;                                                                                                                        \
    add     t6, t6, t5;                                                                                                                             \
    CHECK_EQUAL(s4, t6)

// The line of the interrupt controller.
#define LINE(level)                                                                                                                                 \
    li      a0, level;                                                                                                                              \
    li      a7, CALL_LINE;                                                                                                                          \
    ecall

// It is raised when the hart waits for it.
#define LINE_AT_WFI                                                                                                                                 \
    li      a7, CALL_LINE_AT_WFI;                                                                                                                   \
    ecall

// The position of the ECALL in it comes to a0.
#define POSITION                                                                                                                                    \
    li      a7, CALL_POSITION;                                                                                                                      \
    ecall
