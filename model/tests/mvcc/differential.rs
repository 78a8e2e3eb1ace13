//! The store and the specification, asked the same thousands of random questions.

use std::collections::BTreeMap;

use vertebra_model::api::{InternalRaftRequest, RangeRequest};
use vertebra_model::error::Error;
use vertebra_model::mvcc::validate;
use vertebra_model::specification::Specification;
use vertebra_sim::random::Streams;

use crate::generate::Generator;
use crate::pair::all;
use crate::store::Store;

const SEQUENCES: u64 = 20_000;
const REQUESTS: u64 = 60;

/// What a server's gRPC layer says to the request.
fn validated(request: &InternalRaftRequest) -> Result<(), Error> {
    request.put.iter().try_for_each(validate::put)?;
    request.delete_range.iter().try_for_each(validate::delete_range)?;
    request.txn.iter().try_for_each(|txn| validate::txn(txn, validate::TXN_OPS_MAX))
}

/// How often something was met: a test that meets none of it shows nothing.
#[derive(Debug, Default)]
struct Met {
    accepted: u64,
    refused: u64,
    applied: u64,
    failed: u64,
    reads: u64,
    read_errors: u64,
    more: u64,
}

fn run(seed: u64, met: &mut Met) {
    let mut stream = Streams::new(seed).stream("differential", 0);
    let (mut store, mut specification) = (Store::new(), Specification::new());
    let mut answers = Vec::new();
    for request in 0..REQUESTS {
        let at = format!("seed {seed}, request {request}");
        let mut generator = Generator { stream: &mut stream, revision: store.revision() };
        match generator.stream.below(10) {
            0..5 => {
                let request = generator.write();
                let accepted = validated(&request).is_ok();
                if accepted {
                    met.accepted += 1
                } else {
                    met.refused += 1
                }
                // What would be refused is applied too, now and then: the answer must be the same even so.
                if !accepted && stream.chance(700_000) {
                    continue;
                }
                let hash = store.state_hash();
                let response = store.apply(&request);
                assert_eq!(response, specification.apply(&request), "{at}: {request:?}");
                if response.is_ok() {
                    met.applied += 1
                } else {
                    met.failed += 1
                }
                let changed = store.records(store.revision()).len();
                if response.is_err() {
                    assert_eq!(store.state_hash(), hash, "{at}: a failed write left something behind");
                }
                assert!(changed > 0 || store.revision() == 1, "{at}: a revision without a change");
            }
            5..7 => {
                let request = generator.read_txn();
                assert_eq!(store.read_txn(&request), specification.read_txn(&request), "{at}: {request:?}");
            }
            7..9 => {
                let request = generator.range();
                let response = store.range(&request);
                assert_eq!(response, specification.read(&request), "{at}: {request:?}");
                met.reads += 1;
                met.read_errors += u64::from(response.is_err());
                met.more += u64::from(response.as_ref().is_ok_and(|response| response.more));
                answers.push((store.revision(), request, response));
            }
            _ => {
                let (copy, unfinished) = store.restored().unwrap();
                assert!(copy == store && unfinished.is_none(), "{at}: the restored store differs");
                store = copy;
            }
        }
        assert_eq!(store.revision(), specification.revision(), "{at}");
    }
    for (moment, request, response) in answers {
        assert_eq!(
            specification.read_at(&request, moment),
            response,
            "seed {seed}: {request:?} as of {moment}"
        );
    }
    for revision in 0..=store.revision() + 1 {
        let request = RangeRequest { revision, ..all() };
        assert_eq!(store.range(&request), specification.read(&request), "seed {seed}: history at {revision}");
    }
}

#[test]
fn store_and_specification_answer_every_random_sequence_alike() {
    let mut met = Met::default();
    for seed in 0..SEQUENCES {
        run(seed, &mut met);
    }
    let enough = |count| count > SEQUENCES / 4;
    assert!(
        enough(met.accepted)
            && enough(met.refused)
            && enough(met.applied)
            && enough(met.failed)
            && enough(met.reads)
            && enough(met.read_errors)
            && enough(met.more),
        "{met:?}"
    );
}

#[test]
fn stores_that_applied_the_same_have_the_same_hash_and_others_another() {
    let mut histories = BTreeMap::new();
    for seed in 0..100 {
        let mut stream = Streams::new(seed).stream("hash", 0);
        let (mut one, mut other) = (Store::new(), Store::new());
        for _ in 0..40 {
            let request = Generator { stream: &mut stream, revision: one.revision() }.write();
            assert_eq!(one.apply(&request), other.apply(&request));
            assert_eq!(one.state_hash(), other.state_hash());
            let history = one.buckets.clone();
            assert_eq!(*histories.entry(one.state_hash()).or_insert_with(|| history.clone()), history);
        }
    }
    assert!(histories.len() > 2_000, "{} different histories", histories.len());
}
