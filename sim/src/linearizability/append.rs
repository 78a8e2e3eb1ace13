//! Transactions that append to lists and read them: whether they are strictly serializable.
//!
//! This needs no search, and the general one would be of no use: a transaction touches several keys, so that nothing can be
//! judged apart. A list that is read tells the order of all that was appended before, once each element of a key is
//! appended only once. So it is known of each pair of transactions that touch a key which comes first (Adya's
//! dependencies, as Elle infers them), and with the order of time, that is all there is to know: any order that keeps it
//! explains every answer. The verdict is exact both ways, in time linear in the history.
//!
//! | transaction | comes before |
//! | --- | --- |
//! | appends an element | the one that appends the next element of the list; who reads it as the last one |
//! | reads a list | the one that appends the next element |
//! | reads all that anybody saw of a list | all whose elements of that list nobody saw, and who have certainly appended |
//!
//! A transaction of unknown outcome takes part if somebody saw what it appended. One that reads its own elements sees
//! them at the end of the list, after what was there.

use std::collections::{BTreeMap, BTreeSet};

use super::precedence::{Precedence, conclude, reply};
use super::{Conclusion, Map, Operation};

/// What a transaction does, one after the other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// This element is at the end of the list of a key from now on.
    Append(String, i64),
    /// What is in the list of a key?
    Read(String),
}

/// A transaction: its steps, and for each of them the list if it is a read.
pub type Transaction = Operation<Vec<Step>, Vec<Option<Vec<i64>>>>;

/// An element is appended twice to one key, by the transactions in these places: nobody can tell which of them a reader saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Twice(pub usize, pub usize);

/// Judges a history of transactions. All lists are empty at first.
///
/// # Errors
///
/// If an element is appended twice to a key.
///
/// ```
/// use vertebra_sim::linearizability::append::{Step, Transaction, check};
/// use vertebra_sim::linearizability::Conclusion;
///
/// let key = || "k".to_owned();
/// let append = |invoked, element| Transaction {
///     request: vec![Step::Append(key(), element)],
///     invoked,
///     returned: Some((invoked + 1, vec![None])),
/// };
/// let read = |invoked, list: &[i64]| Transaction {
///     request: vec![Step::Read(key())],
///     invoked,
///     returned: Some((invoked + 1, vec![Some(list.to_vec())])),
/// };
/// let legal = [append(0, 1), append(2, 2), read(4, &[1, 2])];
/// assert!(matches!(check(&legal), Ok(Conclusion::Linearizable(_))));
/// let stale = [append(0, 1), append(2, 2), read(4, &[1])];
/// let Ok(Conclusion::Illegal(why)) = check(&stale) else { unreachable!() };
/// assert_eq!(why.contradiction, [1, 2]);
/// ```
pub fn check(transactions: &[Transaction]) -> Result<Conclusion, Twice> {
    let mut appended: Map<(&str, i64), usize> = Map::default();
    for (place, transaction) in transactions.iter().enumerate() {
        for step in &transaction.request {
            if let Step::Append(key, element) = step
                && let Some(before) = appended.insert((key, *element), place)
            {
                return Err(Twice(before, place));
            }
        }
    }
    Ok(conclude(transactions, |until| Judged { transactions, appended: &appended, until }.order()))
}

/// A history up to a moment.
struct Judged<'a> {
    transactions: &'a [Transaction],
    appended: &'a Map<(&'a str, i64), usize>,
    until: u64,
}

/// What is known of the list of a key.
#[derive(Default)]
struct List<'a> {
    /// As much of it as anybody has seen, and who did.
    seen: &'a [i64],
    seen_by: usize,
    /// Each read: by whom, and how much they saw.
    reads: Vec<(usize, usize)>,
    /// Who has appended what nobody has seen.
    unseen: Vec<usize>,
}

impl<'a> Judged<'a> {
    fn order(&self) -> Result<Vec<usize>, Vec<usize>> {
        let mut lists = self.lists()?;
        let (takes_part, seen) = self.take_part(&lists);
        let mut graph = Precedence::of_time(self.transactions, self.until, |place| takes_part[place]);
        for (place, transaction) in
            self.transactions.iter().enumerate().filter(|(place, _)| takes_part[*place])
        {
            for step in &transaction.request {
                if let Step::Append(key, element) = step
                    && !seen.contains(&(key, *element))
                {
                    lists.entry(key).or_default().unseen.push(place);
                }
            }
        }
        for (key, list) in &mut lists {
            list.unseen.dedup();
            self.add(&mut graph, key, list)?;
        }
        graph.order()
    }

    /// All reads, by key. Two that are not the beginning of one another contradict each other.
    fn lists(&self) -> Result<BTreeMap<&'a str, List<'a>>, Vec<usize>> {
        let mut lists: BTreeMap<&str, List<'_>> = BTreeMap::new();
        for (place, transaction) in self.transactions.iter().enumerate() {
            let Some(reply) = reply(transaction, self.until) else { continue };
            self.look_within(place, &transaction.request, reply)?;
            for (step, seen) in transaction.request.iter().zip(reply) {
                let (Step::Read(key), Some(seen)) = (step, seen) else { continue };
                let list = lists.entry(key).or_default();
                let common = seen.len().min(list.seen.len());
                if seen[..common] != list.seen[..common] {
                    return Err(vec![list.seen_by, place]);
                }
                if seen.len() > list.seen.len() {
                    (list.seen, list.seen_by) = (seen, place);
                }
                list.reads.push((place, seen.len()));
            }
        }
        Ok(lists)
    }

