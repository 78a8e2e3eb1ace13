//! The places in a member at which a schedule can strike. Where etcd has the place, it bears etcd's name.

/// Before a leader sends what a `Ready` holds for its followers.
pub const RAFT_BEFORE_LEADER_SEND: &str = "raftBeforeLeaderSend";
/// Before entries and hard state are written to the log.
pub const RAFT_BEFORE_SAVE: &str = "raftBeforeSave";
/// When they are durable, before anyone is told.
pub const RAFT_AFTER_SAVE: &str = "raftAfterSave";
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
/// Before an entry is applied.
pub const BEFORE_APPLY_ONE_ENTRY_NORMAL: &str = "beforeApplyOneEntryNormal";
/// Before a member writes a snapshot of its own state.
pub const SNAPSHOT_BEFORE_SAVE: &str = "snapshotBeforeSave";
/// Before the finished file gets its name.
pub const SNAPSHOT_BEFORE_RENAME: &str = "snapshotBeforeRename";
/// Before a member starts Raft on what it recovered.
pub const RECOVERY_BEFORE_START: &str = "recoveryBeforeStart";

/// All of them.
pub const FAILPOINTS: &[&str] = &[
    RAFT_BEFORE_LEADER_SEND,
    RAFT_BEFORE_SAVE,
    RAFT_AFTER_SAVE,
    RAFT_BEFORE_FOLLOWER_SEND,
    RAFT_BEFORE_SAVE_SNAP,
    RAFT_BEFORE_WAL_SAVE_SNAPSHOT,
    RAFT_AFTER_SAVE_SNAP,
    RAFT_BEFORE_APPLY_SNAP,
    RAFT_AFTER_APPLY_SNAP,
    RAFT_AFTER_WAL_RELEASE,
    APPLY_BEFORE_OPEN_SNAPSHOT,
    BEFORE_APPLY_ONE_ENTRY_NORMAL,
    SNAPSHOT_BEFORE_SAVE,
    SNAPSHOT_BEFORE_RENAME,
    RECOVERY_BEFORE_START,
];

/// Those that a member passes while it starts.
pub const RECOVERY_FAILPOINTS: &[&str] = &[RECOVERY_BEFORE_START];
