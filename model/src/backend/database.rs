//! The file, as bbolt keeps it: pages that are copied when they change, and two meta pages by turns.
//!
//! | step of a commit | after a crash before the next one the file opens at |
//! | --- | --- |
//! | write the nodes that changed to free pages | the commit before |
//! | sync | the commit before |
//! | write the meta page over the one of two commits before | the commit before, or this one |
//! | sync | this one |
//!
//! A new file is written under a temporary name, synced and renamed, and so is there with its meta pages or not at all.
//!
//! # What is damage, and what is not
//!
//! A meta page uses a single sector, and a crash leaves the old or the new content of a sector. So a meta page that is
//! not valid is never what a crash leaves; it is damage, also when the other one is valid. bbolt, whose checksum was
//! made for sectors that tear, would take the other one. If the damaged one was the newer, the file would silently
//! open one commit earlier.
//!
//! One thing cannot be seen from here: a meta page that the disk said was synced, and that never got there. The file
//! then opens at the commit before, as if the last one had not been made. What a member relies on is that its log has
//! every entry behind the consistent index that it finds in here. The log reaches back to the newest snapshot of Raft
//! that it has a record of, and that record is written after a commit with at least this index (etcd commits before it
//! writes one, `server.go`, `snapshot()`). So whoever opens a database must hold its consistent index against that
//! snapshot. If it is not smaller, nothing is lost by an earlier commit: the entries are applied again. If it is, the
//! database is as good as damaged.

use std::rc::Rc;

use bytes::Bytes;
use vertebra_sim::{File, Node, NodeDisk, OpenMode};

use super::free_pages::FreePages;
use super::page::{self, Decoded, META_PAGES, Meta, PAGE_BYTES, Place};
use super::tree::{self, Entries, Tree};
use super::{BackendError, Bucket};
use crate::failpoints;
use crate::syncs::{SkippedSyncs, Sync};

/// The trees of all buckets.
pub(super) type Trees = [Tree; Bucket::COUNT];

/// An open file.
pub(super) struct Database {
    disk: NodeDisk,
    file: File,
    skipped: SkippedSyncs,
    /// What is committed, with the changes since.
    trees: Trees,
    pages: FreePages,
    /// The number of the last commit.
    transaction: u64,
    /// The pages of a commit, in the order in which they are written.
    image: Vec<u8>,
}

impl Database {
    /// Opens the file at `path`, or makes it. What an earlier process left unsynced is synced.
    pub(super) async fn open(
        node: &Node,
        path: &str,
        unchecked: bool,
        skipped: SkippedSyncs,
    ) -> Result<Self, BackendError> {
        let disk = node.disk();
        let temporary = temporary(path);
        if disk.exists(&temporary) {
            disk.remove(&temporary).await?;
        }
        if !disk.exists(path) {
            let new = Self::create(disk, &temporary, skipped).await?;
            new.sync(Sync::BackendCreateFile).await?;
            return new.rename(path).await;
        }
        let file = disk.open(path, OpenMode::Existing).await?;
        let length = usize::try_from(file.length().await?).unwrap_or(usize::MAX);
        let bytes = Bytes::from(file.read_at(0, length).await?);
        let (trees, pages, transaction) = read(&bytes, unchecked).map_err(damaged(path))?;
        let database = Self { disk, file, skipped, trees, pages, transaction, image: Vec::new() };
        database.sync(Sync::BackendOpenFile).await?;
        Ok(database)
    }

    /// A new file without content, which nothing is synced of.
    pub(super) async fn create(
        disk: NodeDisk,
        path: &str,
        skipped: SkippedSyncs,
    ) -> Result<Self, BackendError> {
        let file = disk.open(path, OpenMode::Create).await?;
        let mut database = Self {
            disk,
            file,
            skipped,
            trees: Trees::default(),
            pages: FreePages::new(),
            transaction: 0,
            image: Vec::new(),
        };
        database.file.truncate(0).await?;
        database.file.truncate(u64::from(META_PAGES) * PAGE_BYTES as u64).await?;
        database.write_meta().await?;
        database.transaction = 1;
        database.write_meta().await?;
        Ok(database)
    }

    /// Gives the file another name, and opens it there.
    pub(super) async fn rename(mut self, path: &str) -> Result<Self, BackendError> {
        self.disk.rename(&temporary(path), path).await?;
        self.file = self.disk.open(path, OpenMode::Existing).await?;
        Ok(self)
    }

