//! The search for an order: all configurations, from one event to the next.

use super::frontier::{Configuration, Frontier};
use super::mask::Mask;
use super::{Budget, Map, Spec};

/// No link, or no operation.
const NONE: u32 = u32::MAX;

/// An operation as the search sees it.
pub(super) struct Asked<'a, S: Spec> {
    pub(super) request: &'a S::Request,
    pub(super) invoked: u64,
    /// Nothing: its outcome is unknown.
    pub(super) returned: Option<(u64, &'a S::Reply)>,
}

/// What a search comes to. Numbers are places in the list of operations that was given.
pub(super) enum Found {
    /// An order.
    Order(Vec<u32>),
    /// Nothing explains what this one answers. Before its return, this was the longest order.
    Dead { refused: u32, order: Vec<u32> },
    /// The budget was used up.
    Budget,
}

/// How much a search may be, and how much it was.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Calls of [`Spec::step`].
    pub(super) steps: u64,
    /// These, and all else that takes time: looks at what may be done next, and words of sets.
    pub(super) work: u64,
}

impl Bounds {
    pub(super) fn of(budget: Budget) -> Self {
        Self { steps: budget.steps, work: u64::MAX }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Call,
    Return,
}

/// Searches for an order of what returns up to a time; tells also how much it was.
pub(super) fn search<S: Spec>(
    spec: &S,
    asked: &[Asked<'_, S>],
    until: u64,
    bounds: Bounds,
) -> (Found, Bounds) {
    // What returns at the moment of an invocation is concurrent with it.
    let mut events: Vec<(u64, Event, u32)> = Vec::with_capacity(2 * asked.len());
    for (number, operation) in asked.iter().enumerate() {
        events.push((operation.invoked, Event::Call, number as u32));
        if let Some((returned, _)) = operation.returned.filter(|(returned, _)| *returned <= until) {
            events.push((returned.max(operation.invoked), Event::Return, number as u32));
        }
    }
    events.sort_unstable();
    let plan = Plan::new(spec, asked, &events);
    if plan.slots.max(plan.unknown.len()) <= 64 {
        Search::<S, u64>::new(spec, asked, &plan, bounds).run(&events)
    } else {
        Search::<S, Box<[u64]>>::new(spec, asked, &plan, bounds).run(&events)
    }
}

/// What is known of the operations before the search begins.
struct Plan {
    /// By operation: its slot while it is pending, or its place among those of unknown outcome.
    places: Vec<u32>,
    /// By operation: it changes nothing where it is answered as it was.
    is_read: Vec<bool>,
    /// How many slots there are: as many as operations are pending at once.
    slots: usize,
    /// Operations of unknown outcome, in the order of their invocations.
    unknown: Vec<u32>,
    /// For each of them: the one before it that asks for the same.
    before: Vec<u32>,
}

impl Plan {
    fn new<S: Spec>(spec: &S, asked: &[Asked<'_, S>], events: &[(u64, Event, u32)]) -> Self {
        let is_read = |Asked { request, returned, .. }: &Asked<'_, S>| {
            spec.is_read_only(request, returned.map(|(_, reply)| reply))
        };
        let mut plan = Self {
            places: vec![NONE; asked.len()],
            is_read: asked.iter().map(is_read).collect(),
            slots: 0,
            unknown: Vec::new(),
            before: Vec::new(),
        };
        let mut free: Vec<u32> = Vec::new();
        let mut last: Map<&S::Request, u32> = Map::default();
        for &(_, event, number) in events {
            let operation = &asked[number as usize];
            let place = match (event, operation.returned) {
                (Event::Call, Some(_)) => free.pop().unwrap_or_else(|| {
                    plan.slots += 1;
                    plan.slots as u32 - 1
                }),
                (Event::Call, None) => {
                    let place = plan.unknown.len() as u32;
                    plan.unknown.push(number);
                    plan.before.push(last.insert(operation.request, place).unwrap_or(NONE));
                    place
                }
                (Event::Return, _) => {
                    free.push(plan.places[number as usize]);
                    continue;
                }
            };
            plan.places[number as usize] = place;
        }
        plan
    }
}

/// One operation that is done, after others.
#[derive(Clone, Copy)]
struct Link {
    operation: u32,
    before: u32,
    /// How many there are, with this one.
    count: u32,
}

struct Search<'a, S: Spec, M> {
    spec: &'a S,
    asked: &'a [Asked<'a, S>],
    plan: &'a Plan,
    states: Vec<S::State>,
    numbers: Map<S::State, u32>,
    links: Vec<Link>,
    /// The pending operations, by their slots.
    pending: Vec<u32>,
    /// How many operations of unknown outcome were invoked.
    available: usize,
    frontier: Frontier<M>,
    spent: Bounds,
    bounds: Bounds,
}

