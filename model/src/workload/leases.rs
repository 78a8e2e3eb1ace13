//! What a client does with leases.

use vertebra_sim::NodeId;
use vertebra_sim::random::Stream;

use crate::api::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest};
use crate::error::Error;
use crate::history::Request;
use crate::lessor::TTL_MAX;
use crate::response::Response;

/// Leases that a client keeps in mind, of those that may live, and of those that are gone.
const KEPT: usize = 6;

/// No client chooses it, and members' numbers are smaller.
const NEVER_GRANTED: i64 = i64::MAX;

/// The leases of one client.
pub(super) struct Leases {
    client: u16,
    /// Those that may live, the oldest first.
    own: Vec<i64>,
    gone: Vec<i64>,
    /// Numbers that the client has chosen so far.
    chosen: i64,
    /// The lease that the last request was about.
    last: i64,
}

/// The lease that a request asks for, where its client has chosen the number.
pub(super) fn granted(request: &Request) -> Option<i64> {
    match request {
        Request::LeaseGrant(grant) if grant.id != 0 => Some(grant.id),
        _ => None,
    }
}

/// A sign that a lease is still wanted that nobody has, which is answered and changes nothing.
pub(super) fn useless_sign() -> Request {
    Request::LeaseKeepAlive(LeaseKeepAliveRequest { id: NEVER_GRANTED })
}

impl Leases {
    pub(super) fn new(client: NodeId) -> Self {
        let client = match client {
            NodeId::Client(number) => number,
            _ => 0,
        };
        Self { client, own: Vec::new(), gone: Vec::new(), chosen: 0, last: 0 }
    }

    /// A lease to attach a key to; mostly one that lives, and 0 if there is none.
    pub(super) fn pick(&mut self, stream: &mut Stream) -> i64 {
        let from = if !self.gone.is_empty() && stream.chance(50_000) { &self.gone } else { &self.own };
        self.last = if from.is_empty() { 0 } else { *stream.pick(from) };
        self.last
    }

    pub(super) fn grant(&mut self, stream: &mut Stream) -> Request {
        let ttl = match stream.below(100) {
            0..80 => stream.between(1, 5) as i64,
            80..84 => 0,
            84..94 => stream.between(6, 20) as i64,
            94..97 => TTL_MAX,
            97..98 => TTL_MAX + 1,
            _ => -5,
        };
        let id = match stream.below(10) {
            // The server chooses.
            0..6 => 0,
            // One that there is, or was.
            6 => self.pick(stream),
            choice => {
                self.chosen += 1;
                let id = i64::from(self.client) * 1_000 + self.chosen;
                if choice == 7 { -id } else { id }
            }
        };
        self.last = id;
        Request::LeaseGrant(LeaseGrantRequest { ttl, id })
    }

    pub(super) fn revoke(&mut self, stream: &mut Stream) -> Option<Request> {
        let id = self.pick(stream);
        self.forget(id);
        (id != 0).then_some(Request::LeaseRevoke(LeaseRevokeRequest { id }))
    }

    pub(super) fn keep_alive(&mut self, stream: &mut Stream) -> Option<Request> {
        let id = self.pick(stream);
        (id != 0).then_some(Request::LeaseKeepAlive(LeaseKeepAliveRequest { id }))
    }

    pub(super) fn time_to_live(&mut self, stream: &mut Stream) -> Option<Request> {
        let (id, keys) = (self.pick(stream), stream.chance(500_000));
        (id != 0).then_some(Request::LeaseTimeToLive(LeaseTimeToLiveRequest { id, keys }))
    }

    /// How long a lease lives on, if it does.
    pub(super) fn last_question(&self) -> Request {
        let id = self.own.first().copied().unwrap_or(NEVER_GRANTED);
        Request::LeaseTimeToLive(LeaseTimeToLiveRequest { id, keys: true })
    }

    /// Takes in what the client was told.
    pub(super) fn learn(&mut self, response: &Response) {
        match response {
            Response::LeaseGrant(granted) => self.remember(granted.id),
            Response::LeaseKeepAlive(kept) if kept.ttl == 0 => self.forget(kept.id),
            Response::LeaseTimeToLive(lives) if lives.ttl < 0 => self.forget(lives.id),
            // Another client's, as a rule: so several of them keep it alive, revoke it, and attach keys to it. One with a
            // number that a member chose may be known to nobody from the answer to its grant, and then no history without
            // this list could tell that there is such a lease.
            Response::LeaseLeases(list) => {
                let chosen = |id: i64| id.unsigned_abs() < u64::from(u32::MAX);
                if let Some(last) = list.leases.iter().rfind(|lease| chosen(lease.id)) {
                    self.remember(last.id);
                }
            }
            _ => {}
        }
    }

    /// Takes in that the last request was refused.
    pub(super) fn refused(&mut self, error: Error) {
        if error == Error::LeaseNotFound {
            self.forget(self.last);
        }
    }

    /// Takes in that nobody knows what became of the last request, which asked for this lease, if for any.
    pub(super) fn lost(&mut self, granted: Option<i64>) {
        if let Some(id) = granted {
            self.remember(id);
        }
    }

    fn remember(&mut self, id: i64) {
        self.gone.retain(|gone| *gone != id);
        if !self.own.contains(&id) {
            self.own.push(id);
        }
        if self.own.len() > KEPT {
            self.own.remove(0);
        }
    }

    fn forget(&mut self, id: i64) {
        if let Some(place) = self.own.iter().position(|own| *own == id) {
            self.own.remove(place);
            self.gone.push(id);
            if self.gone.len() > KEPT {
                self.gone.remove(0);
            }
        }
    }
}
