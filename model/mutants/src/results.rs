//! What is known of mutants, as lines of JSON: written as they come, and read to go on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::mutants::Mutant;
use crate::trial::Outcome;

/// How one mutant went.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Verdict {
    /// The code that was mutated. What was found of other code does not count.
    pub code: String,
    /// The first and the last seed of the sweep, and the last does not belong to it.
    pub seeds: (u64, u64),
    #[serde(flatten)]
    pub mutant: Mutant,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Wall time.
    pub seconds: f64,
}

/// The file, and what stands in it of this code and these seeds.
#[derive(Debug)]
pub struct Results {
    file: File,
    pub verdicts: BTreeMap<u32, Verdict>,
}

impl Results {
    /// Opens the file, or makes it. A line that a killed process left half written is cut off.
    pub fn open(path: &Path, code: &str, seeds: (u64, u64)) -> io::Result<Self> {
        let mut verdicts = BTreeMap::new();
        let mut file = File::options().create(true).append(true).read(true).open(path)?;
        let mut whole = 0;
        let mut lines = BufReader::new(&mut file);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            if line.last() != Some(&b'\n') {
                break;
            }
            whole += line.len() as u64;
            let verdict: Verdict = serde_json::from_slice(&line)
                .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
            if verdict.code == code && verdict.seeds == seeds {
                verdicts.insert(verdict.mutant.number, verdict);
            }
            line.clear();
        }
        drop(lines);
        file.set_len(whole)?;
        Ok(Self { file, verdicts })
    }

    /// Writes one down.
    pub fn add(&mut self, verdict: Verdict) -> io::Result<()> {
        let mut line = serde_json::to_vec(&verdict)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.verdicts.insert(verdict.mutant.number, verdict);
        Ok(())
    }
}

/// Why a survivor survives, by those who looked at it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    pub file: String,
    pub function: String,
    pub what: String,
    pub reason: String,
}

/// Reads the reasons.
pub fn reasons(path: &Path) -> io::Result<Vec<Reason>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document {
        #[serde(default)]
        survivor: Vec<Reason>,
    }
    let text = fs::read_to_string(path)?;
    let document: Document =
        toml::from_str(&text).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    Ok(document.survivor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::Kind;

    #[test]
    fn results_are_gone_on_with_after_a_line_that_is_half_written() {
        let path = std::env::temp_dir().join(format!("vertebra-mutants-results-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let verdict = |code: &str, number| Verdict {
            code: code.to_owned(),
            seeds: (0, 9),
            mutant: Mutant {
                number,
                area: "mvcc".to_owned(),
                file: "mvcc/txn.rs".to_owned(),
                line: 1,
                column: 2,
                function: "f".to_owned(),
                kind: Kind::Operator,
                what: "`<` is `<=`".to_owned(),
            },
            outcome: Outcome::Killed { seed: 3, signature: "watch/order".to_owned() },
            seconds: 0.5,
        };
        let mut results = Results::open(&path, "a", (0, 9)).unwrap();
        results.add(verdict("a", 1)).unwrap();
        results.add(verdict("b", 2)).unwrap();
        let outcome = Outcome::OutOfTime { seeds: 3..5 };
        results.add(Verdict { outcome, ..verdict("a", 3) }).unwrap();
        drop(results);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], b"{\"code\": \"a"].concat()).unwrap();

        let results = Results::open(&path, "a", (0, 9)).unwrap();
        assert_eq!(results.verdicts.keys().copied().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(results.verdicts[&1].outcome, verdict("a", 1).outcome);
        assert_eq!(fs::read(&path).unwrap(), whole);
        assert!(Results::open(&path, "a", (0, 8)).unwrap().verdicts.is_empty());
        fs::remove_file(&path).unwrap();
    }
}
