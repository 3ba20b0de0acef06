//! gdb's remote protocol in front of a [`Debugger`]: names of registers, packets, `monitor` commands.
//!
//! The rule it keeps: the past cannot be changed. Writes to registers and memory are refused, and the next time the guest stops, gdb's console says why.
//! The end and the beginning of the log are places where the guest stands still, not the end of the session.

use super::wire::Wire;
use super::{Debugger, Interrupt, Why, describe};
use crate::hart::{Hit, Touch, Watch};
use gapless_log::{Error, Position, Result};
use gdbstub::common::Signal;
use gdbstub::conn::{Connection, ConnectionExt};
use gdbstub::stub::run_blocking::{BlockingEventLoop, Event, WaitForStopReasonError};
use gdbstub::stub::{GdbStub, SingleThreadStopReason};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::reverse_exec::{
    ReplayLogPosition, ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps,
};
use gdbstub::target::ext::base::single_register_access::{SingleRegisterAccess, SingleRegisterAccessOps};
use gdbstub::target::ext::base::singlethread::{
    SingleThreadBase, SingleThreadResume, SingleThreadResumeOps, SingleThreadSingleStep, SingleThreadSingleStepOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps, output, outputln};
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::{Target, TargetError, TargetResult};
use gdbstub_arch::riscv::Riscv64;
use gdbstub_arch::riscv::reg::RiscvCoreRegs;
use gdbstub_arch::riscv::reg::id::RiscvRegId;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What gdb sends when a person types Ctrl-C.
const CTRL_C: u8 = 3;
/// Errno of a refused write: EROFS.
const READ_ONLY: u8 = 30;
/// Errno of memory that is not there: EFAULT.
const NOT_THERE: u8 = 14;

/// While it waits for a command, gdb hears from us this often: after two seconds of silence it complains.
const DOT_EVERY: Duration = Duration::from_millis(500);

/// Lets the gdb at the other end drive the debugger, until it leaves.
pub fn serve(debugger: &mut Debugger, gdb: TcpStream) -> Result<()> {
    let mut session = Session {
        description: description(),
        debugger,
        software: BTreeSet::new(),
        hardware: BTreeSet::new(),
        watches: Vec::new(),
        motion: Motion::Go,
        notes: Vec::new(),
        interrupted: false,
    };
    match GdbStub::new(Wire::new(gdb)).run_blocking::<EventLoop>(&mut session) {
        Ok(_) => Ok(()),
        Err(e) if e.is_target_error() => Err(e.into_target_error().expect("it is one")),
        Err(e) if e.is_connection_error() => match e.into_connection_error().expect("it is one").0 {
            gone if matches!(
                gone.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            ) =>
            {
                Ok(())
            }
            e => Err(Error::io("talking to", "gdb", e)),
        },
        Err(e) => Err(Error::Refused(format!("gdb sent something that is not understood: {e}"))),
    }
}

/// What gdb has asked for last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Motion {
    Go,
    Step,
    GoBack,
    StepBack,
}

struct Session<'a> {
    debugger: &'a mut Debugger,
    description: String,
    software: BTreeSet<u64>,
    hardware: BTreeSet<u64>,
    watches: Vec<Watch>,
    motion: Motion,
    /// For gdb's console, when the guest stops next.
    notes: Vec<String>,
    /// Ctrl-C has stopped the guest. One that comes while the guest stands still anyway is nothing.
    interrupted: bool,
}

impl Session<'_> {
    fn move_on(&mut self, interrupt: Interrupt<'_>) -> Result<Why> {
        let breaks = self.software.union(&self.hardware).copied().collect();
        self.debugger.set_points(breaks, self.watches.clone());
        match self.motion {
            Motion::Go => self.debugger.go(interrupt),
            Motion::Step => self.debugger.step(),
            Motion::GoBack => self.debugger.go_back(interrupt),
            Motion::StepBack => self.debugger.step_back(interrupt),
        }
    }

    /// As gdb hears of it; none if it is in the middle of saying something.
    fn reason(&mut self, why: Why) -> Option<SingleThreadStopReason<u64>> {
        let at = self.debugger.position();
        let pc = self.debugger.hart().pc();
        Some(match why {
            Why::There => SingleThreadStopReason::DoneStep,
            Why::Hit(Hit::Break) if self.software.contains(&pc) => SingleThreadStopReason::SwBreak(()),
            Why::Hit(Hit::Break) => SingleThreadStopReason::HwBreak(()),
            Why::Hit(Hit::Watch { at, touch }) => {
                SingleThreadStopReason::Watch { tid: (), kind: kind(touch), addr: at }
            }
            Why::Beginning => {
                self.notes.push(format!("the log begins here, at position {at}; `continue` goes forwards"));
                SingleThreadStopReason::ReplayLog { tid: None, pos: ReplayLogPosition::Begin }
            }
            Why::End => {
                self.notes.push(format!("the log ends here, at position {at}; `reverse-continue` goes back"));
                SingleThreadStopReason::ReplayLog { tid: None, pos: ReplayLogPosition::End }
            }
            Why::Interrupted => return None,
        })
    }

    fn refuse<T>(&mut self, what: &str) -> TargetResult<T, Self> {
        let note = format!("{what} was not written: this is a replay, and the past cannot be changed");
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
        Err(TargetError::Errno(READ_ONLY))
    }
}

