//! What members keep stays within bounds.
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `log` | Raft's log in memory goes back further than two snapshots ago, and the entries that are kept for followers that lag |
//! | `snapshots` | when old files are removed, more than two snapshots are left, or fewer though there were |
//! | `segments` | when old files are removed, the first segment of the log is left, and all of it comes before the older of the two snapshots |
//! | `databases` | when old files are removed for the second time, the database of a snapshot is left that was applied before the first |
//! | `revocations` | a leader revokes more leases at once that have expired than half of what it may in a second |
//! | `channel` | more responses wait for a stream of watches than its channel holds |
//! | `unfinished` | when all is quiet, a member has more files that were received in part than snapshots that are coming to it |
//! | `watchers` | when all is quiet, a member has more watchers than clients that can be connected with it want, on their connections and some that are gone |
//! | `pages` | when all is quiet, a member takes other pages of its database's file for used than those that have something in them |
//! | `nodes` | when all is quiet, a node of a database takes another number of bytes than it knows, or is larger than a page though it could be split |
//! | `file` | when all is quiet, the file of a database is larger than all that it had to hold at one time explains |
//! | `segment` | when all is quiet, a segment of a log is longer than its limit and the largest write once for each start, of which one may be its last; or it was ended before it was full |
//! | `commits` | when all is quiet, a database has been committed more often than at intervals, when a batch was full, something was deleted or somebody asked |
//! | `overdue` | when all is quiet, something waits in a database for its commit for longer than the interval; or what was to be committed at once, for something was deleted or the batch was full, has waited for another transaction |
//! | `disk` | when all is quiet, there is more on a disk than is explained by what is kept there |
//!
//! Stated in etcd's documentation of maintenance: its log is compacted, and old snapshots and segments are purged. How many
//! are kept is said in `member/snapshots.rs` and `wal`. Channels of watches are as in etcd's server/storage/mvcc, where who
//! finds one full leaves its watcher to wait; commits are gathered as in server/storage/backend. Queues between tasks are
//! bounded by what clients may have under way.
//!
//! Does NOT verify: memory beyond that; what is kept while faults go on, apart from the files that a member has just looked
//! through.

use std::time::Duration;

use vertebra_sim::verdict::Violation;

use super::raft_safety::MemberId;
use crate::backend::{Commits, Layout};

/// Its name.
pub const NAME: &str = "resources";

/// Snapshots that a member keeps.
const SNAPSHOTS_MAX: usize = 2;

/// Of a stream that is connected anew, members may not yet have noticed that the connections before it are gone.
const CONNECTIONS_MAX: usize = 4;

/// A commit writes beside what the last one wrote, and where something takes several pages, free ones do not always fit.
const FILE_FACTOR: u64 = 3;

/// Bytes of a file that need no reason.
const FILE_SLACK: u64 = 64 << 10;

/// The head of a segment, and what is written to a log without entries.
const SEGMENT_SLACK: u64 = 4 << 10;

/// Commits that need no reason.
const COMMITS_SLACK: u64 = 2;

/// For so long, a commit may take: a disk may stand still.
const OVERDUE_MAX: Duration = Duration::from_secs(3);

/// Files of a member after it has removed those of no more use.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The names in the folder of snapshots.
    pub snapshots: &'a [String],
    /// The names in the folder of the log.
    pub segments: &'a [String],
    /// The newest snapshot that counts.
    pub newest: u64,
    /// The snapshots that there were when the member looked which of them to remove. One of its own can come meanwhile, older
    /// than one from the leader.
    pub listed: &'a [u64],
    /// The entry to which the member had come when it began to look.
    pub applied: u64,
    /// The [databases] that it had left the last time. One can arrive late, while it looks.
    pub left: &'a [u64],
}

