//! Runs whose events a test can look at.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use vertebra_model::{Etcd, Options};
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{Report, run};

/// One event, as a reader would see it: `raft member 2: becomes leader in term 1`.
#[derive(Default)]
struct Line {
    node: String,
    message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => _ = write!(self.message, "{value:?}"),
            "node" => _ = write!(self.node, " {value:?}"),
            _ => {}
        }
    }
}

struct Collector(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Collector {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(topic) = event.metadata().target().strip_prefix("vertebra::")
            // What was reached is told beside the events.
            && topic != "mark"
        {
            let mut line = Line::default();
            event.record(&mut line);
            self.0.lock().unwrap().push(format!("{topic}{}: {}", line.node, line.message));
        }
    }
}

/// Runs `schedule`, and returns its events beside the report.
pub fn tell(schedule: &Schedule<Options>) -> (Report, Vec<String>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let reader = Dispatch::new(Registry::default().with(Collector(Arc::clone(&lines))));
    let report = run::<Etcd>(schedule, Some(&reader));
    drop(reader);
    let lines = std::mem::take(&mut *lines.lock().unwrap());
    (report, lines)
}
