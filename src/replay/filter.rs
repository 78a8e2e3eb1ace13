//! Which events of a run are told. The run itself is the same whatever is told of it.

use std::time::Duration;

use clap::Args;
use vertebra_sim::NodeId;
use vertebra_sim::time::text;

/// Flags that choose among events. An event is told when it satisfies each flag that is given.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Only events of these topics, such as `raft,client`; may be repeated
    #[arg(long = "topic", value_name = "TOPIC", value_delimiter = ',', help_heading = "Filters")]
    topics: Vec<String>,
    /// Only events of these nodes, such as `member 1` or `client 2`, or of no node: `world`; may be repeated
    #[arg(long = "node", value_name = "NODE", value_delimiter = ',', value_parser = parse_node, help_heading = "Filters")]
    nodes: Vec<Whose>,
    /// Only events whose text contains this
    #[arg(long, value_name = "TEXT", help_heading = "Filters")]
    grep: Option<String>,
    /// Only events at or after this virtual time, such as `1.5s`
    #[arg(long, value_name = "TIME", value_parser = text::parse, help_heading = "Filters")]
    from: Option<Duration>,
    /// Only events at or before this virtual time, such as `3.2s`
    #[arg(long, value_name = "TIME", value_parser = text::parse, help_heading = "Filters")]
    until: Option<Duration>,
}

/// Whose event it is, as in a trace: `member 1`, or nothing when it is that of no node.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Whose(String);

fn parse_node(text: &str) -> Result<Whose, String> {
    match text {
        "world" => Ok(Whose(String::new())),
        text => text.parse().map(|node: NodeId| Whose(node.to_string())),
    }
}

impl Filter {
    /// Whether every event is told.
    pub fn is_empty(&self) -> bool {
        let Self { topics, nodes, grep, from, until } = self;
        topics.is_empty() && nodes.is_empty() && grep.is_none() && from.is_none() && until.is_none()
    }

    /// Whether events of this topic at this time, in nanoseconds, may be told.
    pub fn takes_kind(&self, topic: &str, at_ns: u64) -> bool {
        let at = Duration::from_nanos(at_ns);
        self.from.is_none_or(|from| at >= from)
            && self.until.is_none_or(|until| at <= until)
            && (self.topics.is_empty() || self.topics.iter().any(|known| known == topic))
    }

    /// Whether an event of this node with this text may be told.
    pub fn takes_content(&self, node: &str, text: &str) -> bool {
        (self.nodes.is_empty() || self.nodes.iter().any(|known| known.0 == node))
            && self.grep.as_ref().is_none_or(|part| text.contains(part.as_str()))
    }
}
