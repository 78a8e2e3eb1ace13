//! A sweep's record in the ledger.

use std::collections::BTreeMap;

use serde::Serialize;
use vertebra_sim::Verdict;
use vertebra_sim::ledger::{Finding, Ledger, Recorded, Recorder, Run, Session, State, Version};

use super::plan::Plan;
use super::summary::{End, Summary};
use crate::changes::Changes;
use crate::exit::Refusal;
use crate::failure::{Failure, Keeping};
use crate::ledger::now_ms;

/// What the ledger says of a kind of failure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Standing {
    /// The id of the finding.
    pub id: String,
    pub state: State,
}

/// Begins the record of a sweep, and tells `summary` what earlier ones found among the seeds that are left out.
pub fn begin(
    ledger: Ledger,
    plan: &Plan,
    changes: &Changes,
    version: &Version,
    jobs: usize,
    keeping: &Keeping,
    summary: &mut Summary,
) -> Result<Recorder, Refusal> {
    let session = Session {
        id: uuid::Uuid::new_v4().simple().to_string(),
        version: version.clone(),
        profile: changes.profile(),
        seeds: plan.seeds,
        is_nightly: plan.is_nightly,
        jobs,
        began_ms: now_ms(),
        ending: None,
    };
    if plan.is_resumed {
        let (done, coverage) = ledger.before(&session, |known| {
            summary.add_known(known.seed, Failure::known(&known, changes, keeping));
        })?;
        summary.seeds_before = done.count();
        summary.coverage_before = coverage;
    }
    Ok(ledger.begin(&session)?)
}

/// Records a run. What comes back is a complaint: an earlier sweep of the same build saw something else.
pub fn record(recorder: &mut Recorder, run: &Run<'_>) -> Result<Option<String>, Refusal> {
    let Run { seed, report, .. } = run;
    Ok(match recorder.record(run)? {
        Recorded::New | Recorded::Again => None,
        Recorded::Otherwise(before) => {
            let now = match &report.verdict {
                Verdict::Pass => "pass".to_owned(),
                Verdict::Violation { violation, .. } => {
                    format!("{}, digest {}", violation.signature(), report.digest)
                }
            };
            Some(format!("seed {seed} ended as {now}; an earlier sweep of this build recorded {before}"))
        }
    })
}

/// Ends the record, and says how the ledger's findings under the profile stand, by signature.
pub fn end(recorder: Recorder, end: End, profile: &str) -> Result<BTreeMap<String, Standing>, Refusal> {
    let ledger = recorder.end(end.name(), now_ms())?;
    let findings = ledger.findings()?.into_iter().filter(|finding| finding.profile == profile);
    Ok(findings.map(|Finding { id, state, signature, .. }| (signature, Standing { id, state })).collect())
}
