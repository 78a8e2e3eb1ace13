//! What one server has other values for than another, though both do the same: put in on the way to it, and taken out on
//! the way back.
//!
//! | | in a sequence and in what is compared |
//! | --- | --- |
//! | revisions, of the store and of users and roles | as far from [`REVISION`] as from the revision at the start |
//! | identifiers that the server chooses: cluster, members, leases | numbers in the order in which they were met |
//! | names and addresses of members | `member-1`, ... |
//! | terms, indices, sizes, hashes, versions, tokens | whether there is one |
//! | seconds that a lease has left | what was granted, if that is not long ago |
//!
//! Nothing else is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage, Value};

use super::sequence::{LEASE_UNNAMED, MEMBER, REVISION};

/// As many seconds may pass between a grant and the question how many are left, and more if the sequence has taken more.
const SLOWNESS_SECONDS: i64 = 5;

/// The same of leases that live long, as a part of what they were granted: a simulated cluster may wait for more seconds than a
/// real one, since nobody has to sit them out.
const SLOWNESS_PART: i64 = 10;
/// Servers choose larger ones.
const CHOSEN_MIN: i64 = 1 << 40;
/// What stands for something that is there.
const SOME: u64 = 1;
const SOME_TEXT: &str = "some";

/// What the names of a sequence mean at one server.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The revision at which the sequence began.
    pub revision: i64,
    /// The same of users and roles.
    pub auth_revision: i64,
    pub cluster: u64,
    /// The members, in their order.
    pub members: Vec<u64>,
    /// How many of them there were at the start.
    pub members_before: usize,
    /// Names and addresses of members, and what stands for each.
    pub texts: Vec<(String, String)>,
    /// The leases whose identifiers the server chose, by their names.
    pub leases: BTreeMap<i64, i64>,
    /// The identifiers of leases that the sequence itself has chosen.
    pub asked: BTreeSet<i64>,
    /// How many leases were met that it neither chose nor named.
    pub unnamed: i64,
    /// When it began. No lease has lost more of its time.
    pub began: Option<Instant>,
}

/// What the value of a field is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Revision,
    AuthRevision,
    Cluster,
    Member,
    Lease,
    /// Only whether there is one is compared.
    Presence,
    /// As it is, but for names within it.
    Plain,
}

fn kind(field: &FieldDescriptor) -> Kind {
    let parent = field.parent_message().name();
    match (parent, field.name()) {
        (
            _,
            "raft_term" | "raftTerm" | "raftIndex" | "raftAppliedIndex" | "dbSize" | "dbSizeInUse"
            | "dbSizeQuota",
        )
        | ("HashResponse" | "HashKVResponse", "hash")
        | ("StatusResponse", "version" | "storageVersion")
        | ("AuthenticateResponse", "token")
        | ("SnapshotResponse", "blob" | "remaining_bytes" | "version") => Kind::Presence,
        ("AuthStatusResponse", "authRevision") => Kind::AuthRevision,
        ("ResponseHeader", "cluster_id") => Kind::Cluster,
        ("ResponseHeader", "member_id")
        | ("StatusResponse", "leader")
        | ("AlarmRequest" | "AlarmMember", "memberID")
        | ("MoveLeaderRequest", "targetID")
        | ("Member" | "MemberRemoveRequest" | "MemberUpdateRequest" | "MemberPromoteRequest", "ID") => {
            Kind::Member
        }
        (_, "lease")
        | (
            "LeaseGrantRequest"
            | "LeaseGrantResponse"
            | "LeaseRevokeRequest"
            | "LeaseKeepAliveRequest"
            | "LeaseKeepAliveResponse"
            | "LeaseTimeToLiveRequest"
            | "LeaseTimeToLiveResponse"
            | "LeaseStatus",
            "ID",
        ) => Kind::Lease,
        (_, "revision" | "create_revision" | "mod_revision" | "start_revision" | "compact_revision")
        | (
            _,
            "min_mod_revision"
            | "max_mod_revision"
            | "min_create_revision"
            | "max_create_revision"
            | "hash_revision",
        )
        | ("LeaderKey", "rev") => Kind::Revision,
        _ => Kind::Plain,
    }
}

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    To,
    From,
}

