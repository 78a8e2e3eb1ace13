//! What a client that watches draws.

use bytes::Bytes;

use super::{Wanted, Watcher};
use crate::api::WatchCreateRequest;
use crate::api::watch_create_request::FilterType;

/// What a client does on its own.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Nothing,
    AskForProgress,
    /// Gives up a watch for another.
    Replace,
    /// Asks for a watch that must be refused.
    AskForWhatCannotBe,
    /// Opens another stream.
    Reconnect,
    /// Fills its cache anew.
    ListAgain,
    /// Reads slowly from now on, or no longer.
    ChangePace,
}

impl Watcher {
    pub(super) fn draw_action(&mut self) -> Action {
        if self.cache.is_some() {
            return *self.draws.weighted(&[
                (60, Action::Nothing),
                (15, Action::AskForProgress),
                (5, Action::ListAgain),
                (8, Action::Reconnect),
                (12, Action::ChangePace),
            ]);
        }
        *self.draws.weighted(&[
            (62, Action::Nothing),
            (10, Action::AskForProgress),
            (8, Action::Replace),
            (3, Action::AskForWhatCannotBe),
            (5, Action::Reconnect),
            (12, Action::ChangePace),
        ])
    }

    /// A watch of all keys, mostly, from a revision around the present.
    pub(super) fn draw_wanted(&mut self) -> Wanted {
        if let Some(cache) = &self.cache {
            return cache.wanted();
        }
        let draws = &mut self.draws;
        let number = draws.below(u64::from(self.options.traffic.keys));
        let key = |number: u64| Bytes::from(format!("key{number:02}"));
        let (key, range_end) = match draws.below(20) {
            0..=12 => (Bytes::from_static(b"key"), Bytes::from_static(b"kez")),
            13..=16 => (key(number), Bytes::new()),
            17 | 18 => (key(number), key(number + 3)),
            _ => (Bytes::new(), Bytes::from_static(b"\0")),
        };
        let now = self.known_revision.get();
        let next = match draws.below(10) {
            0..=2 => 0,
            3..=6 => (now - draws.below(101) as i64).max(1),
            7 | 8 => now + draws.below(20) as i64,
            _ => now + 20 + draws.below(81) as i64,
        };
        let filters = match draws.below(12) {
            0 => vec![FilterType::Noput.into()],
            1 => vec![FilterType::Nodelete.into()],
            _ => Vec::new(),
        };
        let request = WatchCreateRequest {
            key,
            range_end,
            start_revision: next,
            progress_notify: draws.chance(600_000),
            filters,
            prev_kv: draws.chance(700_000),
            // Any other than 0 is replaced by a name that no watch has had.
            watch_id: i64::from(draws.chance(300_000)),
            fragment: draws.chance(500_000),
        };
        Wanted { request, next, progressed: false, last: None }
    }

    /// A watch that must be refused, and whether that is for its name, which is `taken`.
    pub(super) fn draw_refused(&mut self, taken: Option<i64>) -> (WatchCreateRequest, bool) {
        let request = WatchCreateRequest { key: Bytes::from_static(b"key"), ..WatchCreateRequest::default() };
        match (self.draws.below(3), taken) {
            (0, Some(watch_id)) => (WatchCreateRequest { watch_id, ..request }, true),
            (1, _) => (WatchCreateRequest { range_end: Bytes::from_static(b"ke"), ..request }, false),
            _ => (WatchCreateRequest { start_revision: -1, ..request }, false),
        }
    }
}
