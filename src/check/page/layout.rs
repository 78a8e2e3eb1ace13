//! Which operations of a history are drawn, and where.
//!
//! From left to right stand the events of those that are drawn, in their order; how far apart depends on what is to be read
//! between them. Of a long history only what is near to the operations that are marked is drawn, or its beginning if none is.

use std::collections::{BTreeMap, BTreeSet};

use super::drawing::{Drawing, Row};

/// So many operations can be looked through.
const DRAWN_MAX: usize = 400;
/// So many of those that are marked are drawn for certain, and told in words: the last ones, which are the nearest to what
/// nothing explains.
pub const MARKED_MAX: usize = 40;
/// What is marked alone is shown with so many others.
const BESIDE_ONE: usize = 8;
/// With more rows than this, those of whom one comes after the other share one.
const ROWS_MAX: usize = 16;
/// Pixels between two events, at least.
const STEP: usize = 12;
/// And where events are left out.
const BREAK: usize = 40;
/// Left of all: the names of the rows.
const MARGIN: usize = 130;
/// How wide a bar must be for what it says.
const CHARACTER: usize = 7;
const PADDING: usize = 16;
/// And may be: among many, and among few.
const WIDTH_MAX: usize = 250;
const WIDTH_CLOSE_MAX: usize = 460;

/// A bar: an operation that is drawn.
pub struct Bar {
    /// The place of the operation.
    pub place: usize,
    pub left: usize,
    pub width: usize,
}

/// Bars that stand beside each other: whose they are, and their numbers.
pub type Lane = (Vec<Row>, Vec<usize>);

/// Where everything is, in pixels.
pub struct Layout {
    pub width: usize,
    pub bars: Vec<Bar>,
    pub lanes: Vec<Lane>,
    /// Where events are left out, and how many.
    pub breaks: Vec<(usize, usize)>,
    /// In thousandths of the whole: from where to where it is drawn, and where the marked operations are.
    pub windows: Vec<[f64; 2]>,
    pub marks: Vec<usize>,
}

/// An event: its time, the operation, and whether that returns.
type Event = (u64, usize, bool);

impl Layout {
    /// All that is drawn.
    pub fn of(drawing: &Drawing<'_>) -> Self {
        Self::with(drawing, DRAWN_MAX, WIDTH_MAX)
    }

    /// What is marked, and little else.
    pub fn close(drawing: &Drawing<'_>) -> Self {
        let drawn = match drawing.marked().count() {
            1 => 1 + BESIDE_ONE,
            marked => marked.min(MARKED_MAX),
        };
        Self::with(drawing, drawn, WIDTH_CLOSE_MAX)
    }

    fn with(drawing: &Drawing<'_>, drawn_max: usize, width_max: usize) -> Self {
        let mut events: Vec<Event> = Vec::with_capacity(2 * drawing.spans.len());
        for (place, span) in drawing.spans.iter().enumerate() {
            events.push((span.invoked, place, false));
            events.extend(span.returned.map(|returned| (returned, place, true)));
        }
        events.sort_unstable();
        let chosen = chosen(drawing, &events, drawn_max);
        let mut new = Self {
            width: 0,
            bars: chosen.iter().map(|place| Bar { place: *place, left: 0, width: 0 }).collect(),
            lanes: Vec::new(),
            breaks: Vec::new(),
            windows: Vec::new(),
            marks: Vec::new(),
        };
        new.place(drawing, &events, &chosen, width_max);
        new.lanes = new.lanes(drawing);
        new.end_open_bars(drawing);
        let marked: BTreeSet<usize> = drawing.marked().collect();
        let marks = (0..).zip(&events).filter(|(_, event)| marked.contains(&event.1));
        new.marks = marks.map(|(rank, _)| thousandth(rank, events.len()) as usize).collect();
        new.marks.dedup();
        new
    }

