//! Mutant schemata: all mutants of a file are spliced into its text, and which one is on is chosen when the program starts.
//!
//! `a < b` becomes `(if crate::mutation::on(7) { a <= b } else { a < b })`, around whatever is spliced into `a` and `b`. What
//! mutants bring is the plain text, since no two are on at once.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::ops::Range;
use std::slice;

use crate::find::{Alternative, Form, Place};

/// A file with its mutants.
#[derive(Debug)]
pub struct Spliced {
    pub text: String,
    /// For each place with a mutant: the range of all that stands in its place now, and its mutants.
    pub places: Vec<SplicedPlace>,
}

#[derive(Debug)]
pub struct SplicedPlace {
    pub range: Range<usize>,
    /// Numbers, with the ranges of what each brings.
    pub mutants: Vec<(u32, Range<usize>)>,
}

/// Splices mutants into a file. They are numbered in the order of `places`, from `first` on; those in `left_out` are not spliced,
/// and keep their numbers.
pub fn splice(source: &str, places: &[Place], first: u32, left_out: &BTreeSet<u32>) -> Spliced {
    let spliced = Spliced { text: String::with_capacity(2 * source.len()), places: Vec::new() };
    let mut splicer = Splicer { source, places: places.iter().peekable(), next: first, left_out, spliced };
    splicer.fill(0..source.len());
    splicer.spliced
}

struct Splicer<'s> {
    source: &'s str,
    places: Peekable<slice::Iter<'s, Place>>,
    /// The number of the next place's first mutant.
    next: u32,
    left_out: &'s BTreeSet<u32>,
    spliced: Spliced,
}

impl Splicer<'_> {
    /// Writes a range of the source with the places in it.
    fn fill(&mut self, range: Range<usize>) {
        let mut written = range.start;
        while let Some(place) = self.places.next_if(|place| place.range.end <= range.end) {
            self.spliced.text.push_str(&self.source[written..place.range.start]);
            let count = place.form.count() as u32;
            let numbers: Vec<u32> = (self.next..self.next + count).collect();
            self.next += count;
            if numbers.iter().all(|number| self.left_out.contains(number)) {
                self.fill(place.range.clone());
            } else {
                let index = self.spliced.places.len();
                let suffix = self.open(place, &numbers);
                self.fill(place.range.clone());
                self.spliced.text.push_str(suffix);
                self.spliced.places[index].range.end = self.spliced.text.len();
            }
            written = place.range.end;
        }
        self.spliced.text.push_str(&self.source[written..range.end]);
    }

    /// Writes what comes before a place's own text, and returns what comes behind it.
    fn open(&mut self, place: &Place, numbers: &[u32]) -> &'static str {
        let text = &mut self.spliced.text;
        let start = text.len();
        let mut mutants = Vec::new();
        let mut bring = |text: &mut String, number: u32, code: &str| {
            let start = text.len();
            text.push_str(code);
            mutants.push((number, start..text.len()));
        };
        let suffix = match &place.form {
            Form::Expression(alternatives) => {
                text.push('(');
                for (number, alternative) in chosen(numbers, alternatives, self.left_out) {
                    text.push_str(&format!("if {} {{ ", on(number)));
                    bring(text, number, &alternative.text);
                    text.push_str(" } else ");
                }
                text.push_str("{ ");
                " })"
            }
            Form::Body(alternatives) => {
                for (number, alternative) in chosen(numbers, alternatives, self.left_out) {
                    text.push_str(&format!(" if {} {{ ", on(number)));
                    bring(text, number, format!("return {}", alternative.text).trim_end());
                    text.push_str("; }");
                }
                ""
            }
            Form::Statement(_) => {
                bring(text, numbers[0], &format!("if !{} {{ ", on(numbers[0])));
                " }"
            }
            Form::Arm(_) if place.range.is_empty() => {
                bring(text, numbers[0], &format!(" if !{}", on(numbers[0])));
                ""
            }
            Form::Arm(_) => {
                bring(text, numbers[0], &format!("!{} && (", on(numbers[0])));
                ")"
            }
        };
        let end = text.len();
        self.spliced.places.push(SplicedPlace { range: start..end, mutants });
        suffix
    }
}

fn chosen<'a>(
    numbers: &'a [u32],
    alternatives: &'a [Alternative],
    left_out: &'a BTreeSet<u32>,
) -> impl Iterator<Item = (u32, &'a Alternative)> {
    numbers.iter().copied().zip(alternatives).filter(|(number, _)| !left_out.contains(number))
}

fn on(number: u32) -> String {
    format!("crate::mutation::on({number})")
}

#[cfg(test)]
mod tests;
