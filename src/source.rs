//! What a command is asked to run: a seed, a schedule file, or a failure in the ledger.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use vertebra_sim::schedule::Schedule;

use crate::Subject;
use crate::changes::Changes;
use crate::exit::Refusal;
use crate::ledger::{Place, finding};
use crate::serve::recorded;
use crate::words::shell_quoted;

/// No schedule that people or generators write comes near this; a device that never ends does.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Where a schedule comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    Seed(u64),
    File(PathBuf),
    /// A failure in the ledger, by its id or what that begins with.
    Failure(String),
}

/// What else says which schedule that is: changes to what a seed draws, and the ledger that knows the failure.
#[derive(Args, Clone, Debug)]
pub struct Context {
    #[command(flatten)]
    pub changes: Changes,
    #[command(flatten)]
    pub place: Place,
}

/// Reads a source from the command line.
pub fn parser() -> impl TypedValueParser<Value = Source> {
    OsStringValueParser::new().try_map(Source::parse)
}

impl Source {
    fn parse(text: OsString) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty; name a seed, a file or a failure".to_owned());
        }
        let digits =
            text.to_str().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        match digits.map(str::parse) {
            Some(Ok(seed)) => Ok(Self::Seed(seed)),
            Some(Err(_)) => Err(format!("the last seed is {}", u64::MAX)),
            None => Ok(match text.to_str().filter(|text| is_id(text) && !Path::new(text).exists()) {
                Some(id) => Self::Failure(id.to_owned()),
                None => Self::File(text.into()),
            }),
        }
    }

    /// The file, if it is a session that was recorded rather than a schedule.
    pub fn session(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path.as_path()).filter(|path| recorded::is_session(path)),
            Self::Seed(_) | Self::Failure(_) => None,
        }
    }

    /// The schedule, as this version of `S` reads or draws it.
    pub fn schedule<S: Subject>(&self, context: &Context) -> Result<Schedule<S::Options>, Refusal> {
        let Context { changes, place: _ } = context;
        let text = match self {
            Self::Seed(seed) => {
                let schedule = changes.schedule::<S>(*seed);
                return schedule.map_err(|reason| Refusal::new(format!("seed {seed}: {reason}")));
            }
            Self::File(_) | Self::Failure(_) => self.bytes::<S>(context)?,
        };
        let name = self.argument().display().to_string();
        let schedule = Schedule::<S::Options>::read(&name, &text, S::NAME, S::shape)
            .map_err(|error| error.to_string())?;
        match changes.contradiction::<S>(&schedule.options)? {
            None => Ok(schedule),
            Some(flag) => {
                let reason = "which has all options of its run; leave the flag out, or edit the file";
                Err(Refusal::new(format!("{flag} contradicts {name}, {reason}")))
            }
        }
    }

    /// The schedule as the text of a file: of a file, as it stands there. It need be none of `S`.
    pub fn text<S: Subject>(&self, context: &Context) -> Result<String, Refusal> {
        if let Self::Seed(_) = self {
            return Ok(self.schedule::<S>(context)?.write()?);
        }
        let name = self.argument();
        String::from_utf8(self.bytes::<S>(context)?)
            .map_err(|_| Refusal::new(format!("{}: not text in UTF-8", name.display())))
    }

    /// The signature of a failure, where the ledger knows it.
    pub fn signature<S: Subject>(&self, context: &Context) -> Result<Option<String>, Refusal> {
        match self {
            Self::Seed(_) | Self::File(_) => Ok(None),
            Self::Failure(id) => Ok(Some(finding(&context.place.read::<S>()?, id)?.signature)),
        }
    }

    /// What stands in the file, or in the ledger; of a seed, nothing.
    fn bytes<S: Subject>(&self, context: &Context) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Seed(_) => Ok(Vec::new()),
            Self::File(path) if recorded::is_session(path) => {
                let reason = "a recorded session and no schedule; `vertebra replay` runs it again";
                Err(Refusal::new(format!("{}: {reason}", path.display())))
            }
            Self::File(path) => Ok(read(path).map_err(|reason| format!("{}: {reason}", path.display()))?),
            Self::Failure(id) => {
                let ledger = context.place.read::<S>()?;
                let example = ledger.example(&finding(&ledger, id)?)?;
                let text = example.map(|example| example.schedule.into_bytes());
                text.ok_or_else(|| Refusal::new(format!("{id}: no schedule of it is kept")))
            }
        }
    }

    /// As the command line has it.
    pub fn argument(&self) -> OsString {
        match self {
            Self::Seed(seed) => seed.to_string().into(),
            Self::Failure(id) => id.into(),
            // A file that is named like a flag.
            Self::File(path) if path.as_os_str().as_encoded_bytes().starts_with(b"-") => {
                Path::new(".").join(path).into()
            }
            Self::File(path) => path.into(),
        }
    }

    /// The flags that it takes besides, each after a space.
    fn flags(&self, context: &Context) -> String {
        match self {
            Self::Seed(_) => context.changes.flags(),
            Self::File(_) => String::new(),
            Self::Failure(_) => context.place.flag(),
        }
    }

    /// The command that replays it with `program`.
    pub fn command(&self, program: &str, context: &Context) -> String {
        let argument = self.argument();
        let (program, argument) = (shell_quoted(program), shell_quoted(&argument.to_string_lossy()));
        format!("{program} replay {argument}{}", self.flags(context))
    }

    /// The arguments with which a process tells its run as JSON.
    pub fn told_as_json(&self, context: &Context) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = ["replay", "--json", "--no-keep"].map(OsString::from).into();
        arguments.push(self.argument());
        arguments.extend(context.changes.flags().split_whitespace().map(OsString::from));
        if let Self::Failure(_) = self {
            arguments.extend(context.place.arguments());
        }
        arguments
    }
}

/// Whether `text` may be the id of a failure.
fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix('F').unwrap_or_default();
    (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
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
