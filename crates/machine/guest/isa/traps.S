// Exceptions without translation: cause, stval, sepc, sstatus of each.
#include "test.h"

// These bits are no instruction; stval holds them.
#define NO_INSTRUCTION(bits)                                                                                                                        \
    EXPECT(ILLEGAL, .word bits);                                                                                                                    \
    CHECK(s3, bits)

// The same, of two bytes.
#define NO_SHORT_INSTRUCTION(bits)                                                                                                                  \
    .balign 4;                                                                                                                                      \
    EXPECT(ILLEGAL, .half bits; nop; .half 1);                                                                                                      \
    CHECK(s3, bits)

main:
    CASE("no instruction, four bytes")
    NO_INSTRUCTION(0xffffffff)
    NO_INSTRUCTION(0x0000007f)
    NO_INSTRUCTION(0x00007003)              // load, funct3 7
    NO_INSTRUCTION(0x00007023)              // store, funct3 7
    NO_INSTRUCTION(0x00004023)
    NO_INSTRUCTION(0x00002063)              // branch, funct3 2
    NO_INSTRUCTION(0x00003063)
    NO_INSTRUCTION(0x00001067)              // jalr, funct3 1
    NO_INSTRUCTION(0x0400000f | 3 << 12)    // misc-mem, funct3 3
    NO_INSTRUCTION(0x02000013 | 1 << 12 | 2 << 26)
    NO_INSTRUCTION(0x0200101b)              // slliw by 32
    NO_INSTRUCTION(0x0200501b)
    NO_INSTRUCTION(0x6200501b)              // roriw by 32
    NO_INSTRUCTION(0x0000201b)
    NO_INSTRUCTION(0x04000033)              // op, funct7 2
    NO_INSTRUCTION(0x40001033)              // op, funct7 0x20, funct3 1
    NO_INSTRUCTION(0x4000203b)
    NO_INSTRUCTION(0x0200103b)              // mulhw does not exist
    NO_INSTRUCTION(0x0a001033)              // clmul: Zbc is not here
    NO_INSTRUCTION(0x0a002033)
    NO_INSTRUCTION(0x0a003033)
    NO_INSTRUCTION(0x08004033)              // pack
    NO_INSTRUCTION(0x60301013)              // unary, rs2 3
    NO_INSTRUCTION(0x6040101b)
    NO_INSTRUCTION(0x69805013)              // rev8 of RV32
    NO_INSTRUCTION(0x0810403b)              // zext.h with rs2
    NO_INSTRUCTION(0x1010202f)              // lr.w with rs2
    NO_INSTRUCTION(0x0000102f)              // amo of two bytes
    NO_INSTRUCTION(0x0000402f)
    NO_INSTRUCTION(0x2800202f)              // amocas
    NO_INSTRUCTION(0x0e005033)              // czero.eqz: Zicond is not here
    NO_INSTRUCTION(0x0010200f)              // cbo.clean: Zicbom is not here
    NO_INSTRUCTION(0x0000200f)
    NO_INSTRUCTION(0x00000057 | 7 << 12)    // vsetvli
    NO_INSTRUCTION(0x0000000b)              // custom-0
    NO_INSTRUCTION(0x0000001f)              // a length of 48 bits
    NO_INSTRUCTION(0x0000003f)              // a length of 64 bits

    CASE("no instruction, two bytes")
    NO_SHORT_INSTRUCTION(0x0000)
    NO_SHORT_INSTRUCTION(0x0004)            // c.addi4spn of nothing
    NO_SHORT_INSTRUCTION(0x8000)
    NO_SHORT_INSTRUCTION(0x2001)            // c.addiw to x0
    NO_SHORT_INSTRUCTION(0x6081)            // c.lui of nothing
    NO_SHORT_INSTRUCTION(0x6101)            // c.addi16sp of nothing
    NO_SHORT_INSTRUCTION(0x9c41)
    NO_SHORT_INSTRUCTION(0x9c61)
    NO_SHORT_INSTRUCTION(0x4002)            // c.lwsp to x0
    NO_SHORT_INSTRUCTION(0x6002)            // c.ldsp to x0
    NO_SHORT_INSTRUCTION(0x8002)            // c.jr x0

    CASE("privileges that are not here")
    NO_INSTRUCTION(0x30200073)              // mret
    NO_INSTRUCTION(0x00200073)              // uret
    NO_INSTRUCTION(0x30002573)              // csrr a0, mstatus
    NO_INSTRUCTION(0xf1402573)              // csrr a0, mhartid
    NO_INSTRUCTION(0x60002573)              // csrr a0, hstatus
    NO_INSTRUCTION(0x20002573)              // csrr a0, vsstatus
    NO_INSTRUCTION(0x7a002573)              // csrr a0, tselect
    NO_INSTRUCTION(0x00802573)              // csrr a0, vstart
    NO_INSTRUCTION(0x18102573)              // csrr a0, 0x181
    NO_INSTRUCTION(0x62000073)              // hfence.gvma
    NO_INSTRUCTION(0x16000073)              // sinval.vma
    NO_INSTRUCTION(0x00004073)              // system, funct3 4
    NO_INSTRUCTION(0x12000073 | 1 << 7)     // sfence.vma with rd

    CASE("a counter is read-only")
    NO_INSTRUCTION(0xc0001073)              // csrw cycle, zero
    NO_INSTRUCTION(0xc0101073)              // csrw time, zero
    NO_INSTRUCTION(0xc0201073)              // csrw instret, zero
    NO_INSTRUCTION(0xc0056073)              // csrsi cycle, 10
    csrr    a0, cycle
    csrr    a0, time
    csrr    a0, instret
    csrrsi  a0, cycle, 0
    csrrc   a0, time, zero

    CASE("what user mode may not do")
    USER_EXPECT(ILLEGAL, sret)
    CHECK(s3, 0x10200073)
    USER_EXPECT(ILLEGAL, sfence.vma)
    CHECK(s3, 0x12000073)
    USER_EXPECT(ILLEGAL, csrr a0, sstatus)
    CHECK(s3, 0x10002573)
    USER_EXPECT(ILLEGAL, csrw satp, zero)
    CHECK(s3, 0x18001073)
    USER_EXPECT(ILLEGAL, csrr a0, sip)
    USER_EXPECT(ILLEGAL, csrr a0, SENVCFG)
    USER_EXPECT(ILLEGAL, csrr a0, STIMECMP)
    USER_EXPECT(ILLEGAL, .word 0xffffffff)
    CHECK(s3, 0xffffffff)

    CASE("breakpoint")
    EXPECT(BREAKPOINT, ebreak)
    CHECK_ADDRESS(s3, 96b)
    USER_EXPECT(BREAKPOINT, ebreak)
    CHECK_EQUAL(s3, s4)
    .option push
    .option rvc
    EXPECT(BREAKPOINT, c.ebreak; c.nop)
    CHECK_ADDRESS(s3, 96b)
    .option pop

    CASE("ecall from user mode")
    USER_EXPECT(ECALL_USER, ecall)
    CHECK(s3, 0)

    CASE("nothing is there: loads")
    li      a0, NOWHERE
    EXPECT(LOAD_ACCESS, lb a1, 0(a0))
    CHECK(s3, NOWHERE)
    EXPECT(LOAD_ACCESS, lh a1, 2(a0))
    CHECK(s3, NOWHERE + 2)
    EXPECT(LOAD_ACCESS, lw a1, 4(a0))
    CHECK(s3, NOWHERE + 4)
    EXPECT(LOAD_ACCESS, ld a1, 8(a0))
    CHECK(s3, NOWHERE + 8)
    li      a1, 77
    EXPECT(LOAD_ACCESS, lwu a1, 4(a0))
    CHECK(a1, 77)
    EXPECT(LOAD_ACCESS, lr.w a1, (a0))
    CHECK(s3, NOWHERE)
    EXPECT(LOAD_ACCESS, lr.d a1, (a0))
    CHECK(a1, 77)
    USER_EXPECT(LOAD_ACCESS, lb a1, 1(a0))
    CHECK(s3, NOWHERE + 1)

    CASE("nothing is there: stores")
    li      a0, NOWHERE
    EXPECT(STORE_ACCESS, sb a1, 0(a0))
    CHECK(s3, NOWHERE)
    EXPECT(STORE_ACCESS, sh a1, 2(a0))
    EXPECT(STORE_ACCESS, sw a1, 4(a0))
    EXPECT(STORE_ACCESS, sd a1, 8(a0))
    CHECK(s3, NOWHERE + 8)
    EXPECT(STORE_ACCESS, amoadd.w a1, a1, (a0))
    CHECK(s3, NOWHERE)
    li      a1, 77
    EXPECT(STORE_ACCESS, amoswap.d a1, a1, (a0))
    CHECK(a1, 77)
    USER_EXPECT(STORE_ACCESS, sd a1, 0(a0))
    CHECK(s3, NOWHERE)

    CASE("nothing is there: instructions")
    li      a0, NOWHERE
    la      s1, 1f
    jr      a0
    NEVER
