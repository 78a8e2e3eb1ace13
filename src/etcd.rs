//! The flags of the command, for the etcd cluster.

use vertebra_model::syncs::Sync;
use vertebra_model::{Defect, Etcd, Options};
use vertebra_sim::ledger::Version;
use vertebra_sim::schedule::Operations;

use crate::{Subject, version};

impl Subject for Etcd {
    fn defects() -> Vec<(&'static str, &'static str)> {
        let defects = Defect::ALL.iter().map(|defect| (defect.name(), defect.summary()));
        defects.chain(Sync::ALL.iter().map(|sync| (sync.defect(), sync.summary()))).collect()
    }

    fn plant(options: &mut Options, defect: &str) -> Result<(), String> {
        if let Some(sync) = Sync::ALL.into_iter().find(|sync| sync.defect() == defect) {
            if !options.without_sync.contains(&sync) {
                options.without_sync.push(sync);
            }
            return Ok(());
        }
        let defect = defect.parse()?;
        if !options.has(defect) {
            options.defects.push(defect);
        }
        Ok(())
    }

    fn set_members(options: &mut Options, members: u16) {
        options.members = members;
    }

    fn set_clients(options: &mut Options, clients: u16) {
        options.clients = clients;
    }

    fn usual() -> Option<Options> {
        Some(Options::usual())
    }

    fn performed(options: &mut Options) -> Option<&mut Operations> {
        Some(&mut options.operations)
    }

    fn serves() -> bool {
        true
    }

    fn version() -> Version {
        version::of_code()
    }
}
