//! The places in a member at which a schedule can strike. Where etcd has the place, it bears etcd's name.

/// Before a leader sends what a `Ready` holds for its followers.
pub const RAFT_BEFORE_LEADER_SEND: &str = "raftBeforeLeaderSend";
/// Before entries and hard state are written to the log.
pub const RAFT_BEFORE_SAVE: &str = "raftBeforeSave";
/// When they are durable, before anyone is told.
pub const RAFT_AFTER_SAVE: &str = "raftAfterSave";
/// Before what was written to the log is synced.
pub const WAL_BEFORE_SYNC: &str = "walBeforeSync";
/// When it is.
pub const WAL_AFTER_SYNC: &str = "walAfterSync";
/// When a `Ready` is done with, before Raft is told.
pub const RAFT_BEFORE_ADVANCE: &str = "raftBeforeAdvance";
/// Before a follower answers its leader.
pub const RAFT_BEFORE_FOLLOWER_SEND: &str = "raftBeforeFollowerSend";
/// Before a snapshot from the leader is written.
pub const RAFT_BEFORE_SAVE_SNAP: &str = "raftBeforeSaveSnap";
/// Between the snapshot's file and the record of it in the log. The spelling is etcd's.
pub const RAFT_BEFORE_WAL_SAVE_SNAPSHOT: &str = "raftBeforeWALSaveSnaphot";
/// When file and record are durable.
pub const RAFT_AFTER_SAVE_SNAP: &str = "raftAfterSaveSnap";
/// Before the log of Raft is replaced by the snapshot.
pub const RAFT_BEFORE_APPLY_SNAP: &str = "raftBeforeApplySnap";
/// After it was.
pub const RAFT_AFTER_APPLY_SNAP: &str = "raftAfterApplySnap";
/// When the segments that the snapshot stands for are removed.
pub const RAFT_AFTER_WAL_RELEASE: &str = "raftAfterWALRelease";
/// Before the apply loop opens a snapshot from the leader.
pub const APPLY_BEFORE_OPEN_SNAPSHOT: &str = "applyBeforeOpenSnapshot";
/// When its backend is open, and not in use yet.
pub const APPLY_AFTER_OPEN_SNAPSHOT: &str = "applyAfterOpenSnapshot";
/// Before a member tells the cluster that it has started.
pub const BEFORE_PUBLISHING: &str = "beforePublishing";
/// Before an entry is applied.
pub const BEFORE_APPLY_ONE_ENTRY_NORMAL: &str = "beforeApplyOneEntryNormal";
/// Before a member writes a snapshot of its own state.
pub const SNAPSHOT_BEFORE_SAVE: &str = "snapshotBeforeSave";
/// Before the finished file gets its name.
pub const SNAPSHOT_BEFORE_RENAME: &str = "snapshotBeforeRename";
/// Before a member starts Raft on what it recovered.
pub const RECOVERY_BEFORE_START: &str = "recoveryBeforeStart";

// Membership.

/// Before an entry that changes the configuration is applied.
pub const BEFORE_APPLY_ONE_CONF_CHANGE: &str = "beforeApplyOneConfChange";
/// Where a follower takes a leader's heartbeat: what strikes here and goes on has dropped it.
pub const RAFT_DROP_HEARTBEAT: &str = "raftDropHeartbeat";
/// Between the question whether a member exists and what is done on the strength of it.
pub const AFTER_IS_MEMBER_EXIST: &str = "afterIsMemberExist";
/// Before a change of the configuration is proposed.
pub const CONF_CHANGE_BEFORE_PROPOSE: &str = "confChangeBeforePropose";
/// When a change of the configuration is applied, before the operator is told.
pub const CONF_CHANGE_BEFORE_ANSWER: &str = "confChangeBeforeAnswer";
/// When a member has applied that it was removed, before it begins to stop.
pub const CONF_CHANGE_BEFORE_STOP: &str = "confChangeBeforeStop";
/// Before a leader hands its leadership over.
pub const MOVE_LEADER_BEFORE_TRANSFER: &str = "moveLeaderBeforeTransfer";
/// Before a member that was added asks the others who they are.
pub const MEMBER_ADD_BEFORE_START: &str = "memberAddBeforeStart";
/// When it knows, before it makes its log.
pub const MEMBER_ADD_BEFORE_CREATE: &str = "memberAddBeforeCreate";

// Compaction.

