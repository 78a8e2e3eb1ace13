//! The register of marks: the places and situations that a sweep must reach.
//!
//! A mark is made by `vertebra_sim::sometimes!`, where its place is, and stands in no list: the linker gathers them
//! (`linkme`), so one that no run ever comes by is known too. The order in which it does so means nothing; everything
//! here goes by name.
//!
//! This is a crate of its own because the attribute that registers an element expands to one that names a section,
//! which `unsafe_code = "forbid"` refuses in the crate that declares the register, and in no other.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

#[doc(hidden)]
pub use linkme;

/// A place or a situation that a sweep must reach.
#[derive(Debug)]
pub struct Mark {
    /// What it is, in words. No two marks have one name.
    pub name: &'static str,
    /// The module that it is in.
    pub module: &'static str,
    /// Whether a run can reach it, as far as its schedule says.
    pub when: fn(&Profile) -> bool,
    /// Its place among all of them by name, once [`all`] was called.
    index: AtomicU32,
}

impl Mark {
    /// A mark; `sometimes!` makes them.
    #[must_use]
    pub const fn new(name: &'static str, module: &'static str, when: fn(&Profile) -> bool) -> Self {
        Self { name, module, when, index: AtomicU32::new(u32::MAX) }
    }

    /// Its place in [`all`], which was called before.
    #[inline]
    #[must_use]
    pub fn index(&self) -> usize {
        self.index.load(Ordering::Relaxed) as usize
    }

    /// The crate that it is in.
    #[must_use]
    pub fn package(&self) -> &'static str {
        package(self.module)
    }
}

/// The crate of a path such as `my_system::server`.
#[must_use]
pub fn package(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

#[doc(hidden)]
#[linkme::distributed_slice]
pub static MARKS: [Mark];

/// All marks of this program, in the order of their names.
///
/// # Panics
///
/// If two of them have one name.
pub fn all() -> &'static [&'static Mark] {
    static ALL: OnceLock<Vec<&'static Mark>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut marks: Vec<&'static Mark> = MARKS.iter().collect();
        marks.sort_unstable_by_key(|mark| mark.name);
        for pair in marks.windows(2) {
            assert!(
                pair[0].name != pair[1].name,
                "two marks are named `{}`, one in {} and one in {}",
                pair[0].name,
                pair[0].module,
                pair[1].module
            );
        }
        for (index, mark) in (0..).zip(&marks) {
            mark.index.store(index, Ordering::Relaxed);
        }
        marks
    })
}

/// What can happen in a run, as far as that is known without running it: what `when = |run| ...` at a mark asks.
///
/// Asking for a name that nothing has is a slip, and panics: the mark would be out of reach for good without a word.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// How many members the cluster has at the start.
    pub members: u16,
    /// How many clients.
    pub clients: u16,
    /// Whether members use their disks.
    pub disks: bool,
    /// Whether ordered connections are used.
    pub connections: bool,
    /// Each kind of fault that there is, and whether the schedule has one.
    pub faults: Vec<(&'static str, bool)>,
    /// Each failpoint, and whether the schedule arms it.
    pub failpoints: Vec<(&'static str, bool)>,
    /// Each operation that an operator can be asked for, and whether the schedule asks.
    pub operations: Vec<(&'static str, bool)>,
    /// Each load that clients can be asked for, and whether the schedule asks.
    pub loads: Vec<(&'static str, bool)>,
    /// Each feature that the system names, and whether this run has it.
    pub features: Vec<(&'static str, bool)>,
}

impl Profile {
    /// Whether the schedule has a fault of this kind, named as a schedule file names it.
    ///
    /// # Panics
    ///
    /// If there is no such kind.
    #[must_use]
    pub fn fault(&self, kind: &str) -> bool {
        find(&self.faults, kind).unwrap_or_else(|| panic!("there is no kind of fault `{kind}`"))
    }

    /// Whether the schedule has a fault of one of these kinds.
    ///
    /// # Panics
    ///
    /// If one of them does not exist.
    #[must_use]
    pub fn any_fault(&self, kinds: &[&str]) -> bool {
        // Not `any`, which would leave out the look at the other names.
        kinds.iter().filter(|kind| self.fault(kind)).count() > 0
    }

    /// Whether the schedule arms this failpoint.
    ///
    /// # Panics
    ///
    /// If there is no such failpoint.
    #[must_use]
    pub fn failpoint(&self, name: &str) -> bool {
        find(&self.failpoints, name).unwrap_or_else(|| panic!("there is no failpoint `{name}`"))
    }

    /// Whether the schedule asks an operator for this.
    ///
    /// # Panics
    ///
    /// If the system knows no such operation.
    #[must_use]
    pub fn operation(&self, name: &str) -> bool {
        find(&self.operations, name).unwrap_or_else(|| panic!("there is no operation `{name}`"))
    }

    /// Whether the schedule asks clients for this load.
    ///
    /// # Panics
    ///
    /// If the system knows no such load.
    #[must_use]
    pub fn load(&self, name: &str) -> bool {
        find(&self.loads, name).unwrap_or_else(|| panic!("there is no load `{name}`"))
    }

    /// Whether the run has what the system calls by this name, in `System::features`.
    ///
    /// # Panics
    ///
    /// If the system names no such feature.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        find(&self.features, feature)
            .unwrap_or_else(|| panic!("the system has no feature `{feature}`; see `System::features`"))
    }
}

fn find(names: &[(&'static str, bool)], wanted: &str) -> Option<bool> {
    names.iter().find(|(name, _)| *name == wanted).map(|(_, has)| *has)
}
