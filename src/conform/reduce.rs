//! The shortest sequence that shows a difference, and the simplest values in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use prost_reflect::{DynamicMessage, Value};

use super::drive::Patience;
use super::pair::{Judgement, Pair};
use super::sequence::{Action, Body, Caller, MEMBER, Sequence, Step};
use crate::exit::Refusal;
use crate::shrink::ddmin;

/// Ends the search before it has found the smallest.
pub struct Limits<'a> {
    pub deadline: Instant,
    pub stop: &'a AtomicBool,
}

/// What is left, and what both sides answer to it.
///
/// # Errors
///
/// One of the sides can be reached no more.
pub fn reduce(
    pair: &mut Pair,
    judgement: Judgement,
    limits: &Limits<'_>,
) -> Result<(Sequence, Judgement), Refusal> {
    let wanted = judgement.differences[0].clone();
    // What comes after it has no part in it.
    let mut best = judgement.sequence.clone();
    best.steps.truncate(wanted.step + 1);
    let mut search = Search { pair, wanted: (wanted.method, wanted.field), limits, best: (best, judgement) };
    match search.run() {
        Ok(()) | Err(End::Budget) => Ok(search.best),
        Err(End::Refused(refusal)) => Err(refusal),
    }
}

enum End {
    Budget,
    Refused(Refusal),
}

struct Search<'a> {
    pair: &'a mut Pair,
    wanted: (String, String),
    limits: &'a Limits<'a>,
    best: (Sequence, Judgement),
}

impl Search<'_> {
    fn run(&mut self) -> Result<(), End> {
        loop {
            let before = self.best.0.clone();
            self.fewer_steps()?;
            self.simpler_steps()?;
            if self.best.0 == before {
                return Ok(());
            }
        }
    }

    fn fewer_steps(&mut self) -> Result<(), End> {
        let seed = self.best.0.seed;
        let steps = self.best.0.steps.clone();
        let kept = ddmin(steps, 1, |attempts, rest| {
            for attempt in 0..attempts {
                if self.differs(&Sequence { seed, steps: rest(attempt) })? {
                    return Ok(Some(attempt));
                }
            }
            Ok(None)
        })?;
        debug_assert!(kept.len() >= self.best.0.steps.len());
        Ok(())
    }

    fn simpler_steps(&mut self) -> Result<(), End> {
        let mut index = 0;
        while index < self.best.0.steps.len() {
            // A step that was made simpler is looked at again: of what is left of it, more may go.
            let simpler = simpler(&self.best.0.steps[index]);
            let mut taken = false;
            for step in simpler {
                let mut candidate = self.best.0.clone();
                candidate.steps[index] = step;
                if self.differs(&candidate)? {
                    taken = true;
                    break;
                }
            }
            if !taken || index >= self.best.0.steps.len() {
                index += 1;
            }
        }
        Ok(())
    }

    /// Whether the difference shows in `candidate`, which is kept then.
    fn differs(&mut self, candidate: &Sequence) -> Result<bool, End> {
        if self.limits.stop.load(Ordering::Relaxed) || Instant::now() >= self.limits.deadline {
            return Err(End::Budget);
        }
        let is_survived = self.pair.known.spare(&mut candidate.clone()) == 0;
        if !is_survived || candidate.steps.iter().any(is_harmful) {
            return Ok(false);
        }
        let judgement = self.pair.judge(candidate, Patience::Time).map_err(End::Refused)?;
        let (method, field) = (self.wanted.0.as_str(), self.wanted.1.as_str());
        let found = judgement.differences.iter().any(|difference| difference.kind() == (method, field));
        if found {
            // Steps that were left out of it are not needed.
            self.best = (judgement.sequence.clone(), judgement);
        }
        Ok(found)
    }
}

