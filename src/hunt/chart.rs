//! A picture of a hunt: a row for each bug, from those that are found soon to those that are found late. The further a row's band
//! goes on, and the darker it still is, the more trials had not found it after so many seeds.

use std::fmt::Write;

use super::statistics::Estimate;
use super::tally::Tally;
use crate::words::{Count, counted};

const LEFT: f64 = 250.0;
const WIDTH: f64 = 560.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 56.0;
const ROW: f64 = 16.0;
const BAND: f64 = 9.0;

/// Where so many seeds are, from left to right.
struct Axis {
    last: f64,
}

impl Axis {
    fn at(&self, seeds: f64) -> f64 {
        LEFT + WIDTH * seeds.max(1.0).log10() / self.last.log10()
    }
}

/// The picture, as SVG.
pub fn draw(tallies: &[Tally], seeds: u64) -> String {
    let axis = Axis { last: (seeds as f64).max(10.0) };
    let mut rows: Vec<&Tally> = tallies.iter().collect();
    rows.sort_by(|one, other| {
        let place = |tally: &Tally| (tally.seeds.median.unwrap_or(f64::INFINITY), -(tally.found as f64));
        let (one, other) = (place(one), place(other));
        one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1))
    });
    let height = TOP + ROW * rows.len() as f64 + 24.0;
    let width = LEFT + WIDTH + RIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"13\" font-weight=\"bold\" fill=\"#1f2933\">Seeds until a planted bug is \
         found</text>\n<text x=\"{LEFT}\" y=\"34\" fill=\"#52606d\">band: share of trials that have not found it yet; \
         dot and line: median and its 95 % interval</text>\n"
    );
    let bottom = TOP + ROW * rows.len() as f64;
    for power in 0..=9 {
        let seeds = 10_u64.pow(power);
        if seeds as f64 > axis.last {
            break;
        }
        let x = axis.at(seeds as f64);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#d9e2ec\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#52606d\">{}</text>",
            bottom + 14.0,
            Count(seeds)
        );
    }
    for (index, tally) in rows.into_iter().enumerate() {
        row(&mut svg, &axis, tally, TOP + ROW * index as f64 + ROW / 2.0);
    }
    svg + "</svg>\n"
}

fn row(svg: &mut String, axis: &Axis, tally: &Tally, y: f64) {
    let ink = if tally.found == 0 { "#c81e1e" } else { "#1f2933" };
    let _ = writeln!(
        svg,
        "<g><title>{}: {} in {}</title><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{ink}\">{}</text>",
        tally.name,
        counted(tally.found, "find"),
        counted(tally.trials, "trial"),
        LEFT - 8.0,
        y + 4.0,
        tally.name
    );
    let steps = tally.survival.iter().map(|(seeds, left)| (*seeds as f64, *left));
    let ends = tally.survival.iter().skip(1).map(|(seeds, _)| *seeds as f64).chain([axis.last]);
    let first = tally.survival.first().map_or(axis.last, |(seeds, _)| *seeds as f64);
    let parts = [(1.0, 1.0)].into_iter().chain(steps).zip([first].into_iter().chain(ends));
    for ((from, left), to) in parts {
        let (from, to) = (axis.at(from), axis.at(to));
        if left > 0.0 && to > from {
            let _ = write!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAND}\" fill=\"#627d98\" \
                 fill-opacity=\"{:.2}\"/>",
                y - BAND / 2.0,
                to - from,
                left * 0.7
            );
        }
    }
    let Estimate { median, low, high } = tally.seeds;
    if let Some(low) = low {
        let (from, to) = (axis.at(low), axis.at(high.unwrap_or(axis.last)));
        let _ = write!(
            svg,
            "<line x1=\"{from:.1}\" y1=\"{y:.1}\" x2=\"{to:.1}\" y2=\"{y:.1}\" stroke=\"#e12d39\" stroke-width=\"1.5\"/>"
        );
    }
    if let Some(median) = median {
        let _ =
            write!(svg, "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3.2\" fill=\"#e12d39\"/>", axis.at(median));
    }
    svg.push_str("</g>\n");
}