    pub(super) fn tree(&self, bucket: Bucket) -> &Tree {
        &self.trees[bucket.number()]
    }

    pub(super) fn trees(&self) -> &Trees {
        &self.trees
    }

    pub(super) fn put(&mut self, bucket: Bucket, key: Bytes, value: Bytes) {
        self.trees[bucket.number()].insert(key, value, &mut self.pages.freed);
    }

    pub(super) fn delete(&mut self, bucket: Bucket, key: &[u8]) {
        self.trees[bucket.number()].remove(key, &mut self.pages.freed);
    }

    /// Makes all changes durable.
    pub(super) async fn commit(&mut self, node: &Node) -> Result<(), BackendError> {
        self.write_nodes().await?;
        node.failpoint(failpoints::BEFORE_SYNC_DATA_PAGES).await;
        self.sync(Sync::BackendData).await?;
        node.failpoint(failpoints::BEFORE_WRITE_META).await;
        self.write_meta().await?;
        node.failpoint(failpoints::BEFORE_SYNC_META_PAGE).await;
        self.sync(Sync::BackendMeta).await?;
        self.pages.committed();
        Ok(())
    }

    /// A commit to a file that nobody opens before it is synced.
    pub(super) async fn commit_unsynced(&mut self) -> Result<(), BackendError> {
        self.write_nodes().await?;
        self.write_meta().await?;
        self.pages.committed();
        Ok(())
    }

    /// Gives every node that changed a place, and writes it there.
    async fn write_nodes(&mut self) -> Result<(), BackendError> {
        self.transaction += 1;
        self.image.clear();
        let mut nodes = Nodes { pages: &mut self.pages, image: &mut self.image, runs: Vec::new() };
        for tree in &mut self.trees {
            if let Some(root) = &mut tree.root {
                nodes.place(root);
            }
        }
        let mut start = 0;
        for (page, pages) in nodes.runs {
            let end = start + pages as usize * PAGE_BYTES;
            self.file.write_at(u64::from(page) * PAGE_BYTES as u64, &self.image[start..end]).await?;
            start = end;
        }
        Ok(())
    }

    async fn write_meta(&self) -> Result<(), BackendError> {
        let roots = std::array::from_fn(|bucket| self.trees[bucket].root.as_ref()?.place);
        let meta = Meta { transaction: self.transaction, pages: self.pages.all(), roots };
        Ok(self.file.write_at(u64::from(meta.page()) * PAGE_BYTES as u64, &meta.encode()).await?)
    }

    pub(super) async fn sync(&self, sync: Sync) -> Result<(), BackendError> {
        if !self.skipped.contains(sync) {
            self.file.sync().await?;
        }
        Ok(())
    }

    /// The bytes of the file, as of the last commit.
    pub(super) async fn read(&self) -> Result<Bytes, BackendError> {
        let length = usize::try_from(self.bytes()).unwrap_or(usize::MAX);
        Ok(self.file.read_at(0, length).await?.into())
    }

    pub(super) fn skipped(&self) -> SkippedSyncs {
        self.skipped
    }

    /// The size of the file in bytes.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.pages.all()) * PAGE_BYTES as u64
    }

    /// The size of the pages in use, in bytes.
    pub(super) fn bytes_in_use(&self) -> u64 {
        u64::from(self.pages.in_use()) * PAGE_BYTES as u64
    }
}

/// What a file is called that is to get this name when it is complete.
pub(super) fn temporary(path: &str) -> String {
    format!("{path}.tmp")
}

/// The directory that a path is in.
pub(super) fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// The nodes of a commit, on their way to the file.
struct Nodes<'a> {
    pages: &'a mut FreePages,
    image: &'a mut Vec<u8>,
    /// What is written in one go: its first page, and how many there are. Together they are `image`.
    runs: Vec<(u32, u32)>,
}

impl Nodes<'_> {
    /// Gives a node that changed a place, and before that those below it.
    fn place(&mut self, node: &mut Rc<tree::Node>) {
        if node.place.is_some() {
            return;
        }
        let node = Rc::make_mut(node);
        if let Entries::Branch(children) = &mut node.entries {
            for (_, child) in children {
                self.place(child);
            }
        }
        let mut place = page::encode(node, self.image);
        place.page = self.pages.take(place.pages);
        node.place = Some(place);
        match self.runs.last_mut() {
            Some((first, pages)) if *first + *pages == place.page => *pages += place.pages,
            _ => self.runs.push((place.page, place.pages)),
        }
    }
}

