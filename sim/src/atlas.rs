//! What is broken at each moment, how much more may be, and whether the cluster can be asked to make progress.
//!
//! The idea is that of TigerBeetle's fault atlas. Faults that are over in a while may meet everybody at once: a
//! cluster without a quorum waits. Faults that damage what a disk acknowledged are another matter, since no cluster
//! gives back what no member has: these strike only while the damaged voters stay a minority, unless the schedule
//! says otherwise. What was damaged counts until the system says that it is [sound](crate::System::is_sound).
//!
//! | question | where |
//! | --- | --- |
//! | may this member's data be damaged now? | `World::may_damage` |
//! | could a quorum make progress now? | [`World::availability`]; kept over time by `World::assess` |
//! | and once everything that ends has ended? | [`World::hope`] |
//! | can this member be counted on at the end? | [`World::expected`] |

use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::nemesis::Cluster;
use crate::node_id::NodeId;
use crate::process::Status;
use crate::record;
use crate::schedule::How;
use crate::time::Instant;
use crate::world::World;

/// Operations of a disk that take this much longer count as stalled: a leader that waits so long for its log is
/// deposed by many a cluster before it has committed anything.
const STALLED: Duration = Duration::from_millis(500);

/// Data of a member that its disk acknowledged and does not have as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Whose.
    pub member: NodeId,
    /// The class of the files; nothing when it may be any.
    pub files: Option<&'static str>,
    /// Since when.
    pub since: Instant,
}

/// How to find out whether a fault that waits for what a member does has damaged anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Doubt {
    /// The number that the disk gave.
    pub(crate) fault: usize,
    /// How often it had damaged something when that was last looked at.
    pub(crate) struck: u32,
}

/// Why nobody can be blamed that a cluster makes no progress. As text: `no quorum of voters runs`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// Too many stay broken, as the schedule ends.
    Broken,
    /// Too many are down.
    Down,
    /// Too many stand still.
    Paused,
    /// Too many have damaged data.
    Damaged,
    /// Too many have a full disk.
    Full,
    /// Too many have a disk that is stalled.
    Stalled,
    /// No voter reaches a quorum, and is reached by it.
    CutOff,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Broken, Self::Down, Self::Paused, Self::Damaged, Self::Full, Self::Stalled, Self::CutOff];

    /// In one word, for machines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Down => "down",
            Self::Paused => "paused",
            Self::Damaged => "damaged",
            Self::Full => "full",
            Self::Stalled => "stalled",
            Self::CutOff => "cut-off",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "no quorum of voters is left by those that stay broken",
            Self::Down => "no quorum of voters runs",
            Self::Paused => "no quorum of voters runs without a pause",
            Self::Damaged => "no quorum of voters has undamaged data",
            Self::Full => "no quorum of voters has room on its disk",
            Self::Stalled => "no quorum of voters has a disk that is not stalled",
            Self::CutOff => "no voter is connected with a quorum",
        })
    }
}

/// Why progress cannot be asked of a cluster, and whose doing that is.
///
/// As text: `no quorum of voters runs: member 1, member 3`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Excuse {
    /// What is missing.
    pub reason: Reason,
    /// The voters without which no quorum is left: those of this reason, and those that other reasons had taken before.
    pub members: Vec<NodeId>,
}

impl fmt::Display for Excuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        for (place, member) in self.members.iter().enumerate() {
            write!(f, "{}{member}", if place == 0 { ": " } else { ", " })?;
        }
        Ok(())
    }
}

/// What is known of what is broken.
#[derive(Default)]
pub(crate) struct Atlas {
    /// Who says which members vote, and which are sound again. Nobody before the run begins and after it ends.
    cluster: RefCell<Option<Rc<dyn Cluster>>>,
    damages: RefCell<Vec<(Damage, Option<Doubt>)>>,
    broken: RefCell<Vec<(NodeId, How)>>,
    spared: Cell<u64>,
    now: RefCell<Option<Excuse>>,
    /// When that began.
    since: Cell<Instant>,
    excused: RefCell<[Duration; Reason::ALL.len()]>,
}

impl Atlas {
    pub(crate) fn set_cluster(&self, cluster: Option<Rc<dyn Cluster>>) {
        *self.cluster.borrow_mut() = cluster;
    }