1:  CHECK_TRAP(FETCH_ACCESS, NOWHERE)
    CHECK(s4, NOWHERE)
    // The jump has retired.
    li      ra, 0
    la      s1, 1f
    jalr    a0
2:  NEVER
1:  CHECK_TRAP(FETCH_ACCESS, NOWHERE)
    CHECK_ADDRESS(ra, 2b)

    // Odd, it is made even before it is fetched.
    la      s1, 1f
    jalr    ra, 1(a0)
1:  CHECK_TRAP(FETCH_ACCESS, NOWHERE)
    CHECK(s4, NOWHERE)

    CASE("an odd address of a jump is made even")
    la      a0, 1f
    jalr    ra, 1(a0)
    NEVER
1:  li      a1, 5
    CHECK(a1, 5)

    CASE("addresses wider than memory")
    li      a0, 1 << 56 | RAM_BASE
    EXPECT(LOAD_ACCESS, ld a1, 0(a0))
    CHECK(s3, 1 << 56 | RAM_BASE)
    li      a0, -8
    EXPECT(LOAD_ACCESS, ld a1, 0(a0))
    CHECK(s3, -8)
    EXPECT(STORE_ACCESS, sd a1, 0(a0))
    CHECK(s3, -8)
    li      a0, -4
    la      s1, 1f
    jr      a0
