//! Simple tokens: what a member gives to who has authenticated, and knows again.
//!
//! The log says that somebody has authenticated, and all members that apply it know the token. But they keep it in memory
//! alone: after a restart, or where a snapshot came in the place of the entry, it is known no more.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use vertebra_sim::time::Instant;

/// How often tokens are looked through for those that nobody has used for too long.
const LOOK: Duration = Duration::from_secs(1);

/// The tokens that a member knows.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// How long one lives after it was last used. etcd: 5 min.
    ttl: Duration,
    /// Since when, if they are in use: then they are looked through every second, as from there.
    since: Option<Instant>,
    tokens: BTreeMap<Rc<str>, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    user: String,
    end: Instant,
}

impl Tokens {
    /// No tokens; each will live for `ttl` after its last use.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, since: None, tokens: BTreeMap::new() }
    }

    /// Whether any are in use.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.since.is_some()
    }

    /// Authentication is on.
    pub fn enable(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// It is off; all tokens are void.
    pub fn disable(&mut self) {
        self.since = None;
        self.tokens.clear();
    }

    /// The tokens of a user are void.
    pub fn invalidate(&mut self, user: &str) {
        self.tokens.retain(|_, known| known.user != user);
    }

    /// Gives `user` a token.
    pub fn assign(&mut self, token: &str, user: &str, now: Instant) {
        if self.since.is_some() {
            self.tokens.insert(token.into(), Known { user: user.to_owned(), end: now + self.ttl });
        }
    }

    /// Whose token it is; it lives on for its time.
    pub fn user(&mut self, token: &str, now: Instant) -> Option<&str> {
        let (since, ttl) = (self.since?, self.ttl);
        // The first look that comes after its end finds it.
        let is_over = |known: &Known| {
            let looks = known.end.since(since).as_nanos() / LOOK.as_nanos() + 1;
            now >= since + LOOK.saturating_mul(u32::try_from(looks).unwrap_or(u32::MAX))
        };
        self.tokens.retain(|_, known| !is_over(known));
        let known = self.tokens.get_mut(token)?;
        known.end = now + ttl;
        Some(&known.user)
    }
}

/// The index of the entry that a token is of: nobody can tell whether it is valid who has not applied that.
#[must_use]
pub fn index(token: &str) -> Option<u64> {
    let (_, index) = token.split_once('.')?;
    index.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    #[test]
    fn a_token_lives_as_long_as_it_is_used_and_to_the_next_look() {
        let mut tokens = Tokens::new(Duration::from_millis(1_500));
        tokens.enable(at(300));
        tokens.assign("a.7", "ann", at(400));
        assert_eq!(tokens.user("a.7", at(1_900)), Some("ann"));
        // Its end is at 3.4 s, and the looks are at 3.3 and at 4.3 s.
        assert_eq!(tokens.clone().user("a.7", at(4_299)), Some("ann"));
        assert_eq!(tokens.user("a.7", at(4_300)), None);
        assert_eq!((index("a.7"), index("a"), index("a.b")), (Some(7), None, None));
    }

    #[test]
    fn tokens_die_with_what_they_stand_for() {
        let mut tokens = Tokens::new(Duration::from_secs(9));
        tokens.assign("a.1", "ann", at(0));
        tokens.enable(at(0));
        assert_eq!(tokens.user("a.1", at(1)), None, "which was given while nobody needed one");
        tokens.assign("a.2", "ann", at(2));
        tokens.assign("b.3", "bob", at(3));
        tokens.invalidate("ann");
        assert_eq!(tokens.user("a.2", at(4)), None);
        assert_eq!(tokens.user("b.3", at(4)), Some("bob"));
        tokens.disable();
        tokens.enable(at(5));
        assert_eq!(tokens.user("b.3", at(5)), None);
    }
}
