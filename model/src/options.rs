//! Everything that a seed decides about the cluster and its clients.
//!
//! Each seed draws its own, so that small limits, at which the bugs were, occur as often as the defaults.

mod auth;
mod kubernetes;
mod leases;
mod varied;
mod watch;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{FileClass, Operations, Shape};
use vertebra_sim::time::text;

use crate::defect::{Defect, Defects};
use crate::failpoints::{
    FAILPOINT_TASKS, FAILPOINTS, LAG_FAILPOINTS, RARE_FAILPOINTS, RECOVERY_FAILPOINTS, SLOW_FAILPOINTS,
    SNAPSHOT_FROM_LEADER,
};
use crate::load::{LOADS, LOADS_WITHOUT_WATCHES};
use crate::mvcc::validate::TXN_OPS_MAX;
use crate::operator::{OPERATIONS, RARE_OPERATIONS, SPARE_OPERATIONS};
use crate::syncs::{SkippedSyncs, Sync};
use crate::{oracle, wire};

pub use auth::AuthOptions;
pub use kubernetes::KubernetesTraffic;
pub use leases::{LeaseOptions, LeaseWeights};
pub use varied::VariedWeights;
pub use watch::WatchOptions;

/// What a member keeps on its disk, by purpose. The names of snapshots begin with their terms, in 16 hexadecimal digits.
const FILES: &[FileClass] = &[
    FileClass { name: "log", prefix: "wal/", finds_lost_writes: false },
    FileClass { name: "snapshot", prefix: "snap/0", finds_lost_writes: true },
    FileClass { name: BACKEND_FILES, prefix: "snap/db", finds_lost_writes: true },
];

/// More than any run comes to, and few enough to be added up.
const ENTRIES_MAX: u64 = 1 << 48;

/// What a member adds to two election timeouts when it waits for a result. etcd: 5 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// What schedules call the file of the backend.
pub(crate) const BACKEND_FILES: &str = "backend";

