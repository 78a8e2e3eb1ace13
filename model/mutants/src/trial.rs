//! One mutant against a sweep.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A sweep of so many seeds may take so many seconds of a processor: a few times what it needs, so that what hangs is ended.
fn seconds_max(seeds: u64) -> u64 {
    15 + seeds / 4
}

/// KiB of address space. Without mutants it is a tenth.
const MEMORY_MAX: u64 = 6 << 20;

/// Of a process that waits for something that never comes, in multiples of the time that it might compute.
const WAIT_FACTOR: u64 = 10;

/// How many seeds the first processes take, and then all further ones: most mutants end with the first, and one that hangs
/// should not have the limit of all seeds.
const PORTIONS: [u64; 3] = [8, 32, 250];

/// Seeds that do not reach a mutant are run with it where that is less work than another process.
const GAP_MAX: u64 = 1;

/// How a mutant ends.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// An oracle told a violation.
    Killed { seed: u64, signature: String },
    /// It computes without end.
    OutOfTime {
        // A verdict has the seeds of the sweep beside it.
        #[serde(rename = "within")]
        seeds: Range<u64>,
    },
    /// The process ended itself: no memory, or no stack.
    Crashed {
        #[serde(rename = "within")]
        seeds: Range<u64>,
        status: String,
    },
    /// All seeds that reach it passed.
    Survived {
        /// How many they are. If none, no run needs to be made.
        reached: u64,
        /// How many of them went otherwise than without the mutant. If none, nobody can tell it from the original.
        altered: u64,
    },
}

impl Outcome {
    /// Whether the sweep noticed.
    pub fn is_noticed(&self) -> bool {
        !matches!(self, Self::Survived { .. })
    }
}

/// The program with all mutants.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    /// A folder for files that last as long as a process.
    pub scratch: PathBuf,
}

/// How one process ended.
#[derive(Debug)]
pub enum End {
    /// All seeds passed: their digests.
    Passed(BTreeMap<u64, String>),
    Failed {
        seed: u64,
        signature: String,
    },
    OutOfTime,
    Crashed(String),
}

#[derive(Deserialize)]
struct Line {
    r#type: String,
    seed: Option<u64>,
    signature: Option<String>,
}

impl Program {
    /// Tries a mutant over the seeds that reach it, in their order. `digests` has what each seed gives without it.
    pub fn trial(&self, number: u32, seeds: &[u64], digests: &BTreeMap<u64, String>) -> io::Result<Outcome> {
        let mut altered = 0;
        for seeds in portions(seeds) {
            match self.sweep(seeds.clone(), &[("VERTEBRA_MUTANT", number.to_string())])? {
                End::Passed(now) => {
                    altered +=
                        now.iter().filter(|(seed, digest)| digests.get(seed) != Some(digest)).count() as u64;
                }
                End::Failed { seed, signature } => return Ok(Outcome::Killed { seed, signature }),
                End::OutOfTime => return Ok(Outcome::OutOfTime { seeds }),
                End::Crashed(status) => return Ok(Outcome::Crashed { seeds, status }),
            }
        }
        Ok(Outcome::Survived { reached: seeds.len() as u64, altered })
    }

    /// Runs one seed without a mutant: its digest, and the mutants that it reaches.
    pub fn trace(&self, seed: u64) -> io::Result<(String, Vec<u32>)> {
        let file = self.scratch.join(format!("trace-{seed}"));
        let _ = fs::remove_file(&file);
        let end = self.sweep(seed..seed + 1, &[("VERTEBRA_MUTANT_TRACE", file.display().to_string())])?;
        let End::Passed(digests) = end else {
            return Err(io::Error::other(format!("without a mutant, seed {seed} does not pass: {end:?}")));
        };
        let reached = fs::read_to_string(&file)?;
        fs::remove_file(&file)?;
        let numbers = reached.lines().map(str::parse).collect::<Result<_, _>>().map_err(io::Error::other)?;
        let digest = digests.get(&seed).ok_or_else(|| io::Error::other("the sweep told no digest"))?;
        Ok((digest.clone(), numbers))
    }

