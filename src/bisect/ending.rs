//! How a bisection ends: with the culprit, or with what can be said of it.

use std::path::Path;

use anstyle::AnsiColor;
use serde::Serialize;

use super::Stop;
use super::candidate::{Bench, TARGET};
use super::judgement::{Failed, Question, Signature};
use super::runs::with_schedule;
use super::steps::Counts;
use crate::divergence::{Parting, PartingLine, Run};
use crate::exit::{Outcome, Refusal};
use crate::git::{Commit, Git};
use crate::output::Line;
use crate::words::shell_quoted;

/// The last line of `bisect --json`.
#[derive(Serialize)]
struct ResultLine<'a> {
    r#type: &'static str,
    end: &'static str,
    judged: Counts,
    #[serde(flatten)]
    culprit: Option<CulpritLine<'a>>,
    /// The commits that may be the culprit, where it could not be told which of them is.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<Vec<&'a str>>,
}

impl ResultLine<'_> {
    fn new(end: &'static str, judged: Counts) -> Self {
        Self { r#type: "result", end, judged, culprit: None, candidates: None }
    }
}

#[derive(Serialize)]
struct CulpritLine<'a> {
    commit: &'a str,
    author: &'a str,
    date: &'a str,
    subject: &'a str,
    parent: Option<&'a str>,
    signature: &'a Signature,
    interleaving: Option<u64>,
    /// Nothing, where the parent cannot be built or run.
    comparison: Option<PartingLine<'a>>,
}

