// A program of M-mode: what a conformance suite's environment needs, checked once. It reports the line that failed, or that none did.

.option norelax
.option norvc

#define SPP_SUPERVISOR (1 << 11)
#define MPP (3 << 11)
#define MPRV (1 << 17)
#define TVM (1 << 20)
#define TSR (1 << 22)

// A register holds a constant; t6 is used up.
#define CHECK(register, value)                                                                                                                      \
    li      t6, value;                                                                                                                              \
    li      gp, __LINE__;                                                                                                                           \
    bne     register, t6, fail

// Goes on at a label in a lower mode.
#define ENTER(mode, label)                                                                                                                          \
    li      t6, MPP;                                                                                                                                \
    csrc    mstatus, t6;                                                                                                                            \
    li      t6, mode << 11;                                                                                                                         \
    csrs    mstatus, t6;                                                                                                                            \
    la      t6, label;                                                                                                                              \
    csrw    mepc, t6;                                                                                                                               \
    mret

#define USER 0
#define SUPERVISOR 1
#define MACHINE 3

.text
.globl _start
_start:
    j       main
.balign 8
tohost:
    .dword  0

fail:
    slli    gp, gp, 1
    ori     gp, gp, 1
    la      t0, tohost
    sd      gp, 0(t0)
1:  j       1b

// A trap to M-mode goes on at s1, with its cause in s2, its value in s3, its place in s4 and its former mode in s5.
.balign 4
trap:
    li      gp, 1
    beqz    s1, fail
    csrr    s2, mcause
    csrr    s3, mtval
    csrr    s4, mepc
    csrr    s5, mstatus
    srli    s5, s5, 11
    andi    s5, s5, 3
    mv      t6, s1
    li      s1, 0
    jr      t6

main:
    li      s1, 0
    la      t0, trap
    csrw    mtvec, t0
    csrr    a0, mhartid
    CHECK(a0, 0)
    csrr    a0, misa
    srli    a0, a0, 62
    CHECK(a0, 2)

    // A trap of M-mode itself.
    la      s1, 1f
2:  ebreak
1:  CHECK(s2, 3)
    CHECK(s5, MACHINE)
    la      t0, 2b
    sub     s4, s4, t0
    CHECK(s4, 0)
    la      s1, 1f
    csrw    0x7c0, zero
1:  CHECK(s2, 2)
    CHECK(s3, 0x7c001073)

    // Calls of every mode.
    la      s1, 1f
    ecall
1:  CHECK(s2, 11)
    CHECK(s5, MACHINE)
    la      s1, 1f
    ENTER(SUPERVISOR, 2f)
2:  ecall
1:  CHECK(s2, 9)
    CHECK(s5, SUPERVISOR)
    la      s1, 1f
    ENTER(USER, 2f)
2:  ecall
1:  CHECK(s2, 8)
    CHECK(s5, USER)

    // M-mode's registers are illegal below it.
    la      s1, 1f
    ENTER(SUPERVISOR, 2f)
2:  csrr    a0, mstatus
1:  CHECK(s2, 2)
    CHECK(s3, 0x30002573)

    // A delegated trap is the supervisor's, and one that is not leaves the supervisor's registers alone.
    li      t0, 1 << 3
    csrw    medeleg, t0
    la      t0, 3f
    csrw    stvec, t0
    csrwi   scause, 31
    la      s1, 1f
    ENTER(USER, 2f)
2:  ebreak
.balign 4
3:  csrr    a0, scause
    csrr    a1, sepc
    .word   0
1:  CHECK(a0, 3)
    la      t0, 2b
    sub     a1, a1, t0
    CHECK(a1, 0)
    CHECK(s2, 2)
    CHECK(s5, SUPERVISOR)
    csrr    a0, scause
    CHECK(a0, 3)
    csrw    medeleg, zero

    // What mstatus makes illegal in S-mode.
    li      t0, TVM | TSR
    csrs    mstatus, t0
    la      s1, 1f
    ENTER(SUPERVISOR, 2f)
2:  sfence.vma
1:  CHECK(s2, 2)
    la      s1, 1f
    ENTER(SUPERVISOR, 2f)
2:  csrr    a0, satp
1:  CHECK(s2, 2)
    la      s1, 1f
    ENTER(SUPERVISOR, 2f)
2:  sret
1:  CHECK(s2, 2)
    CHECK(s3, 0x10200073)
    li      t0, TVM | TSR
    csrc    mstatus, t0

    // Loads and stores of M-mode as the supervisor's: 1 GiB at 0 is memory, readable only.
    la      t0, table
    li      t1, 0x20000043
    sd      t1, 0(t0)
    srli    t0, t0, 12
    li      t1, 8 << 60
    or      t0, t0, t1
    csrw    satp, t0
    csrr    a0, satp
    sub     a0, a0, t0
    CHECK(a0, 0)
    li      t0, MPP
    csrc    mstatus, t0
    li      t0, SPP_SUPERVISOR | MPRV
    csrs    mstatus, t0
    la      a1, table
    li      t0, 0x80000000
    sub     a1, a1, t0
    ld      a0, 0(a1)
    CHECK(a0, 0x20000043)
    la      s1, 1f
    sd      a0, 0(a1)
1:  CHECK(s2, 15)
    sub     s3, s3, a1
    CHECK(s3, 0)
    // The trap has made M-mode the previous one.
    la      s1, 1f
    ld      a0, 0(a1)
1:  CHECK(s2, 5)
    li      t0, MPRV
    csrc    mstatus, t0
    csrw    satp, zero

    // An interrupt of M-mode in lower modes, then delegated.
    csrwi   mie, 2
    csrwi   mip, 2
    la      s1, 1f
    ENTER(USER, 2f)
2:  nop
    .word   0
1:  CHECK(s2, (1 << 63) | 1)
    CHECK(s5, USER)
    csrwi   mideleg, 2
    la      t0, 3f
    csrw    stvec, t0
    la      s1, 1f
    ENTER(USER, 2f)
2:  nop
    .word   0
.balign 4
3:  csrr    a0, scause
    ecall
1:  CHECK(s2, 9)
    CHECK(a0, (1 << 63) | 1)

    li      gp, 1
    la      t0, tohost
    sd      gp, 0(t0)
1:  j       1b

.data
.balign 4096
table:
    .zero   4096
