use std::sync::atomic::AtomicBool;
use std::time::Duration;
use vertebra_model::{Defect, Etcd};
use vertebra_sim::schedule::{Fault, Target, TimedFault};
use vertebra_sim::{run_many, schedule_of};
fn main() {
    let a: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let (n, dup, delay, pause) = (a[0], a[1], a[2], a[3]);
    let stop = AtomicBool::new(false);
    let mut sigs: std::collections::BTreeMap<String, (u64, u64, String)> = Default::default();
    run_many::<Etcd>(
        0..n,
        2,
        &stop,
        |seed| {
            let mut s = schedule_of::<Etcd>(seed, |o| {
                o.members = 3;
                o.defects.push(Defect::ReuseReadContext)
            })
            .unwrap();
            s.network.peers.duplicate_ppm = dup as u32;
            s.network.peers.duplicate_delay_max = Duration::from_millis(delay);
            s.duration = Duration::from_secs(20);
            if pause > 0 {
                s.faults = (0..4)
                    .map(|i| TimedFault {
                        at: Duration::from_millis(2000 + i * 4500),
                        fault: Fault::Pause { target: Target::Leader, lasts: Duration::from_millis(pause) },
                    })
                    .collect();
            }
            s
        },
        |s, r| {
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
    for (s, (c, seed, d)) in sigs {
        println!("{c:6} {seed:6} {s}\n        {}", &d[..d.len().min(400)]);
    }
}
