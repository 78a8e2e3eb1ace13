//! A watch cache of an API server of Kubernetes: it lists the objects of one resource, and then watches from there on.
//!
//! When a watch breaks, the next one begins where it had come to, at whichever member. When that is compacted, it lists again.

use vertebra_sim::sometimes;

use super::{Wanted, Watcher};
use crate::api::WatchCreateRequest;
use crate::cache_history::ListNumber;
use crate::client::Client;
use crate::history::{Outcome, Request};
use crate::options::Options;
use crate::response::Response;
use crate::workload::kubernetes::{RESOURCES, first_page, next_page};
use crate::workload::of_kubernetes;

/// The cache of one resource.
pub(super) struct Cache {
    /// With which it lists.
    client: Client,
    prefix: &'static [u8],
    page_objects: u16,
    /// The list that it goes on from; nothing while there is none.
    list: Option<ListNumber>,
    /// Who reads from it waits until it has come to this revision, which etcd had at the time.
    awaited: Option<i64>,
}

impl Cache {
    /// The cache of the resource that stream `number` is for, if clients are API servers.
    pub(super) fn new(options: &Options, number: u16, client: impl FnOnce() -> Client) -> Option<Self> {
        let kubernetes = &options.traffic.kubernetes;
        kubernetes.any().then(|| Self {
            client: client(),
            prefix: RESOURCES[usize::from(number) % RESOURCES.len()],
            page_objects: kubernetes.page_objects,
            list: None,
            awaited: None,
        })
    }

    /// What it wants to be told. Where it begins, the list says.
    pub(super) fn wanted(&self) -> Wanted {
        let page = first_page(self.prefix, 0);
        let request = WatchCreateRequest {
            key: page.key,
            range_end: page.range_end,
            progress_notify: true,
            prev_kv: true,
            ..WatchCreateRequest::default()
        };
        Wanted { request, next: 0, progressed: false, last: None }
    }

    /// What it holds is of no use any more.
    pub(super) fn forget(&mut self) {
        (self.list, self.awaited) = (None, None);
    }

    /// Lists all objects, if that is not done; the revision at which it did. Nothing if it failed.
    async fn fill(&mut self) -> Option<i64> {
        let (mut pages, mut at) = (Vec::new(), None);
        let mut next = Some(first_page(self.prefix, self.page_objects));
        while let Some(page) = next {
            self.client.leave_broken_endpoints();
            let (operation, outcome) = self.client.call_and_name(Request::Range(page.clone())).await;
            let range = match outcome {
                Outcome::Ok(Response::Range(range)) => range,
                // Once more: a list of many pages would not come to its end over a link that loses much.
                Outcome::Unknown => {
                    next = Some(page);
                    continue;
                }
                _ => {
                    pages.push(operation);
                    self.client.observer().listed(pages);
                    return None;
                }
            };
            pages.push(operation);
            let revision = range.header.map_or(0, |header| header.revision);
            next = next_page(&page, &range.kvs, range.more, revision);
            at.get_or_insert(revision);
        }
        self.list = Some(self.client.observer().listed(pages));
        at
    }

    /// Asks which revision etcd has now: somebody wants to read from the cache, and nothing older than that.
    pub(super) async fn ask_revision(&mut self) {
        // As Kubernetes does: what it is told of objects does not matter.
        let read = first_page(self.prefix, 1);
        if let Outcome::Ok(response) = self.client.call(Request::Range(read)).await {
            self.awaited = Some(response.revision());
        }
    }
}

impl Watcher {
    /// Sees to it that the cache holds a list, if this is one; whether there is something to watch now.
    pub(super) async fn is_ready(&mut self) -> bool {
        let Some(cache) = self.cache.as_mut().filter(|cache| cache.list.is_none()) else { return true };
        let is_again = self.wanted[0].next > 0;
        let Some(revision) = cache.fill().await else { return false };
        sometimes!(self.node, "a cache is filled once more", is_again, when = of_kubernetes);
        // Where the list ends, whatever watch there was before.
        let Wanted { next, progressed, last, .. } = &mut self.wanted[0];
        (*next, *progressed, *last) = (revision + 1, false, None);
        true
    }

    /// The cache, if this is one, has come to a revision.
    pub(super) fn cache_comes_to(&mut self, revision: i64) {
        let Some(cache) = &mut self.cache else { return };
        let is_reached = cache.awaited.take_if(|awaited| *awaited <= revision).is_some();
        sometimes!(self.node, "a cache comes to the revision of a read", is_reached, when = of_kubernetes);
    }

    /// The list from which the cache goes on by what is told, if this is one.
    pub(super) fn listed(&self) -> Option<ListNumber> {
        self.cache.as_ref().and_then(|cache| cache.list)
    }
}
