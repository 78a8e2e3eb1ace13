use vertebra_model::{Defect, Etcd};
use vertebra_sim::{run, schedule_of};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let defect: Option<Defect> = args.get(2).and_then(|d| d.parse().ok());
    let s = schedule_of::<Etcd>(args[1].parse().unwrap(), |o| {
        if let Some(d) = defect {
            o.defects.push(d)
        }
    })
    .unwrap();
    println!("{}", s.write().unwrap());
    let sub = tracing_subscriber::fmt().without_time().with_ansi(false).finish();
    let r = run::<Etcd>(&s, Some(&tracing::Dispatch::new(sub)));
    println!("{:?}", r);
}
