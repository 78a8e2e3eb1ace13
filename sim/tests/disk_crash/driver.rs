//! Random operations on a disk and on the reference at once.

use vertebra_sim::disk::{Disk, FileHandle, IoKind, OpenMode, SyncTicket};
use vertebra_sim::random::Stream;

use crate::reference::{Kind, Node, Observed, Reference};
use crate::{content, kind};

/// A way in which the disk is made to break its promise, to prove that the reference notices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    None,
    FileSyncDoesNothing,
    DirectorySyncDoesNothing,
    /// A sync covers what is written until it completes, and not only what was written when it began.
    /// This is a disk that is too good: the reference must accept it.
    SyncCoversMore,
    /// The disk reports a sync that failed as done.
    FailedSyncIsReportedAsDone,
}

pub struct Driver {
    pub disk: Disk,
    pub reference: Reference,
    handles: Vec<(FileHandle, usize)>,
    tickets: Vec<(Option<SyncTicket>, Begun)>,
    sabotage: Sabotage,
    /// What was done, for the message of a failure.
    pub log: Vec<String>,
}

struct Begun {
    node: usize,
    mark: usize,
    /// How to sync the same at once: the open file, or the directory.
    file: Option<FileHandle>,
}

const NAMES: [&str; 10] = ["x", "y", "a", "b", "a/x", "a/y", "b/x", "a/c", "a/c/x", "b/c"];
const DIRECTORIES: [&str; 5] = ["", "a", "b", "a/c", "b/c"];

/// More unsynced steps than this would take the reference too long to enumerate.
const FREE_STEPS_MAX: usize = 8;

impl Driver {
    pub fn new(disk: Disk, sabotage: Sabotage) -> Self {
        let mut driver = Self {
            reference: Reference::default(),
            disk,
            handles: Vec::new(),
            tickets: Vec::new(),
            sabotage,
            log: Vec::new(),
        };
        driver.restart();
        driver
    }

    /// Makes a synced tree of directories and files to begin with, so that there is something to move and to lose.
    pub fn populate(&mut self) {
        for path in DIRECTORIES.into_iter().filter(|path| !path.is_empty()) {
            self.disk.create_directory(path).expect("its parent exists");
        }
        for (index, path) in ["x", "a/x", "b/y", "a/c/x"].into_iter().enumerate() {
            let file = self.disk.open(path, OpenMode::CreateNew).expect("its parent exists");
            self.disk.append(file, &vec![index as u8 + 1; 700 * index]).expect("there is space");
            self.disk.sync(file).expect("syncs do not fail here");
        }
        for path in DIRECTORIES {
            self.disk.sync_directory(path).expect("it exists");
        }
        self.disk.process_crash();
        self.restart();
    }

    /// Takes what is on the disk now as durable, as after a power failure.
    pub fn restart(&mut self) {
        self.reference = Reference::of(&observe(&self.disk));
        self.handles.clear();
        self.tickets.clear();
        self.log.push(format!("-- what is there now is durable: {:?} --", self.reference.visible()));
    }

    pub fn run(&mut self, operations: u64, stream: &mut Stream) {
        for _ in 0..operations {
            self.operate(stream);
            while self.reference.free_steps() > FREE_STEPS_MAX {
                let directories = self.reference.visible();
                let directories = directories.iter().filter(|(_, file)| file.is_none()).map(|(path, _)| path);
                for path in std::iter::once(&String::new()).chain(directories) {
                    self.disk.sync_directory(path).expect("it exists");
                    let node = self.reference.find(path).expect("it exists");
                    let mark = self.reference.mark(node);
                    self.reference.synced(node, mark);
                }
                // What is left is in directories that were removed without a sync of their parents before.
                if self.reference.free_steps() > FREE_STEPS_MAX {
                    let mut stream = stream.clone();
                    self.disk.power_failure(&mut stream);
                    self.restart();
                }
            }
        }
    }

