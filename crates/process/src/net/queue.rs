//! A socket's receive queue: a stream of bytes or a row of messages, with what travels beside them.

use super::{Addr, PeerCred};
use crate::kernel::FileId;
use std::borrow::Cow;
use std::collections::VecDeque;

/// What was sent in one go.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Who sent it, for datagrams.
    pub from: Option<Addr>,
    /// Descriptions that travel with it (SCM_RIGHTS); each counts as a holder.
    pub files: Vec<FileId>,
    /// Who sent it, for SCM_CREDENTIALS.
    pub cred: PeerCred,
    /// Length before it was cut to the reader's buffer.
    pub full: usize,
}

/// What has arrived and was not read.
#[derive(Debug, Default)]
pub struct Queue {
    messages: VecDeque<Message>,
    /// Bytes of the first message that were read.
    taken: usize,
    bytes: usize,
}

impl Queue {
    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that wait.
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Adds a message.
    pub fn push(&mut self, message: Message) {
        self.bytes += message.bytes.len();
        self.messages.push_back(message);
    }

    /// Length of the first message (what is left of it).
    pub fn first_len(&self) -> usize {
        self.messages.front().map_or(0, |m| m.bytes.len() - self.taken)
    }

    /// Everything that waits, if that is plain bytes and not more than `max` of them.
    pub fn all_bytes(&self, max: usize) -> Option<Cow<'_, [u8]>> {
        if self.bytes > max || self.messages.iter().any(|m| !m.files.is_empty()) {
            return None;
        }
        let pieces = self.messages.iter().enumerate();
        let mut pieces = pieces.map(|(i, message)| &message.bytes[if i == 0 { self.taken } else { 0 }..]);
        let Some(first) = pieces.next() else { return Some(Cow::Borrowed(&[])) };
        let mut all = Cow::Borrowed(first);
        for piece in pieces {
            all.to_mut().extend_from_slice(piece);
        }
        Some(all)
    }

    /// Takes up to `max` bytes of a stream. Bytes sent with descriptors are the last ones of a read: nothing that comes after is joined with them.
    pub fn read_stream(&mut self, max: usize, peek: bool) -> Message {
        let mut out = Message::default();
        let mut skip = self.taken;
        let mut index = 0;
        while out.bytes.len() < max {
            let Some(message) = self.messages.get(index) else { break };
            if !out.files.is_empty() {
                break;
            }
            let rest = &message.bytes[skip..];
            let n = rest.len().min(max - out.bytes.len());
            out.bytes.extend_from_slice(&rest[..n]);
            out.cred = message.cred;
            out.files.extend_from_slice(&message.files);
            if n < rest.len() {
                skip += n;
                break;
            }
            skip = 0;
            index += 1;
        }
        out.full = out.bytes.len();
        if !peek {
            self.bytes -= out.bytes.len();
            self.messages.drain(..index);
            self.taken = if self.messages.is_empty() { 0 } else { skip };
            if let Some(first) = self.messages.front_mut() {
                // They have been given with the first part.
                if skip > 0 {
                    first.files.clear();
                }
            }
        }
        out
    }

    /// What [`read_stream`](Self::read_stream) has taken waits again, before all else.
    pub fn put_back(&mut self, message: Message) {
        if let Some(first) = self.messages.front_mut() {
            first.bytes.drain(..std::mem::take(&mut self.taken));
        }
        self.bytes += message.bytes.len();
        self.messages.push_front(message);
    }

    /// Takes so many bytes of a stream away, which somebody has read already; false if there are not that many.
    pub fn skip(&mut self, mut bytes: usize) -> bool {
        if bytes > self.bytes {
            return false;
        }
        self.bytes -= bytes;
        while bytes > 0 {
            let left = self.first_len();
            if bytes < left {
                self.taken += bytes;
                return true;
            }
            bytes -= left;
            self.messages.pop_front();
            self.taken = 0;
        }
        true
    }

    /// Takes the first message whole, cut to `max` bytes.
    pub fn read_message(&mut self, max: usize, peek: bool) -> Option<Message> {
        let mut message = match peek {
            true => self.messages.front()?.clone(),
            false => self.messages.pop_front()?,
        };
        message.full = message.bytes.len();
        if !peek {
            self.bytes -= message.full;
        }
        message.bytes.truncate(max);
        Some(message)
    }

    /// Takes everything, for a socket that is closed with unread messages.
    pub fn take_files(&mut self) -> Vec<FileId> {
        self.bytes = 0;
        self.taken = 0;
        self.messages.drain(..).flat_map(|m| m.files).collect()
    }

    /// Everything that shapes the future.
    pub fn digest(&self, h: &mut gapless_log::Hasher) {
        h.number(self.taken as u64);
        for message in &self.messages {
            h.number(message.bytes.len() as u64);
            h.update(&message.bytes);
            for file in &message.files {
                h.number(file.0);
            }
        }
    }
}
