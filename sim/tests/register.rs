//! The example that newcomers copy, in small.

#[path = "../examples/register.rs"]
#[allow(dead_code, reason = "its `main` is for the command line")]
mod register;

#[test]
fn a_sweep_finds_the_bug_in_the_register_and_nothing_without_it() {
    let (seed, report) = register::sweep(200, false).expect("reads that are not written back are found");
    let signature = report.verdict.signature();
    let expected = "register/what was completed is seen by what begins later";
    assert_eq!(signature.as_deref(), Some(expected), "of seed {seed}");
    assert!(register::sweep(200, true).is_none());
}