    fn operate(&mut self, stream: &mut Stream) {
        const WEIGHTS: [(u32, u8); 14] = [
            (8, 0),
            (12, 1),
            (12, 2),
            (6, 3),
            (10, 4),
            (6, 5),
            (8, 6),
            (5, 7),
            (8, 8),
            (4, 9),
            (6, 10),
            (3, 11),
            (1, 12),
            (1, 13),
        ];
        let path = *stream.pick(&NAMES);
        let open = (!self.handles.is_empty()).then(|| stream.below(self.handles.len() as u64) as usize);
        match (*stream.weighted(&WEIGHTS), open) {
            (0, _) | (1..=3 | 5 | 11, None) => self.open(path, stream),
            (1, Some(open)) => {
                let bytes = random_bytes(stream);
                let (handle, node) = self.handles[open];
                self.log.push(format!("append {} bytes to file {node}", bytes.len()));
                let offset = self.reference.bytes(node).len();
                assert_eq!(self.disk.append(handle, &bytes), Ok(offset as u64));
                self.reference.write(node, offset, &bytes);
            }
            (2, Some(open)) => {
                let bytes = random_bytes(stream);
                let (handle, node) = self.handles[open];
                let offset = stream.below(self.reference.bytes(node).len() as u64 + 600);
                self.log.push(format!("write {} bytes to file {node} at {offset}", bytes.len()));
                self.disk.write_at(handle, offset, &bytes).expect("the handle is good");
                self.reference.write(node, offset as usize, &bytes);
            }
            (3, Some(open)) => {
                let (handle, node) = self.handles[open];
                let size = stream.below(self.reference.bytes(node).len() as u64 + 600);
                self.log.push(format!("truncate file {node} to {size}"));
                self.disk.truncate(handle, size).expect("the handle is good");
                self.reference.truncate(node, size as usize);
            }
            (4, _) => self.complete(stream),
            (5, Some(open)) => {
                let (handle, node) = self.handles[open];
                self.log.push(format!("begin to sync file {node}"));
                let ticket = self.disk.begin_sync(handle).expect("the handle is good");
                self.begun(ticket, node, Some(handle));
            }
            (6, _) => {
                let path = *stream.pick(&DIRECTORIES);
                let found = self.reference.find(path);
                let ticket = self.disk.begin_sync_directory(path);
                match (found, ticket) {
                    (Ok(node), Ok(ticket)) if matches!(self.reference.nodes[node], Node::Directory) => {
                        self.log.push(format!("begin to sync directory `{path}`, which is {node}"));
                        self.begun(ticket, node, None);
                    }
                    (Ok(_), Err(error)) => assert_eq!(kind(&error), "NotADirectory"),
                    (found, ticket) => {
                        assert_eq!(found.err(), ticket.err().as_ref().map(kind));
                    }
                }
            }
            (7, _) => {
                let expected = self.reference.remove(path);
                self.did(format!("remove {path}"), expected, |disk| disk.remove(path));
            }
            (8, _) => {
                let (path, to) = match stream.below(4) {
                    0 => (*stream.pick(&DIRECTORIES), *stream.pick(&DIRECTORIES)),
                    _ => (path, *stream.pick(&NAMES)),
                };
                let expected = self.reference.rename(path, to);
                self.did(format!("rename {path} to {to}"), expected, |disk| disk.rename(path, to));
            }
            (9, _) => {
                let path = *stream.pick(&DIRECTORIES);
                let expected = self.reference.create_directory(path);
                let create = |disk: &mut Disk| disk.create_directory(path);
                self.did(format!("create directory {path}"), expected, create);
            }
            (10, _) => {
                assert_eq!(see(&self.disk), seen(&self.reference), "\n{}", self.log.join("\n"));
            }
            (11, Some(open)) => {
                let (handle, node) = self.handles.swap_remove(open);
                self.log.push(format!("close file {node}"));
                assert_eq!(self.disk.close(handle), Ok(()));
            }
            (12, _) => {
                self.log.push("-- process crash --".to_owned());
                self.disk.process_crash();
                for (handle, _) in self.handles.drain(..) {
                    let error = self.disk.length(handle).expect_err("a crash ends handles");
                    assert_eq!(kind(&error), "StaleHandle");
                }
                for (ticket, _) in self.tickets.drain(..) {
                    let completed = ticket.map(|ticket| self.disk.complete_sync(ticket));
                    assert!(!matches!(completed, Some(Ok(()))), "a crash ends syncs");
                }
            }
            _ => {
                self.disk.fail_next(IoKind::Sync, 1);
                self.complete(stream);
                self.disk.fail_next(IoKind::Sync, 0);
            }
        }
    }

