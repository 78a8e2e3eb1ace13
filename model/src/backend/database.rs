//! The file.

use bytes::{Buf, Bytes};
use vertebra_sim::{Node, NodeDisk, OpenMode};

use super::tree::Tree;
use super::{BackendError, Bucket};
use crate::syncs::{SkippedSyncs, Sync};

/// The trees of all buckets.
pub(super) type Trees = [Tree; Bucket::COUNT];

pub(super) struct Database {
    disk: NodeDisk,
    path: String,
    skipped: SkippedSyncs,
    pub(super) trees: Trees,
    pub(super) bytes: u64,
}

impl Database {
    pub(super) async fn open(node: &Node, path: &str, skipped: SkippedSyncs) -> Result<Self, BackendError> {
        let disk = node.disk();
        let mut database = Self { disk, path: path.to_owned(), skipped, trees: Trees::default(), bytes: 0 };
        if database.disk.exists(path) {
            let bytes = Bytes::from(database.disk.read(path).await?);
            database.bytes = bytes.len() as u64;
            database.trees = decode(bytes).ok_or_else(|| BackendError::Damaged {
                path: path.to_owned(),
                page: 0,
                reason: "its checksum does not match",
            })?;
        } else {
            database.commit().await?;
        }
        Ok(database)
    }

    pub(super) async fn commit(&mut self) -> Result<(), BackendError> {
        let bytes = encode(&self.trees);
        let temporary = format!("{}.tmp", self.path);
        let file = self.disk.open(&temporary, OpenMode::Create).await?;
        file.truncate(0).await?;
        file.append(&bytes).await?;
        if !self.skipped.contains(Sync::BackendData) {
            file.sync().await?;
        }
        self.disk.rename(&temporary, &self.path).await?;
        if !self.skipped.contains(Sync::BackendMeta) {
            self.disk.sync_directory("").await?;
        }
        self.bytes = bytes.len() as u64;
        Ok(())
    }

    /// The bytes of the file.
    pub(super) async fn read(&self) -> Result<Bytes, BackendError> {
        Ok(self.disk.read(&self.path).await?.into())
    }
}

fn encode(trees: &Trees) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    for tree in trees {
        let entries: Vec<_> = tree.iter_from(b"").collect();
        bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        for part in entries.into_iter().flat_map(|(key, value)| [key, value]) {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(part);
        }
    }
    let checksum = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(mut bytes: Bytes) -> Option<Trees> {
    if bytes.try_get_u32_le().ok()? != crc32c::crc32c(&bytes) {
        return None;
    }
    let mut trees = Trees::default();
    for tree in &mut trees {
        for _ in 0..bytes.try_get_u32_le().ok()? {
            let mut part = || {
                let length = bytes.try_get_u32_le().ok()? as usize;
                (length <= bytes.len()).then(|| bytes.split_to(length))
            };
            tree.insert(part()?, part()?);
        }
    }
    Some(trees)
}