/// When a compaction is scheduled, and the backend's commit of it has not begun.
pub const COMPACT_BEFORE_COMMIT_SCHEDULED: &str = "compactBeforeCommitScheduledCompact";
/// When it is durable that a compaction is scheduled.
pub const COMPACT_AFTER_COMMIT_SCHEDULED: &str = "compactAfterCommitScheduledCompact";
/// When a compaction has locked the backend for a batch.
pub const COMPACT_AFTER_ACQUIRED_BATCH_TX_LOCK: &str = "compactAfterAcquiredBatchTxLock";
/// When nothing is left to be removed, and the backend does not know yet.
pub const COMPACT_BEFORE_SET_FINISHED: &str = "compactBeforeSetFinishedCompact";
/// When it does, durable or not.
pub const COMPACT_AFTER_SET_FINISHED: &str = "compactAfterSetFinishedCompact";
/// Between a batch and its commit.
pub const COMPACT_BEFORE_COMMIT_BATCH: &str = "compactBeforeCommitBatch";
/// When a batch is durable.
pub const COMPACT_AFTER_COMMIT_BATCH: &str = "compactAfterCommitBatch";

/// Those of a compaction.
const COMPACTION: &[&str] = &[
    COMPACT_BEFORE_COMMIT_SCHEDULED,
    COMPACT_AFTER_COMMIT_SCHEDULED,
    COMPACT_AFTER_ACQUIRED_BATCH_TX_LOCK,
    COMPACT_BEFORE_SET_FINISHED,
    COMPACT_AFTER_SET_FINISHED,
    COMPACT_BEFORE_COMMIT_BATCH,
    COMPACT_AFTER_COMMIT_BATCH,
];

/// All of them, part by part.
pub const FAILPOINTS: &[&str] = &join::<
    { MEMBER.len() + BACKEND.len() + COMPACTION.len() + MEMBERSHIP.len() + LEASES.len() + WATCH.len() },
>(&[MEMBER, BACKEND, COMPACTION, MEMBERSHIP, LEASES, WATCH]);

