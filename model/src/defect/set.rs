//! A set of bugs.

use serde::{Deserialize, Serialize};

use super::Defect;

/// Which bugs are switched on. In a schedule it is a list of names.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<Defect>", into = "Vec<Defect>")]
pub struct Defects(u128);

const _: () = assert!(Defect::ALL.len() <= 128, "there are more than bits");

impl Defects {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether `defect` is switched on.
    #[must_use]
    pub fn has(self, defect: Defect) -> bool {
        self.0 & (1 << defect as u32) != 0
    }

    /// Switches `defect` on.
    pub fn insert(&mut self, defect: Defect) {
        self.0 |= 1 << defect as u32;
    }

    /// Those that are switched on, in the order of the catalogue.
    pub fn iter(self) -> impl Iterator<Item = Defect> {
        Defect::ALL.iter().copied().filter(move |defect| self.has(*defect))
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Defect> for Defects {
    fn from_iter<I: IntoIterator<Item = Defect>>(defects: I) -> Self {
        let mut set = Self::NONE;
        defects.into_iter().for_each(|defect| set.insert(defect));
        set
    }
}

impl From<Vec<Defect>> for Defects {
    fn from(defects: Vec<Defect>) -> Self {
        defects.into_iter().collect()
    }
}

impl From<Defects> for Vec<Defect> {
    fn from(defects: Defects) -> Self {
        defects.iter().collect()
    }
}
