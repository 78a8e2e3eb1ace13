//! The watchers of a member, and the loops that tell them of what they missed.
//!
//! One lock keeps order, as in etcd: a write holds it from before it tells the synced watchers until readers see it, so
//! that a watch that begins meanwhile begins after it. What is sent to victims is sent without it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use vertebra_sim::{record, sometimes};

use super::Member;
use super::kv::Kv;
use crate::failpoints;
use crate::mvcc::watch::{Number, SyncReport, Victims, Watch, Watchers, events_between};
use crate::options::Options;

/// How often unsynced watchers are looked at. As in etcd.
const SYNC_PERIOD: Duration = Duration::from_millis(100);

/// How often victims are sent to again. As in etcd.
const VICTIMS_PERIOD: Duration = Duration::from_millis(10);

/// How long a stream waits before it cancels again a watcher that is being sent to. As in etcd.
const CANCEL_RETRY: Duration = Duration::from_millis(1);

/// The watchers of a member.
pub(crate) struct Watches {
    watchers: RefCell<Watchers>,
    lock: Lock,
    /// There may be unsynced watchers where there were none.
    unsynced: Notify,
    /// The same of victims.
    victims: Notify,
}

/// A mutex between tasks of one thread, whose content is elsewhere.
#[derive(Default)]
struct Lock {
    held: Cell<bool>,
    freed: Notify,
}

/// Holds the lock until it is dropped.
pub(super) struct Held<'a>(&'a Lock);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.set(false);
        self.0.freed.notify_one();
    }
}

impl Watches {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            watchers: RefCell::new(Watchers::new(options.watch.batch_revisions_max).with(options.defects)),
            lock: Lock::default(),
            unsynced: Notify::new(),
            victims: Notify::new(),
        }
    }

    pub(super) async fn lock(&self) -> Held<'_> {
        while self.lock.held.replace(true) {
            self.lock.freed.notified().await;
        }
        Held(&self.lock)
    }

    /// Whether anybody is told of writes.
    pub(super) fn any_synced(&self) -> bool {
        self.watchers.borrow().synced() > 0
    }

    pub(super) fn watchers(&self) -> &RefCell<Watchers> {
        &self.watchers
    }

    pub(super) fn victims_came(&self) {
        self.victims.notify_one();
    }

    pub(super) fn unsynced_came(&self) {
        self.unsynced.notify_one();
    }
}

impl Kv {
    /// Begins to watch.
    pub(super) async fn watch(&self, watch: Watch) -> Number {
        let watches = self.watches();
        let _held = watches.lock().await;
        let number = watches.watchers.borrow_mut().watch(watch, self.revision());
        watches.unsynced_came();
        number
    }

    /// Ends a watch. Nothing more goes into its channel.
    pub(super) async fn cancel_watch(&self, member: &Member, number: Number) {
        let watches = self.watches();
        loop {
            {
                let _held = watches.lock().await;
                if watches.watchers.borrow_mut().cancel(number) {
                    return;
                }
            }
            member.node.sleep(CANCEL_RETRY).await;
        }
    }

    /// Tells a stream that all of `numbers` were told everything, if so; the response bears `id`.
    pub(super) async fn progress_if_synced(&self, member: &Member, numbers: &[Number], id: i64) {
        member.node.failpoint(failpoints::BEFORE_PROGRESS_IF_SYNC).await;
        let watches = self.watches();
        let _held = watches.lock().await;
        let told = watches.watchers.borrow().progress(numbers.iter().copied(), id, self.revision());
        sometimes!(member.node, "progress is asked for while a watch is not synced", !told);
    }

