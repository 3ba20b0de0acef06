//! A node's directory: whose it is, and where the logs of its shards are.

use super::Shard;
use gapless_log::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

const SITE_NAME: &str = "service.json";
const SITE_NEW_NAME: &str = "service.new";
const SHARD_PREFIX: &str = "shard-";

/// Where a shard's log is in a node's directory.
pub fn shard_dir(dir: &Path, shard: Shard) -> PathBuf {
    dir.join(format!("{SHARD_PREFIX}{:03}", shard.0))
}

/// What a node's directory says of its service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Site {
    /// Where the nodes listen.
    pub nodes: Vec<String>,
    /// How many shards there are.
    pub shards: u16,
}

impl Site {
    /// Of the node in `dir`; `None` if that is no node's directory.
    pub fn of(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(SITE_NAME);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| Error::Refused(format!("{}: {e}; remove the file and start the node", path.display()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("reading", path, e)),
        }
    }

    /// The shards whose logs are in `dir`; those of other pairs are not there.
    pub fn shards_in(&self, dir: &Path) -> impl Iterator<Item = Shard> {
        (0..self.shards).map(Shard).filter(move |&shard| shard_dir(dir, shard).exists())
    }

    /// `dir` belongs to a node of this service, and says so from now on.
    pub(super) fn settle(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("making", dir, e))?;
        match Self::of(dir)? {
            Some(site) if site == *self => Ok(()),
            Some(site) if site.shards != self.shards => Err(Error::Refused(format!(
                "{} belongs to a service of {} shards, not {}; a service keeps its shards for life",
                dir.display(),
                site.shards,
                self.shards
            ))),
            None if holds_others(dir).map_err(|e| Error::io("reading", dir, e))? => Err(Error::Refused(format!(
                "{} is not empty and no node's directory; give the node one of its own",
                dir.display()
            ))),
            _ => self.keep(dir),
        }
    }

    /// All of it or nothing, and durable.
    fn keep(&self, dir: &Path) -> Result<()> {
        let (path, new) = (dir.join(SITE_NAME), dir.join(SITE_NEW_NAME));
        let bytes = serde_json::to_vec(self).expect("plain data becomes JSON");
        let write = || {
            std::fs::write(&new, bytes)?;
            File::open(&new)?.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|e| Error::io("writing", &path, e))
    }
}

/// Does a directory that is no node's hold something that no node has put there?
fn holds_others(dir: &Path) -> io::Result<bool> {
    for item in std::fs::read_dir(dir)? {
        let name = item?.file_name();
        if name != SITE_NEW_NAME && !name.to_string_lossy().starts_with(SHARD_PREFIX) {
            return Ok(true);
        }
    }
    Ok(false)
}
