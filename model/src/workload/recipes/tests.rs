//! Clients that queue, over etcd as the specification has it, with answers that get lost and leases that end.

use std::collections::BTreeMap;

use vertebra_sim::random::Streams;

use super::*;
use crate::api::{LeaseGrantResponse, LeaseKeepAliveResponse, ResponseHeader};
use crate::specification::Specification;

const CLIENTS: usize = 4;

struct Queue {
    store: Specification,
    clients: Vec<Recipe>,
    stream: Stream,
    leases: i64,
    turns: BTreeMap<String, u32>,
}

impl Queue {
    fn new(seed: u64) -> Self {
        let clients = (0..CLIENTS).map(|_| Recipe::default()).collect();
        let (store, stream) = (Specification::with_leases(1), Streams::new(seed).stream("recipes", 0));
        Self { store, clients, stream, leases: 0, turns: BTreeMap::new() }
    }

    fn answer(&mut self, request: &Request) -> Outcome {
        let header = Some(ResponseHeader { revision: self.store.revision(), ..ResponseHeader::default() });
        let response = match request {
            Request::LeaseGrant(grant) => {
                self.leases += 1;
                let grant = LeaseGrantRequest { id: self.leases, ..*grant };
                let proposal = Request::LeaseGrant(grant).to_proposal().expect("a grant is proposed");
                self.store.apply(&proposal).expect("no such lease is there");
                let (id, ttl) = (grant.id, grant.ttl);
                Ok(Response::LeaseGrant(LeaseGrantResponse { header, id, ttl, error: String::new() }))
            }
            Request::LeaseKeepAlive(LeaseKeepAliveRequest { id }) => {
                let ttl = self.store.lease(*id).unwrap_or(0);
                Ok(Response::LeaseKeepAlive(LeaseKeepAliveResponse { header, id: *id, ttl }))
            }
            Request::Range(read) => self.store.read(read).map(Response::Range),
            write => self.store.apply(&write.to_proposal().expect("the rest is written")),
        };
        response.map_or_else(Outcome::Failed, Outcome::Ok)
    }

    /// Whether the key of this client is the first in its queue.
    fn is_first(&self, client: usize) -> bool {
        let recipe = &self.clients[client];
        let first = self.store.read(&recipe.first(SortOrder::Ascend)).expect("the present can be read");
        first.kvs.first().is_some_and(|kv| kv.key == recipe.key())
    }

    fn step(&mut self) {
        if self.stream.chance(20_000) && self.leases > 0 {
            // It expires.
            let id = self.stream.between(1, self.leases as u64) as i64;
            self.answer(&Request::LeaseRevoke(LeaseRevokeRequest { id }));
        }
        let client = self.stream.below(CLIENTS as u64) as usize;
        let recipe = &mut self.clients[client];
        let request = recipe.draw(&mut self.stream, Bytes::from_static(b"v"), Bytes::from_static(b"key00"));
        let writes = recipe.asked == Some(Step::Write);
        if self.stream.chance(50_000) {
            // The request is lost, or its answer is.
            if self.stream.chance(500_000) {
                self.answer(&request);
            }
            assert_eq!(self.clients[client].told(&Outcome::Unknown), None);
            return;
        }
        let was_first = self.is_first(client);
        let outcome = self.answer(&request);
        let turn = self.clients[client].told(&outcome);
        assert!(!self.clients[client].is_under_way());
        match turn {
            Some(Turn::Got { .. }) => assert!(self.is_first(client), "{request:?}: {outcome:?}"),
            Some(Turn::Wrote) => assert!(was_first, "{request:?}: {outcome:?}"),
            Some(Turn::Fenced) => assert!(writes && !was_first),
            _ => {}
        }
        if let Some(turn) = turn {
            *self.turns.entry(format!("{turn:?}")).or_default() += 1;
        }
    }
}

#[test]
fn only_the_first_in_the_queue_has_the_turn_and_writes() {
    let mut turns = BTreeMap::new();
    for seed in 0..50 {
        let mut queue = Queue::new(seed);
        for _ in 0..1_000 {
            queue.step();
        }
        for (turn, count) in queue.turns {
            *turns.entry(turn).or_insert(0) += count;
        }
    }
    let expected =
        ["Behind", "Expired", "Fenced", "Got { waited: false }", "Got { waited: true }", "Left", "Wrote"];
    assert_eq!(turns.keys().collect::<Vec<_>>(), expected);
    assert!(turns.values().all(|count| *count > 20), "{turns:?}");
}