/// The entries of databases of snapshots that were applied when the member began to look.
#[must_use]
pub fn databases(files: &Files<'_>) -> Vec<u64> {
    let databases = files.snapshots.iter().filter_map(|name| number(name.strip_suffix(".snap.db")?));
    databases.filter(|index| *index <= files.applied).collect()
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// Looks at how many responses wait in the channel of a stream of watches, which holds up to `max`.
///
/// # Errors
///
/// They are more.
pub fn queued(member: MemberId, responses: usize, max: usize) -> Result<(), Violation> {
    if responses <= max {
        return Ok(());
    }
    violation(
        "channel",
        format!("on member {member}, {responses} responses wait where there is room for {max}"),
    )
}

/// Looks at what a member has left.
///
/// # Errors
///
/// A broken clause.
pub fn released(member: MemberId, files: &Files<'_>) -> Result<(), Violation> {
    let snapshots =
        files.snapshots.iter().filter_map(|name| number(name.strip_suffix(".snap")?.split_once('-')?.1));
    let mut snapshots: Vec<_> =
        snapshots.filter(|index| *index <= files.newest && files.listed.contains(index)).collect();
    snapshots.sort_unstable();
    if snapshots.len() > SNAPSHOTS_MAX {
        return violation("snapshots", format!("member {member} keeps {snapshots:?}"));
    }
    if snapshots.len() < files.listed.len().min(SNAPSHOTS_MAX) {
        let detail = format!("member {member} keeps {snapshots:?} of {:?}", files.listed);
        return violation("snapshots", detail);
    }
    let databases = databases(files);
    if let Some(index) = databases.iter().find(|index| files.left.contains(index)) {
        let applied = files.applied;
        let detail = format!("member {member} keeps the database of {index}, and has applied {applied}");
        return violation("databases", detail);
    }
    let oldest = snapshots.first().copied().unwrap_or(0);
    // A segment ends where the next one begins, and goes after all those before it. One that was cut by another leader may
    // begin behind the next one.
    let mut begins =
        files.segments.iter().filter_map(|name| number(name.strip_suffix(".wal")?.split_once('-')?.1));
    if let Some(end) = begins.nth(1).filter(|begin| *begin <= oldest) {
        return violation(
            "segments",
            format!(
                "member {member} keeps a segment that ends before {end}, and its oldest snapshot is {oldest}"
            ),
        );
    }
    Ok(())
}

/// What a member has when all is quiet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// Entries of Raft's log in memory.
    pub log: u64,
    /// So many are wanted for one snapshot.
    pub snapshot_count: u64,
    /// So many are kept behind a snapshot.
    pub catchup: u64,
    /// So many the member applied in the last seconds. The snapshot that is due may not be made, or one be on its way to somebody.
    pub recent: u64,
    /// Files of snapshots that were received in part.
    pub unfinished: usize,
    /// Snapshots that are being received.
    pub receiving: usize,
    /// Watchers.
    pub watchers: usize,
    /// So many watches are wanted by clients.
    pub wanted: usize,
    /// Bytes on the disk.
    pub disk: u64,
    /// How the backend lies in its file.
    pub backend: Layout,
    /// How the backend has committed.
    pub commits: Commits,
    /// Bytes of what any member's backend had in use at most.
    pub fullest: u64,
    /// Bytes that were ever written to the log, at most.
    pub entries: u64,
    /// Bytes at which a segment is full.
    pub segment: u64,
    /// Bytes of the longest one.
    pub longest_segment: u64,
    /// Bytes of the shortest one that was ended, if no fault has damaged data.
    pub shortest_full: Option<u64>,
    /// Bytes that are written to a log at once, at most.
    pub largest_write: u64,
    /// How often the machine's member has started.
    pub starts: u64,
}

/// Leases have expired of which `member` revokes so many at once; it may revoke `rate` in a second, and looks twice in one.
///
/// # Errors
///
/// There are more.
pub fn revoked(member: MemberId, count: usize, rate: usize) -> Result<(), Violation> {
    if count <= (rate / 2).max(1) {
        return Ok(());
    }
    violation(
        "revocations",
        format!("member {member} revokes {count} leases at once, and {rate} in a second"),
    )
}

