//! A B+tree whose nodes are never changed once someone else can see them.
//!
//! ```text
//!  committed ──> root ───┬──> leaf 1
//!                        ├──> leaf 2 <──┐
//!                        └──> leaf 3 <──┤     a write to leaf 1 copies leaf 1 and the root;
//!  written ────> root' ──┬──────────────┘     the copies have no pages yet, and the pages of
//!                        └──> leaf 1'         the originals are free after the commit
//! ```
//!
//! A node has a place in the file, or was changed since the last commit and has none. A commit therefore writes the
//! nodes without a place, and a copy of a tree is a copy of the pointer to its root.

use std::rc::Rc;

use bytes::Bytes;

use super::page::{BRANCH_ENTRY_BYTES, HEADER_BYTES, LEAF_ENTRY_BYTES, PAGE_BYTES, Place};

/// A node takes more bytes than a page only when that cannot be helped by splitting it.
const NODE_BYTES_MAX: usize = PAGE_BYTES;
/// Below this many bytes a node is merged with a neighbour, if both fit into one. bbolt's rule.
const NODE_BYTES_MIN: usize = PAGE_BYTES / 4;

/// The keys and values of one bucket, sorted.
#[derive(Clone, Default)]
pub(super) struct Tree {
    pub(super) root: Option<Rc<Node>>,
}

#[derive(Clone)]
pub(super) struct Node {
    /// None when it was changed since the last commit.
    pub(super) place: Option<Place>,
    /// How many bytes it takes in the file, at least.
    bytes: usize,
    pub(super) entries: Entries,
}

/// Sorted by key, each key once.
pub(super) enum Entries {
    Leaf(Vec<(Bytes, Bytes)>),
    /// Each node with a key that is not greater than any in it, and greater than all before it.
    Branch(Vec<(Bytes, Rc<Node>)>),
}

impl Entries {
    /// How many bytes they take.
    fn bytes(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.iter().map(leaf_entry_bytes).sum(),
            Self::Branch(entries) => entries.iter().map(branch_entry_bytes).sum(),
        }
    }
}

impl Clone for Entries {
    /// With room for another: a node is copied in order to be changed.
    fn clone(&self) -> Self {
        fn copy<T: Clone>(entries: &[T]) -> Vec<T> {
            let mut copy = Vec::with_capacity(entries.len() + 4);
            copy.extend_from_slice(entries);
            copy
        }
        match self {
            Self::Leaf(entries) => Self::Leaf(copy(entries)),
            Self::Branch(children) => Self::Branch(copy(children)),
        }
    }
}

impl Node {
    pub(super) fn new(place: Option<Place>, entries: Entries) -> Self {
        Self { place, bytes: HEADER_BYTES + entries.bytes(), entries }
    }

    /// For oracles: whether it takes another number of bytes than it knows.
    pub(super) fn is_miscounted(&self) -> bool {
        self.bytes != HEADER_BYTES + self.entries.bytes()
    }

    /// For oracles: whether it is a leaf that takes more than a page, and no entry is so large that splitting might not have helped.
    pub(super) fn is_overfull(&self) -> bool {
        let Entries::Leaf(entries) = &self.entries else { return false };
        HEADER_BYTES + self.entries.bytes() > NODE_BYTES_MAX
            && entries.iter().all(|entry| leaf_entry_bytes(entry) <= NODE_BYTES_MAX / 4)
    }

    fn len(&self) -> usize {
        match &self.entries {
            Entries::Leaf(entries) => entries.len(),
            Entries::Branch(entries) => entries.len(),
        }
    }

    fn first_key(&self) -> Bytes {
        match &self.entries {
            Entries::Leaf(entries) => entries[0].0.clone(),
            Entries::Branch(entries) => entries[0].0.clone(),
        }
    }

    /// Splits it when it has grown too large; the second half with the first key in it. `at_end` when it grew at its
    /// end: then more will, and the first half is left full.
    fn split(&mut self, at_end: bool) -> Option<(Bytes, Rc<Self>)> {
        if self.bytes <= NODE_BYTES_MAX || self.len() < 2 {
            return None;
        }
        let second = match &mut self.entries {
            Entries::Leaf(entries) => {
                let first = split_point(entries, at_end, leaf_entry_bytes);
                Self::new(None, Entries::Leaf(entries.split_off(first)))
            }
            Entries::Branch(entries) => {
                let first = split_point(entries, at_end, branch_entry_bytes);
                Self::new(None, Entries::Branch(entries.split_off(first)))
            }
        };
        self.bytes -= second.bytes - HEADER_BYTES;
        Some((second.first_key(), Rc::new(second)))
    }

