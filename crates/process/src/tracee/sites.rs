//! Finds the instructions to be patched in code that has just been mapped.
//!
//! The rule it keeps: better to miss an instruction than to change a byte that is not one. Bytes
//! that look like one are patched only if
//! - disassembly from every one of several earlier offsets arrives at it as an instruction of its
//!   own (x86 code read from a wrong offset falls into step within a few instructions), and
//! - the code around it is such as compilers make. Data read as code also falls into step, but
//!   it is full of instructions that do not exist or that only a kernel may use.
//!
//! An instruction missed keeps its native effect; a difference that follows from it is found by
//! the digests.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};

use super::insn::Trapped;

/// Farthest distance from which disassembly starts.
const BACK_MAX: usize = 112;
/// How many starts are tried.
const STARTS: usize = 16;
/// How much code before and behind must look like code.
const CONTEXT: u64 = 40;

/// An instruction to be patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// Offset of its first byte.
    pub offset: usize,
    /// What it is.
    pub trapped: Trapped,
}

/// What is written over the first two bytes of a site: `ud2`. The rest stays, so that the length
/// is still there to be read.
pub const PATCH: [u8; 2] = [0x0f, 0x0b];

/// All sites in a piece of code, in order of offset.
pub fn find_sites(code: &[u8]) -> Vec<Site> {
    candidates(code).filter_map(|opcode| verify(code, opcode)).collect()
}

/// The instructions in a piece of code that read the time stamp counter, if that is certain: `None` if some bytes may be one or not. `rdtsc` and
/// `rdtscp` can be made to trap, unlike the others, so nothing need ever be missed.
pub fn find_counter_reads(code: &[u8]) -> Option<Vec<Site>> {
    let mut found = Vec::new();
    for at in opcodes(code, [0x31, 0x01]).filter(|&at| matches!(code[at..], [0x0f, 0x31, ..] | [0x0f, 0x01, 0xf9, ..]))
    {
        let len = if code[at + 1] == 0x31 { 2 } else { 3 };
        match verify_any(code, at, is_counter_read) {
            Some(Verdict::Site(site)) => found.push(site),
            Some(Verdict::Innocent) => {}
            // Data: whoever executed it would at once come to something that cannot be executed.
            None if faults_soon(code, at + len) => {}
            None => return None,
        }
    }
    Some(found)
}

/// Is there an instruction of its own at this offset, of just this length, and no part of a longer one?
pub fn is_instruction(code: &[u8], at: usize, len: usize) -> bool {
    starts(at).all(|start| {
        walk_to(code, start, at, |_| true).is_some_and(|(walk, end, _)| (walk.site, end) == (at, at + len))
    })
}

/// Where disassembly starts to find out about the byte at `opcode`. Near the beginning of a piece there is less before: all of it is tried, as what begins
/// there may be data.
fn starts(opcode: usize) -> impl Iterator<Item = usize> {
    let first = opcode.saturating_sub(BACK_MAX);
    first..=opcode.min(first + STARTS - 1)
}

/// What bytes that look like an instruction are.
enum Verdict {
    /// That instruction.
    Site(Site),
    /// A part of another one.
    Innocent,
}

/// As [`verify`], but says when it is certain that there is no such instruction. `None`: it is not certain.
fn verify_any(code: &[u8], opcode: usize, wanted: fn(&Instruction) -> bool) -> Option<Verdict> {
    let mut agreed: Option<(usize, usize)> = None;
    let mut is_site = false;
    for start in starts(opcode) {
        let (walk, end, hit) = walk_to(code, start, opcode, wanted)?;
        let plain = walk.site as u64 - walk.plain_since.min(walk.site as u64) >= CONTEXT;
        if !plain || agreed.is_some_and(|agreed| agreed != (walk.site, end)) {
            return None;
        }
        (agreed, is_site) = (Some((walk.site, end)), hit);
    }
    let (offset, end) = agreed?;
    if !plain_after(code, end) {
        return None;
    }
    if !is_site {
        return Some(Verdict::Innocent);
    }
    let trapped = Trapped::decode(&code[offset..]).filter(|trapped| usize::from(trapped.len) == end - offset)?;
    Some(Verdict::Site(Site { offset, trapped }))
}

const CHUNK: usize = 64;

/// Offsets of `0F A2` and of `0F C7` with a register operand of group 6 or 7.
fn candidates(code: &[u8]) -> impl Iterator<Item = usize> {
    opcodes(code, [0xa2, 0xc7]).filter(|&at| is_candidate(&code[at..]))
}