    pub(crate) fn spared(&self) -> u64 {
        self.spared.get()
    }

    pub(crate) fn count_spared(&self) {
        self.spared.set(self.spared.get() + 1);
    }

    pub(crate) fn add_damage(&self, damage: Damage, doubt: Option<Doubt>) {
        self.damages.borrow_mut().push((damage, doubt));
    }

    pub(crate) fn set_broken(&self, member: NodeId, how: How) {
        self.broken.borrow_mut().push((member, how));
    }

    /// How long progress could not be asked of the cluster, for each reason that there was.
    pub(crate) fn excused(&self) -> Vec<(Reason, Duration)> {
        let excused = self.excused.borrow();
        let reasons = Reason::ALL.iter().zip(excused.iter()).filter(|(_, lasted)| !lasted.is_zero());
        reasons.map(|(reason, lasted)| (*reason, *lasted)).collect()
    }

    fn count(&self, now: Instant) {
        if let Some(Excuse { reason, .. }) = &*self.now.borrow() {
            self.excused.borrow_mut()[*reason as usize] += now.since_start() - self.since.get().since_start();
        }
        self.since.set(now);
    }

    fn is_damaged(&self, member: NodeId) -> bool {
        self.damages.borrow().iter().any(|(damage, _)| damage.member == member)
    }

    pub(crate) fn how_broken(&self, member: NodeId) -> Option<How> {
        self.broken.borrow().iter().find(|(broken, _)| *broken == member).map(|(_, how)| *how)
    }
}

/// Takes the members for which `fails` out of `left`, into `gone`. Is `reason` an excuse then?
fn take_out(
    left: &mut Vec<NodeId>,
    gone: &mut Vec<NodeId>,
    quorum: usize,
    reason: Reason,
    fails: impl Fn(NodeId) -> bool,
) -> Result<(), Excuse> {
    gone.extend(left.extract_if(.., |member| fails(*member)));
    if left.len() >= quorum {
        return Ok(());
    }
    gone.sort_unstable();
    Err(Excuse { reason, members: std::mem::take(gone) })
}

impl World {
    pub(crate) fn voters(&self) -> Vec<NodeId> {
        match &*self.atlas().cluster.borrow() {
            Some(cluster) => cluster.voters(self),
            None => self.members().collect(),
        }
    }

    /// Notes what was in doubt and has come about, and forgets the damage that the system has made good. What is in doubt stays:
    /// more may be damaged yet.
    fn review_damages(&self) {
        let atlas = self.atlas();
        if atlas.damages.borrow().is_empty() {
            return;
        }
        for (damage, doubt) in &mut *atlas.damages.borrow_mut() {
            if let Some(doubt) = doubt
                && let struck @ 1.. = self.struck(damage.member, *doubt)
                && doubt.struck != struck
            {
                // At some time since the last look.
                (doubt.struck, damage.since) = (struck, self.now());
            }
        }
        let cluster = atlas.cluster.borrow();
        let sound = |damage: &Damage| cluster.as_ref().is_some_and(|cluster| cluster.is_sound(damage));
        atlas.damages.borrow_mut().retain(|(damage, doubt)| doubt.is_some() || !sound(damage));
    }

    /// Decides on faults that waited for what their members would do, and will not any more.
    pub(crate) fn resolve_doubts(&self) {
        self.review_damages();
        self.atlas().damages.borrow_mut().retain_mut(|(damage, doubt)| match doubt.take() {
            Some(doubt) => {
                if self.lands_late(damage.member, doubt) {
                    damage.since = self.now();
                }
                doubt.struck > 0
            }
            None => true,
        });
    }

    /// All data that is damaged now. What a fault still waits for is not damaged.
    #[must_use]
    pub fn damages(&self) -> Vec<Damage> {
        self.review_damages();
        let damages = self.atlas().damages.borrow();
        let has_come = |doubt: &Option<Doubt>| doubt.is_none_or(|doubt| doubt.struck > 0);
        damages.iter().filter(|(_, doubt)| has_come(doubt)).map(|(damage, _)| *damage).collect()
    }

