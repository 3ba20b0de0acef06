//! The flattened device tree that tells the kernel what the board has (Devicetree Specification 0.4; bindings as in Linux'
//! `Documentation/devicetree/bindings`).
//!
//! What is not announced is not there for the kernel: the hart sets accessed and dirty bits by itself, but Svadu is not named, because a kernel that reads
//! of it asks the SBI to switch it on.

use crate::board::{self, Region};
use crate::clock::TICKS_PER_SECOND;
use crate::device::plic;
use crate::memory::RAM_BASE;
use std::ops::Range;
use vm_fdt::FdtWriter;

pub use vm_fdt::Error;

/// Extensions beyond the single-letter ones, in canonical order.
const EXTENSIONS: [&str; 8] = ["zicboz", "zicntr", "zicsr", "zifencei", "zba", "zbb", "zbs", "sstc"];
const SINGLE_LETTERS: &str = "imafdc";
const CACHE_BLOCK_BYTES: u32 = 64;
/// Base clock of a PC's UART, doubled: 3686400 / 16 / 2 = 115200 baud.
const UART_HERTZ: u32 = 3_686_400;

const CPU_INTC: u32 = 1;
const PLIC: u32 = 2;
/// Supervisor external interrupt.
const S_EXTERNAL: u32 = 9;

/// What differs from one machine to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree<'a> {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Number of virtio slots in use.
    pub virtio_slots: u32,
    /// The kernel's command line.
    pub append: &'a str,
    /// Addresses of the initial RAM disk.
    pub initrd: Option<Range<u64>>,
    /// Seeds the kernel's random numbers.
    pub rng_seed: [u8; 32],
}

/// Builds the blob.
pub fn build(tree: &Tree<'_>) -> Result<Vec<u8>, Error> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_string("compatible", "gapless,machine")?;
    fdt.property_string("model", "gapless,machine")?;
    aliases(&mut fdt)?;
    chosen(&mut fdt, tree)?;
    cpus(&mut fdt)?;
    let memory = fdt.begin_node(&format!("memory@{RAM_BASE:x}"))?;
    fdt.property_string("device_type", "memory")?;
    fdt.property_array_u64("reg", &[RAM_BASE, tree.memory_bytes])?;
    fdt.end_node(memory)?;
    soc(&mut fdt, tree.virtio_slots)?;
    fdt.end_node(root)?;
    fdt.finish()
}

fn uart_path() -> String {
    format!("/soc/serial@{:x}", board::UART.base)
}

fn aliases(fdt: &mut FdtWriter) -> Result<(), Error> {
    let node = fdt.begin_node("aliases")?;
    fdt.property_string("serial0", &uart_path())?;
    fdt.end_node(node)
}

fn chosen(fdt: &mut FdtWriter, tree: &Tree<'_>) -> Result<(), Error> {
    let node = fdt.begin_node("chosen")?;
    fdt.property_string("bootargs", tree.append)?;
    fdt.property_string("stdout-path", &uart_path())?;
    if let Some(initrd) = &tree.initrd {
        fdt.property_u64("linux,initrd-start", initrd.start)?;
        fdt.property_u64("linux,initrd-end", initrd.end)?;
    }
    fdt.property("rng-seed", &tree.rng_seed)?;
    fdt.end_node(node)
}

fn cpus(fdt: &mut FdtWriter) -> Result<(), Error> {
    let cpus = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 1)?;
    fdt.property_u32("#size-cells", 0)?;
    fdt.property_u32("timebase-frequency", TICKS_PER_SECOND as u32)?;
    let cpu = fdt.begin_node("cpu@0")?;
    fdt.property_string("device_type", "cpu")?;
    fdt.property_u32("reg", 0)?;
    fdt.property_string("status", "okay")?;
    fdt.property_string("compatible", "riscv")?;
    fdt.property_string("mmu-type", "riscv,sv39")?;
    fdt.property_string("riscv,isa", &format!("rv64{SINGLE_LETTERS}_{}", EXTENSIONS.join("_")))?;
    fdt.property_string("riscv,isa-base", "rv64i")?;
    let singles = SINGLE_LETTERS.chars().map(String::from);
    fdt.property_string_list("riscv,isa-extensions", singles.chain(EXTENSIONS.map(String::from)).collect())?;
    fdt.property_u32("riscv,cboz-block-size", CACHE_BLOCK_BYTES)?;
    let intc = fdt.begin_node("interrupt-controller")?;
    fdt.property_u32("#interrupt-cells", 1)?;
    fdt.property_u32("#address-cells", 0)?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_string("compatible", "riscv,cpu-intc")?;
    fdt.property_phandle(CPU_INTC)?;
    fdt.end_node(intc)?;
    fdt.end_node(cpu)?;
    fdt.end_node(cpus)
}

