//! The form that porcupine's viewer draws, with each field that porcupine's own code has and with no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;

/// What porcupine's viewer is given.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Data {
    pub partitions: Vec<Partition>,
    pub annotations: Vec<Annotation>,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Partition {
    pub history: Vec<Element>,
    pub partial_linearizations: Vec<Vec<Linearized>>,
    pub largest: BTreeMap<usize, usize>,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Element {
    #[serde(rename = "ClientId")]
    pub _client_id: u32,
    pub start: u64,
    pub original_start: String,
    pub end: u64,
    pub original_end: String,
    pub description: String,
    #[serde(rename = "Metadata")]
    pub _metadata: String,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Linearized {
    pub index: usize,
    pub state_description: String,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Annotation {
    #[serde(rename = "ClientId")]
    pub _client_id: u32,
    pub tag: String,
    pub start: u64,
    pub end: u64,
    pub description: String,
    pub details: String,
    pub annotation: bool,
    #[serde(rename = "TextColor")]
    pub _text_color: String,
    #[serde(rename = "BackgroundColor")]
    pub _background_color: String,
}

/// Holds a file against what porcupine's viewer draws: the ranks are of the times and of nothing else, and what it takes for
/// HTML is that.
#[track_caller]
pub fn holds_to_the_form(file: &Path) -> Data {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let data: Data =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut times = BTreeMap::new();
    for element in data.partitions.iter().flat_map(|partition| &partition.history) {
        assert!(element.end > element.start, "{element:?}");
        assert!(!element.description.is_empty());
        for (rank, time) in [(element.start, &element.original_start), (element.end, &element.original_end)] {
            let time: u64 = time.parse().unwrap_or_else(|_| panic!("{element:?}"));
            assert_eq!(rank % 100, 0, "{element:?}");
            assert_eq!(*times.entry(time).or_insert(rank), rank, "{element:?}");
        }
    }
    // In the order of the times, and less than what a number of JavaScript can be.
    let ranks: Vec<u64> = times.into_values().collect();
    assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]));
    for partition in &data.partitions {
        let orders = &partition.partial_linearizations;
        // The viewer asks each for its last step.
        assert!(orders.iter().all(|order| !order.is_empty()));
        assert!(orders.windows(2).all(|pair| pair[0].len() >= pair[1].len()));
        for (place, order) in &partition.largest {
            assert!(orders[*order].iter().any(|step| step.index == *place));
        }
        for step in orders.iter().flatten() {
            assert!(step.index < partition.history.len());
            assert!(!step.state_description.replace("<br>", "").contains('<'), "{step:?}");
        }
    }
    let mut points = BTreeSet::new();
    for annotation in &data.annotations {
        assert!(
            annotation.annotation && annotation.end >= annotation.start && !annotation.description.is_empty()
        );
        assert!(!annotation.details.replace("<br>", "").contains('<'), "{annotation:?}");
        // The viewer cannot tell two of the same tag and time apart.
        let is_new = points.insert((annotation.tag.clone(), annotation.start));
        assert!(annotation.tag.is_empty() || is_new, "{annotation:?}");
    }
    data
}