1:  CHECK_TRAP(FETCH_ACCESS, -4)
    CHECK(s4, -4)

    CASE("the end of memory")
    li      a0, RAM_END
    li      a1, 0x1122334455667788
    sd      a1, -8(a0)
    ld      a2, -8(a0)
    CHECK_EQUAL(a2, a1)
    lbu     a2, -1(a0)
    CHECK(a2, 0x11)
    EXPECT(LOAD_ACCESS, lbu a2, 0(a0))
    CHECK(s3, RAM_END)
    EXPECT(STORE_ACCESS, sb a2, 0(a0))
    CHECK(s3, RAM_END)

    CASE("an access that ends behind memory")
    li      a0, RAM_END
    EXPECT(LOAD_ACCESS, ld a2, -4(a0))
    CHECK(s3, RAM_END)
    EXPECT(STORE_ACCESS, sd zero, -4(a0))
    CHECK(s3, RAM_END)
    ld      a2, -8(a0)
    CHECK(a2, 0x1122334455667788)
    EXPECT(LOAD_ACCESS, lhu a2, -1(a0))
    CHECK(s3, RAM_END)

    CASE("an instruction that ends behind memory")
    li      a0, RAM_END
    li      a1, 0x0013
    sh      a1, -2(a0)
    fence.i
    addi    a0, a0, -2
    la      s1, 1f
    jr      a0
1:  CHECK(s2, FETCH_ACCESS)
    CHECK(s3, RAM_END)
    CHECK(s4, RAM_END - 2)

    CASE("atomic instructions must be aligned")
    la      a0, scratch
    addi    a2, a0, 1
    addi    a3, a0, 2
    addi    a4, a0, 4
    EXPECT(LOAD_MISALIGNED, lr.w a1, (a2))
    CHECK_EQUAL(s3, a2)
    EXPECT(LOAD_MISALIGNED, lr.d a1, (a4))
    CHECK_EQUAL(s3, a4)
    EXPECT(STORE_MISALIGNED, sc.w a1, a1, (a3))
    CHECK_EQUAL(s3, a3)
    EXPECT(STORE_MISALIGNED, sc.d a1, a1, (a4))
    CHECK_EQUAL(s3, a4)
    EXPECT(STORE_MISALIGNED, amoadd.w a1, a1, (a3))
    CHECK_EQUAL(s3, a3)
    EXPECT(STORE_MISALIGNED, amomaxu.d a1, a1, (a4))
    CHECK_EQUAL(s3, a4)
    USER_EXPECT(STORE_MISALIGNED, amoor.w a1, a1, (a2))
    CHECK_EQUAL(s3, a2)

    CASE("sstatus at a trap and at its return")
    li      t0, SIE
    csrs    sstatus, t0
    EXPECT(BREAKPOINT, ebreak)
    CHECK_BITS(s5, SIE | SPIE | SPP, SPIE | SPP)
    li      t0, SIE
    csrc    sstatus, t0
    EXPECT(BREAKPOINT, ebreak)
    CHECK_BITS(s5, SIE | SPIE | SPP, SPP)
    // SRET: SIE becomes SPIE, SPIE becomes one, SPP becomes user.
    la      t0, 1f
    csrw    sepc, t0
    li      t0, SPIE | SPP
    csrs    sstatus, t0
    sret
    NEVER
1:  csrr    a3, sstatus
    CHECK_BITS(a3, SIE | SPIE | SPP, SIE | SPIE)
    la      t0, 1f
    csrw    sepc, t0
    li      t0, SPIE | SIE
    csrc    sstatus, t0
    li      t0, SPP
    csrs    sstatus, t0
    sret
    NEVER
1:  csrr    a3, sstatus
    CHECK_BITS(a3, SIE | SPIE | SPP, SPIE)

    CASE("sepc is even")
    li      t0, 0x80000003
    csrw    sepc, t0
    csrr    a0, sepc
    CHECK(a0, 0x80000002)

    CASE("exceptions go to the base of a vectored stvec")
    la      t0, trap
    addi    t0, t0, 1
    csrw    stvec, t0
    EXPECT(BREAKPOINT, ebreak)
    la      t0, trap
    csrw    stvec, t0

    CASE("registers are untouched by what traps")
    li      a0, NOWHERE
    li      a1, 5
    mv      a3, a0
    EXPECT(LOAD_ACCESS, ld a0, 0(a0))
    CHECK_EQUAL(a0, a3)
    .option push
    .option rvc
    EXPECT(LOAD_ACCESS, c.ld a0, 0(a0); c.nop)
    CHECK_EQUAL(a0, a3)
    .option pop
    DONE

.data
.balign 8
scratch:
    .dword  0, 0