impl Frame {
    /// The request as this server has to get it.
    pub fn put_in(&mut self, message: &DynamicMessage) -> DynamicMessage {
        let mut message = message.clone();
        each_lease(&message, &mut |lease| {
            self.asked.insert(lease);
        });
        self.walk(&mut message, Way::To);
        message
    }

    /// The response as it is compared.
    pub fn take_out(&mut self, mut message: DynamicMessage) -> DynamicMessage {
        each_lease(&message, &mut |lease| self.meet(lease));
        self.walk(&mut message, Way::From);
        self.forgive_time(&mut message);
        sort_what_has_no_order(&mut message);
        message
    }

    /// A text that the server sent, as it is compared.
    pub fn take_out_of_text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (index, member) in self.members.iter().enumerate() {
            let name = (MEMBER + index as u64).to_string();
            // A small number may be anything, where its field does not say so.
            if *member > u64::from(u32::MAX) {
                text = text.replace(&member.to_string(), &name).replace(&format!("{member:x}"), &name);
            } else {
                text = text.replace(&format!("memberID:{member} "), &format!("memberID:{name} "));
            }
        }
        // A short name may be part of anything.
        for (actual, name) in self.texts.iter().filter(|(actual, _)| actual.contains("://")) {
            text = text.replace(actual, name);
        }
        // Large revisions make larger messages.
        match text.split_once("received message larger than max (").zip(text.split_once(" vs. ")) {
            Some(((head, _), (_, limit))) => {
                format!("{head}received message larger than max (some vs. {limit}")
            }
            None => text,
        }
    }

    /// A revision of this server, as it is compared.
    fn revision_from(&self, revision: i64) -> i64 {
        if revision <= 0 { revision } else { revision.wrapping_sub(self.revision).wrapping_add(REVISION) }
    }

    /// Names a lease that was granted without a request for one, as `Proclaim` does it.
    fn meet(&mut self, lease: i64) {
        let is_known = self.asked.contains(&lease) || self.leases.values().any(|actual| *actual == lease);
        if lease > CHOSEN_MIN && !is_known {
            self.leases.insert(LEASE_UNNAMED + self.unnamed, lease);
            self.unnamed += 1;
        }
    }

    fn walk(&self, message: &mut DynamicMessage, way: Way) {
        let set: Vec<FieldDescriptor> = message.fields().map(|(field, _)| field).collect();
        for field in set {
            let kind = kind(&field);
            self.change(message.get_field_mut(&field), kind, way);
        }
    }

    fn change(&self, value: &mut Value, kind: Kind, way: Way) {
        match value {
            Value::Message(message) => self.walk(message, way),
            Value::List(values) => values.iter_mut().for_each(|value| self.change(value, kind, way)),
            Value::I64(number) => *number = self.number(*number, kind, way),
            Value::U64(number) => *number = self.unsigned(*number, kind, way),
            Value::U32(number) if kind == Kind::Presence && *number != 0 => *number = 1,
            Value::String(text) => match (kind, way) {
                (Kind::Presence, Way::From) => SOME_TEXT.clone_into(text),
                (_, Way::From) => {
                    let name = self.texts.iter().find(|(actual, _)| actual == text);
                    *text = name.map_or_else(|| self.take_out_of_text(text), |(_, name)| name.clone());
                }
                (_, Way::To) => {
                    for (actual, name) in &self.texts {
                        if text == name {
                            actual.clone_into(text);
                        }
                    }
                }
            },
            Value::Bytes(bytes) => match (kind, way) {
                (Kind::Presence, Way::From) => *bytes = Bytes::from_static(SOME_TEXT.as_bytes()),
                _ => self.leases_in(bytes, way),
            },
            _ => {}
        }
    }

    fn number(&self, number: i64, kind: Kind, way: Way) -> i64 {
        let is_near = |name: i64| number.abs_diff(name) < 1 << 40;
        match (kind, way) {
            (Kind::Revision, Way::To) if is_near(REVISION) => {
                number.wrapping_sub(REVISION).wrapping_add(self.revision)
            }
            (Kind::Revision, Way::From) => self.revision_from(number),
            (Kind::Lease, Way::To) => self.leases.get(&number).copied().unwrap_or(number),
            (Kind::Lease, Way::From) => {
                let name = self.leases.iter().find(|(_, actual)| **actual == number);
                name.map_or(number, |(name, _)| *name)
            }
            (Kind::Presence, Way::From) if number != 0 => SOME as i64,
            _ => number,
        }
    }

    fn unsigned(&self, number: u64, kind: Kind, way: Way) -> u64 {
        match (kind, way) {
            (Kind::Member, Way::To) => {
                let index = number.checked_sub(MEMBER).and_then(|index| usize::try_from(index).ok());
                index.and_then(|index| self.members.get(index)).copied().unwrap_or(number)
            }
            (Kind::Member, Way::From) => {
                let index = self.members.iter().position(|member| *member == number);
                index.map_or(number, |index| MEMBER + index as u64)
            }
            (Kind::Cluster, Way::From) if number == self.cluster => SOME,
            (Kind::Presence, Way::From) if number != 0 => SOME,
            (Kind::AuthRevision, Way::From) => {
                let revision = i64::try_from(number).unwrap_or(i64::MAX);
                u64::try_from(revision - self.auth_revision + REVISION).unwrap_or(0)
            }
            _ => number,
        }
    }

    /// Two servers are not asked at the same time: a little of a lease's time may have passed.
    fn forgive_time(&self, message: &mut DynamicMessage) {
        if message.descriptor().name() != "LeaseTimeToLiveResponse" {
            return;
        }
        let number = |message: &DynamicMessage, name| {
            message.get_field_by_name(name).and_then(|value| value.as_i64()).unwrap_or_default()
        };
        let taken = self.began.map_or(0, |began| began.elapsed().as_secs().cast_signed() + 1);
        let (left, granted) = (number(message, "TTL"), number(message, "grantedTTL"));
        let slowness = SLOWNESS_SECONDS.max(granted / SLOWNESS_PART).max(taken);
        if left >= 0 && (0..=slowness).contains(&(granted - left)) {
            message.set_field_by_name("TTL", Value::I64(granted));
        }
    }

    /// Lock and Election write the identifiers of leases into keys, in hexadecimal digits.
    fn leases_in(&self, bytes: &mut Bytes, way: Way) {
        for (name, actual) in &self.leases {
            let (mut from, mut to) = (format!("{actual:x}"), format!("{name:x}"));
            if way == Way::To {
                std::mem::swap(&mut from, &mut to);
            }
            if let Some(at) = bytes.windows(from.len()).position(|part| part == from.as_bytes()) {
                *bytes = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat().into();
            }
        }
    }
}

