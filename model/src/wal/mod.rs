//! The write-ahead log of a member, as etcd keeps it: entries, hard states and the snapshots that exist, in
//! segments that are appended to and never changed.
//!
//! | file | content |
//! | --- | --- |
//! | `wal/<sequence>-<index>.wal` | records; entries from `index` on were written to this segment or a later one |
//! | `wal/next.tmp` | a segment that is being made; it becomes a segment by its renaming |
//!
//! A segment is full when it has reached a size. The next one is then written and synced under a temporary name,
//! renamed, and its directory synced, so that a segment is there with its head or not at all; the full one is synced
//! before. Only the last segment can therefore have an end that was never synced, and only there can an invalid
//! record be the torn end of a write, which shows in its sectors (`record.rs`). It is cut off. Anything else is damage, and
//! the member refuses to start.

mod record;

pub use record::{Decoder, Encoder, Record};

use raft::eraftpb::{ConfState, Entry, HardState};
use thiserror::Error;
use vertebra_sim::{DiskError, File, Node, NodeDisk, OpenMode, sometimes};

use crate::defect::{Defect, Defects};
use crate::failpoints;
use crate::syncs::{SkippedSyncs, Sync};

pub(crate) const DIRECTORY: &str = "wal";
const NEXT: &str = "wal/next.tmp";

/// Why a log cannot be used.
#[derive(Debug, Error)]
pub enum WalError {
    /// The disk failed.
    #[error("write-ahead log: {0}")]
    Disk(#[from] DiskError),
    /// A record that was synced is not there, or not as it was.
    #[error("write-ahead log: segment {segment} is damaged at byte {offset}")]
    Damaged {
        /// The name of the segment.
        segment: String,
        /// Where its first invalid record begins.
        offset: usize,
    },
    /// The log is another member's.
    #[error("write-ahead log: it belongs to member {found}, not to member {expected}")]
    Foreign {
        /// Whose it is.
        found: u64,
        /// Whose it should be.
        expected: u64,
    },
    /// Entries are missing between two that are there.
    #[error("write-ahead log: entry {found} follows entry {last}")]
    Gap {
        /// The last entry before the gap.
        last: u64,
        /// The first after it.
        found: u64,
    },
}

/// A snapshot that a log has a record of.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordedSnapshot {
    /// Index of the last entry in it.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
    /// The configuration at that index.
    pub conf_state: ConfState,
}

/// What a log said when it was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Whose log it is.
    pub member: u64,
    /// Term, vote and commit, as last written.
    pub hard_state: HardState,
    /// The snapshots that were recorded, oldest first.
    pub snapshots: Vec<RecordedSnapshot>,
    /// The entries, without gaps.
    pub entries: Vec<Entry>,
}

/// A log that can be appended to.
pub struct Wal {
    node: Node,
    disk: NodeDisk,
    skipped: SkippedSyncs,
    defects: Defects,
    member: u64,
    segment_bytes: u64,
    file: File,
    file_bytes: u64,
    encoder: Encoder,
    segments: Vec<Segment>,
    last_index: u64,
    hard_state: HardState,
}

struct Segment {
    sequence: u64,
    first_index: u64,
}

impl Segment {
    fn name(&self) -> String {
        format!("{:016x}-{:016x}.wal", self.sequence, self.first_index)
    }

    fn path(&self) -> String {
        format!("{DIRECTORY}/{}", self.name())
    }

    fn parse(name: &str) -> Option<Self> {
        let (sequence, first_index) = name.strip_suffix(".wal")?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(Self { sequence: number(sequence)?, first_index: number(first_index)? })
    }
}

