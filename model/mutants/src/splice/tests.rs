use std::fs;
use std::process::Command;

use super::*;
use crate::find::places;

fn spliced(source: &str) -> String {
    let places = places(source).unwrap();
    splice(source, &places, 1, &BTreeSet::new()).text.replace("crate::mutation::", "")
}

#[track_caller]
fn becomes(source: &str, expected: &str) {
    assert_eq!(spliced(source), expected);
}

#[test]
fn an_operator_stands_beside_those_that_replace_it() {
    becomes(
        "const A: i32 = 1 + 1; fn f(b: [u8; 2 * 2]) -> T<{ 1 + 1 }> { g(a <= b) }",
        "const A: i32 = 1 + 1; fn f(b: [u8; 2 * 2]) -> T<{ 1 + 1 }> { \
         if on(1) { return Default::default(); } \
         g((if on(2) { a < b } else if on(3) { a > b } else { a <= b })) }",
    );
}

#[test]
fn operands_have_their_own_mutants_where_no_other_is_on() {
    becomes(
        "fn f() { x = !a && é == c; }",
        "fn f() { if on(1) { return; } if !on(2) { x = (if on(3) { !a || é == c } else { \
         (if on(4) { a } else { !a }) && (if on(5) { é != c } else { é == c }) }); } }",
    );
}

#[test]
fn names_that_a_condition_binds_stay_bound() {
    becomes(
        "fn f() -> bool { if let Some(x) = y && x.is_open() { true } else { z } }",
        "fn f() -> bool { if on(1) { return true; } if on(2) { return false; } if let Some(x) = y && \
         (if on(3) { !(x.is_open()) } else { x.is_open() }) { (if on(4) { false } else { true }) } else { z } }",
    );
}

#[test]
fn planted_bugs_are_left_as_they_are() {
    let keeps = |body: &str| {
        let source = format!("fn f() {{ {body} }}");
        let expected = source.replacen("{ ", "{ if on(1) { return; } ", 1);
        becomes(&source, &expected);
    };
    // Without any, the function does nothing: that it does so is no mutant.
    let keeps_whole = |body: &str| becomes(&format!("fn f() {{ {body} }}"), &format!("fn f() {{ {body} }}"));
    keeps_whole("if x.has(Defect::A) && a < b { g(); }");
    keeps("let z = g(x.has(Defect::A) && a < b);");
    keeps_whole("let y = x.has(Defect::A); if y { g(); }");
    keeps("match x { y if z.has(Defect::A) => g(!y), y => y }");
    keeps("match x.has(Defect::A) { true => g(!y), false => y }");
    keeps("if !x.has(Defect::A) || a { return; } g();");
    keeps_whole("let y = [Defect::A, Defect::B].into_iter().any(|z| x.has(z));");
    keeps_whole("if x.contains(Sync::A) { g(!y); }");
    keeps("x.sync(Sync::A).await;");
    keeps_whole("if !x.defects.is_empty() { g(!y); }");
    keeps_whole("if a == b && x.failpoint(y).await { return; }");
    becomes(
        "fn f() { if !x.has(Defect::A) && a { g(); } else { h(!b); } }",
        "fn f() { if on(1) { return; } if !x.has(Defect::A) && a { if !on(2) { g(); } } else { \
         if !on(3) { h((if on(4) { b } else { !b })); } } }",
    );
    becomes("fn f(x: X) -> bool { x.has(Defect::A) }", "fn f(x: X) -> bool { x.has(Defect::A) }");
    becomes("/// For oracles: how many.\nfn f() { g(!x); }", "/// For oracles: how many.\nfn f() { g(!x); }");
}

