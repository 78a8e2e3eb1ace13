//! Sets to which elements are added, and that are read as a whole: whether they are linearizable.
//!
//! Nothing is ever taken out, so what readers saw must grow: of any two readers, one saw all that the other did. That puts the
//! readers into an order, and each element between the last one that did not see it and the first one that did. Any order
//! that keeps this and the order of time explains every answer. So this is exact, in time linear in the history, where the
//! general search would try all subsets of the elements of which nobody knows whether they were added.
//!
//! An element may be added more than once. Of those, the one that was invoked first can have done it wherever another can.

use std::collections::BTreeMap;

use super::precedence::{Precedence, conclude, reply};
use super::{Conclusion, Operation};

/// What is asked of a set.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// This element is in it from now on.
    Add(i64),
    /// Which ones are in it?
    Read,
}

/// What it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It is in it.
    Added,
    /// These are in it, rising. No set has an element twice.
    Elements(Vec<i64>),
}

/// Judges a history. The set is empty at first.
///
/// ```
/// use vertebra_sim::linearizability::adds::{Reply, Request, check};
/// use vertebra_sim::linearizability::{Conclusion, Operation};
///
/// let add = Operation { request: Request::Add(1), invoked: 0, returned: Some((1, Reply::Added)) };
/// let read = |elements| Operation { request: Request::Read, invoked: 2, returned: Some((3, Reply::Elements(elements))) };
/// assert!(matches!(check(&[add.clone(), read(vec![1])]), Conclusion::Linearizable(_)));
/// assert!(matches!(check(&[add, read(vec![])]), Conclusion::Illegal(_)));
/// ```
#[must_use]
pub fn check(operations: &[Operation<Request, Reply>]) -> Conclusion {
    // By element: who added it, by invocation.
    let mut adders: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (place, operation) in operations.iter().enumerate() {
        if let Request::Add(element) = operation.request {
            adders.entry(element).or_default().push(place);
        }
    }
    for adders in adders.values_mut() {
        adders.sort_by_key(|place| operations[*place].invoked);
    }
    conclude(operations, |until| order(operations, &adders, until))
}

fn order(
    operations: &[Operation<Request, Reply>],
    adders: &BTreeMap<i64, Vec<usize>>,
    until: u64,
) -> Result<Vec<usize>, Vec<usize>> {
    let mut reads: Vec<(&[i64], usize)> = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        if let Some(Reply::Elements(elements)) = reply(operation, until) {
            if elements.windows(2).any(|pair| pair[0] >= pair[1]) {
                return Err(vec![place]);
            }
            reads.push((elements, place));
        }
    }
    reads.sort_by_key(|(elements, place)| (elements.len(), *place));
    // By element: which of the different sets that were read is the first to have it.
    let mut first_seen: BTreeMap<i64, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut before: Option<(&[i64], usize)> = None;
    for (elements, place) in reads {
        match before {
            Some((smaller, _)) if smaller == elements => {}
            Some((smaller, reader)) if !is_subset(smaller, elements) => return Err(vec![reader, place]),
            _ => groups.push(Vec::new()),
        }
        if groups.last().is_some_and(Vec::is_empty) {
            for element in elements {
                if !adders.contains_key(element) {
                    return Err(vec![place]);
                }
                first_seen.entry(*element).or_insert(groups.len() - 1);
            }
        }
        if let Some(group) = groups.last_mut() {
            group.push(place);
        }
        before = Some((elements, place));
    }
    let mut takes_part: Vec<bool> =
        operations.iter().map(|operation| reply(operation, until).is_some()).collect();
    for element in first_seen.keys() {
        takes_part[adders[element][0]] = true;
    }
    let mut graph = Precedence::of_time(operations, until, |place| takes_part[place]);
    // Before the readers of each group, and after them.
    let ends: Vec<[usize; 2]> = groups.iter().map(|_| [graph.node(), graph.node()]).collect();
    for (group, [begin, end]) in groups.iter().zip(&ends) {
        for &reader in group {
            graph.add(*begin, reader, None);
            graph.add(reader, *end, None);
        }
    }
    for (element, adders) in adders {
        let seen = first_seen.get(element);
        if let Some(&group) = seen {
            graph.add(adders[0], ends[group][0], None);
        }
        let unseen = seen.map_or(groups.len(), |group| *group).checked_sub(1);
        for &adder in adders.iter().filter(|adder| takes_part[**adder]) {
            if let Some(unseen) = unseen {
                graph.add(ends[unseen][1], adder, None);
            }
        }
    }
    graph.order()
}

/// Whether all of `smaller` is in `larger`; both rise.
fn is_subset(smaller: &[i64], larger: &[i64]) -> bool {
    let mut larger = larger.iter();
    smaller.iter().all(|element| larger.any(|other| other == element))
}
