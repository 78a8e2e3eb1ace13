//! Which mutant is on. Spliced into the model by its mutation runner.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What is on: the number of a mutant, 0 for none, or one of the two below.
static CHOSEN: AtomicU32 = AtomicU32::new(UNREAD);
const UNREAD: u32 = u32::MAX;
/// None is on, and it is told which places are reached.
const TRACE: u32 = u32::MAX - 1;

static REACHED: [AtomicBool; 1 << 16] = [const { AtomicBool::new(false) }; 1 << 16];

/// Whether the mutant of that number is on.
#[inline(always)]
pub fn on(number: u32) -> bool {
    let chosen = CHOSEN.load(Ordering::Relaxed);
    chosen == number || (chosen >= TRACE && look(number))
}

#[cold]
#[inline(never)]
fn look(number: u32) -> bool {
    if CHOSEN.load(Ordering::Relaxed) == UNREAD {
        let chosen = std::env::var("VERTEBRA_MUTANT").map_or(0, |number| number.parse().expect("a number"));
        let traced = std::env::var_os("VERTEBRA_MUTANT_TRACE").is_some();
        CHOSEN.store(if traced { TRACE } else { chosen }, Ordering::Relaxed);
    }
    if CHOSEN.load(Ordering::Relaxed) == TRACE && !REACHED[number as usize].swap(true, Ordering::Relaxed) {
        let path = std::env::var_os("VERTEBRA_MUTANT_TRACE").expect("it was there before");
        let mut file = std::fs::File::options().create(true).append(true).open(path).expect("a file to write to");
        file.write_all(format!("{number}\n").as_bytes()).expect("room for a number");
    }
    CHOSEN.load(Ordering::Relaxed) == number
}
