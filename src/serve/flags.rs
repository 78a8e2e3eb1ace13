//! The flags of `vertebra serve`. Where etcd has one of that meaning, it bears etcd's name.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use vertebra_model::served::Served;
use vertebra_model::served::faults::{self, Severity};
use vertebra_model::{Etcd, Options};
use vertebra_sim::System;
use vertebra_sim::schedule::Schedule;

use super::paced::Speed;
use crate::Subject;
use crate::exit::Refusal;

/// Where the first member listens, unless a flag says otherwise.
const LISTEN: &str = "127.0.0.1:2379";

/// How often leases are written down where that is switched on (etcd: 5 minutes).
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);

/// What is said behind the flags; behind their long help, more follows.
macro_rules! examples {
    ($($more:literal)?) => {
        concat!(
            "\
Examples:
  vertebra serve                                      three members, at 127.0.0.1:2379, :2380 and :2381
  vertebra serve --faults default --seed 7            and much goes wrong
  vertebra serve --faults vertebra-failures/4711.toml with the faults of a schedule
  vertebra serve --listen 127.0.0.1:0 --record s.jsonl on any free ports, and kept for
  vertebra replay s.jsonl                             which runs that session again, exactly
  etcdctl --endpoints 127.0.0.1:2379,127.0.0.1:2380 put foo bar
  curl -d '{\"key\": \"Zm9v\"}' http://127.0.0.1:2379/v3/kv/range"
            $(, $more)?
        )
    };
}

/// Flags of `vertebra serve`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = examples!(),
    after_long_help = examples!("

The first Ctrl-C ends the session: what is broken is healed, the cluster recovers, and it is judged
by the same guarantees as in a sweep. The exit code is that of a replay.

With --json, each line is an object. Its `type` is one of:
  serving      the first line: members, seed, endpoints (member, url), session (the file)
  fault        something of a fault: at_ns, number (0 for none), event (begins, ends, spares, or
               strikes: a failpoint), text
  leader       a member leads from now on: at_ns, member
  verdict      the last line, as `replay --json` has it")
)]
pub struct Flags {
    /// Members of the cluster, each with an endpoint of its own: 1, 3 or 5
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub members: u16,
    /// The seed of everything that is drawn: faults, delays, the order of tasks
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// What goes wrong: none, light, default (what a sweep does), or that of a schedule file
    #[arg(long, value_name = "none|light|default|FILE", default_value = "none", value_hint = ValueHint::FilePath)]
    pub faults: String,
    /// How fast virtual time passes, in times of real time, such as 0.5 or 10
    #[arg(long, value_name = "X", default_value = "1", value_parser = parse_speed)]
    pub speed: Speed,
    /// Where the first member listens; the others do at the ports behind it. Port 0: at free ones
    #[arg(long, value_name = "HOST:PORT", default_value = LISTEN, conflicts_with = "listen_client_urls")]
    pub listen: String,
    /// Where the members listen: one URL for each, or one from which to count
    #[arg(long, value_name = "URLS", value_delimiter = ',')]
    pub listen_client_urls: Vec<String>,
    /// Write the session to this file. Without it, it is written to a temporary one, which is kept if a guarantee breaks
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,
    /// End the session by itself after so much real time, such as 90s or 10m
    #[arg(long = "for", value_name = "TIME", value_parser = crate::words::parse_span)]
    pub lasts: Option<Duration>,
    /// Tell everything as JSON, one object on each line
    #[arg(long)]
    pub json: bool,
    /// Switch a planted bug on, of those that `vertebra defects` lists; may be repeated
    // `arguments::command` adds the names that the system has.
    #[arg(long = "defect", value_name = "NAME")]
    pub defects: Vec<String>,

    /// The certificate with which members prove who they are
    #[arg(long, value_name = "FILE", requires = "key_file", help_heading = "TLS", value_hint = ValueHint::FilePath)]
    pub cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "cert_file", help_heading = "TLS", value_hint = ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,
    /// Certificates of those who vouch for callers
    #[arg(long, value_name = "FILE", requires = "cert_file", help_heading = "TLS", value_hint = ValueHint::FilePath)]
    pub trusted_ca_file: Option<PathBuf>,
    /// Callers must have a certificate, too
    #[arg(long, requires = "trusted_ca_file", help_heading = "TLS")]
    pub client_cert_auth: bool,

    #[command(flatten)]
    pub limits: Limits,
}

