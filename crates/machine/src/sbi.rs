//! The supervisor binary interface: what a guest finds below it instead of firmware. SBI 2.0: base, TIME, IPI, RFENCE, HSM, SRST, DBCN; any other
//! extension probes as absent and answers "not supported".

use crate::computer::{Computer, Power};
use crate::device::Said;
use crate::memory::GuestAddr;

const SUCCESS: i64 = 0;
const FAILED: i64 = -1;
const NOT_SUPPORTED: i64 = -2;
const INVALID_PARAM: i64 = -3;
const ALREADY_AVAILABLE: i64 = -6;

/// SBI 2.0, as `sbi_get_spec_version` says it: major in bits 24 and above.
const SPEC_VERSION: u64 = 2 << 24;
/// An implementation number that nobody has registered.
const IMPLEMENTATION: u64 = 0x6761_706c;

const BASE: u64 = 0x10;
const TIME: u64 = 0x5449_4d45;
const IPI: u64 = 0x0073_5049;
const RFENCE: u64 = 0x5246_4e43;
const HSM: u64 = 0x0048_534d;
const SRST: u64 = 0x5352_5354;
const DBCN: u64 = 0x4442_434e;
const EXTENSIONS: [u64; 7] = [BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN];

/// Bytes of one console write that are taken at once; a guest that wants more asks again.
const CONSOLE_BYTES_MAX: u64 = 4096;

/// Answers the ECALL at which the hart stands.
pub(crate) fn call(computer: &mut Computer) {
    let x = |n: usize| computer.hart.x[n];
    let (extension, function, a) = (x(17), x(16), [x(10), x(11), x(12), x(13), x(14)]);
    let (error, value) = match extension {
        BASE => base(function, a[0]),
        TIME if function == 0 => {
            computer.hart.set_timer(a[0]);
            (SUCCESS, 0)
        }
        IPI if function == 0 => for_us(a[0], a[1], || computer.hart.set_software_interrupt()),
        RFENCE => rfence(computer, function, a),
        HSM => hsm(function, a[0]),
        SRST if function == 0 => reset(computer, a[0], a[1]),
        DBCN => console(computer, function, a),
        _ => (NOT_SUPPORTED, 0),
    };
    computer.hart.sbi_return(error, value);
}

fn base(function: u64, argument: u64) -> (i64, u64) {
    match function {
        0 => (SUCCESS, SPEC_VERSION),
        1 => (SUCCESS, IMPLEMENTATION),
        2 => (SUCCESS, 1),
        3 => (SUCCESS, u64::from(EXTENSIONS.contains(&argument))),
        // mvendorid, marchid, mimpid
        4..=6 => (SUCCESS, 0),
        _ => (NOT_SUPPORTED, 0),
    }
}

/// Does what is asked of the harts `base + bit` for every bit of `mask`, of which there is one: number 0.
fn for_us(mask: u64, base: u64, act: impl FnOnce()) -> (i64, u64) {
    let named = match base {
        u64::MAX => true,
        0 if mask & !1 == 0 => mask & 1 != 0,
        _ if mask == 0 => false,
        _ => return (INVALID_PARAM, 0),
    };
    if named {
        act();
    }
    (SUCCESS, 0)
}

fn rfence(computer: &mut Computer, function: u64, [mask, base, start, size, asid]: [u64; 5]) -> (i64, u64) {
    let hart = &mut computer.hart;
    match function {
        // The decoded code is never stale, but the latch is state: the same as FENCE.I does.
        0 => for_us(mask, base, || hart.fence_i()),
        1 => for_us(mask, base, || hart.sfence_range(start, size, None)),
        2 => for_us(mask, base, || hart.sfence_range(start, size, Some(asid))),
        _ => (NOT_SUPPORTED, 0),
    }
}

fn hsm(function: u64, hart: u64) -> (i64, u64) {
    match function {
        0 if hart == 0 => (ALREADY_AVAILABLE, 0),
        // The only hart does not stop.
        1 => (FAILED, 0),
        // Started.
        2 if hart == 0 => (SUCCESS, 0),
        0 | 2 => (INVALID_PARAM, 0),
        _ => (NOT_SUPPORTED, 0),
    }
}

fn reset(computer: &mut Computer, kind: u64, reason: u64) -> (i64, u64) {
    computer.power = match kind as u32 {
        0 => Power::Off { failed: reason as u32 == 1 },
        1 | 2 => Power::Reboot,
        _ => return (INVALID_PARAM, 0),
    };
    (SUCCESS, 0)
}

fn console(computer: &mut Computer, function: u64, a: [u64; 5]) -> (i64, u64) {
    match function {
        0 => {
            let mut bytes = vec![0; a[0].min(CONSOLE_BYTES_MAX) as usize];
            if a[2] != 0 || computer.board.memory_ref().read(GuestAddr(a[1]), &mut bytes).is_err() {
                return (INVALID_PARAM, 0);
            }
            let count = bytes.len() as u64;
            computer.board.say(bytes.into_iter().map(Said::Console));
            (SUCCESS, count)
        }
        // Input goes to the UART.
        1 => (SUCCESS, 0),
        2 => {
            computer.board.say([Said::Console(a[0] as u8)]);
            (SUCCESS, 0)
        }
        _ => (NOT_SUPPORTED, 0),
    }
}