    /// Takes over all entries of the node behind it.
    fn append(&mut self, next: &Self) {
        match (&mut self.entries, &next.entries) {
            (Entries::Leaf(entries), Entries::Leaf(more)) => entries.extend_from_slice(more),
            (Entries::Branch(entries), Entries::Branch(more)) => entries.extend_from_slice(more),
            _ => unreachable!("all leaves are equally deep"),
        }
        self.bytes += next.bytes - HEADER_BYTES;
    }
}

fn leaf_entry_bytes((key, value): &(Bytes, Bytes)) -> usize {
    LEAF_ENTRY_BYTES + key.len() + value.len()
}

fn branch_entry_bytes((key, _): &(Bytes, Rc<Node>)) -> usize {
    BRANCH_ENTRY_BYTES + key.len()
}

/// Which entry begins the second half: neither half is empty.
fn split_point<T>(entries: &[T], at_end: bool, bytes: impl Fn(&T) -> usize) -> usize {
    if at_end {
        return entries.len() - 1;
    }
    let half = entries.iter().map(&bytes).sum::<usize>() / 2;
    let mut before = 0;
    let is_before = |entry| {
        before += bytes(entry);
        before <= half
    };
    entries.iter().map(is_before).take_while(|is_before| *is_before).count().clamp(1, entries.len() - 1)
}

/// The node that `key` is in, if it is anywhere.
fn child_of(children: &[(Bytes, Rc<Node>)], key: &[u8]) -> usize {
    children.partition_point(|(first, _)| first[..] <= *key).saturating_sub(1)
}

/// Makes a node one that can be changed: a copy, when it belongs to what is committed.
fn change<'a>(node: &'a mut Rc<Node>, freed: &mut Vec<Place>) -> &'a mut Node {
    let node = Rc::make_mut(node);
    freed.extend(node.place.take());
    node
}

impl Tree {
    /// The value of `key`.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        let mut node = self.root.as_ref()?;
        loop {
            match &node.entries {
                Entries::Branch(children) => node = &children[child_of(children, key)].1,
                Entries::Leaf(entries) => {
                    let place = entries.binary_search_by(|(other, _)| other[..].cmp(key)).ok()?;
                    return Some(&entries[place].1);
                }
            }
        }
    }

    /// Sets the value of `key`. The places of nodes that are no longer in the tree are put into `freed`.
    pub(super) fn insert(&mut self, key: Bytes, value: Bytes, freed: &mut Vec<Place>) {
        let Some(root) = &mut self.root else {
            self.root = Some(Rc::new(Node::new(None, Entries::Leaf(vec![(key, value)]))));
            return;
        };
        if let Some(second) = insert(root, key, value, freed) {
            let children = vec![(root.first_key(), Rc::clone(root)), second];
            *root = Rc::new(Node::new(None, Entries::Branch(children)));
        }
    }

    /// Removes `key`, if it is there.
    pub(super) fn remove(&mut self, key: &[u8], freed: &mut Vec<Place>) {
        if self.get(key).is_none() {
            return;
        }
        let Some(root) = &mut self.root else { return };
        remove(root, key, freed);
        while let Entries::Branch(children) = &root.entries
            && let [(_, only)] = &children[..]
        {
            let only = Rc::clone(only);
            freed.extend(root.place);
            *root = only;
        }
        if root.len() == 0 {
            self.root = None;
        }
    }

    /// Keys and values from `key` on, sorted.
    pub(super) fn iter_from<'a>(&'a self, key: &[u8]) -> Iter<'a> {
        let mut iter = Iter { leaf: [].iter(), above: Vec::new() };
        let Some(mut node) = self.root.as_deref() else { return iter };
        loop {
            match &node.entries {
                Entries::Branch(children) => {
                    let child = child_of(children, key);
                    iter.above.push(children[child + 1..].iter());
                    node = &children[child].1;
                }
                Entries::Leaf(entries) => {
                    iter.leaf = entries[entries.partition_point(|(other, _)| other[..] < *key)..].iter();
                    return iter;
                }
            }
        }
    }
}

