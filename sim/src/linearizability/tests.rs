//! The search against all orders of small histories; what it takes of large ones; what it tells.

use std::fmt::Debug;

use super::append::{self, Step};
use super::specs::key_value::{self, KeyValue};
use super::specs::queue::{self, Queue};
use super::specs::register::{self, Register};
use super::specs::set::{self, Set};
use super::{Budget, Conclusion, Explanation, Operation, Spec, adds, check};
use crate::random::{Stream, Streams};

type Operations<S> = Vec<Operation<<S as Spec>::Request, <S as Spec>::Reply>>;

/// Whether some order explains the operations: tries them all. Those that return at the end of time need not be in it.
fn by_force<S: Spec>(spec: &S, operations: &Operations<S>) -> bool {
    fn extend<S: Spec>(spec: &S, operations: &Operations<S>, done: u32, state: &S::State) -> bool {
        let open = || operations.iter().enumerate().filter(|(number, _)| done & (1 << number) == 0);
        let ends = open().filter_map(|(_, operation)| Some(operation.returned.as_ref()?.0));
        let ends = ends.filter(|end| *end < u64::MAX);
        let Some(first_end) = ends.min() else { return true };
        open().any(|(number, operation)| {
            let reply = operation.returned.as_ref().map(|(_, reply)| reply);
            operation.invoked <= first_end
                && spec
                    .step(state, &operation.request, reply)
                    .is_some_and(|after| extend(spec, operations, done | 1 << number, &after))
        })
    }
    extend(spec, operations, 0, &spec.initial())
}

/// Whether an order is one, and explains what it should.
fn explains<S: Spec>(spec: &S, operations: &Operations<S>, order: &[usize]) -> bool {
    let mut state = spec.initial();
    for (place, number) in order.iter().enumerate() {
        let operation = &operations[*number];
        // Nobody comes after somebody who was invoked later than this one returned.
        let is_late = |earlier: &usize| {
            let returned = operation.returned.as_ref().map_or(u64::MAX, |(returned, _)| *returned);
            operations[*earlier].invoked > returned
        };
        if order[..place].iter().any(is_late) || order[..place].contains(number) {
            return false;
        }
        let reply = operation.returned.as_ref().map(|(_, reply)| reply);
        match spec.step(&state, &operation.request, reply) {
            Some(after) => state = after,
            None => return false,
        }
    }
    let is_there = |number: usize| operations[number].returned.is_none() || order.contains(&number);
    (0..operations.len()).all(is_there)
}

/// A run of clients against what `spec` says, of which some things are told otherwise than they were.
fn history<S: Spec>(
    spec: &S,
    stream: &mut Stream,
    count: usize,
    clients: usize,
    mut request: impl FnMut(&mut Stream) -> S::Request,
    answer: impl Fn(&S, &S::State, &S::Request) -> S::Reply,
    disturb: impl Fn(&mut Stream, &mut S::Reply),
) -> Operations<S> {
    let mut operations: Operations<S> = Vec::new();
    let mut state = spec.initial();
    // What each client waits for, and what was answered when it took effect.
    let mut waiting: Vec<Option<(usize, Option<S::Reply>)>> = (0..clients).map(|_| None).collect();
    let mut clock = 0;
    loop {
        clock += stream.below(2);
        let client = stream.below(clients as u64) as usize;
        match waiting[client].take() {
            None if operations.len() == count => {
                if waiting.iter().all(Option::is_none) {
                    return operations;
                }
            }
            None => {
                waiting[client] = Some((operations.len(), None));
                operations.push(Operation { request: request(stream), invoked: clock, returned: None });
            }
            // Nobody learns what became of it; and perhaps nothing did.
            Some((_, None)) if stream.chance(80_000) => {}
            Some((number, None)) => {
                let request = &operations[number].request;
                let reply = answer(spec, &state, request);
                state = spec.step(&state, request, Some(&reply)).expect("it is the answer");
                waiting[client] = Some((number, Some(reply)));
            }
            Some((_, Some(_))) if stream.chance(80_000) => {}
            Some((number, Some(mut reply))) => {
                if stream.chance(30_000) {
                    disturb(stream, &mut reply);
                }
                let late = if stream.chance(30_000) { stream.below(4) } else { 0 };
                let returned = clock.saturating_sub(late).max(operations[number].invoked);
                operations[number].returned = Some((returned, reply));
            }
        }
    }
}

