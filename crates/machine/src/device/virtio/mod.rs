//! virtio devices behind the MMIO transport (Virtual I/O Device Version 1.2, sections 2, 3.1 and 4.2.2; the modern form only).
//!
//! The rules it keeps: work is done at the kick, on the hart's thread; a guest that breaks the protocol gets DEVICE_NEEDS_RESET and nothing else happens
//! until it resets the device. What it leaves out: legacy drivers, shared memory, packed rings, queue reset.

pub mod block;
pub mod net;
pub mod queue;
pub mod rng;
#[cfg(any(test, feature = "fuzz"))]
#[cfg_attr(not(test), allow(dead_code, reason = "the fuzz targets use some of it"))]
pub(crate) mod testing;

use super::{AccessFault, Cx, Device};
use crate::memory::Memory;
use queue::{Accepted, Broken, Queue};
use serde::{Deserialize, Serialize};

/// VIRTIO_F_INDIRECT_DESC.
pub const INDIRECT_DESC: u64 = 1 << 28;
/// VIRTIO_F_EVENT_IDX.
pub const EVENT_IDX: u64 = 1 << 29;
/// VIRTIO_F_VERSION_1.
pub const VERSION_1: u64 = 1 << 32;
/// What the transport and the queues can do, whatever the function.
const COMMON_FEATURES: u64 = INDIRECT_DESC | EVENT_IDX | VERSION_1;

mod register {
    pub const MAGIC: u64 = 0x000;
    pub const VERSION: u64 = 0x004;
    pub const DEVICE_ID: u64 = 0x008;
    pub const VENDOR_ID: u64 = 0x00c;
    pub const DEVICE_FEATURES: u64 = 0x010;
    pub const DEVICE_FEATURES_SEL: u64 = 0x014;
    pub const DRIVER_FEATURES: u64 = 0x020;
    pub const DRIVER_FEATURES_SEL: u64 = 0x024;
    pub const QUEUE_SEL: u64 = 0x030;
    pub const QUEUE_SIZE_MAX: u64 = 0x034;
    pub const QUEUE_SIZE: u64 = 0x038;
    pub const QUEUE_READY: u64 = 0x044;
    pub const QUEUE_NOTIFY: u64 = 0x050;
    pub const INTERRUPT_STATUS: u64 = 0x060;
    pub const INTERRUPT_ACK: u64 = 0x064;
    pub const STATUS: u64 = 0x070;
    pub const QUEUE_DESCRIPTORS: u64 = 0x080;
    pub const QUEUE_DRIVER: u64 = 0x090;
    pub const QUEUE_DEVICE: u64 = 0x0a0;
    pub const HIGH: u64 = 4;
    pub const SHM_LEN_LOW: u64 = 0x0b0;
    pub const SHM_BASE_HIGH: u64 = 0x0bc;
    pub const CONFIG_GENERATION: u64 = 0x0fc;
    pub const CONFIG: u64 = 0x100;
}

const MAGIC: u64 = 0x7472_6976; // "virt"
const VENDOR: u64 = 0x5350_4c47;

/// Bits of the status register.
mod status {
    pub const DRIVER_OK: u32 = 4;
    pub const FEATURES_OK: u32 = 8;
    pub const NEEDS_RESET: u32 = 64;
    pub const DRIVERS: u32 = 0x8f;
}

const INTERRUPT_USED: u32 = 1;
const INTERRUPT_CONFIG: u32 = 2;

/// What makes a virtio device a disk, a network card or a source of entropy.
pub trait Function {
    /// Device id (section 5).
    const ID: u32;
    /// Sizes of its queues, powers of two.
    const QUEUES: &'static [u16];
    /// Features of its own.
    fn features(&self) -> u64;
    /// The configuration space.
    fn config(&self) -> Vec<u8>;
    /// Features are agreed.
    fn agreed(&mut self, _features: u64) {}
    /// The guest has kicked a queue. Interrupts for what is given back are the transport's business.
    fn kick(&mut self, index: usize, queue: &mut Queue, cx: &mut Cx<'_>) -> Result<(), Broken>;
    /// Back to the state after power-on; what was under way is forgotten.
    fn reset(&mut self);
}

/// The transport around a function.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mmio<F> {
    status: u32,
    device_features_sel: u32,
    driver_features_sel: u32,
    driver_features: u64,
    queue_sel: u32,
    interrupts: u32,
    queues: Vec<Queue>,
    function: F,
}

