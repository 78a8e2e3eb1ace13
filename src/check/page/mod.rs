//! A page that shows histories: a row for each process, a bar for each operation, from its invocation to its return.
//!
//! | | where |
//! | --- | --- |
//! | what is drawn of a history | `drawing` |
//! | which operations are drawn, and where | `layout` |
//! | how it looks | `page.css` |
//!
//! The page stands for itself: it loads nothing, runs nothing and stays readable when everything but its text is gone.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use self::drawing::{Drawing, Mark, Row};
use self::layout::{Layout, MARKED_MAX};
use super::history::History;
use super::tell::Verdict;
use crate::exit::Refusal;
use crate::words::{Count, counted};
use crate::written;

mod drawing;
mod layout;

/// Among so many operations, those that are marked are seen at once. Otherwise they are drawn before all others.
const AT_A_GLANCE: usize = 12;

/// What a page begins with.
const DOCTYPE: &str = "<!DOCTYPE html>";

const STYLE: &str = include_str!("page.css");

/// A page that is being made.
pub struct Page {
    path: PathBuf,
    file: File,
    sections: String,
    count: usize,
}

impl Page {
    /// Makes the file, so that it is known at once whether that can be. It takes the place of another page, and of nothing
    /// else: of `--html *.log`, the first one would be the page.
    pub fn new(path: &Path) -> Result<Self, Refusal> {
        if !is_free(path) {
            let reason = "this file is there, and is no page; name another one for the page";
            return Err(Refusal::new(format!("{}: {reason}", path.display())));
        }
        let file = written::create(path).map_err(|error| cannot(path, &error))?;
        Ok(Self { path: path.to_owned(), file, sections: String::new(), count: 0 })
    }

    /// Draws a history and its verdict.
    pub fn add(&mut self, history: &History, verdict: &Verdict) {
        section(&mut self.sections, self.count, &Drawing::of(history, verdict));
        self.count += 1;
    }

    /// Tells of a file that is no history.
    pub fn refused(&mut self, path: &Path, why: &Refusal) {
        let (title, why) = (path.display().to_string(), why.to_string());
        let verdict = "<strong class=\"unknown\">not read</strong>";
        let _ = writeln!(
            self.sections,
            "<section>\n<h1>{}</h1>\n<p>{verdict} {}</p>\n</section>",
            Text(&title),
            Text(&why)
        );
        self.count += 1;
    }

    /// Writes all of it.
    pub fn finish(mut self) -> Result<(), Refusal> {
        let page = format!(
            "{DOCTYPE}\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}{LEGEND}</body>\n</html>\n",
            if self.count == 1 { "A history" } else { "Histories" },
            self.sections
        );
        self.file.write_all(page.as_bytes()).map_err(|error| cannot(&self.path, &error))
    }
}

/// Whether nothing is lost with what is there.
fn is_free(path: &Path) -> bool {
    // To open a pipe would be to wait for it.
    if !path.metadata().is_ok_and(|there| there.is_file() && there.len() > 0) {
        return true;
    }
    let mut beginning = [0; DOCTYPE.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut beginning));
    read.is_ok() && beginning == *DOCTYPE.as_bytes()
}

fn cannot(path: &Path, error: &std::io::Error) -> Refusal {
    Refusal::new(format!("{}: {error}", path.display()))
}

/// What the colours mean.
const LEGEND: &str = "<footer>\n<p><span class=\"bar known\">answered</span> <span class=\"bar open\">unknown: it may have taken \
effect at any time since, or never</span> <span class=\"bar refused\">refused</span> <span class=\"bar contradicts\">contradicts \
the others like it</span> <span class=\"bar unexplained\">the first that nothing explains</span></p>\n<p>From left to right is the \
order of what happened, and not how long it took. Point at a bar to read all of it.</p>\n</footer>\n";

/// Text, as it stands in a page.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // A page cannot have these, whatever is written for them.
                control if control.is_control() && control != '\n' => f.write_char('\u{fffd}')?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A history as a part of the page. Writing to a text cannot fail.
fn section(to: &mut String, number: usize, drawing: &Drawing<'_>) {
    let layout = Layout::of(drawing);
    let Drawing { title, verdict, of, facts, .. } = drawing;
    let _ = writeln!(to, "<section>\n<h1>{}</h1>", Text(title));
    let _ = writeln!(to, "<p><strong class=\"{verdict}\">{verdict}</strong> {}</p>", Text(of));
    if !facts.is_empty() {
        let _ = writeln!(to, "<p class=\"facts\">{}</p>", Text(&facts.join("\n")));
    }
    contradiction(to, number, drawing);
    if drawing.marked().next().is_some() && layout.bars.len() > AT_A_GLANCE {
        let note = "Each of these bars leads to its place among the others, below.";
        let _ = writeln!(to, "<p class=\"note\">{note}</p>");
        chart(to, drawing, &Layout::close(drawing), &Naming::Leading(number));
    }
    notes(to, drawing, &layout);
    if !layout.bars.is_empty() {
        chart(to, drawing, &layout, &Naming::Named(number));
    }
    let _ = writeln!(to, "</section>");
}

