// Control and status registers: which bits they have, who may read them, what they permit to user mode.
#include "test.h"

// A register takes all of these bits, and only these.
#define CHECK_WRITABLE(register, mask)                                                                                                              \
    csrr    s11, register;                                                                                                                          \
    li      t0, -1;                                                                                                                                 \
    csrw    register, t0;                                                                                                                           \
    csrr    a3, register;                                                                                                                           \
    csrw    register, zero;                                                                                                                         \
    csrr    a4, register;                                                                                                                           \
    csrw    register, s11;                                                                                                                          \
    CHECK(a3, mask);                                                                                                                                \
    CHECK(a4, 0)

#define BLOCK 64

main:
    CASE("bits of registers")
    CHECK_WRITABLE(sscratch, -1)
    CHECK_WRITABLE(sepc, -2)
    CHECK_WRITABLE(scause, -1)
    CHECK_WRITABLE(stval, -1)
    CHECK_WRITABLE(scounteren, 7)
    CHECK_WRITABLE(SENVCFG, CBZE | 1)
    CHECK_WRITABLE(STIMECMP, -1)
    CHECK_WRITABLE(sie, SOFTWARE_BIT | TIMER_BIT | EXTERNAL_BIT)
    csrw    sip, zero

    CASE("stvec has two modes")
    csrr    s11, stvec
    li      t0, 0x80000101
    csrw    stvec, t0
    csrr    a3, stvec
    CHECK_EQUAL(a3, t0)
    li      t0, 0x80000203
    csrw    stvec, t0
    csrr    a3, stvec
    CHECK_BITS(a3, 2, 0)
    csrw    stvec, s11

    CASE("bits of sstatus")
    li      t0, -1 & ~(SIE)
    csrw    sstatus, t0
    csrr    a3, sstatus
    CHECK(a3, SPIE | SPP | FS | SUM | MXR | (2 << 32) | SD)
    csrw    sstatus, zero
    csrr    a3, sstatus
    CHECK(a3, 2 << 32)
    csrsi   sstatus, SIE
    csrr    a3, sstatus
    CHECK(a3, SIE | (2 << 32))
    csrci   sstatus, SIE
    // Every state of the floating-point registers.
    li      t0, FS_INITIAL
    csrw    sstatus, t0
    csrr    a3, sstatus
    CHECK(a3, FS_INITIAL | (2 << 32))
    li      t0, FS_CLEAN
    csrw    sstatus, t0
    csrr    a3, sstatus
    CHECK(a3, FS_CLEAN | (2 << 32))
    li      t0, SD
    csrw    sstatus, t0
    csrr    a3, sstatus
    CHECK(a3, 2 << 32)

    CASE("six ways to access a register")
    li      a3, 0xf0f0
    csrw    sscratch, a3
    li      a4, 0x0ff0
    csrrs   a5, sscratch, a4
    CHECK(a5, 0xf0f0)
    csrrc   a5, sscratch, a4
    CHECK(a5, 0xfff0)
    csrrwi  a5, sscratch, 21
    CHECK(a5, 0xf000)
    csrrsi  a5, sscratch, 10
    CHECK(a5, 21)
    csrrci  a5, sscratch, 16
    CHECK(a5, 31)
    csrr    a5, sscratch
    CHECK(a5, 15)

    CASE("source and destination are one register")
    li      a5, 1234
    csrrw   a5, sscratch, a5
    CHECK(a5, 15)
    csrr    a5, sscratch
    CHECK(a5, 1234)
    li      a5, 1
    csrrs   a5, sscratch, a5
    CHECK(a5, 1234)
    csrr    a5, sscratch
    CHECK(a5, 1235)

    CASE("x0 as source of csrrs and csrrc writes nothing")
    csrrs   zero, cycle, zero
    csrrc   a3, instret, zero
    csrrsi  a3, time, 0
    csrrci  a3, time, 0
    EXPECT(ILLEGAL, csrrs zero, cycle, a5)
    EXPECT(ILLEGAL, csrrwi zero, cycle, 0)

    CASE("x0 as destination stays zero")
    li      a5, -1
    csrrw   zero, sscratch, a5
    csrrs   zero, sscratch, zero
    CHECK(zero, 0)

    CASE("reading an instruction's illegal register changes nothing")
    li      a3, 7
    EXPECT(ILLEGAL, csrr a3, 0x5c0)
    CHECK(a3, 7)
    EXPECT(ILLEGAL, csrw 0x5c0, a3)

    CASE("scounteren: user mode reads what it may")
    csrw    scounteren, zero
    USER_EXPECT(ILLEGAL, csrr a3, cycle)
    CHECK(s3, 0xc00026f3)
    USER_EXPECT(ILLEGAL, csrr a3, time)
    CHECK(s3, 0xc01026f3)
    USER_EXPECT(ILLEGAL, csrr a3, instret)
    CHECK(s3, 0xc02026f3)
    csrr    a3, cycle
    csrr    a3, time
    csrr    a3, instret
    csrwi   scounteren, 1
    USER(csrr a3, cycle)
    CHECK(s2, ECALL_USER)
    USER_EXPECT(ILLEGAL, csrr a3, time)
    USER_EXPECT(ILLEGAL, csrr a3, instret)
    csrwi   scounteren, 2
    USER(csrr a3, time)
    CHECK(s2, ECALL_USER)
    USER_EXPECT(ILLEGAL, csrr a3, cycle)
    USER_EXPECT(ILLEGAL, csrr a3, instret)
    csrwi   scounteren, 4
    USER(csrr a3, instret)
    CHECK(s2, ECALL_USER)
    USER_EXPECT(ILLEGAL, csrr a3, cycle)
    USER_EXPECT(ILLEGAL, csrr a3, time)
    csrwi   scounteren, 7
    USER(csrr a3, instret; csrr a3, cycle; csrr a3, time)
    CHECK(s2, ECALL_USER)

    CASE("a counter that is not here")
    EXPECT(ILLEGAL, csrr a3, 0xc03)
    EXPECT(ILLEGAL, csrr a3, 0xc1f)
    EXPECT(ILLEGAL, csrr a3, 0xc80)

    CASE("CBO.ZERO clears the block around its address")
    la      s11, blocks
    jal     fill
    addi    t0, s11, BLOCK + 13
    cbo.zero (t0)
    ld      a3, BLOCK - 8(s11)
    CHECK(a3, -1)
    addi    t0, s11, BLOCK