/// Looks at what a member has when all is quiet.
///
/// # Errors
///
/// A broken clause.
pub fn quiet(member: MemberId, held: &Held) -> Result<(), Violation> {
    // While a snapshot is on its way to somebody, the log is not cut before the next one is due.
    let log_max = 2 * held.snapshot_count + held.catchup + held.recent;
    if held.log > log_max {
        return violation("log", format!("member {member} keeps more than {log_max} entries: {held:?}"));
    }
    if held.unfinished > held.receiving {
        return violation("unfinished", format!("member {member}: {held:?}"));
    }
    if held.watchers > CONNECTIONS_MAX * held.wanted {
        return violation("watchers", format!("member {member}: {held:?}"));
    }
    let Layout { file, in_use, held: used, miscounted, overfull } = held.backend;
    if in_use != used {
        return violation("pages", format!("member {member}: {held:?}"));
    }
    if miscounted + overfull > 0 {
        return violation("nodes", format!("member {member}: {held:?}"));
    }
    let file_max = FILE_FACTOR * held.fullest + FILE_SLACK;
    if file > file_max {
        return violation("file", format!("member {member} has one of more than {file_max} bytes: {held:?}"));
    }
    // Whoever dies before the next one has begun writes to a full one when it has started again.
    let segment_max = held.segment + held.starts * held.largest_write + SEGMENT_SLACK;
    if held.longest_segment > segment_max {
        return violation(
            "segment",
            format!("member {member} has one of more than {segment_max} bytes: {held:?}"),
        );
    }
    if held.shortest_full.is_some_and(|bytes| bytes < held.segment) {
        return violation("segment", format!("member {member} has ended one before it was full: {held:?}"));
    }
    let Commits { made, asked, intervals, overdue, neglected } = held.commits;
    // One can come after the file was opened, and one is under way where another begins.
    if made > asked + intervals + COMMITS_SLACK {
        return violation("commits", format!("member {member}: {held:?}"));
    }
    if overdue > OVERDUE_MAX || neglected > 0 {
        return violation("overdue", format!("member {member}: {held:?}"));
    }
    let disk_max = 2 * file + held.entries + 4 * held.segment;
    if held.disk > disk_max {
        return violation("disk", format!("member {member} has more than {disk_max} bytes: {held:?}"));
    }
    Ok(())
}

