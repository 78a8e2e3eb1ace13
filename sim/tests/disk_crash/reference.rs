//! What may survive a power failure, decided the slow and obvious way.
//!
//! The reference remembers every version of every file and every change of a name since the last failure. It then lists
//! *all* sets of changes that may survive together, and accepts what is found on a disk if it is among them. It
//! shares no code and no data structure with the disk, and judges states where the disk follows dependencies.

use std::collections::{BTreeMap, BTreeSet};

const SECTOR_BYTES: usize = 512;

/// The name of the variant of `DiskError` that an operation must fail with.
pub type Kind = &'static str;

/// What is at each path of a disk: nothing for a directory; for a file its identity and its bytes.
pub type Observed = BTreeMap<String, Option<(usize, Vec<u8>)>>;

/// What is at each path in a state that may survive: nothing for a directory, for a file its node.
pub type Tree = BTreeMap<String, Option<usize>>;

#[derive(Clone, Debug)]
pub struct Version {
    pub bytes: Vec<u8>,
    /// Offset and length of the write that made it; nothing for a truncation, and for what was there before.
    wrote: Option<(usize, usize)>,
}

#[derive(Clone, Debug)]
pub enum Node {
    Directory,
    /// All versions since the last failure, and which of them is synced.
    File {
        versions: Vec<Version>,
        synced: usize,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum StepKind {
    Create,
    Remove,
    Rename,
    MoveStart,
    MoveEnd,
    MoveDirectory,
}

/// A change of names that survives as a whole or not at all.
#[derive(Clone, Debug)]
pub struct Step {
    pub kind: StepKind,
    changes: Vec<(usize, String, Option<usize>)>,
    /// Which directory must be reachable once this has happened.
    reaches: Option<usize>,
    /// Which directory must be empty when this happens.
    empties: Option<usize>,
    pub synced: bool,
}

/// Sets of steps, each as one flag for each step.
pub type Subsets = Vec<Vec<bool>>;

/// The trees that may survive, each with the sets of steps that lead to it.
pub type Trees = BTreeMap<Tree, Subsets>;

type Names = Vec<BTreeMap<String, usize>>;

#[derive(Clone, Debug, Default)]
pub struct Reference {
    pub nodes: Vec<Node>,
    /// The names in each node as of the last failure, and as the process sees them.
    base: Names,
    cache: Names,
    pub steps: Vec<Step>,
    /// Files of which a name was taken away on purpose.
    dismissed: BTreeSet<usize>,
}

impl Reference {
    /// A disk on which exactly `observed` is durable.
    pub fn of(observed: &Observed) -> Self {
        let mut reference = Self::default();
        reference.add(Node::Directory);
        let mut known = BTreeMap::new();
        // A parent sorts before what is in it.
        for (path, entry) in observed {
            let node = match entry {
                None => reference.add(Node::Directory),
                Some((identity, bytes)) => *known.entry(*identity).or_insert_with(|| {
                    let versions = vec![Version { bytes: bytes.clone(), wrote: None }];
                    reference.add(Node::File { versions, synced: 0 })
                }),
            };
            let (parent, name) = reference.place(path).expect("parents are observed too");
            reference.cache[parent].insert(name, node);
        }
        reference.base = reference.cache.clone();
        reference
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.base.push(BTreeMap::new());
        self.cache.push(BTreeMap::new());
        self.nodes.len() - 1
    }

    fn is_directory(&self, node: usize) -> bool {
        matches!(self.nodes[node], Node::Directory)
    }

    // What the process sees.

    pub fn find(&self, path: &str) -> Result<usize, Kind> {
        let mut node = 0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if !self.is_directory(node) {
                return Err("NotADirectory");
            }
            node = *self.cache[node].get(name).ok_or("NotFound")?;
        }
        Ok(node)
    }

    fn place(&self, path: &str) -> Result<(usize, String), Kind> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.find(parent)?;
        if name.is_empty() {
            return Err("InvalidPath");
        }
        if !self.is_directory(directory) {
            return Err("NotADirectory");
        }
        Ok((directory, name.to_owned()))
    }

    pub fn bytes(&self, node: usize) -> &[u8] {
        match &self.nodes[node] {
            Node::File { versions, .. } => &versions[versions.len() - 1].bytes,
            Node::Directory => panic!("a directory has no bytes"),
        }
    }

    /// Everything that the process sees.
    pub fn visible(&self) -> Tree {
        flatten(&self.nodes, &self.cache)
    }

    pub fn create_directory(&mut self, path: &str) -> Result<(), Kind> {
        self.create(path, Node::Directory).map(|_| ())
    }

