//! The two sides together.

use super::compare::{Difference, differences};
use super::drive::{Session, Transcript, drive};
use super::known::Known;
use super::sequence::Sequence;
use super::side::Side;
use crate::exit::Refusal;

/// Whatever takes calls, from any thread.
pub type AnySide = Box<dyn Side + Send>;

pub struct Pair {
    pub model: Session<AnySide>,
    pub real: Session<AnySide>,
    pub known: Known,
}

/// What came of a sequence on both sides.
#[derive(Clone, Debug)]
pub struct Judgement {
    pub model: Transcript,
    pub real: Transcript,
    /// What nothing explains, of the first step that has such.
    pub differences: Vec<Difference>,
    /// The entries of the known differences that were met, and how often each.
    pub met: Vec<(usize, u64)>,
    /// How many steps were compared: after some known differences, both are in different states.
    pub compared: usize,
}

impl Pair {
    /// Does a sequence on both sides, and compares.
    ///
    /// # Errors
    ///
    /// One of them can be reached no more.
    pub fn judge(&mut self, sequence: &Sequence) -> Result<Judgement, Refusal> {
        let (model, real) = std::thread::scope(|scope| {
            let (real, model) = (&mut self.real, &mut self.model);
            let real = scope.spawn(|| drive(real, sequence));
            let model = drive(model, sequence);
            (model, real.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        Ok(self.compare(sequence, model?, real?))
    }

    fn compare(&self, sequence: &Sequence, model: Transcript, real: Transcript) -> Judgement {
        let mut met = vec![0; self.known.difference.len()];
        let mut unexplained = Vec::new();
        let mut compared = sequence.steps.len();
        for (index, step) in sequence.steps.iter().enumerate() {
            let found = differences(index, sequence.path(index), &model.steps[index], &real.steps[index]);
            let mut ends = false;
            for difference in &found {
                match self.known.find(difference, &found, step) {
                    Some(entry) => {
                        met[entry] += 1;
                        ends |= self.known.difference[entry].ends;
                    }
                    None => unexplained.push(difference.clone()),
                }
            }
            if ends || !unexplained.is_empty() {
                compared = index + 1;
                break;
            }
        }
        let met = met.into_iter().enumerate().filter(|(_, count)| *count > 0).collect();
        Judgement { model, real, differences: unexplained, met, compared }
    }
}
