//! In which form a file is, by its beginning.

use std::io::BufRead;

use super::history::Format;
use super::recorded::Damage;

/// Recognises the format, without taking anything from the reader.
///
/// # Errors
///
/// What is none that can be judged, and why.
pub fn recognised(reader: &mut impl BufRead) -> Result<Format, Damage> {
    let refuse = |line: usize, reason: &str| Err(Damage { line, reason: reason.to_owned() });
    let bytes = match reader.fill_buf() {
        Ok(bytes) => bytes,
        Err(error) => return Err(Damage { line: 0, reason: error.to_string() }),
    };
    let beginning = String::from_utf8_lossy(bytes);
    let (mut rest, mut line) = (&beginning[..], 1);
    // Comments and empty lines.
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', ',', '\u{feff}']);
        let Some(behind) = trimmed
            .strip_prefix('\n')
            .or_else(|| Some(trimmed.strip_prefix(';')?.split_once('\n').map_or("", |(_, behind)| behind)))
        else {
            rest = trimmed;
            break;
        };
        (rest, line) = (behind, line + 1);
    }
    if rest.is_empty() {
        return refuse(1, "there is no event in this file");
    }
    if ["INFO", "WARN", "ERROR", "DEBUG"].iter().any(|level| rest.starts_with(level)) {
        return Ok(Format::Log);
    }
    if rest.starts_with('<') {
        return refuse(line, &format!("this is a page. {DRAWN}"));
    }
    let first =
        rest.trim_start_matches(|character: char| character.is_whitespace() || "[(".contains(character));
    if first.starts_with('#') || first.starts_with(']') || first.starts_with(')') {
        return Ok(Format::Edn);
    }
    let Some(fields) = first.strip_prefix('{') else {
        return refuse(line, "this is no format that is known; `vertebra check --help` lists them");
    };
    let fields = fields.trim_start();
    if fields.starts_with(':') {
        return Ok(Format::Edn);
    }
    let name = fields.strip_prefix('"').and_then(|fields| fields.split_once('"'));
    match name {
        Some(("type", value)) if value.trim_start_matches([':', ' ']).starts_with("\"history\"") => {
            Ok(Format::Lines)
        }
        Some(("ClientId", _)) => Ok(Format::Etcd),
        Some(("Request", _)) => {
            let reason = "these are the watches of one client of etcd's robustness tests, which nothing can be \
                          held against alone; give the folder that has the client's folder in it";
            refuse(line, reason)
        }
        Some(("Partitions" | "Annotations", _)) => {
            refuse(line, &format!("this is what porcupine draws a page of. {DRAWN}"))
        }
        _ => Ok(Format::Json),
    }
}

/// Why a drawing is no history.
const DRAWN: &str = "It tells operations in words for people, and not what was asked and answered: give the history that \
                     it was drawn from";
