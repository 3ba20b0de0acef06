//! The simulated arbiter: a linearizable register whose answers, and whose applying of puts, may be late or lost.

use gapless_pair::{Put, Register};

/// The register, and every term it has ever had.
#[derive(Clone, Debug, Default)]
pub struct Arbiter {
    current: Option<Register>,
}

impl Arbiter {
    /// The register as it stands.
    pub fn current(&self) -> Option<&Register> {
        self.current.as_ref()
    }

    /// Applies a put at this moment; true if it won.
    pub fn apply(&mut self, put: &Put) -> bool {
        let wins = put.expect.matches(self.current.as_ref());
        if wins {
            self.current = Some(put.new.clone());
        }
        wins
    }
}