/// Holds the search against all orders of many histories; tells how many of them had none.
fn agrees<S: Spec>(
    name: &'static str,
    seeds: u64,
    mut make: impl FnMut(&mut Stream) -> (S, Operations<S>),
) -> u64
where
    S::Request: Debug + Clone,
    S::Reply: Debug + Clone,
{
    let mut illegal = 0;
    for seed in 0..seeds {
        let mut stream = Streams::new(seed).stream(name, 0);
        let (spec, operations) = make(&mut stream);
        let told = || operations.iter().map(|one| format!("{one:?}\n")).collect::<String>();
        let expected = by_force(&spec, &operations);
        illegal += u64::from(!expected);
        for (_, conclusion) in check(&spec, &operations, Budget::UNLIMITED) {
            match conclusion {
                Conclusion::Linearizable(order) => {
                    assert!(expected, "{name} {seed} has an order, {order:?}?\n{}", told());
                    assert!(explains(&spec, &operations, &order), "{name} {seed}: {order:?}\n{}", told());
                }
                Conclusion::Illegal(why) => {
                    assert!(!expected, "{name} {seed} has no order?\n{}", told());
                    let end = operations[why.refused].returned.as_ref().expect("it was answered").0;
                    let forgotten = |kept: &[usize]| {
                        let mut operations = operations.clone();
                        for (number, operation) in operations.iter_mut().enumerate() {
                            if !kept.contains(&number) {
                                operation.returned = None;
                            } else if let Some((returned, _)) = &mut operation.returned
                                && *returned > end
                            {
                                *returned = u64::MAX;
                            }
                        }
                        operations.retain(|operation| operation.invoked <= end);
                        operations
                    };
                    let kept = &why.contradiction[..];
                    assert!(!by_force(&spec, &forgotten(kept)), "{name} {seed}: {why:?}\n{}", told());
                    for one in kept.iter().filter(|one| **one != why.refused) {
                        let fewer: Vec<usize> = kept.iter().copied().filter(|kept| kept != one).collect();
                        assert!(by_force(&spec, &forgotten(&fewer)), "{name} {seed}: {why:?}\n{}", told());
                    }
                    assert!(!why.order.contains(&why.refused));
                }
                Conclusion::Undecided => unreachable!("there is no limit"),
            }
        }
    }
    illegal
}

fn register_history(stream: &mut Stream, count: usize, clients: usize) -> Operations<Register> {
    let value = |stream: &mut Stream| stream.below(3) as i64;
    history(
        &Register::default(),
        stream,
        count,
        clients,
        |stream| match stream.below(4) {
            0 | 1 => register::Request::Read,
            2 => register::Request::Write(value(stream)),
            _ => register::Request::CompareAndSet(value(stream), value(stream)),
        },
        |_, state, request| match request {
            register::Request::Read => register::Reply::Value(*state),
            register::Request::Write(_) => register::Reply::Done,
            register::Request::CompareAndSet(expected, _) => {
                register::Reply::Swapped(*state == Some(*expected))
            }
        },
        |stream, reply| match reply {
            register::Reply::Value(shown) => *shown = Some(value(stream)),
            register::Reply::Swapped(swapped) => *swapped ^= true,
            register::Reply::Done => {}
        },
    )
}

const SEEDS: u64 = if cfg!(debug_assertions) { 4_000 } else { 1_000_000 };

#[test]
fn of_a_register_it_says_what_all_orders_say() {
    let illegal = agrees("register", SEEDS, |stream| {
        let (count, clients) = (stream.between(1, 9) as usize, stream.between(1, 5) as usize);
        (Register::default(), register_history(stream, count, clients))
    });
    assert!(illegal > SEEDS / 20, "{illegal} of {SEEDS} have no order");
}

/// Holds the search against all orders of small histories of something that has elements.
fn agrees_of_elements<S>(
    name: &'static str,
    spec: &S,
    request: impl Fn(&mut Stream, i64) -> S::Request,
    answer: impl Fn(&S, &S::State, &S::Request) -> S::Reply,
    disturb: impl Fn(&mut S::Reply, i64),
) where
    S: Spec + Copy,
    S::Request: Debug + Clone,
    S::Reply: Debug + Clone,
{
    let element = |stream: &mut Stream| stream.below(3) as i64;
    let illegal = agrees(name, SEEDS, |stream| {
        let (count, clients) = (stream.between(1, 8) as usize, stream.between(1, 4) as usize);
        let asked = |stream: &mut Stream| {
            let element = element(stream);
            request(stream, element)
        };
        let told = |stream: &mut Stream, reply: &mut S::Reply| disturb(reply, element(stream));
        (*spec, history(spec, stream, count, clients, asked, &answer, told))
    });
    assert!(illegal > SEEDS / 50, "{illegal} of {SEEDS} have no order");
}