/// Whether a message names a revision by its number alone: what that stands for depends on what the server has gone through.
pub fn names_a_revision(message: &DynamicMessage) -> bool {
    fn of_value(value: &Value, is_revision: bool) -> bool {
        match value {
            Value::Message(message) => names_a_revision(message),
            Value::List(values) => values.iter().any(|value| of_value(value, is_revision)),
            Value::I64(number) => is_revision && (1..1 << 40).contains(number),
            _ => false,
        }
    }
    message.fields().any(|(field, value)| of_value(value, kind(&field) == Kind::Revision))
}

/// Each identifier of a lease in a message.
fn each_lease(message: &DynamicMessage, sink: &mut dyn FnMut(i64)) {
    fn of_value(value: &Value, is_lease: bool, sink: &mut dyn FnMut(i64)) {
        match value {
            Value::Message(message) => each_lease(message, sink),
            Value::List(values) => values.iter().for_each(|value| of_value(value, is_lease, sink)),
            Value::I64(lease) if is_lease => sink(*lease),
            _ => {}
        }
    }
    for (field, value) in message.fields() {
        of_value(value, kind(&field) == Kind::Lease, sink);
    }
}

/// etcd keeps the keys of a lease in a map of Go, which gives them in another order each time; leases are told in the order
/// in which they end; and members in that of their identifiers, which are hashes.
fn sort_what_has_no_order(message: &mut DynamicMessage) {
    let name = match message.descriptor().name() {
        "LeaseTimeToLiveResponse" => "keys",
        "LeaseLeasesResponse" => "leases",
        "MemberListResponse"
        | "MemberAddResponse"
        | "MemberRemoveResponse"
        | "MemberUpdateResponse"
        | "MemberPromoteResponse" => "members",
        _ => return,
    };
    let Some(field) = message.descriptor().get_field_by_name(name) else { return };
    if !message.has_field(&field) {
        return;
    }
    if let Value::List(values) = message.get_field_mut(&field) {
        values.sort_by_cached_key(|value| value.to_string());
    }
}
