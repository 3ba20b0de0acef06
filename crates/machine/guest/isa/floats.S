// Floating point: when it is legal, what it leaves in fcsr, and what F and D compute, in every rounding mode.
//
// Numbers are written as their bits. Each operation runs with its rounding mode in the instruction and then with it in frm.
#include "test.h"

#define RM_rne 0
#define RM_rtz 1
#define RM_rdn 2
#define RM_rup 3
#define RM_rmm 4

#define BOXED(bits) (0xffffffff00000000 | (bits))

#define OPERAND_S(register, bits)                                                                                                                   \
    li      t0, bits;                                                                                                                               \
    fmv.w.x register, t0

#define OPERAND_D(register, bits)                                                                                                                   \
    li      t0, bits;                                                                                                                               \
    fmv.d.x register, t0

// The result is a single in its box, or a double; flags are those of the operation alone.
#define RESULT_S(bits, flags)                                                                                                                       \
    csrr    a4, fflags;                                                                                                                             \
    fmv.x.d a3, fa3;                                                                                                                                \
    CHECK(a3, BOXED(bits));                                                                                                                         \
    CHECK(a4, flags)

#define RESULT_D(bits, flags)                                                                                                                       \
    csrr    a4, fflags;                                                                                                                             \
    fmv.x.d a3, fa3;                                                                                                                                \
    CHECK(a3, bits);                                                                                                                                \
    CHECK(a4, flags)

#define RESULT_INTEGER(value, flags)                                                                                                                \
    csrr    a4, fflags;                                                                                                                             \
    CHECK(a3, value);                                                                                                                               \
    CHECK(a4, flags)

#define FLOAT_ONE_S(insn, first, result, flags, rm)                                                                                                 \
    OPERAND_S(fa0, first);                                                                                                                          \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, rm;                                                                                                                           \
    RESULT_S(result, flags);                                                                                                                        \
    fsrmi   RM_##rm;                                                                                                                                \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, dyn;                                                                                                                          \
    RESULT_S(result, flags)

#define FLOAT_TWO_S(insn, first, second, result, flags, rm)                                                                                         \
    OPERAND_S(fa0, first);                                                                                                                          \
    OPERAND_S(fa1, second);                                                                                                                         \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, fa1, rm;                                                                                                                      \
    RESULT_S(result, flags);                                                                                                                        \
    fsrmi   RM_##rm;                                                                                                                                \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, fa1, dyn;                                                                                                                     \
    RESULT_S(result, flags)

#define FLOAT_THREE_S(insn, first, second, third, result, flags, rm)                                                                                \
    OPERAND_S(fa0, first);                                                                                                                          \
    OPERAND_S(fa1, second);                                                                                                                         \
    OPERAND_S(fa2, third);                                                                                                                          \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, fa1, fa2, rm;                                                                                                                 \
    RESULT_S(result, flags);                                                                                                                        \
    fsrmi   RM_##rm;                                                                                                                                \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, fa1, fa2, dyn;                                                                                                                \
    RESULT_S(result, flags)

#define FLOAT_TWO_EXACT_S(insn, first, second, result, flags)                                                                                       \
    OPERAND_S(fa0, first);                                                                                                                          \
    OPERAND_S(fa1, second);                                                                                                                         \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, fa1;                                                                                                                          \
    RESULT_S(result, flags)

#define COMPARE_S(insn, first, second, result, flags)                                                                                               \
    OPERAND_S(fa0, first);                                                                                                                          \
    OPERAND_S(fa1, second);                                                                                                                         \
    csrwi   fflags, 0;                                                                                                                              \
    insn    a3, fa0, fa1;                                                                                                                           \
    RESULT_INTEGER(result, flags)

#define FLOAT_TO_INTEGER_S(insn, first, result, flags, rm)                                                                                          \
    OPERAND_S(fa0, first);                                                                                                                          \
    csrwi   fflags, 0;                                                                                                                              \
    insn    a3, fa0, rm;                                                                                                                            \
    RESULT_INTEGER(result, flags);                                                                                                                  \
    fsrmi   RM_##rm;                                                                                                                                \
    csrwi   fflags, 0;                                                                                                                              \
    insn    a3, fa0, dyn;                                                                                                                           \
    RESULT_INTEGER(result, flags)

#define FLOAT_TO_INTEGER_EXACT_S(insn, first, result, flags)                                                                                        \
    OPERAND_S(fa0, first);                                                                                                                          \
    csrwi   fflags, 0;                                                                                                                              \
    insn    a3, fa0;                                                                                                                                \
    RESULT_INTEGER(result, flags)

#define INTEGER_TO_FLOAT_S(insn, first, result, flags, rm)                                                                                          \
    li      t1, first;                                                                                                                              \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, t1, rm;                                                                                                                            \
    RESULT_S(result, flags);                                                                                                                        \
    fsrmi   RM_##rm;                                                                                                                                \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, t1, dyn;                                                                                                                           \
    RESULT_S(result, flags)

#define FLOAT_ONE_D(insn, first, result, flags, rm)                                                                                                 \
    OPERAND_D(fa0, first);                                                                                                                          \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, rm;                                                                                                                           \
    RESULT_D(result, flags);                                                                                                                        \
    fsrmi   RM_##rm;                                                                                                                                \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, dyn;                                                                                                                          \
    RESULT_D(result, flags)

#define FLOAT_TWO_D(insn, first, second, result, flags, rm)                                                                                         \
    OPERAND_D(fa0, first);                                                                                                                          \
    OPERAND_D(fa1, second);                                                                                                                         \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, fa1, rm;                                                                                                                      \
    RESULT_D(result, flags);                                                                                                                        \
    fsrmi   RM_##rm;                                                                                                                                \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, fa1, dyn;                                                                                                                     \
    RESULT_D(result, flags)

#define FLOAT_THREE_D(insn, first, second, third, result, flags, rm)                                                                                \
    OPERAND_D(fa0, first);                                                                                                                          \
    OPERAND_D(fa1, second);                                                                                                                         \
    OPERAND_D(fa2, third);                                                                                                                          \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, fa1, fa2, rm;                                                                                                                 \
    RESULT_D(result, flags);                                                                                                                        \
    fsrmi   RM_##rm;                                                                                                                                \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, fa1, fa2, dyn;                                                                                                                \
    RESULT_D(result, flags)

#define FLOAT_TWO_EXACT_D(insn, first, second, result, flags)                                                                                       \
    OPERAND_D(fa0, first);                                                                                                                          \
    OPERAND_D(fa1, second);                                                                                                                         \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, fa1;                                                                                                                          \
    RESULT_D(result, flags)

#define COMPARE_D(insn, first, second, result, flags)                                                                                               \
    OPERAND_D(fa0, first);                                                                                                                          \
    OPERAND_D(fa1, second);                                                                                                                         \
    csrwi   fflags, 0;                                                                                                                              \
    insn    a3, fa0, fa1;                                                                                                                           \
    RESULT_INTEGER(result, flags)

#define FLOAT_TO_INTEGER_D(insn, first, result, flags, rm)                                                                                          \
    OPERAND_D(fa0, first);                                                                                                                          \
    csrwi   fflags, 0;                                                                                                                              \
    insn    a3, fa0, rm;                                                                                                                            \
    RESULT_INTEGER(result, flags);                                                                                                                  \
    fsrmi   RM_##rm;                                                                                                                                \
    csrwi   fflags, 0;                                                                                                                              \
    insn    a3, fa0, dyn;                                                                                                                           \
    RESULT_INTEGER(result, flags)

#define FLOAT_TO_INTEGER_EXACT_D(insn, first, result, flags)                                                                                        \
    OPERAND_D(fa0, first);                                                                                                                          \
    csrwi   fflags, 0;                                                                                                                              \
    insn    a3, fa0;                                                                                                                                \
    RESULT_INTEGER(result, flags)

#define INTEGER_TO_FLOAT_D(insn, first, result, flags, rm)                                                                                          \
    li      t1, first;                                                                                                                              \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, t1, rm;                                                                                                                            \
    RESULT_D(result, flags);                                                                                                                        \
    fsrmi   RM_##rm;                                                                                                                                \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, t1, dyn;                                                                                                                           \
    RESULT_D(result, flags)

#define INTEGER_TO_FLOAT_EXACT_D(insn, first, result, flags)                                                                                        \
    li      t1, first;                                                                                                                              \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, t1;                                                                                                                                \
    RESULT_D(result, flags)

#define FLOAT_NARROW(insn, first, result, flags, rm)                                                                                                \
    OPERAND_D(fa0, first);                                                                                                                          \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, rm;                                                                                                                           \
    RESULT_S(result, flags);                                                                                                                        \
    fsrmi   RM_##rm;                                                                                                                                \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0, dyn;                                                                                                                          \
    RESULT_S(result, flags)

#define FLOAT_WIDEN(insn, first, result, flags)                                                                                                     \
    OPERAND_S(fa0, first);                                                                                                                          \
    csrwi   fflags, 0;                                                                                                                              \
    insn    fa3, fa0;                                                                                                                               \
    RESULT_D(result, flags)

// Floating point is off: the instruction is illegal, and stval holds it.
#define OFF(...)                                                                                                                                    \
    EXPECT(ILLEGAL, __VA_ARGS__);                                                                                                                   \
    lwu     a3, 0(s4);                                                                                                                              \
    CHECK_EQUAL(s3, a3)

// The same of two bytes.
#define OFF_SHORT(...)                                                                                                                              \
    .option push;                                                                                                                                   \
    .option rvc;                                                                                                                                    \
    EXPECT(ILLEGAL, __VA_ARGS__; c.nop);                                                                                                            \
    .option pop;                                                                                                                                    \
    lhu     a3, 0(s4);                                                                                                                              \
    CHECK_EQUAL(s3, a3)

// An instruction leaves floating-point state like this.
#define LEAVES(state, ...)                                                                                                                          \
    li      t0, FS;                                                                                                                                 \
    csrc    sstatus, t0;                                                                                                                            \
    li      t0, FS_INITIAL;                                                                                                                         \
    csrs    sstatus, t0;                                                                                                                            \
    __VA_ARGS__;                                                                                                                                    \
    csrr    a3, sstatus;                                                                                                                            \
    CHECK_BITS(a3, FS | SD, state)