/// Offsets of `0F` with one of these bytes behind it.
fn opcodes(code: &[u8], seconds: [u8; 2]) -> impl Iterator<Item = usize> {
    (0..code.len()).step_by(CHUNK).flat_map(move |from| {
        // One byte of overlap, since the pattern has two.
        let chunk = &code[from..code.len().min(from + CHUNK + 1)];
        let range = if may_contain(chunk, seconds) { from..from + chunk.len().saturating_sub(1) } else { 0..0 };
        range.filter(move |&at| code[at] == 0x0f && seconds.contains(&code[at + 1]))
    })
}

/// Written so that the compiler makes vector code of it.
fn may_contain(chunk: &[u8], [one, other]: [u8; 2]) -> bool {
    let hits = chunk.iter().zip(chunk.get(1..).unwrap_or(&[])).fold(0u8, |hits, (first, second)| {
        hits | (u8::from(*first == 0x0f) & (u8::from(*second == one) | u8::from(*second == other)))
    });
    hits != 0
}

fn is_candidate(bytes: &[u8]) -> bool {
    match bytes {
        [0x0f, 0xa2, ..] => true,
        [0x0f, 0xc7, modrm, ..] => *modrm >= 0xf0,
        _ => false,
    }
}

/// Whether the opcode at this offset belongs to an instruction; with its prefixes.
fn verify(code: &[u8], opcode: usize) -> Option<Site> {
    let starts = (0..STARTS).map(|n| opcode.saturating_sub(BACK_MAX - n));
    let mut found: Option<Walk> = None;
    for start in starts {
        let walk = walk(code, start, opcode)?;
        if found.is_some_and(|found| found.site != walk.site) {
            return None;
        }
        found = Some(walk);
    }
    let Walk { site, plain_since } = found?;
    let trapped = Trapped::decode(&code[site..]).filter(Trapped::is_patched)?;
    let end = site + usize::from(trapped.len);
    let plain_before = plain_since == 0 || site as u64 - plain_since >= CONTEXT;
    (plain_before && plain_after(code, end)).then_some(Site { offset: site, trapped })
}

#[derive(Debug, Clone, Copy)]
struct Walk {
    /// Start of the wanted instruction.
    site: usize,
    /// Offset since which everything looked like code.
    plain_since: u64,
}

/// Disassembles from `start`; the instruction that contains `opcode`, if it is of a wanted kind.
fn walk(code: &[u8], start: usize, opcode: usize) -> Option<Walk> {
    walk_to(code, start, opcode, is_wanted).and_then(|(walk, _, hit)| hit.then_some(walk))
}

