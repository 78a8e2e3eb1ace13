//! All mutants of the model: their numbers, and what is known of each before it runs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::areas;
use crate::find::{self, Kind, Place};
use crate::splice::{Spliced, splice};

/// One mutant.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Mutant {
    /// From 1, in the order of files and places. Changes of the code move it.
    pub number: u32,
    pub area: String,
    /// From `model/src`.
    pub file: String,
    pub line: usize,
    pub column: usize,
    /// The function, with its type.
    pub function: String,
    pub kind: Kind,
    /// What is mutated, and how.
    pub what: String,
}

/// A file that is mutated.
#[derive(Debug)]
pub struct File {
    pub path: String,
    source: String,
    places: Vec<Place>,
    first: u32,
}

impl File {
    /// Its text with all mutants but some.
    pub fn splice(&self, left_out: &BTreeSet<u32>) -> Spliced {
        splice(&self.source, &self.places, self.first, left_out)
    }

    fn mutants(&self) -> impl Iterator<Item = Mutant> {
        let described = self
            .places
            .iter()
            .flat_map(|place| (0..place.form.count()).map(move |index| (place, place.form.describe(index))));
        described.zip(self.first..).map(|((place, (kind, what)), number)| Mutant {
            number,
            area: areas::of(&self.path).to_owned(),
            file: self.path.clone(),
            line: place.line,
            column: place.column,
            function: place.function.clone(),
            kind,
            what: what.to_owned(),
        })
    }
}

/// Finds the mutants of all areas, and of other files that are wanted.
pub fn find(source: &Path, wanted: &[String]) -> io::Result<(Vec<File>, Vec<Mutant>)> {
    let (mut files, mut mutants) = (Vec::new(), Vec::new());
    for path in areas::files(source, wanted)? {
        let full = source.join(&path);
        let source = fs::read_to_string(&full)?;
        let places = find::places(&source)
            .map_err(|error| io::Error::other(format!("{}: {error}", full.display())))?;
        let file = File { path, source, places, first: mutants.len() as u32 + 1 };
        mutants.extend(file.mutants());
        files.push(file);
    }
    Ok((files, mutants))
}

/// So many of some mutants, drawn by what they are: a larger sample has all of a smaller one, and a change elsewhere in the code
/// moves nothing.
pub fn sample(mutants: &[Mutant], count: usize, seed: u64) -> Vec<Mutant> {
    let key = |mutant: &Mutant| {
        let Mutant { file, function, what, line, column, .. } = mutant;
        (xxh3_64_with_seed(format!("{file}\0{function}\0{what}").as_bytes(), seed), *line, *column)
    };
    let mut drawn = mutants.to_vec();
    drawn.sort_by_cached_key(key);
    drawn.truncate(count);
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_sample_has_all_of_a_smaller_one() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
        let (_, mutants) = find(&source, &[]).unwrap();
        let numbers = |count, seed| -> BTreeSet<u32> {
            sample(&mutants, count, seed).iter().map(|mutant| mutant.number).collect()
        };
        assert!(numbers(20, 1).len() == 20 && numbers(40, 1).is_superset(&numbers(20, 1)));
        assert_ne!(numbers(20, 1), numbers(20, 2));
        assert_eq!(numbers(usize::MAX, 1).len(), mutants.len());
    }

    #[test]
    fn mutants_are_numbered_as_they_are_spliced() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
        let (files, mutants) = find(&source, &[]).unwrap();
        let spliced = files.iter().flat_map(|file| file.splice(&BTreeSet::new()).places);
        let mut numbers: Vec<u32> =
            spliced.flat_map(|place| place.mutants).map(|(number, _)| number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, mutants.iter().map(|mutant| mutant.number).collect::<Vec<_>>());
        assert!(mutants.len() > 1000);
    }
}