/// Flags that change the options of the members.
#[derive(Args, Clone, Debug)]
pub struct Limits {
    /// Bytes of a request at most [default: 1572864]
    #[arg(long, value_name = "BYTES", help_heading = "As of etcd")]
    max_request_bytes: Option<usize>,
    /// Bytes of a member's data beyond which nothing more is written [default: 2147483648]; less than 0: no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, help_heading = "As of etcd")]
    quota_backend_bytes: Option<i64>,
    /// Operations of a transaction at most [default: 128]
    #[arg(long, value_name = "N", help_heading = "As of etcd")]
    max_txn_ops: Option<usize>,
    /// Applied entries between two snapshots [default: 10000]
    #[arg(long, value_name = "N", help_heading = "As of etcd")]
    snapshot_count: Option<u64>,
    /// Milliseconds between two heartbeats [default: 100]
    #[arg(long, value_name = "MS", help_heading = "As of etcd")]
    heartbeat_interval: Option<u64>,
    /// Milliseconds without a leader after which a member stands for election [default: 1000]
    #[arg(long, value_name = "MS", help_heading = "As of etcd")]
    election_timeout: Option<u64>,
    /// Seconds that a token lives after its last use [default: 300]
    #[arg(long, value_name = "SECONDS", help_heading = "As of etcd")]
    auth_token_ttl: Option<u64>,
    /// Changes that the backend does not let wait [default: 10000]
    #[arg(long, value_name = "N", help_heading = "As of etcd")]
    backend_batch_limit: Option<usize>,
    /// How long changes wait at most until the backend commits them [default: 100ms]
    #[arg(long, value_name = "TIME", value_parser = parse_go_duration, help_heading = "As of etcd")]
    backend_batch_interval: Option<Duration>,
    /// How often a watch that wants it is told of its progress [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = parse_go_duration, help_heading = "As of etcd", alias = "watch-progress-notify-interval")]
    experimental_watch_progress_notify_interval: Option<Duration>,
    /// Records that a compaction looks at before it lets others write [default: 1000]
    #[arg(long, value_name = "N", help_heading = "As of etcd", alias = "compaction-batch-limit")]
    experimental_compaction_batch_limit: Option<usize>,
    /// The leader writes down how long leases have left
    #[arg(long, help_heading = "As of etcd")]
    experimental_enable_lease_checkpoint: bool,
    /// A member compares its data with that of others before it serves anybody
    #[arg(long, help_heading = "As of etcd")]
    experimental_initial_corrupt_check: bool,
    /// How often the leader compares all members' data; 0s: never [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = parse_go_duration, help_heading = "As of etcd", alias = "corrupt-check-time")]
    experimental_corrupt_check_time: Option<Duration>,
    /// Refuse changes of the membership that could leave the cluster without a quorum
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, help_heading = "As of etcd")]
    strict_reconfig_check: bool,
}

impl Limits {
    fn apply(&self, options: &mut Options) {
        let millis = Duration::from_millis;
        set(&mut options.request_bytes_max, self.max_request_bytes);
        set(&mut options.txn_ops_max, self.max_txn_ops);
        set(&mut options.quota_backend_bytes, self.quota_backend_bytes);
        set(&mut options.snapshot_count, self.snapshot_count);
        set(&mut options.heartbeat_interval, self.heartbeat_interval.map(millis));
        if let Some(timeout) = self.election_timeout {
            let ticks = timeout / u64::try_from(options.heartbeat_interval.as_millis()).unwrap_or(1).max(1);
            options.election_ticks = u16::try_from(ticks).unwrap_or(u16::MAX);
        }
        set(&mut options.auth.token_ttl, self.auth_token_ttl.map(Duration::from_secs));
        set(&mut options.backend_batch_limit, self.backend_batch_limit);
        set(&mut options.backend_batch_interval, self.backend_batch_interval);
        set(&mut options.watch.progress_interval, self.experimental_watch_progress_notify_interval);
        set(&mut options.compaction_batch_limit, self.experimental_compaction_batch_limit);
        if self.experimental_enable_lease_checkpoint {
            options.leases.checkpoint_interval = Some(CHECKPOINT_INTERVAL);
        }
        options.initial_corruption_check = self.experimental_initial_corrupt_check;
        set(&mut options.corruption_check_interval, self.experimental_corrupt_check_time);
        options.strict_reconfiguration = self.strict_reconfig_check;
    }
}

fn set<T>(option: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *option = value;
    }
}

