//! How many callers a live shard expects to hear before it rests.
//!
//! What comes before a frame is sealed shares its way to the backup and back. Where many shards and their clients share few processors, whoever would speak
//! next often waits for the processor on which the shard is about to seal a frame for one request. So a shard that has heard fewer callers than it did last
//! time gives way once before it looks again. On an idle processor that costs next to nothing, and with one caller it never happens.

use crate::edge::{Caller, Event};

#[derive(Debug, Default)]
pub struct Crowd {
    /// Callers heard since it was quiet.
    heard: usize,
    last: Option<Caller>,
    /// So many were heard before it was quiet last, less one for each time that fewer were.
    expected: usize,
}

impl Crowd {
    /// What one caller has sent comes in a row.
    pub fn heard(&mut self, event: &Event) {
        if let Event::Request { by, .. } | Event::Keyed { by, .. } | Event::Payload { by, .. } = event
            && self.last.replace(*by) != Some(*by)
        {
            self.heard += 1;
        }
    }

    /// Something was heard; others may be about to speak.
    pub fn let_others_speak(&mut self) {
        if self.heard < self.expected {
            std::thread::yield_now();
        }
    }

    /// Nobody speaks any more.
    pub fn is_quiet(&mut self) {
        if self.heard > 0 {
            self.expected = self.heard.max(self.expected.saturating_sub(1));
        }
        (self.heard, self.last) = (0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(crowd: &mut Crowd, callers: &[u64]) {
        for &by in callers {
            let to = crate::TaskId::new("kind", "name");
            let session = crate::Session(1);
            crowd.heard(&Event::Request { by: Caller(by), session, number: 1, below: 1, to, body: String::new() });
        }
        crowd.is_quiet();
    }

    #[test]
    fn as_many_callers_are_expected_as_were_heard_last_and_ever_fewer_if_they_do_not_come() {
        let mut crowd = Crowd::default();
        frame(&mut crowd, &[1, 1, 1]);
        assert_eq!(crowd.expected, 1, "one caller, however much it says");
        frame(&mut crowd, &[1, 2, 3, 3]);
        assert_eq!(crowd.expected, 3);
        frame(&mut crowd, &[2]);
        assert_eq!(crowd.expected, 2);
        frame(&mut crowd, &[]);
        assert_eq!(crowd.expected, 2, "who has heard nobody has learned nothing");
        frame(&mut crowd, &[2]);
        frame(&mut crowd, &[2]);
        assert_eq!(crowd.expected, 1);
    }
}
