//! What a program is told of the processor: the host's answers, without what differs between two
//! hosts or cannot be trapped.

use std::arch::x86_64::__cpuid_count;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Bits taken from one register of one leaf.
struct Mask {
    leaf: u32,
    /// None: every subleaf.
    subleaf: Option<u32>,
    /// Bits to clear in eax, ebx, ecx, edx.
    clear: [u32; 4],
}

const fn bits(positions: &[u32]) -> u32 {
    let mut mask = 0;
    let mut index = 0;
    while index < positions.len() {
        mask |= 1 << positions[index];
        index += 1;
    }
    mask
}

const fn range(from: u32, to: u32) -> u32 {
    (((1u64 << (to + 1)) - 1) & !((1 << from) - 1)) as u32
}

/// Each row says why.
const MASKS: &[Mask] = &[
    // APIC id and processor count (ebx); DTES64, MONITOR, debug store, VMX to performance
    // capabilities, TSC deadline, rdrand, hypervisor (ecx); debug store, HTT (edx).
    Mask {
        leaf: 1,
        subleaf: None,
        clear: [0, range(16, 31), bits(&[2, 3, 4, 5, 6, 7, 8, 10, 11, 15, 24, 30, 31]), bits(&[21, 22, 28, 29, 31])],
    },
    // How many threads and cores share a cache.
    Mask { leaf: 4, subleaf: None, clear: [range(14, 31), 0, 0, 0] },
    // HLE, RTM, rdseed, processor trace (ebx); PKU, OSPKE, WAITPKG, rdpid (ecx); TSX force abort,
    // TSX suspend (edx).
    Mask { leaf: 7, subleaf: Some(0), clear: [0, bits(&[4, 11, 18, 25]), bits(&[3, 4, 5, 22]), bits(&[11, 13, 16])] },
    // How large an XSAVE area is now: without it the C library's lazy binding saves registers with FXSAVE. XSAVE and XSAVEC write
    // what the processor thinks is in use, and that depends on when the thread was last switched out (so does XGETBV of 1).
    Mask { leaf: 0xd, subleaf: Some(0), clear: [0, u32::MAX, 0, 0] },
    Mask { leaf: 0xd, subleaf: Some(1), clear: [range(0, 3), u32::MAX, 0, 0] },
    // MONITORX, and everything that is not for user code: SVM, IBS, SKINIT, watchdog, counters.
    Mask { leaf: 0x8000_0001, subleaf: None, clear: [0, 0, bits(&[2, 10, 12, 13, 22, 23, 24, 26, 28, 29]), 0] },
    // RDPRU (ebx), number of cores and bits of the APIC id (ecx).
    Mask { leaf: 0x8000_0008, subleaf: None, clear: [0, bits(&[4]), u32::MAX, u32::MAX] },
    Mask { leaf: 0x8000_001d, subleaf: None, clear: [range(14, 31), 0, 0, 0] },
];

/// Leaves that say nothing at all: first, last.
const SILENT: &[(u32, u32)] = &[
    (5, 6),                     // MONITOR; thermal and power
    (0xa, 0xc),                 // performance monitoring; topology
    (0xf, 0x10),                // resource monitoring
    (0x12, 0x12),               // SGX
    (0x14, 0x16),               // processor trace; clock frequencies
    (0x17, 0x1c),               // SoC vendor to last branch records
    (0x1f, 0x1f),               // topology
    (0x4000_0000, 0x4fff_ffff), // hypervisor
    (0x8000_000a, 0x8000_000a), // SVM
    (0x8000_001b, 0x8000_001c), // instruction sampling
    (0x8000_001e, 0x8000_0020), // topology, memory encryption, bandwidth
    (0x8000_0022, 0x8000_0023), // performance monitoring
    (0x8000_0026, 0x8000_0026), // topology
];

/// The answer to `cpuid` with eax = `leaf`, ecx = `subleaf`: eax, ebx, ecx, edx.
pub fn answer(leaf: u32, subleaf: u32) -> [u32; 4] {
    if SILENT.iter().any(|&(first, last)| (first..=last).contains(&leaf)) {
        // The topology leaves repeat the level that was asked for.
        return [0, 0, if matches!(leaf, 0xb | 0x1f) { subleaf & 0xff } else { 0 }, 0];
    }
    let mut answer = host(leaf, subleaf);
    for mask in MASKS.iter().filter(|mask| mask.leaf == leaf && mask.subleaf.is_none_or(|s| s == subleaf)) {
        for (register, clear) in answer.iter_mut().zip(mask.clear) {
            *register &= !clear;
        }
    }
    if leaf == 1 {
        answer[1] |= 1 << 16;
    }
    answer
}

/// What the processor itself says. In a virtual machine every question leaves it, and a program asks some fifty of them at its start.
pub(super) fn host(leaf: u32, subleaf: u32) -> [u32; 4] {
    const ASKED_MAX: usize = 256;
    static ASKED: Mutex<BTreeMap<(u32, u32), [u32; 4]>> = Mutex::new(BTreeMap::new());
    let mut asked = ASKED.lock().expect("nobody panics while holding it");
    if let Some(answer) = asked.get(&(leaf, subleaf)) {
        return *answer;
    }
    let host = __cpuid_count(leaf, subleaf);
    let answer = [host.eax, host.ebx, host.ecx, host.edx];
    if asked.len() < ASKED_MAX {
        asked.insert((leaf, subleaf), answer);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn what_cannot_be_trapped_or_differs_is_not_offered() {
        assert_eq!(answer(1, 0)[2] & (1 << 30 | 1 << 31 | 1 << 3), 0, "rdrand, hypervisor, monitor");
        assert_eq!(answer(1, 0)[1] >> 16, 1, "one processor, APIC id 0");
        assert_eq!(answer(7, 0)[1] & (1 << 18 | 1 << 11 | 1 << 4), 0, "rdseed, RTM, HLE");
        assert_eq!(answer(7, 0)[2] & (1 << 22 | 1 << 5), 0, "rdpid, WAITPKG");
        assert_eq!(answer(0xb, 1), [0, 0, 1, 0]);
        assert_eq!(answer(0x4000_0000, 0), [0; 4]);
        assert_ne!(answer(1, 0)[3] & 1 << 26, 0, "SSE2 stays");
        assert_eq!(answer(0, 0), answer(0, 9));
        assert_eq!(answer(0xd, 0)[1], 0, "no XSAVE on lazy binding");
        assert_eq!(answer(0xd, 1)[0] & 0b1111, 0, "XSAVEOPT, XSAVEC, XGETBV of 1, XSAVES");
    }
}
