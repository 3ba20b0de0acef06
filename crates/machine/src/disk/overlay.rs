//! A disk whose base is never written: what the guest writes goes to an overlay, a sparse file of the same size, with one bit a block that says where the
//! block is now.
//!
//! One thread executes the requests in the order in which they came. The file means nothing without the bits, which are only in memory: who goes on after
//! this side has ended makes a new overlay, from a snapshot or by execution.

use super::{Base, Request, Storage, context};
use gapless_log::Digest;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What one bit stands for.
pub const BLOCK_BYTES: u64 = 4096;
/// Requests that wait for the thread; who submits more waits.
const QUEUE_MAX: usize = 256;
/// One bit a block.
#[derive(Clone, Debug)]
struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    fn new(blocks: u64) -> Self {
        Self { words: vec![0; blocks.div_ceil(64) as usize] }
    }

    fn has(&self, block: u64) -> bool {
        self.words[(block / 64) as usize] >> (block % 64) & 1 != 0
    }

    fn set(&mut self, block: u64) {
        self.words[(block / 64) as usize] |= 1 << (block % 64);
    }

    fn blocks(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.words.len() as u64 * 64).filter(|&block| self.has(block))
    }
}

/// The files, as the thread and the owner share them. The owner touches them only while the thread is idle.
#[derive(Debug)]
struct Files {
    base: Base,
    overlay: File,
    path: PathBuf,
    bitmap: Mutex<Bitmap>,
}

impl Files {
    fn bitmap(&self) -> std::sync::MutexGuard<'_, Bitmap> {
        self.bitmap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn block_bytes(&self, block: u64) -> u64 {
        BLOCK_BYTES.min(self.base.bytes() - block * BLOCK_BYTES)
    }

    fn execute(&self, request: Request) -> io::Result<Vec<u8>> {
        match request {
            Request::Read { at, bytes } => {
                let mut data = vec![0; bytes as usize];
                self.read(at, &mut data)?;
                return Ok(data);
            }
            Request::Write { at, data } => self.write(at, &data)?,
            Request::Flush => self.overlay.sync_data().map_err(context("syncing", &self.path))?,
        }
        Ok(Vec::new())
    }

    /// Reads in as few pieces as the blocks' places allow.
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let bitmap = self.bitmap();
        let mut done = 0;
        while done < into.len() {
            let from = at + done as u64;
            let written = bitmap.has(from / BLOCK_BYTES);
            let mut block = from / BLOCK_BYTES + 1;
            let end = at + into.len() as u64;
            while block * BLOCK_BYTES < end && bitmap.has(block) == written {
                block += 1;
            }
            let bytes = ((block * BLOCK_BYTES).min(end) - from) as usize;
            let piece = &mut into[done..done + bytes];
            match written {
                true => self.overlay.read_exact_at(piece, from).map_err(context("reading", &self.path))?,
                false => self.base.read(piece, from)?,
            }
            done += bytes;
        }
        Ok(())
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let mut bitmap = self.bitmap();
        let end = at + data.len() as u64;
        let (first, last) = (at / BLOCK_BYTES, (end - 1) / BLOCK_BYTES);
        // Only the first and the last block can be written in part; what is left of them comes from the base.
        for block in [first, last] {
            let start = block * BLOCK_BYTES;
            let whole = at <= start && start + self.block_bytes(block) <= end;
            if !whole && !bitmap.has(block) {
                let mut rest = vec![0; self.block_bytes(block) as usize];
                self.base.read(&mut rest, start)?;
                self.put(block, &rest)?;
                bitmap.set(block);
            }
        }
        self.overlay.write_all_at(data, at).map_err(context("writing", &self.path))?;
        (first..=last).for_each(|block| bitmap.set(block));
        Ok(())
    }

    fn put(&self, block: u64, bytes: &[u8]) -> io::Result<()> {
        self.overlay.write_all_at(bytes, block * BLOCK_BYTES).map_err(context("writing", &self.path))
    }
}

type Answer = (u64, io::Result<Vec<u8>>);

fn work(files: &Files, requests: &Receiver<(u64, Request)>, answers: &Sender<Answer>) {
    while let Ok((id, request)) = requests.recv() {
        if answers.send((id, files.execute(request))).is_err() {
            return;
        }
    }
}

