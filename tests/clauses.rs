//! The book's table of clauses is that of the code: each clause that an oracle can name stands in it and in the head of the
//! oracle's file, with tests and defects that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use vertebra_model::Defect;
use vertebra_model::oracle::NAMES;
use vertebra_model::oracle::clauses::CLAUSES;
use vertebra_model::syncs::Sync;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What is about other oracles, and stands in no file of its own; where its tests are.
const META: (&str, &str) = ("oracles", "linearizable log");

/// An oracle's file, and those in the folder of its name.
struct Source {
    /// The comment with which it opens.
    head: String,
    /// What is no test.
    code: String,
    /// What is.
    tests: String,
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    let mut entries: Vec<_> = entries.collect();
    entries.sort();
    let within = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.into_iter().flat_map(within).collect()
}

impl Source {
    fn of(file: &Path) -> Self {
        let text = read(file);
        let lines = text.lines().take_while(|line| line.starts_with("//!"));
        let head = lines.map(|line| line.trim_start_matches("//!").trim()).collect::<Vec<_>>().join("\n");
        let mut source = Self { head, code: String::new(), tests: String::new() };
        source.take(&text);
        for file in files(&file.with_extension("")) {
            match file.file_stem().is_some_and(|stem| stem == "tests" || stem == "fuzz") {
                true => source.tests += &read(&file),
                false => source.take(&read(&file)),
            }
        }
        source
    }

    fn take(&mut self, text: &str) {
        let (code, tests) = text.split_once("#[cfg(test)]\nmod tests {").unwrap_or((text, ""));
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        self.code += &code.collect::<Vec<_>>().join("\n");
        self.tests += tests;
    }

    /// The name by which its violations tell the oracle.
    fn name(&self) -> &str {
        let named = ["const ORACLE: &str = \"", "const NAME: &str = \""];
        let named = named.iter().find_map(|named| Some(self.code.split_once(named)?.1));
        named.or_else(|| Some(self.code.split_once("Violation::new(\"")?.1)).map_or("", up_to_quote)
    }

    /// The clauses of the table in its head.
    fn clauses(&self) -> BTreeSet<&str> {
        let rows = self.head.lines().skip_while(|line| !line.starts_with("| clause |")).skip(2);
        rows.take_while(|row| row.starts_with('|')).flat_map(|row| quoted(cells(row)[0])).collect()
    }

    /// What the code names as a clause.
    fn named(&self) -> BTreeSet<&str> {
        let mut named = BTreeSet::new();
        for call in ["violation(", "refuse(", "lost(", "wrong_reply(", "Violation::new("] {
            for (place, _) in self.code.match_indices(call) {
                let arguments = self.code[place + call.len()..].trim_start();
                let oracle =
                    ["ORACLE,", "NAME,", "\"agreement\","].iter().find_map(|it| arguments.strip_prefix(it));
                let clause = oracle.unwrap_or(arguments).trim_start();
                named.extend(clause.strip_prefix('"').map(up_to_quote));
            }
        }
        for (place, begin) in self.code.match_indices("let clause = ") {
            let statement = self.code[place + begin.len()..].split(';').next().unwrap_or_default();
            named.extend(statement.split('"').skip(1).step_by(2));
        }
        named
    }
}

fn up_to_quote(text: &str) -> &str {
    text.split('"').next().unwrap_or_default()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The cells of a row.
fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// By the names of the oracles. A file without a clause is none.
fn oracles() -> BTreeMap<String, Source> {
    let folder = Path::new(ROOT).join("model/src/oracle");
    let files = files(&folder).into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs"));
    let sources = files.map(|file| Source::of(&file)).filter(|source| source.head.contains("| clause |"));
    sources.map(|source| (source.name().to_owned(), source)).collect()
}

/// The rows of the book's tables: by oracle and clause, the tests and what proves it.
fn told() -> BTreeMap<(String, String), (String, String)> {
    let page = read(&Path::new(ROOT).join("book/src/clauses.md"));
    let (mut rows, mut oracle) = (BTreeMap::new(), String::new());
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            oracle = name.trim_matches('`').to_owned();
        } else if line.starts_with("| `") {
            let cells = cells(line);
            let [clause, tests, proof] = cells[..] else { panic!("three cells: {line}") };
            let clause = quoted(clause).next().expect("a clause").to_owned();
            let earlier = rows.insert((oracle.clone(), clause), (tests.to_owned(), proof.to_owned()));
            assert_eq!(earlier, None, "told of twice: {line}");
        }
    }
    rows
}

#[test]
fn each_oracle_is_a_file_whose_head_tells_its_clauses_and_where_they_are_stated() {
    let oracles = oracles();
    let names: BTreeSet<_> = oracles.keys().map(String::as_str).collect();
    assert_eq!(names, NAMES.into_iter().collect());
    for (name, source) in &oracles {
        assert!(source.head.contains("Does NOT verify"), "`{name}` does not say what it does not verify");
        let (clauses, named) = (source.clauses(), source.named());
        let missing: Vec<_> = named.difference(&clauses).collect();
        assert!(missing.is_empty(), "the head of `{name}` does not tell of {missing:?}");
        let unused: Vec<_> =
            clauses.iter().filter(|clause| !source.code.contains(&format!("\"{clause}\""))).collect();
        assert!(unused.is_empty(), "the code of `{name}` does not name {unused:?}");
    }
}

#[test]
fn a_run_can_do_without_each_clause() {
    let oracles = oracles();
    for (name, clauses) in CLAUSES {
        let named: BTreeSet<_> = clauses.iter().copied().collect();
        assert_eq!(named, oracles[name].clauses(), "those of `{name}`");
        assert_eq!(named.len(), clauses.len(), "those of `{name}` come once");
    }
}

#[test]
fn the_book_tells_of_each_clause_and_of_no_other() {
    let told: BTreeSet<_> = told().into_keys().filter(|(oracle, _)| oracle != META.0).collect();
    let mut there = BTreeSet::new();
    for (name, source) in oracles() {
        there.extend(source.clauses().into_iter().map(|clause| (name.clone(), clause.to_owned())));
    }
    assert_eq!(told, there);
}

#[test]
fn each_test_and_defect_that_the_book_names_is_there() {
    let oracles = oracles();
    let defects: BTreeSet<_> =
        Defect::ALL.iter().map(|it| it.name()).chain(Sync::ALL.iter().map(|it| it.defect())).collect();
    for ((oracle, clause), (tests, proof)) in told() {
        let there = &oracles[if oracle == META.0 { META.1 } else { &oracle }].tests;
        assert!(quoted(&tests).count() > 0, "no test of {oracle}/{clause}");
        for test in quoted(&tests) {
            assert!(there.contains(&format!("fn {test}()")), "{oracle}/{clause}: there is no test `{test}`");
        }
        for name in quoted(&proof) {
            let is_file = Path::new(ROOT).join("model/src").join(name).is_file();
            assert!(is_file || defects.contains(name), "{oracle}/{clause}: there is no `{name}`");
        }
    }
}
