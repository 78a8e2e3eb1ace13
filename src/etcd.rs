//! The flags of the command, for the etcd cluster.

use vertebra_model::{Defect, Etcd, Options};
use vertebra_sim::ledger::Version;

use crate::{Subject, version};

impl Subject for Etcd {
    fn defects() -> Vec<(&'static str, &'static str)> {
        Defect::ALL.iter().map(|defect| (defect.name(), defect.summary())).collect()
    }

    fn plant(options: &mut Options, defect: &str) -> Result<(), String> {
        let defect = defect.parse()?;
        if !options.has(defect) {
            options.defects.push(defect);
        }
        Ok(())
    }

    fn set_members(options: &mut Options, members: u16) {
        options.members = members;
    }

    fn version() -> Version {
        version::of_code()
    }
}