/// The lists as one.
pub(crate) const fn join<const COUNT: usize>(lists: &[&[&'static str]]) -> [&'static str; COUNT] {
    let mut all = [""; COUNT];
    let (mut list, mut count) = (0, 0);
    while list < lists.len() {
        let mut place = 0;
        while place < lists[list].len() {
            all[count] = lists[list][place];
            count += 1;
            place += 1;
        }
        list += 1;
    }
    assert!(count == COUNT);
    all
}

/// Those of changes of the membership.
const MEMBERSHIP: &[&str] = &[
    BEFORE_APPLY_ONE_CONF_CHANGE,
    RAFT_DROP_HEARTBEAT,
    AFTER_IS_MEMBER_EXIST,
    CONF_CHANGE_BEFORE_PROPOSE,
    CONF_CHANGE_BEFORE_ANSWER,
    CONF_CHANGE_BEFORE_STOP,
    MOVE_LEADER_BEFORE_TRANSFER,
    MEMBER_ADD_BEFORE_START,
    MEMBER_ADD_BEFORE_CREATE,
];

/// Those of a member's loops.
const MEMBER: &[&str] = &[
    RAFT_BEFORE_LEADER_SEND,
    RAFT_BEFORE_SAVE,
    RAFT_AFTER_SAVE,
    WAL_BEFORE_SYNC,
    WAL_AFTER_SYNC,
    RAFT_BEFORE_ADVANCE,
    RAFT_BEFORE_FOLLOWER_SEND,
    RAFT_BEFORE_SAVE_SNAP,
    RAFT_BEFORE_WAL_SAVE_SNAPSHOT,
    RAFT_AFTER_SAVE_SNAP,
    RAFT_BEFORE_APPLY_SNAP,
    RAFT_AFTER_APPLY_SNAP,
    RAFT_AFTER_WAL_RELEASE,
    APPLY_BEFORE_OPEN_SNAPSHOT,
    APPLY_AFTER_OPEN_SNAPSHOT,
    BEFORE_PUBLISHING,
    BEFORE_APPLY_ONE_ENTRY_NORMAL,
    SNAPSHOT_BEFORE_SAVE,
    SNAPSHOT_BEFORE_RENAME,
    RECOVERY_BEFORE_START,
];

/// Those that a member passes while it starts.
pub const RECOVERY_FAILPOINTS: &[&str] = &[RECOVERY_BEFORE_START, BEFORE_PUBLISHING];

/// Those that few runs pass: of a snapshot from the leader, of changes of the membership and of what is forwarded.
pub const RARE_FAILPOINTS: &[&str] = &[
    RAFT_BEFORE_SAVE_SNAP,
    RAFT_BEFORE_WAL_SAVE_SNAPSHOT,
    RAFT_AFTER_SAVE_SNAP,
    RAFT_BEFORE_APPLY_SNAP,
    RAFT_AFTER_APPLY_SNAP,
    RAFT_AFTER_WAL_RELEASE,
    APPLY_BEFORE_OPEN_SNAPSHOT,
    APPLY_AFTER_OPEN_SNAPSHOT,
    BEFORE_RESTORE_WATCHERS,
    AFTER_IS_MEMBER_EXIST,
    CONF_CHANGE_BEFORE_PROPOSE,
    CONF_CHANGE_BEFORE_ANSWER,
    CONF_CHANGE_BEFORE_STOP,
    BEFORE_APPLY_ONE_CONF_CHANGE,
    MOVE_LEADER_BEFORE_TRANSFER,
    MEMBER_ADD_BEFORE_START,
    MEMBER_ADD_BEFORE_CREATE,
    BEFORE_LOOKUP_WHEN_FORWARD_LEASE_TIME_TO_LIVE,
];

/// Those of each task that a member does.
pub const FAILPOINT_TASKS: &[&[&str]] = &[
    LOG,
    SNAPSHOT_FROM_LEADER,
    &[SNAPSHOT_BEFORE_SAVE, SNAPSHOT_BEFORE_RENAME, RAFT_AFTER_WAL_RELEASE],
    COMMIT,
    DEFRAGMENT,
    COMPACTION,
    MEMBERSHIP,
    LEASES,
    WATCH,
];

/// Those at which one of a member's tasks holds back nobody else, for a while.
pub const SLOW_FAILPOINTS: &[&str] = &[
    BEFORE_APPLY_ONE_ENTRY_NORMAL,
    APPLY_BEFORE_OPEN_SNAPSHOT,
    BEFORE_COMMIT,
    COMPACT_BEFORE_COMMIT_BATCH,
    DEFRAG_BEFORE_RENAME,
    BEFORE_SYNC_WATCHERS,
    BEFORE_SEND_WATCH_RESPONSE,
    LEASE_BEFORE_REVOKE_EXPIRED,
];

/// Those at which a member stays that does not come along with its leader.
pub const LAG_FAILPOINTS: &[&str] =
    &[RAFT_BEFORE_SAVE, BEFORE_APPLY_ONE_ENTRY_NORMAL, APPLY_BEFORE_OPEN_SNAPSHOT, DEFRAG_BEFORE_RENAME];

/// Those of the log, which a member writes to all the time.
const LOG: &[&str] =
    &[RAFT_BEFORE_SAVE, WAL_BEFORE_SYNC, WAL_AFTER_SYNC, RAFT_AFTER_SAVE, BEFORE_APPLY_ONE_ENTRY_NORMAL];

/// Those of a snapshot that a leader sends.
pub const SNAPSHOT_FROM_LEADER: &[&str] = &[
    RAFT_BEFORE_SAVE_SNAP,
    RAFT_BEFORE_WAL_SAVE_SNAPSHOT,
    RAFT_AFTER_SAVE_SNAP,
    RAFT_BEFORE_APPLY_SNAP,
    RAFT_AFTER_APPLY_SNAP,
    APPLY_BEFORE_OPEN_SNAPSHOT,
    APPLY_AFTER_OPEN_SNAPSHOT,
    BEFORE_RESTORE_WATCHERS,
];

// The backend. The names are gofail's, of etcd and of bbolt.

/// Before what was written becomes visible to readers.
pub const BEFORE_WRITEBACK_BUF: &str = "beforeWritebackBuf";
/// When it is.
pub const AFTER_WRITEBACK_BUF: &str = "afterWritebackBuf";
/// Before the consistent index is written into a commit.
pub const COMMIT_BEFORE_PRE_COMMIT_HOOK: &str = "commitBeforePreCommitHook";
/// When it is.
pub const COMMIT_AFTER_PRE_COMMIT_HOOK: &str = "commitAfterPreCommitHook";
/// Before a commit touches the disk.
pub const BEFORE_COMMIT: &str = "beforeCommit";
/// When a commit is durable.
pub const AFTER_COMMIT: &str = "afterCommit";
/// Before the transaction that follows a commit is begun.
pub const BEFORE_START_DB_TXN: &str = "beforeStartDBTxn";
/// When it is.
pub const AFTER_START_DB_TXN: &str = "afterStartDBTxn";
/// When the data pages of a commit are written, and not synced. bbolt's own.
pub const BEFORE_SYNC_DATA_PAGES: &str = "beforeSyncDataPages";
/// When they are synced, and the meta page is not written. bbolt lets an error happen here.
pub const BEFORE_WRITE_META: &str = "beforeWriteMetaError";
/// When the meta page is written, and not synced. bbolt's own.
pub const BEFORE_SYNC_META_PAGE: &str = "beforeSyncMetaPage";
/// Before the file that a defragmentation writes to is opened.
pub const DEFRAG_OPEN_FILE: &str = "defragOpenFileError";
/// Before a defragmentation copies, when what was pending is committed.
pub const DEFRAG_BEFORE_COPY: &str = "defragBeforeCopy";
/// When a defragmentation begins its first transaction in the new file.
pub const DEFRAGDB: &str = "defragdbFail";
/// Before the defragmented file takes the place of the old one.
pub const DEFRAG_BEFORE_RENAME: &str = "defragBeforeRename";

/// Those of the backend.
pub const BACKEND: &[&str] = &join::<{ COMMIT.len() + DEFRAGMENT.len() }>(&[COMMIT, DEFRAGMENT]);

/// Those of a commit.
const COMMIT: &[&str] = &[
    BEFORE_WRITEBACK_BUF,
    AFTER_WRITEBACK_BUF,
    COMMIT_BEFORE_PRE_COMMIT_HOOK,
    COMMIT_AFTER_PRE_COMMIT_HOOK,
    BEFORE_COMMIT,
    BEFORE_SYNC_DATA_PAGES,
    BEFORE_WRITE_META,
    BEFORE_SYNC_META_PAGE,
    AFTER_COMMIT,
    BEFORE_START_DB_TXN,
    AFTER_START_DB_TXN,
];

/// Those of a defragmentation.
const DEFRAGMENT: &[&str] = &[DEFRAG_OPEN_FILE, DEFRAG_BEFORE_COPY, DEFRAGDB, DEFRAG_BEFORE_RENAME];

// Leases.

/// Before the leader clears the checkpoint of a lease that is kept alive, or finds that there is none.
pub const BEFORE_CHECKPOINT_IN_LEASE_RENEW: &str = "beforeCheckpointInLeaseRenew";
/// Before the leader keeps a lease alive for a client of another member.
pub const BEFORE_SERVE_HTTP_LEASE_RENEW: &str = "beforeServeHTTPLeaseRenew";
/// Before the leader looks a lease up for a client of its own.
pub const BEFORE_LOOKUP_WHEN_LEASE_TIME_TO_LIVE: &str = "beforeLookupWhenLeaseTimeToLive";
/// Before it looks one up for a client of another member.
pub const BEFORE_LOOKUP_WHEN_FORWARD_LEASE_TIME_TO_LIVE: &str = "beforeLookupWhenForwardLeaseTimeToLive";
/// Between finding out that leases have expired and making sure of the leadership. etcd has no such place.
pub const LEASE_BEFORE_REVOKE_EXPIRED: &str = "leaseBeforeRevokeExpired";
/// Before an entry that grants, revokes or checkpoints leases is applied. etcd has no such place.
pub const LEASE_BEFORE_APPLY: &str = "leaseBeforeApply";

/// Those of leases.
const LEASES: &[&str] = &[
    BEFORE_CHECKPOINT_IN_LEASE_RENEW,
    BEFORE_SERVE_HTTP_LEASE_RENEW,
    BEFORE_LOOKUP_WHEN_LEASE_TIME_TO_LIVE,
    BEFORE_LOOKUP_WHEN_FORWARD_LEASE_TIME_TO_LIVE,
    LEASE_BEFORE_REVOKE_EXPIRED,
    LEASE_BEFORE_APPLY,
];

// Watches.

/// Before a response with events, or about progress, goes to the client.
pub const BEFORE_SEND_WATCH_RESPONSE: &str = "beforeSendWatchResponse";
/// Before unsynced watchers are looked at.
pub const BEFORE_SYNC_WATCHERS: &str = "beforeSyncWatchers";
/// Before victims are sent to again.
pub const BEFORE_MOVE_VICTIMS: &str = "beforeMoveVictims";
/// Before it is found out whether watchers are synced, to tell of their progress.
pub const BEFORE_PROGRESS_IF_SYNC: &str = "beforeProgressIfSync";
/// When victims were sent to, and are in no group yet. Our own, as those below.
pub const BEFORE_PLACE_VICTIMS: &str = "beforePlaceVictims";
/// When a write is done, before watchers are told.
pub const BEFORE_NOTIFY_WATCHERS: &str = "beforeNotifyWatchers";
/// When the backend of a snapshot is open, before the watchers know.
pub const BEFORE_RESTORE_WATCHERS: &str = "beforeRestoreWatchers";
/// When a watch is in the store, and its client does not know.
pub const BEFORE_SEND_WATCH_CREATED: &str = "beforeSendWatchCreated";
/// When a stream of watches has ended, before its watches do.
pub const BEFORE_CLOSE_WATCH_STREAM: &str = "beforeCloseWatchStream";

/// Those of watches.
const WATCH: &[&str] = &[
    BEFORE_SEND_WATCH_RESPONSE,
    BEFORE_SYNC_WATCHERS,
    BEFORE_MOVE_VICTIMS,
    BEFORE_PROGRESS_IF_SYNC,
    BEFORE_PLACE_VICTIMS,
    BEFORE_NOTIFY_WATCHERS,
    BEFORE_RESTORE_WATCHERS,
    BEFORE_SEND_WATCH_CREATED,
    BEFORE_CLOSE_WATCH_STREAM,
];