/// The options of one run. In a schedule they are the table `[options]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Members of the cluster: 1, 3 or 5.
    pub members: u16,
    /// Clients, each with one operation under way at a time.
    pub clients: u16,
    /// Machines that stand by, for members that are added.
    #[serde(default)]
    pub spares: u16,
    /// Whether a change of the membership is refused when it could leave the cluster without a quorum (etcd:
    /// `--strict-reconfig-check`).
    #[serde(default = "yes")]
    pub strict_reconfiguration: bool,
    /// The bugs that are switched on.
    #[serde(default)]
    pub defects: Defects,
    /// Oracles that are left out, by name, to see what the others make of a run; or one clause of an oracle, as in
    /// `raft/two votes`.
    #[serde(default)]
    pub without_oracles: Vec<String>,
    /// Syncs that no member makes, to see that the oracles notice.
    #[serde(default)]
    pub without_sync: Vec<Sync>,
    /// Whether every message between nodes is encoded and decoded again on its way. It changes nothing, or
    /// something is wrong with the encoding.
    #[serde(default)]
    pub encode_messages: bool,
    /// Time between two ticks of Raft's clock, which is also that between heartbeats.
    #[serde(with = "text")]
    pub heartbeat_interval: Duration,
    /// Ticks without a word from a leader after which a member stands for election.
    pub election_ticks: u16,
    /// Applied entries between two snapshots.
    pub snapshot_count: u64,
    /// Entries that are kept behind a snapshot, for members that lag a little.
    pub snapshot_catchup_entries: u64,
    /// How long changes wait at most until the backend commits them. etcd: 100 ms.
    #[serde(with = "text", default = "backend_batch_interval")]
    pub backend_batch_interval: Duration,
    /// How many changes do not wait. etcd: 10,000.
    #[serde(default = "backend_batch_limit")]
    pub backend_batch_limit: usize,
    /// How many records a compaction looks at before it lets others write. etcd: 1,000.
    #[serde(default = "compaction_batch_limit")]
    pub compaction_batch_limit: usize,
    /// How long it rests then. etcd: 10 ms.
    #[serde(with = "text", default = "compaction_sleep_interval")]
    pub compaction_sleep_interval: Duration,
    /// Time between two defragmentations of each member. 0: none.
    #[serde(with = "text", default)]
    pub defragment_interval: Duration,
    /// Time between two comparisons of all members' data by the leader. 0, as in etcd by default: none.
    #[serde(with = "text", default)]
    pub corruption_check_interval: Duration,
    /// Time between two comparisons of what compactions left. etcd: 1 min, if at all. 0: none.
    #[serde(with = "text", default)]
    pub compact_hash_check_interval: Duration,
    /// Whether a member compares its data with that of others before it serves anybody.
    #[serde(default)]
    pub initial_corruption_check: bool,
    /// Size at which a segment of the write-ahead log is full.
    pub wal_segment_bytes: u64,
    /// Bytes of entries in one message at most. etcd: 1 MiB.
    pub message_bytes_max: u64,
    /// Messages with entries to one member that may wait for their acknowledgement.
    pub messages_inflight_max: u16,
    /// Watches.
    #[serde(default)]
    pub watch: WatchOptions,
    /// Bytes of a request at most. etcd: 1.5 MiB.
    #[serde(default = "request_bytes_max")]
    pub request_bytes_max: usize,
    /// Operations of a transaction at most. etcd: 128.
    #[serde(default = "txn_ops_max")]
    pub txn_ops_max: usize,
    /// Bytes of the backend at which requests that would add to it are refused. etcd: 2 GiB; below 0: there is no limit.
    #[serde(default = "quota_backend_bytes", skip_serializing_if = "is_usual_quota")]
    pub quota_backend_bytes: i64,
    /// Committed entries that may wait to be applied before requests are refused. etcd: 5,000.
    #[serde(default = "backlog_max")]
    pub backlog_max: u64,
    /// What the lessors do.
    #[serde(default)]
    pub leases: LeaseOptions,
    /// The URLs under which callers from outside are told to find the members, by machine. A member of a machine that has
    /// none here has `http://m1:2379`, with its number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_urls: Vec<String>,
    /// Users and roles.
    #[serde(default, skip_serializing_if = "AuthOptions::is_default")]
    pub auth: AuthOptions,
    /// What the clients do.
    pub traffic: Traffic,
    /// Which of their operations clients perform; those of a client that is not named, all.
    #[serde(default, skip_serializing_if = "Operations::is_empty")]
    pub operations: Operations,
}

/// What the clients do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// How long a client waits for an answer.
    #[serde(with = "text")]
    pub request_timeout: Duration,
    /// How long a client rests between two operations, at most.
    #[serde(with = "text")]
    pub think_time_max: Duration,
    /// How many keys there are. Few keys make clients meet.
    pub keys: u16,
    /// How often each kind of operation is chosen.
    pub weights: Weights,
    /// Clients as API servers of Kubernetes.
    #[serde(default, skip_serializing_if = "KubernetesTraffic::is_default")]
    pub kubernetes: KubernetesTraffic,
}

/// How often each kind of operation is chosen, relative to the others.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Reads of one key.
    pub get: u32,
    /// Reads of all keys.
    pub list: u32,
    /// Reads of one key at an older revision.
    pub stale_get: u32,
    /// Reads of all keys at an older revision.
    pub stale_list: u32,
    /// Reads from the member's own store.
    pub serializable_get: u32,
    /// Writes of one key.
    pub put: u32,
    /// Deletions of one key.
    pub delete: u32,
    /// Deletions of several keys.
    pub delete_range: u32,
    /// Writes of one key, if it is as it was last seen.
    pub compare_and_set: u32,
    /// Four operations on keys of their own, at least one of them a write.
    pub multi_op_txn: u32,
    /// Reads of several keys at once.
    pub read_txn: u32,
    /// Compactions.
    #[serde(default)]
    pub compact: u32,
    /// What is done with leases.
    #[serde(default)]
    pub leases: LeaseWeights,
    /// Steps of a client that takes part in locks and elections.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recipe: u32,
    /// Operations with any of the API's options.
    #[serde(default, skip_serializing_if = "VariedWeights::is_default")]
    pub varied: VariedWeights,
}

