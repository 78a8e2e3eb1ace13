//! `--junit`: a report that CI servers read. One test case for the sweep, which passes when nothing was found, and a
//! failed one for each kind of failure: thousands of cases that passed would tell nobody more.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use vertebra_sim::seeds::Seeds;

use super::summary::Summary;
use crate::exit::Refusal;
use crate::words::counted;
use crate::written;

const SUITE: &str = "vertebra sweep";

/// A report to be.
pub struct Junit {
    path: PathBuf,
}

impl Junit {
    /// A report that says that the sweep did not end, until another one does. So one that is killed is no success,
    /// and a file that cannot be written is known before the sweep and not after it.
    pub fn create(path: &Path) -> Result<Self, Refusal> {
        let junit = Self { path: path.to_owned() };
        let trouble = Some("the sweep did not come to its end".to_owned());
        let mut suite = TestSuite::new(SUITE);
        suite.add_test_case(sweep("a sweep".to_owned(), Duration::ZERO, trouble));
        junit.write(suite)?;
        Ok(junit)
    }

    /// Writes the report. `trouble` is why the sweep could not do all that it was asked to.
    pub fn finish(
        self,
        summary: &Summary,
        seeds: Seeds,
        wall_time: Duration,
        trouble: Option<String>,
    ) -> Result<(), Refusal> {
        let trouble = trouble.or_else(|| (summary.differing > 0).then(|| summary.difference()));
        let mut suite = TestSuite::new(SUITE);
        suite.set_time(wall_time);
        let name = format!("{} of {seeds} were run", counted(summary.sums.seeds, "seed"));
        suite.add_test_case(sweep(name, wall_time, trouble));
        for kind in &summary.kinds {
            let failure = &kind.failure;
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status
                .set_type(&failure.oracle)
                .set_message(format!(
                    "{}, the first at seed {}",
                    counted(kind.count, "failure"),
                    kind.first_seed
                ))
                .set_description(format!("{}\n\nreproduce: {}", failure.detail, failure.command));
            let mut case = TestCase::new(&failure.signature, status);
            case.set_classname(format!("vertebra.{}", failure.oracle));
            suite.add_test_case(case);
        }
        self.write(suite)
    }

    fn write(&self, suite: TestSuite) -> Result<(), Refusal> {
        let mut report = Report::new("vertebra");
        report.add_test_suite(suite);
        let text = report.to_string().map_err(|error| error.to_string());
        let written = text.and_then(|text| {
            written::create(&self.path)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|error| error.to_string())
        });
        Ok(written.map_err(|reason| format!("{}: {reason}", self.path.display()))?)
    }
}

/// The test case of the sweep as a whole.
fn sweep(name: String, wall_time: Duration, trouble: Option<String>) -> TestCase {
    let mut status = TestCaseStatus::success();
    if let Some(trouble) = trouble {
        status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(trouble);
    }
    let mut case = TestCase::new(name, status);
    case.set_classname("vertebra.sweep").set_time(wall_time);
    case
}