/// Disassembles from `start`: the instruction that contains `opcode`, its end, and whether it is wanted. `None` if there is none.
fn walk_to(code: &[u8], start: usize, opcode: usize, wanted: fn(&Instruction) -> bool) -> Option<(Walk, usize, bool)> {
    let end = code.len().min(opcode + 16);
    let mut decoder = Decoder::with_ip(64, &code[start..end], start as u64, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let mut plain_since = start as u64;
    while decoder.can_decode() {
        let at = start + decoder.position();
        if at > opcode {
            return None;
        }
        decoder.decode_out(&mut instruction);
        let next = start + decoder.position();
        if next > opcode {
            let walk = Walk { site: at, plain_since };
            return (!instruction.is_invalid()).then(|| (walk, next, wanted(&instruction)));
        }
        if instruction.is_invalid() {
            let _ = decoder.set_position(at + 1 - start);
            plain_since = at as u64 + 1;
        } else if !is_plain(&instruction) {
            plain_since = next as u64;
        }
    }
    None
}

/// Whether what follows looks like code, as far as it is certain to be executed.
fn plain_after(code: &[u8], from: usize) -> bool {
    let end = code.len().min(from + CONTEXT as usize + 16);
    let mut decoder = Decoder::with_ip(64, &code[from..end], from as u64, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() && decoder.position() < CONTEXT as usize {
        let at = decoder.position();
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            // Cut off at the end of the mapping, or not code.
            return at + 15 > end - from;
        }
        if !is_plain(&instruction) {
            return false;
        }
        if matches!(instruction.mnemonic(), Mnemonic::Ret | Mnemonic::Jmp) {
            break;
        }
    }
    true
}

/// Whether whoever executes what follows comes to an instruction that a program cannot execute, without a jump on the way.
fn faults_soon(code: &[u8], from: usize) -> bool {
    let end = code.len().min(from + CONTEXT as usize + 16);
    let decoder = Decoder::with_ip(64, &code[from..end], from as u64, DecoderOptions::NONE);
    for instruction in decoder {
        if instruction.is_invalid() {
            // Cut off at the end of the mapping, or not code.
            return instruction.ip() as usize + 15 <= end;
        }
        if is_privileged(&instruction) {
            return true;
        }
        if goes_elsewhere(&instruction) {
            return false;
        }
    }
    false
}

/// May go on elsewhere than at the next instruction.
fn goes_elsewhere(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    let branch = matches!(
        instruction.op0_kind(),
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 | OpKind::FarBranch16 | OpKind::FarBranch32
    );
    branch
        || matches!(
            instruction.mnemonic(),
            Call | Jmp | Ret | Retf | Iret | Iretd | Iretq | Syscall | Sysenter | Int | Int3 | Ud0 | Ud1 | Ud2
        )
}

/// Faults in every program, or traps where nobody wants that (`int1`: no compiler makes it, and tables are full of it).
fn is_privileged(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    let gate = instruction.mnemonic() == Int && !matches!(instruction.immediate8(), 3 | 4 | 0x80);
    gate || matches!(
        instruction.mnemonic(),
        In | Out
            | Insb
            | Insd
            | Insw
            | Outsb
            | Outsd
            | Outsw
            | Hlt
            | Cli
            | Sti
            | Clts
            | Invd
            | Wbinvd
            | Rdmsr
            | Wrmsr
            | Int1
            | Lgdt
            | Lidt
            | Lldt
            | Ltr
            | Sysexit
            | Sysexitq
            | Sysret
            | Sysretq
            | Rsm
    )
}

fn is_wanted(instruction: &Instruction) -> bool {
    matches!(
        instruction.code(),
        Code::Cpuid
            | Code::Rdrand_r16
            | Code::Rdrand_r32
            | Code::Rdrand_r64
            | Code::Rdseed_r16
            | Code::Rdseed_r32
            | Code::Rdseed_r64
            | Code::Rdpid_r64
    )
}

fn is_counter_read(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Code::Rdtsc | Code::Rdtscp)
}