main:
    la      s11, cell

    CASE("off at first")
    csrr    a3, sstatus
    CHECK_BITS(a3, FS | SD, 0)

    CASE("illegal while off")
    OFF(flw fa0, 0(s11))
    OFF(fld fa0, 0(s11))
    OFF(fsw fa0, 0(s11))
    OFF(fsd fa0, 0(s11))
    OFF(fadd.s fa0, fa0, fa0)
    OFF(fadd.d fa0, fa0, fa0)
    OFF(fsgnj.d fa0, fa0, fa0)
    OFF(fmadd.d fa0, fa0, fa0, fa0)
    OFF(feq.s a0, fa0, fa0)
    OFF(fclass.d a0, fa0)
    OFF(fcvt.w.s a0, fa0)
    OFF(fcvt.d.l fa0, a0)
    OFF(fmv.x.w a0, fa0)
    OFF(fmv.d.x fa0, a0)
    OFF(csrr a0, fflags)
    OFF(csrr a0, frm)
    OFF(csrr a0, fcsr)
    OFF(csrw fcsr, zero)
    OFF_SHORT(c.fld fa0, 0(s1))
    OFF_SHORT(c.fsd fa0, 0(s1))
    OFF_SHORT(c.fldsp fa0, 0(sp))
    OFF_SHORT(c.fsdsp fa0, 0(sp))
    USER_EXPECT(ILLEGAL, fadd.d fa0, fa0, fa0)
    // Illegal comes before what the address would do.
    li      a0, NOWHERE
    OFF(fld fa0, 0(a0))

    CASE("what makes it dirty")
    LEAVES(FS_DIRTY | SD, flw fa0, 0(s11))
    LEAVES(FS_DIRTY | SD, fld fa0, 0(s11))
    LEAVES(FS_DIRTY | SD, fmv.d.x fa0, zero)
    LEAVES(FS_DIRTY | SD, fmv.w.x fa1, zero)
    LEAVES(FS_DIRTY | SD, fadd.d fa2, fa0, fa1)
    LEAVES(FS_DIRTY | SD, fcvt.d.w fa2, zero)
    LEAVES(FS_DIRTY | SD, fsgnj.s fa2, fa0, fa1)
    LEAVES(FS_DIRTY | SD, csrwi fflags, 0)
    LEAVES(FS_DIRTY | SD, csrwi frm, 0)
    LEAVES(FS_DIRTY | SD, csrw fcsr, zero)
    // A flag that is raised.
    li      t0, 0x7ff0000000000001
    fmv.d.x fa0, t0
    csrwi   fflags, 0
    LEAVES(FS_DIRTY | SD, feq.d a0, fa0, fa0)
    csrwi   fflags, 0
    LEAVES(FS_DIRTY | SD, fcvt.w.d a0, fa0)
    .option push
    .option rvc
    mv      a4, s11
    LEAVES(FS_DIRTY | SD, c.fld fa0, 0(a4); c.nop)
    .option pop

    CASE("what leaves it as it is")
    LEAVES(FS_INITIAL, fsd fa0, 0(s11))
    LEAVES(FS_INITIAL, fsw fa0, 0(s11))
    LEAVES(FS_INITIAL, fmv.x.d a0, fa0)
    LEAVES(FS_INITIAL, fclass.s a0, fa0)
    LEAVES(FS_INITIAL, csrr a0, fcsr)
    li      a0, NOWHERE
    LEAVES(FS_INITIAL, EXPECT(LOAD_ACCESS, fld fa0, 0(a0)))

    CASE("fcsr has eight bits")
    li      t0, -1
    csrw    fcsr, t0
    csrr    a3, fcsr
    CHECK(a3, 0xff)
    csrr    a3, frm
    CHECK(a3, 7)
    csrr    a3, fflags
    CHECK(a3, 31)
    csrw    frm, zero
    csrr    a3, fcsr
    CHECK(a3, 0x1f)
    csrw    fflags, t0
    csrw    frm, t0
    csrw    fflags, zero
    csrr    a3, fcsr
    CHECK(a3, 0xe0)
    csrw    fcsr, zero

    CASE("flags stay until they are cleared")
    li      t0, 0x3ff0000000000000
    fmv.d.x fa0, t0
    fmv.d.x fa1, zero
    fdiv.d  fa2, fa0, fa1
    fadd.d  fa2, fa0, fa0
    csrr    a3, fflags
    CHECK(a3, 8)
    fdiv.d  fa2, fa1, fa1
    csrrwi  a3, fflags, 0
    CHECK(a3, 24)

    CASE("rounding modes that do not exist")
    fsrmi   5
    EXPECT(ILLEGAL, fadd.d fa2, fa0, fa0)
    lwu     a3, 0(s4)
    CHECK_EQUAL(s3, a3)
    fsrmi   6
    EXPECT(ILLEGAL, fmul.s fa2, fa0, fa0)
    fsrmi   7
    EXPECT(ILLEGAL, fcvt.w.d a0, fa0)
    EXPECT(ILLEGAL, fsqrt.d fa2, fa0)
    EXPECT(ILLEGAL, fmadd.d fa2, fa0, fa0, fa0)
    // These do not round, or say how.
    fadd.d  fa2, fa0, fa0, rne
    fsgnj.d fa2, fa0, fa0
    fmin.d  fa2, fa0, fa0
    feq.d   a0, fa0, fa0
    fsrmi   0
    // In the instruction.
    EXPECT(ILLEGAL, .word 0x02a5d653)
    EXPECT(ILLEGAL, .word 0x02a5e653)
    EXPECT(ILLEGAL, .word 0xc205d553)
    EXPECT(ILLEGAL, .word 0x5a05e553)

    CASE("precisions that are not here")
    EXPECT(ILLEGAL, .word 0x04a58653)       // fadd.h
    EXPECT(ILLEGAL, .word 0x06a58653)       // fadd.q
    EXPECT(ILLEGAL, .word 0x00a59607)       // flh
    EXPECT(ILLEGAL, .word 0x00a5c607)       // flq
    EXPECT(ILLEGAL, .word 0x00a59627)       // fsh
    EXPECT(ILLEGAL, .word 0x64a58643)       // fmadd.h
    EXPECT(ILLEGAL, .word 0x40358653)       // fcvt.s.q
    EXPECT(ILLEGAL, .word 0x42358653)       // fcvt.d.q
    EXPECT(ILLEGAL, .word 0x40058653)       // fcvt.s.s
    EXPECT(ILLEGAL, .word 0xf0158653)       // fli.s
    EXPECT(ILLEGAL, .word 0x58158653)       // fsqrt.s with rs2

    CASE("a single in no box is not a number")
    li      t0, 0x3f800000
    fmv.d.x fa0, t0
    fmv.w.x fa1, t0
    fadd.s  fa2, fa0, fa1
    fmv.x.w a3, fa2
    CHECK(a3, 0x7fc00000)
    fclass.s a3, fa0
    CHECK(a3, 1 << 9)
    fsgnj.s fa2, fa0, fa1
    fmv.x.d a3, fa2
    CHECK(a3, BOXED(0x7fc00000))
    feq.s   a3, fa0, fa1
    CHECK(a3, 0)
    fcvt.d.s fa2, fa0
    fmv.x.d a3, fa2
    CHECK(a3, 0x7ff8000000000000)
    // Moves and stores look at the bits.
    fmv.x.w a3, fa0
    CHECK(a3, 0x3f800000)
    fsw     fa0, 0(s11)
    lwu     a3, 0(s11)
    CHECK(a3, 0x3f800000)
    flw     fa2, 0(s11)
    fmv.x.d a3, fa2
    CHECK(a3, BOXED(0x3f800000))

    CASE("flw")
    li      t0, 0x8000000180000001
    sd      t0, 0(s11)
    flw     fa2, 4(s11)
    fmv.x.d a3, fa2
    CHECK(a3, BOXED(0x80000001))
    flw     fa2, 1(s11)
    fmv.x.d a3, fa2
    CHECK(a3, BOXED(0x01800000))

    CASE("fld")
    fld     fa2, 0(s11)
    fmv.x.d a3, fa2
    CHECK(a3, 0x8000000180000001)
    sd      t0, 8(s11)
    fld     fa2, 3(s11)
    fmv.x.d a3, fa2
    CHECK(a3, 0x0000018000000180)

    CASE("fsw")
    sd      zero, 0(s11)
    fsw     fa2, 2(s11)
    ld      a3, 0(s11)
    CHECK(a3, 0x0000000001800000)

    CASE("fsd")
    sd      zero, 8(s11)
    fsd     fa2, 4(s11)
    ld      a3, 0(s11)
    CHECK(a3, 0x0000018001800000)
    ld      a3, 8(s11)
    CHECK(a3, 0x00000180)

    CASE("fmv.x.w")
    li      t0, 0x1234567880000000
    fmv.d.x fa2, t0
    fmv.x.w a3, fa2
    CHECK(a3, 0xffffffff80000000)

    CASE("fmv.w.x")
    fmv.w.x fa2, t0
    fmv.x.d a3, fa2
    CHECK(a3, BOXED(0x80000000))

    CASE("fmv.x.d")
    fmv.d.x fa2, t0
    fmv.x.d a3, fa2
    CHECK_EQUAL(a3, t0)

    CASE("fmv.d.x")
    fmv.d.x fa2, zero
    fmv.x.d a3, fa2
    CHECK(a3, 0)

    CASE("all registers")
    li      t0, 1
    fcvt.d.l ft0, t0
    li      t0, 2
    fcvt.d.l ft1, t0
    li      t0, 3
    fcvt.d.l ft2, t0
    li      t0, 4
    fcvt.d.l ft3, t0
    li      t0, 5
    fcvt.d.l ft4, t0
    li      t0, 6
    fcvt.d.l ft5, t0
    li      t0, 7
    fcvt.d.l ft6, t0
    li      t0, 8
    fcvt.d.l ft7, t0
    li      t0, 9
    fcvt.d.l fs0, t0
    li      t0, 10
    fcvt.d.l fs1, t0
    li      t0, 11
    fcvt.d.l fa0, t0
    li      t0, 12
    fcvt.d.l fa1, t0
    li      t0, 13
    fcvt.d.l fa2, t0
    li      t0, 14
    fcvt.d.l fa3, t0
    li      t0, 15
    fcvt.d.l fa4, t0
    li      t0, 16
    fcvt.d.l fa5, t0
    li      t0, 17
    fcvt.d.l fa6, t0
    li      t0, 18
    fcvt.d.l fa7, t0
    li      t0, 19
    fcvt.d.l fs2, t0
    li      t0, 20
    fcvt.d.l fs3, t0
    li      t0, 21
    fcvt.d.l fs4, t0
    li      t0, 22
    fcvt.d.l fs5, t0
    li      t0, 23
    fcvt.d.l fs6, t0
    li      t0, 24
    fcvt.d.l fs7, t0
    li      t0, 25
    fcvt.d.l fs8, t0
    li      t0, 26
    fcvt.d.l fs9, t0
    li      t0, 27
    fcvt.d.l fs10, t0
    li      t0, 28
    fcvt.d.l fs11, t0
    li      t0, 29
    fcvt.d.l ft8, t0
    li      t0, 30
    fcvt.d.l ft9, t0
    li      t0, 31
    fcvt.d.l ft10, t0
    li      t0, 32
    fcvt.d.l ft11, t0
    fmv.d.x ft0, zero
    fadd.d  ft0, ft0, ft1
    fadd.d  ft0, ft0, ft2
    fadd.d  ft0, ft0, ft3
    fadd.d  ft0, ft0, ft4
    fadd.d  ft0, ft0, ft5
    fadd.d  ft0, ft0, ft6
    fadd.d  ft0, ft0, ft7
    fadd.d  ft0, ft0, fs0
    fadd.d  ft0, ft0, fs1
    fadd.d  ft0, ft0, fa0
    fadd.d  ft0, ft0, fa1
    fadd.d  ft0, ft0, fa2
    fadd.d  ft0, ft0, fa3
    fadd.d  ft0, ft0, fa4
    fadd.d  ft0, ft0, fa5
    fadd.d  ft0, ft0, fa6
    fadd.d  ft0, ft0, fa7
    fadd.d  ft0, ft0, fs2
    fadd.d  ft0, ft0, fs3
    fadd.d  ft0, ft0, fs4
    fadd.d  ft0, ft0, fs5
    fadd.d  ft0, ft0, fs6
    fadd.d  ft0, ft0, fs7
    fadd.d  ft0, ft0, fs8
    fadd.d  ft0, ft0, fs9
    fadd.d  ft0, ft0, fs10
    fadd.d  ft0, ft0, fs11
    fadd.d  ft0, ft0, ft8
    fadd.d  ft0, ft0, ft9
    fadd.d  ft0, ft0, ft10
    fadd.d  ft0, ft0, ft11
    fcvt.l.d a3, ft0
    CHECK(a3, 527)

    // Floating point, single precision: operands, result, flags (NX 1, UF 2, OF 4, DZ 8, NV 16), rounding mode.

    CASE("fadd.s")
    FLOAT_TWO_S(fadd.s, 0x3fc00000, 0x40100000, 0x40700000, 0, rne)
    FLOAT_TWO_S(fadd.s, 0x3f800000, 0x00800000, 0x3f800000, 1, rne)
    FLOAT_TWO_S(fadd.s, 0x3f800000, 0x00800000, 0x3f800000, 1, rtz)
    FLOAT_TWO_S(fadd.s, 0x3f800000, 0x00800000, 0x3f800000, 1, rdn)
    FLOAT_TWO_S(fadd.s, 0x3f800000, 0x00800000, 0x3f800001, 1, rup)
    FLOAT_TWO_S(fadd.s, 0x3f800000, 0x00800000, 0x3f800000, 1, rmm)
    FLOAT_TWO_S(fadd.s, 0xbf800000, 0x80800000, 0xbf800001, 1, rdn)
    FLOAT_TWO_S(fadd.s, 0xbf800000, 0x80800000, 0xbf800000, 1, rup)
    FLOAT_TWO_S(fadd.s, 0x3f800000, 0xbf800000, 0x00000000, 0, rne)
    FLOAT_TWO_S(fadd.s, 0x3f800000, 0xbf800000, 0x00000000, 0, rtz)
    FLOAT_TWO_S(fadd.s, 0x3f800000, 0xbf800000, 0x80000000, 0, rdn)
    FLOAT_TWO_S(fadd.s, 0x3f800000, 0xbf800000, 0x00000000, 0, rup)
    FLOAT_TWO_S(fadd.s, 0x3f800000, 0xbf800000, 0x00000000, 0, rmm)
    FLOAT_TWO_S(fadd.s, 0x7f7fffff, 0x7f7fffff, 0x7f800000, 5, rne)
    FLOAT_TWO_S(fadd.s, 0x7f7fffff, 0x7f7fffff, 0x7f7fffff, 5, rtz)
    FLOAT_TWO_S(fadd.s, 0x7f7fffff, 0x7f7fffff, 0x7f7fffff, 5, rdn)
    FLOAT_TWO_S(fadd.s, 0x7f7fffff, 0x7f7fffff, 0x7f800000, 5, rup)
    FLOAT_TWO_S(fadd.s, 0x7f7fffff, 0x7f7fffff, 0x7f800000, 5, rmm)
    FLOAT_TWO_S(fadd.s, 0x7f800000, 0xff800000, 0x7fc00000, 16, rne)
    FLOAT_TWO_S(fadd.s, 0x7f800001, 0x3f800000, 0x7fc00000, 16, rne)
    FLOAT_TWO_S(fadd.s, 0xffc01234, 0x3f800000, 0x7fc00000, 0, rne)
    FLOAT_TWO_S(fadd.s, 0x80000000, 0x80000000, 0x80000000, 0, rne)

    CASE("fsub.s")
    FLOAT_TWO_S(fsub.s, 0x3fc00000, 0x40100000, 0xbf400000, 0, rne)
    FLOAT_TWO_S(fsub.s, 0x3f800000, 0x00800000, 0x3f800000, 1, rne)
    FLOAT_TWO_S(fsub.s, 0x3f800000, 0x00800000, 0x3f7fffff, 1, rtz)
    FLOAT_TWO_S(fsub.s, 0x3f800000, 0x00800000, 0x3f7fffff, 1, rdn)
    FLOAT_TWO_S(fsub.s, 0x3f800000, 0x00800000, 0x3f800000, 1, rup)
    FLOAT_TWO_S(fsub.s, 0x3f800000, 0x00800000, 0x3f800000, 1, rmm)
    FLOAT_TWO_S(fsub.s, 0x3f800000, 0x3f800000, 0x00000000, 0, rne)
    FLOAT_TWO_S(fsub.s, 0x3f800000, 0x3f800000, 0x80000000, 0, rdn)
    FLOAT_TWO_S(fsub.s, 0x7f800000, 0x7f800000, 0x7fc00000, 16, rne)
    FLOAT_TWO_S(fsub.s, 0x00000000, 0x00000000, 0x00000000, 0, rne)
    FLOAT_TWO_S(fsub.s, 0x00000000, 0x00000000, 0x80000000, 0, rdn)
    FLOAT_TWO_S(fsub.s, 0x80000000, 0x00000000, 0x80000000, 0, rne)

    CASE("fmul.s")
    FLOAT_TWO_S(fmul.s, 0x3fc00000, 0xc0100000, 0xc0580000, 0, rne)
    FLOAT_TWO_S(fmul.s, 0x3f800001, 0x3f800001, 0x3f800002, 1, rne)
    FLOAT_TWO_S(fmul.s, 0x3f800001, 0x3f800001, 0x3f800002, 1, rtz)
    FLOAT_TWO_S(fmul.s, 0x3f800001, 0x3f800001, 0x3f800002, 1, rdn)
    FLOAT_TWO_S(fmul.s, 0x3f800001, 0x3f800001, 0x3f800003, 1, rup)
    FLOAT_TWO_S(fmul.s, 0x3f800001, 0x3f800001, 0x3f800002, 1, rmm)
    FLOAT_TWO_S(fmul.s, 0x7f7fffff, 0x40000000, 0x7f800000, 5, rne)
    FLOAT_TWO_S(fmul.s, 0x7f7fffff, 0x40000000, 0x7f7fffff, 5, rtz)
    FLOAT_TWO_S(fmul.s, 0x7f7fffff, 0x40000000, 0x7f7fffff, 5, rdn)
    FLOAT_TWO_S(fmul.s, 0x7f7fffff, 0x40000000, 0x7f800000, 5, rup)
    FLOAT_TWO_S(fmul.s, 0x7f7fffff, 0x40000000, 0x7f800000, 5, rmm)
    FLOAT_TWO_S(fmul.s, 0x00800000, 0x3f000000, 0x00400000, 0, rne)
    FLOAT_TWO_S(fmul.s, 0x00800001, 0x3f000000, 0x00400000, 3, rne)
    FLOAT_TWO_S(fmul.s, 0x00800001, 0x3f000000, 0x00400000, 3, rtz)
    FLOAT_TWO_S(fmul.s, 0x00800001, 0x3f000000, 0x00400000, 3, rdn)
    FLOAT_TWO_S(fmul.s, 0x00800001, 0x3f000000, 0x00400001, 3, rup)
    FLOAT_TWO_S(fmul.s, 0x00800001, 0x3f000000, 0x00400001, 3, rmm)
    FLOAT_TWO_S(fmul.s, 0x00000001, 0x3f000000, 0x00000000, 3, rne)
    FLOAT_TWO_S(fmul.s, 0x00000001, 0x3f000000, 0x00000000, 3, rtz)
    FLOAT_TWO_S(fmul.s, 0x00000001, 0x3f000000, 0x00000000, 3, rdn)
    FLOAT_TWO_S(fmul.s, 0x00000001, 0x3f000000, 0x00000001, 3, rup)
    FLOAT_TWO_S(fmul.s, 0x00000001, 0x3f000000, 0x00000001, 3, rmm)
    FLOAT_TWO_S(fmul.s, 0x00000000, 0x7f800000, 0x7fc00000, 16, rne)
    FLOAT_TWO_S(fmul.s, 0x80000000, 0x40400000, 0x80000000, 0, rne)

    CASE("fdiv.s")
    FLOAT_TWO_S(fdiv.s, 0x40f00000, 0xc0200000, 0xc0400000, 0, rne)
    FLOAT_TWO_S(fdiv.s, 0x3f800000, 0x40400000, 0x3eaaaaab, 1, rne)
    FLOAT_TWO_S(fdiv.s, 0x3f800000, 0x40400000, 0x3eaaaaaa, 1, rtz)
    FLOAT_TWO_S(fdiv.s, 0x3f800000, 0x40400000, 0x3eaaaaaa, 1, rdn)
    FLOAT_TWO_S(fdiv.s, 0x3f800000, 0x40400000, 0x3eaaaaab, 1, rup)
    FLOAT_TWO_S(fdiv.s, 0x3f800000, 0x40400000, 0x3eaaaaab, 1, rmm)
    FLOAT_TWO_S(fdiv.s, 0xc0000000, 0x40400000, 0xbf2aaaab, 1, rne)
    FLOAT_TWO_S(fdiv.s, 0xc0000000, 0x40400000, 0xbf2aaaaa, 1, rtz)
    FLOAT_TWO_S(fdiv.s, 0xc0000000, 0x40400000, 0xbf2aaaab, 1, rdn)
    FLOAT_TWO_S(fdiv.s, 0xc0000000, 0x40400000, 0xbf2aaaaa, 1, rup)
    FLOAT_TWO_S(fdiv.s, 0xc0000000, 0x40400000, 0xbf2aaaab, 1, rmm)
    FLOAT_TWO_S(fdiv.s, 0x3f800000, 0x00000000, 0x7f800000, 8, rne)
    FLOAT_TWO_S(fdiv.s, 0xbf800000, 0x00000000, 0xff800000, 8, rne)
    FLOAT_TWO_S(fdiv.s, 0x00000000, 0x00000000, 0x7fc00000, 16, rne)
    FLOAT_TWO_S(fdiv.s, 0x7f800000, 0x7f800000, 0x7fc00000, 16, rne)
    FLOAT_TWO_S(fdiv.s, 0x00000001, 0x40000000, 0x00000000, 3, rne)
    FLOAT_TWO_S(fdiv.s, 0x00000001, 0x40000000, 0x00000000, 3, rtz)
    FLOAT_TWO_S(fdiv.s, 0x00000001, 0x40000000, 0x00000000, 3, rdn)
    FLOAT_TWO_S(fdiv.s, 0x00000001, 0x40000000, 0x00000001, 3, rup)
    FLOAT_TWO_S(fdiv.s, 0x00000001, 0x40000000, 0x00000001, 3, rmm)
    FLOAT_TWO_S(fdiv.s, 0x7f7fffff, 0x3f000000, 0x7f800000, 5, rne)
    FLOAT_TWO_S(fdiv.s, 0x7f7fffff, 0x3f000000, 0x7f7fffff, 5, rtz)

    CASE("fsqrt.s")
    FLOAT_ONE_S(fsqrt.s, 0x40100000, 0x3fc00000, 0, rne)
    FLOAT_ONE_S(fsqrt.s, 0x40000000, 0x3fb504f3, 1, rne)
    FLOAT_ONE_S(fsqrt.s, 0x40000000, 0x3fb504f3, 1, rtz)
    FLOAT_ONE_S(fsqrt.s, 0x40000000, 0x3fb504f3, 1, rdn)
    FLOAT_ONE_S(fsqrt.s, 0x40000000, 0x3fb504f4, 1, rup)
    FLOAT_ONE_S(fsqrt.s, 0x40000000, 0x3fb504f3, 1, rmm)
    FLOAT_ONE_S(fsqrt.s, 0xbf800000, 0x7fc00000, 16, rne)
    FLOAT_ONE_S(fsqrt.s, 0x80000000, 0x80000000, 0, rne)
    FLOAT_ONE_S(fsqrt.s, 0x7f800000, 0x7f800000, 0, rne)
    FLOAT_ONE_S(fsqrt.s, 0x00000001, 0x1a3504f3, 1, rne)
    FLOAT_ONE_S(fsqrt.s, 0x7f800001, 0x7fc00000, 16, rne)
    FLOAT_ONE_S(fsqrt.s, 0x7fc00000, 0x7fc00000, 0, rne)

    CASE("fsgnj.s")
    FLOAT_TWO_EXACT_S(fsgnj.s, 0x3fc00000, 0xc0000000, 0xbfc00000, 0)
    FLOAT_TWO_EXACT_S(fsgnj.s, 0x3fc00000, 0x40000000, 0x3fc00000, 0)
    FLOAT_TWO_EXACT_S(fsgnj.s, 0xbfc00000, 0xc0000000, 0xbfc00000, 0)
    FLOAT_TWO_EXACT_S(fsgnj.s, 0x7f800001, 0xbf800000, 0xff800001, 0)

    CASE("fsgnjn.s")
    FLOAT_TWO_EXACT_S(fsgnjn.s, 0x3fc00000, 0xc0000000, 0x3fc00000, 0)
    FLOAT_TWO_EXACT_S(fsgnjn.s, 0x3fc00000, 0x40000000, 0xbfc00000, 0)
    FLOAT_TWO_EXACT_S(fsgnjn.s, 0xbfc00000, 0xc0000000, 0x3fc00000, 0)
    FLOAT_TWO_EXACT_S(fsgnjn.s, 0x7f800001, 0xbf800000, 0x7f800001, 0)

    CASE("fsgnjx.s")
    FLOAT_TWO_EXACT_S(fsgnjx.s, 0x3fc00000, 0xc0000000, 0xbfc00000, 0)
    FLOAT_TWO_EXACT_S(fsgnjx.s, 0x3fc00000, 0x40000000, 0x3fc00000, 0)
    FLOAT_TWO_EXACT_S(fsgnjx.s, 0xbfc00000, 0xc0000000, 0x3fc00000, 0)
    FLOAT_TWO_EXACT_S(fsgnjx.s, 0x7f800001, 0xbf800000, 0xff800001, 0)

    CASE("fmin.s")
    FLOAT_TWO_EXACT_S(fmin.s, 0x3fc00000, 0xc0000000, 0xc0000000, 0)
    FLOAT_TWO_EXACT_S(fmin.s, 0xc0000000, 0x3fc00000, 0xc0000000, 0)
    FLOAT_TWO_EXACT_S(fmin.s, 0x00000000, 0x80000000, 0x80000000, 0)
    FLOAT_TWO_EXACT_S(fmin.s, 0x80000000, 0x00000000, 0x80000000, 0)
    FLOAT_TWO_EXACT_S(fmin.s, 0x7f800000, 0x3f800000, 0x3f800000, 0)
    FLOAT_TWO_EXACT_S(fmin.s, 0x7fc00000, 0x3f800000, 0x3f800000, 0)
    FLOAT_TWO_EXACT_S(fmin.s, 0x3f800000, 0x7fc00000, 0x3f800000, 0)
    FLOAT_TWO_EXACT_S(fmin.s, 0x7f800001, 0x3f800000, 0x3f800000, 16)
    FLOAT_TWO_EXACT_S(fmin.s, 0x3f800000, 0x7f800001, 0x3f800000, 16)
    FLOAT_TWO_EXACT_S(fmin.s, 0xffc01234, 0x7fc00000, 0x7fc00000, 0)
    FLOAT_TWO_EXACT_S(fmin.s, 0x7f800001, 0x7f800001, 0x7fc00000, 16)

    CASE("fmax.s")
    FLOAT_TWO_EXACT_S(fmax.s, 0x3fc00000, 0xc0000000, 0x3fc00000, 0)
    FLOAT_TWO_EXACT_S(fmax.s, 0xc0000000, 0x3fc00000, 0x3fc00000, 0)
    FLOAT_TWO_EXACT_S(fmax.s, 0x00000000, 0x80000000, 0x00000000, 0)
    FLOAT_TWO_EXACT_S(fmax.s, 0x80000000, 0x00000000, 0x00000000, 0)
    FLOAT_TWO_EXACT_S(fmax.s, 0x7f800000, 0x3f800000, 0x7f800000, 0)
    FLOAT_TWO_EXACT_S(fmax.s, 0x7fc00000, 0x3f800000, 0x3f800000, 0)
    FLOAT_TWO_EXACT_S(fmax.s, 0x3f800000, 0x7fc00000, 0x3f800000, 0)
    FLOAT_TWO_EXACT_S(fmax.s, 0x7f800001, 0x3f800000, 0x3f800000, 16)
    FLOAT_TWO_EXACT_S(fmax.s, 0x3f800000, 0x7f800001, 0x3f800000, 16)
    FLOAT_TWO_EXACT_S(fmax.s, 0xffc01234, 0x7fc00000, 0x7fc00000, 0)
    FLOAT_TWO_EXACT_S(fmax.s, 0x7f800001, 0x7f800001, 0x7fc00000, 16)

    CASE("feq.s")
    COMPARE_S(feq.s, 0x3fc00000, 0x3fc00000, 1, 0)
    COMPARE_S(feq.s, 0xc0000000, 0x3fc00000, 0, 0)
    COMPARE_S(feq.s, 0x3fc00000, 0xc0000000, 0, 0)
    COMPARE_S(feq.s, 0x00000000, 0x80000000, 1, 0)
    COMPARE_S(feq.s, 0x7f800000, 0x7f800000, 1, 0)
    COMPARE_S(feq.s, 0xff800000, 0x7f800000, 0, 0)
    COMPARE_S(feq.s, 0x7fc00000, 0x3f800000, 0, 0)
    COMPARE_S(feq.s, 0x3f800000, 0x7fc00000, 0, 0)
    COMPARE_S(feq.s, 0x7f800001, 0x3f800000, 0, 16)
    COMPARE_S(feq.s, 0x7fc00000, 0x7fc00000, 0, 0)

    CASE("flt.s")
    COMPARE_S(flt.s, 0x3fc00000, 0x3fc00000, 0, 0)
    COMPARE_S(flt.s, 0xc0000000, 0x3fc00000, 1, 0)
    COMPARE_S(flt.s, 0x3fc00000, 0xc0000000, 0, 0)
    COMPARE_S(flt.s, 0x00000000, 0x80000000, 0, 0)
    COMPARE_S(flt.s, 0x7f800000, 0x7f800000, 0, 0)
    COMPARE_S(flt.s, 0xff800000, 0x7f800000, 1, 0)
    COMPARE_S(flt.s, 0x7fc00000, 0x3f800000, 0, 16)
    COMPARE_S(flt.s, 0x3f800000, 0x7fc00000, 0, 16)
    COMPARE_S(flt.s, 0x7f800001, 0x3f800000, 0, 16)
    COMPARE_S(flt.s, 0x7fc00000, 0x7fc00000, 0, 16)

    CASE("fle.s")
    COMPARE_S(fle.s, 0x3fc00000, 0x3fc00000, 1, 0)
    COMPARE_S(fle.s, 0xc0000000, 0x3fc00000, 1, 0)
    COMPARE_S(fle.s, 0x3fc00000, 0xc0000000, 0, 0)
    COMPARE_S(fle.s, 0x00000000, 0x80000000, 1, 0)
    COMPARE_S(fle.s, 0x7f800000, 0x7f800000, 1, 0)
    COMPARE_S(fle.s, 0xff800000, 0x7f800000, 1, 0)
    COMPARE_S(fle.s, 0x7fc00000, 0x3f800000, 0, 16)
    COMPARE_S(fle.s, 0x3f800000, 0x7fc00000, 0, 16)
    COMPARE_S(fle.s, 0x7f800001, 0x3f800000, 0, 16)
    COMPARE_S(fle.s, 0x7fc00000, 0x7fc00000, 0, 16)

    CASE("fclass.s")
    FLOAT_TO_INTEGER_EXACT_S(fclass.s, 0xff800000, 1, 0)
    FLOAT_TO_INTEGER_EXACT_S(fclass.s, 0xbfc00000, 2, 0)
    FLOAT_TO_INTEGER_EXACT_S(fclass.s, 0x80000001, 4, 0)
    FLOAT_TO_INTEGER_EXACT_S(fclass.s, 0x80000000, 8, 0)
    FLOAT_TO_INTEGER_EXACT_S(fclass.s, 0x00000000, 16, 0)
    FLOAT_TO_INTEGER_EXACT_S(fclass.s, 0x00000001, 32, 0)
    FLOAT_TO_INTEGER_EXACT_S(fclass.s, 0x3fc00000, 64, 0)
    FLOAT_TO_INTEGER_EXACT_S(fclass.s, 0x7f800000, 128, 0)
    FLOAT_TO_INTEGER_EXACT_S(fclass.s, 0x7f800001, 256, 0)
    FLOAT_TO_INTEGER_EXACT_S(fclass.s, 0x7fc00000, 512, 0)

    CASE("fmadd.s")
    FLOAT_THREE_S(fmadd.s, 0x40000000, 0x40400000, 0x3f800000, 0x40e00000, 0, rne)
    FLOAT_THREE_S(fmadd.s, 0x3f800001, 0x3f800001, 0x3f800000, 0x40000001, 1, rne)
    FLOAT_THREE_S(fmadd.s, 0x3f800001, 0x3f800001, 0x3f800000, 0x40000002, 1, rup)
    FLOAT_THREE_S(fmadd.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0x337ffffe, 0, rne)
    FLOAT_THREE_S(fmadd.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0x337ffffe, 0, rtz)
    FLOAT_THREE_S(fmadd.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0x337ffffe, 0, rdn)
    FLOAT_THREE_S(fmadd.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0x337ffffe, 0, rup)
    FLOAT_THREE_S(fmadd.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0x337ffffe, 0, rmm)
    FLOAT_THREE_S(fmadd.s, 0x3f800000, 0x3f800000, 0x3f800000, 0x40000000, 0, rne)
    FLOAT_THREE_S(fmadd.s, 0x3f800000, 0x3f800000, 0xbf800000, 0x00000000, 0, rne)
    FLOAT_THREE_S(fmadd.s, 0x3f800000, 0x3f800000, 0xbf800000, 0x80000000, 0, rdn)
    FLOAT_THREE_S(fmadd.s, 0x7f800000, 0x00000000, 0x7fc00000, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fmadd.s, 0x7f800000, 0x00000000, 0x3f800000, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fmadd.s, 0x7f800000, 0x3f800000, 0x7f800000, 0x7f800000, 0, rne)
    FLOAT_THREE_S(fmadd.s, 0x7f800000, 0x3f800000, 0xff800000, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fmadd.s, 0x3f800000, 0x3f800000, 0x7f800001, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fmadd.s, 0x7f7fffff, 0x40000000, 0x7f7fffff, 0x7f800000, 5, rne)
    FLOAT_THREE_S(fmadd.s, 0x7f7fffff, 0x40000000, 0x7f7fffff, 0x7f7fffff, 5, rtz)
    FLOAT_THREE_S(fmadd.s, 0x00800000, 0x00800000, 0x3f800000, 0x3f800000, 1, rne)
    FLOAT_THREE_S(fmadd.s, 0x00800000, 0x00800000, 0x3f800000, 0x3f800001, 1, rup)

    CASE("fmsub.s")
    FLOAT_THREE_S(fmsub.s, 0x40000000, 0x40400000, 0x3f800000, 0x40a00000, 0, rne)
    FLOAT_THREE_S(fmsub.s, 0x3f800001, 0x3f800001, 0x3f800000, 0x34800000, 1, rne)
    FLOAT_THREE_S(fmsub.s, 0x3f800001, 0x3f800001, 0x3f800000, 0x34800001, 1, rup)
    FLOAT_THREE_S(fmsub.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0x40000000, 1, rne)
    FLOAT_THREE_S(fmsub.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0x40000000, 1, rtz)
    FLOAT_THREE_S(fmsub.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0x40000000, 1, rdn)
    FLOAT_THREE_S(fmsub.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0x40000001, 1, rup)
    FLOAT_THREE_S(fmsub.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0x40000000, 1, rmm)
    FLOAT_THREE_S(fmsub.s, 0x3f800000, 0x3f800000, 0x3f800000, 0x00000000, 0, rne)
    FLOAT_THREE_S(fmsub.s, 0x3f800000, 0x3f800000, 0xbf800000, 0x40000000, 0, rne)
    FLOAT_THREE_S(fmsub.s, 0x3f800000, 0x3f800000, 0xbf800000, 0x40000000, 0, rdn)
    FLOAT_THREE_S(fmsub.s, 0x7f800000, 0x00000000, 0x7fc00000, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fmsub.s, 0x7f800000, 0x00000000, 0x3f800000, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fmsub.s, 0x7f800000, 0x3f800000, 0x7f800000, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fmsub.s, 0x7f800000, 0x3f800000, 0xff800000, 0x7f800000, 0, rne)
    FLOAT_THREE_S(fmsub.s, 0x3f800000, 0x3f800000, 0x7f800001, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fmsub.s, 0x7f7fffff, 0x40000000, 0x7f7fffff, 0x7f7fffff, 0, rne)
    FLOAT_THREE_S(fmsub.s, 0x7f7fffff, 0x40000000, 0x7f7fffff, 0x7f7fffff, 0, rtz)
    FLOAT_THREE_S(fmsub.s, 0x00800000, 0x00800000, 0x3f800000, 0xbf800000, 1, rne)
    FLOAT_THREE_S(fmsub.s, 0x00800000, 0x00800000, 0x3f800000, 0xbf7fffff, 1, rup)

    CASE("fnmsub.s")
    FLOAT_THREE_S(fnmsub.s, 0x40000000, 0x40400000, 0x3f800000, 0xc0a00000, 0, rne)
    FLOAT_THREE_S(fnmsub.s, 0x3f800001, 0x3f800001, 0x3f800000, 0xb4800000, 1, rne)
    FLOAT_THREE_S(fnmsub.s, 0x3f800001, 0x3f800001, 0x3f800000, 0xb4800000, 1, rup)
    FLOAT_THREE_S(fnmsub.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0xc0000000, 1, rne)
    FLOAT_THREE_S(fnmsub.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0xc0000000, 1, rtz)
    FLOAT_THREE_S(fnmsub.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0xc0000001, 1, rdn)
    FLOAT_THREE_S(fnmsub.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0xc0000000, 1, rup)
    FLOAT_THREE_S(fnmsub.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0xc0000000, 1, rmm)
    FLOAT_THREE_S(fnmsub.s, 0x3f800000, 0x3f800000, 0x3f800000, 0x00000000, 0, rne)
    FLOAT_THREE_S(fnmsub.s, 0x3f800000, 0x3f800000, 0xbf800000, 0xc0000000, 0, rne)
    FLOAT_THREE_S(fnmsub.s, 0x3f800000, 0x3f800000, 0xbf800000, 0xc0000000, 0, rdn)
    FLOAT_THREE_S(fnmsub.s, 0x7f800000, 0x00000000, 0x7fc00000, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fnmsub.s, 0x7f800000, 0x00000000, 0x3f800000, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fnmsub.s, 0x7f800000, 0x3f800000, 0x7f800000, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fnmsub.s, 0x7f800000, 0x3f800000, 0xff800000, 0xff800000, 0, rne)
    FLOAT_THREE_S(fnmsub.s, 0x3f800000, 0x3f800000, 0x7f800001, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fnmsub.s, 0x7f7fffff, 0x40000000, 0x7f7fffff, 0xff7fffff, 0, rne)
    FLOAT_THREE_S(fnmsub.s, 0x7f7fffff, 0x40000000, 0x7f7fffff, 0xff7fffff, 0, rtz)
    FLOAT_THREE_S(fnmsub.s, 0x00800000, 0x00800000, 0x3f800000, 0x3f800000, 1, rne)
    FLOAT_THREE_S(fnmsub.s, 0x00800000, 0x00800000, 0x3f800000, 0x3f800000, 1, rup)

    CASE("fnmadd.s")
    FLOAT_THREE_S(fnmadd.s, 0x40000000, 0x40400000, 0x3f800000, 0xc0e00000, 0, rne)
    FLOAT_THREE_S(fnmadd.s, 0x3f800001, 0x3f800001, 0x3f800000, 0xc0000001, 1, rne)
    FLOAT_THREE_S(fnmadd.s, 0x3f800001, 0x3f800001, 0x3f800000, 0xc0000001, 1, rup)
    FLOAT_THREE_S(fnmadd.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0xb37ffffe, 0, rne)
    FLOAT_THREE_S(fnmadd.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0xb37ffffe, 0, rtz)
    FLOAT_THREE_S(fnmadd.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0xb37ffffe, 0, rdn)
    FLOAT_THREE_S(fnmadd.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0xb37ffffe, 0, rup)
    FLOAT_THREE_S(fnmadd.s, 0x3f800001, 0x3f7fffff, 0xbf800000, 0xb37ffffe, 0, rmm)
    FLOAT_THREE_S(fnmadd.s, 0x3f800000, 0x3f800000, 0x3f800000, 0xc0000000, 0, rne)
    FLOAT_THREE_S(fnmadd.s, 0x3f800000, 0x3f800000, 0xbf800000, 0x00000000, 0, rne)
    FLOAT_THREE_S(fnmadd.s, 0x3f800000, 0x3f800000, 0xbf800000, 0x80000000, 0, rdn)
    FLOAT_THREE_S(fnmadd.s, 0x7f800000, 0x00000000, 0x7fc00000, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fnmadd.s, 0x7f800000, 0x00000000, 0x3f800000, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fnmadd.s, 0x7f800000, 0x3f800000, 0x7f800000, 0xff800000, 0, rne)
    FLOAT_THREE_S(fnmadd.s, 0x7f800000, 0x3f800000, 0xff800000, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fnmadd.s, 0x3f800000, 0x3f800000, 0x7f800001, 0x7fc00000, 16, rne)
    FLOAT_THREE_S(fnmadd.s, 0x7f7fffff, 0x40000000, 0x7f7fffff, 0xff800000, 5, rne)
    FLOAT_THREE_S(fnmadd.s, 0x7f7fffff, 0x40000000, 0x7f7fffff, 0xff7fffff, 5, rtz)
    FLOAT_THREE_S(fnmadd.s, 0x00800000, 0x00800000, 0x3f800000, 0xbf800000, 1, rne)
    FLOAT_THREE_S(fnmadd.s, 0x00800000, 0x00800000, 0x3f800000, 0xbf800000, 1, rup)

    CASE("fcvt.w.s")
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x3f800000, 1, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x40200000, 2, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x40200000, 2, 1, rtz)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x40200000, 2, 1, rdn)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x40200000, 3, 1, rup)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x40200000, 3, 1, rmm)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xc0200000, -2, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xc0200000, -2, 1, rtz)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xc0200000, -3, 1, rdn)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xc0200000, -2, 1, rup)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xc0200000, -3, 1, rmm)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xbf000000, 0, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xbf000000, 0, 1, rtz)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xbf000000, -1, 1, rdn)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xbf000000, 0, 1, rup)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xbf000000, -1, 1, rmm)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x40600000, 4, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x40600000, 4, 1, rmm)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x4f000000, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xcf000000, 0xffffffff80000000, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x4f800000, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x5f000000, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xdf000000, 0xffffffff80000000, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x5f800000, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x7f800000, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0xff800000, 0xffffffff80000000, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x7fc00000, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x7f800001, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.w.s, 0x80000000, 0, 0, rne)

    CASE("fcvt.wu.s")
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x3f800000, 1, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x40200000, 2, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x40200000, 2, 1, rtz)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x40200000, 2, 1, rdn)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x40200000, 3, 1, rup)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x40200000, 3, 1, rmm)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xc0200000, 0, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xc0200000, 0, 16, rtz)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xc0200000, 0, 16, rdn)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xc0200000, 0, 16, rup)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xc0200000, 0, 16, rmm)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xbf000000, 0, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xbf000000, 0, 1, rtz)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xbf000000, 0, 16, rdn)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xbf000000, 0, 1, rup)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xbf000000, 0, 16, rmm)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x40600000, 4, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x40600000, 4, 1, rmm)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x4f000000, 0xffffffff80000000, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xcf000000, 0, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x4f800000, -1, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x5f000000, -1, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xdf000000, 0, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x5f800000, -1, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x7f800000, -1, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0xff800000, 0, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x7fc00000, -1, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x7f800001, -1, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.wu.s, 0x80000000, 0, 0, rne)

    CASE("fcvt.l.s")
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x3f800000, 1, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x40200000, 2, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x40200000, 2, 1, rtz)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x40200000, 2, 1, rdn)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x40200000, 3, 1, rup)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x40200000, 3, 1, rmm)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xc0200000, -2, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xc0200000, -2, 1, rtz)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xc0200000, -3, 1, rdn)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xc0200000, -2, 1, rup)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xc0200000, -3, 1, rmm)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xbf000000, 0, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xbf000000, 0, 1, rtz)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xbf000000, -1, 1, rdn)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xbf000000, 0, 1, rup)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xbf000000, -1, 1, rmm)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x40600000, 4, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x40600000, 4, 1, rmm)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x4f000000, 0x80000000, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xcf000000, 0xffffffff80000000, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x4f800000, 0x100000000, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x5f000000, 0x7fffffffffffffff, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xdf000000, 0x8000000000000000, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x5f800000, 0x7fffffffffffffff, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x7f800000, 0x7fffffffffffffff, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0xff800000, 0x8000000000000000, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x7fc00000, 0x7fffffffffffffff, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x7f800001, 0x7fffffffffffffff, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.l.s, 0x80000000, 0, 0, rne)

    CASE("fcvt.lu.s")
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x3f800000, 1, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x40200000, 2, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x40200000, 2, 1, rtz)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x40200000, 2, 1, rdn)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x40200000, 3, 1, rup)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x40200000, 3, 1, rmm)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xc0200000, 0, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xc0200000, 0, 16, rtz)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xc0200000, 0, 16, rdn)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xc0200000, 0, 16, rup)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xc0200000, 0, 16, rmm)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xbf000000, 0, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xbf000000, 0, 1, rtz)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xbf000000, 0, 16, rdn)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xbf000000, 0, 1, rup)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xbf000000, 0, 16, rmm)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x40600000, 4, 1, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x40600000, 4, 1, rmm)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x4f000000, 0x80000000, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xcf000000, 0, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x4f800000, 0x100000000, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x5f000000, 0x8000000000000000, 0, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xdf000000, 0, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x5f800000, -1, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x7f800000, -1, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0xff800000, 0, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x7fc00000, -1, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x7f800001, -1, 16, rne)
    FLOAT_TO_INTEGER_S(fcvt.lu.s, 0x80000000, 0, 0, rne)

    CASE("fcvt.s.w")
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0, 0x00000000, 0, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 1, 0x3f800000, 0, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.w, -1, 0xbf800000, 0, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x7fffffff, 0x4f000000, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x7fffffff, 0x4effffff, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x7fffffff, 0x4effffff, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x7fffffff, 0x4f000000, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x7fffffff, 0x4f000000, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x80000001, 0xcf000000, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x80000001, 0xceffffff, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x80000001, 0xcf000000, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x80000001, 0xceffffff, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x80000001, 0xcf000000, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x1234567890abcdef, 0xcedea864, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x1234567890abcdef, 0xcedea864, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x1234567890abcdef, 0xcedea865, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x1234567890abcdef, 0xcedea864, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.w, 0x1234567890abcdef, 0xcedea864, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.w, -1023, 0xc47fc000, 0, rne)

    CASE("fcvt.s.wu")
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0, 0x00000000, 0, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 1, 0x3f800000, 0, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, -1, 0x4f800000, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, -1, 0x4f7fffff, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, -1, 0x4f7fffff, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, -1, 0x4f800000, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, -1, 0x4f800000, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x7fffffff, 0x4f000000, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x7fffffff, 0x4effffff, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x7fffffff, 0x4effffff, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x7fffffff, 0x4f000000, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x7fffffff, 0x4f000000, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x80000001, 0x4f000000, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x80000001, 0x4f000000, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x80000001, 0x4f000000, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x80000001, 0x4f000001, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x80000001, 0x4f000000, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x1234567890abcdef, 0x4f10abce, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x1234567890abcdef, 0x4f10abcd, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x1234567890abcdef, 0x4f10abcd, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x1234567890abcdef, 0x4f10abce, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, 0x1234567890abcdef, 0x4f10abce, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, -1023, 0x4f7ffffc, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, -1023, 0x4f7ffffc, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, -1023, 0x4f7ffffc, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, -1023, 0x4f7ffffd, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.wu, -1023, 0x4f7ffffc, 1, rmm)

    CASE("fcvt.s.l")
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0, 0x00000000, 0, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 1, 0x3f800000, 0, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.l, -1, 0xbf800000, 0, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x7fffffff, 0x4f000000, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x7fffffff, 0x4effffff, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x7fffffff, 0x4effffff, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x7fffffff, 0x4f000000, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x7fffffff, 0x4f000000, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x80000001, 0x4f000000, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x80000001, 0x4f000000, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x80000001, 0x4f000000, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x80000001, 0x4f000001, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x80000001, 0x4f000000, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x1234567890abcdef, 0x5d91a2b4, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x1234567890abcdef, 0x5d91a2b3, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x1234567890abcdef, 0x5d91a2b3, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x1234567890abcdef, 0x5d91a2b4, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.l, 0x1234567890abcdef, 0x5d91a2b4, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.l, -1023, 0xc47fc000, 0, rne)

    CASE("fcvt.s.lu")
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0, 0x00000000, 0, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 1, 0x3f800000, 0, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, -1, 0x5f800000, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, -1, 0x5f7fffff, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, -1, 0x5f7fffff, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, -1, 0x5f800000, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, -1, 0x5f800000, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x7fffffff, 0x4f000000, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x7fffffff, 0x4effffff, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x7fffffff, 0x4effffff, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x7fffffff, 0x4f000000, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x7fffffff, 0x4f000000, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x80000001, 0x4f000000, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x80000001, 0x4f000000, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x80000001, 0x4f000000, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x80000001, 0x4f000001, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x80000001, 0x4f000000, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x1234567890abcdef, 0x5d91a2b4, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x1234567890abcdef, 0x5d91a2b3, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x1234567890abcdef, 0x5d91a2b3, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x1234567890abcdef, 0x5d91a2b4, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, 0x1234567890abcdef, 0x5d91a2b4, 1, rmm)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, -1023, 0x5f800000, 1, rne)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, -1023, 0x5f7fffff, 1, rtz)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, -1023, 0x5f7fffff, 1, rdn)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, -1023, 0x5f800000, 1, rup)
    INTEGER_TO_FLOAT_S(fcvt.s.lu, -1023, 0x5f800000, 1, rmm)

    // Floating point, double precision: operands, result, flags (NX 1, UF 2, OF 4, DZ 8, NV 16), rounding mode.

    CASE("fadd.d")
    FLOAT_TWO_D(fadd.d, 0x3ff8000000000000, 0x4002000000000000, 0x400e000000000000, 0, rne)
    FLOAT_TWO_D(fadd.d, 0x3ff0000000000000, 0x0010000000000000, 0x3ff0000000000000, 1, rne)
    FLOAT_TWO_D(fadd.d, 0x3ff0000000000000, 0x0010000000000000, 0x3ff0000000000000, 1, rtz)
    FLOAT_TWO_D(fadd.d, 0x3ff0000000000000, 0x0010000000000000, 0x3ff0000000000000, 1, rdn)
    FLOAT_TWO_D(fadd.d, 0x3ff0000000000000, 0x0010000000000000, 0x3ff0000000000001, 1, rup)
    FLOAT_TWO_D(fadd.d, 0x3ff0000000000000, 0x0010000000000000, 0x3ff0000000000000, 1, rmm)
    FLOAT_TWO_D(fadd.d, 0xbff0000000000000, 0x8010000000000000, 0xbff0000000000001, 1, rdn)
    FLOAT_TWO_D(fadd.d, 0xbff0000000000000, 0x8010000000000000, 0xbff0000000000000, 1, rup)
    FLOAT_TWO_D(fadd.d, 0x3ff0000000000000, 0xbff0000000000000, 0x0000000000000000, 0, rne)
    FLOAT_TWO_D(fadd.d, 0x3ff0000000000000, 0xbff0000000000000, 0x0000000000000000, 0, rtz)
    FLOAT_TWO_D(fadd.d, 0x3ff0000000000000, 0xbff0000000000000, 0x8000000000000000, 0, rdn)
    FLOAT_TWO_D(fadd.d, 0x3ff0000000000000, 0xbff0000000000000, 0x0000000000000000, 0, rup)
    FLOAT_TWO_D(fadd.d, 0x3ff0000000000000, 0xbff0000000000000, 0x0000000000000000, 0, rmm)
    FLOAT_TWO_D(fadd.d, 0x7fefffffffffffff, 0x7fefffffffffffff, 0x7ff0000000000000, 5, rne)
    FLOAT_TWO_D(fadd.d, 0x7fefffffffffffff, 0x7fefffffffffffff, 0x7fefffffffffffff, 5, rtz)
    FLOAT_TWO_D(fadd.d, 0x7fefffffffffffff, 0x7fefffffffffffff, 0x7fefffffffffffff, 5, rdn)
    FLOAT_TWO_D(fadd.d, 0x7fefffffffffffff, 0x7fefffffffffffff, 0x7ff0000000000000, 5, rup)
    FLOAT_TWO_D(fadd.d, 0x7fefffffffffffff, 0x7fefffffffffffff, 0x7ff0000000000000, 5, rmm)
    FLOAT_TWO_D(fadd.d, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_TWO_D(fadd.d, 0x7ff0000000000001, 0x3ff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_TWO_D(fadd.d, 0xfff8000012345678, 0x3ff0000000000000, 0x7ff8000000000000, 0, rne)
    FLOAT_TWO_D(fadd.d, 0x8000000000000000, 0x8000000000000000, 0x8000000000000000, 0, rne)

    CASE("fsub.d")
    FLOAT_TWO_D(fsub.d, 0x3ff8000000000000, 0x4002000000000000, 0xbfe8000000000000, 0, rne)
    FLOAT_TWO_D(fsub.d, 0x3ff0000000000000, 0x0010000000000000, 0x3ff0000000000000, 1, rne)
    FLOAT_TWO_D(fsub.d, 0x3ff0000000000000, 0x0010000000000000, 0x3fefffffffffffff, 1, rtz)
    FLOAT_TWO_D(fsub.d, 0x3ff0000000000000, 0x0010000000000000, 0x3fefffffffffffff, 1, rdn)
    FLOAT_TWO_D(fsub.d, 0x3ff0000000000000, 0x0010000000000000, 0x3ff0000000000000, 1, rup)
    FLOAT_TWO_D(fsub.d, 0x3ff0000000000000, 0x0010000000000000, 0x3ff0000000000000, 1, rmm)
    FLOAT_TWO_D(fsub.d, 0x3ff0000000000000, 0x3ff0000000000000, 0x0000000000000000, 0, rne)
    FLOAT_TWO_D(fsub.d, 0x3ff0000000000000, 0x3ff0000000000000, 0x8000000000000000, 0, rdn)
    FLOAT_TWO_D(fsub.d, 0x7ff0000000000000, 0x7ff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_TWO_D(fsub.d, 0x0000000000000000, 0x0000000000000000, 0x0000000000000000, 0, rne)
    FLOAT_TWO_D(fsub.d, 0x0000000000000000, 0x0000000000000000, 0x8000000000000000, 0, rdn)
    FLOAT_TWO_D(fsub.d, 0x8000000000000000, 0x0000000000000000, 0x8000000000000000, 0, rne)

    CASE("fmul.d")
    FLOAT_TWO_D(fmul.d, 0x3ff8000000000000, 0xc002000000000000, 0xc00b000000000000, 0, rne)
    FLOAT_TWO_D(fmul.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000002, 1, rne)
    FLOAT_TWO_D(fmul.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000002, 1, rtz)
    FLOAT_TWO_D(fmul.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000002, 1, rdn)
    FLOAT_TWO_D(fmul.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000003, 1, rup)
    FLOAT_TWO_D(fmul.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000002, 1, rmm)
    FLOAT_TWO_D(fmul.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7ff0000000000000, 5, rne)
    FLOAT_TWO_D(fmul.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7fefffffffffffff, 5, rtz)
    FLOAT_TWO_D(fmul.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7fefffffffffffff, 5, rdn)
    FLOAT_TWO_D(fmul.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7ff0000000000000, 5, rup)
    FLOAT_TWO_D(fmul.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7ff0000000000000, 5, rmm)
    FLOAT_TWO_D(fmul.d, 0x0010000000000000, 0x3fe0000000000000, 0x0008000000000000, 0, rne)
    FLOAT_TWO_D(fmul.d, 0x0010000000000001, 0x3fe0000000000000, 0x0008000000000000, 3, rne)
    FLOAT_TWO_D(fmul.d, 0x0010000000000001, 0x3fe0000000000000, 0x0008000000000000, 3, rtz)
    FLOAT_TWO_D(fmul.d, 0x0010000000000001, 0x3fe0000000000000, 0x0008000000000000, 3, rdn)
    FLOAT_TWO_D(fmul.d, 0x0010000000000001, 0x3fe0000000000000, 0x0008000000000001, 3, rup)
    FLOAT_TWO_D(fmul.d, 0x0010000000000001, 0x3fe0000000000000, 0x0008000000000001, 3, rmm)
    FLOAT_TWO_D(fmul.d, 0x0000000000000001, 0x3fe0000000000000, 0x0000000000000000, 3, rne)
    FLOAT_TWO_D(fmul.d, 0x0000000000000001, 0x3fe0000000000000, 0x0000000000000000, 3, rtz)
    FLOAT_TWO_D(fmul.d, 0x0000000000000001, 0x3fe0000000000000, 0x0000000000000000, 3, rdn)
    FLOAT_TWO_D(fmul.d, 0x0000000000000001, 0x3fe0000000000000, 0x0000000000000001, 3, rup)
    FLOAT_TWO_D(fmul.d, 0x0000000000000001, 0x3fe0000000000000, 0x0000000000000001, 3, rmm)
    FLOAT_TWO_D(fmul.d, 0x0000000000000000, 0x7ff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_TWO_D(fmul.d, 0x8000000000000000, 0x4008000000000000, 0x8000000000000000, 0, rne)

    CASE("fdiv.d")
    FLOAT_TWO_D(fdiv.d, 0x401e000000000000, 0xc004000000000000, 0xc008000000000000, 0, rne)
    FLOAT_TWO_D(fdiv.d, 0x3ff0000000000000, 0x4008000000000000, 0x3fd5555555555555, 1, rne)
    FLOAT_TWO_D(fdiv.d, 0x3ff0000000000000, 0x4008000000000000, 0x3fd5555555555555, 1, rtz)
    FLOAT_TWO_D(fdiv.d, 0x3ff0000000000000, 0x4008000000000000, 0x3fd5555555555555, 1, rdn)
    FLOAT_TWO_D(fdiv.d, 0x3ff0000000000000, 0x4008000000000000, 0x3fd5555555555556, 1, rup)
    FLOAT_TWO_D(fdiv.d, 0x3ff0000000000000, 0x4008000000000000, 0x3fd5555555555555, 1, rmm)
    FLOAT_TWO_D(fdiv.d, 0xc000000000000000, 0x4008000000000000, 0xbfe5555555555555, 1, rne)
    FLOAT_TWO_D(fdiv.d, 0xc000000000000000, 0x4008000000000000, 0xbfe5555555555555, 1, rtz)
    FLOAT_TWO_D(fdiv.d, 0xc000000000000000, 0x4008000000000000, 0xbfe5555555555556, 1, rdn)
    FLOAT_TWO_D(fdiv.d, 0xc000000000000000, 0x4008000000000000, 0xbfe5555555555555, 1, rup)
    FLOAT_TWO_D(fdiv.d, 0xc000000000000000, 0x4008000000000000, 0xbfe5555555555555, 1, rmm)
    FLOAT_TWO_D(fdiv.d, 0x3ff0000000000000, 0x0000000000000000, 0x7ff0000000000000, 8, rne)
    FLOAT_TWO_D(fdiv.d, 0xbff0000000000000, 0x0000000000000000, 0xfff0000000000000, 8, rne)
    FLOAT_TWO_D(fdiv.d, 0x0000000000000000, 0x0000000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_TWO_D(fdiv.d, 0x7ff0000000000000, 0x7ff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_TWO_D(fdiv.d, 0x0000000000000001, 0x4000000000000000, 0x0000000000000000, 3, rne)
    FLOAT_TWO_D(fdiv.d, 0x0000000000000001, 0x4000000000000000, 0x0000000000000000, 3, rtz)
    FLOAT_TWO_D(fdiv.d, 0x0000000000000001, 0x4000000000000000, 0x0000000000000000, 3, rdn)
    FLOAT_TWO_D(fdiv.d, 0x0000000000000001, 0x4000000000000000, 0x0000000000000001, 3, rup)
    FLOAT_TWO_D(fdiv.d, 0x0000000000000001, 0x4000000000000000, 0x0000000000000001, 3, rmm)
    FLOAT_TWO_D(fdiv.d, 0x7fefffffffffffff, 0x3fe0000000000000, 0x7ff0000000000000, 5, rne)
    FLOAT_TWO_D(fdiv.d, 0x7fefffffffffffff, 0x3fe0000000000000, 0x7fefffffffffffff, 5, rtz)

    CASE("fsqrt.d")
    FLOAT_ONE_D(fsqrt.d, 0x4002000000000000, 0x3ff8000000000000, 0, rne)
    FLOAT_ONE_D(fsqrt.d, 0x4000000000000000, 0x3ff6a09e667f3bcd, 1, rne)
    FLOAT_ONE_D(fsqrt.d, 0x4000000000000000, 0x3ff6a09e667f3bcc, 1, rtz)
    FLOAT_ONE_D(fsqrt.d, 0x4000000000000000, 0x3ff6a09e667f3bcc, 1, rdn)
    FLOAT_ONE_D(fsqrt.d, 0x4000000000000000, 0x3ff6a09e667f3bcd, 1, rup)
    FLOAT_ONE_D(fsqrt.d, 0x4000000000000000, 0x3ff6a09e667f3bcd, 1, rmm)
    FLOAT_ONE_D(fsqrt.d, 0xbff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_ONE_D(fsqrt.d, 0x8000000000000000, 0x8000000000000000, 0, rne)
    FLOAT_ONE_D(fsqrt.d, 0x7ff0000000000000, 0x7ff0000000000000, 0, rne)
    FLOAT_ONE_D(fsqrt.d, 0x0000000000000001, 0x1e60000000000000, 0, rne)
    FLOAT_ONE_D(fsqrt.d, 0x7ff0000000000001, 0x7ff8000000000000, 16, rne)
    FLOAT_ONE_D(fsqrt.d, 0x7ff8000000000000, 0x7ff8000000000000, 0, rne)

    CASE("fsgnj.d")
    FLOAT_TWO_EXACT_D(fsgnj.d, 0x3ff8000000000000, 0xc000000000000000, 0xbff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fsgnj.d, 0x3ff8000000000000, 0x4000000000000000, 0x3ff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fsgnj.d, 0xbff8000000000000, 0xc000000000000000, 0xbff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fsgnj.d, 0x7ff0000000000001, 0xbff0000000000000, 0xfff0000000000001, 0)

    CASE("fsgnjn.d")
    FLOAT_TWO_EXACT_D(fsgnjn.d, 0x3ff8000000000000, 0xc000000000000000, 0x3ff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fsgnjn.d, 0x3ff8000000000000, 0x4000000000000000, 0xbff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fsgnjn.d, 0xbff8000000000000, 0xc000000000000000, 0x3ff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fsgnjn.d, 0x7ff0000000000001, 0xbff0000000000000, 0x7ff0000000000001, 0)

    CASE("fsgnjx.d")
    FLOAT_TWO_EXACT_D(fsgnjx.d, 0x3ff8000000000000, 0xc000000000000000, 0xbff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fsgnjx.d, 0x3ff8000000000000, 0x4000000000000000, 0x3ff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fsgnjx.d, 0xbff8000000000000, 0xc000000000000000, 0x3ff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fsgnjx.d, 0x7ff0000000000001, 0xbff0000000000000, 0xfff0000000000001, 0)

    CASE("fmin.d")
    FLOAT_TWO_EXACT_D(fmin.d, 0x3ff8000000000000, 0xc000000000000000, 0xc000000000000000, 0)
    FLOAT_TWO_EXACT_D(fmin.d, 0xc000000000000000, 0x3ff8000000000000, 0xc000000000000000, 0)
    FLOAT_TWO_EXACT_D(fmin.d, 0x0000000000000000, 0x8000000000000000, 0x8000000000000000, 0)
    FLOAT_TWO_EXACT_D(fmin.d, 0x8000000000000000, 0x0000000000000000, 0x8000000000000000, 0)
    FLOAT_TWO_EXACT_D(fmin.d, 0x7ff0000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 0)
    FLOAT_TWO_EXACT_D(fmin.d, 0x7ff8000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 0)
    FLOAT_TWO_EXACT_D(fmin.d, 0x3ff0000000000000, 0x7ff8000000000000, 0x3ff0000000000000, 0)
    FLOAT_TWO_EXACT_D(fmin.d, 0x7ff0000000000001, 0x3ff0000000000000, 0x3ff0000000000000, 16)
    FLOAT_TWO_EXACT_D(fmin.d, 0x3ff0000000000000, 0x7ff0000000000001, 0x3ff0000000000000, 16)
    FLOAT_TWO_EXACT_D(fmin.d, 0xfff8000012345678, 0x7ff8000000000000, 0x7ff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fmin.d, 0x7ff0000000000001, 0x7ff0000000000001, 0x7ff8000000000000, 16)

    CASE("fmax.d")
    FLOAT_TWO_EXACT_D(fmax.d, 0x3ff8000000000000, 0xc000000000000000, 0x3ff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fmax.d, 0xc000000000000000, 0x3ff8000000000000, 0x3ff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fmax.d, 0x0000000000000000, 0x8000000000000000, 0x0000000000000000, 0)
    FLOAT_TWO_EXACT_D(fmax.d, 0x8000000000000000, 0x0000000000000000, 0x0000000000000000, 0)
    FLOAT_TWO_EXACT_D(fmax.d, 0x7ff0000000000000, 0x3ff0000000000000, 0x7ff0000000000000, 0)
    FLOAT_TWO_EXACT_D(fmax.d, 0x7ff8000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 0)
    FLOAT_TWO_EXACT_D(fmax.d, 0x3ff0000000000000, 0x7ff8000000000000, 0x3ff0000000000000, 0)
    FLOAT_TWO_EXACT_D(fmax.d, 0x7ff0000000000001, 0x3ff0000000000000, 0x3ff0000000000000, 16)
    FLOAT_TWO_EXACT_D(fmax.d, 0x3ff0000000000000, 0x7ff0000000000001, 0x3ff0000000000000, 16)
    FLOAT_TWO_EXACT_D(fmax.d, 0xfff8000012345678, 0x7ff8000000000000, 0x7ff8000000000000, 0)
    FLOAT_TWO_EXACT_D(fmax.d, 0x7ff0000000000001, 0x7ff0000000000001, 0x7ff8000000000000, 16)

    CASE("feq.d")
    COMPARE_D(feq.d, 0x3ff8000000000000, 0x3ff8000000000000, 1, 0)
    COMPARE_D(feq.d, 0xc000000000000000, 0x3ff8000000000000, 0, 0)
    COMPARE_D(feq.d, 0x3ff8000000000000, 0xc000000000000000, 0, 0)
    COMPARE_D(feq.d, 0x0000000000000000, 0x8000000000000000, 1, 0)
    COMPARE_D(feq.d, 0x7ff0000000000000, 0x7ff0000000000000, 1, 0)
    COMPARE_D(feq.d, 0xfff0000000000000, 0x7ff0000000000000, 0, 0)
    COMPARE_D(feq.d, 0x7ff8000000000000, 0x3ff0000000000000, 0, 0)
    COMPARE_D(feq.d, 0x3ff0000000000000, 0x7ff8000000000000, 0, 0)
    COMPARE_D(feq.d, 0x7ff0000000000001, 0x3ff0000000000000, 0, 16)
    COMPARE_D(feq.d, 0x7ff8000000000000, 0x7ff8000000000000, 0, 0)

    CASE("flt.d")
    COMPARE_D(flt.d, 0x3ff8000000000000, 0x3ff8000000000000, 0, 0)
    COMPARE_D(flt.d, 0xc000000000000000, 0x3ff8000000000000, 1, 0)
    COMPARE_D(flt.d, 0x3ff8000000000000, 0xc000000000000000, 0, 0)
    COMPARE_D(flt.d, 0x0000000000000000, 0x8000000000000000, 0, 0)
    COMPARE_D(flt.d, 0x7ff0000000000000, 0x7ff0000000000000, 0, 0)
    COMPARE_D(flt.d, 0xfff0000000000000, 0x7ff0000000000000, 1, 0)
    COMPARE_D(flt.d, 0x7ff8000000000000, 0x3ff0000000000000, 0, 16)
    COMPARE_D(flt.d, 0x3ff0000000000000, 0x7ff8000000000000, 0, 16)
    COMPARE_D(flt.d, 0x7ff0000000000001, 0x3ff0000000000000, 0, 16)
    COMPARE_D(flt.d, 0x7ff8000000000000, 0x7ff8000000000000, 0, 16)

    CASE("fle.d")
    COMPARE_D(fle.d, 0x3ff8000000000000, 0x3ff8000000000000, 1, 0)
    COMPARE_D(fle.d, 0xc000000000000000, 0x3ff8000000000000, 1, 0)
    COMPARE_D(fle.d, 0x3ff8000000000000, 0xc000000000000000, 0, 0)
    COMPARE_D(fle.d, 0x0000000000000000, 0x8000000000000000, 1, 0)
    COMPARE_D(fle.d, 0x7ff0000000000000, 0x7ff0000000000000, 1, 0)
    COMPARE_D(fle.d, 0xfff0000000000000, 0x7ff0000000000000, 1, 0)
    COMPARE_D(fle.d, 0x7ff8000000000000, 0x3ff0000000000000, 0, 16)
    COMPARE_D(fle.d, 0x3ff0000000000000, 0x7ff8000000000000, 0, 16)
    COMPARE_D(fle.d, 0x7ff0000000000001, 0x3ff0000000000000, 0, 16)
    COMPARE_D(fle.d, 0x7ff8000000000000, 0x7ff8000000000000, 0, 16)

    CASE("fclass.d")
    FLOAT_TO_INTEGER_EXACT_D(fclass.d, 0xfff0000000000000, 1, 0)
    FLOAT_TO_INTEGER_EXACT_D(fclass.d, 0xbff8000000000000, 2, 0)
    FLOAT_TO_INTEGER_EXACT_D(fclass.d, 0x8000000000000001, 4, 0)
    FLOAT_TO_INTEGER_EXACT_D(fclass.d, 0x8000000000000000, 8, 0)
    FLOAT_TO_INTEGER_EXACT_D(fclass.d, 0x0000000000000000, 16, 0)
    FLOAT_TO_INTEGER_EXACT_D(fclass.d, 0x0000000000000001, 32, 0)
    FLOAT_TO_INTEGER_EXACT_D(fclass.d, 0x3ff8000000000000, 64, 0)
    FLOAT_TO_INTEGER_EXACT_D(fclass.d, 0x7ff0000000000000, 128, 0)
    FLOAT_TO_INTEGER_EXACT_D(fclass.d, 0x7ff0000000000001, 256, 0)
    FLOAT_TO_INTEGER_EXACT_D(fclass.d, 0x7ff8000000000000, 512, 0)

    CASE("fmadd.d")
    FLOAT_THREE_D(fmadd.d, 0x4000000000000000, 0x4008000000000000, 0x3ff0000000000000, 0x401c000000000000, 0, rne)
    FLOAT_THREE_D(fmadd.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000000, 0x4000000000000001, 1, rne)
    FLOAT_THREE_D(fmadd.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000000, 0x4000000000000002, 1, rup)
    FLOAT_THREE_D(fmadd.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0x3c9ffffffffffffe, 0, rne)
    FLOAT_THREE_D(fmadd.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0x3c9ffffffffffffe, 0, rtz)
    FLOAT_THREE_D(fmadd.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0x3c9ffffffffffffe, 0, rdn)
    FLOAT_THREE_D(fmadd.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0x3c9ffffffffffffe, 0, rup)
    FLOAT_THREE_D(fmadd.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0x3c9ffffffffffffe, 0, rmm)
    FLOAT_THREE_D(fmadd.d, 0x3ff0000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 0x4000000000000000, 0, rne)
    FLOAT_THREE_D(fmadd.d, 0x3ff0000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x0000000000000000, 0, rne)
    FLOAT_THREE_D(fmadd.d, 0x3ff0000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x8000000000000000, 0, rdn)
    FLOAT_THREE_D(fmadd.d, 0x7ff0000000000000, 0x0000000000000000, 0x7ff8000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fmadd.d, 0x7ff0000000000000, 0x0000000000000000, 0x3ff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fmadd.d, 0x7ff0000000000000, 0x3ff0000000000000, 0x7ff0000000000000, 0x7ff0000000000000, 0, rne)
    FLOAT_THREE_D(fmadd.d, 0x7ff0000000000000, 0x3ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fmadd.d, 0x3ff0000000000000, 0x3ff0000000000000, 0x7ff0000000000001, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fmadd.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7fefffffffffffff, 0x7ff0000000000000, 5, rne)
    FLOAT_THREE_D(fmadd.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7fefffffffffffff, 0x7fefffffffffffff, 5, rtz)
    FLOAT_THREE_D(fmadd.d, 0x0010000000000000, 0x0010000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 1, rne)
    FLOAT_THREE_D(fmadd.d, 0x0010000000000000, 0x0010000000000000, 0x3ff0000000000000, 0x3ff0000000000001, 1, rup)

    CASE("fmsub.d")
    FLOAT_THREE_D(fmsub.d, 0x4000000000000000, 0x4008000000000000, 0x3ff0000000000000, 0x4014000000000000, 0, rne)
    FLOAT_THREE_D(fmsub.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000000, 0x3cc0000000000000, 1, rne)
    FLOAT_THREE_D(fmsub.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000000, 0x3cc0000000000001, 1, rup)
    FLOAT_THREE_D(fmsub.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0x4000000000000000, 1, rne)
    FLOAT_THREE_D(fmsub.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0x4000000000000000, 1, rtz)
    FLOAT_THREE_D(fmsub.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0x4000000000000000, 1, rdn)
    FLOAT_THREE_D(fmsub.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0x4000000000000001, 1, rup)
    FLOAT_THREE_D(fmsub.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0x4000000000000000, 1, rmm)
    FLOAT_THREE_D(fmsub.d, 0x3ff0000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 0x0000000000000000, 0, rne)
    FLOAT_THREE_D(fmsub.d, 0x3ff0000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x4000000000000000, 0, rne)
    FLOAT_THREE_D(fmsub.d, 0x3ff0000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x4000000000000000, 0, rdn)
    FLOAT_THREE_D(fmsub.d, 0x7ff0000000000000, 0x0000000000000000, 0x7ff8000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fmsub.d, 0x7ff0000000000000, 0x0000000000000000, 0x3ff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fmsub.d, 0x7ff0000000000000, 0x3ff0000000000000, 0x7ff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fmsub.d, 0x7ff0000000000000, 0x3ff0000000000000, 0xfff0000000000000, 0x7ff0000000000000, 0, rne)
    FLOAT_THREE_D(fmsub.d, 0x3ff0000000000000, 0x3ff0000000000000, 0x7ff0000000000001, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fmsub.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7fefffffffffffff, 0x7fefffffffffffff, 0, rne)
    FLOAT_THREE_D(fmsub.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7fefffffffffffff, 0x7fefffffffffffff, 0, rtz)
    FLOAT_THREE_D(fmsub.d, 0x0010000000000000, 0x0010000000000000, 0x3ff0000000000000, 0xbff0000000000000, 1, rne)
    FLOAT_THREE_D(fmsub.d, 0x0010000000000000, 0x0010000000000000, 0x3ff0000000000000, 0xbfefffffffffffff, 1, rup)

    CASE("fnmsub.d")
    FLOAT_THREE_D(fnmsub.d, 0x4000000000000000, 0x4008000000000000, 0x3ff0000000000000, 0xc014000000000000, 0, rne)
    FLOAT_THREE_D(fnmsub.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000000, 0xbcc0000000000000, 1, rne)
    FLOAT_THREE_D(fnmsub.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000000, 0xbcc0000000000000, 1, rup)
    FLOAT_THREE_D(fnmsub.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0xc000000000000000, 1, rne)
    FLOAT_THREE_D(fnmsub.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0xc000000000000000, 1, rtz)
    FLOAT_THREE_D(fnmsub.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0xc000000000000001, 1, rdn)
    FLOAT_THREE_D(fnmsub.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0xc000000000000000, 1, rup)
    FLOAT_THREE_D(fnmsub.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0xc000000000000000, 1, rmm)
    FLOAT_THREE_D(fnmsub.d, 0x3ff0000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 0x0000000000000000, 0, rne)
    FLOAT_THREE_D(fnmsub.d, 0x3ff0000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0xc000000000000000, 0, rne)
    FLOAT_THREE_D(fnmsub.d, 0x3ff0000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0xc000000000000000, 0, rdn)
    FLOAT_THREE_D(fnmsub.d, 0x7ff0000000000000, 0x0000000000000000, 0x7ff8000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fnmsub.d, 0x7ff0000000000000, 0x0000000000000000, 0x3ff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fnmsub.d, 0x7ff0000000000000, 0x3ff0000000000000, 0x7ff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fnmsub.d, 0x7ff0000000000000, 0x3ff0000000000000, 0xfff0000000000000, 0xfff0000000000000, 0, rne)
    FLOAT_THREE_D(fnmsub.d, 0x3ff0000000000000, 0x3ff0000000000000, 0x7ff0000000000001, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fnmsub.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7fefffffffffffff, 0xffefffffffffffff, 0, rne)
    FLOAT_THREE_D(fnmsub.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7fefffffffffffff, 0xffefffffffffffff, 0, rtz)
    FLOAT_THREE_D(fnmsub.d, 0x0010000000000000, 0x0010000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 1, rne)
    FLOAT_THREE_D(fnmsub.d, 0x0010000000000000, 0x0010000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 1, rup)

    CASE("fnmadd.d")
    FLOAT_THREE_D(fnmadd.d, 0x4000000000000000, 0x4008000000000000, 0x3ff0000000000000, 0xc01c000000000000, 0, rne)
    FLOAT_THREE_D(fnmadd.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000000, 0xc000000000000001, 1, rne)
    FLOAT_THREE_D(fnmadd.d, 0x3ff0000000000001, 0x3ff0000000000001, 0x3ff0000000000000, 0xc000000000000001, 1, rup)
    FLOAT_THREE_D(fnmadd.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0xbc9ffffffffffffe, 0, rne)
    FLOAT_THREE_D(fnmadd.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0xbc9ffffffffffffe, 0, rtz)
    FLOAT_THREE_D(fnmadd.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0xbc9ffffffffffffe, 0, rdn)
    FLOAT_THREE_D(fnmadd.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0xbc9ffffffffffffe, 0, rup)
    FLOAT_THREE_D(fnmadd.d, 0x3ff0000000000001, 0x3fefffffffffffff, 0xbff0000000000000, 0xbc9ffffffffffffe, 0, rmm)
    FLOAT_THREE_D(fnmadd.d, 0x3ff0000000000000, 0x3ff0000000000000, 0x3ff0000000000000, 0xc000000000000000, 0, rne)
    FLOAT_THREE_D(fnmadd.d, 0x3ff0000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x0000000000000000, 0, rne)
    FLOAT_THREE_D(fnmadd.d, 0x3ff0000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x8000000000000000, 0, rdn)
    FLOAT_THREE_D(fnmadd.d, 0x7ff0000000000000, 0x0000000000000000, 0x7ff8000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fnmadd.d, 0x7ff0000000000000, 0x0000000000000000, 0x3ff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fnmadd.d, 0x7ff0000000000000, 0x3ff0000000000000, 0x7ff0000000000000, 0xfff0000000000000, 0, rne)
    FLOAT_THREE_D(fnmadd.d, 0x7ff0000000000000, 0x3ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fnmadd.d, 0x3ff0000000000000, 0x3ff0000000000000, 0x7ff0000000000001, 0x7ff8000000000000, 16, rne)
    FLOAT_THREE_D(fnmadd.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7fefffffffffffff, 0xfff0000000000000, 5, rne)
    FLOAT_THREE_D(fnmadd.d, 0x7fefffffffffffff, 0x4000000000000000, 0x7fefffffffffffff, 0xffefffffffffffff, 5, rtz)
    FLOAT_THREE_D(fnmadd.d, 0x0010000000000000, 0x0010000000000000, 0x3ff0000000000000, 0xbff0000000000000, 1, rne)
    FLOAT_THREE_D(fnmadd.d, 0x0010000000000000, 0x0010000000000000, 0x3ff0000000000000, 0xbff0000000000000, 1, rup)

    CASE("fcvt.w.d")
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x3ff0000000000000, 1, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x4004000000000000, 2, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x4004000000000000, 2, 1, rtz)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x4004000000000000, 2, 1, rdn)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x4004000000000000, 3, 1, rup)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x4004000000000000, 3, 1, rmm)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xc004000000000000, -2, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xc004000000000000, -2, 1, rtz)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xc004000000000000, -3, 1, rdn)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xc004000000000000, -2, 1, rup)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xc004000000000000, -3, 1, rmm)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xbfe0000000000000, 0, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xbfe0000000000000, 0, 1, rtz)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xbfe0000000000000, -1, 1, rdn)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xbfe0000000000000, 0, 1, rup)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xbfe0000000000000, -1, 1, rmm)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x400c000000000000, 4, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x400c000000000000, 4, 1, rmm)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x41e0000000000000, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xc1e0000000000000, 0xffffffff80000000, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x41f0000000000000, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x43e0000000000000, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xc3e0000000000000, 0xffffffff80000000, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x43f0000000000000, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x7ff0000000000000, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0xfff0000000000000, 0xffffffff80000000, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x7ff8000000000000, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x7ff0000000000001, 0x7fffffff, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.w.d, 0x8000000000000000, 0, 0, rne)

    CASE("fcvt.wu.d")
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x3ff0000000000000, 1, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x4004000000000000, 2, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x4004000000000000, 2, 1, rtz)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x4004000000000000, 2, 1, rdn)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x4004000000000000, 3, 1, rup)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x4004000000000000, 3, 1, rmm)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xc004000000000000, 0, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xc004000000000000, 0, 16, rtz)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xc004000000000000, 0, 16, rdn)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xc004000000000000, 0, 16, rup)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xc004000000000000, 0, 16, rmm)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xbfe0000000000000, 0, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xbfe0000000000000, 0, 1, rtz)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xbfe0000000000000, 0, 16, rdn)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xbfe0000000000000, 0, 1, rup)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xbfe0000000000000, 0, 16, rmm)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x400c000000000000, 4, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x400c000000000000, 4, 1, rmm)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x41e0000000000000, 0xffffffff80000000, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xc1e0000000000000, 0, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x41f0000000000000, -1, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x43e0000000000000, -1, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xc3e0000000000000, 0, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x43f0000000000000, -1, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x7ff0000000000000, -1, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0xfff0000000000000, 0, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x7ff8000000000000, -1, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x7ff0000000000001, -1, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.wu.d, 0x8000000000000000, 0, 0, rne)

    CASE("fcvt.l.d")
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x3ff0000000000000, 1, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x4004000000000000, 2, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x4004000000000000, 2, 1, rtz)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x4004000000000000, 2, 1, rdn)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x4004000000000000, 3, 1, rup)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x4004000000000000, 3, 1, rmm)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xc004000000000000, -2, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xc004000000000000, -2, 1, rtz)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xc004000000000000, -3, 1, rdn)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xc004000000000000, -2, 1, rup)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xc004000000000000, -3, 1, rmm)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xbfe0000000000000, 0, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xbfe0000000000000, 0, 1, rtz)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xbfe0000000000000, -1, 1, rdn)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xbfe0000000000000, 0, 1, rup)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xbfe0000000000000, -1, 1, rmm)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x400c000000000000, 4, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x400c000000000000, 4, 1, rmm)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x41e0000000000000, 0x80000000, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xc1e0000000000000, 0xffffffff80000000, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x41f0000000000000, 0x100000000, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x43e0000000000000, 0x7fffffffffffffff, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xc3e0000000000000, 0x8000000000000000, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x43f0000000000000, 0x7fffffffffffffff, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x7ff0000000000000, 0x7fffffffffffffff, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0xfff0000000000000, 0x8000000000000000, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x7ff8000000000000, 0x7fffffffffffffff, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x7ff0000000000001, 0x7fffffffffffffff, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.l.d, 0x8000000000000000, 0, 0, rne)

    CASE("fcvt.lu.d")
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x3ff0000000000000, 1, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x4004000000000000, 2, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x4004000000000000, 2, 1, rtz)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x4004000000000000, 2, 1, rdn)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x4004000000000000, 3, 1, rup)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x4004000000000000, 3, 1, rmm)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xc004000000000000, 0, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xc004000000000000, 0, 16, rtz)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xc004000000000000, 0, 16, rdn)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xc004000000000000, 0, 16, rup)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xc004000000000000, 0, 16, rmm)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xbfe0000000000000, 0, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xbfe0000000000000, 0, 1, rtz)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xbfe0000000000000, 0, 16, rdn)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xbfe0000000000000, 0, 1, rup)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xbfe0000000000000, 0, 16, rmm)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x400c000000000000, 4, 1, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x400c000000000000, 4, 1, rmm)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x41e0000000000000, 0x80000000, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xc1e0000000000000, 0, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x41f0000000000000, 0x100000000, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x43e0000000000000, 0x8000000000000000, 0, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xc3e0000000000000, 0, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x43f0000000000000, -1, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x7ff0000000000000, -1, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0xfff0000000000000, 0, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x7ff8000000000000, -1, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x7ff0000000000001, -1, 16, rne)
    FLOAT_TO_INTEGER_D(fcvt.lu.d, 0x8000000000000000, 0, 0, rne)

    CASE("fcvt.d.w")
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.w, 0, 0x0000000000000000, 0)
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.w, 1, 0x3ff0000000000000, 0)
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.w, -1, 0xbff0000000000000, 0)
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.w, 0x7fffffff, 0x41dfffffffc00000, 0)
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.w, 0x80000001, 0xc1dfffffffc00000, 0)
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.w, 0x1234567890abcdef, 0xc1dbd50c84400000, 0)
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.w, -1023, 0xc08ff80000000000, 0)

    CASE("fcvt.d.wu")
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.wu, 0, 0x0000000000000000, 0)
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.wu, 1, 0x3ff0000000000000, 0)
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.wu, -1, 0x41efffffffe00000, 0)
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.wu, 0x7fffffff, 0x41dfffffffc00000, 0)
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.wu, 0x80000001, 0x41e0000000200000, 0)
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.wu, 0x1234567890abcdef, 0x41e21579bde00000, 0)
    INTEGER_TO_FLOAT_EXACT_D(fcvt.d.wu, -1023, 0x41efffff80200000, 0)

    CASE("fcvt.d.l")
    INTEGER_TO_FLOAT_D(fcvt.d.l, 0, 0x0000000000000000, 0, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.l, 1, 0x3ff0000000000000, 0, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.l, -1, 0xbff0000000000000, 0, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.l, 0x7fffffff, 0x41dfffffffc00000, 0, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.l, 0x80000001, 0x41e0000000200000, 0, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.l, 0x1234567890abcdef, 0x43b234567890abce, 1, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.l, 0x1234567890abcdef, 0x43b234567890abcd, 1, rtz)
    INTEGER_TO_FLOAT_D(fcvt.d.l, 0x1234567890abcdef, 0x43b234567890abcd, 1, rdn)
    INTEGER_TO_FLOAT_D(fcvt.d.l, 0x1234567890abcdef, 0x43b234567890abce, 1, rup)
    INTEGER_TO_FLOAT_D(fcvt.d.l, 0x1234567890abcdef, 0x43b234567890abce, 1, rmm)
    INTEGER_TO_FLOAT_D(fcvt.d.l, -1023, 0xc08ff80000000000, 0, rne)

    CASE("fcvt.d.lu")
    INTEGER_TO_FLOAT_D(fcvt.d.lu, 0, 0x0000000000000000, 0, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, 1, 0x3ff0000000000000, 0, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, -1, 0x43f0000000000000, 1, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, -1, 0x43efffffffffffff, 1, rtz)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, -1, 0x43efffffffffffff, 1, rdn)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, -1, 0x43f0000000000000, 1, rup)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, -1, 0x43f0000000000000, 1, rmm)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, 0x7fffffff, 0x41dfffffffc00000, 0, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, 0x80000001, 0x41e0000000200000, 0, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, 0x1234567890abcdef, 0x43b234567890abce, 1, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, 0x1234567890abcdef, 0x43b234567890abcd, 1, rtz)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, 0x1234567890abcdef, 0x43b234567890abcd, 1, rdn)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, 0x1234567890abcdef, 0x43b234567890abce, 1, rup)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, 0x1234567890abcdef, 0x43b234567890abce, 1, rmm)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, -1023, 0x43f0000000000000, 1, rne)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, -1023, 0x43efffffffffffff, 1, rtz)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, -1023, 0x43efffffffffffff, 1, rdn)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, -1023, 0x43f0000000000000, 1, rup)
    INTEGER_TO_FLOAT_D(fcvt.d.lu, -1023, 0x43f0000000000000, 1, rmm)

    // Between the precisions.

    CASE("fcvt.s.d")
    FLOAT_NARROW(fcvt.s.d, 0x3ff8000000000000, 0x3fc00000, 0, rne)
    FLOAT_NARROW(fcvt.s.d, 0x3fb999999999999a, 0x3dcccccd, 1, rne)
    FLOAT_NARROW(fcvt.s.d, 0x3fb999999999999a, 0x3dcccccc, 1, rtz)
    FLOAT_NARROW(fcvt.s.d, 0x3fb999999999999a, 0x3dcccccc, 1, rdn)
    FLOAT_NARROW(fcvt.s.d, 0x3fb999999999999a, 0x3dcccccd, 1, rup)
    FLOAT_NARROW(fcvt.s.d, 0x3fb999999999999a, 0x3dcccccd, 1, rmm)
    FLOAT_NARROW(fcvt.s.d, 0x7e37e43c8800759c, 0x7f800000, 5, rne)
    FLOAT_NARROW(fcvt.s.d, 0x7e37e43c8800759c, 0x7f7fffff, 5, rtz)
    FLOAT_NARROW(fcvt.s.d, 0x7e37e43c8800759c, 0x7f7fffff, 5, rdn)
    FLOAT_NARROW(fcvt.s.d, 0x7e37e43c8800759c, 0x7f800000, 5, rup)
    FLOAT_NARROW(fcvt.s.d, 0x7e37e43c8800759c, 0x7f800000, 5, rmm)
    FLOAT_NARROW(fcvt.s.d, 0xfe37e43c8800759c, 0xff800000, 5, rne)
    FLOAT_NARROW(fcvt.s.d, 0xfe37e43c8800759c, 0xff7fffff, 5, rtz)
    FLOAT_NARROW(fcvt.s.d, 0xfe37e43c8800759c, 0xff800000, 5, rdn)
    FLOAT_NARROW(fcvt.s.d, 0xfe37e43c8800759c, 0xff7fffff, 5, rup)
    FLOAT_NARROW(fcvt.s.d, 0xfe37e43c8800759c, 0xff800000, 5, rmm)
    FLOAT_NARROW(fcvt.s.d, 0x01a56e1fc2f8f359, 0x00000000, 3, rne)
    FLOAT_NARROW(fcvt.s.d, 0x01a56e1fc2f8f359, 0x00000000, 3, rtz)
    FLOAT_NARROW(fcvt.s.d, 0x01a56e1fc2f8f359, 0x00000000, 3, rdn)
    FLOAT_NARROW(fcvt.s.d, 0x01a56e1fc2f8f359, 0x00000001, 3, rup)
    FLOAT_NARROW(fcvt.s.d, 0x01a56e1fc2f8f359, 0x00000000, 3, rmm)
    FLOAT_NARROW(fcvt.s.d, 0x380fffffffffffff, 0x00800000, 1, rne)
    FLOAT_NARROW(fcvt.s.d, 0x380fffffffffffff, 0x007fffff, 3, rtz)
    FLOAT_NARROW(fcvt.s.d, 0x380fffffffffffff, 0x007fffff, 3, rdn)
    FLOAT_NARROW(fcvt.s.d, 0x380fffffffffffff, 0x00800000, 1, rup)
    FLOAT_NARROW(fcvt.s.d, 0x380fffffffffffff, 0x00800000, 1, rmm)
    FLOAT_NARROW(fcvt.s.d, 0x7ff0000000000000, 0x7f800000, 0, rne)
    FLOAT_NARROW(fcvt.s.d, 0x7ff0000000000001, 0x7fc00000, 16, rne)
    FLOAT_NARROW(fcvt.s.d, 0xfff8000000000123, 0x7fc00000, 0, rne)
    FLOAT_NARROW(fcvt.s.d, 0x8000000000000000, 0x80000000, 0, rne)

    CASE("fcvt.d.s")
    FLOAT_WIDEN(fcvt.d.s, 0x3fc00000, 0x3ff8000000000000, 0)
    FLOAT_WIDEN(fcvt.d.s, 0x3dcccccd, 0x3fb99999a0000000, 0)
    FLOAT_WIDEN(fcvt.d.s, 0x00000001, 0x36a0000000000000, 0)
    FLOAT_WIDEN(fcvt.d.s, 0x7f7fffff, 0x47efffffe0000000, 0)
    FLOAT_WIDEN(fcvt.d.s, 0x7f800000, 0x7ff0000000000000, 0)
    FLOAT_WIDEN(fcvt.d.s, 0x7f800001, 0x7ff8000000000000, 16)
    FLOAT_WIDEN(fcvt.d.s, 0xffc00123, 0x7ff8000000000000, 0)
    FLOAT_WIDEN(fcvt.d.s, 0x80000000, 0x8000000000000000, 0)
    DONE

.data
.balign 64
cell:
    .zero   64