impl Bench<'_> {
    /// Tells the culprit, and where its run and that of its parent part.
    pub fn tell_culprit(
        &mut self,
        git: &Git,
        (culprit, parent): (&Commit, Option<&Commit>),
        signature: &Signature,
        interleaving: Option<u64>,
        question: &Question,
    ) -> Result<Outcome, Stop> {
        let described =
            git.read(["log", "-1", "--format=%an <%ae>%n%ad", "--date=iso-strict", &culprit.hash])?;
        let (author, date) = described.split_once('\n').unwrap_or((&described, ""));
        let compared = match parent.map(|parent| self.compare(parent, culprit, interleaving, question)) {
            Some(Ok(parting)) => Ok(parting),
            Some(Err(Failed::Skip(skip))) => Err(format!("where the runs part cannot be told: {skip}")),
            Some(Err(Failed::Stop(stop))) => return Err(stop),
            None if git.is_shallow()? => {
                Err("this clone is shallow and ends here, so the culprit may be an earlier one; \
                                              `git fetch --unshallow` brings the rest"
                    .to_owned())
            }
            None => Err("it has no parent to be compared with".to_owned()),
        };
        self.forget_programs_but(&[Some(culprit), parent].into_iter().flatten().collect::<Vec<_>>());
        self.steps.clear();
        let (json, judged) = (self.steps.json, self.steps.counts);
        let out = &mut self.steps.out;
        if json {
            let culprit = CulpritLine {
                commit: &culprit.hash,
                author,
                date,
                subject: &culprit.subject,
                parent: parent.map(|parent| parent.hash.as_str()),
                signature,
                interleaving,
                comparison: compared.as_ref().ok().map(Parting::line),
            };
            out.json(&ResultLine { culprit: Some(culprit), ..ResultLine::new("culprit", judged) });
        } else {
            let hash = out.paint(AnsiColor::Red.on_default().bold(), &culprit.hash).to_string();
            out.line(format_args!("culprit    {hash}"));
            out.line(format_args!("author     {}", Line(author)));
            out.line(format_args!("date       {}", Line(date)));
            out.line(format_args!("subject    {}", Line(&culprit.subject)));
            out.line(format_args!("violation  {}", Line(&signature.to_string())));
            if let Some(number) = interleaving {
                out.line(format_args!("           in interleaving {number} of the schedule"));
            }
            out.line(format_args!("judged     {}\n", judged.text()));
            match &compared {
                Ok(parting) => parting.tell(out),
                Err(reason) => out.line(format_args!("{}", Line(reason))),
            }
        }
        out.finish()?;
        Ok(Outcome::Pass)
    }

    /// Tells that it is one of `left`, of which all but the last were skipped.
    pub fn tell_skipped(&mut self, left: &[Commit]) -> Result<Outcome, Stop> {
        self.steps.clear();
        let (json, judged) = (self.steps.json, self.steps.counts);
        let out = &mut self.steps.out;
        if json {
            let candidates = Some(left.iter().map(|commit| commit.hash.as_str()).collect());
            out.json(&ResultLine { candidates, ..ResultLine::new("only-skipped", judged) });
        } else {
            out.line(format_args!(
                "The culprit is one of these; only skipped commits are left between good and bad:"
            ));
            for commit in left {
                out.line(format_args!("{}  {}", commit.hash, Line(&commit.subject)));
            }
            out.line(format_args!("\njudged     {}", judged.text()));
        }
        out.finish()?;
        Ok(Outcome::NotApplicable)
    }

    /// Tells, as JSON, that there is no answer yet.
    pub fn tell_interrupt(&mut self) -> Result<(), Refusal> {
        self.steps.clear();
        if self.steps.json {
            self.steps.out.json(&ResultLine::new("interrupt", self.steps.counts));
        }
        self.steps.out.finish()
    }

    /// Runs both once more, event by event.
    fn compare(
        &mut self,
        parent: &Commit,
        culprit: &Commit,
        interleaving: Option<u64>,
        question: &Question,
    ) -> Result<Parting, Failed> {
        let schedule = match interleaving {
            None => question.schedule.clone(),
            Some(number) => self.interleaved(question, number)?,
        };
        // The culprit first: it may still stand built in the worktree.
        let culprit = self.told_again("culprit", "The culprit", culprit, &schedule)?;
        let parent = self.told_again("parent", "The parent", parent, &schedule)?;
        Ok(Parting::of(parent, culprit)?)
    }

    fn told_again(
        &mut self,
        name: &'static str,
        title: &'static str,
        commit: &Commit,
        schedule: &Path,
    ) -> Result<Run, Failed> {
        self.steps.begin(commit, None);
        self.build(commit)?;
        let told = self.trace(commit, schedule, &format!("{name}.txt"))?;
        Ok(Run { name, title, told, command: self.command_of(commit, schedule) })
    }

    /// The commands with which a user runs a commit again.
    fn command_of(&self, commit: &Commit, schedule: &Path) -> String {
        let quoted = |path: &Path| shell_quoted(&path.to_string_lossy());
        let name = schedule.file_name().unwrap_or_default();
        let Some(run) = self.recipe.trace.as_ref().or(self.recipe.run.as_ref()) else {
            let program = self.program(commit);
            let program = program.strip_prefix(&self.place.path).unwrap_or(&program);
            let (program, schedule) = (self.place.shown.join(program), self.place.shown.join(name));
            return format!("{} replay {}", quoted(&program), quoted(&schedule));
        };
        // In the folder of the question, so that the schedule has the same relative path wherever that is.
        let checkout = self.place.shown.join(commit.short());
        let run = grouped(&with_schedule(run, &Path::new("..").join(name)));
        let build =
            self.recipe.build.as_ref().map_or(String::new(), |build| format!("{} && ", grouped(build)));
        let export = match build.contains(TARGET) || run.contains(TARGET) {
            true => format!("export {TARGET}=$PWD/target && "),
            false => String::new(),
        };
        let checkout = quoted(&checkout);
        format!(
            "(git worktree add --quiet --detach {checkout} {} && cd {checkout} && {export}{build}{run})",
            commit.short()
        )
    }
}

/// A command that others can stand before and behind.
fn grouped(command: &str) -> String {
    match command.contains([';', '&', '|']) {
        true => format!("({command})"),
        false => command.to_owned(),
    }
}
