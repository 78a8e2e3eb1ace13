//! Options that differ from the usual ones, and how to put one of them back.
//!
//! It goes by what is written of them, field by field, so that a field that a system gets tomorrow needs nothing here.

use serde_json::Value;
use vertebra_sim::schedule::Operations;

use crate::Subject;

/// A field that differs: the names that lead to it, and its usual value, where it usually is there.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
    pub path: Vec<String>,
    usual: Option<Value>,
}

/// What of `options` is not as usual. The size of the cluster and what clients perform are no part of that.
pub fn differences<S: Subject>(options: &S::Options) -> Vec<Difference> {
    let Some((usual, actual)) = comparable::<S>(options) else { return Vec::new() };
    let mut differences = Vec::new();
    compare(&usual, &actual, &mut Vec::new(), &mut differences);
    differences
}

/// Options as they would be without some of their differences from the usual ones, the greatest step first: without
/// all, then without each, then without each entry of each list. `from` counts the first that are left out.
pub fn plainer<S: Subject>(options: &S::Options) -> Vec<S::Options> {
    let Some((_, actual)) = comparable::<S>(options) else { return Vec::new() };
    let differences = differences::<S>(options);
    let mut values = Vec::new();
    let mut all = actual.clone();
    differences.iter().for_each(|difference| put(&mut all, &difference.path, difference.usual.as_ref()));
    values.push(all);
    for Difference { path, usual } in &differences {
        let mut one = actual.clone();
        put(&mut one, path, usual.as_ref());
        values.push(one);
    }
    for Difference { path, .. } in &differences {
        let Some(Value::Array(list)) = get(&actual, path).filter(|list| list.as_array().is_some()) else {
            continue;
        };
        for gone in (0..list.len()).filter(|_| list.len() > 1) {
            let mut rest = list.clone();
            rest.remove(gone);
            let mut shorter = actual.clone();
            put(&mut shorter, path, Some(&Value::Array(rest)));
            values.push(shorter);
        }
    }
    values.retain(|value| *value != actual);
    read::<S>(options, values)
}

/// Options with one of their unusual whole numbers made smaller, the greatest step first. As a rule such a number is a
/// limit, and the smaller it is, the fewer operations it takes to reach it.
pub fn smaller<S: Subject>(options: &S::Options) -> Vec<S::Options> {
    let Some((_, actual)) = comparable::<S>(options) else { return Vec::new() };
    let mut values = Vec::new();
    for Difference { path, .. } in differences::<S>(options) {
        let Some(number) = get(&actual, &path).and_then(Value::as_u64) else { continue };
        let mut less = [number / 8, number / 4, number / 2, number / 4 * 3].to_vec();
        less.retain(|less| (1..number).contains(less));
        less.dedup();
        values.extend(less.into_iter().map(|less| {
            let mut smaller = actual.clone();
            put(&mut smaller, &path, Some(&less.into()));
            smaller
        }));
    }
    read::<S>(options, values)
}

/// The options that these values are, as far as they are any, with what clients perform in `options`.
fn read<S: Subject>(options: &S::Options, values: Vec<Value>) -> Vec<S::Options> {
    let operations = S::performed(&mut options.clone()).cloned();
    let read = values.into_iter().filter_map(|value| serde_json::from_value::<S::Options>(value).ok());
    read.map(|mut read| {
        if let (Some(place), Some(operations)) = (S::performed(&mut read), &operations) {
            place.clone_from(operations);
        }
        read
    })
    .collect()
}

/// The usual options and these as values, alike in what is none of the options' business here.
fn comparable<S: Subject>(options: &S::Options) -> Option<(Value, Value)> {
    let (mut usual, mut actual) = (S::usual()?, options.clone());
    let shape = S::shape(options).ok()?;
    S::set_members(&mut usual, shape.members);
    S::set_clients(&mut usual, shape.clients);
    for options in [&mut usual, &mut actual] {
        if let Some(operations) = S::performed(options) {
            *operations = Operations::default();
        }
    }
    Some((serde_json::to_value(usual).ok()?, serde_json::to_value(actual).ok()?))
}

fn compare(usual: &Value, actual: &Value, path: &mut Vec<String>, differences: &mut Vec<Difference>) {
    let (Value::Object(usual_fields), Value::Object(actual_fields)) = (usual, actual) else {
        if usual != actual {
            differences.push(Difference { path: path.clone(), usual: Some(usual.clone()) });
        }
        return;
    };
    for (name, actual) in actual_fields {
        path.push(name.clone());
        match usual_fields.get(name) {
            Some(usual) => compare(usual, actual, path, differences),
            None => differences.push(Difference { path: path.clone(), usual: None }),
        }
        path.pop();
    }
    for (name, usual) in usual_fields.iter().filter(|(name, _)| !actual_fields.contains_key(*name)) {
        let path = path.iter().chain([name]).cloned().collect();
        differences.push(Difference { path, usual: Some(usual.clone()) });
    }
}

fn get<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

fn put(value: &mut Value, path: &[String], new: Option<&Value>) {
    let Some((last, tables)) = path.split_last() else { return };
    let table = tables.iter().try_fold(value, |value, name| value.get_mut(name));
    let Some(Value::Object(table)) = table else { return };
    match new {
        Some(new) => drop(table.insert(last.clone(), new.clone())),
        None => drop(table.remove(last)),
    }
}