fn insert(
    node: &mut Rc<Node>,
    key: Bytes,
    value: Bytes,
    freed: &mut Vec<Place>,
) -> Option<(Bytes, Rc<Node>)> {
    let node = change(node, freed);
    let (grown, at_end) = match &mut node.entries {
        Entries::Leaf(entries) => {
            let entry_bytes = LEAF_ENTRY_BYTES + key.len() + value.len();
            // What is put behind everything is found to be so at once.
            let place = match entries.last() {
                Some((last, _)) if *last < key => Err(entries.len()),
                _ => entries.binary_search_by(|(other, _)| other.cmp(&key)),
            };
            match place {
                Ok(place) => {
                    let old = std::mem::replace(&mut entries[place], (key, value));
                    node.bytes -= leaf_entry_bytes(&old);
                    (entry_bytes, false)
                }
                Err(place) => {
                    entries.insert(place, (key, value));
                    (entry_bytes, place + 1 == entries.len())
                }
            }
        }
        Entries::Branch(children) => {
            let child = child_of(children, &key);
            if key < children[child].0 {
                node.bytes = node.bytes + key.len() - children[child].0.len();
                children[child].0 = key.clone();
            }
            let second = insert(&mut children[child].1, key, value, freed)?;
            let entry_bytes = branch_entry_bytes(&second);
            children.insert(child + 1, second);
            (entry_bytes, child + 2 == children.len())
        }
    };
    node.bytes += grown;
    node.split(at_end)
}

fn remove(node: &mut Rc<Node>, key: &[u8], freed: &mut Vec<Place>) {
    let node = change(node, freed);
    match &mut node.entries {
        Entries::Leaf(entries) => {
            if let Ok(place) = entries.binary_search_by(|(other, _)| other[..].cmp(key)) {
                node.bytes -= leaf_entry_bytes(&entries.remove(place));
            }
        }
        Entries::Branch(children) => {
            let child = child_of(children, key);
            remove(&mut children[child].1, key, freed);
            node.bytes -= shrink(children, child, freed);
        }
    }
}

/// After something was removed from a child: drops it when it is empty, and merges it with a neighbour when both are
/// small. The bytes that this takes from the parent.
fn shrink(children: &mut Vec<(Bytes, Rc<Node>)>, child: usize, freed: &mut Vec<Place>) -> usize {
    let changed = &children[child].1;
    if changed.len() == 0 {
        return branch_entry_bytes(&children.remove(child));
    }
    if changed.bytes >= NODE_BYTES_MIN {
        return 0;
    }
    let fits = |first: &usize| match children.get(*first..first + 2) {
        Some([(_, one), (_, next)]) => one.bytes + next.bytes - HEADER_BYTES <= NODE_BYTES_MAX,
        _ => false,
    };
    let Some(first) = child.checked_sub(1).into_iter().chain([child]).find(fits) else { return 0 };
    let next = children.remove(first + 1);
    freed.extend(next.1.place);
    change(&mut children[first].1, freed).append(&next.1);
    branch_entry_bytes(&next)
}