    /// Looks at the unsynced watchers once. Returns how many are left.
    async fn sync_watchers(&self, member: &Member) -> usize {
        let node = &member.node;
        node.failpoint(failpoints::BEFORE_SYNC_WATCHERS).await;
        let watches = self.watches();
        let _held = watches.lock().await;
        let report = self.read(|store, tx| {
            let at = (store.revision(), store.compact_revision());
            let mut watchers = watches.watchers.borrow_mut();
            watchers.sync(at, member.options.watch.sync_watchers_max, |from, to| events_between(tx, from, to))
        });
        let SyncReport { unsynced, cancelled, not_cancelled, victims, unfinished, future } = report;
        if report != SyncReport::default() {
            record!(
                node,
                "watch",
                "sync leaves {} unsynced: {} cancelled, {} not yet, {} victims, {} unfinished",
                unsynced,
                cancelled,
                not_cancelled,
                victims,
                unfinished
            );
        }
        if victims > 0 {
            watches.victims_came();
        }
        sometimes!(node, "a watch below the compacted revision is cancelled", cancelled > 0);
        sometimes!(node, "a compacted watch cannot be cancelled, its channel is full", not_cancelled > 0);
        sometimes!(node, "a watcher that lags becomes a victim", victims > 0);
        sometimes!(node, "a watcher has more to be told than goes into a response", unfinished > 0);
        sometimes!(node, "a watch of the future is synced after a snapshot from the leader", future > 0);
        sometimes!(node, "watchers are left for the next sync", unsynced > 0);
        unsynced
    }

    /// Sends to all victims once. Returns how many of them are none any more.
    async fn move_victims(&self, member: &Member) -> usize {
        let node = &member.node;
        node.failpoint(failpoints::BEFORE_MOVE_VICTIMS).await;
        let watches = self.watches();
        let victims = {
            let _held = watches.lock().await;
            watches.watchers.borrow_mut().take_victims()
        };
        let (mut moved, mut still) = (0, Victims::default());
        for victims in victims {
            let left = watches.watchers.borrow().send_to_victims(&victims);
            node.failpoint(failpoints::BEFORE_PLACE_VICTIMS).await;
            let _held = watches.lock().await;
            moved += watches.watchers.borrow_mut().place(&victims, &left, self.revision());
            still.extend(left);
        }
        if !still.is_empty() {
            let _held = watches.lock().await;
            watches.watchers.borrow_mut().return_victims(still);
        }
        if moved > 0 {
            record!(node, "watch", "{} victims were sent to", moved);
            sometimes!(
                node,
                "a victim is sent to and catches up with what it missed",
                watches.any_unsynced()
            );
            watches.unsynced_came();
        }
        moved
    }
}

impl Watches {
    fn any_unsynced(&self) -> bool {
        self.watchers.borrow().unsynced() > 0
    }
}

/// Tells unsynced watchers what they were not told, again and again.
///
/// etcd looks every 100 ms; where there is nothing to look at, this waits, and then keeps to the same beat.
pub(super) async fn sync_loop(member: Rc<Member>) {
    let (node, kv) = (&member.node, &member.kv);
    let mut last = node.monotonic();
    loop {
        while !kv.watches().any_unsynced() {
            kv.watches().unsynced.notified().await;
        }
        let since = node.monotonic().as_nanos() - last.as_nanos();
        let period = SYNC_PERIOD.as_nanos() as u64;
        node.sleep(Duration::from_nanos(period - since % period)).await;
        let mut before = usize::MAX;
        loop {
            let left = kv.sync_watchers(&member).await;
            // What is left makes no progress by itself.
            if left == 0 || left >= before {
                break;
            }
            before = left;
            node.yield_now().await;
        }
        last = node.monotonic();
    }
}

/// Sends to victims again, until there is room for them.
pub(super) async fn victims_loop(member: Rc<Member>) {
    let (node, kv) = (&member.node, &member.kv);
    loop {
        while kv.move_victims(&member).await != 0 {}
        if kv.watches().watchers.borrow().has_victims() {
            let came = std::pin::pin!(kv.watches().victims.notified());
            let _ = vertebra_sim::before(node.sleep(VICTIMS_PERIOD), came).await;
        } else {
            kv.watches().victims.notified().await;
        }
    }
}
