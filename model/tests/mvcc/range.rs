//! Reads and their options.

use vertebra_model::api::RangeRequest;
use vertebra_model::api::range_request::{SortOrder, SortTarget};
use vertebra_model::error::Error;

use crate::pair::{Pair, all, put, range};

#[test]
fn a_range_is_one_key_or_half_open_or_without_an_end() {
    let pair = Pair::with_five_revisions();
    let cases = [
        ("a", "", "a"),
        ("x", "", ""),
        ("a", "c", "a b"),
        ("a", "a", ""),
        ("c", "a", ""),
        ("", "c", "a b"),
        ("b", "\0", "b c d"),
        ("\0", "\0", "a b c d"),
        ("aa", "c", "b"),
        ("a", "b\0", "a b"),
    ];
    for (key, end, keys) in cases {
        assert_eq!(pair.keys(range(key, end)), keys, "[{key:?}, {end:?})");
    }
}

#[test]
fn a_read_of_the_past_sees_it_and_bears_the_current_revision() {
    let pair = Pair::with_five_revisions();
    let mut past = RangeRequest { revision: 3, ..all() };
    let response = pair.range(past.clone()).unwrap();
    assert_eq!((response.kvs.len(), response.count, response.header.unwrap().revision), (2, 2, 6));
    assert_eq!(&response.kvs[1].value[..], b"3");
    past.revision = 1;
    assert_eq!(pair.range(past).unwrap().count, 0);
}

#[test]
fn a_revision_of_0_or_less_is_the_present_and_one_of_the_future_an_error() {
    let pair = Pair::with_five_revisions();
    for revision in [0, -1, -2, i64::MIN, 6] {
        assert_eq!(pair.range(RangeRequest { revision, ..all() }).unwrap().count, 4);
    }
    for revision in [7, i64::MAX] {
        assert_eq!(pair.range(RangeRequest { revision, ..all() }), Err(Error::FutureRevision));
        assert_eq!(
            pair.range(RangeRequest { revision, count_only: true, ..all() }),
            Err(Error::FutureRevision)
        );
    }
}

#[test]
fn a_limit_cuts_the_keys_and_not_the_count() {
    let pair = Pair::with_five_revisions();
    let cases = [
        (0, 4, false),
        (1, 1, true),
        (3, 3, true),
        (4, 4, false),
        (5, 4, false),
        (-1, 4, false),
        (i64::MAX, 4, false),
    ];
    for (limit, kvs, more) in cases {
        let response = pair.range(RangeRequest { limit, ..all() }).unwrap();
        assert_eq!((response.kvs.len(), response.more, response.count), (kvs, more, 4), "limit {limit}");
    }
}

#[test]
fn keys_are_sorted_by_any_target_in_either_order() {
    let mut pair = Pair::with_five_revisions();
    pair.put(put("a", "4")).unwrap();
    pair.put(put("a", "4")).unwrap();
    // Key, value, created, modified, version: a 4 2 8 3, b b2 3 6 2, c 2 4 4 1, d 1 5 5 1.
    let cases = [
        (SortTarget::Key, "a b c d", "d c b a"),
        (SortTarget::Version, "c d b a", "a b c d"),
        (SortTarget::Create, "a b c d", "d c b a"),
        (SortTarget::Mod, "c d b a", "a b d c"),
        (SortTarget::Value, "d c a b", "b a c d"),
    ];
    for (target, ascending, descending) in cases {
        let sorted =
            |order: SortOrder| RangeRequest { sort_order: order.into(), sort_target: target.into(), ..all() };
        assert_eq!(pair.keys(sorted(SortOrder::Ascend)), ascending, "{target:?}");
        assert_eq!(pair.keys(sorted(SortOrder::Descend)), descending, "{target:?}");
        assert_eq!(pair.keys(sorted(SortOrder::None)), ascending, "{target:?}");
    }
}