    fn sweep(&self, seeds: Range<u64>, environment: &[(&str, String)]) -> io::Result<End> {
        let (_, name) = &environment[0];
        let name = Path::new(name).file_name().map(|name| name.display().to_string()).unwrap_or_default();
        let digests = self.scratch.join(format!("digests-{name}"));
        let seconds = seconds_max(seeds.end - seeds.start);
        let mut child = Command::new("sh")
            // The first limit can be told from a kill by others.
            .args(["-c", "ulimit -S -t \"$1\" && ulimit -v \"$2\" && shift 2 && exec \"$@\"", "sh"])
            .args([seconds.to_string(), MEMORY_MAX.to_string()])
            .arg(&self.path)
            .args(["sweep", "--fail-fast", "--no-keep", "--no-ledger", "--json", "--jobs", "1"])
            .args(["--seeds", &format!("{}..{}", seeds.start, seeds.end)])
            .arg("--digests")
            .arg(&digests)
            .env("MIMALLOC_PURGE_DELAY", "-1")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        // A line for a failure and one for the whole: that fits into a pipe.
        let limit = Instant::now() + Duration::from_secs(seconds * WAIT_FACTOR);
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() > limit {
                child.kill()?;
                child.wait()?;
                return Ok(End::OutOfTime);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        };
        let mut told = String::new();
        child.stdout.take().expect("it is piped").read_to_string(&mut told)?;
        self.end(status, &told, &digests)
    }

    fn end(&self, status: ExitStatus, told: &str, digests: &Path) -> io::Result<End> {
        /// SIGXCPU, of the limit above.
        const CPU_LIMIT: i32 = 24;
        match (status.code(), status.signal()) {
            (Some(0), _) => {
                let lines = fs::read_to_string(digests)?;
                let digests = lines.lines().filter_map(|line| {
                    let (seed, digest) = line.split_once(' ')?;
                    Some((seed.parse().ok()?, digest.to_owned()))
                });
                Ok(End::Passed(digests.collect()))
            }
            (Some(1), _) => {
                let failure = told.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
                let failure = failure.into_iter().find(|line| line.r#type == "failure");
                let failure = failure.and_then(|line| Some((line.seed?, line.signature?)));
                let (seed, signature) =
                    failure.ok_or_else(|| io::Error::other("the sweep told no failure"))?;
                Ok(End::Failed { seed, signature })
            }
            (_, Some(CPU_LIMIT)) => Ok(End::OutOfTime),
            _ => Ok(End::Crashed(status.to_string())),
        }
    }
}

/// Seeds as ranges for a process each.
fn portions(seeds: &[u64]) -> Vec<Range<u64>> {
    let mut portions: Vec<Range<u64>> = Vec::new();
    for seed in seeds.iter().copied() {
        let limit = PORTIONS[portions.len().saturating_sub(1).min(PORTIONS.len() - 1)];
        match portions.last_mut() {
            Some(last) if seed - last.end <= GAP_MAX && seed + 1 - last.start <= limit => last.end = seed + 1,
            _ => portions.push(seed..seed + 1),
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_taken_in_portions_that_grow() {
        let all: Vec<u64> = (0..600).collect();
        assert_eq!(portions(&all), [0..8, 8..40, 40..290, 290..540, 540..600]);
        assert_eq!(portions(&[3, 5, 6, 9, 100]), [3..7, 9..10, 100..101]);
        assert_eq!(portions(&[]), []);
    }

    fn program(script: &str) -> (Program, PathBuf) {
        use std::os::unix::fs::PermissionsExt;
        let name = format!("vertebra-mutants-{}-{:?}", std::process::id(), thread::current().id());
        let scratch = std::env::temp_dir().join(name);
        fs::create_dir_all(&scratch).unwrap();
        let path = scratch.join("program");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        (Program { path, scratch: scratch.clone() }, scratch)
    }

    #[test]
    fn each_end_of_a_process_is_told_apart() {
        let digests = BTreeMap::from([(0, "a".to_owned()), (1, "b".to_owned())]);
        let failure = r#"echo '{"type":"failure","seed":1,"signature":"watch/order"}'; exit 1"#;
        let passes = r#"for last; do :; done; printf '0 a\n1 c\n' >"$last""#;
        let killed = Outcome::Killed { seed: 1, signature: "watch/order".to_owned() };
        for (script, expected) in [
            (failure, killed),
            (passes, Outcome::Survived { reached: 2, altered: 1 }),
            ("kill -XCPU $$", Outcome::OutOfTime { seeds: 0..2 }),
            ("kill -ABRT $$", Outcome::Crashed { seeds: 0..2, status: String::new() }),
        ] {
            let (program, scratch) = program(script);
            let mut outcome = program.trial(7, &[0, 1], &digests).unwrap();
            if let Outcome::Crashed { status, .. } = &mut outcome {
                assert!(status.contains("SIGABRT"), "{status}");
                status.clear();
            }
            assert_eq!(outcome, expected);
            fs::remove_dir_all(scratch).unwrap();
        }
    }

    #[test]
    fn one_that_no_seed_reaches_is_not_run() {
        let (program, scratch) = program("exit 1");
        let outcome = program.trial(7, &[], &BTreeMap::new()).unwrap();
        assert_eq!(outcome, Outcome::Survived { reached: 0, altered: 0 });
        fs::remove_dir_all(scratch).unwrap();
    }
}