impl<'a, S: Spec, M: Mask> Search<'a, S, M> {
    fn new(spec: &'a S, asked: &'a [Asked<'a, S>], plan: &'a Plan, bounds: Bounds) -> Self {
        let mut search = Self {
            spec,
            asked,
            plan,
            states: Vec::new(),
            numbers: Map::default(),
            links: Vec::with_capacity(asked.len()),
            pending: vec![NONE; plan.slots],
            available: 0,
            frontier: Frontier::new(),
            spent: Bounds { steps: 0, work: 0 },
            bounds,
        };
        let state = search.number(spec.initial());
        search.frontier.add(Configuration {
            state,
            done: M::empty(plan.slots),
            used: M::empty(plan.unknown.len()),
            last: NONE,
        });
        search
    }

    fn run(mut self, events: &[(u64, Event, u32)]) -> (Found, Bounds) {
        for &(_, event, number) in events {
            match event {
                Event::Call => self.call(number),
                Event::Return => {
                    if let Some(end) = self.answer(number) {
                        return (end, self.spent());
                    }
                }
            }
        }
        let last = self.frontier.configurations()[0].last;
        (Found::Order(self.order(last)), self.spent())
    }

    fn spent(&self) -> Bounds {
        Bounds { work: self.spent.work + self.spent.steps, ..self.spent }
    }

    /// An operation begins.
    fn call(&mut self, number: u32) {
        if self.asked[number as usize].returned.is_none() {
            self.available += 1;
            return;
        }
        let slot = self.plan.places[number as usize] as usize;
        self.pending[slot] = number;
        if !self.plan.is_read[number as usize] {
            return;
        }
        let mut frontier = std::mem::replace(&mut self.frontier, Frontier::new());
        for configuration in frontier.configurations_mut() {
            // Where it is answered so, it is done now.
            if self.step(configuration.state, number).is_some() {
                configuration.done.insert(slot);
                configuration.last = self.link(number, configuration.last);
            }
        }
        self.frontier = frontier;
    }

    /// An operation returns, and so must be done: others are done before it where that is what it takes.
    fn answer(&mut self, number: u32) -> Option<Found> {
        let slot = self.plan.places[number as usize] as usize;
        let before = std::mem::replace(&mut self.frontier, Frontier::new());
        let mut after = Frontier::new();
        let mut lacking = Frontier::new();
        for configuration in before.configurations() {
            let mut configuration = configuration.clone();
            if configuration.done.has(slot) {
                configuration.done.remove(slot);
                after.add(configuration);
            } else {
                lacking.add(configuration);
            }
        }
        let mut next = 0;
        while next < lacking.len() {
            let Bounds { steps, work } = self.spent();
            if steps > self.bounds.steps || work > self.bounds.work {
                return Some(Found::Budget);
            }
            self.spent.work += (self.pending.len() + self.available) as u64;
            let from = lacking.configurations()[next].clone();
            next += 1;
            for place in 0..self.pending.len() + self.available {
                let Some(mut configuration) = self.extended(&from, place) else { continue };
                if configuration.done.has(slot) {
                    configuration.done.remove(slot);
                    after.add(configuration);
                } else {
                    lacking.add(configuration);
                }
            }
        }
        self.pending[slot] = NONE;
        after.close();
        self.frontier = after;
        if self.frontier.len() > 0 {
            return None;
        }
        let count = |configuration: &&Configuration<M>| {
            self.links.get(configuration.last as usize).map_or(0, |link| link.count)
        };
        let longest = lacking.configurations().iter().max_by_key(count).map_or(NONE, |longest| longest.last);
        Some(Found::Dead { refused: number, order: self.order(longest) })
    }

    /// A configuration in which one operation more took effect: that in a slot, or one of unknown outcome behind these.
    fn extended(&mut self, from: &Configuration<M>, place: usize) -> Option<Configuration<M>> {
        let slots = self.pending.len();
        let unknown = place.checked_sub(slots);
        let number = match unknown {
            None if self.pending[place] == NONE || from.done.has(place) => return None,
            None => self.pending[place],
            Some(unknown) => {
                let before = self.plan.before[unknown];
                // Of those who ask for the same, the first ones are taken first.
                if from.used.has(unknown) || before != NONE && !from.used.has(before as usize) {
                    return None;
                }
                self.plan.unknown[unknown]
            }
        };
        let state = self.step(from.state, number)?;
        if unknown.is_some() && state == from.state {
            return None;
        }
        let mut configuration = Configuration { state, last: self.link(number, from.last), ..from.clone() };
        match unknown {
            None => configuration.done.insert(place),
            Some(unknown) => configuration.used.insert(unknown),
        }
        for slot in 0..slots {
            let pending = self.pending[slot];
            if pending != NONE
                && self.plan.is_read[pending as usize]
                && !configuration.done.has(slot)
                && self.step(configuration.state, pending).is_some()
            {
                configuration.done.insert(slot);
                configuration.last = self.link(pending, configuration.last);
            }
        }
        Some(configuration)
    }

    /// The state after an operation, if that is what it answers.
    fn step(&mut self, state: u32, operation: u32) -> Option<u32> {
        self.spent.steps += 1;
        let Asked { request, returned, .. } = &self.asked[operation as usize];
        let before = &self.states[state as usize];
        let after = self.spec.step(before, request, returned.map(|(_, reply)| reply))?;
        Some(if after == *before { state } else { self.number(after) })
    }

    fn number(&mut self, state: S::State) -> u32 {
        if let Some(number) = self.numbers.get(&state) {
            return *number;
        }
        let number = self.states.len() as u32;
        self.states.push(state.clone());
        self.numbers.insert(state, number);
        number
    }

    fn link(&mut self, operation: u32, before: u32) -> u32 {
        let count = 1 + self.links.get(before as usize).map_or(0, |link| link.count);
        self.links.push(Link { operation, before, count });
        self.links.len() as u32 - 1
    }

    /// All that was done up to a link, in order.
    fn order(&self, mut last: u32) -> Vec<u32> {
        let mut order = Vec::new();
        while let Some(link) = self.links.get(last as usize) {
            order.push(link.operation);
            last = link.before;
        }
        order.reverse();
        order
    }
}
