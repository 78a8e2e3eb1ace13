//! What must come before what: a graph whose cycles are contradictions.
//!
//! Where the answers of a history tell the order of all that had an effect, no search is needed. Each pair of operations of
//! which one must come first is an edge, and there is an order of all if and only if no edges form a cycle. The order of
//! time costs no edge for each pair either: what has returned leads to a node that stands for the moment, and that to
//! whatever is invoked later. So a check is linear in the history.

use std::collections::{BTreeSet, VecDeque};

use super::{Conclusion, Explanation, Operation};

/// Nodes: the operations by their places, and behind them whatever else is needed.
pub(super) struct Precedence {
    operations: usize,
    /// By node: what comes after it, and the operation that says so, where it is neither of them.
    edges: Vec<Vec<(u32, Option<u32>)>>,
    /// Operations that have no place in the order, since they had no effect that anybody saw.
    left_out: Vec<bool>,
}

impl Precedence {
    /// The order of time among `operations`, as far as it is known at `until`: what returned later is still under way. Those
    /// that `take_part` are given an order.
    pub(super) fn of_time<Q, R>(
        operations: &[Operation<Q, R>],
        until: u64,
        take_part: impl Fn(usize) -> bool,
    ) -> Self {
        let count = operations.len();
        let left_out: Vec<bool> = (0..count).map(|place| !take_part(place)).collect();
        let mut graph = Self { operations: count, edges: vec![Vec::new(); count], left_out };
        // At one moment, invocations come before returns.
        let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * count);
        for (place, operation) in operations.iter().enumerate().filter(|(place, _)| !graph.left_out[*place]) {
            events.push((operation.invoked, false, place));
            if let Some(returned) = returned(operation, until) {
                events.push((returned, true, place));
            }
        }
        events.sort_unstable();
        let (mut moment, mut is_new) = (None, false);
        for (_, returns, place) in events {
            if !returns {
                is_new = false;
                if let Some(moment) = moment {
                    graph.add(moment, place, None);
                }
                continue;
            }
            if !is_new {
                let next = graph.node();
                if let Some(moment) = moment {
                    graph.add(moment, next, None);
                }
                (moment, is_new) = (Some(next), true);
            }
            if let Some(moment) = moment {
                graph.add(place, moment, None);
            }
        }
        graph
    }

    /// Another node, which is no operation.
    pub(super) fn node(&mut self) -> usize {
        self.edges.push(Vec::new());
        self.edges.len() - 1
    }

    /// `first` must come before `then`, as `witness` says.
    pub(super) fn add(&mut self, first: usize, then: usize, witness: Option<usize>) {
        if first != then {
            self.edges[first].push((then as u32, witness.map(|witness| witness as u32)));
        }
    }

    /// An order of the operations; or as few as show that there is none.
    pub(super) fn order(&self) -> Result<Vec<usize>, Vec<usize>> {
        let mut before = vec![0_u32; self.edges.len()];
        for (then, _) in self.edges.iter().flatten() {
            before[*then as usize] += 1;
        }
        let mut ready: VecDeque<usize> = (0..self.edges.len()).filter(|node| before[*node] == 0).collect();
        let mut order = Vec::with_capacity(self.operations);
        let mut done = 0;
        while let Some(node) = ready.pop_front() {
            done += 1;
            if node < self.operations && !self.left_out[node] {
                order.push(node);
            }
            for (then, _) in &self.edges[node] {
                let before = &mut before[*then as usize];
                *before -= 1;
                if *before == 0 {
                    ready.push_back(*then as usize);
                }
            }
        }
        if done == self.edges.len() { Ok(order) } else { Err(self.cycle(&before)) }
    }

    /// The operations of a short cycle among the nodes that wait for others, with their witnesses.
    fn cycle(&self, before: &[u32]) -> Vec<usize> {
        /// From so many operations the shortest way back to them is looked for.
        const BEGINNINGS_MAX: usize = 64;
        let beginnings = (0..self.operations).filter(|place| before[*place] > 0);
        let mut best: Option<BTreeSet<usize>> = None;
        let mut found = 0;
        for beginning in beginnings {
            let Some(cycle) = self.way_back(beginning, before) else { continue };
            if best.as_ref().is_none_or(|best| cycle.len() < best.len()) {
                best = Some(cycle);
            }
            found += 1;
            if found == BEGINNINGS_MAX {
                break;
            }
        }
        best.unwrap_or_default().into_iter().collect()
    }

    fn way_back(&self, beginning: usize, before: &[u32]) -> Option<BTreeSet<usize>> {
        let mut from: Vec<Option<(usize, Option<u32>)>> = vec![None; self.edges.len()];
        let mut next = VecDeque::from([beginning]);
        while let Some(node) = next.pop_front() {
            for (then, witness) in &self.edges[node] {
                let then = *then as usize;
                if before[then] == 0 || from[then].is_some() {
                    continue;
                }
                from[then] = Some((node, *witness));
                if then == beginning {
                    return Some(self.along(beginning, &from));
                }
                next.push_back(then);
            }
        }
        None
    }

    fn along(&self, beginning: usize, from: &[Option<(usize, Option<u32>)>]) -> BTreeSet<usize> {
        let mut cycle = BTreeSet::new();
        let mut node = beginning;
        while let Some((earlier, witness)) = from[node] {
            cycle.extend(witness.map(|witness| witness as usize));
            node = earlier;
            if node < self.operations {
                cycle.insert(node);
            }
            if node == beginning {
                break;
            }
        }
        cycle
    }
}

/// When an operation has returned by `until`.
pub(super) fn returned<Q, R>(operation: &Operation<Q, R>, until: u64) -> Option<u64> {
    operation.returned.as_ref().map(|(at, _)| *at).filter(|at| *at <= until)
}

/// The reply of an operation that has returned by `until`.
pub(super) fn reply<Q, R>(operation: &Operation<Q, R>, until: u64) -> Option<&R> {
    operation.returned.as_ref().filter(|(at, _)| *at <= until).map(|(_, reply)| reply)
}

/// Concludes from what `judge` says of a history up to a moment: an order, or operations that contradict each other. An
/// illegal one is illegal from the return of some operation on.
pub(super) fn conclude<Q, R>(
    operations: &[Operation<Q, R>],
    judge: impl Fn(u64) -> Result<Vec<usize>, Vec<usize>>,
) -> Conclusion {
    let mut contradiction = match judge(u64::MAX) {
        Ok(order) => return Conclusion::Linearizable(order),
        Err(contradiction) => contradiction,
    };
    let mut returns: Vec<(u64, usize)> = operations
        .iter()
        .enumerate()
        .filter_map(|(place, operation)| Some((operation.returned.as_ref()?.0, place)))
        .collect();
    returns.sort_unstable();
    // Legal with so many returns, and illegal with so many.
    let (mut legal, mut illegal, mut order) = (0, returns.len(), Vec::new());
    while illegal - legal > 1 {
        let middle = (legal + illegal) / 2;
        match judge(returns[middle - 1].0) {
            Ok(found) => (legal, order) = (middle, found),
            Err(found) => (illegal, contradiction) = (middle, found),
        }
    }
    let refused = returns.get(illegal.wrapping_sub(1)).map_or(0, |(_, place)| *place);
    contradiction.sort_by_key(|place| (operations[*place].invoked, *place));
    Conclusion::Illegal(Explanation { refused, contradiction, order, is_least: true })
}
