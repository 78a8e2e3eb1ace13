//! API servers over etcd as the specification has it, by turns, with answers that get lost.

use vertebra_sim::random::Streams;

use super::*;
use crate::api::LeaseGrantResponse;
use crate::history::History;
use crate::specification::Specification;

const SERVERS: usize = 3;

struct Run {
    store: Specification,
    history: History,
    servers: Vec<ApiServer>,
    stream: Stream,
    traffic: KubernetesTraffic,
    leases: i64,
    met: Vec<Met>,
    lists: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let traffic = KubernetesTraffic {
            page_objects: 2,
            update: 40,
            create: 12,
            delete: 8,
            event: 5,
            get: 6,
            get_at: 4,
            list: 14,
            list_at: 3,
            count: 3,
            health: 1,
            compact: 5,
        };
        Self {
            store: Specification::with_leases(1),
            history: History::new(),
            servers: (0..SERVERS).map(|_| ApiServer::default()).collect(),
            stream: Streams::new(seed).stream("kubernetes", 0),
            traffic,
            leases: 0,
            met: Vec::new(),
            lists: 0,
        }
    }

    fn answer(&mut self, request: &Request) -> Outcome {
        let response = match request {
            Request::Range(read) => self.store.read(read).map(Response::Range),
            Request::LeaseGrant(grant) => {
                self.leases += 1;
                let grant = LeaseGrantRequest { id: self.leases, ..*grant };
                let proposal = Request::LeaseGrant(grant).to_proposal().expect("a grant is proposed");
                self.store.apply(&proposal).expect("no such lease is there");
                let granted = LeaseGrantResponse { id: grant.id, ttl: grant.ttl, ..Default::default() };
                Ok(Response::LeaseGrant(granted))
            }
            write => self.store.apply(&write.to_proposal().expect("the rest is written")),
        };
        response.map_or_else(Outcome::Failed, Outcome::Ok)
    }

    fn step(&mut self) -> Request {
        let place = self.stream.below(SERVERS as u64) as usize;
        let value = Bytes::from(self.history.clock().to_string());
        let revision = self.store.revision();
        let request = self.servers[place].draw(&mut self.stream, &self.traffic, value, 4, revision);
        let operation = self.history.invoke(place as u32, request.clone());
        let outcome = self.answer(&request);
        let outcome = if self.stream.chance(20_000) { Outcome::Unknown } else { outcome };
        self.history.returned(operation, outcome.clone());
        let (met, pages) = self.servers[place].told(operation, &outcome);
        self.met.extend(met);
        self.lists += usize::from(pages.is_some());
        if outcome == Outcome::Unknown
            && let Outcome::Ok(Response::Range(all)) = self.answer(&everything())
        {
            self.servers[place].learn_all(&all.kvs);
        }
        request
    }
}

#[test]
fn api_servers_meet_all_that_they_can_meet() {
    let mut run = Run::new(1);
    (0..4_000).for_each(|_| drop(run.step()));
    let all = [Met::Conflict, Met::Exists, Met::OthersTurn, Met::Compacted, Met::Expired];
    assert!(all.iter().all(|met| run.met.contains(met)), "{all:?}");
    assert!(run.met.iter().any(|met| matches!(met, Met::Listed { pages: 2.. })));
    assert!(run.lists > 100 && run.store.compacted() > 100);
}

#[test]
fn a_write_changes_one_object() {
    let mut run = Run::new(2);
    for _ in 0..2_000 {
        let before = run.store.revision();
        if let Request::Txn(txn) = run.step() {
            assert_eq!((txn.compare.len(), txn.success.len(), txn.failure.len()), (1, 1, 1));
        }
        assert!(run.store.revision() <= before + 1);
    }
}

#[test]
fn only_who_has_won_a_turn_compacts_and_at_what_it_saw_before() {
    let mut run = Run::new(3);
    let mut seen = 0;
    for _ in 0..4_000 {
        let before = run.store.revision();
        if let Request::Compact(compaction) = run.step() {
            assert!(compaction.revision < before);
            seen += 1;
        }
    }
    // Each turn is a version of the key.
    let read = RangeRequest { key: COMPACT_REV_KEY.into(), ..RangeRequest::default() };
    let turns = run.store.read(&read).expect("it can be read").kvs[0].version;
    assert!(seen > 20 && seen <= turns, "{seen} compactions in {turns} turns");
}
