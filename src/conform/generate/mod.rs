//! A sequence from a seed.
//!
//! | | where |
//! | --- | --- |
//! | which requests, in which order | here, and `scripts` for what makes sense only in order |
//! | a message, field by field | `message` |
//! | the values that fields have: few, so that they meet, and the odd ones on purpose | `values` |
//!
//! A seed has some themes and not others, and asks for much of some: what meets only rarely among everything meets often in
//! some seeds.

use bytes::Bytes;
use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message as _;
use vertebra_sim::random::{Stream, Streams};

use self::values::Values;
use super::frame::names_a_revision;
use super::methods;
use super::sequence::{Action, Body, Caller, Sequence, Step};

mod message;
mod scripts;
mod values;

/// What is asked for, how often among the rest, and in which share of the seeds at all.
struct Theme {
    methods: &'static [(u32, &'static str)],
    weight: u64,
    parts_per_million: u32,
}

const THEMES: [Theme; 8] = [
    Theme {
        methods: &[
            (30, "KV/Put"),
            (40, "KV/Range"),
            (12, "KV/DeleteRange"),
            (30, "KV/Txn"),
            (4, "KV/Compact"),
        ],
        weight: 40,
        parts_per_million: 1_000_000,
    },
    Theme {
        methods: &[
            (30, "Lease/LeaseGrant"),
            (12, "Lease/LeaseRevoke"),
            (25, "Lease/LeaseTimeToLive"),
            (8, "Lease/LeaseLeases"),
            (25, "KV/Put"),
        ],
        weight: 25,
        parts_per_million: 450_000,
    },
    Theme {
        methods: &[
            (14, "Auth/UserAdd"),
            (8, "Auth/UserGet"),
            (4, "Auth/UserList"),
            (5, "Auth/UserDelete"),
            (5, "Auth/UserChangePassword"),
            (14, "Auth/UserGrantRole"),
            (5, "Auth/UserRevokeRole"),
            (12, "Auth/RoleAdd"),
            (8, "Auth/RoleGet"),
            (4, "Auth/RoleList"),
            (5, "Auth/RoleDelete"),
            (18, "Auth/RoleGrantPermission"),
            (8, "Auth/RoleRevokePermission"),
            (10, "Auth/Authenticate"),
            (4, "Auth/AuthStatus"),
            (1, "Auth/AuthDisable"),
        ],
        weight: 40,
        parts_per_million: 250_000,
    },
    Theme {
        methods: &[
            (10, "Maintenance/Status"),
            (4, "Maintenance/Hash"),
            (10, "Maintenance/HashKV"),
            (4, "Maintenance/MoveLeader"),
            (5, "Maintenance/Downgrade"),
            (8, "Maintenance/Alarm"),
            (1, "Maintenance/Defragment"),
            (1, "Maintenance/Snapshot"),
        ],
        weight: 8,
        parts_per_million: 200_000,
    },
    Theme {
        methods: &[
            (10, "Cluster/MemberList"),
            (3, "Cluster/MemberAdd"),
            (4, "Cluster/MemberRemove"),
            (4, "Cluster/MemberUpdate"),
            (4, "Cluster/MemberPromote"),
        ],
        weight: 8,
        parts_per_million: 150_000,
    },
    Theme {
        methods: &[(30, "KV/Compact"), (30, "KV/Range"), (20, "KV/Put")],
        weight: 15,
        parts_per_million: 300_000,
    },
    Theme { methods: &[(1, "KV/Txn")], weight: 40, parts_per_million: 250_000 },
    Theme { methods: &[(1, "KV/Range")], weight: 30, parts_per_million: 250_000 },
];

/// What a seed does besides single requests, each in so many of a million steps of a seed that does it.
#[derive(Clone, Copy)]
struct Habits {
    watches: u32,
    keep_alives: u32,
    locks: u32,
    elections: u32,
    garbage: u32,
    authentication: bool,
}

/// Makes the sequence of a seed, of at least `requests` steps.
pub fn generate(seed: u64, requests: usize) -> Sequence {
    let mut draw = Streams::new(seed).stream("conform", 0);
    let some = |draw: &mut Stream, share: u32, often: u32| if draw.chance(share) { often } else { 0 };
    let habits = Habits {
        watches: some(&mut draw, 250_000, 250_000),
        keep_alives: some(&mut draw, 150_000, 80_000),
        locks: some(&mut draw, 60_000, 120_000),
        elections: some(&mut draw, 60_000, 120_000),
        garbage: some(&mut draw, 150_000, 60_000),
        authentication: draw.chance(120_000),
    };
    let themes: Vec<(&Theme, u64)> = THEMES
        .iter()
        .filter_map(|theme| {
            let is_on = draw.chance(theme.parts_per_million);
            let weight = theme.weight * draw.between(1, 4);
            is_on.then_some((theme, weight))
        })
        .collect();
    let values = Values::new(&mut draw);
    let mut generator = Generator {
        draw,
        values,
        habits,
        sequence: Sequence { seed, steps: Vec::new() },
        streams: 0,
        open: Vec::new(),
        enabled: false,
        names: 0,
    };
    let enable_at = generator.draw.below(requests.max(1) as u64) as usize;
    while generator.sequence.steps.len() < requests {
        if habits.authentication && !generator.enabled && generator.sequence.steps.len() >= enable_at {
            generator.enable_authentication();
        }
        generator.step(&themes);
    }
    generator.sequence
}