impl Options {
    /// Draws the options of a seed.
    #[must_use]
    pub fn draw(streams: &Streams) -> Self {
        let mut size = streams.stream("options/size", 0);
        let mut raft = streams.stream("options/raft", 0);
        let mut storage = streams.stream("options/storage", 0);
        let mut membership = streams.stream("options/membership", 0);
        let mut limits = streams.stream("options/limits", 0);
        let mut backend = streams.stream("options/backend", 0);
        let mut maintenance = streams.stream("options/maintenance", 0);
        let never = Duration::ZERO;
        let mut compaction = streams.stream("options/compaction", 0);
        let millis = Duration::from_millis;
        // In some seeds whoever is away for a moment needs a snapshot. So much can go wrong with these, and meets so
        // seldom what else can, that they have to be frequent somewhere.
        let mut snapshots = streams.stream("options/snapshots", 0);
        let often = (snapshots.between(2, 12), snapshots.between(1, 3));
        let usual =
            (storage.magnitude(10, 1_000), *storage.weighted(&[(3, 5), (3, 100), (2, 1), (2, 5_000)]));
        let is_often = snapshots.chance(300_000);
        let (snapshot_count, snapshot_catchup_entries) = if is_often { often } else { usual };
        let defragmented = if is_often { (5, 3, 2) } else { (8, 1, 1) };
        let (members, clients) = (*size.weighted(&[(2, 1), (7, 3), (1, 5)]), size.between(3, 8) as u16);
        let auth = AuthOptions::draw(streams, clients);
        let options = Self {
            spares: *membership.weighted(&[(3, 0), (4, 1), (3, 2)]),
            strict_reconfiguration: !membership.chance(250_000),
            members,
            clients,
            defects: Defects::NONE,
            without_oracles: Vec::new(),
            without_sync: Vec::new(),
            encode_messages: false,
            heartbeat_interval: *raft.weighted(&[(6, millis(100)), (2, millis(29)), (2, millis(50))]),
            election_ticks: *raft.weighted(&[(7, 10), (2, 5), (1, 20)]),
            snapshot_count,
            snapshot_catchup_entries,
            backend_batch_interval: *backend.weighted(&[
                (6, millis(100)),
                (2, millis(10)),
                (2, millis(1_000)),
            ]),
            backend_batch_limit: match backend.chance(500_000) {
                true => backend_batch_limit(),
                false => backend.magnitude(2, 1_000) as usize,
            },
            compaction_batch_limit: compaction.magnitude(2, 1_000) as usize,
            compaction_sleep_interval: *compaction.weighted(&[
                (7, millis(10)),
                (2, millis(1)),
                (1, millis(100)),
            ]),
            defragment_interval: *maintenance.weighted(&[
                (defragmented.0, never),
                (defragmented.1, millis(700)),
                (defragmented.2, millis(3_000)),
            ]),
            corruption_check_interval: *maintenance.weighted(&[
                (8, never),
                (1, millis(500)),
                (1, millis(2_000)),
            ]),
            compact_hash_check_interval: *maintenance.weighted(&[(8, never), (2, millis(1_000))]),
            initial_corruption_check: maintenance.chance(100_000),
            wal_segment_bytes: storage.magnitude(1 << 10, 64 << 10),
            message_bytes_max: *storage.weighted(&[(6, 1 << 20), (2, 256), (2, 0)]),
            messages_inflight_max: *storage.weighted(&[(6, 512), (2, 2), (2, 16)]),
            watch: WatchOptions::draw(streams),
            leases: LeaseOptions::draw(streams),
            request_bytes_max: match limits.chance(700_000) {
                true => request_bytes_max(),
                false => limits.magnitude(8 << 10, 64 << 10) as usize,
            },
            txn_ops_max: match limits.chance(700_000) {
                true => txn_ops_max(),
                false => limits.between(4, 12) as usize,
            },
            quota_backend_bytes: quota_backend_bytes(),
            backlog_max: match limits.chance(600_000) {
                true => backlog_max(),
                false => limits.magnitude(1, 64),
            },
            client_urls: Vec::new(),
            traffic: Traffic::draw(streams, auth.any()),
            auth,
            operations: Operations::default(),
        };
        if options.traffic.kubernetes.any() { options.of_kubernetes() } else { options }
    }