fn soc(fdt: &mut FdtWriter, virtio_slots: u32) -> Result<(), Error> {
    let soc = fdt.begin_node("soc")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_string("compatible", "simple-bus")?;
    fdt.property_null("ranges")?;

    let node = begin(fdt, "interrupt-controller", board::PLIC)?;
    fdt.property_string_list("compatible", vec!["sifive,plic-1.0.0".into(), "riscv,plic0".into()])?;
    fdt.property_u32("#interrupt-cells", 1)?;
    fdt.property_u32("#address-cells", 0)?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_array_u32("interrupts-extended", &[CPU_INTC, S_EXTERNAL])?;
    fdt.property_u32("riscv,ndev", plic::SOURCES)?;
    fdt.property_phandle(PLIC)?;
    fdt.end_node(node)?;

    let node = begin(fdt, "serial", board::UART)?;
    fdt.property_string("compatible", "ns16550a")?;
    fdt.property_u32("clock-frequency", UART_HERTZ)?;
    interrupt(fdt, board::UART_IRQ)?;
    fdt.end_node(node)?;

    let node = begin(fdt, "rtc", board::RTC)?;
    fdt.property_string("compatible", "google,goldfish-rtc")?;
    interrupt(fdt, board::RTC_IRQ)?;
    fdt.end_node(node)?;

    for slot in 0..virtio_slots {
        let node = begin(fdt, "virtio_mmio", board::virtio_region(slot))?;
        fdt.property_string("compatible", "virtio,mmio")?;
        interrupt(fdt, board::virtio_irq(slot))?;
        fdt.end_node(node)?;
    }
    fdt.end_node(soc)
}

fn begin(fdt: &mut FdtWriter, name: &str, region: Region) -> Result<vm_fdt::FdtWriterNode, Error> {
    let node = fdt.begin_node(&format!("{name}@{:x}", region.base))?;
    fdt.property_array_u64("reg", &[region.base, region.bytes])?;
    Ok(node)
}

