//! Raft's safety properties, checked as the members take their steps.
//!
//! Verifies, in constant time for each event (each entry is hashed once when it is appended and once when it is
//! applied; a restart costs as much as the log that it reads back):
//!
//! | clause | what must hold |
//! | --- | --- |
//! | `election safety` | at most one leader in a term, for ever |
//! | `leader append-only` | a leader neither drops nor changes an entry of its own log |
//! | `log matching` | two entries with one index and term are the same, and so are all entries before them |
//! | `leader completeness` | a new leader has each entry that was committed in an earlier term |
//! | `state machine safety` | no two members commit or apply different entries at one index |
//! | `log gap`, `term order` | a log has no holes, and its terms never fall |
//! | `committed entry dropped` | a member keeps what it knows to be committed |
//! | `commit without quorum` | what is committed is durable on a quorum of the configuration that holds for who first knows |
//! | `election without quorum` | a leader was voted for by a quorum of the configuration that holds for it |
//! | `no pre-vote`, `leads without quorum` | who stands has asked first; who leads hears a quorum, or steps down |
//! | `election timeout` | a member stands when the seed says so, and not when Raft's own generator does, which nobody can replay |
//! | `not a voter` | who asks for votes or leads has a vote: no learner, nobody who was removed |
//! | `two changes at once` | an entry that changes the configuration follows only such as are committed |
//! | `configuration` | all members have one configuration after one entry |
//! | `configuration step` | it follows from the one before: a member more or less, or into a joint one, or out of it |
//! | `removed member` | who was removed never takes part again under the same identifier |
//! | `ended` | who ends itself because it was removed was removed |
//! | `commit of an old term` | a leader commits by counting only entries of its own term, apart from those that others have committed |
//! | `commit order`, `apply order` | applied <= committed <= last; committed never falls; applied goes one by one |
//! | `two votes` | at most one vote in a term, restarts included |
//! | `state went back` | term, vote, commit and log after a restart are no older than what was durable |
//! | `sent before durable` | no vote and no acknowledgement leaves before what it promises is on the disk |
//! | `snapshot` | a snapshot stands for entries that are committed |
//! | `next behind match` | what a leader sends a follower next comes after all that is known to match |
//! | `read without quorum` | a leader confirms a read when a quorum has answered since it came |
//!
//! Stated in the dissertation on Raft (Ongaro 2014, sections 3 to 6), and in the TLA+ specification of etcd-io/raft.
//!
//! Does NOT verify: liveness; the contents of snapshots (see `agreement`); that a configuration is the one that was
//! asked for; what a read shows (see `commit_window`); that the observations
//! are true and given in the order in which the member did what they tell.

mod campaigns;
mod chain;
mod configuration;
mod read_index;
mod told;

pub use configuration::Configuration;
pub use told::{Durable, Entry, MemberId, Recovered};

use std::collections::BTreeMap;

use vertebra_sim::verdict::Violation;

use campaigns::Campaigns;
use chain::{Chain, Link};
use configuration::{Configurations, Listed};
use read_index::Reads;

const ORACLE: &str = "raft";

#[derive(Debug, Default)]
struct Member {
    log: Chain,
    /// Up to here `log` would survive a crash.
    durable_index: u64,
    durable: Durable,
    /// Term of the member's disk, and the last index that was durable at some moment of that term. An
    /// acknowledgement may be sent a little after a newer leader has cut the log in memory.
    acknowledgeable: (u64, u64),
    leads: Option<u64>,
    /// The entries of its log that change the configuration.
    changes: Vec<u64>,
    /// The entry from which the configuration holds that holds for it.
    configured: u64,
    commit: u64,
    applied: u64,
    /// By term; kept here over restarts, whatever the member's disk forgets.
    votes: BTreeMap<u64, MemberId>,
}

#[derive(Clone, Copy, Debug)]
struct Committed {
    link: Link,
    /// No less than the term in which the entry became committed.
    in_term: u64,
}