    /// The same where the clients are API servers, and nobody else uses the cluster. These know of no users of etcd's, and
    /// there is none that caches nothing.
    fn of_kubernetes(self) -> Self {
        let watch = WatchOptions { streams: self.watch.streams + 1, ..self.watch };
        let traffic = Traffic { weights: Weights::default(), ..self.traffic };
        Self { watch, traffic, auth: AuthOptions::default(), ..self }
    }

    /// The options of a plain run: etcd's own defaults where it has any, and no bug switched on.
    #[must_use]
    pub fn usual() -> Self {
        let millis = Duration::from_millis;
        Self {
            members: 3,
            spares: 0,
            watch: WatchOptions::default(),
            strict_reconfiguration: true,
            clients: 3,
            defects: Defects::NONE,
            without_oracles: Vec::new(),
            without_sync: Vec::new(),
            encode_messages: false,
            heartbeat_interval: millis(100),
            election_ticks: 10,
            snapshot_count: 10_000,
            snapshot_catchup_entries: 5_000,
            backend_batch_interval: backend_batch_interval(),
            backend_batch_limit: backend_batch_limit(),
            compaction_batch_limit: compaction_batch_limit(),
            compaction_sleep_interval: compaction_sleep_interval(),
            defragment_interval: Duration::ZERO,
            corruption_check_interval: Duration::ZERO,
            compact_hash_check_interval: Duration::ZERO,
            initial_corruption_check: false,
            wal_segment_bytes: 64 << 20,
            message_bytes_max: 1 << 20,
            messages_inflight_max: 512,
            leases: LeaseOptions::default(),
            request_bytes_max: request_bytes_max(),
            txn_ops_max: txn_ops_max(),
            quota_backend_bytes: quota_backend_bytes(),
            backlog_max: backlog_max(),
            client_urls: Vec::new(),
            auth: AuthOptions::default(),
            traffic: Traffic {
                request_timeout: millis(1_000),
                think_time_max: millis(250),
                keys: 10,
                weights: Weights::usual(),
                kubernetes: KubernetesTraffic::default(),
            },
            operations: Operations::default(),
        }
    }