impl Wal {
    /// Whether there is a log on `disk`.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub async fn exists(disk: &NodeDisk) -> Result<bool, WalError> {
        if !disk.exists(DIRECTORY) {
            return Ok(false);
        }
        Ok(disk.list(DIRECTORY).await?.iter().any(|name| Segment::parse(name).is_some()))
    }

    /// Opens the log on `disk`, or makes an empty one for `member` where there is none. A log that is there may be
    /// that of any member on the same machine, which is to say, whose low 16 bits are those of `member`.
    ///
    /// What was written but never synced is synced before this returns: from here on, everything that was read is
    /// as durable as what the member is about to say on its strength.
    ///
    /// # Errors
    ///
    /// Those of [`WalError`].
    pub async fn open(
        node: &Node,
        member: u64,
        segment_bytes: u64,
        skipped: SkippedSyncs,
        defects: Defects,
    ) -> Result<(Self, Recovered), WalError> {
        let disk = node.disk();
        if !disk.exists(DIRECTORY) {
            disk.create_directory(DIRECTORY).await?;
        }
        if disk.exists(NEXT) {
            sometimes!(
                disk,
                "a crash left a segment half made",
                when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
            );
            disk.remove(NEXT).await?;
        }
        let names = disk.list(DIRECTORY).await?;
        let mut segments: Vec<_> = names.iter().filter_map(|name| Segment::parse(name)).collect();
        let returned = before_the_last_gap(&segments) > 0;
        sometimes!(
            disk,
            "a power failure brings a released segment back",
            returned,
            when = |run| run.any_fault(&["power-failure", "failpoint"])
        );
        for stale in segments.drain(..before_the_last_gap(&segments)) {
            disk.remove(&stale.path()).await?;
        }
        if segments.is_empty() {
            let wal = Self::create(node.clone(), disk, member, segment_bytes, skipped).await?;
            return Ok((Self { defects, ..wal }, Recovered { member, ..Recovered::default() }));
        }
        Self::recover(node.clone(), disk, member, segment_bytes, segments, skipped, defects).await
    }

    async fn create(
        node: Node,
        disk: NodeDisk,
        member: u64,
        segment_bytes: u64,
        skipped: SkippedSyncs,
    ) -> Result<Self, WalError> {
        let mut encoder = Encoder::new(0);
        let hard_state = HardState::default();
        let segment = Segment { sequence: 0, first_index: 0 };
        let (file, file_bytes) =
            begin_segment(&disk, &mut encoder, member, &hard_state, &segment, skipped).await?;
        if !skipped.contains(Sync::LogDirectory) {
            disk.sync_directory("").await?;
        }
        let segments = vec![segment];
        Ok(Self {
            node,
            disk,
            skipped,
            defects: Defects::NONE,
            member,
            segment_bytes,
            file,
            file_bytes,
            encoder,
            segments,
            last_index: 0,
            hard_state,
        })
    }

    async fn recover(
        node: Node,
        disk: NodeDisk,
        member: u64,
        segment_bytes: u64,
        segments: Vec<Segment>,
        skipped: SkippedSyncs,
        defects: Defects,
    ) -> Result<(Self, Recovered), WalError> {
        let recovered = Recovered { member, ..Recovered::default() };
        let mut log = Gathering { last_index: 0, recovered, defects };
        let mut checksum = None;
        let mut valid_bytes = 0;
        for (number, segment) in segments.iter().enumerate() {
            let bytes = disk.read(&segment.path()).await?;
            let damaged = |offset| WalError::Damaged { segment: segment.name(), offset };
            let before = checksum.or_else(|| Decoder::first_checksum(&bytes)).ok_or_else(|| damaged(0))?;
            let mut decoder = Decoder::new(&bytes, before);
            while let Some(record) = decoder.next_record() {
                if !log.take(record, before)? {
                    return Err(damaged(decoder.offset()));
                }
            }
            let is_last = number + 1 == segments.len();
            if decoder.is_damaged() || !is_last && decoder.offset() < bytes.len() {
                return Err(damaged(decoder.offset()));
            }
            (checksum, valid_bytes) = (Some(decoder.checksum()), decoder.offset());
        }
        let Gathering { last_index, recovered, .. } = log;
        let member = recovered.member;

        let last = segments.last().map(Segment::path).unwrap_or_default();
        let file = disk.open(&last, OpenMode::Existing).await?;
        let file_bytes = valid_bytes as u64;
        sometimes!(
            disk,
            "a log of several segments is recovered",
            segments.len() > 1,
            when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
        );
        if file.length().await? > file_bytes && !defects.has(Defect::TornTailTrusted) {
            sometimes!(
                disk,
                "the torn end of a log is cut off",
                when = |run| run.any_fault(&["power-failure", "failpoint"])
            );
            file.truncate(file_bytes).await?;
        }
        if !skipped.contains(Sync::LogOpenFile) {
            file.sync().await?;
        }
        if !skipped.contains(Sync::LogOpenDirectory) {
            disk.sync_directory(DIRECTORY).await?;
            disk.sync_directory("").await?;
        }
        let encoder = Encoder::new(checksum.unwrap_or(0));
        let hard_state = recovered.hard_state.clone();
        let wal = Self {
            node,
            disk,
            skipped,
            defects,
            member,
            segment_bytes,
            file,
            file_bytes,
            encoder,
            segments,
            last_index,
            hard_state,
        };
        Ok((wal, recovered))
    }

    /// Appends entries and, when it changed, the hard state. With `sync`, both are durable when this returns.
    ///
    /// # Errors
    ///
    /// Those of the disk. The log is then in an unknown state, and the member must stop.
    pub async fn save(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
        sync: bool,
    ) -> Result<(), WalError> {
        for entry in entries {
            self.encoder.put_entry(entry);
            self.last_index = entry.index;
        }
        if let Some(state) = hard_state {
            self.encoder.put_hard_state(state);
            self.hard_state = state.clone();
        }
        self.write(sync.then_some(Sync::LogAppend)).await
    }

    /// The hard state that was saved last.
    #[must_use]
    pub fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    /// Records that a snapshot file exists, durably.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save).
    pub async fn save_snapshot(
        &mut self,
        index: u64,
        term: u64,
        conf_state: &ConfState,
        installed: bool,
    ) -> Result<(), WalError> {
        self.encoder.put_snapshot(index, term, installed, conf_state);
        if installed {
            self.last_index = index;
        }
        self.last_index = self.last_index.max(index);
        self.write(Some(Sync::LogSnapshot)).await
    }

    async fn write(&mut self, sync: Option<Sync>) -> Result<(), WalError> {
        if !self.encoder.bytes().is_empty() {
            self.file.append(self.encoder.bytes()).await?;
            self.file_bytes += self.encoder.bytes().len() as u64;
            self.encoder.clear();
        }
        if let Some(sync) = sync {
            self.node.failpoint(failpoints::WAL_BEFORE_SYNC).await;
            if !self.skipped.contains(sync)
                && let Err(error) = self.file.sync().await
            {
                if !self.defects.has(Defect::RetriedSync) {
                    return Err(error.into());
                }
                self.file.sync().await?;
            }
            self.node.failpoint(failpoints::WAL_AFTER_SYNC).await;
        }
        if self.file_bytes >= self.segment_bytes { Box::pin(self.cut()).await } else { Ok(()) }
    }

    /// Begins the next segment.
    async fn cut(&mut self) -> Result<(), WalError> {
        sometimes!(self.disk, "a log begins another segment");
        if !self.skipped.contains(Sync::LogSegmentEnd) {
            self.file.sync().await?;
        }
        let sequence = self.segments.last().map_or(0, |last| last.sequence + 1);
        let segment = Segment { sequence, first_index: self.last_index + 1 };
        (self.file, self.file_bytes) = begin_segment(
            &self.disk,
            &mut self.encoder,
            self.member,
            &self.hard_state,
            &segment,
            self.skipped,
        )
        .await?;
        self.segments.push(segment);
        Ok(())
    }

    /// Removes the segments that hold nothing but entries up to `index`: a snapshot of that index stands for them.
    /// Its own record stays, since it was written when the log had reached that index.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub async fn release(&mut self, index: u64) -> Result<(), WalError> {
        while let [first, second, ..] = &self.segments[..]
            && second.first_index <= index
        {
            let path = first.path();
            sometimes!(self.disk, "a segment of a log is released");
            self.disk.remove(&path).await?;
            self.segments.remove(0);
        }
        Ok(())
    }
}

