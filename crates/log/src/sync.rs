//! The body of a sync entry: the digest of a replica between two steps, and a short hash of each of its parts, so that a difference has a place.
//!
//! ```text
//! u128 digest | u32 part | u32 part | ...      at most PARTS_MAX; none in logs of older writers
//! ```

use crate::{Digest, Hasher, Reader};

/// What a digest is made of: parts by name, in an order that is the same on both sides.
pub type Parts = Vec<(String, Digest)>;

/// Parts that one entry tells of; those behind them count in the digest alone.
pub const PARTS_MAX: usize = 4096;
/// Differing parts that an error names.
const NAMED_MAX: usize = 8;

/// One digest from those of all parts; a replica of one part has that one's.
pub fn combine(parts: &[(String, Digest)]) -> Digest {
    if let [(_, only)] = parts {
        return *only;
    }
    let mut all = Hasher::new();
    for (_, part) in parts {
        all.update(&part.to_le_bytes());
    }
    all.finish()
}

/// What a sync entry says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncBody {
    /// The digest of the whole replica.
    pub digest: Digest,
    /// The low bits of each part's.
    parts: Vec<u32>,
}

impl SyncBody {
    /// Of a replica's parts.
    pub fn of(parts: &[(String, Digest)]) -> Self {
        let short = parts.iter().take(PARTS_MAX).map(|&(_, part)| part as u32).collect();
        Self { digest: combine(parts), parts: short }
    }

    /// The entry's body.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.digest.to_le_bytes().to_vec();
        out.extend(self.parts.iter().flat_map(|part| part.to_le_bytes()));
        out
    }

    /// Reads an entry's body; `None` if it is none.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let mut r = Reader::new(body);
        let digest = Digest::from_le_bytes(r.array()?);
        let (parts, rest) = r.bytes(r.remaining())?.as_chunks::<4>();
        let whole = rest.is_empty() && parts.len() <= PARTS_MAX;
        whole.then(|| Self { digest, parts: parts.iter().map(|&part| u32::from_le_bytes(part)).collect() })
    }

    /// Which of a replica's parts differ from what is logged, in words; `None` if nothing does.
    pub fn differs(&self, found: &[(String, Digest)]) -> Option<String> {
        let Self { digest, parts } = Self::of(found);
        if digest == self.digest && (self.parts.is_empty() || parts == self.parts) {
            return None;
        }
        let mut text = format!("digest {digest:032x}");
        if self.parts.is_empty() {
            return Some(text);
        }
        let differing = found.iter().zip(&self.parts).filter(|((_, part), logged)| *part as u32 != **logged);
        let mut names: Vec<&str> = differing.map(|((name, _), _)| name.as_str()).collect();
        let more = names.len().saturating_sub(NAMED_MAX);
        names.truncate(NAMED_MAX);
        text.push_str("; different: ");
        text.push_str(&if names.is_empty() { "a part that is not in the log".to_owned() } else { names.join(", ") });
        if more > 0 {
            text.push_str(&format!(", and {more} more"));
        }
        if parts.len() != self.parts.len() {
            text.push_str(&format!("; {} parts here, {} there", parts.len(), self.parts.len()));
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(digests: &[u128]) -> Parts {
        digests.iter().enumerate().map(|(n, &digest)| (format!("part {n}"), digest)).collect()
    }

    fn check(logged: &[u128], found: &[u128], expect: Option<&str>) {
        let body = SyncBody::decode(&SyncBody::of(&parts(logged)).encode()).expect("what was encoded");
        let said = body.differs(&parts(found)).map(|text| text.split_once("; ").expect("digest; rest").1.to_owned());
        assert_eq!(said.as_deref(), expect, "{logged:?} {found:?}");
    }

    #[test]
    fn a_difference_has_a_name() {
        check(&[1, 2, 3], &[1, 2, 3], None);
        check(&[1, 2, 3], &[1, 5, 3], Some("different: part 1"));
        check(&[1, 2, 3], &[1, 2], Some("different: a part that is not in the log; 2 parts here, 3 there"));
        check(&[1, 2], &[4, 2, 3], Some("different: part 0; 3 parts here, 2 there"));
        check(&[7], &[8], Some("different: part 0"));
        let many = "different: part 0, part 1, part 2, part 3, part 4, part 5, part 6, part 7, and 2 more";
        check(&[1; 10], &[2; 10], Some(many));
    }

    #[test]
    fn a_body_of_an_older_writer_is_a_digest_alone() {
        let body = SyncBody::decode(&[5; 16]).expect("16 bytes");
        assert_eq!(body.differs(&parts(&[u128::from_le_bytes([5; 16])])), None);
        assert_eq!(body.differs(&parts(&[6])), Some(format!("digest {:032x}", 6)));
        assert_eq!(SyncBody::decode(&[5; 15]), None);
        assert_eq!(SyncBody::decode(&[5; 18]), None);
    }

    #[test]
    fn a_replica_of_very_many_parts_fits() {
        let many = parts(&vec![9; PARTS_MAX + 5]);
        let body = SyncBody::decode(&SyncBody::of(&many).encode()).expect("what was encoded");
        assert_eq!(body.differs(&many), None);
        assert_eq!(body.encode().len(), 16 + 4 * PARTS_MAX);
    }
}