    /// What these options make of the cluster.
    ///
    /// # Errors
    ///
    /// A sentence that says which option makes no sense.
    pub fn shape(&self) -> Result<Shape, String> {
        let refuse = |problem: &str| Err(problem.to_owned());
        if !matches!(self.members, 1 | 3 | 5) {
            return Err(format!("members: a cluster has 1, 3 or 5 members, not {}", self.members));
        }
        if self.clients == 0 {
            return refuse("clients: there must be at least one");
        }
        for name in &self.without_oracles {
            oracle::clauses::known(name).map_err(|problem| format!("without_oracles: {problem}"))?;
        }
        if self.heartbeat_interval < Duration::from_millis(1) {
            return refuse("heartbeat_interval: it must be at least 1ms");
        }
        if !(2..=1_000).contains(&self.election_ticks) {
            return refuse("election_ticks: there must be 2 to 1,000 of them");
        }
        if self.snapshot_count == 0 {
            return refuse("snapshot_count: it must be at least 1");
        }
        for (name, count) in [
            ("snapshot_count", self.snapshot_count),
            ("snapshot_catchup_entries", self.snapshot_catchup_entries),
            ("backlog_max", self.backlog_max),
        ] {
            if count > ENTRIES_MAX {
                return Err(format!("{name}: no log has more than {ENTRIES_MAX} entries"));
            }
        }
        if self.backend_batch_interval < Duration::from_millis(1) {
            return refuse("backend_batch_interval: it must be at least 1ms");
        }
        if self.backend_batch_limit == 0 {
            return refuse("backend_batch_limit: it must be at least 1");
        }
        if self.compaction_batch_limit == 0 {
            return refuse("compaction_batch_limit: it must be at least 1");
        }
        if self.wal_segment_bytes < 512 {
            return refuse("wal_segment_bytes: a segment must hold at least 512");
        }
        if self.messages_inflight_max == 0 {
            return refuse("messages_inflight_max: it must be at least 1");
        }
        self.watch.check()?;
        self.leases.check()?;
        self.auth.check(self.clients)?;
        if self.request_bytes_max < 4 << 10 {
            return refuse("request_bytes_max: it must be at least 4,096");
        }
        if self.txn_ops_max < 4 {
            return refuse("txn_ops_max: it must be at least 4");
        }
        self.traffic.check()?;
        if self.spares > 8 {
            return refuse("spares: there may be 8 at most");
        }
        self.operations.check(self.clients).map_err(|problem| format!("operations: {problem}"))?;
        Ok(Shape {
            spares: self.spares,
            operations: OPERATIONS,
            spare_operations: SPARE_OPERATIONS,
            rare_operations: RARE_OPERATIONS,
            failpoints: FAILPOINTS,
            recovery_failpoints: RECOVERY_FAILPOINTS,
            rare_failpoints: RARE_FAILPOINTS,
            failpoint_tasks: FAILPOINT_TASKS,
            slow_failpoints: SLOW_FAILPOINTS,
            lag_failpoints: LAG_FAILPOINTS,
            catch_up_failpoints: SNAPSHOT_FROM_LEADER,
            loads: if self.watch.streams > 0 { LOADS } else { LOADS_WITHOUT_WATCHES },
            messages: wire::MESSAGES,
            files: FILES,
            ..Shape::new(self.members, self.clients)
        })
    }

    /// Whether `defect` is switched on.
    #[must_use]
    pub fn has(&self, defect: Defect) -> bool {
        self.defects.has(defect)
    }

    /// The syncs that are left out, as a set.
    pub(crate) fn skipped_syncs(&self) -> SkippedSyncs {
        self.without_sync.iter().copied().collect()
    }

    /// Time without a leader after which a member stands for election, at least.
    #[must_use]
    pub fn election_timeout(&self) -> Duration {
        self.heartbeat_interval * u32::from(self.election_ticks)
    }

    /// How long a request may take before a member gives up on it.
    pub(crate) fn request_timeout(&self) -> Duration {
        PATIENCE + 2 * self.election_timeout()
    }

    /// The shortest TTL of a lease, in seconds: one and a half election timeouts, in whole ticks.
    #[must_use]
    pub fn lease_ttl_min(&self) -> i64 {
        let timeout = self.heartbeat_interval * (3 * u32::from(self.election_ticks) / 2);
        timeout.as_secs() as i64 + i64::from(timeout.subsec_nanos() > 0)
    }
}

fn yes() -> bool {
    true
}

/// etcd's default, for schedules from before this could be chosen.
fn compaction_batch_limit() -> usize {
    1_000
}

/// As above.
fn compaction_sleep_interval() -> Duration {
    Duration::from_millis(10)
}

/// As above.
fn backend_batch_interval() -> Duration {
    Duration::from_millis(100)
}

/// As above.
fn request_bytes_max() -> usize {
    3 << 19
}

