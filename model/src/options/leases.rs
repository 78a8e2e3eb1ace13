//! What a seed decides about leases.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::random::Streams;

/// The options of the lessors. In a schedule they are the table `[options.leases]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseOptions {
    /// How often the leader writes down in the log how long leases have left; if it is left out, never. etcd: every 5
    /// minutes, where it is switched on.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    pub checkpoint_interval: Option<Duration>,
    /// How many leases may expire in a second. etcd: 1,000.
    #[serde(default = "revoke_rate")]
    pub revoke_rate: usize,
    /// Whether the end of the run waits for leases of less than a minute to expire.
    #[serde(default)]
    pub wait_for_expiry: bool,
}

/// How often each kind of operation on leases is chosen, relative to the others of [`Weights`](crate::Weights).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseWeights {
    /// Grants of a lease.
    pub grant: u32,
    /// Writes of a key that is attached to a lease. Some puts in transactions are, too, if this is not 0.
    pub put: u32,
    /// Revocations of a lease.
    pub revoke: u32,
    /// Signs that a lease is still wanted.
    pub keep_alive: u32,
    /// Questions how long a lease has left.
    pub time_to_live: u32,
    /// Questions which leases there are.
    pub list: u32,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self { checkpoint_interval: None, revoke_rate: revoke_rate(), wait_for_expiry: false }
    }
}

impl LeaseOptions {
    pub(super) fn draw(streams: &Streams) -> Self {
        let mut stream = streams.stream("options/leases", 0);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        Self {
            checkpoint_interval: *stream.weighted(&[(6, None), (3, seconds(1)), (1, seconds(2))]),
            revoke_rate: *stream.weighted(&[(8, revoke_rate()), (2, 4)]),
            wait_for_expiry: stream.chance(100_000),
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.checkpoint_interval.is_some_and(|interval| interval < Duration::from_millis(1)) {
            return Err("leases.checkpoint_interval: it must be at least 1ms".to_owned());
        }
        if self.revoke_rate == 0 {
            return Err("leases.revoke_rate: it must be at least 1".to_owned());
        }
        Ok(())
    }
}

impl LeaseWeights {
    pub(super) fn draw(streams: &Streams) -> Self {
        let mut stream = streams.stream("options/lease-weights", 0);
        if stream.chance(400_000) {
            return Self::default();
        }
        let mut weight = |usual: u32| if stream.chance(100_000) { 0 } else { usual };
        let (revoke, keep_alive, time_to_live, list) = (weight(1), weight(5), weight(1), weight(1));
        // In some seeds hardly anything else is done, so that somebody asks at every moment.
        let times = if stream.chance(200_000) { 6 } else { 1 };
        let [grant, put, revoke, keep_alive, time_to_live, list] =
            [3, 8, revoke, keep_alive, time_to_live, list].map(|weight| weight * times);
        Self { grant, put, revoke, keep_alive, time_to_live, list }
    }

    /// Whether there are leases at all.
    #[must_use]
    pub fn any(&self) -> bool {
        self.grant > 0
    }

    pub(super) fn total(self) -> u64 {
        [self.grant, self.put, self.revoke, self.keep_alive, self.time_to_live, self.list]
            .into_iter()
            .map(u64::from)
            .sum()
    }
}

fn revoke_rate() -> usize {
    1_000
}

/// A duration as text, if there is one.
mod optional {
    use std::time::Duration;

    use serde::{Deserializer, Serialize, Serializer};
    use vertebra_sim::time::text;

    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(text::format).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        text::deserialize(deserializer).map(Some)
    }
}
