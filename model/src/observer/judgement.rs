//! The oracles that need the whole run, asked when it has settled or ended.

use vertebra_sim::{Violation, record, sometimes};

use super::{Observer, Role};
use crate::member::member_id;
use crate::oracle::leases::{self, Bounds, Remaining};
use crate::oracle::linearizable_history::{self, Conclusion};
use crate::oracle::linearizable_log::{self, Witness};
use crate::oracle::locks::{self, Overlaps};
use crate::oracle::{
    self, Replayed, auth, commit_window, durability, kubernetes, refusals, revisions, serializable,
    soundness, watch,
};
use crate::workload::with_locks;

impl Observer {
    fn mark_overlaps(&self) {
        let (world, Overlaps { unanswered, unasked, deleted }) = (&self.world, self.overlaps.get());
        sometimes!(world, "two hold a lock, for one is not answered", unanswered > 0, when = with_locks);
        sometimes!(world, "two hold a lock, for one has let its time pass", unasked > 0, when = with_locks);
        sometimes!(world, "two hold a lock, for the key of one was deleted", deleted > 0, when = with_locks);
    }

    /// What came of the log, if an oracle that takes part wants to know it.
    fn replayed_for_others(&self) -> Replayed {
        let witness = &*self.witness.borrow();
        let wanted =
            ["serializable", "watch", "locks", "kubernetes", "soundness"].iter().any(|name| self.asks(name));
        if wanted { Replayed::of(witness) } else { Replayed::of(&Witness::new()) }
    }

    /// The oracles that need the whole run.
    pub(crate) fn judge(&self) -> Result<(), Violation> {
        let (history, witness) = (&*self.history.borrow(), &*self.witness.borrow());
        let white = self.asks(linearizable_log::NAME).then(|| linearizable_log::replay(history, witness));
        let black = self.asks(linearizable_history::NAME).then(|| linearizable_history::check(history));
        let (white, black) = (self.overrule(white.transpose()), self.overrule(black.transpose()));
        // One that was left out proves nothing.
        if !matches!(white, Ok(None))
            && let Some(disagreement) = oracle::compare(&white, &black)
        {
            return Err(disagreement);
        }
        let replayed = white?.unwrap_or_else(|| self.replayed_for_others());
        if let Some(Conclusion::Undecided { alternatives, .. }) = black? {
            record!(self.world, "verdict", "the history alone is undecided after {} choices", alternatives);
        }
        self.ask("serializable", || serializable::check(history, witness, &replayed))?;
        self.ask("commit window", || commit_window::check(history, witness))?;
        let own = history.iter().skip(self.before_history.get() as usize).map(|(_, operation)| operation);
        self.ask("refusals", || refusals::check(own, self.txn_ops_max))?;
        self.ask("revisions", || revisions::check(history))?;
        self.ask("watch", || watch::check(&self.watches.borrow(), &replayed, self.response_limits))?;
        let bounds = Bounds {
            drift_ppm: self.world.drift_range(),
            election_timeout: self.election_timeout,
            checkpoint_interval: self.checkpoint_interval,
            retry_interval: self.request_timeout,
            healed: self.healed.get().filter(|_| self.world.has_settled()),
            ended: self.world.now(),
        };
        self.ask("leases", || leases::check(history, witness, &self.leases.borrow(), &bounds))?;
        let drift_ppm_max = bounds.drift_ppm.1;
        let judge = || locks::check(history, witness, &replayed, &self.locks.borrow(), drift_ppm_max);
        self.overlaps.set(self.ask("locks", judge)?);
        self.mark_overlaps();
        if self.has_api_servers {
            let (watches, caches) = (&self.watches.borrow(), &self.caches.borrow());
            self.ask("kubernetes", || kubernetes::check(history, watches, caches, &replayed))?;
        }
        // The log of a cluster that was restored does not have what came before it as it was written.
        let has_whole_log = self.before_log.get() == 0;
        let remaining = match has_whole_log && self.asks("leases") {
            true => Remaining::of(witness, &self.leases.borrow()),
            false => Remaining::default(),
        };
        let (mut hashes, mut auth_states) = (Vec::new(), Vec::new());
        for (number, view) in (1..).zip(self.members.borrow().iter()) {
            let takes_part = self.configuration.borrow().1.members().any(|member| member == view.id);
            let caught_up = takes_part && self.world.has_settled() && self.world.expected(member_id(number));
            if let Some(kv) = view.kv.as_ref().filter(|_| caught_up) {
                self.ask("durability", || durability::check(history, number, &**kv))?;
                self.ask("leases", || kv.check_attachments(number))?;
                self.ask("leases", || remaining.check(view.id, kv.remaining_ttls()))?;
                let leads = (view.role == Role::Leader).then_some(view.term);
                self.ask("leases", || kv.check_primary(view.id, leads))?;
                self.ask("resources", || self.check_held(view.id, kv))?;
                self.ask("liveness", || self.check_rest(view.id, kv))?;
                if self.asks("soundness") {
                    hashes.extend(kv.hash().map(|hash| (number, hash)));
                }
                auth_states.push((number, kv.auth_state()));
            }
        }
        let (watches, senders) = (self.watches.borrow(), self.senders.borrow());
        self.ask("auth", || auth::check(history, witness, &watches, &senders, &auth_states))?;
        if let Some((member, hash)) = hashes.first().filter(|_| has_whole_log) {
            self.ask("soundness", || soundness::hash_of_log(*member, *hash, &replayed))?;
        }
        self.ask("soundness", || soundness::hashes(hashes))?;
        Ok(())
    }
}
