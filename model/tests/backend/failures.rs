//! Disks that fail, waiting, and what is not written.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use vertebra_model::backend::{Backend, BackendError, Bucket, DefragmentError, Limits};
use vertebra_model::failpoints;
use vertebra_model::syncs::SkippedSyncs;
use vertebra_sim::schedule::{Action, Fault, Operation, Target};
use vertebra_sim::{DiskError, Node, NodeId};

use crate::calm::{Task, calmly};
use crate::known::content;

const PATH: &str = "database";
const MEMBER: Target = Target::Node(NodeId::Member(1));

async fn open(node: &Node) -> Backend {
    Backend::open(node, PATH, Limits::default(), SkippedSyncs::NONE).await.unwrap()
}

async fn put(backend: &Backend, key: &'static str, value: Bytes) -> Result<(), BackendError> {
    let mut batch = backend.lock().await;
    batch.put(Bucket::Lease, key, value);
    batch.unlock().await
}

fn value(backend: &Backend, key: &'static str) -> Option<Bytes> {
    backend.read().get(Bucket::Lease, key.as_bytes()).cloned()
}

/// Waits until the run is so many milliseconds old.
async fn until(node: &Node, millis: u64) {
    let start = Duration::from_nanos(node.world().now().as_nanos());
    node.sleep(Duration::from_millis(millis).saturating_sub(start)).await;
}

fn disk_error(operation: Operation) -> Fault {
    Fault::DiskError { target: MEMBER, operation, count: 1 }
}

struct DefragmentationFails;

impl Task for DefragmentationFails {
    async fn run(node: &Node) {
        let backend = open(node).await;
        put(&backend, "a", Bytes::from(vec![1; 5_000])).await.unwrap();
        backend.force_commit().await.unwrap();
        let (before, size) = (content(&backend.read()), backend.size());
        for at in [1_010, 2_010, 3_010] {
            until(node, at).await;
            let failed = backend.defragment().await;
            assert!(matches!(failed, Err(DefragmentError::NotDone(_))), "{failed:?}");
            assert!(!node.disk().exists("database.tmp"), "what was left of it is removed");
            assert_eq!((content(&backend.read()), backend.size()), (before.clone(), size));
        }
        until(node, 4_000).await;
        put(&backend, "b", Bytes::from_static(b"2")).await.unwrap();
        backend.force_commit().await.unwrap();
        backend.defragment().await.unwrap();
        assert_eq!(content(&backend.read()), content(&open(node).await.read()));
        assert_eq!(value(&backend, "b").as_deref(), Some(&b"2"[..]));
    }
}

#[test]
fn a_defragmentation_that_fails_leaves_the_old_file_in_service() {
    let full = Fault::DiskFull { target: MEMBER, lasts: Duration::from_millis(500) };
    calmly::<DefragmentationFails>(vec![
        (1_000, disk_error(Operation::Write)),
        (2_000, disk_error(Operation::Sync)),
        (3_000, full),
    ]);
}

struct CommitFails;

impl Task for CommitFails {
    async fn run(node: &Node) {
        let backend = open(node).await;
        put(&backend, "a", Bytes::from_static(b"1")).await.unwrap();
        backend.force_commit().await.unwrap();
        until(node, 1_010).await;
        put(&backend, "b", Bytes::from_static(b"2")).await.unwrap();
        for _ in 0..2 {
            let failed = backend.force_commit().await;
            assert!(matches!(failed, Err(BackendError::Disk(DiskError::Io { .. }))), "{failed:?}");
        }
        let failed = backend.defragment().await;
        assert!(matches!(failed, Err(DefragmentError::Fatal(_))), "{failed:?}");
        drop(backend);
        assert_eq!(value(&open(node).await, "a").as_deref(), Some(&b"1"[..]));
    }
}

#[test]
fn after_a_commit_that_failed_there_is_no_other() {
    calmly::<CommitFails>(vec![(1_000, disk_error(Operation::Sync))]);
}

struct WritesLittle;

impl Task for WritesLittle {
    async fn run(node: &Node) {
        let backend = open(node).await;
        for number in 0..500_u64 {
            let mut batch = backend.lock().await;
            batch.put(Bucket::Key, number.to_be_bytes().to_vec(), vec![7; 100]);
            batch.unlock().await.unwrap();
        }
        backend.force_commit().await.unwrap();
        let full = node.disk().read(PATH).await.unwrap();
        backend.force_commit().await.unwrap();
        assert_eq!(node.disk().read(PATH).await.unwrap(), full, "nothing pending, nothing written");

        let mut batch = backend.lock().await;
        batch.put(Bucket::Key, 250_u64.to_be_bytes().to_vec(), vec![8; 100]);
        batch.unlock().await.unwrap();
        backend.force_commit().await.unwrap();
        let after = node.disk().read(PATH).await.unwrap();
        let pages = after.chunks(1_024).zip(full.chunks(1_024).chain(std::iter::repeat(&[][..])));
        let changed = pages.filter(|(after, before)| after != before).count();
        assert!(changed <= 5, "{changed} of {} pages were written for one change", after.len() / 1_024);

        let mut batch = backend.lock().await;
        for number in 0..490_u64 {
            batch.delete(Bucket::Key, number.to_be_bytes().to_vec());
        }
        batch.unlock().await.unwrap();
        assert!(backend.size() >= after.len() as u64, "a file never shrinks by itself");
        assert!(backend.size_in_use() < after.len() as u64 / 10);
        let hash = backend.hash(|_, _| false);
        backend.defragment().await.unwrap();
        assert_eq!(backend.size(), backend.size_in_use());
        assert_eq!(node.disk().read(PATH).await.unwrap().len() as u64, backend.size());
        assert_eq!(backend.hash(|_, _| false), hash, "the same is in it");
        assert_ne!(
            backend.hash(|_, key| key == 495_u64.to_be_bytes()),
            hash,
            "what is ignored does not count"
        );
    }
}

