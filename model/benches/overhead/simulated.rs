//! The arm that is measured: the cluster in the simulator, as a sweep runs it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};
use vertebra_model::{Etcd, Options};
use vertebra_sim::Verdict;
use vertebra_sim::schedule::Schedule;

use crate::Work;

/// Runs `schedule`, as a sweep does.
pub fn run(schedule: &Schedule<Options>) {
    let report = vertebra_sim::run::<Etcd>(schedule, None);
    assert_eq!(report.verdict, Verdict::Pass, "a run without faults");
}

/// Runs `schedule` as a replay does, and counts what its trace tells.
pub fn count(schedule: &Schedule<Options>) -> Work {
    let datagrams = Arc::new(AtomicU64::new(0));
    let reader = Dispatch::new(Datagrams(Arc::clone(&datagrams)));
    let report = vertebra_sim::run::<Etcd>(schedule, Some(&reader));
    Work { operations: report.operations, datagrams: datagrams.load(Ordering::Relaxed) }
}

/// Counts the datagrams in a trace.
struct Datagrams(Arc<AtomicU64>);

impl Subscriber for Datagrams {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "vertebra::network"
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Text(&self.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Text<'a>(&'a AtomicU64);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" && format!("{value:?}").starts_with("-> member") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
