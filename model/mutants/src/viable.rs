//! Which mutants compile. All are compiled at once, those that the compiler complains of are taken out, and again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::mutants::File;
use crate::splice::Spliced;
use crate::workspace::{Diagnostic, Span, Workspace};

/// The text that says which mutant is on.
const RUNTIME: &str = include_str!("runtime.rs");

/// More is no progress: the compiler finds faults in few stages.
const ROUNDS_MAX: usize = 30;

/// A program with all mutants that compile.
#[derive(Debug)]
pub struct Built {
    pub program: PathBuf,
    /// The numbers of those that do not.
    pub left_out: BTreeSet<u32>,
}

/// Builds all files with their mutants, but for those that do not compile. `library` is the text of the crate's root. What is
/// known of mutants is read from `kept`, and kept there.
pub fn build(workspace: &Workspace, library: &str, files: &[File], kept: &Path) -> io::Result<Built> {
    let known = fs::read_to_string(kept).unwrap_or_default();
    let mut left_out: BTreeSet<u32> =
        known.lines().map(str::parse).collect::<Result<_, _>>().map_err(io::Error::other)?;
    workspace.write("mutation.rs", RUNTIME)?;
    // What a mutant leaves unused is no mistake.
    workspace.write("lib.rs", &format!("#![allow(warnings)]\n{library}\npub mod mutation;\n"))?;
    for _ in 0..ROUNDS_MAX {
        let spliced: BTreeMap<String, Spliced> =
            files.iter().map(|file| (file.path.clone(), file.splice(&left_out))).collect();
        spliced.iter().try_for_each(|(path, file)| workspace.write(path, &file.text))?;
        let errors = match workspace.build()? {
            Ok(program) => return Ok(Built { program, left_out }),
            Err(errors) => errors,
        };
        let blamed: BTreeSet<u32> = errors.iter().flat_map(|error| blame(&spliced, error)).collect();
        if blamed.is_empty() {
            let rendered = errors.iter().filter_map(|error| error.rendered.as_deref());
            return Err(io::Error::other(format!(
                "no mutant is to blame for this:\n{}",
                rendered.collect::<String>()
            )));
        }
        left_out.extend(blamed);
        fs::write(kept, left_out.iter().map(|number| format!("{number}\n")).collect::<String>())?;
        eprintln!("{} mutants do not compile", left_out.len());
    }
    Err(io::Error::other("taking mutants out does not make the rest compile"))
}

/// The mutants that an error is of: those whose own code it points at; else those of the smallest place around what it
/// points at; else those that leave something out within it; else the one that leaves out a jump soon after: what is moved or
/// borrowed before that is used behind it.
fn blame(files: &BTreeMap<String, Spliced>, error: &Diagnostic) -> BTreeSet<u32> {
    let all = || error.spans.iter().chain(error.children.iter().flat_map(|child| &child.spans));
    let of = |span: &Span| files.get(span.file_name.strip_prefix("model/src/")?);
    let brought: BTreeSet<u32> = all()
        .filter_map(|span| Some((of(span)?, span.byte_start..span.byte_end)))
        .flat_map(|(file, span)| {
            let mutants = file.places.iter().flat_map(|place| &place.mutants);
            mutants.filter(move |(_, range)| contains(range, &span)).map(|(number, _)| *number)
        })
        .collect();
    if !brought.is_empty() {
        return brought;
    }
    let spans = || all().filter(|span| span.is_primary).chain(all().filter(|span| !span.is_primary));
    let around = spans().find_map(|span| {
        let range = span.byte_start..span.byte_end;
        of(span)?
            .places
            .iter()
            .filter(|place| contains(&place.range, &range))
            .min_by_key(|place| place.range.len())
    });
    let within = || {
        spans().find_map(|span| {
            let range = span.byte_start..span.byte_end;
            let mut places = of(span)?.places.iter().filter(|place| contains(&range, &place.range));
            places.next_back()
        })
    };
    let jump = || {
        let after = |span: &Span| {
            let file = of(span)?;
            let mut behind = file.places.iter().filter(|place| place.range.start >= span.byte_start);
            let jump = behind.find(|place| leaves_out_a_jump(&file.text[place.range.clone()]))?;
            Some((jump.range.start - span.byte_start, jump))
        };
        let nearest = spans().filter_map(after).min_by_key(|(distance, _)| *distance);
        nearest.map(|(_, jump)| jump)
    };
    let place = around.or_else(within).or_else(jump);
    place.into_iter().flat_map(|place| &place.mutants).map(|(number, _)| *number).collect()
}

fn leaves_out_a_jump(text: &str) -> bool {
    let left_out =
        text.strip_prefix("if !").and_then(|text| text.split_once('{')).map(|(_, text)| text.trim_start());
    left_out.is_some_and(|text| ["return", "continue", "break"].iter().any(|jump| text.starts_with(jump)))
}

fn contains(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::places;
    use crate::splice::splice;

    fn blamed(source: &str, at: &[&str]) -> Vec<u32> {
        let spliced = splice(source, &places(source).unwrap(), 1, &BTreeSet::new());
        let spans = at.iter().enumerate().map(|(index, part)| {
            let byte_start = spliced.text.find(part).unwrap();
            let byte_end = byte_start + part.len();
            Span { file_name: "model/src/a.rs".to_owned(), byte_start, byte_end, is_primary: index == 0 }
        });
        let spans = spans.collect();
        let error = Diagnostic { level: "error".to_owned(), rendered: None, spans, children: Vec::new() };
        blame(&BTreeMap::from([("a.rs".to_owned(), spliced)]), &error).into_iter().collect()
    }

    #[test]
    fn an_error_is_of_the_mutant_that_brought_the_code() {
        let source = "fn f() -> u8 { x(a + b) }";
        assert_eq!(blamed(source, &["return 0"]), [1]);
        assert_eq!(blamed(source, &["a * b"]), [4]);
        // The compiler points at the second branch, and mentions the first.
        assert_eq!(blamed(source, &["a + b", "a - b"]), [3]);
    }

    #[test]
    fn else_it_is_of_the_smallest_place_around() {
        assert_eq!(blamed("fn f() -> u8 { x(a + b) }", &["a + b"]), [3, 4]);
        assert_eq!(blamed("fn f() { if x { y(); } }", &["y"]), [3]);
    }

    #[test]
    fn else_it_is_of_the_jump_that_is_left_out_behind() {
        assert_eq!(blamed("fn f() -> u8 { let y = x; b(); return 1; x }", &["x }", "let y"]), [4]);
    }

    #[test]
    fn else_it_is_of_what_is_within() {
        assert_eq!(blamed("fn f() -> ! { x(); z }", &["{ if !crate::mutation::on(1) { x(); } z }"]), [1]);
    }
}
