//! `vertebra serve`: a simulated cluster behind real endpoints, at the pace of the wall clock.
//!
//! ```text
//!  clients ──TCP──> http (tokio's threads) ──Event──> paced ──Up──> doors ══> members      (the simulation's thread)
//!                     ▲                                              │
//!                     └─────────────────── hub <───────Down──────────┘
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `http/` | what is served: gRPC, JSON, pages |
//! | `hub.rs` | calls that are under way, and how much may wait |
//! | `paced.rs` | the simulation's side: time passes, things come in |
//! | `record.rs`, `recorded.rs` | a session as a file; read and run again |
//! | `tell.rs` | what is told meanwhile |

mod flags;
mod http;
mod hub;
mod paced;
mod record;
pub mod recorded;
mod tell;

use std::cell::Cell;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant as WallInstant};

use tokio::runtime::Runtime;
use vertebra_model::Options;
use vertebra_model::served::Served;
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{Report, run_with};

pub use self::flags::Flags;
use self::hub::{Event, Hub};
use self::paced::Paced;
use self::record::Recorder;
use self::tell::{Telling, Told};
use crate::exit::{Outcome, Refusal};
use crate::interrupt::stop_on_interrupt;
use crate::output::complain;
use crate::replay::{Ending, listen_to};
use crate::words::shell_quoted;

/// How often the simulation learns how late it is.
const TICK: Duration = Duration::from_millis(1);

/// When the process stood still for longer, as that of a sleeping laptop does, time did so too.
const TICK_MAX: Duration = Duration::from_millis(250);

/// How long connections may take to end when the session is over.
const FAREWELL: Duration = Duration::from_millis(500);

/// Threads that serve the network.
const THREADS: usize = 2;

/// Serves until it is interrupted, or a guarantee breaks.
pub fn serve(flags: &Flags) -> Result<Outcome, Refusal> {
    let tls = match (&flags.cert_file, &flags.key_file) {
        (Some(certificate), Some(key)) => {
            let (authority, asks_callers) = (flags.trusted_ca_file.as_ref(), flags.client_cert_auth);
            Some(http::tls::acceptor(&http::tls::Files { certificate, key, authority, asks_callers })?)
        }
        _ => None,
    };
    let listeners = listen(flags)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let urls = listeners.iter().map(|listener| Ok(format!("{scheme}://{}", listener.local_addr()?)));
    let urls: Vec<String> = urls.collect::<std::io::Result<_>>().map_err(|error| error.to_string())?;
    let schedule = flags.schedule(urls.clone())?;
    let session = Session::place(flags);
    let recorder = Recorder::begin(&session.path, &schedule)?;
    let stop = stop_on_interrupt()?;

    let runtime = runtime()?;
    let (events, comes_in) = channel();
    let hub = Hub::new(events.clone());
    let service = http::Service::new(Arc::clone(&hub), schedule.options.request_bytes_max)?;
    for (member, listener) in (1..).zip(listeners) {
        let _inside = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| error.to_string())?;
        runtime.spawn(http::serve(Arc::clone(&service), member, listener, tls.clone()));
    }

    let mut telling = Telling::new(flags, &schedule);
    telling.serves(&urls, &session.path)?;
    let (told, hears) = channel();
    let now = Arc::new(AtomicU64::new(0));
    let simulation = {
        let (told, now, recorder, schedule) = (told, Arc::clone(&now), recorder.clone(), schedule.clone());
        let (hub, speed) = (Arc::clone(&hub), flags.speed);
        thread::spawn(move || {
            let report = simulate(&schedule, &told, &hub, &recorder, |served, ended| {
                Paced::new(comes_in, served, recorder.clone(), speed, now, ended, told.clone())
            });
            hub.close();
            let _ = told.send(Told::Over);
            report
        })
    };
    let over = Arc::new(AtomicBool::new(false));
    let clock = {
        let (stop, over, lasts) = (Arc::clone(&stop), Arc::clone(&over), flags.lasts);
        thread::spawn(move || tick(&events, &stop, &over, lasts))
    };

    telling.until_over(&hears, &now, &hub);
    over.store(true, Ordering::Relaxed);
    let report = simulation.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
    let _ = clock.join();
    runtime.shutdown_timeout(FAREWELL);

    if let Some(reason) = recorder.failed() {
        complain(format_args!(
            "error: {}: not all of the session is in it: {reason}",
            session.path.display()
        ));
    }
    let mut ending = Ending::new(schedule.seed, &report, &session.command());
    match &mut ending.failure {
        Some(failure) => failure.schedule = Some(session.path.display().to_string()),
        None => session.forget(),
    }
    telling.end(&ending)
}

