//! Runs seeds and prints how fast they were and what they found: `probe COUNT [DEFECT] [FROM]`.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures, and is part of no run")]

use std::sync::atomic::{AtomicBool, Ordering};
use vertebra_model::{Defect, Etcd};
use vertebra_sim::{run_many, schedule_of};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let n: u64 = args[1].parse().unwrap();
    let from: u64 = args.get(3).map_or(0, |a| a.parse().unwrap());
    let defect: Option<Defect> = args.get(2).and_then(|d| d.parse().ok());
    let stop = AtomicBool::new(false);
    let start = std::time::Instant::now();
    let (mut seeds, mut ops, mut vt, mut ev, mut faults) = (0u64, 0u64, 0f64, 0u64, 0u64);
    let mut sigs: std::collections::BTreeMap<String, (u64, u64, String)> = Default::default();
    run_many::<Etcd>(
        from..from + n,
        2,
        &stop,
        |seed| {
            schedule_of::<Etcd>(seed, |o| {
                if let Some(d) = defect {
                    o.defects.push(d)
                }
            })
        },
        |_, ran| {
            let (s, r) = ran.unwrap();
            seeds += 1;
            ops += r.operations;
            vt += r.virtual_time.as_secs_f64();
            ev += r.events;
            faults += r.faults;
            if let vertebra_sim::Verdict::Violation { violation, .. } = &r.verdict {
                let e = sigs.entry(violation.signature()).or_insert((0, s.seed, violation.detail.clone()));
                e.0 += 1;
                if s.seed < e.1 {
                    e.1 = s.seed;
                    e.2 = violation.detail.clone();
                }
            }
        },
    );
    let _ = Ordering::Relaxed;
    let t = start.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds {t:.1}s = {:.1}/s; per seed: {:.1} vs, {:.0} ops, {:.0} events, {:.1} faults",
        seeds as f64 / t,
        vt / seeds as f64,
        ops as f64 / seeds as f64,
        ev as f64 / seeds as f64,
        faults as f64 / seeds as f64
    );
    for (s, (c, seed, d)) in sigs {
        println!("{c:6} {seed:6} {s}\n        {}", &d[..d.len().min(400)]);
    }
}