fn kind(touch: Touch) -> WatchKind {
    match touch {
        Touch::Read => WatchKind::Read,
        Touch::Write => WatchKind::Write,
        Touch::Either => WatchKind::ReadWrite,
    }
}

fn touch(kind: WatchKind) -> Touch {
    match kind {
        WatchKind::Read => Touch::Read,
        WatchKind::Write => Touch::Write,
        WatchKind::ReadWrite => Touch::Either,
    }
}

// ---- while the guest runs ----

struct EventLoop<'a>(std::marker::PhantomData<&'a ()>);

impl<'a> BlockingEventLoop for EventLoop<'a> {
    type Target = Session<'a>;
    type Connection = Wire;
    type StopReason = SingleThreadStopReason<u64>;

    fn wait_for_stop_reason(
        session: &mut Session<'a>,
        gdb: &mut Wire,
    ) -> std::result::Result<Event<Self::StopReason>, WaitForStopReasonError<Error, std::io::Error>> {
        let mut broken = None;
        let mut interrupt = || {
            let heard = heard_ctrl_c(gdb);
            let stop = !matches!(heard, Ok(false));
            broken = heard.err();
            stop
        };
        let why = session.move_on(&mut interrupt).map_err(WaitForStopReasonError::Target)?;
        if let Some(e) = broken {
            return Err(WaitForStopReasonError::Connection(e));
        }
        let reason = session.reason(why);
        session.interrupted = reason.is_none();
        for note in session.notes.drain(..) {
            say(gdb, &note).map_err(WaitForStopReasonError::Connection)?;
        }
        match reason {
            Some(reason) => Ok(Event::TargetStopped(reason)),
            None => gdb.read().map(Event::IncomingData).map_err(WaitForStopReasonError::Connection),
        }
    }

    fn on_interrupt(session: &mut Session<'a>) -> Result<Option<Self::StopReason>> {
        let stopped = std::mem::take(&mut session.interrupted);
        Ok(stopped.then_some(SingleThreadStopReason::Signal(Signal::SIGINT)))
    }
}

/// Whether gdb has sent Ctrl-C; it waits to be read. Acknowledgements are passed over.
fn heard_ctrl_c(gdb: &mut Wire) -> std::io::Result<bool> {
    while let Some(byte) = ConnectionExt::peek(gdb)? {
        if byte == CTRL_C {
            return Ok(true);
        }
        gdb.read()?;
    }
    Ok(false)
}

/// A line on gdb's console, while it waits for the guest to stop: packet `O`.
fn say(gdb: &mut Wire, text: &str) -> std::io::Result<()> {
    let hex: String = format!("[{text}]\n").bytes().map(|byte| format!("{byte:02x}")).collect();
    let body = format!("O{hex}");
    let sum = body.bytes().fold(0u8, u8::wrapping_add);
    gdb.write_all(format!("${body}#{sum:02x}").as_bytes())
}

// ---- registers and memory ----

/// Registers that gdb knows by the number of the CSR.
const CSRS: [(&str, u16); 15] = [
    ("sstatus", 0x100),
    ("sie", 0x104),
    ("stvec", 0x105),
    ("scounteren", 0x106),
    ("senvcfg", 0x10a),
    ("sscratch", 0x140),
    ("sepc", 0x141),
    ("scause", 0x142),
    ("stval", 0x143),
    ("sip", 0x144),
    ("stimecmp", 0x14d),
    ("satp", 0x180),
    ("cycle", 0xc00),
    ("time", 0xc01),
    ("instret", 0xc02),
];
const FLOAT_CSRS: [(&str, u16); 3] = [("fflags", 1), ("frm", 2), ("fcsr", 3)];
/// gdb's numbers of registers.
const FIRST_FLOAT: usize = 33;
const FIRST_CSR: usize = 65;
const PRIV: usize = 4161;