impl<F: Function> Mmio<F> {
    /// The device after power-on.
    pub fn new(function: F) -> Self {
        Self {
            status: 0,
            device_features_sel: 0,
            driver_features_sel: 0,
            driver_features: 0,
            queue_sel: 0,
            interrupts: 0,
            queues: F::QUEUES.iter().copied().map(Queue::new).collect(),
            function,
        }
    }

    /// The function.
    pub fn function(&self) -> &F {
        &self.function
    }

    /// Features that the driver has accepted, once it has.
    pub fn features(&self) -> Option<u64> {
        (self.status & status::FEATURES_OK != 0).then_some(self.driver_features)
    }

    /// Is this a state that the transport can be in?
    pub(crate) fn is_sound(&self, memory: &Memory) -> bool {
        self.queues.len() == F::QUEUES.len()
            && self.queues.iter().zip(F::QUEUES).all(|(queue, &size_max)| queue.is_sound(size_max, memory))
    }

    /// The driver runs and has broken nothing.
    fn works(&self) -> bool {
        self.status & (status::DRIVER_OK | status::NEEDS_RESET) == status::DRIVER_OK
    }

    /// Lets the function work on a queue and raises what follows from it. `None` if the device or the queue is not in use.
    fn work<R>(
        &mut self,
        index: usize,
        cx: &mut Cx<'_>,
        work: impl FnOnce(&mut F, &mut Queue, &mut Cx<'_>) -> Result<R, Broken>,
    ) -> Option<R> {
        if !self.works() {
            return None;
        }
        let queue = self.queues.get_mut(index).filter(|queue| queue.ready())?;
        let done =
            work(&mut self.function, queue, cx).and_then(|result| Ok((result, queue.wants_interrupt(cx.memory)?)));
        match done {
            Ok((result, interrupt)) => {
                self.interrupts |= if interrupt { INTERRUPT_USED } else { 0 };
                Some(result)
            }
            Err(Broken) => {
                self.break_down();
                None
            }
        }
    }

    /// The guest broke the protocol (section 2.1.2).
    fn break_down(&mut self) {
        self.status |= status::NEEDS_RESET;
        if self.status & status::DRIVER_OK != 0 {
            self.interrupts |= INTERRUPT_CONFIG;
        }
        self.function.reset();
    }

    fn kick(&mut self, index: usize, cx: &mut Cx<'_>) {
        self.work(index, cx, |function, queue, cx| function.kick(index, queue, cx));
    }

    /// As after power-on.
    pub(crate) fn reset(&mut self) {
        self.status = 0;
        (self.device_features_sel, self.driver_features_sel, self.queue_sel) = (0, 0, 0);
        (self.driver_features, self.interrupts) = (0, 0);
        self.queues = F::QUEUES.iter().copied().map(Queue::new).collect();
        self.function.reset();
    }

    fn offered(&self) -> u64 {
        self.function.features() | COMMON_FEATURES
    }

    fn write_status(&mut self, value: u32, cx: &mut Cx<'_>) {
        if value == 0 {
            return self.reset();
        }
        let before = self.status;
        self.status = value & status::DRIVERS | before & status::NEEDS_RESET;
        let rose = self.status & !before;
        if rose & status::FEATURES_OK != 0 {
            if self.driver_features & !self.offered() == 0 && self.driver_features & VERSION_1 != 0 {
                self.function.agreed(self.driver_features);
            } else {
                self.status &= !status::FEATURES_OK;
            }
        }
        if rose & status::DRIVER_OK != 0 {
            (0..self.queues.len()).for_each(|index| self.kick(index, cx));
        }
    }

    fn write_driver_features(&mut self, value: u32) {
        let shift = match self.driver_features_sel {
            0 => 0,
            1 => 32,
            _ => return,
        };
        if self.status & status::FEATURES_OK == 0 {
            self.driver_features &= !(0xffff_ffff << shift);
            self.driver_features |= u64::from(value) << shift;
        }
    }

    fn selected(&mut self) -> Option<&mut Queue> {
        self.queues.get_mut(self.queue_sel as usize)
    }

    fn write_ready(&mut self, ready: bool, cx: &mut Cx<'_>) {
        let features = self.driver_features;
        let accepted = Accepted { indirect: features & INDIRECT_DESC != 0, event_idx: features & EVENT_IDX != 0 };
        let Some(queue) = self.selected() else { return };
        match (queue.ready(), ready) {
            (false, true) if queue.start(cx.memory, accepted).is_err() => self.break_down(),
            (true, false) => {
                queue.stop();
                self.function.reset();
            }
            _ => {}
        }
    }

    fn write_rings(&mut self, offset: u64, value: u32) {
        let Some(rings) = self.selected().and_then(Queue::rings) else { return };
        let high = offset & register::HIGH != 0;
        let place = match offset & !register::HIGH {
            register::QUEUE_DESCRIPTORS => &mut rings.descriptors,
            register::QUEUE_DRIVER => &mut rings.available,
            _ => &mut rings.used,
        };
        let shift = if high { 32 } else { 0 };
        *place = *place & !(0xffff_ffff << shift) | u64::from(value) << shift;
    }

    fn load_register(&mut self, offset: u64) -> Result<u64, AccessFault> {
        Ok(match offset {
            register::MAGIC => MAGIC,
            register::VERSION => 2,
            register::DEVICE_ID => F::ID.into(),
            register::VENDOR_ID => VENDOR,
            register::DEVICE_FEATURES => match self.device_features_sel {
                0 => self.offered() & 0xffff_ffff,
                1 => self.offered() >> 32,
                _ => 0,
            },
            register::QUEUE_SIZE_MAX => self.selected().map_or(0, |queue| queue.size_max().into()),
            register::QUEUE_READY => self.selected().is_some_and(|queue| queue.ready()).into(),
            register::INTERRUPT_STATUS => self.interrupts.into(),
            register::STATUS => self.status.into(),
            // No shared memory: length and base read as all ones (section 4.2.2).
            register::SHM_LEN_LOW..=register::SHM_BASE_HIGH => 0xffff_ffff,
            register::CONFIG_GENERATION => 0,
            _ => return Err(AccessFault),
        })
    }

    fn store_register(&mut self, offset: u64, value: u32, cx: &mut Cx<'_>) -> Result<(), AccessFault> {
        match offset {
            register::DEVICE_FEATURES_SEL => self.device_features_sel = value,
            register::DRIVER_FEATURES => self.write_driver_features(value),
            register::DRIVER_FEATURES_SEL => self.driver_features_sel = value,
            register::QUEUE_SEL => self.queue_sel = value,
            register::QUEUE_SIZE => self.selected().into_iter().for_each(|queue| queue.set_size(value)),
            register::QUEUE_READY => self.write_ready(value & 1 != 0, cx),
            register::QUEUE_NOTIFY => self.kick(value as usize, cx),
            register::INTERRUPT_ACK => self.interrupts &= !value,
            register::STATUS => self.write_status(value, cx),
            offset if is_ring_address(offset) => self.write_rings(offset, value),
            _ => return Err(AccessFault),
        }
        Ok(())
    }
}

fn is_ring_address(offset: u64) -> bool {
    let low = offset & !register::HIGH;
    [register::QUEUE_DESCRIPTORS, register::QUEUE_DRIVER, register::QUEUE_DEVICE].contains(&low)
}

impl<F: Function> Device for Mmio<F> {
    fn load(&mut self, offset: u64, width: u8, _: &mut Cx<'_>) -> Result<u64, AccessFault> {
        if offset < register::CONFIG {
            return if width == 4 { self.load_register(offset) } else { Err(AccessFault) };
        }
        let config = self.function.config();
        let from = (offset - register::CONFIG) as usize;
        let bytes = config.get(from..from.saturating_add(width.into())).ok_or(AccessFault)?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn store(&mut self, offset: u64, width: u8, value: u64, cx: &mut Cx<'_>) -> Result<(), AccessFault> {
        // No function has a configuration that the guest may write.
        if width == 4 { self.store_register(offset, value as u32, cx) } else { Err(AccessFault) }
    }

    fn interrupt(&self) -> bool {
        self.interrupts != 0
    }
}
