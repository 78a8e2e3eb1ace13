//! The flags of the command, for the etcd cluster.

use std::io;

use vertebra_model::defect::{self, Class};
use vertebra_model::oracle::NAMES;
use vertebra_model::syncs::Sync;
use vertebra_model::{Etcd, Options};
use vertebra_sim::ledger::Version;
use vertebra_sim::schedule::Operations;

use crate::histories::Destination;
use crate::{Planted, Subject, version};

impl Subject for Etcd {
    fn defects() -> Vec<Planted> {
        let defects = defect::entries().map(|entry| Planted {
            name: entry.defect.name(),
            title: entry.title,
            class: entry.class.name(),
            references: entry.references,
            versions: entry.versions,
            mechanism: entry.mechanism,
            oracles: entry.oracles,
            by_name: false,
        });
        let syncs = Sync::ALL.iter().map(|sync| Planted {
            class: Class::Durability.name(),
            references: &["Raft dissertation, 3.8"],
            mechanism: "The sync is left out, and nothing else. What it is for counts as durable and is in the page \
                        cache alone. A power failure takes it back.",
            by_name: true,
            ..Planted::plain(sync.defect(), sync.summary())
        });
        defects.chain(syncs).collect()
    }

    fn plant(options: &mut Options, defect: &str) -> Result<(), String> {
        if let Some(sync) = Sync::ALL.into_iter().find(|sync| sync.defect() == defect) {
            if !options.without_sync.contains(&sync) {
                options.without_sync.push(sync);
            }
            return Ok(());
        }
        options.defects.insert(defect.parse()?);
        Ok(())
    }

    fn leave_out(options: &mut Options, oracle: &str) -> bool {
        let is_known = NAMES.contains(&oracle);
        if is_known && !options.without_oracles.iter().any(|name| name == oracle) {
            options.without_oracles.push(oracle.to_owned());
        }
        is_known
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

    fn write_history(&self, to: &mut Destination) -> io::Result<bool> {
        let mut result = Ok(());
        self.histories(|history, watches| {
            if result.is_ok() {
                result = to.write(history, watches);
            }
        });
        result.map(|()| true)
    }

    fn version() -> Version {
        version::of_code()
    }
}
