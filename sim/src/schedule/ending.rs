//! What stays broken when faults are over, and how much of the data they may damage before.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Shape;
use super::problem::Problem;
use crate::node_id::NodeId;

/// A member that stays broken for good when all faults are healed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    /// Which.
    pub member: NodeId,
    /// In which way.
    pub how: How,
}

/// In which way a member stays broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Its process does not run.
    Down,
    /// No packet reaches it, and none of its own reaches anybody.
    CutOff,
    /// Its process stands still.
    Paused,
    /// No operation of its disk ends.
    Stalled,
}

/// As in a sentence: `member 2 stays cut off`.
impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Down => "down",
            Self::CutOff => "cut off",
            Self::Paused => "paused",
            Self::Stalled => "stalled",
        })
    }
}

/// How many voters may have damaged data at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DamageMax {
    /// A minority, so that a majority has what was acknowledged. A fault that would damage more spares its target.
    #[default]
    Minority,
    /// Any number.
    Any,
}

impl DamageMax {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Broken {
    pub(super) fn check(&self, shape: &Shape) -> Result<(), Problem> {
        match self.member {
            NodeId::Member(_) => shape.check_node(self.member, "member"),
            node => Err(Problem::new(format!("`{node}` is no member; members stay broken, and nobody else"))),
        }
        .map_err(|problem| problem.under("member"))
    }
}
