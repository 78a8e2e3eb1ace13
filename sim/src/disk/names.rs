//! The log of unsynced names: which creations, renames and removals may still be lost, and which of them can only
//! survive together.

use super::inodes::{InodeId, Inodes};

/// One name that changes its meaning.
#[derive(Clone, Debug)]
pub(super) struct NameChange {
    pub(super) directory: InodeId,
    pub(super) name: Box<str>,
    /// What the name stands for from now on; nothing after a removal.
    pub(super) target: Option<InodeId>,
}

/// What survives as a whole or not at all.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// Given by [`NameLog::push`].
    pub(super) sequence: u64,
    pub(super) first: NameChange,
    pub(super) second: Option<NameChange>,
    /// The unit without which this one cannot survive: the new name of a file whose old name ends here.
    pub(super) after: Option<u64>,
    /// The empty directory that loses its name.
    pub(super) emptied: Option<InodeId>,
    /// The directories from the root to where a file or directory was moved, when this unit ends its old name.
    pub(super) through: Vec<InodeId>,
}

impl Unit {
    pub(super) fn new(first: NameChange) -> Self {
        Self { sequence: 0, first, second: None, after: None, emptied: None, through: Vec::new() }
    }

    fn changes(&self) -> impl Iterator<Item = &NameChange> {
        std::iter::once(&self.first).chain(&self.second)
    }

    fn touches(&self, directory: InodeId) -> bool {
        self.changes().any(|change| change.directory == directory)
    }

    /// Whether this unit can survive only with `earlier`, for the reasons that the module `disk` lists.
    fn needs(&self, earlier: &Self) -> bool {
        let same_name = |one: &NameChange| {
            earlier.changes().any(|other| one.directory == other.directory && one.name == other.name)
        };
        let leads_there = |change: &NameChange| change.target.is_some_and(|id| self.through.contains(&id));
        self.after == Some(earlier.sequence)
            || self.changes().any(same_name)
            || self.emptied.is_some_and(|directory| earlier.touches(directory))
            || (!self.through.is_empty() && earlier.changes().any(leads_there))
    }
}

/// All units that are not on the medium, oldest first.
#[derive(Clone, Default, Debug)]
pub(super) struct NameLog {
    units: Vec<Unit>,
    next: u64,
}

impl NameLog {
    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    /// Stands for "every unit until now".
    pub(super) fn mark(&self) -> u64 {
        self.next
    }

    /// Adds `unit` and returns its sequence number.
    pub(super) fn push(&mut self, mut unit: Unit, inodes: &mut Inodes) -> u64 {
        unit.sequence = self.next;
        self.next += 1;
        for change in unit.changes() {
            inodes.retain(change.directory);
            change.target.into_iter().for_each(|target| inodes.retain(target));
        }
        let sequence = unit.sequence;
        self.units.push(unit);
        sequence
    }

    /// Brings to the medium the units before `mark` that change names in `directory`, and those they need.
    pub(super) fn persist(&mut self, directory: InodeId, mark: u64, inodes: &mut Inodes) {
        let chosen = self.units.iter().map(|unit| unit.sequence < mark && unit.touches(directory)).collect();
        self.apply(chosen, inodes);
    }

    /// Brings to the medium those units for which `chosen` is true, and those they need. Returns how many.
    pub(super) fn apply(&mut self, mut chosen: Vec<bool>, inodes: &mut Inodes) -> usize {
        // What a unit needs is older, so one pass from the newest to the oldest finds what is needed indirectly.
        for later in (0..chosen.len()).rev() {
            if chosen[later] {
                for (chosen, earlier) in chosen[..later].iter_mut().zip(&self.units) {
                    *chosen = *chosen || self.units[later].needs(earlier);
                }
            }
        }
        let mut applied = 0;
        let mut chosen = chosen.into_iter();
        for unit in self.units.extract_if(.., |_| chosen.next().unwrap_or(false)) {
            applied += 1;
            for change in [Some(unit.first), unit.second].into_iter().flatten() {
                let names = &mut inodes.directory_mut(change.directory).medium;
                // The mention in the log becomes the name on the medium, so a target stays retained.
                let before = match change.target {
                    Some(target) => names.insert(change.name, target),
                    None => names.remove(&change.name),
                };
                before.into_iter().for_each(|before| inodes.release(before));
                inodes.release(change.directory);
            }
        }
        applied
    }

    /// Forgets every unit. What they retained is for the caller to count anew.
    pub(super) fn clear(&mut self) {
        self.units.clear();
    }
}
