//! What a seed decides about watches.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::random::Streams;
use vertebra_sim::time::text;

/// etcd's default: no test lasts so long.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(600);

/// How members serve watches, and how many clients watch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchOptions {
    /// Streams of watches that clients open.
    pub streams: u16,
    /// Responses that wait for the sender of a stream. etcd: 128.
    pub channel_responses_max: usize,
    /// Unsynced watchers that are looked at at a time. etcd: 512.
    pub sync_watchers_max: usize,
    /// Revisions that go into one response to a watcher that lags. etcd: 1,000.
    pub batch_revisions_max: usize,
    /// How often a watch that wants it is told of its progress. etcd: 10 minutes.
    #[serde(with = "text")]
    pub progress_interval: Duration,
    /// Bytes that a member sends over a stream beyond what the client has consumed. HTTP/2: 64 KiB.
    pub window_bytes: u64,
    /// Bytes at which a response is split, if the client allows for it. etcd: 2 MiB.
    pub response_bytes_max: usize,
    /// Streams of each 100 whose clients read slowly at times.
    pub slow_percent: u8,
}

impl Default for WatchOptions {
    /// etcd's limits, and nobody who watches: as in schedules from before there were watches.
    fn default() -> Self {
        Self {
            streams: 0,
            channel_responses_max: 128,
            sync_watchers_max: 512,
            batch_revisions_max: 1_000,
            progress_interval: PROGRESS_INTERVAL,
            window_bytes: 64 << 10,
            response_bytes_max: 2 << 20,
            slow_percent: 0,
        }
    }
}

impl WatchOptions {
    pub(super) fn draw(streams: &Streams) -> Self {
        let mut stream = streams.stream("options/watch", 0);
        let millis = Duration::from_millis;
        Self {
            streams: *stream.weighted(&[(3, 0), (4, 1), (3, 2), (1, 3)]),
            channel_responses_max: *stream.weighted(&[(4, 128), (2, 1), (2, 2), (2, 8)]),
            sync_watchers_max: *stream.weighted(&[(6, 512), (2, 2), (2, 3)]),
            // Fewer, and watchers that lag would not catch up in the time that they have in the end.
            batch_revisions_max: *stream.weighted(&[(5, 1_000), (3, 10), (2, 50)]),
            progress_interval: *stream.weighted(&[
                (3, millis(100)),
                (4, millis(1_000)),
                (3, PROGRESS_INTERVAL),
            ]),
            window_bytes: *stream.weighted(&[(4, 64 << 10), (3, 256), (2, 2 << 10)]),
            response_bytes_max: *stream.weighted(&[(5, 2 << 20), (3, 512), (2, 4 << 10)]),
            slow_percent: *stream.weighted(&[(4, 0), (3, 50), (3, 100)]),
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let limits = [
            ("channel_responses_max", self.channel_responses_max as u64),
            ("sync_watchers_max", self.sync_watchers_max as u64),
            ("batch_revisions_max", self.batch_revisions_max as u64),
            ("window_bytes", self.window_bytes),
            ("response_bytes_max", self.response_bytes_max as u64),
        ];
        if let Some((name, _)) = limits.iter().find(|(_, limit)| *limit == 0) {
            return Err(format!("watch.{name}: it must be at least 1"));
        }
        // As in etcd, which takes no less.
        if self.progress_interval < Duration::from_millis(100) {
            return Err("watch.progress_interval: it must be at least 100ms".into());
        }
        if self.slow_percent > 100 {
            return Err("watch.slow_percent: there are no more than 100 of each 100".into());
        }
        Ok(())
    }
}