    /// Holds a transaction against what it did itself: it sees its own elements at the end of a list, and all that it has
    /// seen of one before.
    fn look_within(
        &self,
        place: usize,
        steps: &'a [Step],
        reply: &'a [Option<Vec<i64>>],
    ) -> Result<(), Vec<usize>> {
        // By key: what it must see, if that is known, and what it has appended since.
        let mut own: Map<&str, (Option<&[i64]>, Vec<i64>)> = Map::default();
        for (step, seen) in steps.iter().zip(reply) {
            match (step, seen) {
                (Step::Append(key, element), _) => own.entry(key).or_default().1.push(*element),
                (Step::Read(key), Some(seen)) => {
                    let (before, since) = own.entry(key).or_default();
                    let Some(rest) = seen.strip_suffix(&since[..]) else { return Err(vec![place]) };
                    if before.is_some_and(|before| before != rest) {
                        return Err(vec![place]);
                    }
                    let mine = |element| self.appended.get(&(key.as_str(), element)) == Some(&place);
                    if before.is_none() && rest.iter().any(|element| mine(*element)) {
                        return Err(vec![place]);
                    }
                    (*before, *since) = (Some(&seen[..]), Vec::new());
                }
                (Step::Read(_), None) => {}
            }
        }
        Ok(())
    }

    /// Which transactions are known to have taken effect, and which elements somebody saw.
    fn take_part(&self, lists: &BTreeMap<&'a str, List<'a>>) -> (Vec<bool>, BTreeSet<(&'a str, i64)>) {
        let returned = |transaction| reply(transaction, self.until).is_some();
        let mut takes_part: Vec<bool> = self.transactions.iter().map(returned).collect();
        let mut seen = BTreeSet::new();
        for (key, list) in lists {
            for element in list.seen {
                seen.insert((*key, *element));
                if let Some(&by) = self.appended.get(&(*key, *element)) {
                    takes_part[by] = true;
                }
            }
        }
        (takes_part, seen)
    }

    /// Adds what the list of a key says.
    fn add(&self, graph: &mut Precedence, key: &str, list: &List<'_>) -> Result<(), Vec<usize>> {
        let mut by = Vec::with_capacity(list.seen.len());
        for element in list.seen {
            let Some(&appended_by) = self.appended.get(&(key, *element)) else {
                return Err(vec![list.seen_by]);
            };
            if by.last().is_some_and(|last| *last != appended_by) {
                graph.add(by[by.len() - 1], appended_by, Some(list.seen_by));
            }
            by.push(appended_by);
        }
        self.own_order(key, list, &by)?;
        for &(reader, length) in &list.reads {
            if let Some(&last) = length.checked_sub(1).and_then(|last| by.get(last)) {
                graph.add(last, reader, None);
            }
            if let Some(&next) = by.get(length) {
                graph.add(reader, next, Some(list.seen_by).filter(|seen_by| *seen_by != next));
            }
        }
        if list.unseen.is_empty() {
            return Ok(());
        }
        // Who saw all of it comes before those whose elements nobody saw; who is one of these comes before all others.
        let whole = || list.reads.iter().filter(|(_, length)| *length == list.seen.len()).map(|read| read.0);
        let mut first: Vec<usize> =
            whole().filter(|reader| list.unseen.binary_search(reader).is_ok()).collect();
        first.dedup();
        if let [one, other, ..] = first[..] {
            return Err(vec![one, other]);
        }
        let behind = graph.node();
        for reader in whole().filter(|reader| !first.contains(reader)) {
            graph.add(reader, behind, None);
        }
        if let Some(&last) = by.last().filter(|last| list.unseen.binary_search(last).is_err()) {
            graph.add(last, behind, Some(list.seen_by));
        }
        for &unseen in &list.unseen {
            graph.add(behind, unseen, None);
            for &first in &first {
                graph.add(first, unseen, None);
            }
        }
        Ok(())
    }

    /// A transaction's own elements are in the list in the order in which it appended them.
    fn own_order(&self, key: &str, list: &List<'_>, by: &[usize]) -> Result<(), Vec<usize>> {
        let mut place = 0;
        while place < by.len() {
            let appended_by = by[place];
            let length = by[place..].iter().take_while(|other| **other == appended_by).count();
            let mut own = self.transactions[appended_by].request.iter().filter_map(|step| match step {
                Step::Append(own, element) if own == key => Some(*element),
                _ => None,
            });
            if !list.seen[place..place + length].iter().all(|element| own.any(|own| own == *element)) {
                return Err(vec![appended_by, list.seen_by]);
            }
            place += length;
        }
        Ok(())
    }
}