/// The oracle. Each method is one observation of one member, made before the member does anything that another
/// member or a client could notice of it.
#[derive(Debug, Default)]
pub struct RaftSafety {
    configurations: Configurations,
    members: BTreeMap<MemberId, Member>,
    leaders: BTreeMap<u64, MemberId>,
    /// The first link that any log had, by index from 1; others at the same index, with other terms, below.
    first_links: Vec<Link>,
    other_links: BTreeMap<(u64, u64), u64>,
    /// By index from 1.
    committed: Vec<Committed>,
    reads: Reads,
    campaigns: Campaigns,
}

impl RaftSafety {
    /// An oracle for a cluster with these voters, none of which has done anything.
    #[must_use]
    pub fn new(voters: &[MemberId]) -> Self {
        Self { configurations: Configurations::new(Configuration::of(voters)), ..Self::default() }
    }

    /// An oracle for a cluster with these voters that begins with a snapshot of entries up to `index`, all of `term`, as
    /// committed and applied.
    #[must_use]
    pub fn beginning_at(voters: &[MemberId], index: u64, term: u64) -> Self {
        let mut oracle = Self::new(voters);
        let links =
            std::iter::successors(Some(Link::default().next(term, b"")), |link| Some(link.next(term, b"")));
        oracle.first_links.extend(links.take(index as usize));
        oracle
            .committed
            .extend(oracle.first_links.iter().map(|link| Committed { link: *link, in_term: term }));
        oracle
    }