struct Generator {
    draw: Stream,
    values: Values,
    habits: Habits,
    sequence: Sequence,
    /// How many calls of several steps there were.
    streams: u32,
    /// Those that go on: of watches, and that keep leases alive.
    open: Vec<(u32, &'static str)>,
    /// Users need tokens.
    enabled: bool,
    /// How many leases have a name.
    names: i64,
}

impl Generator {
    fn step(&mut self, themes: &[(&Theme, u64)]) {
        let habits = self.habits;
        if self.draw.chance(habits.watches) {
            return self.watch();
        }
        if self.draw.chance(habits.keep_alives) {
            return self.keep_alive();
        }
        if self.draw.chance(habits.locks) {
            return self.lock();
        }
        if self.draw.chance(habits.elections) {
            return self.elect();
        }
        if self.draw.chance(habits.garbage) {
            return self.garbage();
        }
        let total = themes.iter().map(|(_, weight)| weight).sum();
        let mut at = self.draw.below(total);
        let theme = themes.iter().find(|(_, weight)| {
            let is_this = at < *weight;
            at = at.saturating_sub(*weight);
            is_this
        });
        let theme = theme.map_or(&THEMES[0], |(theme, _)| theme);
        let method = *self.draw.weighted(theme.methods);
        self.request(&format!("/etcdserverpb.{method}"));
    }

    /// One request of a method.
    fn request(&mut self, path: &str) {
        let Some(method) = methods::method(path) else { return };
        let message = self.values.message(&mut self.draw, &method.input(), 0);
        self.values.note(path, &message);
        let names = self.name_if_server_chooses(path, &message);
        let caller = self.caller();
        if path.ends_with("/AuthDisable") && caller == Caller::User("root".to_owned()) {
            self.enabled = false;
        }
        self.push(Step {
            action: Action::Call { path: path.to_owned(), caller, body: Body::Message(message) },
            names,
        });
    }

    fn push(&mut self, step: Step) {
        self.sequence.steps.push(step);
    }

    fn call(&mut self, path: &str, caller: Caller, json: serde_json::Value) {
        let body = Body::Message(message_of(path, json));
        self.push(Step::new(Action::Call { path: path.to_owned(), caller, body }));
    }

    /// A request that is none: a message that was damaged, bytes of no message, or a method that is not there.
    fn garbage(&mut self) {
        const SAFE: [&str; 9] = [
            "KV/Range",
            "KV/Put",
            "KV/DeleteRange",
            "KV/Txn",
            "KV/Compact",
            "Lease/LeaseGrant",
            "Lease/LeaseLeases",
            "Lease/LeaseTimeToLive",
            "Lease/LeaseRevoke",
        ];
        const NONE: [&str; 6] = [
            "/etcdserverpb.KV/Get",
            "/etcdserverpb.Nothing/Range",
            "/nothing.at.All/Range",
            "/v3lockpb.Lock/TryLock",
            "/etcdserverpb.Watch/Unwatch",
            "/grpc.reflection.v1.ServerReflection/Nothing",
        ];
        if self.draw.chance(150_000) {
            let path = (*self.draw.pick(&NONE)).to_owned();
            let body = Body::Bytes(Bytes::from_static(b"\n\x01a"));
            return self.push(Step::new(Action::Call { path, caller: Caller::Nobody, body }));
        }
        let path = format!("/etcdserverpb.{}", self.draw.pick(&SAFE));
        let method = methods::method(&path).expect("it is there");
        let mut bytes = self.values.message(&mut self.draw, &method.input(), 0).encode_to_vec();
        bytes.truncate(4_096);
        self.damage(&mut bytes);
        let caller = self.caller();
        // If they are a message all the same, it is understood.
        let message = DynamicMessage::decode(method.input(), bytes.as_slice()).ok();
        if message.as_ref().is_some_and(names_a_revision) {
            return;
        }
        let names = message.and_then(|message| self.name_if_server_chooses(&path, &message));
        self.push(Step { action: Action::Call { path, caller, body: Body::Bytes(bytes.into()) }, names });
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let draw = &mut self.draw;
        for _ in 0..draw.between(1, 3) {
            let at = draw.below(bytes.len() as u64 + 1) as usize;
            let byte = draw.next_u64() as u8;
            match draw.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, byte),
                2 => bytes.extend_from_slice(&[byte, 1, byte]),
                3 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
                _ => bytes.push(byte),
            }
        }
    }

    fn caller(&mut self) -> Caller {
        let plain = |caller: u64| match caller {
            0..=19 => Caller::User("root".to_owned()),
            20..=34 => Caller::User("alice".to_owned()),
            35..=44 => Caller::User("bob".to_owned()),
            45..=46 => Caller::Early("alice".to_owned()),
            47 => Caller::Early("root".to_owned()),
            48 => Caller::Token(String::new()),
            49 => Caller::Token("nonsense.1".to_owned()),
            _ => Caller::Nobody,
        };
        if self.enabled {
            plain(self.draw.below(56))
        } else if self.habits.authentication && self.draw.chance(60_000) {
            plain(self.draw.below(50))
        } else {
            Caller::Nobody
        }
    }
}

/// A request in JSON.
fn message_of(path: &str, json: serde_json::Value) -> DynamicMessage {
    let method = methods::method(path).unwrap_or_else(|| panic!("there is no method {path}"));
    methods::from_json(method.input(), json).unwrap_or_else(|error| panic!("{path}: {error}"))
}