#[test]
fn what_is_only_told_is_no_member_s_doing() {
    let told = |told: &str, expected: &str| {
        becomes(
            &format!("fn f() {{ let y = !x; {told} }}"),
            &format!("fn f() {{ if on(1) {{ return; }} let y = {expected}; {told} }}"),
        );
    };
    told("sometimes!(node, \"y\", y);", "!x");
    told("record!(node, \"y\", \"{y}\");", "!x");
    told("sometimes!(node, \"y\", y); assert!(y);", "(if on(2) { x } else { !x })");
    told("z", "(if on(2) { x } else { !x })");
    told("sometimes!(node, \"y\", y); y", "(if on(2) { x } else { !x })");
    becomes("fn f() { self.observer.saw(!x); }", "fn f() { if on(1) { return; } self.observer.saw(!x); }");
    let keeps = |body: &str| {
        becomes(&format!("fn f() {{ {body} }}"), &format!("fn f() {{ if on(1) {{ return; }} {body} }}"));
    };
    keeps("if !x { let y = z; sometimes!(node, \"y\", y); }");
    keeps("if !x { node.failpoint(y).await; self.observer.told(z); }");
}

#[test]
fn arms_and_guards_go_where_another_arm_takes_the_rest() {
    becomes(
        "fn f(x: u8) { match x { 1 => g, n if n > 2 => h, _ => i } }",
        "fn f(x: u8) { if on(1) { return; } match x { 1 if !on(2) => g, n if !on(3) && ((if on(4) { true } else \
         if on(5) { false } else { (if on(6) { n >= 2 } else if on(7) { n < 2 } else if on(8) { n == 2 } else \
         { n > 2 }) })) => h, _ => i } }",
    );
    becomes(
        "fn f(x: E) { match x { A => g, B => h } }",
        "fn f(x: E) { if on(1) { return; } match x { A => g, B => h } }",
    );
}

#[test]
fn statements_go_unless_something_must_leave_there() {
    becomes(
        "async fn f() { let Some(x) = y else { return; }; if z { return; } g(x).await; let _ = h()?; mark!(x); \
         n.failpoint(x).await; self.observer.told(x); }",
        "async fn f() { if on(1) { return; } let Some(x) = y else { return; }; \
         if (if on(2) { !(z) } else { z }) { if !on(3) { return; } } \
         if !on(4) { g(x).await; } if !on(5) { let _ = h()?; } mark!(x); \
         n.failpoint(x).await; self.observer.told(x); }",
    );
}

#[test]
fn ranges_methods_and_fields_have_their_like() {
    becomes(
        "const fn f() { A { b: c[..n], d, ..A::new() }; e.min(f) }",
        "const fn f() { A { b: c[..n], d, ..A::new() }; e.min(f) }",
    );
    becomes(
        "fn f() -> ! { A { b: c[..n], d, ..A::new() }; e.min(f) }",
        "fn f() -> ! { A { b: (if on(1) { (A::new()).b } else { c[..(if on(2) { (n) + 1 } else { n })] }), d, \
         ..A::new() }; (if on(3) { e.max(f) } else { e.min(f) }) }",
    );
}

#[test]
fn nothing_is_mutated_that_only_tests_or_people_see() {
    let source = "#[cfg(test)] mod tests { fn f() { a + b } } #[cfg(all(x, test))] fn g() -> bool { true }
        impl fmt::Debug for A { fn fmt(&self) -> bool { true } } #[test] fn h() { x(); }
        impl Default for A { fn default() -> A { A } }";
    assert_eq!(spliced(source), source);
}

#[test]
fn values_are_of_the_type_that_is_returned() {
    let value = |output: &str| spliced(&format!("fn f() -> {output} {{ g() }}"));
    for (output, values) in [
        ("Option<i64>", vec!["None", "Some(0)", "Some(1)", "Some(-1)"]),
        ("Result<(), Error>", vec!["Ok(())"]),
        ("io::Result<(bool, String)>", vec!["Ok((true, String::new()))"]),
        ("&[u8]", vec!["&[]"]),
        ("impl Iterator<Item = u8>", vec![]),
        ("Rc<Box<Bytes>>", vec!["std::rc::Rc::new(Box::new(Default::default()))"]),
    ] {
        let bodies = values.iter().enumerate();
        let bodies: String =
            bodies.map(|(index, value)| format!(" if on({}) {{ return {value}; }}", index + 1)).collect();
        assert_eq!(value(output), format!("fn f() -> {output} {{{bodies} g() }}"));
    }
    // What it is anyway is no mutant.
    becomes(
        "fn f() -> Option<u8> { None }",
        "fn f() -> Option<u8> { if on(1) { return Some(0); } if on(2) { return Some(1); } None }",
    );
}

