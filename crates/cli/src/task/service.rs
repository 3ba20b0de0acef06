//! What a node is told at its start, and what follows from that: which shards live where.

use super::{KEY_KEPT, Kinds, SHARDS_MAX, Shard, Site, shard_dir};
use gapless_log::{Error, Result};
use gapless_pair::Commit;
use gapless_task::pair;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Shards of a service, unless it says otherwise.
pub const SHARDS: u16 = 16;

/// Bytes of a shard's log, unless the service says otherwise: some 100,000 messages, executed in a fraction of a second.
pub const LOG_BYTES: u64 = 16 << 20;

/// What a node of a service is told at its start.
#[derive(Clone)]
pub struct Service {
    /// The kinds of task.
    pub kinds: Kinds,
    /// Where the nodes listen for clients and for each other's shards; the same list everywhere. Two and two are a pair: a shard lives on one pair.
    pub nodes: Vec<String>,
    /// Which of them this is.
    pub node: usize,
    /// How many shards; fixed for the service's whole life.
    pub shards: u16,
    /// Who decides which node is live: `file:PATH` or `HOST:PORT/NAME` of a witness. Each shard has a register of its own there.
    pub arbiter: String,
    /// Where the logs of this node's shards are.
    pub dir: PathBuf,
    /// When outputs may leave.
    pub commit: Commit,
    /// This node's backups hold the logs and execute them only to take over, from the last state that the live side has sent: they cost next to nothing
    /// meanwhile, and a takeover takes as long as executing what came since.
    pub warm: bool,
    /// A shard's log of more bytes than this, and than four times the state that it begins with, is made to begin later, with the shard's state.
    pub log_bytes: u64,
    /// Silence that counts as death.
    pub detect: Duration,
    /// Outputs leave before the first backup has joined.
    pub unprotected_start: bool,
    /// A shard whose owner lost power at commit level `received` goes on from this node's log, whose last entries may be missing. What other shards and
    /// clients know of those is told apart from what comes now.
    pub accept_loss: bool,
    /// Where this node listens for HTTP: `POST /task/{kind}/{name}/{message}`. Whoever reaches it may ask everything.
    pub http: Option<String>,
    /// An `Idempotency-Key` is known so long after the reply, at most a week.
    pub http_keys_kept: Duration,
    /// What a person should know.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Service {
    /// With the defaults of the command line.
    pub fn new(
        kinds: Kinds,
        nodes: impl IntoIterator<Item = impl Into<String>>,
        node: usize,
        arbiter: impl Into<String>,
        dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            kinds,
            nodes: nodes.into_iter().map(Into::into).collect(),
            node,
            shards: SHARDS,
            arbiter: arbiter.into(),
            dir: dir.into(),
            commit: Commit::Received,
            warm: false,
            log_bytes: LOG_BYTES,
            detect: Duration::from_millis(200),
            unprotected_start: false,
            accept_loss: false,
            http: None,
            http_keys_kept: KEY_KEPT,
            tell: Arc::new(|what| eprintln!("gapless: {what}")),
        }
    }

    /// Can a node be started like this?
    pub(super) fn check(&self) -> Result<()> {
        let refused = |what: String| Err(Error::Refused(what));
        if self.node >= self.nodes.len() {
            return refused(format!("this is node {} of {}: nodes count from 0", self.node, self.nodes.len()));
        }
        if !self.nodes.len().is_multiple_of(2) {
            return refused(format!("{} nodes: a service has two, or more pairs of two", self.nodes.len()));
        }
        if !(1..=SHARDS_MAX).contains(&self.shards) {
            return refused(format!("{} shards: a service has 1 to {SHARDS_MAX}", self.shards));
        }
        let unspecified = |node: &&String| node.parse::<SocketAddr>().is_ok_and(|at| at.ip().is_unspecified());
        if let Some(node) = self.nodes.iter().find(unspecified) {
            return refused(format!("{node}: nodes are known by addresses at which the others can reach them"));
        }
        if self.kinds.names().next().is_none() {
            return refused("a service without a kind of task".to_owned());
        }
        Ok(())
    }

    /// The log of a shard.
    pub(super) fn shard_dir(&self, shard: Shard) -> PathBuf {
        shard_dir(&self.dir, shard)
    }

    /// What its nodes' directories say of it.
    pub(super) fn site(&self) -> Site {
        Site { nodes: self.nodes.clone(), shards: self.shards }
    }

    /// The register of a shard.
    pub(super) fn shard_arbiter(&self, shard: Shard) -> String {
        let name = if self.arbiter.starts_with("file:") || self.arbiter.contains('/') { "" } else { "/tasks" };
        format!("{}{name}-{:03}", self.arbiter, shard.0)
    }

    /// The other node of this one's pair.
    fn partner(&self) -> &str {
        &self.nodes[self.node ^ 1]
    }

    /// The shards that live on this node's pair.
    pub(super) fn own_shards(&self) -> impl Iterator<Item = Shard> {
        let (pairs, mine) = (self.nodes.len() / 2, self.node / 2);
        (0..self.shards).filter(move |&shard| usize::from(shard) % pairs == mine).map(Shard)
    }

    /// Where a shard that is not live here may be.
    pub(super) fn elsewhere(&self, shard: Shard) -> String {
        let pair = pair(&self.nodes, shard);
        if pair.contains(&self.nodes[self.node]) { self.partner().to_owned() } else { pair[0].clone() }
    }

    /// Shards of a pair begin on its nodes in turns.
    pub(super) fn begins(&self, shard: Shard) -> bool {
        usize::from(shard.0) / (self.nodes.len() / 2) % 2 == self.node % 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_has_one_pair_and_begins_on_one_node_of_it() {
        let nodes: Vec<String> = (0..4).map(|n| format!("n{n}")).collect();
        let at = |node| Service { shards: 8, ..Service::new(Kinds::new(), nodes.clone(), node, "file:r", "d") };
        let own: Vec<Vec<u16>> = (0..4).map(|node| at(node).own_shards().map(|s| s.0).collect()).collect();
        assert_eq!(own, [vec![0, 2, 4, 6], vec![0, 2, 4, 6], vec![1, 3, 5, 7], vec![1, 3, 5, 7]]);
        assert_eq!([0, 1, 2].map(|shard| at(0).elsewhere(Shard(shard))), ["n1", "n2", "n1"]);
        let begins = |node| -> Vec<u16> {
            at(node).own_shards().filter(|&shard| at(node).begins(shard)).map(|shard| shard.0).collect()
        };
        assert_eq!([0, 1, 2, 3].map(begins), [vec![0, 4], vec![2, 6], vec![1, 5], vec![3, 7]]);
    }
}