/// Whether a server could be used no more after this step, or nobody could switch authentication off.
pub fn is_harmful(step: &Step) -> bool {
    let Action::Call { path, body: Body::Message(message), .. } = &step.action else { return false };
    let is_set = |name| message.has_field_by_name(name);
    let is_root = message.get_field_by_name("name").is_some_and(|name| name.as_str() == Some("root"));
    match path.rsplit('/').next().unwrap_or_default() {
        "MemberAdd" => !is_set("isLearner"),
        "MemberUpdate" | "MemberRemove" => message
            .get_field_by_name("ID")
            .and_then(|id| id.as_u64())
            .is_some_and(|id| id >= MEMBER && id != u64::MAX),
        "Downgrade" => is_set("action"),
        "UserAdd" | "UserChangePassword" => {
            is_root && (!is_set("password") || is_set("options") || is_set("hashedPassword"))
        }
        _ => false,
    }
}

/// Steps that say less than this one, the plainest first.
pub fn simpler(step: &Step) -> Vec<Step> {
    let mut steps = Vec::new();
    let with = |change: &dyn Fn(&mut Step)| {
        let mut simpler = step.clone();
        change(&mut simpler);
        simpler
    };
    if let Action::Call { caller, .. } | Action::Open { caller, .. } = &step.action
        && *caller != Caller::Nobody
    {
        steps.push(with(&|step| {
            if let Action::Call { caller, .. } | Action::Open { caller, .. } = &mut step.action {
                *caller = Caller::Nobody;
            }
        }));
    }
    match step.body() {
        Some(Body::Message(message)) => {
            steps.extend(simpler_messages(message).into_iter().map(|message| {
                with(&|step| {
                    if let Some(body) = step.body_mut() {
                        *body = Body::Message(message.clone());
                    }
                })
            }));
        }
        Some(Body::Bytes(bytes)) => {
            let mut shorter = Vec::new();
            for part in [bytes.len() / 2, 1] {
                if part > 0 && part <= bytes.len() {
                    shorter.push(bytes.slice(..bytes.len() - part));
                    shorter.push(bytes.slice(part..));
                }
            }
            for index in 0..bytes.len().min(64) {
                shorter.push([&bytes[..index], &bytes[index + 1..]].concat().into());
            }
            steps.extend(shorter.into_iter().map(|bytes| {
                with(&|step| {
                    if let Some(body) = step.body_mut() {
                        *body = Body::Bytes(bytes.clone());
                    }
                })
            }));
        }
        None => {}
    }
    steps
}

/// Messages with one field less, or with one that is simpler.
fn simpler_messages(message: &DynamicMessage) -> Vec<DynamicMessage> {
    let mut messages = Vec::new();
    for (field, value) in message.fields() {
        let mut without = message.clone();
        without.clear_field(&field);
        messages.push(without);
        for value in simpler_values(value) {
            let mut with = message.clone();
            with.set_field(&field, value);
            messages.push(with);
        }
    }
    messages
}

fn simpler_values(value: &Value) -> Vec<Value> {
    match value {
        Value::Message(message) => simpler_messages(message).into_iter().map(Value::Message).collect(),
        Value::List(values) => {
            let mut lists = Vec::new();
            let mut size = values.len();
            while size > 0 {
                for begin in (0..values.len()).step_by(size) {
                    let mut rest = values.clone();
                    rest.drain(begin..(begin + size).min(values.len()));
                    lists.push(rest);
                }
                size /= 2;
            }
            for (index, value) in values.iter().enumerate() {
                for simpler in simpler_values(value) {
                    let mut list = values.clone();
                    list[index] = simpler;
                    lists.push(list);
                }
            }
            lists.into_iter().map(Value::List).collect()
        }
        Value::Bytes(bytes) if bytes.len() > 1 => {
            let plain = if bytes.len() > 2 {
                vec![b"a".to_vec(), bytes[..bytes.len() / 2].to_vec()]
            } else {
                vec![b"a".to_vec()]
            };
            plain.into_iter().map(|bytes| Value::Bytes(bytes.into())).collect()
        }
        Value::I64(number) if number.unsigned_abs() > 1 => vec![Value::I64(1)],
        _ => Vec::new(),
    }
}