#[test]
fn only_pages_that_changed_are_written_and_only_defragmentation_gives_space_back() {
    calmly::<WritesLittle>(Vec::new());
}

struct HookAtDefragmentation;

impl Task for HookAtDefragmentation {
    async fn run(node: &Node) {
        let backend = open(node).await;
        let (applied, hooked) = (Rc::new(Cell::new(0_u8)), Rc::new(Cell::new(0)));
        let (now, calls) = (Rc::clone(&applied), Rc::clone(&hooked));
        backend.set_pre_commit_hook(move |batch| {
            calls.set(calls.get() + 1);
            if now.get() > 0 {
                batch.put(Bucket::Meta, "consistent_index", vec![now.get()]);
            }
        });
        backend.force_commit().await.unwrap();
        assert_eq!(hooked.get(), 1, "the hook is asked even when nothing is pending");
        applied.set(5);
        put(&backend, "a", Bytes::from_static(b"1")).await.unwrap();
        assert_eq!(hooked.get(), 1, "nothing is committed yet");
        backend.defragment().await.unwrap();
        let reopened = open(node).await.read();
        assert_eq!(reopened.get(Bucket::Meta, b"consistent_index").map(|index| index[0]), Some(5));
        assert_eq!(reopened.get(Bucket::Lease, b"a").map(|value| &value[..]), Some(&b"1"[..]));
    }
}

/// etcd-io/etcd#14685: entries were committed by a defragmentation, and the index up to which they were not.
#[test]
fn a_defragmentation_commits_the_consistent_index_with_what_was_pending() {
    calmly::<HookAtDefragmentation>(Vec::new());
}

struct Waits;

impl Task for Waits {
    async fn run(node: &Node) {
        let backend = open(node).await;
        put(&backend, "a", Bytes::from_static(b"0")).await.unwrap();
        let order = Rc::new(std::cell::RefCell::new(Vec::new()));
        until(node, 1_000).await;
        for number in 0..5_u8 {
            let (backend, order) = (backend.clone(), Rc::clone(&order));
            let started = node.clone();
            node.spawn(async move {
                started.sleep(Duration::from_millis(u64::from(number))).await;
                if number == 0 {
                    // It takes a second, at a failpoint.
                    backend.force_commit().await.unwrap();
                } else {
                    put(&backend, "a", Bytes::from(vec![number])).await.unwrap();
                }
                order.borrow_mut().push(number);
            });
        }
        node.sleep(Duration::from_millis(100)).await;
        assert_eq!(value(&backend, "a").as_deref(), Some(&b"0"[..]), "readers need not wait");
        assert!(order.borrow().is_empty(), "writers wait for the commit");
        node.sleep(Duration::from_secs(1)).await;
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4], "first come, first served");
        assert_eq!(value(&backend, "a"), Some(Bytes::from(vec![4])));
    }
}

#[test]
fn writers_wait_for_a_commit_in_their_order_and_readers_do_not() {
    let delay = Fault::Failpoint {
        name: failpoints::BEFORE_COMMIT.to_owned(),
        target: MEMBER,
        hit: 1,
        action: Action::Delay,
        lasts: Duration::from_secs(1),
    };
    calmly::<Waits>(vec![(500, delay)]);
}

struct Closes;

impl Task for Closes {
    async fn run(node: &Node) {
        let backend = open(node).await;
        let committer = backend.clone();
        let ended = Rc::new(Cell::new(false));
        let told = Rc::clone(&ended);
        node.spawn(async move {
            committer.commit_on_interval().await.unwrap();
            told.set(true);
        });
        put(&backend, "a", Bytes::from_static(b"1")).await.unwrap();
        backend.close().await.unwrap();
        let reopened = open(node).await;
        assert_eq!(value(&reopened, "a").as_deref(), Some(&b"1"[..]), "what was pending is committed");
        assert_eq!(value(&backend, "a").as_deref(), Some(&b"1"[..]), "readers keep what they have");
        put(&reopened, "a", Bytes::from_static(b"2")).await.unwrap();
        reopened.force_commit().await.unwrap();
        node.sleep(Duration::from_secs(1)).await;
        assert!(ended.get(), "nothing is committed to a closed database");
        assert_eq!(value(&open(node).await, "a").as_deref(), Some(&b"2"[..]));
    }
}

#[test]
fn a_closed_database_is_left_alone() {
    calmly::<Closes>(Vec::new());
}

struct WritesToClosed;

impl Task for WritesToClosed {
    async fn run(node: &Node) {
        let backend = open(node).await;
        backend.close().await.unwrap();
        let _ = backend.defragment().await;
    }
}

/// etcd-io/etcd#20553: a defragmentation and the installation of a snapshot changed files under each other.
#[test]
#[should_panic(expected = "the database is not closed")]
fn a_closed_database_is_not_defragmented() {
    calmly::<WritesToClosed>(Vec::new());
}