#[test]
fn of_a_queue_it_says_what_all_orders_say() {
    agrees_of_elements(
        "queue",
        &Queue,
        |stream, element| match stream.below(2) {
            0 => queue::Request::Enqueue(element),
            _ => queue::Request::Dequeue,
        },
        |_, state, request| match request {
            queue::Request::Enqueue(_) => queue::Reply::Done,
            queue::Request::Dequeue => queue::Reply::First(state.front().copied()),
        },
        |reply, element| {
            if let queue::Reply::First(first) = reply {
                *first = Some(element);
            }
        },
    );
}

#[test]
fn of_a_set_it_says_what_all_orders_say() {
    agrees_of_elements(
        "set",
        &Set,
        |stream, element| match stream.below(3) {
            0 => set::Request::Add(element),
            1 => set::Request::Remove(element),
            _ => set::Request::Elements,
        },
        |_, state, request| match request {
            set::Request::Add(element) => set::Reply::Changed(!state.contains(element)),
            set::Request::Remove(element) => set::Reply::Changed(state.contains(element)),
            set::Request::Elements => set::Reply::Elements(state.clone()),
        },
        |reply, element| match reply {
            set::Reply::Changed(changed) => *changed ^= true,
            set::Reply::Elements(elements) => drop(elements.insert(element)),
        },
    );
}

/// A store of one key that keeps its text, unlike [`KeyValue`].
struct Plain;

impl Spec for Plain {
    type Request = key_value::Request;
    type Reply = key_value::Reply;
    type State = String;
    type Part = ();

    fn initial(&self) -> String {
        String::new()
    }

    fn part(&self, _request: &key_value::Request) {}

    fn step(
        &self,
        state: &String,
        request: &key_value::Request,
        reply: Option<&key_value::Reply>,
    ) -> Option<String> {
        let (answer, after) = match request {
            key_value::Request::Get(_) => (key_value::Reply::Text(state.clone()), state.clone()),
            key_value::Request::Put(_, text) => (key_value::Reply::Done, text.clone()),
            key_value::Request::Append(_, tail) => (key_value::Reply::Done, state.clone() + tail),
        };
        reply.is_none_or(|reply| *reply == answer).then_some(after)
    }
}

#[test]
fn of_texts_it_says_what_all_orders_say() {
    let mut illegal = 0;
    for seed in 0..SEEDS {
        let mut stream = Streams::new(seed).stream("texts", 0);
        let (count, clients) = (stream.between(1, 8) as usize, stream.between(1, 4) as usize);
        let text = |stream: &mut Stream| (*stream.pick(&["a", "b", "ab", "ba"])).to_owned();
        let operations = history(
            &Plain,
            &mut stream,
            count,
            clients,
            |stream| match stream.below(4) {
                0 | 1 => key_value::Request::Get("k".into()),
                2 => key_value::Request::Put("k".into(), text(stream)),
                _ => key_value::Request::Append("k".into(), text(stream)),
            },
            |_, state, request| match request {
                key_value::Request::Get(_) => key_value::Reply::Text(state.clone()),
                _ => key_value::Reply::Done,
            },
            |stream, reply| {
                if let key_value::Reply::Text(shown) = reply {
                    *shown += &text(stream);
                }
            },
        );
        let expected = by_force(&Plain, &operations);
        illegal += u64::from(!expected);
        let conclusions = check(&KeyValue::of(&operations), &operations, Budget::UNLIMITED);
        let found =
            conclusions.iter().all(|(_, conclusion)| matches!(conclusion, Conclusion::Linearizable(_)));
        assert_eq!(found, expected, "{seed}: {operations:?}");
    }
    assert!(illegal > SEEDS / 50, "{illegal} of {SEEDS} have no order");
}

