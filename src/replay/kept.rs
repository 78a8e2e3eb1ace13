//! A run whose history is written to a file when it is over.

use std::path::Path;
use std::rc::Rc;

use tracing::Dispatch;
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{Instant, Outside, Report, Turn, World, run_with};

use crate::Subject;
use crate::exit::Refusal;
use crate::histories::{Destination, Export};
use crate::output::complain;

/// Lets a run take its course to the end of the schedule.
struct ToTheEnd {
    end: Instant,
}

impl Outside for ToTheEnd {
    fn turn(&mut self, world: &World) -> Turn {
        if world.now() < self.end { Turn::Until(self.end) } else { Turn::End }
    }
}

/// Runs `schedule` as ever, and writes what its clients saw to `path`.
///
/// # Errors
///
/// When the file cannot be written, or there is no form for such a history.
pub fn run_and_write<S: Subject>(
    schedule: &Schedule<S::Options>,
    reader: Option<&Dispatch>,
    path: &Path,
    export: Option<Export>,
) -> Result<Report, Refusal> {
    let cannot = |error: std::io::Error| Refusal::new(format!("{}: {error}", path.display()));
    let mut destination = Destination::new(path, export).map_err(cannot)?;
    let to = &mut destination;
    // On a thread of its own, as each run.
    let (report, written) = std::thread::scope(|scope| {
        let run = scope.spawn(move || {
            let mut system = None;
            let report = run_with::<S, _>(schedule, reader, |_, running| {
                system = Some(Rc::clone(running));
                ToTheEnd { end: Instant::START + schedule.duration }
            });
            (report, system.map_or(Ok(false), |system| system.write_history(to)))
        });
        run.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    });
    if !written.map_err(cannot)? {
        return Err(Refusal::new("there is no form for the histories of this system"));
    }
    destination.finish().map_err(cannot)?;
    for other in destination.others() {
        let other = other.display();
        complain(format_args!(
            "note: the cluster was restored; what its clients saw from then on is in {other}"
        ));
    }
    Ok(report)
}