/// For oracles: the bytes of the segments on a disk, in their order.
pub(crate) fn segment_lengths(disk: &NodeDisk) -> Vec<u64> {
    let names = disk.names(DIRECTORY);
    let segments = names.iter().filter_map(|name| Segment::parse(name));
    segments.filter_map(|segment| disk.length_of(&segment.path())).collect()
}

/// Where the last run of segments without a gap begins. Removals need not reach the disk in their order, so that a
/// power failure can bring back a released segment, and not the one after it.
fn before_the_last_gap(segments: &[Segment]) -> usize {
    let gap = segments.windows(2).rposition(|pair| pair[0].sequence + 1 != pair[1].sequence);
    gap.map_or(0, |place| place + 1)
}

/// Writes the head of a segment, and gives it its name when it is durable.
async fn begin_segment(
    disk: &NodeDisk,
    encoder: &mut Encoder,
    member: u64,
    hard_state: &HardState,
    segment: &Segment,
    skipped: SkippedSyncs,
) -> Result<(File, u64), WalError> {
    encoder.put_checksum();
    encoder.put_metadata(member);
    encoder.put_hard_state(hard_state);
    let next = disk.open(NEXT, OpenMode::CreateNew).await?;
    next.append(encoder.bytes()).await?;
    if !skipped.contains(Sync::LogSegmentBegin) {
        next.sync().await?;
    }
    disk.rename(NEXT, &segment.path()).await?;
    if !skipped.contains(Sync::LogDirectory) {
        disk.sync_directory(DIRECTORY).await?;
    }
    let bytes = encoder.bytes().len() as u64;
    encoder.clear();
    Ok((disk.open(&segment.path(), OpenMode::Existing).await?, bytes))
}

