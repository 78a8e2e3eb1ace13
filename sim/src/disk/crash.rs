//! The end of a process, and of the power.

use super::Disk;
use super::mood::{Mood, PowerFailure};
use crate::random::Stream;

impl Disk {
    /// The process ends: the page cache stays, so nothing is lost; handles and unfinished syncs are stale.
    pub fn process_crash(&mut self) {
        self.incarnation += 1;
        self.opens_free.clear();
        for open in std::mem::take(&mut self.opens) {
            if open.number != 0 {
                self.inodes.let_go(open.inode);
            }
        }
    }

    /// The power fails, and the process with it: `stream` decides what is left of everything that was not synced,
    /// within the bounds that the module states. Returns what happened to how many operations.
    ///
    /// One failure in eight loses everything and one in eight keeps everything; each of the others draws how it
    /// treats contents and how it treats names.
    pub fn power_failure(&mut self, stream: &mut Stream) -> PowerFailure {
        self.incarnation += 1;
        self.opens.clear();
        self.opens_free.clear();
        let (of_contents, of_names) = Mood::draw(stream);
        let mut failure = PowerFailure::default();

        let fates = of_names.fates(self.names.len(), stream);
        let chosen = fates.into_iter().map(|fate| fate.survives_whole(stream)).collect();
        failure.names.kept = self.names.apply(chosen, &mut self.inodes) as u64;
        failure.names.lost = self.names.len() as u64;
        self.names.clear();

        let files = self.inodes.reload();
        let mut all_strayed = Vec::new();
        for file in &files {
            let mut strayed = Vec::new();
            let content = self.inodes.content_mut(*file);
            content.lose_power(of_contents, stream, &mut failure.contents, &mut strayed);
            if !strayed.is_empty() {
                all_strayed.push((*file, strayed));
            }
        }
        for (file, strayed) in all_strayed {
            for struck in self.land(file, strayed) {
                self.inodes.content_mut(struck).drop_cache();
            }
        }
        self.inodes.recount(&files);
        failure
    }
}
