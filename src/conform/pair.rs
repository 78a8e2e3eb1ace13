//! The two sides together.

use super::compare::{Difference, differences};
use super::drive::{Patience, Session, Transcript, drive};
use super::known::{Known, State};
use super::sequence::{Action, Sequence};
use super::side::Side;
use crate::exit::Refusal;

/// Whatever takes calls, from any thread.
pub type AnySide = Box<dyn Side + Send>;

/// So many steps of a sequence are left out at most, each for one more run.
const LEFT_OUT_MAX: usize = 12;

pub struct Pair {
    pub model: Session<AnySide>,
    pub real: Session<AnySide>,
    pub known: Known,
}

/// What came of a sequence on both sides.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// What was asked: the sequence without the steps that were left out.
    pub sequence: Sequence,
    pub model: Transcript,
    pub real: Transcript,
    /// What nothing explains, of the first step that has such.
    pub differences: Vec<Difference>,
    /// The entries of the known differences that were met, and how often each.
    pub met: Vec<(usize, u64)>,
    /// How many steps were compared, of the sequence as it was given.
    pub compared: usize,
    /// The steps that were left out, by their places in the sequence as it was given, and the entry of each.
    pub left_out: Vec<(usize, usize)>,
}

/// What came of one run.
struct Compared {
    differences: Vec<Difference>,
    met: Vec<u64>,
    /// The step after which both are in different states, and the entry that says so.
    ends: Option<(usize, usize)>,
}

/// The step without which this one does nothing, if that is another: a lock that is not asked for is not waited for.
fn begun_at(sequence: &Sequence, step: usize) -> usize {
    let stream = sequence.steps[step].stream();
    let is_begun = |index: &usize| {
        matches!(&sequence.steps[*index].action, Action::Open { stream: opened, path, .. }
            if Some(*opened) == stream && path.starts_with("/v3"))
    };
    (0..step).find(is_begun).unwrap_or(step)
}

impl Pair {
    /// Does a sequence on both sides, and compares. Where both are in different states after a step that is known to
    /// differ, all is done once more without that step, so that what follows it is compared too.
    ///
    /// # Errors
    ///
    /// One of them can be reached no more.
    pub fn judge(&mut self, sequence: &Sequence, patience: Patience) -> Result<Judgement, Refusal> {
        // By their places in the sequence as it was given.
        let mut places: Vec<usize> = (0..sequence.steps.len()).collect();
        let mut rest = sequence.clone();
        let mut left_out = Vec::new();
        let mut met = vec![0; self.known.difference.len()];
        let mut from = 0;
        loop {
            let (model, real) = self.answers(&rest, patience)?;
            let found = self.compare(&rest, &model, &real, from);
            met.iter_mut().zip(&found.met).for_each(|(all, here)| *all += here);
            let compared = match (&found.differences[..], found.ends) {
                ([first, ..], _) => first.step + 1,
                ([], Some((step, _))) => step + 1,
                ([], None) => rest.steps.len(),
            };
            let next = found.ends.filter(|_| found.differences.is_empty() && left_out.len() < LEFT_OUT_MAX);
            // After the last step there is nothing to compare.
            let Some((step, entry)) = next.filter(|(step, _)| step + 1 < rest.steps.len()) else {
                return Ok(Judgement {
                    sequence: rest,
                    model,
                    real,
                    differences: found.differences,
                    met: met.into_iter().enumerate().filter(|(_, count)| *count > 0).collect(),
                    compared: left_out.len() + compared,
                    left_out,
                });
            };
            let step = begun_at(&rest, step);
            rest.steps.remove(step);
            left_out.push((places.remove(step), entry));
            from = step;
        }
    }

    fn answers(
        &mut self,
        sequence: &Sequence,
        patience: Patience,
    ) -> Result<(Transcript, Transcript), Refusal> {
        let (model, real) = std::thread::scope(|scope| {
            let (real, model) = (&mut self.real, &mut self.model);
            let real = scope.spawn(|| drive(real, sequence, patience));
            let model = drive(model, sequence, patience);
            (model, real.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        Ok((model?, real?))
    }

    /// Compares up to the first step after which it makes no sense. What is known is counted of the steps from `from` on.
    fn compare(&self, sequence: &Sequence, model: &Transcript, real: &Transcript, from: usize) -> Compared {
        let mut compared =
            Compared { differences: Vec::new(), met: vec![0; self.known.difference.len()], ends: None };
        let mut state = State::default();
        for (index, step) in sequence.steps.iter().enumerate() {
            let path = sequence.path(index);
            let found = differences(index, path, &model.steps[index], &real.steps[index]);
            for difference in &found {
                match self.known.find(difference, &found, step, &state) {
                    Some(entry) => {
                        compared.met[entry] += u64::from(index >= from);
                        if self.known.difference[entry].ends {
                            compared.ends = Some((index, entry));
                        }
                    }
                    None => compared.differences.push(difference.clone()),
                }
            }
            if compared.ends.is_some() || !compared.differences.is_empty() {
                break;
            }
            state.note(path, step, &real.steps[index]);
        }
        compared
    }
}