/// Whether compilers make such an instruction for user programs.
fn is_plain(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    // Padding: compilers write long ones with prefixes that mean nothing.
    if instruction.mnemonic() == Nop {
        return true;
    }
    !is_privileged(instruction)
        && !matches!(
            instruction.mnemonic(),
            Iret | Iretd
                | Iretq
                | Retf
                | Int
                | Into
                | Enter
                | Lahf
                | Sahf
                | Cmc
                | Xlatb
                | Loop
                | Loope
                | Loopne
                | Jrcxz
                | Jecxz
                | Fcomp
                | Ficom
                | Ficomp
                | Fnsave
                | Frstor
                | Fbld
                | Fbstp
                | Fldenv
                | Fnstenv
                | Fisub
                | Fisubr
                | Fidiv
                | Fidivr
                | Fimul
                | Fiadd
                | Lss
                | Lfs
                | Lgs
                | Lar
                | Lsl
                | Arpl
                | Verr
                | Verw
                | Sgdt
                | Sidt
                | Sldt
                | Str
                | Smsw
                | Lmsw
                | Rdpmc
                | Sysenter
                | Popf
                | Popfd
                | Scasb
                | Scasw
                | Lodsw
                | Cmpsw
                | Popfq
        )
        && !matches!(
            instruction.code(),
            Code::Mov_rm16_Sreg
                | Code::Mov_r32m16_Sreg
                | Code::Mov_r64m16_Sreg
                | Code::Mov_Sreg_rm16
                | Code::Mov_Sreg_r32m16
                | Code::Mov_Sreg_r64m16
        )
        && instruction.segment_prefix() != iced_x86::Register::CS
        && instruction.segment_prefix() != iced_x86::Register::SS
        && instruction.segment_prefix() != iced_x86::Register::ES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracee::insn::{Kind, Width};
    use proptest::prelude::*;

    /// Real instructions of many lengths; several contain the wanted patterns as operands.
    const PLAIN: &[&[u8]] = &[
        &[0x55],
        &[0x48, 0x89, 0xe5],
        &[0x48, 0x83, 0xec, 0x20],
        &[0xb8, 0x0f, 0xa2, 0x00, 0x00],
        &[0xbf, 0x0f, 0xc7, 0xf0, 0x0f],
        &[0x48, 0xb8, 0x0f, 0xc7, 0xf1, 0x90, 0x0f, 0xa2, 0x90, 0x90],
        &[0x48, 0x8d, 0x05, 0x0f, 0xa2, 0x0f, 0x00],
        &[0xe8, 0x0f, 0xa2, 0xff, 0xff],
        &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        &[0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        &[0xc5, 0xfd, 0x6f, 0x06],
        &[0x0f, 0x84, 0xa2, 0x0f, 0x00, 0x00],
        &[0x81, 0xf9, 0x0f, 0xc7, 0xf8, 0x00],
        &[0x0f, 0xb6, 0x07],
        &[0x74, 0x0f],
        &[0xa8, 0x0f],
        &[0x41, 0x57],
        &[0xc7, 0x45, 0xf0, 0x01, 0x00, 0x00, 0x00],
        &[0x8b, 0x45, 0xa2],
        &[0x31, 0xc0],
        &[0xf2, 0x0f, 0x10, 0x45, 0xf8],
        &[0x48, 0x0f, 0xc7, 0x0f],
    ];
    const WANTED: &[(&[u8], Kind)] = &[
        (&[0x0f, 0xa2], Kind::Cpuid),
        (&[0x0f, 0xc7, 0xf0], Kind::Rdrand { reg: 0, width: Width::Double }),
        (&[0x48, 0x0f, 0xc7, 0xf2], Kind::Rdrand { reg: 2, width: Width::Quad }),
        (&[0x66, 0x41, 0x0f, 0xc7, 0xf7], Kind::Rdrand { reg: 15, width: Width::Word }),
        (&[0x48, 0x0f, 0xc7, 0xf8], Kind::Rdseed { reg: 0, width: Width::Quad }),
        (&[0xf3, 0x0f, 0xc7, 0xf9], Kind::Rdpid { reg: 1 }),
    ];

    fn assemble(items: &[usize]) -> (Vec<u8>, Vec<(usize, Kind)>) {
        let (mut code, mut wanted) = (Vec::new(), Vec::new());
        for &item in items {
            if let Some(bytes) = PLAIN.get(item) {
                code.extend_from_slice(bytes);
            } else {
                let (bytes, kind) = WANTED[item - PLAIN.len()];
                wanted.push((code.len(), kind));
                code.extend_from_slice(bytes);
            }
        }
        (code, wanted)
    }

    fn found(code: &[u8]) -> Vec<(usize, Kind)> {
        find_sites(code).iter().map(|site| (site.offset, site.trapped.kind)).collect()
    }

    /// Plain code, with a wanted instruction now and then.
    fn items() -> impl Strategy<Value = Vec<usize>> {
        let item = prop_oneof![9 => 0..PLAIN.len(), 1 => PLAIN.len()..PLAIN.len() + WANTED.len()];
        prop::collection::vec(item, 1..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn nothing_is_found_where_no_instruction_is(items in items()) {
            let (code, wanted) = assemble(&items);
            for site in found(&code) {
                prop_assert!(wanted.contains(&site), "{site:x?} in {code:02x?}");
            }
        }

        #[test]
        fn any_bytes_are_scanned(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            for site in find_sites(&bytes) {
                prop_assert!(site.offset + usize::from(site.trapped.len) <= bytes.len());
            }
        }
    }

    #[test]
    fn in_code_without_decoys_nearly_all_are_found() {
        use proptest::strategy::ValueTree;
        let is_decoy = |item: &usize| {
            PLAIN.get(*item).is_some_and(|b| b.windows(2).any(|w| matches!(w, [0x0f, 0xa2 | 0xc7] | [0xa2, 0x0f])))
        };
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let (mut all, mut hits) = (0, 0);
        for _ in 0..300 {
            let mut items = items().new_tree(&mut runner).unwrap().current();
            items.retain(|item| !is_decoy(item));
            let (code, wanted) = assemble(&items);
            all += wanted.len();
            hits += found(&code).len();
        }
        println!("found {hits} of {all}");
        assert!(all > 2000 && hits * 100 >= all * 95, "{hits} of {all}");
    }

    #[test]
    fn the_dynamic_linker_asks_for_the_processor_in_many_places() {
        let code = std::fs::read("/lib64/ld-linux-x86-64.so.2").unwrap();
        let cpuids = find_sites(&code).iter().filter(|site| site.trapped.kind == Kind::Cpuid).count();
        assert!(cpuids >= 10, "{cpuids}");
    }

    #[test]
    fn counter_reads_are_found_or_doubted() {
        let plain = [0x48, 0x83, 0xec, 0x20, 0x55, 0x48, 0x89, 0xe5].repeat(20);
        let around = |middle: &[u8]| [&plain[..], middle, &plain[..]].concat();
        let offsets = |code: &[u8]| Some(find_counter_reads(code)?.iter().map(|site| site.offset).collect::<Vec<_>>());
        assert_eq!(offsets(&around(&[])), Some(vec![]));
        assert_eq!(offsets(&around(&[0x0f, 0x31])), Some(vec![160]));
        assert_eq!(offsets(&around(&[0x0f, 0x01, 0xf9])), Some(vec![160]));
        // An operand that looks like one.
        assert_eq!(offsets(&around(&[0xb8, 0x0f, 0x31, 0x00, 0x00])), Some(vec![]));
        // Data: what follows cannot be executed.
        assert_eq!(offsets(&around(&[0x0f, 0x31, 0x06, 0x06, 0x06])), Some(vec![]));
        // An instruction or the end of data, and code behind it: nobody can tell.
        assert_eq!(offsets(&around(&[0x06, 0x06, 0x0f, 0x31])), None);
    }

    #[test]
    fn a_counter_read_is_not_taken_for_data_because_of_what_follows() {
        let plain = [0x48, 0x83, 0xec, 0x20, 0x55, 0x48, 0x89, 0xe5].repeat(20);
        let before_it = [&plain[..], &[0x06, 0x0f, 0x31]].concat();
        let reads =
            |tail: &[u8]| find_counter_reads(&[&before_it[..], tail, &plain[..]].concat()).map(|sites| sites.len());
        // rdtsc; mov %eax,%ecx; 1: loop 1b. Compilers do not write that, people do.
        assert_eq!(reads(&[0x89, 0xc1, 0xe2, 0xfe]), None);
        // rdtsc; repne scasb.
        assert_eq!(reads(&[0xf2, 0xae]), None);
        // rdtsc; jz over the hlt.
        assert_eq!(reads(&[0x74, 0x01, 0xf4]), None);
        // rdtsc; hlt.
        assert_eq!(reads(&[0xf4]), Some(0));
    }

    #[test]
    fn what_begins_with_data_is_doubted() {
        let plain = [0x48, 0x83, 0xec, 0x20, 0x55, 0x48, 0x89, 0xe5].repeat(20);
        // A length of 184, then rdtsc: read from the beginning that is mov $0x310f0000,%eax.
        let code = [&[0xb8, 0, 0, 0x0f, 0x31][..], &plain].concat();
        assert_eq!(find_counter_reads(&code).map(|sites| sites.len()), None);
    }

    #[test]
    fn libraries_of_the_system_leave_no_doubt() {
        for (file, least) in [("/lib/x86_64-linux-gnu/libc.so.6", 1), ("/lib64/ld-linux-x86-64.so.2", 10)] {
            let bytes = std::fs::read(file).expect("a library");
            // The segment that is executable: type 1, flags R and X.
            let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")) as usize;
            let headers = (0..usize::from(bytes[56])).map(|n| word(32) + n * 56);
            let text = headers.map(|at| (word(at), word(at + 8), word(at + 32))).find(|t| t.0 == 5 << 32 | 1);
            let (_, offset, len) = text.expect("a text segment");
            let found = find_counter_reads(&bytes[offset..offset + len]);
            assert!(found.as_ref().is_some_and(|sites| sites.len() >= least), "{file}: {found:?}");
        }
    }

    #[test]
    fn data_is_left_alone() {
        // A multiplicative generator with the patterns sown in.
        let mut state = 1u64;
        let mut bytes = vec![0u8; 1 << 20];
        for byte in &mut bytes {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *byte = (state >> 33) as u8;
        }
        let mut sown = 0;
        for at in (200..bytes.len() - 200).step_by(199) {
            bytes[at..at + 2].copy_from_slice(&[0x0f, 0xa2]);
            sown += 1;
        }
        let wrong = find_sites(&bytes).len();
        println!("{wrong} of {sown} patterns in random bytes taken for code");
        assert!(wrong * 200 < sown, "{wrong} of {sown}");
    }

    #[test]
    fn scanning_is_fast() {
        let code = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let begin = std::time::Instant::now();
        let count = find_sites(&code).len();
        let took = begin.elapsed();
        println!("{} bytes, {count} sites: {took:?}", code.len());
        assert!(took < std::time::Duration::from_micros(100) * (code.len() as u32 >> 10), "{took:?}");
    }
}