    /// From now on this configuration holds for `member`, which has come to entry `index`.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn configured(
        &mut self,
        member: MemberId,
        index: u64,
        configuration: Configuration,
    ) -> Result<(), Violation> {
        self.configurations.told(member, index, configuration)?;
        self.members.entry(member).or_default().configured = index;
        Ok(())
    }

    /// The configuration that holds for a member.
    fn configuration_of(&self, member: MemberId) -> &Configuration {
        self.configurations.in_force(self.members.get(&member).map_or(0, |state| state.configured))
    }

    /// `member` put `entries` into its log, in place of whatever it had from the first of them on.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn appended<'a>(
        &mut self,
        member: MemberId,
        entries: impl IntoIterator<Item = Entry<'a>>,
    ) -> Result<(), Violation> {
        let state = self.members.entry(member).or_default();
        for entry in entries {
            let Entry { index, term, data, reconfigures } = entry;
            let last = state.log.last_index();
            if index > last + 1 || index <= state.log.base_index {
                return violation(
                    "log gap",
                    format!(
                        "member {member} put entry {index} into a log of {}..={last}",
                        state.log.base_index
                    ),
                );
            }
            let before = state.log.at(index - 1).unwrap_or_default();
            if term < before.term {
                return violation(
                    "term order",
                    format!(
                        "member {member} put entry {index} of term {term} after one of term {}",
                        before.term
                    ),
                );
            }
            let link = before.next(term, data);
            if index <= last {
                if state.log.at(index) == Some(link) {
                    // The same entry again: what follows it stays.
                    continue;
                }
                if index <= state.commit {
                    let commit = state.commit;
                    return violation(
                        "committed entry dropped",
                        format!("member {member} replaced entry {index}, committed up to {commit}"),
                    );
                }
                if let Some(term) = state.leads {
                    return violation(
                        "leader append-only",
                        format!("member {member} leads term {term} and replaced its entry {index}"),
                    );
                }
                state.log.truncate_after(index - 1);
                state.changes.retain(|change| *change < index);
                state.durable_index = state.durable_index.min(index - 1);
                state.acknowledgeable.1 = state.acknowledgeable.1.min(index - 1);
            }
            if reconfigures {
                let committed = self.committed.len() as u64;
                let under_way = state.changes.iter().rev().find(|change| **change < index);
                if let Some(earlier) = under_way.filter(|change| **change > committed) {
                    return violation(
                        "two changes at once",
                        format!(
                            "member {member} put entry {index} behind entry {earlier}, which is not committed"
                        ),
                    );
                }
                state.changes.push(index);
            }
            match_log(&mut self.first_links, &mut self.other_links, member, index, link)?;
            state.log.links.push_back(link);
        }
        Ok(())
    }

    /// All that `durable` tells is on the disk of `member`: after a sync, and before any message that waits for it.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn persisted(&mut self, member: MemberId, durable: Durable) -> Result<(), Violation> {
        let state = self.members.entry(member).or_default();
        let before = state.durable;
        if durable.term < before.term || durable.commit < before.commit {
            return violation("state went back", format!("member {member} had {before:?}, then {durable:?}"));
        }
        record_vote(&mut state.votes, member, durable.term, durable.vote)?;
        // A log that was cut since this write began is durable only up to the cut.
        if state.log.at(durable.last_index).is_some_and(|link| link.term == durable.last_term) {
            state.durable_index = durable.last_index;
        }
        if durable.term > state.acknowledgeable.0 {
            state.acknowledgeable = (durable.term, durable.last_index);
        } else {
            state.acknowledgeable.1 = state.acknowledgeable.1.max(durable.last_index);
        }
        state.durable = durable;
        Ok(())
    }

    /// `member` answers a leader's entries: it has them up to `index`, or (`reject`) they do not fit.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn sent_append_response(
        &mut self,
        member: MemberId,
        to: MemberId,
        term: u64,
        index: u64,
        reject: bool,
    ) -> Result<(), Violation> {
        let state = self.members.entry(member).or_default();
        let (durable_term, durable_index) = state.acknowledgeable;
        // Nobody listens to an acknowledgement of an older term, so that one may tell of what has been replaced.
        if term > durable_term || (!reject && term == durable_term && index > durable_index) {
            return Err(Violation::new(
                ORACLE,
                "sent before durable",
                if reject { "refusal of entries" } else { "acknowledgement of entries" },
                format!(
                    "member {member} answered member {to} in term {term} up to entry {index}; \
                     on its disk is term {durable_term} up to entry {durable_index}"
                ),
            ));
        }
        Ok(())
    }

    /// `member` answers a candidate. A grant before the vote proper (`pre_vote`) promises nothing.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn sent_vote_response(
        &mut self,
        member: MemberId,
        to: MemberId,
        term: u64,
        granted: bool,
        pre_vote: bool,
    ) -> Result<(), Violation> {
        if pre_vote {
            return Ok(());
        }
        let state = self.members.entry(member).or_default();
        if granted {
            record_vote(&mut state.votes, member, term, to)?;
        }
        let Durable { term: durable_term, vote, .. } = state.durable;
        if term > durable_term || (granted && term == durable_term && vote != to) {
            return Err(Violation::new(
                ORACLE,
                "sent before durable",
                match (granted, term > durable_term) {
                    (true, true) => "vote: term",
                    (true, false) => "vote",
                    (false, _) => "refusal of a vote",
                },
                format!(
                    "member {member} answered member {to} in term {term}; \
                     on its disk is term {durable_term} with a vote for {vote}"
                ),
            ));
        }
        Ok(())
    }

    /// `member` asks for votes in `term`, which it can do only after it has voted for itself.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn sent_vote_request(&mut self, member: MemberId, term: u64) -> Result<(), Violation> {
        self.check_voter(member, term)?;
        let state = self.members.entry(member).or_default();
        record_vote(&mut state.votes, member, term, member)?;
        let Durable { term: durable_term, vote, .. } = state.durable;
        if term > durable_term || (term == durable_term && vote != member) {
            return Err(Violation::new(
                ORACLE,
                "sent before durable",
                if term > durable_term { "candidacy: term" } else { "candidacy: vote" },
                format!(
                    "member {member} asked for votes in term {term}; \
                     on its disk is term {durable_term} with a vote for {vote}"
                ),
            ));
        }
        Ok(())
    }

    /// `member` has won the election of `term`. Told before the entries that it then appends.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn became_leader(&mut self, member: MemberId, term: u64) -> Result<(), Violation> {
        let leader = *self.leaders.entry(term).or_insert(member);
        if leader != member {
            return violation(
                "election safety",
                format!("member {member} leads term {term}, which member {leader} led"),
            );
        }
        self.check_voter(member, term)?;
        let votes_for_it = |voter: MemberId| {
            let state = self.members.get(&voter);
            voter == member || state.is_some_and(|state| state.votes.get(&term) == Some(&member))
        };
        let configuration = self.configuration_of(member);
        if !configuration.has_quorum(votes_for_it) {
            let voted: Vec<_> = configuration.members().filter(|voter| votes_for_it(*voter)).collect();
            return violation(
                "election without quorum",
                format!(
                    "member {member} leads term {term} by the votes of {} of {configuration}",
                    Listed(&voted)
                ),
            );
        }
        let state = self.members.entry(member).or_default();
        state.leads = Some(term);
        // A leader whose votes were long under way knows nothing of what later terms have committed.
        let earlier = self.committed.iter().rposition(|entry| entry.in_term < term);
        let Some(place) = earlier else { return Ok(()) };
        let (index, link) = (place as u64 + 1, self.committed[place].link);
        if !state.log.holds(index, link) {
            let last = state.log.last_index();
            return violation(
                "leader completeness",
                format!(
                    "member {member} leads term {term} without committed entry {index}; its log ends at {last}"
                ),
            );
        }
        Ok(())
    }

    fn check_voter(&self, member: MemberId, term: u64) -> Result<(), Violation> {
        let configuration = self.configuration_of(member);
        if configuration.is_voter(member) {
            return Ok(());
        }
        violation(
            "not a voter",
            format!("member {member} stands in term {term}, but votes are {configuration}"),
        )
    }

    /// `member`, which leads, has heard a refusal of `follower`, whose log matches up to `matched`, and will send it `next`.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn refused(
        &self,
        member: MemberId,
        follower: MemberId,
        matched: u64,
        next: u64,
    ) -> Result<(), Violation> {
        let detail =
            || format!("member {member} goes back to {next} for {follower}, which has all up to {matched}");
        if next > matched { Ok(()) } else { violation("next behind match", detail()) }
    }

    /// `member` leads no more.
    pub fn stepped_down(&mut self, member: MemberId) {
        self.forget_reads(member);
        if let Some(state) = self.members.get_mut(&member) {
            state.leads = None;
        }
    }

    /// `member`, now in `term`, has learnt that its entries up to `index` are committed.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn committed(&mut self, member: MemberId, term: u64, index: u64) -> Result<(), Violation> {
        let state = self.members.entry(member).or_default();
        let last = state.log.last_index();
        if index < state.commit || index > last {
            return violation(
                "commit order",
                format!(
                    "member {member} committed up to {index}, before {}; its log ends at {last}",
                    state.commit
                ),
            );
        }
        // What others know to be committed it may have been told while it was a candidate, by who did not vote for it.
        let known = self.committed.len() as u64;
        if state.leads == Some(term)
            && index > known.max(state.commit)
            && state.log.at(index).is_some_and(|link| link.term != term)
        {
            let entry_term = state.log.at(index).map_or(0, |link| link.term);
            return violation(
                "commit of an old term",
                format!("member {member} leads term {term} and committed entry {index} of term {entry_term}"),
            );
        }
        for next in state.commit + 1..=index {
            let Some(link) = state.log.at(next) else { continue };
            match self.committed.get(next as usize - 1) {
                Some(agreed) if agreed.link != link => {
                    return disagreement("commit", member, next, agreed.link, link);
                }
                Some(_) => {}
                None if next > self.committed.len() as u64 + 1 => break,
                None => self.committed.push(Committed { link, in_term: term }),
            }
        }
        state.commit = index;
        if index > known { self.check_quorum(member, index) } else { Ok(()) }
    }

    /// Whether a quorum would still have entry `index` if all lost power now, counted as `member` counts.
    fn check_quorum(&self, member: MemberId, index: u64) -> Result<(), Violation> {
        // Nothing is known of what comes behind entries of which a clause that is left out did not hold.
        let Some(Committed { link, .. }) = self.committed.get(index as usize - 1).copied() else {
            return Ok(());
        };
        let has_it = |voter: MemberId| {
            self.members
                .get(&voter)
                .is_some_and(|state| state.durable_index >= index && state.log.holds(index, link))
        };
        let configuration = self.configuration_of(member);
        if configuration.has_quorum(has_it) {
            return Ok(());
        }
        let holders: Vec<_> = configuration.members().filter(|voter| has_it(*voter)).collect();
        violation(
            "commit without quorum",
            format!("entry {index} is committed and durable on {} of {configuration}", Listed(&holders)),
        )
    }

    /// `member` gave the entry to its state machine.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn applied(&mut self, member: MemberId, entry: Entry<'_>) -> Result<(), Violation> {
        let Entry { index, term, data, .. } = entry;
        let state = self.members.entry(member).or_default();
        if index != state.applied + 1 || index > state.commit {
            return violation(
                "apply order",
                format!(
                    "member {member} applied entry {index} after {}, committed up to {}",
                    state.applied, state.commit
                ),
            );
        }
        state.applied = index;
        let before = match index {
            1 => Link::default(),
            _ => self.committed.get(index as usize - 2).map(|entry| entry.link).unwrap_or_default(),
        };
        let link = before.next(term, data);
        match self.committed.get(index as usize - 1) {
            Some(agreed) if agreed.link == link => Ok(()),
            agreed => {
                let agreed = agreed.map(|entry| entry.link).unwrap_or_default();
                disagreement("apply", member, index, agreed, link)
            }
        }
    }

    /// How many entries the log of `member` has in memory.
    #[must_use]
    pub fn log_length(&self, member: MemberId) -> u64 {
        self.members.get(&member).map_or(0, |state| state.log.links.len() as u64)
    }

    /// `member` dropped its log up to `index`, which a snapshot stands for.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn compacted(&mut self, member: MemberId, index: u64) -> Result<(), Violation> {
        let state = self.members.entry(member).or_default();
        if index > state.applied {
            let applied = state.applied;
            return violation(
                "snapshot",
                format!("member {member} compacted its log to {index}, applied up to {applied}"),
            );
        }
        state.log.compact_to(index);
        Ok(())
    }

    /// `member` replaced log and state machine by a snapshot of everything up to `index`, whose entry is of `term`.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn installed_snapshot(&mut self, member: MemberId, index: u64, term: u64) -> Result<(), Violation> {
        let link = self.link_of_snapshot(member, index, term)?;
        let state = self.members.entry(member).or_default();
        if index < state.commit {
            let commit = state.commit;
            return violation(
                "snapshot",
                format!("member {member} took a snapshot of {index}, committed up to {commit}"),
            );
        }
        state.log = Chain::after(index, link);
        state.changes.clear();
        state.durable_index = state.durable_index.min(index);
        state.commit = index;
        Ok(())
    }

    /// The state machine of `member` was replaced by that of the snapshot at `index`, which its log took before.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn restored(&mut self, member: MemberId, index: u64) -> Result<(), Violation> {
        let state = self.members.entry(member).or_default();
        if index < state.applied || index > state.commit {
            let (applied, commit) = (state.applied, state.commit);
            return violation(
                "apply order",
                format!(
                    "member {member} restored a snapshot of {index} after {applied}, committed up to {commit}"
                ),
            );
        }
        state.applied = index;
        Ok(())
    }

    /// `member` started again and read `recovered`, and `entries` after the snapshot, from its disk.
    ///
    /// What it read counts as durable only from the next [`persisted`](Self::persisted) on: a process that was
    /// killed leaves writes behind that a later loss of power still takes.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn restarted<'a>(
        &mut self,
        member: MemberId,
        recovered: Recovered,
        entries: impl IntoIterator<Item = Entry<'a>>,
    ) -> Result<(), Violation> {
        let Recovered { snapshot_index, snapshot_term, .. } = recovered;
        let base = self.link_of_snapshot(member, snapshot_index, snapshot_term)?;
        self.forget_reads(member);
        let state = self.members.entry(member).or_default();
        let before = state.durable;
        let forgot_vote = recovered.term == before.term && before.vote != 0 && recovered.vote != before.vote;
        if recovered.term < before.term || recovered.commit_logged < before.commit || forgot_vote {
            let what = if recovered.term < before.term {
                "term"
            } else if forgot_vote {
                "vote"
            } else {
                "commit"
            };
            return Err(Violation::new(
                ORACLE,
                "state went back",
                what,
                format!("member {member} had {before:?} on its disk and read {recovered:?}"),
            ));
        }
        let old = std::mem::take(&mut state.log);
        let durable_index = state.durable_index;
        state.leads = None;
        state.changes.clear();
        state.log = Chain::after(snapshot_index, base);
        (state.commit, state.applied) = (recovered.commit, recovered.applied);
        self.appended_after_restart(member, entries)?;
        let state = self.members.entry(member).or_default();
        let last = state.log.last_index();
        // A snapshot that was installed in the place of another log takes away what that had, before anyone is told.
        let replaced = !old.holds(snapshot_index, base);
        let lost =
            !replaced && old.at(durable_index).is_some_and(|link| !state.log.holds(durable_index, link));
        if lost {
            return Err(Violation::new(
                ORACLE,
                "state went back",
                "log",
                format!(
                    "member {member} had its log up to {durable_index} on its disk and read {last} entries"
                ),
            ));
        }
        if recovered.commit > last || recovered.applied > last {
            return violation(
                "commit order",
                format!("member {member} read {recovered:?} and a log up to {last}"),
            );
        }
        Ok(())
    }

    fn appended_after_restart<'a>(
        &mut self,
        member: MemberId,
        entries: impl IntoIterator<Item = Entry<'a>>,
    ) -> Result<(), Violation> {
        let state = self.members.entry(member).or_default();
        let (durable_index, acknowledgeable) = (state.durable_index, state.acknowledgeable);
        let result = self.appended(member, entries);
        let state = self.members.entry(member).or_default();
        (state.durable_index, state.acknowledgeable) = (durable_index, acknowledgeable);
        result
    }

    /// The link of a snapshot: that of the entry at its index, which must be committed.
    fn link_of_snapshot(&self, member: MemberId, index: u64, term: u64) -> Result<Link, Violation> {
        if index == 0 {
            return Ok(Link::default());
        }
        match self.committed.get(index as usize - 1).map(|entry| entry.link) {
            Some(link) if link.term == term => Ok(link),
            other => violation(
                "snapshot",
                format!(
                    "member {member} has a snapshot of {index} in term {term}; committed there: {other:?}"
                ),
            ),
        }
    }
}

