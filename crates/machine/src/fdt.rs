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
        fdt.property_null("dma-coherent")?;
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
