//! The two formats of text that porcupine's data has.
//!
//! ```text
//! INFO  jepsen.util - 3   :invoke :cas    [1 4]
//! {:process 0, :type :invoke, :f :append, :key "0", :value "x"}
//! ```

use std::borrow::Cow;

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

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    pub process: i64,
    pub kind: Kind,
    /// What is asked for.
    pub function: Cow<'a, str>,
    /// Of what; nothing where there is one of them.
    pub key: Option<Edn<'a>>,
    pub value: Edn<'a>,
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
        of_map(line).map(Some)
    } else {
        of_log(line)
    }
}

fn edn(text: &str) -> Result<Edn<'_>, String> {
    read_string(text).map_err(|error| format!("`{text}`: {error}"))
}

fn kind(name: &str) -> Result<Kind, String> {
    Ok(match name {
        "invoke" => Kind::Invoke,
        "ok" => Kind::Ok,
        "fail" => Kind::Fail,
        "info" => Kind::Info,
        other => return Err(format!("there is no type `{other}`: it is invoke, ok, fail or info")),
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
    let process = process.parse().map_err(|_| format!("`{process}` is no process"))?;
    let kind = kind(name.trim_start_matches(':'))?;
    let function = Cow::Borrowed(function.trim_start_matches(':'));
    Ok(Some(Event { process, kind, function, key: None, value: edn(rest)? }))
}

fn of_map(line: &str) -> Result<Event<'_>, String> {
    let mut map = edn(line)?;
    let Edn::Map(fields) = &mut map else { return Err("it is no map".to_owned()) };
    let mut field = |name: &'static str| fields.remove(&Edn::key(name));
    let process = match field("process") {
        Some(Edn::Int(process)) => process,
        _ => return Err("`:process` must be a number".to_owned()),
    };
    let kind = match &field("type") {
        Some(Edn::Key(name)) => kind(name)?,
        _ => return Err("`:type` must be a keyword".to_owned()),
    };
    let function = match &field("f") {
        Some(Edn::Key(name)) => name.clone(),
        _ => return Err("`:f` must be a keyword".to_owned()),
    };
    Ok(Event { process, kind, function, key: field("key"), value: field("value").unwrap_or(Edn::Nil) })
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
        assert_eq!((append.key, append.value), (Some(Edn::string("k")), Edn::string("x y")));
    }

    #[test]
    fn what_is_no_event_is_passed_over_and_what_is_damaged_is_refused() {
        assert_eq!(event(""), Ok(None));
        assert_eq!(event("INFO  jepsen.core - Running test"), Ok(None));
        assert_eq!(event("INFO  jepsen.util - :nemesis :info :start nil"), Ok(None));
        for line in [
            "nonsense",
            "{:process 1",
            "{:process :nemesis, :type :info}",
            "{:process 1, :type :maybe, :f :get}",
            "INFO  jepsen.util - 3\t:done\t:cas\t[1 4]",
            "INFO  jepsen.util - three\t:ok\t:cas\t[1 4]",
            "INFO  jepsen.util - 3\t:ok\t:cas\t[1 4",
        ] {
            assert!(event(line).is_err(), "{line}");
        }
    }
}
