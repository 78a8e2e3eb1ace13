//! The table of a hunt, for a book.

use std::fmt::Write;

use super::tally::Tally;
use super::tell::{interval, seeds_shown, time_shown};
use crate::words::{Count, counted};

/// All tallies, in the order of the catalogue.
pub fn table(tallies: &[Tally], seeds: u64) -> String {
    let mut text = String::new();
    let all = tallies.len();
    let found = tallies.iter().filter(|tally| tally.found > 0).count();
    let _ = writeln!(
        text,
        "{found} of {} were found, in trials of {} at most. Medians, with the interval that holds the true one in 95 of 100 \
         cases.\n",
        counted(all as u64, "bug"),
        counted(seeds, "seed")
    );
    text += "| bug | class | found | seeds | time of one core | as expected | profiles that find it | first to fire |\n";
    text += "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n";
    for tally in tallies {
        let expected = match tally.named[..] {
            [] => "-".to_owned(),
            _ => format!("{} of {}", Count(tally.expected), Count(tally.found)),
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} of {} | {} | {} | {} | {:.2} % | {} |",
            tally.name,
            tally.class,
            Count(tally.found),
            Count(tally.trials),
            interval(&tally.seeds, seeds_shown),
            interval(&tally.cpu_ns, time_shown),
            expected,
            tally.profiles_share * 100.0,
            tally.firsts(),
        );
    }
    text
}