    /// Gives each bar its place, and tells what is left out.
    fn place(&mut self, drawing: &Drawing<'_>, events: &[Event], chosen: &BTreeSet<usize>, width_max: usize) {
        let numbers: BTreeMap<usize, usize> = chosen.iter().copied().zip(0..).collect();
        let share = |rank: usize| thousandth(rank, events.len());
        let (mut x, mut skipped) = (MARGIN, 0);
        for (rank, (_, place, returns)) in events.iter().enumerate() {
            let Some(&number) = numbers.get(place) else {
                skipped += 1;
                continue;
            };
            if skipped > 0 {
                self.leave_out(&mut x, std::mem::take(&mut skipped));
            }
            if self.windows.len() <= self.breaks.len() {
                self.windows.push([share(rank); 2]);
            }
            if let Some(window) = self.windows.last_mut() {
                window[1] = share(rank + 1);
            }
            let bar = &mut self.bars[number];
            if *returns {
                x = (x + STEP).max(bar.left + bar.width);
                bar.width = x - bar.left;
            } else {
                x += STEP;
                *bar = Bar { place: *place, left: x, width: wanted(drawing, *place).min(width_max) };
                self.width = self.width.max(x + bar.width);
            }
        }
        if skipped > 0 {
            self.leave_out(&mut x, skipped);
        }
        self.width = self.width.max(x) + PADDING;
    }

    /// Here so many events are left out.
    fn leave_out(&mut self, x: &mut usize, events: usize) {
        self.breaks.push((*x + BREAK / 2, events));
        *x += BREAK;
    }

    /// A lane for each row; if there are many, one for those of whom one is over when the next begins.
    fn lanes(&self, drawing: &Drawing<'_>) -> Vec<Lane> {
        let mut rows: BTreeMap<Row, Vec<usize>> = BTreeMap::new();
        for (number, bar) in self.bars.iter().enumerate() {
            rows.entry(drawing.spans[bar.place].row).or_default().push(number);
        }
        let left = |bars: &[usize]| bars.iter().map(|bar| self.bars[*bar].left).min().unwrap_or_default();
        let right =
            |bars: &[usize]| bars.iter().map(|bar| self.bars[*bar].left + self.bars[*bar].width).max();
        let is_shared = rows.len() > ROWS_MAX;
        let mut rows: Vec<(Row, Vec<usize>)> = rows.into_iter().collect();
        if is_shared {
            rows.sort_by_key(|(_, bars)| left(bars));
        }
        let mut lanes: Vec<Lane> = Vec::new();
        for (row, bars) in rows {
            let is_free = |lane: &&mut Lane| right(&lane.1).is_some_and(|right| right + STEP <= left(&bars));
            match lanes.iter_mut().find(|lane| is_shared && is_free(lane)) {
                Some((rows, lane)) => {
                    rows.push(row);
                    lane.extend(bars);
                }
                None => lanes.push((vec![row], bars)),
            }
        }
        lanes
    }

    /// What has no end reaches to the end of all, or to what its lane has next.
    fn end_open_bars(&mut self, drawing: &Drawing<'_>) {
        for (_, bars) in &mut self.lanes {
            bars.sort_by_key(|bar| self.bars[*bar].left);
            let mut next = self.width;
            for bar in bars.iter().rev().copied() {
                let bar = &mut self.bars[bar];
                if drawing.spans[bar.place].returned.is_none() {
                    bar.width = next.saturating_sub(bar.left + 2);
                }
                next = bar.left;
            }
        }
    }
}

/// Where in the whole something stands.
fn thousandth(rank: usize, all: usize) -> f64 {
    rank as f64 * 1_000.0 / all.max(1) as f64
}

/// How wide a bar is to be.
fn wanted(drawing: &Drawing<'_>, place: usize) -> usize {
    let said = drawing.said(place);
    let characters = said.asked.chars().count() + said.answered.chars().count() + 3;
    characters * CHARACTER + PADDING
}

/// The operations that are drawn.
fn chosen(drawing: &Drawing<'_>, events: &[Event], drawn_max: usize) -> BTreeSet<usize> {
    let all = drawing.spans.len();
    if all <= drawn_max {
        return (0..all).collect();
    }
    let marked: Vec<usize> = drawing.marked().collect();
    let marked: BTreeSet<usize> = marked.iter().rev().take(MARKED_MAX).copied().collect();
    // Outwards from each of their events, until there is enough.
    let mut ranks: Vec<usize> =
        (0..).zip(events).filter(|(_, event)| marked.contains(&event.1)).map(|(rank, _)| rank).collect();
    if ranks.is_empty() {
        ranks.push(0);
    }
    let mut chosen = marked;
    for distance in 0..events.len() {
        for rank in &ranks {
            let near = [rank.checked_sub(distance), Some(rank + distance)];
            for (_, place, _) in near.into_iter().flatten().filter_map(|rank| events.get(rank)) {
                if chosen.len() >= drawn_max {
                    return chosen;
                }
                chosen.insert(*place);
            }
        }
    }
    chosen
}