fn runtime() -> Result<Runtime, Refusal> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    built.map_err(|error| Refusal::new(format!("no threads for the network: {error}")))
}

fn listen(flags: &Flags) -> Result<Vec<TcpListener>, Refusal> {
    let addresses = flags.addresses()?.into_iter();
    let listeners = addresses.map(|address| {
        let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
        listener.set_nonblocking(true).map_err(|error| format!("{address}: {error}"))?;
        Ok(listener)
    });
    listeners.collect::<Result<_, String>>().map_err(Refusal::from)
}

/// Runs the cluster on this thread, which is a fresh one.
fn simulate(
    schedule: &Schedule<Options>,
    told: &Sender<Told>,
    hub: &Arc<Hub>,
    recorder: &Recorder,
    paced: impl FnOnce(Rc<Served>, Rc<Cell<Option<vertebra_sim::Instant>>>) -> Paced,
) -> Report {
    let reader = {
        let told = told.clone();
        listen_to(&["fault"], move |line| {
            let _ = told.send(Told::Fault { at_ns: line.at_ns, text: line.text.to_owned() });
        })
    };
    let ended = Rc::new(Cell::new(None));
    let report = run_with::<Served, _>(schedule, Some(&reader), |_, served| {
        let hub = Arc::clone(hub);
        served.doors().hear(move |_, down| hub.down(down));
        paced(Rc::clone(served), Rc::clone(&ended))
    });
    // Where a guarantee broke before anybody ended it, it ended by that.
    let end = vertebra_sim::Instant::START + report.virtual_time;
    recorder.end(&report, ended.get().unwrap_or(end));
    report
}

/// Tells the simulation how much time has passed, and when it shall end.
fn tick(events: &Sender<Event>, stop: &AtomicBool, over: &AtomicBool, lasts: Option<Duration>) {
    let (mut passed, mut last) = (Duration::ZERO, WallInstant::now());
    let mut is_told = false;
    while !over.load(Ordering::Relaxed) {
        thread::sleep(TICK);
        let now = WallInstant::now();
        passed += (now - last).min(TICK_MAX);
        last = now;
        let stops = stop.load(Ordering::Relaxed) || lasts.is_some_and(|lasts| passed >= lasts);
        if stops && !std::mem::replace(&mut is_told, true) {
            let _ = events.send(Event::Stop);
        }
        if !is_told && events.send(Event::Passed(passed)).is_err() {
            return;
        }
    }
}

/// Where the session is written.
struct Session {
    path: PathBuf,
    /// Whether it goes when nothing was found.
    is_temporary: bool,
}

impl Session {
    fn place(flags: &Flags) -> Self {
        match &flags.record {
            Some(path) => Self { path: path.clone(), is_temporary: false },
            None => {
                let name = format!("vertebra-session-{}-{}.jsonl", flags.seed, std::process::id());
                Self { path: std::env::temp_dir().join(name), is_temporary: true }
            }
        }
    }

    /// What runs it again.
    fn command(&self) -> String {
        let path: &Path = &self.path;
        format!("vertebra replay {}", shell_quoted(&path.to_string_lossy()))
    }

    fn forget(&self) {
        if self.is_temporary {
            // If it stays, it is in nobody's way.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