/// Keys and values of a tree, from some key on.
pub(super) struct Iter<'a> {
    leaf: std::slice::Iter<'a, (Bytes, Bytes)>,
    /// What is left of the branches above the leaf, from the root down.
    above: Vec<std::slice::Iter<'a, (Bytes, Rc<Node>)>>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Bytes, &'a Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((key, value));
            }
            let mut node = loop {
                match self.above.last_mut()?.next() {
                    Some((_, node)) => break node,
                    None => drop(self.above.pop()),
                }
            };
            self.leaf = loop {
                match &node.entries {
                    Entries::Leaf(entries) => break entries.iter(),
                    Entries::Branch(children) => {
                        let mut children = children.iter();
                        let Some((_, first)) = children.next() else { break [].iter() };
                        self.above.push(children);
                        node = first;
                    }
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vertebra_sim::random::Streams;

    use super::*;

    /// The depth below a node, whose keys must be at least `low`, and smaller than `high`.
    fn depth(node: &Node, low: &[u8], high: Option<&[u8]>) -> usize {
        assert!(!node.is_miscounted(), "it knows its size");
        assert!(!node.is_overfull(), "it is split when it has grown too large");
        assert!(node.len() > 0, "no node is empty");
        let is_inside = |key: &Bytes| low <= &key[..] && high.is_none_or(|high| &key[..] < high);
        match &node.entries {
            Entries::Leaf(entries) => {
                assert!(entries.is_sorted_by(|(one, _), (other, _)| one < other));
                assert!(entries.iter().all(|(key, _)| is_inside(key)));
                1
            }
            Entries::Branch(children) => {
                assert!(children.iter().all(|(key, _)| is_inside(key)));
                let depths = children.iter().enumerate().map(|(number, (key, child))| {
                    let next = children.get(number + 1).map(|(key, _)| &key[..]).or(high);
                    depth(child, key, next)
                });
                let depths: Vec<_> = depths.collect();
                assert!(depths.windows(2).all(|pair| pair[0] == pair[1]), "all leaves are equally deep");
                depths[0] + 1
            }
        }
    }

    fn nodes(node: &Node) -> usize {
        match &node.entries {
            Entries::Leaf(_) => 1,
            Entries::Branch(children) => 1 + children.iter().map(|(_, child)| nodes(child)).sum::<usize>(),
        }
    }

    /// Gives the nodes that have none a place, as a commit does.
    fn place(node: &mut Rc<Node>, next: &mut u32) {
        if node.place.is_none() {
            let node = Rc::make_mut(node);
            *next += 1;
            node.place = Some(Place { page: *next, pages: 1, checksum: 0 });
            if let Entries::Branch(children) = &mut node.entries {
                children.iter_mut().for_each(|(_, child)| place(child, next));
            }
        }
    }

    fn places(node: &Node, found: &mut Vec<u32>) {
        found.extend(node.place.map(|place| place.page));
        if let Entries::Branch(children) = &node.entries {
            children.iter().for_each(|(_, child)| places(child, found));
        }
    }

    #[test]
    fn a_tree_is_a_sorted_map_and_knows_which_of_its_pages_it_leaves() {
        let mut deepest = 0;
        for seed in 0..40 {
            let stream = &mut Streams::new(seed).stream("tree", 0);
            let (mut tree, mut map, mut next) = (Tree::default(), BTreeMap::new(), 0);
            let keys = stream.magnitude(5, 3_000);
            for round in 0..60 {
                let (before, expected_before) = (tree.clone(), map.clone());
                let (mut held, mut freed) = (Vec::new(), Vec::new());
                tree.root.iter().for_each(|root| places(root, &mut held));
                // It grows in the first rounds, and shrinks in the last.
                let removal = if round < 30 { 200_000 } else { 700_000 };
                for _ in 0..stream.magnitude(1, keys) {
                    let key = Bytes::from(format!("{:04}", stream.below(keys)));
                    if stream.chance(removal) {
                        map.remove(&key);
                        tree.remove(&key, &mut freed);
                    } else {
                        let length = if stream.chance(20_000) { 3_000 } else { stream.below(100) };
                        let value = Bytes::from(vec![7; length as usize]);
                        map.insert(key.clone(), value.clone());
                        tree.insert(key, value, &mut freed);
                    }
                }
                deepest = deepest.max(tree.root.as_ref().map_or(0, |root| depth(root, b"", None)));
                assert!(tree.iter_from(b"").eq(&map), "seed {seed}, round {round}");
                for _ in 0..5 {
                    let key = Bytes::from(format!("{:03}", stream.below(keys)));
                    assert!(tree.iter_from(&key).eq(map.range(key.clone()..)));
                    assert_eq!(tree.get(&key), map.get(&key));
                }
                assert!(before.iter_from(b"").eq(&expected_before), "a copy does not change");
                let mut kept: Vec<_> = freed.iter().map(|place| place.page).collect();
                tree.root.iter().for_each(|root| places(root, &mut kept));
                held.sort_unstable();
                kept.sort_unstable();
                assert_eq!(kept, held, "each place is left or kept, and that once");
                tree.root.iter_mut().for_each(|root| place(root, &mut next));
            }
            for key in map.keys() {
                tree.remove(key, &mut Vec::new());
            }
            assert!(tree.root.is_none(), "what is empty has no node");
        }
        assert!(deepest > 2, "only {deepest} deep");
    }

    #[test]
    fn keys_that_grow_leave_full_nodes_behind_them_and_removed_ones_no_small_ones() {
        let mut tree = Tree::default();
        let freed = &mut Vec::new();
        for key in 0..1_000_u32 {
            tree.insert(Bytes::copy_from_slice(&key.to_be_bytes()), Bytes::from_static(&[0; 50]), freed);
        }
        let entries = PAGE_BYTES / (LEAF_ENTRY_BYTES + 54);
        let leaves = 1_000_usize.div_ceil(entries);
        let full = tree.root.as_deref().map_or(0, nodes);
        assert!((leaves..leaves + 5).contains(&full), "{full} nodes for {leaves} leaves");
        for key in (0..1_000_u32).filter(|key| key % 20 != 0) {
            tree.remove(&key.to_be_bytes(), freed);
        }
        let left = tree.root.as_deref().map_or(0, nodes);
        assert!(left <= 1_000_usize.div_ceil(20 * entries) * 4 + 1, "{left} nodes for 50 entries");
    }
}
