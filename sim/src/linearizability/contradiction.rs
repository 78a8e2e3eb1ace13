//! As few operations as contradict each other.
//!
//! Of a forgotten operation neither answer nor return count, so that whatever has no order without them has none with them:
//! each trial forgets all but a few, and searches. Three things keep that from being more work than the search for an order was:
//!
//! | | |
//! | --- | --- |
//! | the latest first | mostly it is not long ago that what contradicts an answer has happened, and what made the state that it tells of is known by its request |
//! | what nobody can tell apart | forgotten operations that make states which nothing in the trial tells apart are one of which any will do ([`Spec::tells_apart`]) |
//! | no more than can be of use | between two operations that are not forgotten, no state need be passed twice: of forgotten ones that ask for the same, a few are enough |
//!
//! So a trial costs what is kept, and not what is forgotten. Where a specification does not say what can be told apart, it may
//! cost much, and is ended: what is told may then be more than is needed, and says so.

use hashbrown::HashSet;

use super::search::{Asked, Bounds, Found, search};
use super::{Map, Spec, Trial, least};

/// The set of states that a trial can tell from all others.
type States<T> = HashSet<T, foldhash::fast::FixedState>;

/// A trial may take such a part of the work that is left.
const PART: u64 = 8;

/// Of so many of the latest operations, any may be told: what comes just before is easier to follow than what is the cause of all.
const NEAR: usize = 16;

/// A list of latest operations has so many times more than the one before.
const GROWTH: usize = 4;

/// Forgotten operations that ask for the same.
struct Class<'a, S: Spec> {
    request: &'a S::Request,
    /// In the order of their invocations.
    members: Vec<u32>,
    /// How often at most they are of use between two operations that are not forgotten.
    uses: Option<usize>,
    /// The state that they make of any other.
    makes: Option<S::State>,
}

/// What can be forgotten, and what it is worth to try.
struct Trials<'a, S: Spec> {
    spec: &'a S,
    asked: &'a [Asked<'a, S>],
    refused: u32,
    end: u64,
    classes: Vec<Class<'a, S>>,
    /// Classes of which nothing is known but what they ask for.
    others: Vec<u32>,
    /// By what they make: classes that make one state of all.
    makers: Map<S::State, Vec<u32>>,
    /// Their members, in the order of their invocations, with their classes.
    by_time: Vec<(u32, u32)>,
    /// What forgotten operations tell apart; nothing if that may be all.
    told_apart: Option<States<S::State>>,
    /// By operation: the last trial that kept it.
    kept_in: Vec<u32>,
    trial: u32,
    left: u64,
}

/// The operations that contradict `refused` by the time of its return, and itself; and whether none of them can be left out, for
/// certain.
pub(super) fn contradiction<'a, S: Spec>(
    spec: &'a S,
    asked: &'a [Asked<'a, S>],
    refused: u32,
    work: u64,
) -> (Vec<u32>, bool) {
    let end = asked[refused as usize].returned.map_or(u64::MAX, |(returned, _)| returned);
    let mut trials = Trials::new(spec, asked, refused, end, work);
    let is_before = |number: &u32| asked[*number as usize].invoked <= end;
    let mut known: Vec<(u64, u32)> = (0..asked.len() as u32)
        .filter(|number| *number != refused && is_before(number))
        .filter_map(|number| Some((asked[number as usize].returned?.0, number)))
        .collect();
    known.sort_unstable();
    let known: Vec<u32> = known.into_iter().map(|(_, number)| number).collect();
    let causes = trials.causes(&known);
    let first = trials.first(&known, &causes).unwrap_or(known);
    let (mut kept, is_least) = least(first, |fewer| trials.trial(fewer));
    kept.push(refused);
    (kept, is_least)
}

