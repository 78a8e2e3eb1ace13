//! What the clients that watch were told.
//!
//! Each watch of each stream stands by itself: one that is resumed over another connection is another watch, which
//! begins where the first one ended.

use crate::api::{WatchCreateRequest, WatchResponse};

/// A watch, from the request on.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// What was asked for.
    pub request: WatchCreateRequest,
    /// Another watch of its stream has the name that it asks for.
    pub is_duplicate: bool,
    /// The watch that it carries on with, of which the client heard nothing more.
    pub resumes: Option<WatchNumber>,
    /// The client asked for its end.
    pub cancel_asked: bool,
    /// Of keys it was recorded without leases, with the create revision only where a put has created the key (0 elsewhere),
    /// and perhaps without the version (0 then).
    pub is_partial: bool,
    /// What it was told, in order. Those about all watches of a stream stand at each of them.
    pub heard: Vec<Heard>,
}

/// One response.
#[derive(Clone, Debug)]
pub struct Heard {
    /// [`History::clock`](crate::history::History::clock) when it was consumed.
    pub clock: u64,
    /// The response.
    pub response: WatchResponse,
}

/// Which watch of a [`WatchHistory`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WatchNumber(u32);

impl WatchNumber {
    /// Its place among all watches.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// All watches of all clients. It only ever grows.
#[derive(Clone, Debug, Default)]
pub struct WatchHistory {
    watches: Vec<Watched>,
}

impl WatchHistory {
    /// A client asks for a watch.
    ///
    /// # Panics
    ///
    /// If there are more than 2^32 watches.
    pub fn asked(&mut self, request: WatchCreateRequest, is_duplicate: bool) -> WatchNumber {
        let number = u32::try_from(self.watches.len()).expect("fewer than 2^32 watches");
        self.watches.push(Watched { request, is_duplicate, ..Watched::default() });
        WatchNumber(number)
    }

    /// A client asked for a watch, and heard it to its end.
    pub fn push(&mut self, watched: Watched) {
        self.watches.push(watched);
    }

    /// With a watch that it has just asked for, a client carries on with an earlier one.
    pub fn resumes(&mut self, number: WatchNumber, earlier: WatchNumber) {
        self.watches[number.0 as usize].resumes = Some(earlier);
    }

    /// A client asks for the end of a watch.
    pub fn cancel_asked(&mut self, number: WatchNumber) {
        self.watches[number.0 as usize].cancel_asked = true;
    }

    /// A client consumed a response.
    pub fn heard(&mut self, number: WatchNumber, clock: u64, response: WatchResponse) {
        self.watches[number.0 as usize].heard.push(Heard { clock, response });
    }

    /// All watches, in the order in which they were asked for.
    #[must_use]
    pub fn watches(&self) -> &[Watched] {
        &self.watches
    }
}

impl std::ops::Index<WatchNumber> for WatchHistory {
    type Output = Watched;

    fn index(&self, number: WatchNumber) -> &Watched {
        &self.watches[number.0 as usize]
    }
}