    fn create(&mut self, path: &str, node: Node) -> Result<usize, Kind> {
        match self.find(path) {
            Ok(_) => return Err("AlreadyExists"),
            Err("NotFound") => {}
            Err(kind) => return Err(kind),
        }
        let (directory, name) = self.place(path)?;
        let node = self.add(node);
        self.cache[directory].insert(name.clone(), node);
        self.step(StepKind::Create, vec![(directory, name, Some(node))], None, None);
        Ok(node)
    }

    pub fn open(&mut self, path: &str, create: bool, new: bool) -> Result<usize, Kind> {
        match self.find(path) {
            Ok(_) if new => Err("AlreadyExists"),
            Ok(node) if self.is_directory(node) => Err("IsADirectory"),
            Ok(node) => Ok(node),
            Err("NotFound") if create => {
                let versions = vec![Version { bytes: Vec::new(), wrote: None }];
                self.create(path, Node::File { versions, synced: 0 })
            }
            Err(kind) => Err(kind),
        }
    }

    pub fn write(&mut self, node: usize, offset: usize, written: &[u8]) {
        let Node::File { versions, .. } = &mut self.nodes[node] else { panic!("not a file") };
        if !written.is_empty() {
            let mut bytes = versions[versions.len() - 1].bytes.clone();
            bytes.resize(bytes.len().max(offset + written.len()), 0);
            bytes[offset..offset + written.len()].copy_from_slice(written);
            versions.push(Version { bytes, wrote: Some((offset, written.len())) });
        }
    }

    pub fn truncate(&mut self, node: usize, size: usize) {
        let Node::File { versions, .. } = &mut self.nodes[node] else { panic!("not a file") };
        let mut bytes = versions[versions.len() - 1].bytes.clone();
        if size != bytes.len() {
            bytes.resize(size, 0);
            versions.push(Version { bytes, wrote: None });
        }
    }

    pub fn remove(&mut self, path: &str) -> Result<(), Kind> {
        let node = self.find(path)?;
        let (directory, name) = self.place(path)?;
        let empties = self.check_empty(node)?;
        self.cache[directory].remove(&name);
        self.dismissed.insert(node);
        self.step(StepKind::Remove, vec![(directory, name, None)], None, empties);
        Ok(())
    }

    fn check_empty(&self, node: usize) -> Result<Option<usize>, Kind> {
        match self.is_directory(node) {
            true if !self.cache[node].is_empty() => Err("DirectoryNotEmpty"),
            true => Ok(Some(node)),
            false => Ok(None),
        }
    }

    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Kind> {
        let node = self.find(from)?;
        let (old, old_name) = self.place(from)?;
        let (new, new_name) = self.place(to)?;
        let replaced = self.cache[new].get(&new_name).copied();
        if replaced == Some(node) {
            return Ok(());
        }
        if self.is_directory(node) && to.starts_with(&format!("{from}/")) {
            return Err("InvalidPath");
        }
        let mut empties = None;
        if let Some(replaced) = replaced {
            match (self.is_directory(node), self.is_directory(replaced)) {
                (true, false) => return Err("NotADirectory"),
                (false, true) => return Err("IsADirectory"),
                _ => empties = self.check_empty(replaced)?,
            }
            self.dismissed.insert(replaced);
        }
        self.cache[old].remove(&old_name);
        self.cache[new].insert(new_name.clone(), node);
        let end = (old, old_name, None);
        let start = (new, new_name, Some(node));
        if old == new {
            self.step(StepKind::Rename, vec![end, start], None, empties);
        } else if self.is_directory(node) {
            self.step(StepKind::MoveDirectory, vec![end, start], Some(new), empties);
        } else {
            self.step(StepKind::MoveStart, vec![start], None, None);
            self.step(StepKind::MoveEnd, vec![end], Some(new), None);
        }
        Ok(())
    }

    fn step(
        &mut self,
        kind: StepKind,
        changes: Vec<(usize, String, Option<usize>)>,
        reaches: Option<usize>,
        empties: Option<usize>,
    ) {
        self.steps.push(Step { kind, changes, reaches, empties, synced: false });
    }

    // Syncs: a mark when one begins, and the mark again when it completes.

    pub fn mark(&self, node: usize) -> usize {
        match &self.nodes[node] {
            Node::File { versions, .. } => versions.len() - 1,
            Node::Directory => self.steps.len(),
        }
    }

    pub fn synced(&mut self, node: usize, mark: usize) {
        match &mut self.nodes[node] {
            Node::File { synced, .. } => *synced = mark.max(*synced),
            Node::Directory => {
                for step in &mut self.steps[..mark] {
                    step.synced |= step.changes.iter().any(|(directory, ..)| *directory == node);
                }
            }
        }
    }