impl<'a, S: Spec> Trials<'a, S> {
    fn new(spec: &'a S, asked: &'a [Asked<'a, S>], refused: u32, end: u64, work: u64) -> Self {
        let mut trials = Self {
            spec,
            asked,
            refused,
            end,
            classes: Vec::new(),
            others: Vec::new(),
            makers: Map::default(),
            by_time: Vec::new(),
            told_apart: Some(States::default()),
            kept_in: vec![0; asked.len()],
            trial: 0,
            left: work,
        };
        let mut by_invocation: Vec<u32> = (0..asked.len() as u32).collect();
        by_invocation.sort_by_key(|number| asked[*number as usize].invoked);
        let mut numbers: Map<&S::Request, u32> = Map::default();
        for number in by_invocation {
            let Asked { request, invoked, .. } = asked[number as usize];
            if invoked > end || spec.is_read_only(request, None) {
                continue;
            }
            let class = *numbers.entry(request).or_insert_with(|| trials.class(request));
            trials.classes[class as usize].members.push(number);
            if trials.classes[class as usize].makes.is_some() {
                trials.by_time.push((number, class));
            }
        }
        trials
    }

    /// The number of a new class.
    fn class(&mut self, request: &'a S::Request) -> u32 {
        let number = self.classes.len() as u32;
        let states = self.spec.tells_apart(request, None);
        let is_blind = states.as_ref().is_some_and(Vec::is_empty);
        let makes = if is_blind { self.spec.step(&self.spec.initial(), request, None) } else { None };
        match &makes {
            Some(state) => self.makers.entry(state.clone()).or_default().push(number),
            None => self.others.push(number),
        }
        let uses = states.as_ref().map(|states| states.len() + 1);
        self.told_apart = match (self.told_apart.take(), states) {
            (Some(mut told_apart), Some(states)) => {
                told_apart.extend(states);
                Some(told_apart)
            }
            _ => None,
        };
        self.classes.push(Class { request, members: Vec::new(), uses, makes });
        number
    }

    /// Of the known operations those that can have made a state that the refused one tells from others, or one that such an
    /// operation does: in the order in which they are known.
    fn causes(&self, known: &[u32]) -> Vec<u32> {
        let mut states = States::default();
        let mut new = self.told_apart_by(self.refused).unwrap_or_default();
        let mut is_cause = vec![false; self.classes.len()];
        while !new.is_empty() {
            new.retain(|state| states.insert(state.clone()));
            let mut next = Vec::new();
            let makers = new.iter().filter_map(|state| self.makers.get(state)).flatten();
            makers.for_each(|class| is_cause[*class as usize] = true);
            for class in &self.others {
                let request = self.classes[*class as usize].request;
                let from = self.spec.tells_apart(request, None).unwrap_or_default();
                let leads_there = |from: &S::State| {
                    self.spec.step(from, request, None).is_some_and(|to| to != *from && new.contains(&to))
                };
                if !is_cause[*class as usize] && from.iter().any(leads_there) {
                    is_cause[*class as usize] = true;
                    next.extend(from);
                }
            }
            new = next;
            // Each round looks at all of them.
            if self.others.len() > 1_000 {
                break;
            }
        }
        let mut is_maker = vec![false; self.asked.len()];
        for (class, _) in self.classes.iter().zip(is_cause).filter(|(_, is_cause)| *is_cause) {
            class.members.iter().for_each(|number| is_maker[*number as usize] = true);
        }
        known.iter().copied().filter(|number| is_maker[*number as usize]).collect()
    }

    fn told_apart_by(&self, number: u32) -> Option<Vec<S::State>> {
        let Asked { request, returned, .. } = self.asked[number as usize];
        self.spec.tells_apart(request, returned.map(|(_, reply)| reply))
    }

    /// Of the latest operations, alone and with those that may be the cause of what they tell, the first few that are enough.
    fn first(&mut self, known: &[u32], causes: &[u32]) -> Option<Vec<u32>> {
        let near = &known[known.len().saturating_sub(NEAR)..];
        if self.trial(near) == Trial::Enough {
            return Some(near.to_vec());
        }
        let mut size = 0;
        while size < known.len() && self.left > 0 {
            let (before, latest) = known.split_at(known.len() - size);
            if self.trial(latest) == Trial::Enough {
                return Some(latest.to_vec());
            }
            let is_before = |number: &&u32| {
                latest.binary_search_by_key(&self.key(**number), |one| self.key(*one)).is_err()
            };
            let mut with: Vec<u32> =
                causes.iter().rev().filter(is_before).take(GROWTH * size.max(1)).copied().collect();
            debug_assert!(with.len() <= before.len(), "they are of those that come before");
            if !with.is_empty() {
                with.reverse();
                with.extend_from_slice(latest);
                if self.trial(&with) == Trial::Enough {
                    return Some(with);
                }
            }
            size = (size * GROWTH).max(1);
        }
        None
    }

    /// By what known operations are sorted.
    fn key(&self, number: u32) -> (u64, u32) {
        (self.asked[number as usize].returned.map_or(u64::MAX, |(returned, _)| returned), number)
    }

    /// Whether there is no order when all are forgotten but these, and the refused one.
    fn trial(&mut self, kept: &[u32]) -> Trial {
        if self.left == 0 {
            return Trial::Over;
        }
        let remembered = self.remembered(kept);
        let bounds = Bounds { steps: u64::MAX, work: self.left / PART };
        let (found, spent) = search(self.spec, &remembered, self.end, bounds);
        self.left = self.left.saturating_sub(spent.work + remembered.len() as u64);
        match found {
            Found::Dead { .. } => Trial::Enough,
            Found::Order(_) => Trial::TooFew,
            Found::Budget => Trial::Unclear,
        }
    }

    /// The operations that a trial is about.
    fn remembered(&mut self, kept: &[u32]) -> Vec<Asked<'a, S>> {
        self.trial += 1;
        let all = || kept.iter().copied().chain([self.refused]);
        for number in all() {
            self.kept_in[number as usize] = self.trial;
        }
        let mut remembered: Vec<Asked<'a, S>> =
            all().map(|number| Asked { ..self.asked[number as usize] }).collect();
        let between = kept.len() + 2;
        let mut take = |class: &Class<'a, S>, members: &mut dyn Iterator<Item = u32>| {
            let count = class.uses.map_or(usize::MAX, |uses| uses.saturating_mul(between));
            let is_forgotten = |number: &u32| self.kept_in[*number as usize] != self.trial;
            let members = members.filter(is_forgotten).take(count);
            remembered.extend(members.map(|number| {
                let invoked = self.asked[number as usize].invoked;
                Asked { request: class.request, invoked, returned: None }
            }));
        };
        for class in &self.others {
            let class = &self.classes[*class as usize];
            take(class, &mut class.members.iter().copied());
        }
        let mut told_apart = self.told_apart.as_ref().map(|_| States::default());
        for number in all() {
            told_apart = told_apart.and_then(|mut told_apart| {
                told_apart.extend(self.told_apart_by(number)?);
                Some(told_apart)
            });
        }
        let (Some(always), Some(here)) = (&self.told_apart, told_apart) else {
            for class in self.classes.iter().filter(|class| class.makes.is_some()) {
                take(class, &mut class.members.iter().copied());
            }
            return remembered;
        };
        for state in always.iter().chain(here.difference(always)) {
            for class in self.makers.get(state).into_iter().flatten() {
                let class = &self.classes[*class as usize];
                take(class, &mut class.members.iter().copied());
            }
        }
        // All others make states of which one is as good as the other.
        let is_one_of_many = |class: &Class<'a, S>| {
            class.makes.as_ref().is_some_and(|makes| !always.contains(makes) && !here.contains(makes))
        };
        if let Some(one) = self.classes.iter().find(|class| is_one_of_many(class)) {
            let members =
                self.by_time.iter().filter(|(_, class)| is_one_of_many(&self.classes[*class as usize]));
            take(one, &mut members.map(|(number, _)| *number));
        }
        remembered
    }
}
