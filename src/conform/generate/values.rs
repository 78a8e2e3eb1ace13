//! The values that fields have.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost_reflect::{DynamicMessage, FieldDescriptor};
use vertebra_sim::random::Stream;

use crate::conform::sequence::{LEASE, MEMBER, REVISION};

const KEYS: [&[u8]; 13] =
    [b"a", b"b", b"a/1", b"a/2", b"a/3", b"aa", b"b/1", b"c", b"", b"\0", b"\xff", b"\xff\xff", b"a\0"];
const VALUES: [&[u8]; 8] =
    [b"1", b"2", b"10", b"x", b"", b"\0", b"\xff\xfe", b"a longer value, which is of no number"];
const USERS: [&str; 5] = ["alice", "bob", "root", "carol", ""];
const ROLES: [&str; 5] = ["reader", "writer", "root", "guest", ""];
const PASSWORDS: [&str; 3] = ["secret", "", "other"];
const URLS: [&str; 6] = [
    "http://127.0.0.1:29999",
    "http://peer-1.of.member-1:2380",
    "not a url",
    "http://127.0.0.1",
    "ftp://127.0.0.1:1",
    "",
];
const VERSIONS: [&str; 8] = ["3.4.0", "3.5.0", "3.6", "3.5", "3.3.0", "nonsense", "", "99.0.0"];
const LEASES: [i64; 8] = [1, 2, 3, 77, i64::MAX, -1, 0, i64::MIN];
/// Seconds, the likely ones first. What is shorter than the shortest lease becomes that.
const TTLS: [i64; 10] = [100, 200, 300, 500, 9_000_000_000, 9_000_000_001, i64::MAX, 0, -1, i64::MIN];

/// What a seed chooses its values from.
pub struct Values {
    keys: Vec<&'static [u8]>,
    /// How many revisions there have been, as far as one can say.
    revisions: i64,
    /// The leases that were asked for.
    leases: BTreeSet<i64>,
}

impl Values {
    /// Few keys, or more of them.
    pub fn new(draw: &mut Stream) -> Self {
        let odd = draw.chance(300_000);
        let most = draw.between(2, 8) as usize;
        let mut keys = KEYS[..most].to_vec();
        if odd {
            keys.extend_from_slice(&KEYS[8..]);
        }
        Self { keys, revisions: 0, leases: BTreeSet::new() }
    }

    /// Takes note of a request, for those that come after it.
    pub fn note(&mut self, path: &str, request: &DynamicMessage) {
        let name = path.rsplit('/').next().unwrap_or_default();
        match name {
            "Put" | "DeleteRange" | "Txn" => self.revisions += 1,
            "LeaseGrant" => {
                let id = request.get_field_by_name("ID").and_then(|id| id.as_i64());
                self.leases.extend(id.filter(|id| *id != 0));
            }
            _ => {}
        }
    }

    /// There will be a lease of this name.
    pub fn note_lease(&mut self, name: i64) {
        self.leases.insert(name);
    }

    pub fn key(&self, draw: &mut Stream) -> Bytes {
        match draw.below(200) {
            0 => vec![b'k'; 1 << draw.below(12)].into(),
            1..=4 => Bytes::from_static(draw.pick::<&[u8]>(&KEYS)),
            _ => Bytes::from_static(draw.pick::<&[u8]>(&self.keys)),
        }
    }

    pub fn bytes(&self, draw: &mut Stream, field: &FieldDescriptor, message: &DynamicMessage) -> Bytes {
        match field.name() {
            "key" | "name" => self.key(draw),
            "range_end" => {
                let key = message.get_field_by_name("key").and_then(|key| key.as_bytes().cloned());
                self.range_end(draw, &key.unwrap_or_default())
            }
            "value" => match draw.below(1_000) {
                0 => vec![b'v'; 1_600_000].into(),
                1 => vec![b'v'; 2_200_000].into(),
                2..=9 => vec![b'v'; draw.magnitude(10, 20_000) as usize].into(),
                _ => Bytes::from_static(draw.pick::<&[u8]>(&VALUES)),
            },
            _ => Bytes::from_static(draw.pick::<&[u8]>(&VALUES)),
        }
    }

    fn range_end(&self, draw: &mut Stream, key: &[u8]) -> Bytes {
        match draw.below(10) {
            0..=2 => Bytes::from_static(b"\0"),
            3..=5 => prefix_end(key),
            6 => [key, b"\0"].concat().into(),
            7 => key.to_vec().into(),
            _ => self.key(draw),
        }
    }

    pub fn text(&self, draw: &mut Stream, field: &FieldDescriptor) -> String {
        let from: &[&str] = match (field.parent_message().name(), field.name()) {
            ("AuthUserGrantRoleRequest", "user") => &USERS,
            (_, "role") => &ROLES,
            (message, "name") if message.contains("Role") => &ROLES,
            (_, "name") => &USERS,
            (_, "password") => &PASSWORDS,
            (_, "hashedPassword") => &["bm90IGEgaGFzaA==", "not base64", ""],
            (_, "peerURLs") => &URLS,
            (_, "version") => &VERSIONS,
            _ => &["a", ""],
        };
        // The first ones more often.
        let count = from.len() as u64;
        let index = draw.below(count).min(draw.below(count));
        from[index as usize].to_owned()
    }

    pub fn number(&self, draw: &mut Stream, field: &FieldDescriptor) -> i64 {
        match (field.parent_message().name(), field.name()) {
            (_, "limit") => *draw.pick(&[1, 1, 2, 2, 3, 10, 0, -1, i64::MAX, i64::MIN]),
            (_, "TTL") => TTLS[draw.below(10).min(draw.below(10)) as usize],
            (_, "version") => *draw.pick(&[0, 1, 1, 2, 3, -1, i64::MAX]),
            ("LeaseGrantRequest", "ID") => *draw.pick(&LEASES),
            (_, "lease" | "ID") => self.lease(draw),
            (_, "watch_id") => *draw.pick(&[0, 1, 1, 2, 3, 7, 100, -1, i64::MAX]),
            _ => self.revision(draw),
        }
    }

    fn lease(&self, draw: &mut Stream) -> i64 {
        let known: Vec<i64> = self.leases.iter().copied().collect();
        match draw.below(10) {
            0..=7 if !known.is_empty() => *draw.pick(&known),
            8 => LEASE + draw.below(2) as i64,
            _ => *draw.pick(&LEASES),
        }
    }

    pub fn member(&self, draw: &mut Stream) -> u64 {
        *draw.pick(&[MEMBER, MEMBER, 0, u64::MAX, MEMBER + 1])
    }

    fn revision(&self, draw: &mut Stream) -> i64 {
        match draw.below(20) {
            0 => *draw.pick(&[0, -1, 1, 2, i64::MAX, i64::MIN]),
            1 => REVISION - draw.between(0, 2) as i64,
            2 => REVISION + self.revisions + draw.between(1, 1_000) as i64,
            _ => REVISION + draw.between(0, self.revisions.max(1) as u64) as i64,
        }
    }
}

/// The end of the range of all keys that begin with `key`.
fn prefix_end(key: &[u8]) -> Bytes {
    let mut end = key.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}