#[test]
fn more_than_sixty_four_may_be_pending_or_unknown() {
    for seed in 0..20 {
        let mut stream = Streams::new(seed).stream("many", 0);
        let mut operations = register_history(&mut stream, 300, 3);
        // Writes that nobody was told of, and reads that go on through everything.
        for _ in 0..100 {
            operations.push(Operation { request: register::Request::Write(1), invoked: 0, returned: None });
            let end = u64::MAX;
            let read = register::Reply::Value(None);
            operations.push(Operation {
                request: register::Request::Read,
                invoked: 0,
                returned: Some((end, read)),
            });
        }
        let few: Vec<_> = operations.iter().filter(|one| one.invoked > 0).cloned().collect();
        let is_ok = |operations: &Operations<Register>| {
            let conclusions = check(&Register::default(), operations, Budget::UNLIMITED);
            matches!(conclusions[0].1, Conclusion::Linearizable(_))
        };
        assert!(is_ok(&operations) || !is_ok(&few), "what may happen at any time makes nothing impossible");
    }
}

#[test]
fn a_budget_that_is_too_small_is_told() {
    let mut stream = Streams::new(1).stream("budget", 0);
    let operations = register_history(&mut stream, 200, 5);
    let conclusions = check(&Register::default(), &operations, Budget { steps: 20 });
    assert_eq!(conclusions, [((), Conclusion::Undecided)]);
    assert_eq!(check(&Register::<i64>::default(), &Vec::new(), Budget::UNLIMITED), []);
}

/// Sets that only grow, as the general search takes them.
struct Growing;

impl Spec for Growing {
    type Request = adds::Request;
    type Reply = adds::Reply;
    type State = Vec<i64>;
    type Part = ();

    fn initial(&self) -> Vec<i64> {
        Vec::new()
    }

    fn part(&self, _request: &adds::Request) {}

    fn step(
        &self,
        state: &Vec<i64>,
        request: &adds::Request,
        reply: Option<&adds::Reply>,
    ) -> Option<Vec<i64>> {
        let mut after = state.clone();
        let answer = match request {
            adds::Request::Add(element) => {
                if let Err(place) = after.binary_search(element) {
                    after.insert(place, *element);
                }
                adds::Reply::Added
            }
            adds::Request::Read => adds::Reply::Elements(state.clone()),
        };
        reply.is_none_or(|reply| *reply == answer).then_some(after)
    }
}

/// Lists, as the general search takes them.
struct Lists;

impl Spec for Lists {
    type Request = Vec<Step>;
    type Reply = Vec<Option<Vec<i64>>>;
    type State = std::collections::BTreeMap<String, Vec<i64>>;
    type Part = ();

    fn initial(&self) -> Self::State {
        Self::State::new()
    }

    fn part(&self, _request: &Vec<Step>) {}

    fn step(
        &self,
        state: &Self::State,
        request: &Vec<Step>,
        reply: Option<&Self::Reply>,
    ) -> Option<Self::State> {
        let mut after = state.clone();
        let answer: Self::Reply = request
            .iter()
            .map(|step| match step {
                Step::Append(key, element) => {
                    after.entry(key.clone()).or_default().push(*element);
                    None
                }
                Step::Read(key) => Some(after.get(key).cloned().unwrap_or_default()),
            })
            .collect();
        reply.is_none_or(|reply| *reply == answer).then_some(after)
    }
}

/// Holds a check that does not search against all orders, and its explanations against what they claim.
fn agrees_with<S: Spec>(
    spec: &S,
    operations: &Operations<S>,
    conclude: impl Fn(&Operations<S>) -> Conclusion,
) -> bool
where
    S::Request: Debug + Clone,
    S::Reply: Debug + Clone,
{
    let expected = by_force(spec, operations);
    match conclude(operations) {
        Conclusion::Linearizable(order) => {
            assert!(expected && explains(spec, operations, &order), "{operations:#?}: {order:?}");
        }
        Conclusion::Undecided => panic!("it searches nothing"),
        Conclusion::Illegal(why) => {
            assert!(!expected, "{operations:#?}");
            // It is so by the return of that one, and not before; and by those alone.
            let until = |until: u64, kept: &dyn Fn(usize) -> bool| -> Operations<S> {
                let all = operations.iter().enumerate();
                let cut = all.map(|(place, operation)| {
                    let returned = operation.returned.clone().filter(|(at, _)| *at <= until && kept(place));
                    Operation { request: operation.request.clone(), invoked: operation.invoked, returned }
                });
                cut.collect()
            };
            let refused = operations[why.refused].returned.as_ref().unwrap().0;
            assert!(!by_force(spec, &until(refused, &|_| true)), "{operations:#?}: {why:?}");
            if refused > 0 {
                assert!(by_force(spec, &until(refused - 1, &|_| true)), "{operations:#?}: {why:?}");
            }
            let contradict = |place| why.contradiction.contains(&place);
            assert!(!by_force(spec, &until(refused, &contradict)), "{operations:#?}: {why:?}");
        }
    }
    expected
}

