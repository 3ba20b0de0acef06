//! One simulated machine: its directory, and the life that runs on it, if one does.

use crate::disk::Disk;
use gapless_log::toy::{Toy, World};
use gapless_log::{Digest, Host, Seq};
use gapless_pair::{ConnId, Engine, Life, Meta, Micros, Nonce, Point};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::check::Live;
use crate::sim::ToNode;

/// A machine.
#[derive(Debug)]
pub struct Node {
    /// Its log directory.
    pub disk: Disk,
    /// Changes when power is lost.
    pub boot: u128,
    /// The life that runs.
    pub run: Option<Run>,
    /// Lives so far.
    pub lives: u32,
    /// The process does not run until then.
    pub stalled_until: Micros,
    /// What happened to the stalled process meanwhile.
    pub inbox: VecDeque<ToNode>,
    /// The arbiter cannot be reached until then.
    pub no_arbiter_until: Micros,
    /// It takes part.
    pub present: bool,
    /// A start is already planned.
    pub starting: bool,
    /// The protected program has ended here.
    pub done: bool,
    /// Whether the next start is a human's who accepts loss.
    pub accept_loss: bool,
}

/// A life that runs.
pub struct Run {
    /// Counts the lives of its node.
    pub number: u32,
    /// Its identity.
    pub life: Life,
    /// The engine under test.
    pub engine: Engine,
    /// The real host loop's steps, with the toy.
    pub host: Host<Toy>,
    /// What the toy hears and says.
    pub world: World,
    /// Set when it went live.
    pub live: Option<Live>,
    /// The host was given what the directory held.
    pub fed: bool,
    /// Streams to send: next frame by session.
    pub streams: BTreeMap<Nonce, (ConnId, usize)>,
    /// Outputs below may leave.
    pub commit: Seq,
    /// Runs nothing.
    pub throttled: bool,
    /// Asked to stop for a handover, and whether that was reported.
    pub stopping: Option<bool>,
    /// The group is dead.
    pub killed: bool,
    /// A turn of work is planned.
    pub working: bool,
    /// Which turn it is; older ones are void.
    pub turn: u64,
    /// The end of the program was reported.
    pub end_reported: bool,
    /// Executed as last reported.
    pub executed: Seq,
    /// Digests of marks that are not sealed yet.
    pub digests: Vec<(Seq, Digest)>,
    /// Records on their way to the platter.
    pub metas: VecDeque<Meta>,
    /// When the disk is free again.
    pub disk_free: Micros,
    /// Cuts of the log so far, and how many frames every older write may still cover.
    pub cuts: u32,
    /// See `cuts`.
    pub floor: usize,
    /// A state of this replica that its log may come to begin with.
    pub kept: Option<(Point, Arc<Vec<u8>>)>,
    /// A later state that is arriving, in which session.
    pub renewed: (Nonce, Vec<u8>),
    /// A state that is arriving.
    pub state: Vec<u8>,
    /// How much of the log this life holds in memory and on the platter.
    pub held: (Seq, Seq),
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Run({})", self.life)
    }
}

impl Node {
    /// A machine with an empty directory.
    pub fn new(boot: u128, present: bool) -> Self {
        Self {
            disk: Disk::default(),
            boot,
            run: None,
            lives: 0,
            stalled_until: Micros(0),
            inbox: VecDeque::new(),
            no_arbiter_until: Micros(0),
            present,
            starting: false,
            done: false,
            accept_loss: false,
        }
    }
}