    fn open(&mut self, path: &str, stream: &mut Stream) {
        let mode =
            *stream.pick(&[OpenMode::Existing, OpenMode::Create, OpenMode::Create, OpenMode::CreateNew]);
        let found = self.reference.open(path, mode != OpenMode::Existing, mode == OpenMode::CreateNew);
        let opened = self.disk.open(path, mode);
        self.log.push(format!("open {path} as {mode:?}: {found:?}"));
        match (found, opened) {
            (Ok(node), Ok(handle)) => self.handles.push((handle, node)),
            (found, opened) => assert_eq!(found.err(), opened.err().as_ref().map(kind)),
        }
    }

    fn did(
        &mut self,
        what: String,
        expected: Result<(), Kind>,
        act: impl FnOnce(&mut Disk) -> Result<(), vertebra_sim::disk::DiskError>,
    ) {
        self.log.push(format!("{what}: {expected:?}"));
        let found = act(&mut self.disk);
        assert_eq!(
            found.as_ref().map_err(kind),
            expected.as_ref().map_err(|kind| *kind),
            "{}",
            self.log.join("\n")
        );
    }

    fn begun(&mut self, ticket: SyncTicket, node: usize, file: Option<FileHandle>) {
        let spoilt = match self.sabotage {
            Sabotage::FileSyncDoesNothing => file.is_some(),
            Sabotage::DirectorySyncDoesNothing => file.is_none(),
            _ => false,
        };
        self.tickets
            .push(((!spoilt).then_some(ticket), Begun { node, mark: self.reference.mark(node), file }));
    }

    fn complete(&mut self, stream: &mut Stream) {
        if self.tickets.is_empty() {
            return;
        }
        let (ticket, begun) = self.tickets.swap_remove(stream.below(self.tickets.len() as u64) as usize);
        if self.sabotage == Sabotage::SyncCoversMore
            && let Some(handle) = begun.file
        {
            let _ = self.disk.sync(handle);
        }
        let done = ticket.is_none_or(|ticket| self.disk.complete_sync(ticket).is_ok());
        self.log.push(format!("complete the sync of {}: {done}", begun.node));
        if done || self.sabotage == Sabotage::FailedSyncIsReportedAsDone {
            self.reference.synced(begun.node, begun.mark);
        }
    }
}

fn random_bytes(stream: &mut Stream) -> Vec<u8> {
    let length = if stream.below(2) == 0 { stream.below(300) } else { stream.below(1800) };
    let fill = stream.below(255) as u8 + 1;
    (0..length).map(|index| fill.wrapping_mul(index as u8 | 1)).collect()
}

/// The paths, and the bytes of the files, that the disk shows.
fn see(disk: &Disk) -> Vec<(String, Option<Vec<u8>>)> {
    let mut disk = disk.clone();
    let mut seen = Vec::new();
    let mut waiting = vec![String::new()];
    while let Some(directory) = waiting.pop() {
        for name in disk.list(&directory).expect("it exists") {
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if disk.is_directory(&path) {
                seen.push((path.clone(), None));
                waiting.push(path);
            } else {
                let handle = disk.open(&path, OpenMode::Existing).expect("it exists");
                seen.push((path, Some(content(&mut disk, handle))));
            }
        }
    }
    seen.sort();
    seen
}

fn seen(reference: &Reference) -> Vec<(String, Option<Vec<u8>>)> {
    let bytes = |file: Option<usize>| file.map(|node| reference.bytes(node).to_vec());
    reference.visible().into_iter().map(|(path, file)| (path, bytes(file))).collect()
}

/// What the disk shows, and which paths are names of one file: those that all grow when one of them is appended to.
pub fn observe(disk: &Disk) -> Observed {
    let mut probe = disk.clone();
    let seen = see(disk);
    let mut handles = Vec::new();
    for (path, entry) in &seen {
        if let Some(bytes) = entry {
            handles.push((probe.open(path, OpenMode::Existing).expect("it exists"), bytes.len() as u64));
        }
    }
    let mut identities: Vec<Option<usize>> = vec![None; handles.len()];
    for first in 0..handles.len() {
        if identities[first].is_none() {
            probe.append(handles[first].0, b"!").expect("there is space");
            for (identity, (handle, length)) in identities.iter_mut().zip(&handles) {
                if identity.is_none() && probe.length(*handle) != Ok(*length) {
                    *identity = Some(first);
                }
            }
        }
    }
    let mut identities = identities.into_iter().flatten();
    let identify = |(path, entry): (String, Option<Vec<u8>>)| {
        let entry = entry.map(|bytes| (identities.next().expect("one for each file"), bytes));
        (path, entry)
    };
    seen.into_iter().map(identify).collect()
}
