//! What the command asks of a system, besides that it can be simulated.

use std::io;

use serde::Serialize;
use vertebra_sim::System;
use vertebra_sim::ledger::Version;
use vertebra_sim::schedule::Operations;

use crate::histories::Destination;
use crate::version;

/// A bug that can be switched on.
#[derive(Clone, Debug, Serialize)]
pub struct Planted {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a line.
    pub title: &'static str,
    /// What comes of it, in a word.
    pub class: &'static str,
    /// Where it was seen, or what states the rule that it breaks.
    pub references: &'static [&'static str],
    /// The releases that have it; empty where none is known.
    pub versions: &'static str,
    /// How it works, in a few sentences.
    pub mechanism: &'static str,
    /// The oracles that see it for what it is.
    pub oracles: &'static [&'static str],
    /// Whether it is hunted by its name only, and not with all others: sweeps find it that have the faults it is about.
    pub by_name: bool,
}

impl Planted {
    /// One of which no more is known than its name and what it is.
    #[must_use]
    pub fn plain(name: &'static str, title: &'static str) -> Self {
        let (class, versions, mechanism) = ("", "", "");
        Self { name, title, class, references: &[], versions, mechanism, oracles: &[], by_name: false }
    }
}

/// A system that the command runs: its flags can change the options that a seed drew.
pub trait Subject: System {
    /// The planted bugs there are.
    fn defects() -> Vec<Planted>;

    /// Switches on the planted bug of this name. What is on already stays on.
    ///
    /// # Errors
    ///
    /// A sentence that lists the names, when it is none of [`Subject::defects`].
    fn plant(options: &mut Self::Options, defect: &str) -> Result<(), String>;

    /// Leaves an oracle out of a run, if the options can say that it takes no part.
    fn leave_out(_options: &mut Self::Options, _oracle: &str) -> bool {
        false
    }

    /// Gives the cluster this many members. Whether that makes sense is for [`System::shape`] to say.
    fn set_members(options: &mut Self::Options, members: u16);

    /// Gives the cluster this many clients, as above.
    fn set_clients(options: &mut Self::Options, clients: u16);

    /// The options of a plain run, to which shrinking puts back what it can, field by field: as a real cluster has
    /// them where nobody has changed anything. Without them, no option is put back.
    fn usual() -> Option<Self::Options> {
        None
    }

    /// Which operations clients perform, where the options say so and clients number their operations
    /// ([`vertebra_sim::Node::draw_operation`]). Without that, no operation is taken out.
    fn performed(_options: &mut Self::Options) -> Option<&mut Operations> {
        None
    }

    /// Whether callers from outside of the simulation can be served, as by a real cluster of this kind.
    fn serves() -> bool {
        false
    }

    /// Writes what the clients saw, when a run is over; or says that there is no form for it.
    ///
    /// # Errors
    ///
    /// What writing fails with, or what cannot be said in the form that is asked for.
    fn write_history(&self, _to: &mut Destination) -> io::Result<bool> {
        Ok(false)
    }

    /// Which code this is, for the ledger: two versions have the same `build` exactly where each seed is the same run
    /// in both. Unless a system knows better, its program is its build.
    fn version() -> Version {
        version::of_program()
    }
}