/// Puts the records of a log together.
struct Gathering {
    /// Index of the last entry, or of the snapshot that replaced all before it.
    last_index: u64,
    recovered: Recovered,
    defects: Defects,
}

impl Gathering {
    /// Takes a record; false when it does not belong where it stands.
    fn take(&mut self, record: Record, segment_checksum: u32) -> Result<bool, WalError> {
        let recovered = &mut self.recovered;
        match record {
            Record::Checksum(checksum) => return Ok(checksum == segment_checksum),
            Record::Metadata { member: found } if (found ^ recovered.member) & 0xffff != 0 => {
                return Err(WalError::Foreign { found, expected: recovered.member });
            }
            Record::Metadata { member } => recovered.member = member,
            Record::HardState(state) => recovered.hard_state = state,
            Record::Snapshot { index, term, installed, conf_state } => {
                recovered.snapshots.push(RecordedSnapshot { index, term, conf_state });
                if installed {
                    recovered.entries.clear();
                    self.last_index = index;
                }
            }
            Record::Entry(entry) => {
                let first = recovered.entries.first().map_or(entry.index, |first| first.index);
                let is_first = recovered.entries.is_empty() && self.last_index == 0;
                if entry.index > self.last_index + 1 && !is_first {
                    return Err(WalError::Gap { last: self.last_index, found: entry.index });
                }
                if entry.index <= self.last_index && self.defects.has(Defect::ReplacedEntriesKept) {
                    return Ok(true);
                }
                recovered.entries.truncate(usize::try_from(entry.index.saturating_sub(first)).unwrap_or(0));
                self.last_index = entry.index;
                recovered.entries.push(entry);
            }
        }
        Ok(true)
    }
}