#[test]
fn one_that_is_left_out_keeps_its_number_and_what_it_brings_is_known() {
    let source = "fn f() -> bool { a < b }";
    let places = places(source).unwrap();
    let spliced = splice(source, &places, 10, &BTreeSet::from([10, 11, 13]));
    assert_eq!(
        spliced.text.replace("crate::mutation::", ""),
        "fn f() -> bool { (if on(12) { a <= b } else if on(14) { a == b } else { a < b }) }"
    );
    let [place] = &spliced.places[..] else { panic!("{spliced:?}") };
    let brought: Vec<_> =
        place.mutants.iter().map(|(number, range)| (*number, &spliced.text[range.clone()])).collect();
    assert_eq!(brought, [(12, "a <= b"), (14, "a == b")]);
    assert!(
        spliced.text[place.range.clone()].starts_with("(if")
            && spliced.text[place.range.clone()].ends_with("})")
    );
}

#[test]
fn a_program_behaves_as_the_mutant_that_is_on_and_tells_what_it_reaches() {
    let source = "fn is_between(n: u8) -> bool { let mut m = n; if m > 4 { m = 0; } 0 < m && m <= 2 }";
    let places = places(source).unwrap();
    let spliced = splice(source, &places, 1, &BTreeSet::new());
    let main = "fn main() { (0..4).filter(|n| is_between(*n)).for_each(|n| print!(\"{n}\")); }";
    let runtime = include_str!("../runtime.rs");
    let folder = std::env::temp_dir().join(format!("vertebra-mutants-splice-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (file, program, trace) = (folder.join("main.rs"), folder.join("program"), folder.join("trace"));
    fs::write(&file, format!("mod mutation {{ {runtime} }} {main} {}", spliced.text)).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut compiled = Command::new(rustc);
    compiled.args(["--edition", "2024", "-A", "warnings", "-o"]).arg(&program).arg(&file);
    let compiled = compiled.output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let run = |name: &str, value: &str| {
        let output = Command::new(&program).env(name, value).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };

    let told: Vec<&str> = places
        .iter()
        .flat_map(|place| (0..place.form.count()).map(|number| place.form.describe(number).1))
        .collect();
    let seen: Vec<_> = (1..)
        .zip(&told)
        .map(|(number, what)| (*what, run("VERTEBRA_MUTANT", &format!("{number}"))))
        .collect();
    let seen: Vec<_> = seen.iter().map(|(what, output)| (*what, output.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("returns `true`", "0123"),
            ("returns `false`", ""),
            ("`>` is `>=` in `m > 4`", "12"),
            ("`>` is `<` in `m > 4`", ""),
            ("`>` is `==` in `m > 4`", "12"),
            ("`m = 0;` is left out", "12"),
            ("`&&` is `||` in `0 < m && m <= 2`", "0123"),
            ("`<` is `<=` in `0 < m`", "012"),
            ("`<` is `>` in `0 < m`", ""),
            ("`<` is `==` in `0 < m`", "0"),
            ("`<=` is `<` in `m <= 2`", "1"),
            ("`<=` is `>` in `m <= 2`", "3"),
        ]
    );
    assert_eq!(run("VERTEBRA_MUTANT", "0"), "12");
    assert_eq!(run("VERTEBRA_MUTANT_TRACE", trace.to_str().unwrap()), "12");
    // All but the statement, which no number there is reaches.
    let mut reached: Vec<u32> =
        fs::read_to_string(&trace).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    reached.sort_unstable();
    assert_eq!(reached, [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]);
    fs::remove_dir_all(&folder).unwrap();
}
