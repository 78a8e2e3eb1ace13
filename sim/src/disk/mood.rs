//! How a power failure treats what was not synced: drawn once per failure, so that every regime occurs.
//!
//! If each fate were drawn with the same odds in every failure, a failure in which all of a hundred operations
//! are lost would never be seen, and neither would the most common one in life: all but the last few are there.

use crate::random::Stream;

/// What becomes of one unsynced operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Lost,
    Kept,
    /// Some of it survives. What cannot be torn is kept or lost instead.
    Torn,
}

/// The odds of one power failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mood {
    AllLost,
    AllKept,
    /// Each operation on its own, with these weights of lost, kept and torn.
    Mixed([u32; 3]),
    /// Everything up to some operation is kept, that one is torn, and everything later is lost.
    InOrder,
}

const MOODS: [(u32, Mood); 6] = [
    (1, Mood::AllLost),
    (1, Mood::AllKept),
    (3, Mood::Mixed([1, 1, 1])),
    (1, Mood::Mixed([8, 1, 1])),
    (1, Mood::Mixed([1, 8, 1])),
    (2, Mood::InOrder),
];

impl Mood {
    /// The moods of one failure: towards the contents of files, and towards the names in directories.
    ///
    /// They differ in most failures, because names without contents and contents without names are what
    /// programs forget; one failure in four is of one piece.
    pub(super) fn draw(stream: &mut Stream) -> (Self, Self) {
        match stream.below(8) {
            0 => (Self::AllLost, Self::AllLost),
            1 => (Self::AllKept, Self::AllKept),
            _ => (*stream.weighted(&MOODS), *stream.weighted(&MOODS)),
        }
    }

    /// The fates of `count` operations, oldest first.
    pub(super) fn fates(self, count: usize, stream: &mut Stream) -> Vec<Fate> {
        match self {
            Self::AllLost => vec![Fate::Lost; count],
            Self::AllKept => vec![Fate::Kept; count],
            Self::Mixed([lost, kept, torn]) => {
                let odds = [(lost, Fate::Lost), (kept, Fate::Kept), (torn, Fate::Torn)];
                (0..count).map(|_| *stream.weighted(&odds)).collect()
            }
            Self::InOrder => {
                let reached = stream.below(count as u64 + 1) as usize;
                let fate = |index: usize| match index.cmp(&reached) {
                    std::cmp::Ordering::Less => Fate::Kept,
                    std::cmp::Ordering::Equal => Fate::Torn,
                    std::cmp::Ordering::Greater => Fate::Lost,
                };
                (0..count).map(fate).collect()
            }
        }
    }
}

impl Fate {
    /// Whether an operation that is all or nothing survives.
    pub(super) fn survives_whole(self, stream: &mut Stream) -> bool {
        match self {
            Self::Lost => false,
            Self::Kept => true,
            Self::Torn => stream.below(2) == 1,
        }
    }
}

/// How many unsynced operations of one kind met which fate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Tally {
    /// Nothing of them is left, unless something that came later brought it along.
    pub lost: u64,
    /// They are there.
    pub kept: u64,
    /// A part of them is there: some sectors of a write, or its length without its bytes. Always 0 for names.
    pub torn: u64,
}

/// What a power failure did to the unsynced operations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct PowerFailure {
    /// Writes and truncations of the files that still have a name.
    pub contents: Tally,
    /// Creations, renames and removals of names. A file's move to another directory counts as two: the new name
    /// and the end of the old one.
    pub names: Tally,
}
