//! The events of Jepsen's histories: as its log has them, as maps in EDN, and as objects in JSON.
//!
//! ```text
//! INFO  jepsen.util - 3   :invoke :cas    [1 4]
//! {:process 0, :type :invoke, :f :append, :key "0", :value "x"}
//! {"process":0,"type":"invoke","f":"txn","value":[["append",9,1],["r",9,null]]}
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use clojure_reader::edn::{Edn, read_string};

/// What an event says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Somebody asks.
    Invoke,
    /// It was done.
    Ok,
    /// It was not.
    Fail,
    /// Nobody knows.
    Info,
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    pub process: i64,
    pub kind: Kind,
    /// What is asked for; empty where that is not said.
    pub function: Cow<'a, str>,
    /// Of what; nothing where there is one of them.
    pub key: Option<Edn<'a>>,
    pub value: Edn<'a>,
    /// A `:cas` that fails has found something else there. Elsewhere it may have failed for any reason.
    pub fails_by_value: bool,
}

/// The event on a line; nothing if there is none.
///
/// # Errors
///
/// A sentence that says what is wrong with it.
pub fn event(line: &str) -> Result<Option<Event<'_>>, String> {
    let line = line.trim();
    if line.is_empty() {
        Ok(None)
    } else if line.starts_with('{') {
        of_edn(line)
    } else {
        of_log(line)
    }
}

/// No event has values within values deeper than this. What shows a value walks down into it.
pub const DEPTH_MAX: usize = 100;

/// Why something is refused that is deeper.
pub fn too_deep() -> String {
    format!(
        "values are nested more than {DEPTH_MAX} deep here, which no event of a history needs: see how this was recorded"
    )
}

fn edn(text: &str) -> Result<Edn<'_>, String> {
    let value = read_string(text).map_err(|error| {
        let at = error.column.map_or(String::new(), |column| format!(" at column {column}"));
        format!("`{}`: {:?}{at}", beginning(&text), error.code)
    })?;
    if is_too_deep(&value) { Err(too_deep()) } else { Ok(value) }
}

/// Whether what tags and brackets enclose is too deep. Nothing is called for each level.
fn is_too_deep(value: &Edn<'_>) -> bool {
    let mut left = vec![(value, 0)];
    while let Some((value, depth)) = left.pop() {
        if depth > DEPTH_MAX {
            return true;
        }
        match value {
            Edn::Vector(values) | Edn::List(values) => {
                left.extend(values.iter().map(|value| (value, depth + 1)))
            }
            Edn::Set(values) => left.extend(values.iter().map(|value| (value, depth + 1))),
            Edn::Map(fields) => {
                left.extend(fields.iter().flat_map(|(name, value)| [(name, depth + 1), (value, depth + 1)]));
            }
            Edn::Tagged(_, value) => left.push((value, depth + 1)),
            _ => {}
        }
    }
    false
}

fn kind(name: &str) -> Result<Kind, String> {
    Ok(match name {
        "invoke" => Kind::Invoke,
        "ok" => Kind::Ok,
        "fail" => Kind::Fail,
        "info" => Kind::Info,
        other => {
            return Err(format!("there is no type `{}`: it is invoke, ok, fail or info", beginning(&other)));
        }
    })
}

/// A line of a log of Jepsen. Those of its nemesis, and of others than `jepsen.util`, are no events.
fn of_log(line: &str) -> Result<Option<Event<'_>>, String> {
    let Some((_, line)) = line.split_once("jepsen.util - ") else {
        return match line.split_whitespace().next() {
            Some("INFO" | "WARN" | "ERROR" | "DEBUG") => Ok(None),
            _ => Err("it is neither a line of a log nor a map".to_owned()),
        };
    };
    // Mostly tabs are between them, and sometimes spaces.
    let mut rest = line.trim_start();
    let mut word = || {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind.trim_start();
        word
    };
    let (process, name, function) = (word(), word(), word());
    if process.starts_with(':') {
        return Ok(None);
    }
    let process = process.parse().map_err(|_| format!("`{}` is no process", beginning(&process)))?;
    let kind = kind(name.trim_start_matches(':'))?;
    let function = Cow::Borrowed(function.trim_start_matches(':'));
    Ok(Some(Event { process, kind, function, key: None, value: edn(rest)?, fails_by_value: true }))
}

/// The event that a map in EDN is. What the nemesis does is none.
///
/// # Errors
///
/// A sentence that says what is wrong with it.
pub fn of_edn(form: &str) -> Result<Option<Event<'_>>, String> {
    let mut form = edn(form)?;
    // Newer versions of Jepsen write `#jepsen.history.Op{...}`.
    while let Edn::Tagged(_, inner) = &mut form {
        form = std::mem::replace(&mut **inner, Edn::Nil);
    }
    of_fields(form)
}

/// The event that an object in JSON is.
///
/// # Errors
///
/// A sentence that says what is wrong with it.
pub fn of_json(form: &str) -> Result<Option<Event<'_>>, String> {
    let object: serde_json::Value =
        serde_json::from_str(form).map_err(|error| format!("`{}`: {error}", beginning(&form)))?;
    of_fields(from_json(object))
}