/// Log matching, against the first log that had an entry at this index in this term.
fn match_log(
    first_links: &mut Vec<Link>,
    other_links: &mut BTreeMap<(u64, u64), u64>,
    member: MemberId,
    index: u64,
    link: Link,
) -> Result<(), Violation> {
    let place = index as usize - 1;
    if place >= first_links.len() {
        first_links.resize(place + 1, Link::default());
    }
    let first = &mut first_links[place];
    if *first == Link::default() {
        *first = link;
    }
    let known = if first.term == link.term {
        first.hash
    } else {
        *other_links.entry((index, link.term)).or_insert(link.hash)
    };
    if known != link.hash {
        let term = link.term;
        return violation(
            "log matching",
            format!("member {member} has another log than others up to entry {index} of term {term}"),
        );
    }
    Ok(())
}

fn record_vote(
    votes: &mut BTreeMap<u64, MemberId>,
    member: MemberId,
    term: u64,
    vote: MemberId,
) -> Result<(), Violation> {
    if vote == 0 {
        return Ok(());
    }
    let first = *votes.entry(term).or_insert(vote);
    if first != vote {
        return violation(
            "two votes",
            format!("member {member} voted for {first} and {vote} in term {term}"),
        );
    }
    Ok(())
}

fn disagreement(step: &str, member: MemberId, index: u64, agreed: Link, link: Link) -> Result<(), Violation> {
    Err(Violation::new(
        ORACLE,
        "state machine safety",
        step,
        format!(
            "member {member} at entry {index}: term {}, hash {:x}; committed first: term {}, hash {:x}",
            link.term, link.hash, agreed.term, agreed.hash
        ),
    ))
}

fn violation<T>(clause: &'static str, detail: String) -> Result<T, Violation> {
    Err(Violation::new(ORACLE, clause, "", detail))
}

#[cfg(test)]
mod tests;