    /// Whether the damaged voters would be a minority still if `member` were one of them. Who is damaged already can
    /// be damaged more.
    pub(crate) fn may_damage(&self, member: NodeId) -> bool {
        self.review_damages();
        let atlas = self.atlas();
        let voters = self.voters();
        let others = voters.iter().filter(|voter| **voter != member && atlas.is_damaged(**voter)).count();
        // It counts as a voter even if it is none: it may become one.
        atlas.is_damaged(member) || 2 * (others + 1) < voters.len()
    }

    /// Whether `member` can be counted on when faults are over: it does not stay broken, and what was damaged of its
    /// data has been made good.
    #[must_use]
    pub fn expected(&self, member: NodeId) -> bool {
        self.review_damages();
        self.atlas().how_broken(member).is_none() && !self.atlas().is_damaged(member)
    }

    /// Whether a quorum of voters runs, has disks that work, and is connected.
    ///
    /// # Errors
    ///
    /// What is missing, the first of: processes, their pace, their data, room and speed of their disks, links. Links
    /// that are only slow or lossy count as good.
    pub fn availability(&self) -> Result<(), Excuse> {
        self.review_damages();
        let atlas = self.atlas();
        let mut left = self.voters();
        let quorum = left.len() / 2 + 1;
        let mut gone = Vec::new();
        let process = |member| self.process(self.index(member));
        let mut take =
            |reason, fails: &dyn Fn(NodeId) -> bool| take_out(&mut left, &mut gone, quorum, reason, fails);
        take(Reason::Down, &|member| process(member).status.get() != Status::Running)?;
        take(Reason::Paused, &|member| process(member).is_paused())?;
        take(Reason::Damaged, &|member| atlas.is_damaged(member))?;
        take(Reason::Full, &|member| process(member).drive.is_full())?;
        take(Reason::Stalled, &|member| process(member).drive.stalled_for() >= STALLED)?;

        let network = self.network().borrow();
        let reached = |one: NodeId, other: NodeId| {
            let (one, other) = (self.index(one), self.index(other));
            one == other || (network.is_up(one, other) && network.is_up(other, one))
        };
        let around = |center: NodeId| left.iter().filter(|member| reached(center, **member)).count();
        let Some((count, center)) =
            left.iter().map(|center| (around(*center), *center)).max_by_key(|(count, _)| *count)
        else {
            return Ok(());
        };
        if count >= quorum {
            return Ok(());
        }
        gone.extend(left.iter().filter(|member| !reached(center, **member)));
        gone.sort_unstable();
        Err(Excuse { reason: Reason::CutOff, members: gone })
    }

    /// Whether a quorum of voters will be able to make progress once everything has ended that will: what is broken
    /// for good and damaged remains.
    ///
    /// # Errors
    ///
    /// Who is missing. A member that happens to be down is no excuse: it is started again, unless it has ended for good.
    pub fn hope(&self) -> Result<(), Excuse> {
        self.review_damages();
        let atlas = self.atlas();
        let mut left = self.voters();
        let quorum = left.len() / 2 + 1;
        let mut gone = Vec::new();
        let is_broken = |member| atlas.how_broken(member).is_some() || self.is_gone(member);
        take_out(&mut left, &mut gone, quorum, Reason::Broken, is_broken)?;
        take_out(&mut left, &mut gone, quorum, Reason::Damaged, |member| atlas.is_damaged(member))
    }

    /// To be called whenever something breaks or works again: keeps the time during which progress could not be asked
    /// of the cluster.
    pub(crate) fn assess(&self) {
        let atlas = self.atlas();
        if atlas.cluster.borrow().is_none() {
            return;
        }
        let excuse = self.availability().err();
        if excuse == *atlas.now.borrow() {
            return;
        }
        match &excuse {
            Some(excuse) => record!(self, "atlas", "progress is not asked for: {}", excuse),
            None => record!(self, "atlas", "progress is asked for"),
        }
        atlas.count(self.now());
        *atlas.now.borrow_mut() = excuse;
    }

    /// Ends the account of [`World::assess`].
    pub(crate) fn assess_finally(&self) {
        self.atlas().count(self.now());
    }

    /// Why progress cannot be asked of the cluster now, as of the last change.
    #[must_use]
    pub fn excuse(&self) -> Ref<'_, Option<Excuse>> {
        self.atlas().now.borrow()
    }
}