/// The target description, as gdb's manual has it under "RISC-V Features".
fn description() -> String {
    let integer = "zero ra sp gp tp t0 t1 t2 fp s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6";
    let float = "ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 fs2 fs3 fs4 fs5 fs6 fs7 fs8 fs9 fs10 fs11 ft8 ft9 ft10 ft11";
    let reg = |name: &str, number: usize, rest: &str| format!("<reg name=\"{name}\" regnum=\"{number}\" {rest}/>");
    let feature = |name: &str, regs: String| format!("<feature name=\"org.gnu.gdb.riscv.{name}\">{regs}</feature>");
    let csr =
        |&(name, number): &(&str, u16)| reg(name, FIRST_CSR + usize::from(number), "bitsize=\"64\" type=\"uint64\"");
    let pointers = ["ra", "sp", "gp", "tp", "fp"];
    let x = integer.split(' ').enumerate().map(|(n, name)| {
        let kind = if name == "ra" {
            "code_ptr"
        } else if pointers.contains(&name) {
            "data_ptr"
        } else {
            "int"
        };
        reg(name, n, &format!("bitsize=\"64\" type=\"{kind}\""))
    });
    let pc = reg("pc", 32, "bitsize=\"64\" type=\"code_ptr\"");
    let f =
        float.split(' ').enumerate().map(|(n, name)| reg(name, FIRST_FLOAT + n, "bitsize=\"64\" type=\"ieee_double\""));
    [
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\"><architecture>riscv:rv64</architecture>".to_owned(),
        feature("cpu", x.chain([pc]).collect()),
        feature("fpu", f.chain(FLOAT_CSRS.iter().map(csr)).collect()),
        feature("csr", CSRS.iter().map(csr).collect()),
        feature("virtual", reg("priv", PRIV, "bitsize=\"8\" type=\"uint8\"")),
        "</target>".to_owned(),
    ]
    .concat()
}

impl Target for Session<'_> {
    type Arch = Riscv64;
    type Error = Error;

    fn base_ops(&mut self) -> BaseOps<'_, Riscv64, Error> {
        BaseOps::SingleThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }

    fn support_target_description_xml_override(&mut self) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
}

impl TargetDescriptionXmlOverride for Session<'_> {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        if annex != b"target.xml" {
            return Err(TargetError::NonFatal);
        }
        let rest = self.description.as_bytes().get(offset as usize..).unwrap_or_default();
        let bytes = rest.len().min(length).min(buf.len());
        buf[..bytes].copy_from_slice(&rest[..bytes]);
        Ok(bytes)
    }
}

impl SingleThreadBase for Session<'_> {
    fn read_registers(&mut self, regs: &mut RiscvCoreRegs<u64>) -> TargetResult<(), Self> {
        let hart = self.debugger.hart();
        regs.x = std::array::from_fn(|n| hart.x[n]);
        regs.pc = hart.pc();
        Ok(())
    }

    fn write_registers(&mut self, _: &RiscvCoreRegs<u64>) -> TargetResult<(), Self> {
        self.refuse("a register")
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, (), Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8]) -> TargetResult<usize, Self> {
        match self.debugger.read(start, data) {
            0 if !data.is_empty() => Err(TargetError::Errno(NOT_THERE)),
            bytes => Ok(bytes),
        }
    }

    fn write_addrs(&mut self, _: u64, _: &[u8]) -> TargetResult<(), Self> {
        self.refuse("memory")
    }

    fn support_resume(&mut self) -> Option<SingleThreadResumeOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<()> for Session<'_> {
    fn read_register(&mut self, (): (), id: RiscvRegId<u64>, buf: &mut [u8]) -> TargetResult<usize, Self> {
        let hart = self.debugger.hart();
        let value = match id {
            RiscvRegId::Gpr(n) => Some(hart.x[n.into()]),
            RiscvRegId::Fpr(n) => Some(hart.f[n.into()]),
            RiscvRegId::Pc => Some(hart.pc()),
            RiscvRegId::Csr(number) => self.debugger.csr(number),
            RiscvRegId::Priv => Some(hart.privilege().into()),
            _ => None,
        };
        Ok(value.map_or(0, |value| {
            let bytes = buf.len().min(8);
            buf[..bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
            bytes
        }))
    }

    fn write_register(&mut self, (): (), _: RiscvRegId<u64>, _: &[u8]) -> TargetResult<(), Self> {
        self.refuse("a register")
    }
}

