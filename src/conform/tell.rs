//! What is told of a comparison: a difference, one sequence as a whole, and the sum of all.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::compare::{Difference, lines};
use super::known::Known;
use super::pair::Judgement;
use super::sequence::Sequence;
use super::{Flags, by_hand};
use crate::output::{Line, Output};
use crate::words::{Count, Span, counted, shell_quoted};

/// A sequence and what was answered.
pub struct Finding<'a> {
    pub sequence: &'a Sequence,
    pub judgement: &'a Judgement,
    /// Where it comes from.
    pub seed: u64,
    pub flags: &'a Flags,
}

impl Finding<'_> {
    fn command(&self) -> String {
        let requests = match self.flags.requests {
            50 => String::new(),
            requests => format!(" --requests {requests}"),
        };
        let endpoint = shell_quoted(&self.flags.endpoints[0]);
        format!("vertebra conform --endpoint {endpoint} --seed {}{requests}", self.seed)
    }

    /// A difference, with the shortest sequence that shows it.
    pub fn tell(&self, out: &mut Output, version: &str, json: bool) {
        let mut text = format!(
            "difference  {} of {}\n",
            self.judgement.differences[0].field, self.judgement.differences[0].method
        );
        self.write_differences(&mut text);
        let _ = writeln!(text, "by hand");
        for line in by_hand::lines(self.sequence, &self.flags.endpoints[0]) {
            let _ = writeln!(text, "  {}", Line(&line));
        }
        self.write_answers(&mut text, self.sequence.steps.len().saturating_sub(1));
        let _ = writeln!(text, "reproduce   {}", self.command());
        self.put(out, version, json, &text);
    }

    /// All that was asked and answered.
    pub fn tell_all(&self, out: &mut Output, version: &str, json: bool) {
        let mut text = format!("seed {} against etcd {version}; R is the revision at its start\n", self.seed);
        for index in 0..self.sequence.steps.len() {
            let _ = writeln!(text, "{index:4}  {}", Line(&by_hand::step(self.sequence, index)));
            self.write_answers(&mut text, index);
        }
        if self.judgement.compared < self.sequence.steps.len() + self.judgement.left_out.len() {
            let last = self.judgement.compared.saturating_sub(self.judgement.left_out.len() + 1);
            let _ = writeln!(text, "compared up to step {last}");
        }
        if self.judgement.differences.is_empty() {
            let _ = writeln!(text, "no difference that is not known");
        } else {
            self.write_differences(&mut text);
        }
        self.put(out, version, json, &text);
    }

    fn write_differences(&self, text: &mut String) {
        for Difference { step, at, model, real, .. } in &self.judgement.differences {
            let _ =
                writeln!(text, "differs     step {step}, {at}: model {}, real {}", Line(model), Line(real));
        }
    }

    fn write_answers(&self, text: &mut String, index: usize) {
        let (model, real) =
            (lines(&self.judgement.model.steps[index]), lines(&self.judgement.real.steps[index]));
        if model == real {
            for line in model {
                let _ = writeln!(text, "      both   {}", Line(&line));
            }
            return;
        }
        for (name, lines) in [("model", model), ("real", real)] {
            for line in lines {
                let _ = writeln!(text, "      {name:5}  {}", Line(&line));
            }
        }
    }

    fn put(&self, out: &mut Output, version: &str, json: bool, text: &str) {
        if !json {
            return out.line(format_args!("{text}"));
        }
        out.json(&json!({
            "type": "difference",
            "seed": self.seed,
            "version": version,
            "steps": self.sequence.to_json(),
            "differences": self.judgement.differences,
            "text": text,
            "command": self.command(),
        }));
    }
}

/// The sum of all seeds.
#[derive(Serialize)]
pub struct Summary {
    pub end: &'static str,
    pub version: String,
    pub seeds: u64,
    pub steps: u64,
    /// Steps that were compared.
    pub compared: u64,
    /// Steps that were left out, since the server would not survive them.
    pub spared: u64,
    pub differing: u64,
    /// Seeds that differed once, and not again.
    pub unsteady: Vec<(u64, Difference)>,
    /// Methods and fields in which there is a difference.
    pub kinds: Vec<(String, String)>,
    /// How often each of the known differences was met.
    #[serde(skip)]
    met: Vec<u64>,
}