/// What JSON says, as EDN. The names of fields become keywords, and text stays text.
fn from_json(value: serde_json::Value) -> Edn<'static> {
    use serde_json::Value;
    match value {
        Value::Null => Edn::Nil,
        Value::Bool(value) => Edn::Bool(value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Edn::Int(number),
            None => Edn::Str(number.to_string().into()),
        },
        Value::String(text) => Edn::Str(text.into()),
        Value::Array(elements) => Edn::Vector(elements.into_iter().map(from_json).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (Edn::Key(name.into()), from_json(value)));
            Edn::Map(fields.collect::<BTreeMap<_, _>>())
        }
    }
}

/// A keyword, or the text in its place that JSON has.
pub fn name<'e>(value: &'e Edn<'_>) -> Option<&'e str> {
    match value {
        Edn::Key(name) | Edn::Str(name) => Some(name),
        _ => None,
    }
}

fn of_fields(mut map: Edn<'_>) -> Result<Option<Event<'_>>, String> {
    let Edn::Map(fields) = &mut map else {
        return Err(format!("`{}` is no map", beginning(&map)));
    };
    let mut field = |name: &'static str| fields.remove(&Edn::key(name));
    let process = match field("process") {
        Some(Edn::Int(process)) => process,
        // The nemesis, and whoever else has a name in place of a number.
        Some(Edn::Key(_) | Edn::Str(_)) => return Ok(None),
        _ => return Err("`:process` must be a number".to_owned()),
    };
    let kind = match field("type").as_ref().and_then(name) {
        Some(name) => kind(name)?,
        None => return Err("`:type` must be a keyword".to_owned()),
    };
    let function = match &field("f") {
        Some(Edn::Key(name) | Edn::Str(name)) => name.clone(),
        None | Some(Edn::Nil) => Cow::Borrowed(""),
        _ => return Err("`:f` must be a keyword".to_owned()),
    };
    let (key, value) = (field("key"), field("value").unwrap_or(Edn::Nil));
    Ok(Some(Event { process, kind, function, key, value, fails_by_value: false }))
}

/// As much as fits on a line of how something is shown. The rest is not even made.
pub fn beginning(of: &impl Display) -> String {
    const CHARACTERS_MAX: usize = 80;
    struct Beginning {
        text: String,
        left: usize,
    }
    impl Write for Beginning {
        fn write_str(&mut self, more: &str) -> fmt::Result {
            match more.char_indices().nth(self.left) {
                Some((end, _)) => {
                    self.text += &more[..end];
                    self.text += "...";
                    Err(fmt::Error)
                }
                None => {
                    self.text += more;
                    self.left -= more.chars().count();
                    Ok(())
                }
            }
        }
    }
    let mut beginning = Beginning { text: String::new(), left: CHARACTERS_MAX };
    // It fails where it is full.
    let _ = write!(beginning, "{of}");
    beginning.text
}

/// What a parser says of a value, which may have all of it in the middle.
pub fn shortened(reason: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    const CHARACTERS_AT_END: usize = 80;
    match (reason.char_indices().nth(CHARACTERS_MAX), reason.char_indices().nth_back(CHARACTERS_AT_END)) {
        (Some(_), Some((end, _))) => {
            format!("{}...{}", beginning(&reason).trim_end_matches('.'), &reason[end..])
        }
        _ => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_from_both_formats() {
        let cas = event("INFO  jepsen.util - 3\t:fail\t:cas\t[1 4]").unwrap().unwrap();
        assert_eq!((cas.process, cas.kind, &cas.function[..]), (3, Kind::Fail, "cas"));
        assert_eq!(cas.value, Edn::Vector(vec![Edn::Int(1), Edn::Int(4)]));
        let spaces = event("INFO  jepsen.util - 3   :fail :cas     [1 4]").unwrap().unwrap();
        assert_eq!(cas, spaces);
        let append = event(r#"{:process 0, :type :invoke, :f :append, :key "k", :value "x y"}"#);
        let append = append.unwrap().unwrap();
        let tagged = of_edn("#jepsen.history.Op{:process 1, :type :ok, :f :read, :value #{1 2}}").unwrap();
        let json =
            of_json("{\"process\":1,\"type\":\"ok\",\"f\":\"read\",\"value\":[1,2]}").unwrap().unwrap();
        assert_eq!((json.function, json.kind), (tagged.unwrap().function, Kind::Ok));
        assert_eq!((append.key, append.value), (Some(Edn::string("k")), Edn::string("x y")));
    }

    #[test]
    fn what_is_no_event_is_passed_over_and_what_is_damaged_is_refused() {
        assert_eq!(event(""), Ok(None));
        assert_eq!(event("INFO  jepsen.core - Running test"), Ok(None));
        assert_eq!(event("INFO  jepsen.util - :nemesis :info :start nil"), Ok(None));
        assert_eq!(event("{:process :nemesis, :type :info, :f :kill}"), Ok(None));
        assert_eq!(of_json("{\"process\":\"nemesis\",\"type\":\"info\"}"), Ok(None));
        for line in [
            "nonsense",
            "{:process 1",
            "{:process 1, :type :maybe, :f :get}",
            "INFO  jepsen.util - 3\t:done\t:cas\t[1 4]",
            "INFO  jepsen.util - three\t:ok\t:cas\t[1 4]",
            "INFO  jepsen.util - 3\t:ok\t:cas\t[1 4",
        ] {
            assert!(event(line).is_err(), "{line}");
        }
    }
}
