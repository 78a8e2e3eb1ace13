//! The database of a member: etcd's `server/storage/backend` over what bbolt is to it.
//!
//! ```text
//!   BatchTx::put ──> write buffer ──unlock──> read buffer ──commit──> (empty)
//!        │                                        │ on top of
//!        └─────────> trees of the writer ─────────┼─────commit──────> committed trees ──> pages of the file
//!                                                 └──> ReadTx ─────────────┘
//! ```
//!
//! Writes are gathered. They are seen by others when the lock is given up, and are durable with the next commit: after
//! [`Limits::batch_interval`], at [`Limits::batch_limit`], at once if one of them was a deletion
//! (etcd-io/etcd#17119), or when someone asks for it. A commit begins with the pre-commit hook, which writes the
//! consistent index, and keeps the lock until the meta page is synced. Whoever is asked for a lock gives it in the order
//! of the asking.
//!
//! | part | file |
//! | --- | --- |
//! | buckets, reading, writing, what is not committed | `bucket.rs`, `read.rs`, `batch.rs`, `buffer.rs` |
//! | a commit; defragmentation | `commit.rs`, `defragment.rs` |
//! | the file: its commits, its opening, and what counts as damage | `database.rs` |
//! | for oracles: how it commits, and how it lies in its file | `accounts.rs`, `layout.rs` |
//! | its bytes, its free pages, its nodes in memory | `page.rs`, `free_pages.rs`, `tree.rs` |
//!
//! # What is simpler than in bbolt
//!
//! - The nodes of a file are all in memory from its opening on, where bbolt maps the file. So readers keep no pages from
//!   being used again, and what rots in a file that is open is found when it is opened the next time, or when a peer
//!   opens a snapshot of it.
//! - A page has 1 KiB, so that databases of this size have more than one, and two sectors, so that it can be torn.
//! - The buckets are those of the schema, and there from the start; the meta page has their roots. bbolt has a tree of
//!   buckets.
//! - Nodes split while they grow, not at the commit, and pages of a file are not allocated ahead.
//! - Pages have checksums, which bbolt's do not.
//!
//! As with bbolt, a name is durable when whoever uses the database has synced its directory: that of a new file, and that
//! of a defragmented one. Until then a power failure can bring the old one back, as it was when it was copied.

mod accounts;
mod batch;
mod bucket;
mod buffer;
mod commit;
mod database;
mod defragment;
mod error;
mod free_pages;
mod layout;
mod page;
mod read;
mod tree;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use vertebra_sim::{DiskError, Node, sometimes};

use accounts::Accounts;
pub use accounts::Commits;
pub use batch::BatchTx;
use batch::Writer;
pub use bucket::Bucket;
use buffer::WriteBuffer;
use database::Database;
pub use defragment::DefragmentError;
pub use error::BackendError;
pub use layout::Layout;
pub use read::ReadTx;

use crate::defect::{Defect, Defects};
use crate::syncs::SkippedSyncs;

/// When writes are committed, and what is believed of them later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The longest time that they wait; etcd's default is 100 ms.
    pub batch_interval: Duration,
    /// The number of writes from which on they do not wait; etcd's default is 10,000.
    pub batch_limit: usize,
    /// The bugs that are switched on.
    pub defects: Defects,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch_interval: Duration::from_millis(100), batch_limit: 10_000, defects: Defects::NONE }
    }
}

impl Limits {
    /// Whether a file is opened without a look at the checksums of its nodes.
    fn has_unchecked_pages(self) -> bool {
        self.defects.has(Defect::UncheckedPages)
    }
}

/// What happens before each commit, as a part of it.
pub type PreCommitHook = Rc<dyn Fn(&mut BatchTx)>;

/// What happens when a commit is durable, before anybody else hears of that.
pub type PostCommitHook = Rc<dyn Fn()>;

/// An open database.
#[derive(Clone)]
pub struct Backend(Rc<Shared>);

struct Shared {
    node: Node,
    path: String,
    limits: Limits,
    /// First come, first served. It is held during commits, so that they keep others from writing.
    lock: Arc<Mutex<()>>,
    /// With whoever has the lock; gone when the database is closed.
    writer: Cell<Option<Box<Writer>>>,
    closed: Cell<bool>,
    view: RefCell<ReadTx>,
    hook: RefCell<Option<PreCommitHook>>,
    committed: RefCell<Option<PostCommitHook>>,
    bytes: Cell<u64>,
    bytes_in_use: Cell<u64>,
    accounts: Rc<Accounts>,
}

impl Shared {
    /// Lets others read what was committed, with nothing on top.
    fn show(&self, writer: &mut Writer) {
        // Only the hook's writes are in there: they came after those of the transaction were shown.
        writer.buffer.clear();
        self.view.borrow_mut().reset(writer.database.trees());
        self.bytes.set(writer.database.bytes());
        self.bytes_in_use.set(writer.database.bytes_in_use());
    }
}