    /// The content that is synced and the one that the process sees.
    pub fn ends(&self, node: usize) -> (&Vec<u8>, &Vec<u8>) {
        let Node::File { versions, synced } = &self.nodes[node] else { panic!("not a file") };
        (&versions[*synced].bytes, &versions[versions.len() - 1].bytes)
    }

    /// How many writes to the file are unsynced, if no truncation is; otherwise nothing is said: 0.
    pub fn unsynced_writes(&self, node: usize) -> usize {
        let Node::File { versions, synced } = &self.nodes[node] else { panic!("not a file") };
        let unsynced = &versions[synced + 1..];
        if unsynced.iter().all(|version| version.wrote.is_some()) { unsynced.len() } else { 0 }
    }

    pub fn is_synced(&self, node: usize) -> bool {
        matches!(&self.nodes[node], Node::File { versions, synced } if synced + 1 == versions.len())
    }

    /// How many changes of names are not synced themselves.
    pub fn free_steps(&self) -> usize {
        self.steps.iter().filter(|step| !step.synced).count()
    }

    // What may survive.

    /// Every tree that may survive, each with the sets of steps that lead to it.
    pub fn trees(&self) -> Trees {
        let free: Vec<usize> = (0..self.steps.len()).filter(|index| !self.steps[*index].synced).collect();
        let mut trees: Trees = BTreeMap::new();
        for subset in 0..1_u32 << free.len() {
            let mut kept: Vec<bool> = self.steps.iter().map(|step| step.synced).collect();
            for (bit, index) in free.iter().enumerate() {
                kept[*index] = subset >> bit & 1 == 1;
            }
            if let Some(names) = self.replay(&kept) {
                trees.entry(flatten(&self.nodes, &names)).or_default().push(kept);
            }
        }
        trees
    }

    /// The names after the `kept` steps, or nothing if these cannot survive without others.
    fn replay(&self, kept: &[bool]) -> Option<Names> {
        let mut names = self.base.clone();
        let mut overtaken = BTreeSet::new();
        for (index, step) in self.steps.iter().enumerate() {
            let mut keys = step.changes.iter().map(|(directory, name, _)| (*directory, name.as_str()));
            if !kept[index] {
                overtaken.extend(keys);
                continue;
            }
            // No name skips a step of its history, an old name ends only when the new one is there, and a directory
            // goes only when it is empty.
            if keys.any(|key| overtaken.contains(&key))
                || step.kind == StepKind::MoveEnd && !kept[index - 1]
                || step.empties.is_some_and(|directory| !names[directory].is_empty())
            {
                return None;
            }
            for (directory, name, target) in &step.changes {
                match target {
                    Some(target) => names[*directory].insert(name.clone(), *target),
                    None => names[*directory].remove(name),
                };
            }
            if step.reaches.is_some_and(|directory| !reachable(&self.nodes, &names).contains(&directory)) {
                return None;
            }
        }
        Some(names)
    }