fn damaged(path: &str) -> impl Fn((u32, &'static str)) -> BackendError {
    |(page, reason)| BackendError::Damaged { path: path.to_owned(), page, reason }
}

/// Whether a file with these bytes would be opened.
pub(super) fn verify(path: &str, bytes: &Bytes, unchecked: bool) -> Result<(), BackendError> {
    read(bytes, unchecked).map(|_| ()).map_err(damaged(path))
}

/// What is in a file: its trees, its free pages, and the number of the last commit; or which page is damaged, and what
/// is wrong with it.
fn read(bytes: &Bytes, unchecked: bool) -> Result<(Trees, FreePages, u64), (u32, &'static str)> {
    if bytes.len() < META_PAGES as usize * PAGE_BYTES {
        return Err((0, "the file ends before the first node"));
    }
    let meta = |page: u32| {
        Meta::decode(page, &bytes.slice(page as usize * PAGE_BYTES..)).map_err(|reason| (page, reason))
    };
    let (even, odd) = (meta(0)?, meta(1)?);
    let meta = if even.transaction > odd.transaction { even } else { odd };
    if (bytes.len() / PAGE_BYTES) < meta.pages as usize {
        return Err((meta.page(), "the file is shorter than it says"));
    }
    let mut is_used = vec![false; meta.pages as usize];
    is_used[..META_PAGES as usize].fill(true);
    let mut reader = Reader { bytes, unchecked, is_used };
    let mut trees = Trees::default();
    for (tree, root) in trees.iter_mut().zip(meta.roots) {
        if let Some(place) = root {
            tree.root = Some(reader.node(place, &Bytes::new(), None)?);
        }
    }
    Ok((trees, FreePages::found(&reader.is_used), meta.transaction))
}

struct Reader<'a> {
    bytes: &'a Bytes,
    unchecked: bool,
    is_used: Vec<bool>,
}

impl Reader<'_> {
    /// The node at `place` and what is below it, whose keys must be at least `low`, and smaller than `high`.
    fn node(
        &mut self,
        place: Place,
        low: &Bytes,
        high: Option<&Bytes>,
    ) -> Result<Rc<tree::Node>, (u32, &'static str)> {
        let damaged = |reason| (place.page, reason);
        let (first, pages) = (place.page as usize, place.pages as usize);
        let used = self.is_used.get_mut(first..first.saturating_add(pages));
        let used = used.ok_or_else(|| damaged("it is not in the file"))?;
        if used.contains(&true) {
            return Err(damaged("it is used twice"));
        }
        used.fill(true);
        let bytes = self.bytes.slice(first * PAGE_BYTES..(first + pages) * PAGE_BYTES);
        let out_of_order = || damaged("its keys are out of order");
        if !self.unchecked && !page::matches(place, &bytes) {
            return Err(damaged("its checksum does not match"));
        }
        let decoded = page::decode(bytes).ok_or_else(|| damaged("it does not hold what it says"));
        let entries = match decoded? {
            Decoded::Leaf(entries) => {
                are_between(&entries, low, high).then_some(()).ok_or_else(out_of_order)?;
                Entries::Leaf(entries)
            }
            Decoded::Branch(places) => {
                are_between(&places, low, high).then_some(()).ok_or_else(out_of_order)?;
                let mut children = Vec::with_capacity(places.len());
                for (number, (key, place)) in places.iter().enumerate() {
                    let next = places.get(number + 1).map(|(key, _)| key).or(high);
                    children.push((key.clone(), self.node(*place, key, next)?));
                }
                Entries::Branch(children)
            }
        };
        Ok(Rc::new(tree::Node::new(Some(place), entries)))
    }
}

/// Whether keys are there, sorted, and within their bounds.
fn are_between<T>(entries: &[(Bytes, T)], low: &Bytes, high: Option<&Bytes>) -> bool {
    entries.is_sorted_by(|(one, _), (other, _)| one < other)
        && entries.first().is_some_and(|(first, _)| low <= first)
        && entries.last().is_some_and(|(last, _)| high.is_none_or(|high| last < high))
}