impl Backend {
    /// Opens the database at `path`, or makes one where there is none.
    ///
    /// # Errors
    ///
    /// Those of the disk; and that the file is damaged.
    pub async fn open(
        node: &Node,
        path: &str,
        limits: Limits,
        skipped: SkippedSyncs,
    ) -> Result<Self, BackendError> {
        let database = Database::open(node, path, limits.has_unchecked_pages(), skipped).await?;
        let view = ReadTx::new(database.trees());
        let (bytes, bytes_in_use) = (database.bytes(), database.bytes_in_use());
        let buffer = WriteBuffer::new(limits.defects.has(Defect::PhantomEntry));
        let writer = Writer { database, buffer, pending: 0, deletions: 0, failed: None };
        Ok(Self(Rc::new(Shared {
            node: node.clone(),
            path: path.to_owned(),
            limits,
            lock: Arc::default(),
            writer: Cell::new(Some(Box::new(writer))),
            closed: Cell::new(false),
            view: RefCell::new(view),
            hook: RefCell::default(),
            committed: RefCell::default(),
            bytes: Cell::new(bytes),
            bytes_in_use: Cell::new(bytes_in_use),
            accounts: Rc::new(Accounts::new(node)),
        })))
    }

    /// Waits for the right to write.
    pub async fn lock(&self) -> BatchTx {
        sometimes!(self.0.node, "a writer waits for a commit", self.0.accounts.is_busy());
        let lock = Arc::clone(&self.0.lock).lock_owned().await;
        BatchTx { shared: Rc::clone(&self.0), writer: self.0.writer.take(), _lock: lock }
    }

    /// The database as it is now, committed or not.
    #[must_use]
    pub fn read(&self) -> ReadTx {
        sometimes!(self.0.node, "a database is read while it is committed", self.0.accounts.is_busy());
        self.0.view.borrow().clone()
    }

    /// Sets what happens before each commit, as a part of it (etcd's `OnPreCommitUnsafe`).
    ///
    /// The database has the hook for as long as it lives: what the hook has must not have the database.
    pub fn set_pre_commit_hook(&self, hook: impl Fn(&mut BatchTx) + 'static) {
        *self.0.hook.borrow_mut() = Some(Rc::new(hook));
    }

    /// Sets what happens when a commit is durable. As with the hook before it, it must not have the database.
    pub fn set_post_commit_hook(&self, hook: impl Fn() + 'static) {
        *self.0.committed.borrow_mut() = Some(Rc::new(hook));
    }

    /// Commits now.
    ///
    /// # Errors
    ///
    /// Those of the disk. The process must end then.
    pub async fn force_commit(&self) -> Result<(), BackendError> {
        let mut batch = self.lock().await;
        self.0.accounts.asked();
        batch.commit().await?;
        batch.unlock().await
    }

    /// Commits again and again, until the database is closed. To be run as a task of its own.
    ///
    /// # Errors
    ///
    /// Those of the disk. The process must end then.
    pub async fn commit_on_interval(self) -> Result<(), BackendError> {
        loop {
            self.0.node.sleep(self.0.limits.batch_interval).await;
            let mut batch = self.lock().await;
            if self.0.closed.get() {
                return Ok(());
            }
            if batch.pending() != 0 {
                batch.commit().await?;
            }
        }
    }

    /// Commits, and lets go of the file. Readers keep what they have.
    ///
    /// To write after that, or to defragment, is a bug, and panics: another database may have the name of this one by
    /// then.
    ///
    /// # Errors
    ///
    /// Those of the disk. The process must end then.
    pub async fn close(&self) -> Result<(), BackendError> {
        let mut batch = self.lock().await;
        self.0.accounts.asked();
        batch.commit().await?;
        self.0.closed.set(true);
        batch.writer = None;
        Ok(())
    }

    /// Commits, and gives a consistent copy of the file. Nobody is given what was damaged since it was opened.
    ///
    /// # Errors
    ///
    /// Those of the disk, and damage. The process must end then.
    pub async fn snapshot(&self) -> Result<Bytes, BackendError> {
        let mut batch = self.lock().await;
        self.0.accounts.asked();
        batch.commit().await?;
        let bytes = batch.writer().database.read().await?;
        database::verify(&self.0.path, &bytes, self.0.limits.has_unchecked_pages())?;
        Ok(bytes)
    }

    /// The size of the file, free pages included, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.bytes.get()
    }

    /// The size of the pages that are not free, in bytes.
    #[must_use]
    pub fn size_in_use(&self) -> u64 {
        self.0.bytes_in_use.get()
    }

    /// A checksum over everything that is committed, but for the keys for which `is_ignored`.
    #[must_use]
    pub fn hash(&self, is_ignored: impl Fn(Bucket, &[u8]) -> bool) -> u32 {
        let view = self.0.view.borrow();
        let mut hash = 0;
        for bucket in Bucket::ALL {
            hash = crc32c::crc32c_append(hash, bucket.name().as_bytes());
            for (key, value) in view.committed()[bucket.number()].iter_from(b"") {
                if !is_ignored(bucket, key) {
                    hash = crc32c::crc32c_append(hash, key);
                    hash = crc32c::crc32c_append(hash, value);
                }
            }
        }
        hash
    }
}

/// What is in a database that has these bytes.
///
/// # Errors
///
/// What is damaged, so that it could not be opened.
pub fn contents(bytes: &Bytes) -> Result<ReadTx, BackendError> {
    database::contents("a snapshot", bytes).map(|trees| ReadTx::new(&trees))
}

/// Renames a damaged file to `<path>.broken`, durably, so that a new one can be made in its place.
///
/// # Errors
///
/// Those of the disk.
pub async fn set_aside(node: &Node, path: &str) -> Result<(), DiskError> {
    let disk = node.disk();
    disk.rename(path, &format!("{path}.broken")).await?;
    disk.sync_directory(database::directory(path)).await
}