fn interrupt(fdt: &mut FdtWriter, irq: u32) -> Result<(), Error> {
    fdt.property_u32("interrupt-parent", PLIC)?;
    fdt.property_u32("interrupts", irq)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn be(blob: &[u8], at: usize) -> usize {
        u32::from_be_bytes(blob[at..at + 4].try_into().unwrap()) as usize
    }

    fn text(blob: &[u8], at: usize) -> &str {
        let end = blob[at..].iter().position(|&byte| byte == 0).unwrap();
        std::str::from_utf8(&blob[at..at + end]).unwrap()
    }

    /// Every property as a line `path: name = value`; printable values as text, others as cells.
    fn lines(blob: &[u8]) -> Vec<String> {
        let (mut at, strings) = (be(blob, 8), be(blob, 12));
        let (mut path, mut lines) = (Vec::new(), Vec::new());
        loop {
            match be(blob, at) {
                1 => {
                    path.push(text(blob, at + 4).to_owned());
                    at += 4 + (path.last().unwrap().len() + 1).next_multiple_of(4);
                }
                2 => {
                    path.pop();
                    at += 4;
                }
                3 => {
                    let value = &blob[at + 12..at + 12 + be(blob, at + 4)];
                    let name = text(blob, strings + be(blob, at + 8));
                    let printable = value.iter().all(|byte| *byte == 0 || (b' '..0x7f).contains(byte));
                    let value = match value {
                        [] => String::new(),
                        [first, .., 0] if printable && *first != 0 => {
                            String::from_utf8_lossy(&value[..value.len() - 1]).replace('\0', " ")
                        }
                        _ => value.chunks(4).map(|cell| format!("{:x}", be(cell, 0))).collect::<Vec<_>>().join(" "),
                    };
                    lines.push(format!("{}: {name} = {value}", path[1..].join("/")).trim_end().to_owned());
                    at += 12 + be(blob, at + 4).next_multiple_of(4);
                }
                _ => return lines,
            }
        }
    }

    #[test]
    fn the_tree_says_what_the_board_has() {
        let tree = Tree {
            memory_bytes: 1 << 30,
            virtio_slots: 2,
            append: "console=ttyS0 quiet",
            initrd: Some(0x9000_0000..0x9000_1234),
            rng_seed: [1; 32],
        };
        let found = lines(&build(&tree).unwrap());
        let expected = "\
: #address-cells = 2
: #size-cells = 2
: compatible = gapless,machine
: model = gapless,machine
aliases: serial0 = /soc/serial@10000000
chosen: bootargs = console=ttyS0 quiet
chosen: stdout-path = /soc/serial@10000000
chosen: linux,initrd-start = 0 90000000
chosen: linux,initrd-end = 0 90001234
chosen: rng-seed = 1010101 1010101 1010101 1010101 1010101 1010101 1010101 1010101
cpus: #address-cells = 1
cpus: #size-cells = 0
cpus: timebase-frequency = 989680
cpus/cpu@0: device_type = cpu
cpus/cpu@0: reg = 0
cpus/cpu@0: status = okay
cpus/cpu@0: compatible = riscv
cpus/cpu@0: mmu-type = riscv,sv39
cpus/cpu@0: riscv,isa = rv64imafdc_zicboz_zicntr_zicsr_zifencei_zba_zbb_zbs_sstc
cpus/cpu@0: riscv,isa-base = rv64i
cpus/cpu@0: riscv,isa-extensions = i m a f d c zicboz zicntr zicsr zifencei zba zbb zbs sstc
cpus/cpu@0: riscv,cboz-block-size = 40
cpus/cpu@0/interrupt-controller: #interrupt-cells = 1
cpus/cpu@0/interrupt-controller: #address-cells = 0
cpus/cpu@0/interrupt-controller: interrupt-controller =
cpus/cpu@0/interrupt-controller: compatible = riscv,cpu-intc
cpus/cpu@0/interrupt-controller: phandle = 1
memory@80000000: device_type = memory
memory@80000000: reg = 0 80000000 0 40000000
soc: #address-cells = 2
soc: #size-cells = 2
soc: compatible = simple-bus
soc: ranges =
soc/interrupt-controller@c000000: reg = 0 c000000 0 600000
soc/interrupt-controller@c000000: compatible = sifive,plic-1.0.0 riscv,plic0
soc/interrupt-controller@c000000: #interrupt-cells = 1
soc/interrupt-controller@c000000: #address-cells = 0
soc/interrupt-controller@c000000: interrupt-controller =
soc/interrupt-controller@c000000: interrupts-extended = 1 9
soc/interrupt-controller@c000000: riscv,ndev = 1f
soc/interrupt-controller@c000000: phandle = 2
soc/serial@10000000: reg = 0 10000000 0 100
soc/serial@10000000: compatible = ns16550a
soc/serial@10000000: clock-frequency = 384000
soc/serial@10000000: interrupt-parent = 2
soc/serial@10000000: interrupts = a
soc/rtc@101000: reg = 0 101000 0 1000
soc/rtc@101000: compatible = google,goldfish-rtc
soc/rtc@101000: interrupt-parent = 2
soc/rtc@101000: interrupts = b
soc/virtio_mmio@10001000: reg = 0 10001000 0 1000
soc/virtio_mmio@10001000: compatible = virtio,mmio
soc/virtio_mmio@10001000: interrupt-parent = 2
soc/virtio_mmio@10001000: interrupts = 1
soc/virtio_mmio@10002000: reg = 0 10002000 0 1000
soc/virtio_mmio@10002000: compatible = virtio,mmio
soc/virtio_mmio@10002000: interrupt-parent = 2
soc/virtio_mmio@10002000: interrupts = 2";
        assert_eq!(found.join("\n"), expected);
    }
}
