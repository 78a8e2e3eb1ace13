//! Which keys a user may read and write.

use bytes::Bytes;
use prost::Message;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::api::authpb::{Permission, Role, permission::Type};

/// The end of an interval of keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum End {
    /// Before this key.
    Before(Bytes),
    /// There is none.
    Open,
}

impl End {
    /// That of the keys from `key` to `range_end` as a read names them.
    fn of(key: &[u8], range_end: &Bytes) -> Self {
        match &range_end[..] {
            [] => Self::Before([key, b"\0"].concat().into()),
            [0] => Self::Open,
            _ => Self::Before(range_end.clone()),
        }
    }
}

/// Intervals of keys that neither overlap nor touch, in their order.
#[derive(Clone, Default, PartialEq, Debug)]
struct Intervals(Vec<(Bytes, End)>);

impl Intervals {
    fn of(mut intervals: Vec<(Bytes, End)>) -> Self {
        intervals.sort();
        let mut merged: Vec<(Bytes, End)> = Vec::with_capacity(intervals.len());
        for (begin, end) in intervals {
            match merged.last_mut() {
                Some((_, last)) if *last >= End::Before(begin.clone()) => {
                    if *last < end {
                        *last = end;
                    }
                }
                _ => merged.push((begin, end)),
            }
        }
        Self(merged)
    }

    fn contain(&self, key: &[u8], range_end: &Bytes) -> bool {
        let behind = self.0.partition_point(|(begin, _)| begin[..] <= *key);
        let Some(last) = behind.checked_sub(1) else { return false };
        let end = &self.0[last].1;
        *end > End::Before(Bytes::copy_from_slice(key)) && *end >= End::of(key, range_end)
    }
}

/// What the roles of a user come to, merged (etcd's `rangePermCache`).
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct Permitted {
    read: Intervals,
    write: Intervals,
}

impl Permitted {
    pub(super) fn by<'a>(roles: impl Iterator<Item = &'a Role>) -> Self {
        let (mut read, mut write) = (Vec::new(), Vec::new());
        for permission in roles.flat_map(|role| &role.key_permission) {
            let interval = (permission.key.clone(), End::of(&permission.key, &permission.range_end));
            if permission.perm_type() != Type::Write {
                read.push(interval.clone());
            }
            if permission.perm_type() != Type::Read {
                write.push(interval);
            }
        }
        Self { read: Intervals::of(read), write: Intervals::of(write) }
    }

    pub(super) fn allows(&self, access: Access, key: &[u8], range_end: &Bytes) -> bool {
        match access {
            Access::Read => self.read.contain(key, range_end),
            Access::Write => self.write.contain(key, range_end),
        }
    }

    pub(super) fn hash(&self, seed: u64) -> u64 {
        [&self.read, &self.write].into_iter().fold(seed, |hash, intervals| {
            intervals.0.iter().fold(xxh3_64_with_seed(b"intervals", hash), |hash, (begin, end)| {
                let hash = xxh3_64_with_seed(begin, hash);
                match end {
                    End::Before(end) => xxh3_64_with_seed(end, hash),
                    End::Open => hash,
                }
            })
        })
    }
}

/// What is done with keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Read,
    Write,
}

/// Whether a permission can be granted for these keys.
pub(super) fn is_valid(permission: &Permission) -> bool {
    let Permission { key, range_end, .. } = permission;
    !key.is_empty() && (range_end.is_empty() || key < range_end || range_end[..] == *b"\0")
}

pub(super) fn hash_message(message: &impl Message, seed: u64) -> u64 {
    xxh3_64_with_seed(&message.encode_to_vec(), seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(permissions: &[(Type, &'static str, &'static str)]) -> Permitted {
        let permission = |&(kind, key, end): &(Type, &'static str, &'static str)| Permission {
            perm_type: kind.into(),
            key: key.into(),
            range_end: end.into(),
        };
        let key_permission = permissions.iter().map(permission).collect();
        Permitted::by([Role { name: "role".into(), key_permission }].iter())
    }

    fn reads(permitted: &Permitted, key: &str, end: &'static str) -> bool {
        permitted.allows(Access::Read, key.as_bytes(), &end.into())
    }

    #[test]
    fn permissions_that_touch_are_as_good_as_one() {
        let permitted =
            permitted(&[(Type::Read, "c", "e"), (Type::Readwrite, "a", "c"), (Type::Read, "x", "")]);
        for (key, end, allowed) in [
            ("a", "e", true),
            ("b", "d", true),
            ("a", "f", false),
            ("e", "", false),
            ("d", "", true),
            ("x", "", true),
        ] {
            assert_eq!(reads(&permitted, key, end), allowed, "{key}..{end}");
        }
        assert!(!reads(&permitted, "x", "y") && reads(&permitted, "x", "x\0"));
        assert!(permitted.allows(Access::Write, b"b", &Bytes::new()));
        assert!(!permitted.allows(Access::Write, b"b", &"d".into()));
    }

    #[test]
    fn a_zero_byte_ends_no_range() {
        let open = permitted(&[(Type::Read, "b", "\0")]);
        assert!(reads(&open, "b", "\0") && reads(&open, "z", "\0") && reads(&open, "c", "d"));
        assert!(!reads(&open, "a", "\0"));
        let closed = permitted(&[(Type::Read, "b", "z")]);
        assert!(!reads(&closed, "b", "\0"), "which GHSA-xg4h let pass for watches");
    }

    #[test]
    fn a_permission_is_for_some_keys() {
        let valid = |key: &'static str, range_end: &'static str| {
            is_valid(&Permission { perm_type: 0, key: key.into(), range_end: range_end.into() })
        };
        assert!(valid("a", "") && valid("a", "b") && valid("a", "\0") && valid("\0", "\0"));
        assert!(!valid("", "") && !valid("b", "a") && !valid("a", "a"));
    }
}
