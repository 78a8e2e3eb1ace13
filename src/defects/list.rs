//! The list.

use std::collections::BTreeSet;

use anstyle::{AnsiColor, Style};
use clap::Args;

use crate::exit::{Outcome, Refusal};
use crate::output::Output;
use crate::words::counted;
use crate::{Planted, Subject};

/// Flags of `vertebra defects list`.
#[derive(Args, Debug)]
pub struct Listing {
    /// Only those of one of these classes; may be repeated
    #[arg(long = "class", value_name = "CLASS", value_delimiter = ',')]
    classes: Vec<String>,
    /// Only those of which this is said, in whichever case
    #[arg(long, value_name = "TEXT")]
    about: Option<String>,
}

impl Listing {
    fn takes(&self, planted: &Planted) -> bool {
        let is_of_class = self.classes.is_empty() || self.classes.iter().any(|class| class == planted.class);
        let is_about = self.about.as_ref().is_none_or(|text| {
            let Planted { name, title, references, versions, mechanism, .. } = planted;
            let said = [*name, title, versions, mechanism].into_iter().chain(references.iter().copied());
            let text = text.to_lowercase();
            said.into_iter().any(|said| said.to_lowercase().contains(&text))
        });
        is_of_class && is_about
    }
}

pub fn list<S: Subject>(listing: &Listing, json: bool) -> Result<Outcome, Refusal> {
    let all = S::defects();
    let classes: BTreeSet<_> =
        all.iter().map(|planted| planted.class).filter(|class| !class.is_empty()).collect();
    if let Some(unknown) = listing.classes.iter().find(|class| !classes.contains(class.as_str())) {
        let known: Vec<_> = classes.into_iter().collect();
        return Err(Refusal::new(format!("there is no class `{unknown}`; there are: {}", known.join(", "))));
    }
    let listed: Vec<_> = all.iter().filter(|planted| listing.takes(planted)).collect();
    let mut out = Output::stdout();
    if json {
        listed.iter().for_each(|planted| out.json(planted));
        out.finish()?;
        return Ok(Outcome::Pass);
    }
    let width = listed.iter().map(|planted| planted.name.len()).max().unwrap_or_default();
    for planted in &listed {
        let name = format!("{:width$}", planted.name);
        let name = out.paint(AnsiColor::Cyan.on_default(), name);
        let seen = match planted.references.first() {
            Some(reference) => format!("  ({reference})"),
            None => String::new(),
        };
        let seen = out.paint(Style::new().dimmed(), seen);
        out.line(format_args!("{name}  {:<15}  {}{seen}", planted.class, planted.title));
    }
    out.line(format_args!("{} of {}", counted(listed.len() as u64, "defect"), all.len()));
    out.finish()?;
    Ok(Outcome::Pass)
}
