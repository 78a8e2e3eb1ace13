//! What a seed decides about users and roles.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::random::Streams;
use vertebra_sim::time::text;

/// Users and roles. In a schedule they are the table `[options.auth]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthOptions {
    /// The client that looks after users and roles; 0 for none, and then there are none.
    pub administrator: u16,
    /// Of 100 of its operations, so many are about users and roles.
    pub percent: u8,
    /// How long a token lives after it was last used. etcd: 5 minutes.
    #[serde(with = "text")]
    pub token_ttl: Duration,
}

impl Default for AuthOptions {
    /// Nobody has to say who it is.
    fn default() -> Self {
        Self { administrator: 0, percent: 0, token_ttl: Duration::from_secs(300) }
    }
}

impl AuthOptions {
    pub(super) fn draw(streams: &Streams, clients: u16) -> Self {
        let mut stream = streams.stream("options/auth", 0);
        if !stream.chance(100_000) {
            return Self::default();
        }
        let seconds = Duration::from_secs;
        Self {
            administrator: stream.between(1, u64::from(clients)) as u16,
            percent: *stream.weighted(&[(5, 50), (3, 80), (2, 30)]),
            token_ttl: *stream.weighted(&[(4, seconds(300)), (3, seconds(1)), (3, seconds(3))]),
        }
    }

    pub(super) fn check(&self, clients: u16) -> Result<(), String> {
        if self.administrator > clients {
            return Err(format!("auth.administrator: there are {clients} clients"));
        }
        if self.token_ttl < Duration::from_millis(1) {
            return Err("auth.token_ttl: it must be at least 1ms".to_owned());
        }
        Ok(())
    }

    /// Whether there are users and roles.
    #[must_use]
    pub fn any(&self) -> bool {
        self.administrator > 0
    }

    /// Whether schedules need not say anything of it.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
