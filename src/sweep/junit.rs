//! `--junit`: a report that CI servers read. One test case for the sweep, which passes when nothing was found, and a failed one
//! for each kind of failure: thousands of cases that passed would tell nobody more.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use vertebra_sim::seeds::Seeds;

use super::summary::Summary;
use crate::exit::Refusal;
use crate::words::counted;

/// Writes the report. `trouble` is why the sweep could not do all it was asked to.
pub fn write(
    path: &Path,
    summary: &Summary,
    seeds: Seeds,
    wall_time: Duration,
    trouble: Option<&str>,
) -> Result<(), Refusal> {
    let mut suite = TestSuite::new("vertebra sweep");
    suite.set_time(wall_time);
    let status = match trouble {
        None => TestCaseStatus::success(),
        Some(trouble) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(trouble);
            status
        }
    };
    let mut sweep =
        TestCase::new(format!("{} of {seeds} were run", counted(summary.sums.seeds, "seed")), status);
    sweep.set_classname("vertebra.sweep").set_time(wall_time);
    suite.add_test_case(sweep);
    for kind in &summary.kinds {
        let failure = &kind.failure;
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status
            .set_type(&failure.oracle)
            .set_message(format!("{}, the first at seed {}", counted(kind.count, "failure"), kind.first_seed))
            .set_description(format!("{}\n\nreproduce: {}", failure.detail, failure.command));
        let mut case = TestCase::new(&failure.signature, status);
        case.set_classname(format!("vertebra.{}", failure.oracle));
        suite.add_test_case(case);
    }
    let mut report = Report::new("vertebra");
    report.add_test_suite(suite);
    let refuse = |reason: String| Refusal::new(format!("{}: {reason}", path.display()));
    let mut file = BufWriter::new(File::create(path).map_err(|error| refuse(error.to_string()))?);
    report.serialize(&mut file).map_err(|error| refuse(error.to_string()))?;
    file.flush().map_err(|error| refuse(error.to_string()))
}
