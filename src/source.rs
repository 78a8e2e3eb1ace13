//! What a command is asked to run: a seed, or a schedule file.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use vertebra_sim::schedule::Schedule;

use crate::Subject;
use crate::changes::Changes;
use crate::exit::Refusal;
use crate::words::shell_quoted;

/// No schedule that people or generators write comes near this; a device that never ends does.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Where a schedule comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    Seed(u64),
    File(PathBuf),
}

/// Reads a source from the command line.
pub fn parser() -> impl TypedValueParser<Value = Source> {
    OsStringValueParser::new().try_map(Source::parse)
}

impl Source {
    fn parse(text: OsString) -> Result<Self, String> {
        let digits =
            text.to_str().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        match digits.map(str::parse) {
            Some(Ok(seed)) => Ok(Self::Seed(seed)),
            Some(Err(_)) => Err(format!("the last seed is {}", u64::MAX)),
            None => Ok(Self::File(text.into())),
        }
    }

    /// The schedule, as this version of `S` reads or draws it.
    pub fn schedule<S: Subject>(&self, changes: &Changes) -> Result<Schedule<S::Options>, Refusal> {
        match self {
            Self::Seed(seed) => {
                changes.schedule::<S>(*seed).map_err(|reason| Refusal::new(format!("seed {seed}: {reason}")))
            }
            Self::File(path) => {
                let name = path.display().to_string();
                let bytes = read(path).map_err(|reason| format!("{name}: {reason}"))?;
                let schedule = Schedule::<S::Options>::read(&name, &bytes, S::NAME, S::shape)
                    .map_err(|error| error.to_string())?;
                match changes.contradiction::<S>(&schedule.options)? {
                    None => Ok(schedule),
                    Some(flag) => {
                        let reason = "which has all options of its run; leave the flag out, or edit the file";
                        Err(Refusal::new(format!("{flag} contradicts {name}, {reason}")))
                    }
                }
            }
        }
    }

    /// The schedule as the text of a file: of a file, as it stands there. It need be none of `S`.
    pub fn text<S: Subject>(&self, changes: &Changes) -> Result<String, Refusal> {
        match self {
            Self::Seed(_) => Ok(self.schedule::<S>(changes)?.write()?),
            Self::File(path) => {
                let name = path.display();
                let bytes = read(path).map_err(|reason| format!("{name}: {reason}"))?;
                String::from_utf8(bytes).map_err(|_| Refusal::new(format!("{name}: not text in UTF-8")))
            }
        }
    }

    /// As the command line has it.
    pub fn argument(&self) -> OsString {
        match self {
            Self::Seed(seed) => seed.to_string().into(),
            // A file that is named like a flag.
            Self::File(path) if path.as_os_str().as_encoded_bytes().starts_with(b"-") => {
                Path::new(".").join(path).into()
            }
            Self::File(path) => path.into(),
        }
    }

    /// The command that replays it with `program`.
    pub fn command(&self, program: &str, changes: &Changes) -> String {
        let argument = self.argument();
        let (program, argument) = (shell_quoted(program), shell_quoted(&argument.to_string_lossy()));
        match self {
            Self::Seed(_) => format!("{program} replay {argument}{}", changes.flags()),
            Self::File(_) => format!("{program} replay {argument}"),
        }
    }

    /// The arguments with which a process tells its run as JSON.
    pub fn told_as_json(&self, changes: &Changes) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = ["replay", "--json", "--no-keep"].map(OsString::from).into();
        arguments.push(self.argument());
        arguments.extend(changes.flags().split_whitespace().map(OsString::from));
        arguments
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut bytes = Vec::new();
    File::open(path).map_err(text)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(text)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(format!("larger than {} MiB, which no schedule is", FILE_BYTES_MAX >> 20)),
        false => Ok(bytes),
    }
}