impl Summary {
    pub fn new(version: String) -> Self {
        Self {
            end: "all-seeds",
            version,
            seeds: 0,
            steps: 0,
            compared: 0,
            spared: 0,
            differing: 0,
            unsteady: Vec::new(),
            kinds: Vec::new(),
            met: Vec::new(),
        }
    }

    pub fn add(&mut self, known: &Known, sequence: &Sequence, judgement: &Judgement) {
        self.seeds += 1;
        self.steps += sequence.steps.len() as u64;
        self.compared += judgement.compared as u64;
        self.met.resize(known.difference.len(), 0);
        for (entry, count) in &judgement.met {
            self.met[*entry] += count;
        }
    }

    /// Whether this is the first difference of its kind.
    pub fn note_kind(&mut self, method: &str, field: &str) -> bool {
        let kind = (method.to_owned(), field.to_owned());
        let is_new = !self.kinds.contains(&kind);
        if is_new {
            self.kinds.push(kind);
        }
        is_new
    }

    pub fn tell(&self, out: &mut Output, known: &Known, wall_time: Duration, json: bool) {
        let met: Vec<_> = known
            .difference
            .iter()
            .zip(self.met.iter().copied().chain(std::iter::repeat(0)))
            .map(|(entry, met)| json!({ "name": entry.name, "met": met, "reason": entry.reason }))
            .collect();
        if json {
            let mut summary = serde_json::to_value(self).expect("a summary has a form in JSON");
            summary["type"] = json!("summary");
            summary["known"] = json!(met);
            summary["wall_time_ms"] = json!(u64::try_from(wall_time.as_millis()).unwrap_or(u64::MAX));
            return out.json(&summary);
        }
        let _ = out.write_all(self.text(known, wall_time).as_bytes());
    }

    /// What is told without `--json`.
    fn text(&self, known: &Known, wall_time: Duration) -> String {
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| {
            let _ = writeln!(text, "{line}");
        };
        let differ = match self.differing {
            0 => "no difference".to_owned(),
            differing => {
                format!(
                    "{} differ, in {}",
                    counted(differing, "seed"),
                    counted(self.kinds.len() as u64, "kind")
                )
            }
        };
        line(format_args!("etcd {}  {}  {differ}", self.version, counted(self.seeds, "seed")));
        line(format_args!(
            "steps       {}, of which {} were compared, in {}",
            Count(self.steps),
            Count(self.compared),
            Span(wall_time)
        ));
        if self.spared > 0 {
            line(format_args!(
                "spared      {}, which this server does not survive",
                counted(self.spared, "step")
            ));
        }
        for (entry, met) in known.difference.iter().zip(self.met.iter().copied().chain(std::iter::repeat(0)))
        {
            match met {
                0 => line(format_args!("known       {}: never met", entry.name)),
                met => line(format_args!("known       {}: met {}", entry.name, counted(met, "time"))),
            }
        }
        for (seed, difference) in &self.unsteady {
            line(format_args!(
                "unsteady    seed {seed} differed once and not again: {} of {}: model {}, real {}",
                difference.at,
                difference.method,
                Line(&difference.model),
                Line(&difference.real)
            ));
        }
        if self.end == "interrupt" {
            line(format_args!("interrupted"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::drive::Transcript;

    #[test]
    fn an_entry_that_was_never_met_is_told_as_that() {
        let file = |name: &str| {
            format!(
                "[[difference]]\nname = \"{name}\"\nmethod = \"*\"\nfield = \"*\"\nreason = \"Because.\"\n"
            )
        };
        let known = Known::read(&(file("met") + &file("forgotten")), "3.5.1").expect("it is right");
        let mut summary = Summary::new("3.5.1".to_owned());
        let sequence = Sequence::default();
        let judgement = Judgement {
            sequence: sequence.clone(),
            model: Transcript::default(),
            real: Transcript::default(),
            differences: Vec::new(),
            met: vec![(0, 1)],
            compared: 0,
            left_out: Vec::new(),
        };
        summary.add(&known, &sequence, &judgement);
        let text = summary.text(&known, Duration::from_secs(1));
        assert!(text.contains("known       met: met 1 time\n"), "{text}");
        assert!(text.contains("known       forgotten: never met\n"), "{text}");
    }
}