/// As above.
fn txn_ops_max() -> usize {
    TXN_OPS_MAX
}

/// As above.
fn quota_backend_bytes() -> i64 {
    2 << 30
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it a reference")]
fn is_usual_quota(bytes: &i64) -> bool {
    *bytes == quota_backend_bytes()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it a reference")]
fn is_zero(weight: &u32) -> bool {
    *weight == 0
}

/// As above.
fn backlog_max() -> u64 {
    5_000
}

/// As above.
fn backend_batch_limit() -> usize {
    10_000
}

impl Traffic {
    fn draw(streams: &Streams, with_users: bool) -> Self {
        let mut stream = streams.stream("options/traffic", 0);
        let millis = Duration::from_millis;
        Self {
            request_timeout: *stream.weighted(&[(6, millis(1_000)), (2, millis(300)), (2, millis(5_000))]),
            think_time_max: *stream.weighted(&[(4, millis(250)), (4, millis(80)), (2, millis(500))]),
            keys: *stream.weighted(&[(7, 10), (2, 3), (1, 40)]),
            weights: Weights::draw(streams, with_users),
            kubernetes: KubernetesTraffic::draw(streams),
        }
    }

    fn check(&self) -> Result<(), String> {
        let refuse = |problem: &str| Err(problem.to_owned());
        if self.request_timeout < Duration::from_millis(1) {
            return refuse("traffic.request_timeout: it must be at least 1ms");
        }
        if self.think_time_max < Duration::from_micros(10) {
            return refuse("traffic.think_time_max: it must be at least 10us");
        }
        if self.keys == 0 {
            return refuse("traffic.keys: there must be at least one");
        }
        if self.weights.total() == 0 && !self.kubernetes.any() {
            return refuse("traffic.weights: they must not all be 0");
        }
        Ok(())
    }
}

impl Weights {
    /// The mix of etcd's robustness tests, with what they lack.
    fn usual() -> Self {
        Self {
            get: 20,
            list: 6,
            stale_get: 5,
            stale_list: 3,
            serializable_get: 5,
            put: 35,
            delete: 5,
            delete_range: 2,
            compare_and_set: 8,
            multi_op_txn: 10,
            read_txn: 4,
            compact: 0,
            leases: LeaseWeights::default(),
            recipe: 0,
            varied: VariedWeights::default(),
        }
    }

    /// The usual mix; some seeds leave out a part of it.
    fn draw(streams: &Streams, with_users: bool) -> Self {
        let mut stream = streams.stream("options/weights", 0);
        let mut weight = |usual: u32| if stream.chance(150_000) { 0 } else { usual };
        let usual = Self::usual();
        Self {
            stale_get: weight(usual.stale_get),
            stale_list: weight(usual.stale_list),
            serializable_get: weight(usual.serializable_get),
            delete: weight(usual.delete),
            delete_range: weight(usual.delete_range),
            compare_and_set: weight(usual.compare_and_set),
            multi_op_txn: weight(usual.multi_op_txn),
            read_txn: weight(usual.read_txn),
            compact: *streams.stream("options/compact", 0).weighted(&[(3, 0), (5, 1), (3, 2), (1, 5)]),
            leases: LeaseWeights::draw(streams),
            recipe: *streams.stream("options/recipe", 0).weighted(&[(16, 0), (3, 8), (1, 30)]),
            varied: VariedWeights::draw(streams, with_users),
            ..usual
        }
    }

    fn total(&self) -> u64 {
        [
            self.get,
            self.list,
            self.stale_get,
            self.stale_list,
            self.serializable_get,
            self.put,
            self.delete,
            self.delete_range,
            self.compare_and_set,
            self.multi_op_txn,
            self.read_txn,
            self.compact,
            self.recipe,
        ]
        .into_iter()
        .map(u64::from)
        .sum::<u64>()
            + self.leases.total()
            + self.varied.total()
    }
}