/// Tells one answer otherwise than it was, in half of all histories.
fn disturb_one<Q, R>(
    stream: &mut Stream,
    operations: &mut [Operation<Q, R>],
    disturb: impl Fn(&mut Stream, &mut R),
) {
    let one = stream.below(operations.len() as u64) as usize;
    if stream.below(2) == 0
        && let Some((_, reply)) = &mut operations[one].returned
    {
        disturb(stream, reply);
    }
}

#[test]
fn of_sets_that_grow_the_graph_says_what_all_orders_say() {
    let mut stream = Streams::new(5).stream("growing", 0);
    let mut legal = 0;
    let disturb = |stream: &mut Stream, reply: &mut adds::Reply| {
        if let adds::Reply::Elements(elements) = reply {
            match stream.below(2) {
                0 => drop(elements.pop()),
                _ => *elements = vec![stream.below(5) as i64],
            }
        }
    };
    for _ in 0..20_000 {
        let clients = 1 + stream.below(4) as usize;
        let count = 1 + stream.below(7) as usize;
        let mut operations = history(
            &Growing,
            &mut stream,
            count,
            clients,
            |stream| match stream.below(2) {
                0 => adds::Request::Read,
                _ => adds::Request::Add(stream.below(5) as i64),
            },
            |spec, state, request| match request {
                adds::Request::Add(_) => adds::Reply::Added,
                adds::Request::Read => adds::Reply::Elements(spec.step(state, request, None).unwrap()),
            },
            disturb,
        );
        disturb_one(&mut stream, &mut operations, disturb);
        legal += u32::from(agrees_with(&Growing, &operations, |operations| adds::check(operations)));
    }
    assert!((4_000..=18_000).contains(&legal), "{legal}");
}

#[test]
fn of_lists_the_graph_says_what_all_orders_say() {
    let mut stream = Streams::new(6).stream("lists", 0);
    let mut legal = 0;
    let disturb = |stream: &mut Stream, reply: &mut Vec<Option<Vec<i64>>>| {
        for list in reply.iter_mut().flatten() {
            match stream.below(3) {
                0 => drop(list.pop()),
                1 => list.push(1 + stream.below(8) as i64),
                _ => list.reverse(),
            }
        }
    };
    for _ in 0..20_000 {
        let clients = 1 + stream.below(4) as usize;
        let count = 1 + stream.below(6) as usize;
        let mut next = 0;
        let mut operations = history(
            &Lists,
            &mut stream,
            count,
            clients,
            |stream| {
                let steps = 1 + stream.below(3);
                let step = |stream: &mut Stream, next: &mut i64| {
                    let key = ["x", "y"][stream.below(2) as usize].to_owned();
                    *next += 1;
                    if stream.below(2) == 0 { Step::Read(key) } else { Step::Append(key, *next) }
                };
                (0..steps).map(|_| step(stream, &mut next)).collect()
            },
            |spec, state, request| {
                let mut after = state.clone();
                let one = |after: &mut <Lists as Spec>::State, step: &Step| {
                    *after = spec.step(after, &vec![step.clone()], None).unwrap();
                    match step {
                        Step::Read(key) => Some(after.get(key).cloned().unwrap_or_default()),
                        Step::Append(..) => None,
                    }
                };
                request.iter().map(|step| one(&mut after, step)).collect()
            },
            disturb,
        );
        disturb_one(&mut stream, &mut operations, disturb);
        legal += u32::from(agrees_with(&Lists, &operations, |operations| append::check(operations).unwrap()));
    }
    assert!((4_000..=18_000).contains(&legal), "{legal}");
}

#[test]
fn an_element_that_is_appended_twice_is_refused() {
    let append = |invoked| Operation {
        request: vec![Step::Append("k".to_owned(), 1)],
        invoked,
        returned: Some((invoked + 1, vec![None])),
    };
    assert_eq!(append::check(&[append(0), append(2)]), Err(append::Twice(0, 1)));
}