    /// Which of `trees` (those of [`Reference::trees`]) `observed` can be, or why it is none of them.
    pub fn judge<'a>(
        &self,
        trees: &'a Trees,
        observed: &Observed,
    ) -> Result<Vec<(&'a Tree, &'a Subsets)>, String> {
        let mut reasons = BTreeSet::new();
        let mut accepted = Vec::new();
        for (tree, kept) in trees {
            match self.compare(tree, observed) {
                Ok(()) => accepted.push((tree, kept)),
                Err(reason) => drop(reasons.insert(reason)),
            }
        }
        if accepted.is_empty() {
            Err(reasons.into_iter().collect::<Vec<_>>().join("; "))
        } else {
            Ok(accepted)
        }
    }

    fn compare(&self, tree: &Tree, observed: &Observed) -> Result<(), String> {
        let shape =
            |path: &String, entry: Option<usize>| format!("{path}{}", if entry.is_some() { "" } else { "/" });
        let expected: Vec<String> = tree.iter().map(|(path, entry)| shape(path, *entry)).collect();
        let found: Vec<String> =
            observed.iter().map(|(path, entry)| shape(path, entry.as_ref().map(|(id, _)| *id))).collect();
        if expected != found {
            return Err(format!("names {found:?} are not {expected:?}"));
        }
        let pairs =
            || tree.iter().zip(observed).filter_map(|((path, a), (_, b))| Some((path, (*a)?, b.as_ref()?)));
        for (path, node, (identity, bytes)) in pairs() {
            for (other, other_node, (other_identity, _)) in pairs() {
                if (node == other_node) != (identity == other_identity) {
                    return Err(format!("`{path}` and `{other}` are one file here and two there"));
                }
            }
            self.check_content(node, bytes).map_err(|reason| format!("`{path}`: {reason}"))?;
        }
        match self.dismissal(tree) {
            Some(node) => Err(format!("file {node} was never removed and is gone")),
            None => Ok(()),
        }
    }

    /// A file that had a durable name, was never removed or replaced, and is not in `tree`.
    fn dismissal(&self, tree: &Tree) -> Option<usize> {
        let durable = flatten(&self.nodes, &self.base);
        let lost = |node: &usize| !self.dismissed.contains(node) && !tree.values().any(|n| *n == Some(*node));
        durable.values().flatten().copied().find(lost)
    }

    pub fn check_content(&self, node: usize, bytes: &[u8]) -> Result<(), String> {
        let Node::File { versions, synced } = &self.nodes[node] else { panic!("not a file") };
        let mut reason = format!("{} bytes is a size that it never had", bytes.len());
        for sized in *synced..versions.len() {
            if sizes(versions, *synced, sized).contains(&bytes.len()) {
                let strange = (0..bytes.len().div_ceil(SECTOR_BYTES)).find(|sector| {
                    let start = sector * SECTOR_BYTES;
                    let found = &bytes[start..bytes.len().min(start + SECTOR_BYTES)];
                    !sectors(versions, *synced, sized, *sector).iter().any(|s| s[..found.len()] == *found)
                });
                match strange {
                    None => return Ok(()),
                    Some(sector) => reason = format!("sector {sector} has bytes that it never had"),
                }
            }
        }
        Err(reason)
    }

    /// Every content of a small file that may survive.
    pub fn contents(&self, node: usize) -> BTreeSet<Vec<u8>> {
        let Node::File { versions, synced } = &self.nodes[node] else { panic!("not a file") };
        let mut contents = BTreeSet::new();
        for sized in *synced..versions.len() {
            for size in sizes(versions, *synced, sized) {
                let mut partial = BTreeSet::from([Vec::new()]);
                for sector in 0..size.div_ceil(SECTOR_BYTES) {
                    let candidates = sectors(versions, *synced, sized, sector);
                    let with = |prefix: &Vec<u8>| -> Vec<Vec<u8>> {
                        candidates.iter().map(|candidate| [&prefix[..], candidate].concat()).collect()
                    };
                    partial = partial.iter().flat_map(with).collect();
                }
                contents.extend(partial.into_iter().map(|mut content| {
                    content.truncate(size);
                    content
                }));
            }
        }
        contents
    }
}

/// The sizes that survive with the change that made version `sized`: its own and, if a write made the file grow, those
/// at each border of a sector on the way there.
fn sizes(versions: &[Version], synced: usize, sized: usize) -> BTreeSet<usize> {
    let size = versions[sized].bytes.len();
    let mut sizes = BTreeSet::from([size]);
    if sized > synced
        && let Some((offset, _)) = versions[sized].wrote
    {
        let before = versions[sized - 1].bytes.len().max(offset);
        sizes.extend((before + 1..size).filter(|size| size % SECTOR_BYTES == 0));
    }
    sizes
}

/// What `sector` may hold when the size is that of version `sized`: as synced, or as after any write to it, less
/// what later truncations up to `sized` cut off.
fn sectors(versions: &[Version], synced: usize, sized: usize, sector: usize) -> BTreeSet<Vec<u8>> {
    let start = sector * SECTOR_BYTES;
    let touched = |index: usize| match versions[index].wrote {
        _ if index == synced => true,
        Some((offset, length)) => offset < start + SECTOR_BYTES && start < offset + length,
        None => false,
    };
    let content = |index: usize| {
        let mut bytes = versions[index].bytes.clone();
        for later in versions.iter().take(sized + 1).skip(index + 1) {
            bytes.truncate(later.bytes.len());
        }
        bytes.resize(bytes.len().max(start + SECTOR_BYTES), 0);
        bytes[start..start + SECTOR_BYTES].to_vec()
    };
    (synced..versions.len()).filter(|index| touched(*index)).map(content).collect()
}

fn flatten(nodes: &[Node], names: &Names) -> Tree {
    let mut tree = Tree::new();
    let mut waiting = vec![(String::new(), 0)];
    while let Some((prefix, directory)) = waiting.pop() {
        for (name, node) in &names[directory] {
            let path = format!("{prefix}{name}");
            if matches!(nodes[*node], Node::Directory) {
                waiting.push((format!("{path}/"), *node));
                tree.insert(path, None);
            } else {
                tree.insert(path, Some(*node));
            }
        }
    }
    tree
}

fn reachable(nodes: &[Node], names: &Names) -> BTreeSet<usize> {
    let mut found = BTreeSet::from([0]);
    let mut waiting = vec![0];
    while let Some(directory) = waiting.pop() {
        for node in names[directory].values() {
            if matches!(nodes[*node], Node::Directory) && found.insert(*node) {
                waiting.push(*node);
            }
        }
    }
    found
}