/// The disk.
#[derive(Debug)]
pub struct Overlay {
    files: Arc<Files>,
    read_only: bool,
    requests: Option<SyncSender<(u64, Request)>>,
    answers: Receiver<Answer>,
    /// Answers that came before anybody waited for them.
    early: std::collections::VecDeque<Answer>,
    /// Requests without an answer yet.
    open: u64,
    thread: Option<JoinHandle<()>>,
}

impl Overlay {
    /// Makes a new, empty overlay at `path` over `base`, in place of what is there.
    pub fn create(path: &Path, base: Base, read_only: bool) -> io::Result<Self> {
        let overlay = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let overlay = overlay.map_err(context("creating", path))?;
        overlay.set_len(base.bytes()).map_err(context("growing", path))?;
        let bitmap = Mutex::new(Bitmap::new(base.bytes().div_ceil(BLOCK_BYTES)));
        let files = Arc::new(Files { base, overlay, path: path.to_owned(), bitmap });
        let (requests, theirs) = sync_channel(QUEUE_MAX);
        let (answer, answers) = channel();
        let shared = files.clone();
        let thread = std::thread::Builder::new()
            .name("disk".to_owned())
            .spawn(move || work(&shared, &theirs, &answer))
            .map_err(context("starting the thread of", path))?;
        let (requests, thread) = (Some(requests), Some(thread));
        Ok(Self { files, read_only, requests, answers, early: Default::default(), open: 0, thread })
    }

    /// Hash of the base.
    pub fn base_hash(&self) -> Digest {
        self.files.base.hash()
    }

    fn gone(&self) -> io::Error {
        io::Error::other(format!("the thread of {} has ended", self.files.path.display()))
    }

    fn next_answer(&mut self) -> io::Result<Answer> {
        if let Some(answer) = self.early.pop_front() {
            return Ok(answer);
        }
        let answer = self.answers.recv().map_err(|_| self.gone())?;
        self.open -= 1;
        Ok(answer)
    }

    /// Waits until the thread is idle.
    fn drain(&mut self) -> io::Result<()> {
        while self.open > 0 {
            let answer = self.answers.recv().map_err(|_| self.gone())?;
            self.open -= 1;
            self.early.push_back(answer);
        }
        match self.early.iter().find_map(|(_, result)| result.as_ref().err()) {
            Some(error) => Err(io::Error::new(error.kind(), error.to_string())),
            None => Ok(()),
        }
    }

    fn stop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was already seen as a missing answer.
            let _ = thread.join();
        }
    }
}

impl Storage for Overlay {
    fn bytes(&self) -> u64 {
        self.files.base.bytes()
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn submit(&mut self, id: u64, request: Request) -> io::Result<()> {
        let requests = self.requests.as_ref().expect("open until it is closed");
        requests.send((id, request)).map_err(|_| self.gone())?;
        self.open += 1;
        Ok(())
    }

    fn wait(&mut self, id: u64) -> io::Result<Vec<u8>> {
        loop {
            let (answered, result) = self.next_answer()?;
            assert!(answered <= id, "request {answered} was answered while {id} is waited for");
            let data = result?;
            if answered == id {
                return Ok(data);
            }
        }
    }

    fn save(&mut self, each: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        self.drain()?;
        let bitmap = self.files.bitmap().clone();
        let mut bytes = vec![0; BLOCK_BYTES as usize];
        for block in bitmap.blocks() {
            let bytes = &mut bytes[..self.files.block_bytes(block) as usize];
            self.files.read(block * BLOCK_BYTES, bytes)?;
            each(block, bytes)?;
        }
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.drain()?;
        self.early.clear();
        let files = &self.files;
        files.overlay.set_len(0).map_err(context("emptying", &files.path))?;
        files.overlay.set_len(files.base.bytes()).map_err(context("growing", &files.path))?;
        *files.bitmap() = Bitmap::new(files.base.bytes().div_ceil(BLOCK_BYTES));
        Ok(())
    }

    fn put(&mut self, block: u64, bytes: &[u8]) -> io::Result<()> {
        self.drain()?;
        let files = &self.files;
        let fits = block < files.base.bytes().div_ceil(BLOCK_BYTES) && bytes.len() as u64 == files.block_bytes(block);
        if !fits {
            let message = format!("block {block} of {} bytes is no block of {}", bytes.len(), files.path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        files.put(block, bytes)?;
        files.bitmap().set(block);
        Ok(())
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RamDisk, SECTOR_BYTES};
    use super::*;
    use proptest::prelude::*;

    /// Not a whole number of blocks.
    const SECTORS: u64 = 8 * 10 + 3;

    fn base_bytes() -> Vec<u8> {
        (0..SECTORS * SECTOR_BYTES).map(|i| (i % 249) as u8).collect()
    }

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("base"), base_bytes()).unwrap();
            Self { dir }
        }

        fn base(&self) -> PathBuf {
            self.dir.path().join("base")
        }

        fn overlay(&self) -> PathBuf {
            self.dir.path().join("overlay")
        }

        fn open(&self) -> Box<Overlay> {
            Box::new(Overlay::create(&self.overlay(), Base::open(&self.base()).unwrap(), false).unwrap())
        }
    }