#[test]
fn the_graphs_are_linear_in_the_history() {
    let mut transactions = Vec::new();
    let mut lists = vec![Vec::new(); 1_000];
    for number in 0..100_000_u64 {
        let key = (number * 7 % 1_000) as usize;
        lists[key].push(number as i64);
        transactions.push(append::Transaction {
            request: vec![Step::Append(key.to_string(), number as i64), Step::Read(key.to_string())],
            invoked: 2 * number,
            returned: Some((2 * number + 3, vec![None, Some(lists[key].clone())])),
        });
    }
    assert!(matches!(append::check(&transactions), Ok(Conclusion::Linearizable(_))));
}

/// Operations of one client after the other, each with its reply.
fn one_by_one<Q: Clone, R: Clone>(operations: impl IntoIterator<Item = (Q, R)>) -> Vec<Operation<Q, R>> {
    (0..)
        .zip(operations)
        .map(|(number, (request, reply))| Operation {
            request,
            invoked: 2 * number,
            returned: Some((2 * number + 1, reply)),
        })
        .collect()
}

fn explanation<S: Spec>(spec: &S, operations: &Operations<S>) -> Explanation {
    let [(_, Conclusion::Illegal(why))] = &check(spec, operations, Budget::UNLIMITED)[..] else {
        panic!("it has one part, without an order")
    };
    why.clone()
}

#[test]
fn of_a_short_history_the_nearest_operations_are_told() {
    use register::{Reply, Request};
    let operation = |request, invoked, returned| Operation { request, invoked, returned };
    let history = vec![
        operation(Request::Write(1), 1, Some((3, Reply::Done))),
        operation(Request::Read, 2, Some((4, Reply::Value(Some(1))))),
        operation(Request::CompareAndSet(1, 2), 5, None),
        operation(Request::Write(3), 6, Some((8, Reply::Done))),
        operation(Request::Read, 9, Some((10, Reply::Value(Some(1))))),
    ];
    let why = explanation(&Register::default(), &history);
    assert_eq!((why.contradiction, why.is_least), (vec![1, 3, 4], true));
}

#[test]
fn of_thousands_of_writes_those_are_told_that_contradict_a_read() {
    use register::{Reply, Request};
    for count in [50, 200, 1_000, 5_000] {
        let told = |read: i64, expected: &[usize]| {
            let writes = (0..count).map(|value| (Request::Write(value), Reply::Done));
            let history = one_by_one(writes.chain([(Request::Read, Reply::Value(Some(read)))]));
            let why = explanation(&Register::default(), &history);
            assert_eq!((&why.contradiction[..], why.is_least), (expected, true), "{read} of {count}");
            assert_eq!((why.refused, why.order.len()), (count as usize, count as usize));
        };
        let last = count as usize;
        told(3, &[3, last - 1, last]);
        told(count + 1, &[last]);
        let half = count as usize / 2;
        told(count / 2, &[half, last - 1, last]);
        // Few values, each of which is written again and again, and swapped.
        let writes = (0..count).map(|number| match number % 3 {
            0 => (Request::Write(number % 5), Reply::Done),
            1 => (Request::CompareAndSet((number - 1) % 5, number % 5), Reply::Swapped(true)),
            _ => (Request::Read, Reply::Value(Some((number - 1) % 5))),
        });
        let history = one_by_one(writes.chain([(Request::Read, Reply::Value(Some(7)))]));
        assert_eq!(explanation(&Register::default(), &history).contradiction, [last]);
    }
}

#[test]
fn of_thousands_of_texts_those_are_told_that_contradict_a_read() {
    use key_value::{Reply, Request};
    let key = || "a".to_owned();
    for count in [50, 200, 1_000, 5_000] {
        let puts = (0..count).map(|value| (Request::Put(key(), value.to_string()), Reply::Done));
        let read = (Request::Get(key()), Reply::Text("3".to_owned()));
        let history = one_by_one(puts.chain([read.clone()]));
        let why = explanation(&KeyValue::of(&history), &history);
        assert_eq!((why.contradiction, why.is_least), (vec![3, count - 1, count], true));
        // What is appended tells all texts apart, which is soon too much work.
        if count > 200 {
            continue;
        }
        let appends = (0..count).map(|value| (Request::Append(key(), value.to_string()), Reply::Done));
        let history = one_by_one(appends.chain([read]));
        let why = explanation(&KeyValue::of(&history), &history);
        assert!(why.contradiction.len() <= 2 && why.is_least, "{why:?}");
    }
}