/// The operations that contradict each other, in words.
fn contradiction(to: &mut String, number: usize, drawing: &Drawing<'_>) {
    let Some(why) = &drawing.why else { return };
    let (first, rest) = why.split_at(why.chars().next().map_or(0, char::len_utf8));
    let _ = writeln!(to, "<p>{}{}</p>\n<ul>", first.to_uppercase(), Text(rest));
    let marked: Vec<usize> = drawing.marked().collect();
    let more = marked.len().saturating_sub(MARKED_MAX);
    if more > 0 {
        let _ = writeln!(to, "<li>{} before these</li>", counted(more as u64, "operation"));
    }
    for place in marked.into_iter().skip(more) {
        let said = drawing.said(place);
        let (row, at) = (drawing.spans[place].row.to_string(), said.at);
        let _ = writeln!(
            to,
            "<li><a href=\"#h{number}-{place}\">{}</a> <code>{}</code> &rarr; <code>{}</code> <small>{}</small></li>",
            Text(&row),
            Text(&said.asked),
            Text(&said.answered),
            Text(&at)
        );
    }
    let _ = writeln!(to, "</ul>");
}

/// What is not drawn, and where in all what is drawn stands.
fn notes(to: &mut String, drawing: &Drawing<'_>, layout: &Layout) {
    for note in &drawing.notes {
        let _ = writeln!(to, "<p class=\"note\">{}</p>", Text(note));
    }
    let (drawn, all) = (layout.bars.len(), drawing.spans.len());
    if drawn == all {
        return;
    }
    let around = if drawing.marked().next().is_some() {
        "around those that contradict each other"
    } else {
        "at first"
    };
    let _ = writeln!(
        to,
        "<p class=\"note\">{} of {} are drawn: what happened {around}. Hatched stripes stand for what is left out.</p>",
        Count(drawn as u64),
        drawing.counted(all)
    );
    let _ = writeln!(
        to,
        "<svg class=\"strip\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"where that is\">"
    );
    for [from, to_] in &layout.windows {
        let width = (to_ - from).max(1.0);
        let _ = writeln!(to, "<rect x=\"{from:.1}\" width=\"{width:.1}\" height=\"10\"/>");
    }
    for at in &layout.marks {
        let _ = writeln!(to, "<rect class=\"mark\" x=\"{at}\" width=\"2\" height=\"10\"/>");
    }
    let _ = writeln!(to, "</svg>");
}

/// What a bar is to the links of a page, in the section of some number.
enum Naming {
    /// It is where they lead to.
    Named(usize),
    /// It is one of them.
    Leading(usize),
}

fn chart(to: &mut String, drawing: &Drawing<'_>, layout: &Layout, naming: &Naming) {
    let _ = writeln!(
        to,
        "<div class=\"chart\" tabindex=\"0\"><div class=\"plot\" style=\"width:{}px\">",
        layout.width
    );
    for (at, count) in &layout.breaks {
        let title = format!("{} not drawn", counted(*count as u64, "event"));
        let _ = writeln!(to, "<div class=\"break\" style=\"left:{at}px\" title=\"{title}\"></div>");
    }
    for (rows, bars) in &layout.lanes {
        let names = names(rows);
        let names = Text(&names);
        let _ = writeln!(to, "<div class=\"row\"><div class=\"who\" title=\"{names}\">{names}</div>");
        for bar in bars.iter().map(|bar| &layout.bars[*bar]) {
            let (span, said) = (&drawing.spans[bar.place], drawing.said(bar.place));
            let class = match (drawing.mark(bar.place), span.returned, said.is_refused) {
                (Mark::Unexplained, ..) => "unexplained",
                (Mark::Contradicts, ..) => "contradicts",
                (Mark::None, _, true) => "refused",
                (Mark::None, None, _) => "open",
                (Mark::None, Some(_), _) => "known",
            };
            let open = if span.returned.is_none() { " open" } else { "" };
            let (element, link) = match naming {
                Naming::Named(section) => ("div", format!("id=\"h{section}-{}\"", bar.place)),
                Naming::Leading(section) => ("a", format!("href=\"#h{section}-{}\"", bar.place)),
            };
            let (asked, answered, row) = (Text(&said.asked), Text(&said.answered), span.row.to_string());
            let _ = writeln!(
                to,
                "<{element} class=\"bar {class}{open}\" {link} style=\"left:{}px;width:{}px\" \
                 title=\"{asked}\n{answered}\n{}, {}\">{asked} &rarr; {answered}</{element}>",
                bar.left,
                bar.width,
                Text(&row),
                Text(&said.at)
            );
        }
        let _ = writeln!(to, "</div>");
    }
    let _ = writeln!(to, "</div></div>");
}

/// The names of rows that share a lane: `session 3, 17`.
fn names(rows: &[Row]) -> String {
    let mut names = String::new();
    let mut last = None;
    for (kind, number) in rows.iter().map(|row| row.named()) {
        let _ = match last.replace(kind) {
            None => write!(names, "{kind} {number}"),
            Some(last) if last == kind => write!(names, ", {number}"),
            Some(_) => write!(names, ", {kind} {number}"),
        };
    }
    names
}

#[cfg(test)]
mod tests;