#[test]
fn a_limit_applies_after_sorting_and_filtering() {
    let pair = Pair::with_five_revisions();
    let last = RangeRequest { sort_order: SortOrder::Descend.into(), limit: 2, ..all() };
    assert_eq!(pair.keys(last.clone()), "d c");
    assert!(pair.range(last).unwrap().more);
    let late = RangeRequest { min_create_revision: 4, limit: 1, ..all() };
    let response = pair.range(late.clone()).unwrap();
    assert_eq!((pair.keys(late).as_str(), response.more, response.count), ("c", true, 4));
    let two = RangeRequest { min_create_revision: 4, limit: 2, ..all() };
    assert!(!pair.range(two).unwrap().more);
}

#[test]
fn a_sort_target_without_an_order_sorts_only_what_the_limit_let_through_and_one_more() {
    let pair = Pair::with_five_revisions();
    let by_value = |limit| RangeRequest { sort_target: SortTarget::Value.into(), limit, ..all() };
    assert_eq!(pair.keys(by_value(0)), "d c a b");
    // a, b and c are read; among them c has the smallest value.
    assert_eq!(pair.keys(by_value(2)), "c a");
    let filtered = RangeRequest { min_mod_revision: 1, ..by_value(2) };
    assert_eq!(pair.keys(filtered), "d c");
}

#[test]
fn filters_bound_the_revisions_and_not_the_count() {
    let pair = Pair::with_five_revisions();
    let cases = [
        (RangeRequest { min_mod_revision: 5, ..all() }, "b d"),
        (RangeRequest { max_mod_revision: 4, ..all() }, "a c"),
        (RangeRequest { min_create_revision: 4, ..all() }, "c d"),
        (RangeRequest { max_create_revision: 3, ..all() }, "a b"),
        (RangeRequest { min_create_revision: 3, max_mod_revision: 5, ..all() }, "c d"),
        (RangeRequest { min_mod_revision: -1, ..all() }, "a b c d"),
        (RangeRequest { max_mod_revision: -1, ..all() }, ""),
        (RangeRequest { min_mod_revision: i64::MAX, ..all() }, ""),
    ];
    for (request, keys) in cases {
        assert_eq!(pair.keys(request.clone()), keys, "{request:?}");
        assert_eq!(pair.range(request).unwrap().count, 4);
    }
}

#[test]
fn keys_only_leaves_out_the_values_after_sorting_by_them() {
    let pair = Pair::with_five_revisions();
    let request = RangeRequest {
        keys_only: true,
        sort_target: SortTarget::Value.into(),
        sort_order: SortOrder::Ascend.into(),
        ..all()
    };
    assert_eq!(pair.keys(request.clone()), "d c a b");
    let kvs = pair.range(request).unwrap().kvs;
    assert!(kvs.iter().all(|kv| kv.value.is_empty() && kv.version > 0));
}

#[test]
fn count_only_answers_with_the_count_alone() {
    let pair = Pair::with_five_revisions();
    let request = RangeRequest { count_only: true, limit: 1, max_mod_revision: 2, ..all() };
    let response = pair.range(request).unwrap();
    assert_eq!((response.kvs.len(), response.more, response.count), (0, false, 4));
    let past = RangeRequest { count_only: true, revision: 3, ..all() };
    assert_eq!(pair.range(past).unwrap().count, 2);
}

#[test]
fn an_unknown_sort_option_is_an_error() {
    let pair = Pair::with_five_revisions();
    for (sort_order, sort_target) in [(3, 0), (0, 5), (-1, 0)] {
        let request = RangeRequest { sort_order, sort_target, ..all() };
        assert_eq!(pair.range(request), Err(Error::InvalidSortOption));
    }
}

#[test]
fn a_specification_answers_as_of_an_older_moment() {
    let pair = Pair::with_five_revisions();
    let response = pair.specification.read_at(&all(), 3).unwrap();
    assert_eq!((response.count, response.header.unwrap().revision), (2, 3));
    let later = RangeRequest { revision: 4, ..all() };
    assert_eq!(pair.specification.read_at(&later, 3), Err(Error::FutureRevision));
}