    fn write(disk: &mut dyn Storage, id: u64, at: u64, data: &[u8]) {
        disk.submit(id, Request::Write { at, data: data.to_vec() }).unwrap();
    }

    fn contents(disk: &mut dyn Storage, id: u64) -> Vec<u8> {
        let bytes = disk.bytes() as u32;
        disk.submit(id, Request::Read { at: 0, bytes }).unwrap();
        disk.wait(id).unwrap()
    }

    fn saved(disk: &mut dyn Storage) -> Vec<(u64, Vec<u8>)> {
        let mut blocks = Vec::new();
        disk.save(&mut |block, bytes| {
            blocks.push((block, bytes.to_vec()));
            Ok(())
        })
        .unwrap();
        blocks
    }

    fn sectors() -> impl Strategy<Value = (u64, u64)> {
        (0..SECTORS).prop_flat_map(|from| (Just(from), 1..=SECTORS - from))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn an_overlay_is_a_disk(requests in proptest::collection::vec((0u8..3, sectors(), any::<u8>()), 1..40)) {
            let place = Place::new();
            let mut disk = place.open();
            let mut model = RamDisk::new(SECTORS);
            model.bytes = base_bytes();
            let mut reads = Vec::new();
            for (id, (kind, (from, count), fill)) in (0..).zip(requests) {
                let (at, bytes) = (from * SECTOR_BYTES, (count * SECTOR_BYTES) as u32);
                let request = match kind {
                    0 => Request::Read { at, bytes },
                    1 => Request::Write { at, data: vec![fill; bytes as usize] },
                    _ => Request::Flush,
                };
                if kind == 0 {
                    reads.push(id);
                }
                disk.submit(id, request.clone()).unwrap();
                model.submit(id, request).unwrap();
            }
            let blocks = saved(&mut *disk);
            for id in reads {
                prop_assert_eq!(disk.wait(id).unwrap(), model.wait(id).unwrap());
            }
            prop_assert_eq!(&blocks, &saved(&mut model));
            prop_assert_eq!(contents(&mut *disk, 1000), model.bytes.clone());

            let elsewhere = Place::new();
            let mut copy = elsewhere.open();
            write(&mut *copy, 2000, 0, &[1; 512]);
            copy.clear().unwrap();
            blocks.iter().for_each(|(block, bytes)| copy.put(*block, bytes).unwrap());
            prop_assert_eq!(contents(&mut *copy, 1000), model.bytes.clone());
            prop_assert_eq!(saved(&mut *copy), blocks);

            prop_assert_eq!(std::fs::read(place.base()).unwrap(), base_bytes(), "the base is never written");
        }
    }

    #[test]
    fn blocks_that_the_disk_does_not_have_are_refused() {
        let place = Place::new();
        std::fs::write(place.base(), [0; 512]).unwrap();
        let mut disk = place.open();
        assert!(disk.put(1, &[0; 512]).is_err());
        assert!(disk.put(0, &[0; 4096]).is_err());
        assert!(disk.put(u64::MAX, &[]).is_err());
    }
}
