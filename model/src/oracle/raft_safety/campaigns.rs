//! Who stands for election, and for how long who was elected leads: Raft's PreVote and CheckQuorum, which etcd has on.
//!
//! A member first asks whether it would be voted for, so that one that was cut off does not depose a leader that the others
//! hear; but one that the leader tells to stand does not ask. A leader that hears no quorum steps down: it looks whenever as
//! many ticks have passed as an election takes, which it counts anew when it begins to hand its leadership over.

use std::collections::BTreeMap;

use vertebra_sim::verdict::Violation;

use super::{MemberId, ORACLE, RaftSafety};

/// What members know of their support.
#[derive(Debug, Default)]
pub(super) struct Campaigns(BTreeMap<MemberId, Campaign>);

#[derive(Debug, Default)]
struct Campaign {
    /// The last term for which it has asked whether it would be voted for.
    asked: u64,
    /// The term in which it leads, and the entry from which its configuration holds.
    leads: (u64, u64),
    /// Since it last had heard a quorum: its ticks, and whom it has heard.
    ticks: u32,
    heard: Vec<MemberId>,
}

impl RaftSafety {
    /// `member` asks who would vote for it in `term`.
    pub fn sent_pre_vote_request(&mut self, member: MemberId, term: u64) {
        self.campaigns.0.entry(member).or_default().asked = term;
    }

    /// `member` stands for election in `term`; `told` says whether the leader has told it to.
    ///
    /// # Errors
    ///
    /// It has not asked first.
    pub fn stands(&mut self, member: MemberId, term: u64, told: bool) -> Result<(), Violation> {
        let asked = self.campaigns.0.entry(member).or_default().asked;
        if told || asked == term {
            return Ok(());
        }
        let detail = format!("member {member} stands in term {term}, and has asked last for {asked}");
        Err(Violation::new(ORACLE, "no pre-vote", "", detail))
    }

    /// A tick of `member` passes, which waits for so many without a leader; the seed `wants` so many.
    ///
    /// # Errors
    ///
    /// They are not the same.
    pub fn waits(&self, member: MemberId, ticks: usize, wants: usize) -> Result<(), Violation> {
        if ticks == wants {
            return Ok(());
        }
        let detail = format!("member {member} waits for {ticks} ticks, where the seed has {wants}");
        Err(Violation::new(ORACLE, "election timeout", "", detail))
    }

    /// `member` is sent something by another.
    pub fn heard(&mut self, member: MemberId, other: MemberId) {
        let heard = &mut self.campaigns.0.entry(member).or_default().heard;
        if !heard.contains(&other) {
            heard.push(other);
        }
    }

    /// One of its ticks has passed for `member`, which leads `term`, and `transfers` its leadership or does not; an election
    /// takes `election_ticks`.
    ///
    /// # Errors
    ///
    /// It should have stepped down.
    pub fn ticked(
        &mut self,
        member: MemberId,
        term: u64,
        transfers: bool,
        election_ticks: u32,
    ) -> Result<(), Violation> {
        let configured = self.members.get(&member).map_or(0, |it| it.configured);
        let configuration = self.configurations.in_force(configured);
        let campaign = self.campaigns.0.entry(member).or_default();
        // Who has just come is taken for heard.
        let begins = transfers || campaign.leads != (term, configured);
        campaign.leads = (term, configured);
        if begins || configuration.has_quorum(|other| other == member || campaign.heard.contains(&other)) {
            campaign.ticks = 0;
            campaign.heard.clear();
        }
        campaign.ticks += 1;
        if campaign.ticks <= 2 * election_ticks + 1 {
            return Ok(());
        }
        let detail = format!(
            "member {member} leads term {term}, and for {} ticks has heard {:?} alone",
            campaign.ticks, campaign.heard
        );
        Err(Violation::new(ORACLE, "leads without quorum", "", detail))
    }
}