// ---- motion ----

impl SingleThreadResume for Session<'_> {
    fn resume(&mut self, _: Option<Signal>) -> Result<()> {
        self.motion = Motion::Go;
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<SingleThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, (), Self>> {
        Some(self)
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, (), Self>> {
        Some(self)
    }
}

impl SingleThreadSingleStep for Session<'_> {
    fn step(&mut self, _: Option<Signal>) -> Result<()> {
        self.motion = Motion::Step;
        Ok(())
    }
}

impl ReverseStep<()> for Session<'_> {
    fn reverse_step(&mut self, (): ()) -> Result<()> {
        self.motion = Motion::StepBack;
        Ok(())
    }
}

impl ReverseCont<()> for Session<'_> {
    fn reverse_cont(&mut self) -> Result<()> {
        self.motion = Motion::GoBack;
        Ok(())
    }
}

// ---- points ----

impl Breakpoints for Session<'_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Session<'_> {
    fn add_sw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        self.software.insert(at);
        Ok(true)
    }

    fn remove_sw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.software.remove(&at))
    }
}

impl HwBreakpoint for Session<'_> {
    fn add_hw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        self.hardware.insert(at);
        Ok(true)
    }

    fn remove_hw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.hardware.remove(&at))
    }
}

impl HwWatchpoint for Session<'_> {
    fn add_hw_watchpoint(&mut self, at: u64, bytes: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        let watch = Watch { at, bytes, touch: touch(kind) };
        if !self.watches.contains(&watch) {
            self.watches.push(watch);
        }
        Ok(true)
    }

    fn remove_hw_watchpoint(&mut self, at: u64, bytes: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        let watch = Watch { at, bytes, touch: touch(kind) };
        let before = self.watches.len();
        self.watches.retain(|w| *w != watch);
        Ok(self.watches.len() < before)
    }
}

// ---- monitor ----

const HELP: &str = "\
monitor position          where the guest stands, and where the log begins and ends
monitor seek POSITION     go there; then `maintenance flush register-cache` and `maintenance flush dcache`, because gdb has not noticed
monitor when              the guest's clock
monitor event             the next input in the log";

impl MonitorCmd for Session<'_> {
    fn handle_monitor_cmd(&mut self, command: &[u8], mut out: ConsoleOutput<'_>) -> Result<()> {
        let command = String::from_utf8_lossy(command);
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["position"] => {
                let (at, beginning, end) = (self.debugger.position(), self.debugger.beginning(), self.debugger.end());
                outputln!(out, "position {at} (the log: {beginning} to {end})");
            }
            ["seek", to] => match to.parse() {
                Ok(to) => self.seek(Position(to), out)?,
                Err(_) => outputln!(out, "`{to}` is not a position: give a number, as `monitor position` prints it"),
            },
            ["when"] => {
                let (now, at) = (self.debugger.now(), self.debugger.position());
                outputln!(
                    out,
                    "{}.{:09} s since the machine was switched on, at position {at}",
                    now / 1_000_000_000,
                    now % 1_000_000_000
                );
            }
            ["event"] => match self.debugger.next_event()? {
                Some((seq, entry)) => {
                    outputln!(out, "entry {seq} at position {}: {}", entry.at, describe(entry.kind, &entry.body));
                }
                None => outputln!(out, "no input follows in the log"),
            },
            _ => outputln!(out, "{HELP}"),
        }
        Ok(())
    }
}

impl Session<'_> {
    fn seek(&mut self, to: Position, mut out: ConsoleOutput<'_>) -> Result<()> {
        let (mut last, mut dotted) = (Instant::now(), false);
        let mut show = || {
            if last.elapsed() > DOT_EVERY {
                (last, dotted) = (Instant::now(), true);
                output!(out, ".");
                out.flush();
            }
            false
        };
        let why = self.debugger.seek(to, &mut show)?;
        if dotted {
            outputln!(out);
        }
        let at = self.debugger.position();
        match why {
            Why::Beginning => outputln!(out, "position {at}: the log begins here"),
            Why::End => outputln!(out, "position {at}: the log ends here"),
            _ => outputln!(out, "position {at}"),
        }
        Ok(())
    }
}