fn violation(clause: &'static str, detail: String) -> Result<(), Violation> {
    Err(Violation::new(NAME, clause, "", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clause(result: Result<(), Violation>) -> Option<&'static str> {
        result.err().map(|violation| violation.clause)
    }

    fn snapshot(index: u64) -> String {
        format!("{:016x}-{index:016x}.snap", 1)
    }

    /// What is found where the database of entry 20 was left before.
    fn left(snapshots: &[String], segments: &[u64]) -> Option<&'static str> {
        let name = |(sequence, first): (usize, &u64)| format!("{sequence:016x}-{first:016x}.wal");
        let segments: Vec<_> = segments.iter().enumerate().map(name).collect();
        let listed: &[u64] = if snapshots.len() < 2 { &[] } else { &[9, 10, 20, 30] };
        let files = Files { snapshots, segments: &segments, newest: 20, listed, applied: 20, left: &[20] };
        clause(released(1, &files))
    }

    #[test]
    fn two_snapshots_are_kept() {
        assert_eq!(left(&[snapshot(10), snapshot(20), "db".to_owned()], &[]), None);
        assert_eq!(left(&[snapshot(9), snapshot(10), snapshot(20)], &[]), Some("snapshots"));
        assert_eq!(left(&[snapshot(20), "db".to_owned()], &[]), Some("snapshots"));
        // One that came meanwhile, one that is not recorded yet, and one that was damaged.
        assert_eq!(left(&[snapshot(10), snapshot(15), snapshot(20)], &[]), None);
        assert_eq!(left(&[snapshot(10), snapshot(20), snapshot(30)], &[]), None);
        assert_eq!(left(&[snapshot(9) + ".broken", snapshot(10), snapshot(20)], &[]), None);
    }

    #[test]
    fn segments_are_kept_from_the_older_snapshot_on() {
        let two = [snapshot(10), snapshot(20)];
        assert_eq!(left(&two, &[7, 11, 19]), None);
        assert_eq!(left(&two, &[4, 7, 11]), Some("segments"));
        assert_eq!(left(&two, &[7, 11, 10]), None);
        assert_eq!(left(&two, &[7, 10]), Some("segments"));
        assert_eq!(left(&[], &[0, 7, 11]), None);
    }

    #[test]
    fn databases_of_snapshots_go_when_these_are_applied() {
        assert_eq!(left(&[format!("{:016x}.snap.db", 21)], &[]), None);
        assert_eq!(left(&[format!("{:016x}.snap.db", 19)], &[]), None);
        assert_eq!(left(&[format!("{:016x}.snap.db", 20)], &[]), Some("databases"));
    }

    #[test]
    fn leases_are_revoked_at_a_rate() {
        assert_eq!(revoked(1, 5, 10), Ok(()));
        assert_eq!(clause(revoked(1, 6, 10)), Some("revocations"));
        assert_eq!(revoked(1, 1, 1), Ok(()));
    }

    #[test]
    fn a_channel_holds_what_it_has_room_for() {
        assert_eq!(queued(1, 8, 8), Ok(()));
        assert_eq!(clause(queued(1, 9, 8)), Some("channel"));
    }

    #[test]
    fn what_is_held_when_all_is_quiet_is_explained() {
        let backend = Layout { file: 100, in_use: 80, held: 80, miscounted: 0, overfull: 0 };
        let held = Held {
            log: 26,
            snapshot_count: 10,
            catchup: 5,
            recent: 1,
            unfinished: 1,
            receiving: 1,
            watchers: 12,
            wanted: 3,
            disk: 1_000,
            backend,
            fullest: 100,
            entries: 400,
            segment: 100,
            longest_segment: 140 + SEGMENT_SLACK,
            shortest_full: Some(100),
            largest_write: 20,
            starts: 2,
            commits: Commits { made: 12, asked: 3, intervals: 7, overdue: OVERDUE_MAX, neglected: 0 },
        };
        assert_eq!(quiet(1, &held), Ok(()));
        assert_eq!(clause(quiet(1, &Held { log: 27, ..held })), Some("log"));
        assert_eq!(clause(quiet(1, &Held { receiving: 0, ..held })), Some("unfinished"));
        assert_eq!(clause(quiet(1, &Held { watchers: 13, ..held })), Some("watchers"));
        assert_eq!(clause(quiet(1, &Held { disk: 1_001, ..held })), Some("disk"));
        assert_eq!(clause(quiet(1, &Held { largest_write: 19, ..held })), Some("segment"));
        assert_eq!(clause(quiet(1, &Held { starts: 1, ..held })), Some("segment"));
        assert_eq!(clause(quiet(1, &Held { shortest_full: Some(99), ..held })), Some("segment"));
        let commits = |commits| clause(quiet(1, &Held { commits, ..held }));
        assert_eq!(commits(Commits { made: 13, ..held.commits }), Some("commits"));
        let overdue = OVERDUE_MAX + Duration::from_nanos(1);
        assert_eq!(commits(Commits { overdue, ..held.commits }), Some("overdue"));
        assert_eq!(commits(Commits { neglected: 1, ..held.commits }), Some("overdue"));
    }

    #[test]
    fn pages_of_a_database_are_accounted_for_and_used_again() {
        let backend = Layout { file: 300_000, in_use: 80, held: 80, miscounted: 0, overfull: 0 };
        let found = |backend, fullest| clause(quiet(1, &Held { backend, fullest, ..Held::default() }));
        assert_eq!(found(backend, 100_000), None);
        assert_eq!(found(backend, 50_000), Some("file"));
        assert_eq!(found(Layout { in_use: 100, ..backend }, 100_000), Some("pages"));
        assert_eq!(found(Layout { in_use: 60, ..backend }, 100_000), Some("pages"));
        assert_eq!(found(Layout { miscounted: 1, ..backend }, 100_000), Some("nodes"));
        assert_eq!(found(Layout { overfull: 1, ..backend }, 100_000), Some("nodes"));
    }
}
