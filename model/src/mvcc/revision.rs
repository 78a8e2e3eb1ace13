//! The moment of one change.

/// When a change happened: the transaction (`main`), and the change's place within it (`sub`, from 0).
///
/// Every change of a store has its own, and they are totally ordered. Clients see `main` alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The revision of the store that the transaction made; the first one makes 2.
    pub main: i64,
    /// How many changes of the same transaction came before.
    pub sub: i64,
}