1:  ld      a3, 0(t0)
    CHECK(a3, 0)
    addi    t0, t0, 8
    addi    t1, s11, 2 * BLOCK
    bne     t0, t1, 1b
    ld      a3, 2 * BLOCK(s11)
    CHECK(a3, -1)

    CASE("CBO.ZERO in user mode needs CBZE")
    csrw    SENVCFG, zero
    jal     fill
    USER_EXPECT(ILLEGAL, cbo.zero (s11))
    CHECK(s3, 0x004da00f)
    ld      a3, 0(s11)
    CHECK(a3, -1)
    csrwi   SENVCFG, 1
    USER_EXPECT(ILLEGAL, cbo.zero (s11))
    li      t0, CBZE
    csrw    SENVCFG, t0
    USER(cbo.zero (s11))
    CHECK(s2, ECALL_USER)
    ld      a3, 0(s11)
    CHECK(a3, 0)
    ld      a3, BLOCK - 8(s11)
    CHECK(a3, 0)
    ld      a3, BLOCK(s11)
    CHECK(a3, -1)
    csrw    SENVCFG, zero

    CASE("CBO.ZERO of nothing")
    li      a3, NOWHERE + 5
    EXPECT(STORE_ACCESS, cbo.zero (a3))
    CHECK_EQUAL(s3, a3)
    DONE

// All bits of the blocks.
fill:
    mv      t0, s11
    li      t1, -1
1:  sd      t1, 0(t0)
    addi    t0, t0, 8
    addi    t2, s11, 3 * BLOCK
    bne     t0, t2, 1b
    ret

.data
.balign 64
blocks:
    .zero   3 * BLOCK
