//! The moment of one change, and the key under which the backend has what it wrote.

/// When a change happened: the transaction (`main`), and the change's place within it (`sub`, from 0).
///
/// Every change of a store has its own, and they are totally ordered. Clients see `main` alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The revision of the store that the transaction made; the first one makes 2.
    pub main: i64,
    /// How many changes of the same transaction came before.
    pub sub: i64,
}

/// Bytes of a revision in the backend's bucket of keys, without the mark of a tombstone.
pub const REVISION_BYTES: usize = 17;

/// What follows the revision of a deletion.
const TOMBSTONE_MARK: u8 = b't';

impl Revision {
    /// The bytes under which the backend has the change: `main`, "_", `sub`, both big-endian, so that they sort as
    /// revisions do.
    #[must_use]
    pub fn to_bytes(self) -> [u8; REVISION_BYTES] {
        let mut bytes = [b'_'; REVISION_BYTES];
        bytes[..8].copy_from_slice(&self.main.to_be_bytes());
        bytes[9..].copy_from_slice(&self.sub.to_be_bytes());
        bytes
    }

    /// The same for a deletion, which bears a mark at its end.
    #[must_use]
    pub fn to_tombstone_bytes(self) -> [u8; REVISION_BYTES + 1] {
        let mut bytes = [TOMBSTONE_MARK; REVISION_BYTES + 1];
        bytes[..REVISION_BYTES].copy_from_slice(&self.to_bytes());
        bytes
    }

    /// The revision that a key of the backend stands for, and whether it is of a deletion; `None` for bytes that
    /// no store writes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<(Self, bool)> {
        let (revision, mark) = bytes.split_at_checked(REVISION_BYTES)?;
        let tombstone = match mark {
            [] => false,
            [TOMBSTONE_MARK] => true,
            _ => return None,
        };
        let main = i64::from_be_bytes(*revision.first_chunk()?);
        let sub = i64::from_be_bytes(*revision.last_chunk()?);
        (revision[8] == b'_').then_some((Self { main, sub }, tombstone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_revisions_sort_as_they_do_and_tell_deletions() {
        let revisions = [(1, 0), (2, 0), (2, 1), (2, 256), (3, 0), (256, 0), (65_536, 2)];
        let revisions = revisions.map(|(main, sub)| Revision { main, sub });
        let bytes: Vec<_> = revisions.iter().map(|revision| revision.to_bytes()).collect();
        assert!(bytes.is_sorted());
        for revision in revisions {
            assert_eq!(Revision::from_bytes(&revision.to_bytes()), Some((revision, false)));
            assert_eq!(Revision::from_bytes(&revision.to_tombstone_bytes()), Some((revision, true)));
        }
        for other in [&b""[..], b"consistent_index", b"0123456789abcdefg", b"01234567_9abcdefgx"] {
            assert_eq!(Revision::from_bytes(other), None);
        }
    }
}
