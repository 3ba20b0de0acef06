//! A disk in memory: the model that real disks are compared with.

use super::{BLOCK_BYTES, Request, SECTOR_BYTES, Storage};
use std::collections::{BTreeSet, VecDeque};
use std::io;

#[derive(Debug, Default)]
pub(crate) struct RamDisk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) read_only: bool,
    /// Every request fails from now on.
    pub(crate) failing: bool,
    written: BTreeSet<u64>,
    answers: VecDeque<(u64, io::Result<Vec<u8>>)>,
}

impl RamDisk {
    pub(crate) fn new(sectors: u64) -> Self {
        Self { bytes: vec![0; (sectors * SECTOR_BYTES) as usize], ..Self::default() }
    }

    fn execute(&mut self, request: Request) -> io::Result<Vec<u8>> {
        if self.failing {
            return Err(io::Error::other("the disk is broken"));
        }
        match request {
            Request::Read { at, bytes } => return Ok(self.bytes[at as usize..][..bytes as usize].to_vec()),
            Request::Write { at, data } => {
                let end = at + data.len() as u64;
                self.bytes[at as usize..end as usize].copy_from_slice(&data);
                self.written.extend(at / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES));
            }
            Request::Flush => {}
        }
        Ok(Vec::new())
    }

    fn block(&self, block: u64) -> std::ops::Range<usize> {
        let start = (block * BLOCK_BYTES) as usize;
        start..self.bytes.len().min(start + BLOCK_BYTES as usize)
    }
}

impl Storage for RamDisk {
    fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn submit(&mut self, id: u64, request: Request) -> io::Result<()> {
        let result = self.execute(request);
        self.answers.push_back((id, result));
        Ok(())
    }

    fn wait(&mut self, id: u64) -> io::Result<Vec<u8>> {
        loop {
            let (answered, result) = self.answers.pop_front().expect("what is waited for was submitted");
            let data = result?;
            if answered == id {
                return Ok(data);
            }
        }
    }

    fn save(&mut self, each: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        self.written.iter().try_for_each(|&block| each(block, &self.bytes[self.block(block)]))
    }

    fn clear(&mut self) -> io::Result<()> {
        self.bytes.fill(0);
        self.written.clear();
        self.answers.clear();
        Ok(())
    }

    fn put(&mut self, block: u64, bytes: &[u8]) -> io::Result<()> {
        let range = self.block(block);
        self.bytes[range].copy_from_slice(bytes);
        self.written.insert(block);
        Ok(())
    }
}