impl Flags {
    /// The schedule that they mean, of members that clients find at these URLs.
    pub fn schedule(&self, client_urls: Vec<String>) -> Result<Schedule<Options>, Refusal> {
        let mut options = Options { client_urls, ..Served::usual(self.members) };
        self.limits.apply(&mut options);
        for defect in &self.defects {
            Etcd::plant(&mut options, defect)?;
        }
        let severity = match self.faults.as_str() {
            "none" => Severity::None,
            "light" => Severity::Light,
            "default" => Severity::Default,
            file => return self.of_file(file, options),
        };
        Ok(faults::schedule(self.seed, options, severity, faults::HOURS)?)
    }

    fn of_file(&self, file: &str, options: Options) -> Result<Schedule<Options>, Refusal> {
        let bytes = std::fs::read(file).map_err(|error| {
            format!("--faults {file}: {error} (it is `none`, `light`, `default` or a schedule file)")
        })?;
        let other = Schedule::<Options>::read(file, &bytes, Etcd::NAME, Etcd::shape);
        let other = other.map_err(|error| error.to_string())?;
        Ok(faults::taken_from(&other, self.seed, options, faults::HOURS)?)
    }

    /// Where each member listens.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, Refusal> {
        let given = if self.listen_client_urls.is_empty() {
            vec![resolve(&self.listen)?]
        } else {
            let url = |url: &String| {
                let after = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
                resolve(after.unwrap_or(url).trim_end_matches('/'))
            };
            self.listen_client_urls.iter().map(url).collect::<Result<_, _>>()?
        };
        let members = usize::from(self.members);
        if given.len() == members {
            return Ok(given);
        }
        let [first] = given[..] else {
            let reason =
                format!("--listen-client-urls: there are {} URLs for {members} members", given.len());
            return Err(Refusal::new(reason));
        };
        let port = |number: u16| match first.port() {
            0 => Some(0),
            port => port.checked_add(number),
        };
        let all = (0..self.members).map(|number| {
            let port =
                port(number).ok_or_else(|| format!("{first}: there are no {members} ports from there"))?;
            Ok(SocketAddr::new(first.ip(), port))
        });
        all.collect::<Result<_, String>>().map_err(Refusal::from)
    }
}

/// An address, which may name its host.
fn resolve(text: &str) -> Result<SocketAddr, Refusal> {
    use std::net::ToSocketAddrs as _;
    // `:2379` is how etcd lets one write all interfaces.
    let text =
        if text.starts_with(':') { format!("{}{text}", IpAddr::from([0, 0, 0, 0])) } else { text.to_owned() };
    let found = text.to_socket_addrs().map_err(|error| format!("{text} is no HOST:PORT: {error}"))?.next();
    found.ok_or_else(|| Refusal::new(format!("{text}: this host has no address")))
}

fn parse_speed(text: &str) -> Result<Speed, String> {
    let refuse = || format!("`{text}` is no speed; write a number from 0.001 to 1000");
    let times: f64 = text.trim_end_matches(['x', 'X']).parse().map_err(|_| refuse())?;
    if !(0.001..=1_000.0).contains(&times) {
        return Err(refuse());
    }
    // In thousandths: it has its bounds.
    Ok(Speed((times * 1_000.0).round() as u32))
}

/// A duration as Go writes it: `100ms`, `10m`, `1h30m0s`.
fn parse_go_duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("`{text}` is no duration; write `100ms`, `10m` or `1h30m`");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut total, mut rest) = (Duration::ZERO, text);
    if rest.is_empty() {
        return Err(refuse());
    }
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
        let number: u32 = rest[..unit].parse().map_err(|_| refuse())?;
        let after = rest[unit..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |next| unit + next);
        let one = match &rest[unit..after] {
            "ns" => Duration::from_nanos(1),
            "us" => Duration::from_micros(1),
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3_600),
            _ => return Err(refuse()),
        };
        total = one.checked_mul(number).and_then(|part| total.checked_add(part)).ok_or_else(refuse)?;
        rest = &rest[after..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, millis) in [("100ms", 100), ("10m", 600_000), ("1h30m0s", 5_400_000), ("0", 0)] {
            assert_eq!(parse_go_duration(text), Ok(Duration::from_millis(millis)));
        }
        for bad in ["", "10", "m", "-1s", "1.5h", "10 m", "5x", "99999999999s", "ñ"] {
            assert!(parse_go_duration(bad).is_err(), "`{bad}` was read as a duration");
        }
    }

    #[test]
    fn a_speed_is_a_number_within_bounds() {
        assert_eq!(parse_speed("0.5"), Ok(Speed(500)));
        assert_eq!(parse_speed("10x"), Ok(Speed(10_000)));
        for bad in ["", "0", "-1", "NaN", "inf", "1e9", "fast"] {
            assert!(parse_speed(bad).is_err(), "`{bad}` was read as a speed");
        }
    }
}
