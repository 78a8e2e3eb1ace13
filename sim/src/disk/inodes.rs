//! The files and directories of a disk by number, and who still refers to each.

use std::collections::BTreeMap;

use super::content::Content;

/// The number of a file or directory. It is given again only when nothing refers to it any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct InodeId(u32);

/// The root directory, which always exists.
pub(super) const ROOT: InodeId = InodeId(0);

/// The names in a directory, as the process sees them and as they are on the medium.
#[derive(Clone, Default, Debug)]
pub(super) struct Directory {
    pub(super) cache: BTreeMap<Box<str>, InodeId>,
    pub(super) medium: BTreeMap<Box<str>, InodeId>,
}

#[derive(Clone, Debug)]
enum Body {
    Free,
    File(Content),
    Directory(Directory),
}

#[derive(Clone, Debug)]
struct Inode {
    /// Tells the present owner of the number from an earlier one.
    generation: u64,
    body: Body,
    /// Names in the page cache.
    links: u32,
    /// Open handles.
    handles: u32,
    /// Names on the medium, and mentions in the log of unsynced names.
    retained: u32,
}

/// All files and directories of a disk.
#[derive(Clone, Debug)]
pub(super) struct Inodes {
    slots: Vec<Inode>,
    free: Vec<InodeId>,
    generation: u64,
    bytes_used: u64,
}

impl Inodes {
    pub(super) fn new() -> Self {
        let mut inodes = Self { slots: Vec::new(), free: Vec::new(), generation: 0, bytes_used: 0 };
        let root = inodes.create_directory();
        debug_assert_eq!(root, ROOT);
        inodes.link(root);
        inodes
    }

    pub(super) fn create_file(&mut self) -> InodeId {
        self.create(Body::File(Content::default()))
    }

    pub(super) fn create_directory(&mut self) -> InodeId {
        self.create(Body::Directory(Directory::default()))
    }

    fn create(&mut self, body: Body) -> InodeId {
        self.generation += 1;
        let inode = Inode { generation: self.generation, body, links: 0, handles: 0, retained: 0 };
        match self.free.pop() {
            Some(id) => {
                self.slots[id.0 as usize] = inode;
                id
            }
            None => {
                self.slots.push(inode);
                InodeId(self.slots.len() as u32 - 1)
            }
        }
    }

    pub(super) fn generation(&self, id: InodeId) -> u64 {
        self.slots[id.0 as usize].generation
    }

    pub(super) fn directory(&self, id: InodeId) -> Option<&Directory> {
        match &self.slots[id.0 as usize].body {
            Body::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// The directory that `id` is known to be.
    pub(super) fn directory_mut(&mut self, id: InodeId) -> &mut Directory {
        match &mut self.slots[id.0 as usize].body {
            Body::Directory(directory) => directory,
            _ => unreachable!("names are only put into directories"),
        }
    }

    /// The content of the file that `id` is known to be.
    pub(super) fn content(&self, id: InodeId) -> &Content {
        match &self.slots[id.0 as usize].body {
            Body::File(content) => content,
            _ => unreachable!("only files are opened"),
        }
    }

    /// As [`Inodes::content`]. A change of the size is to be told to [`Inodes::resized`].
    pub(super) fn content_mut(&mut self, id: InodeId) -> &mut Content {
        match &mut self.slots[id.0 as usize].body {
            Body::File(content) => content,
            _ => unreachable!("only files are opened"),
        }
    }

    /// The sum of the sizes of all files that have a name or an open handle.
    pub(super) fn bytes_used(&self) -> u64 {
        self.bytes_used
    }

    pub(super) fn resized(&mut self, before: usize, after: usize) {
        self.bytes_used = self.bytes_used + after as u64 - before as u64;
    }

    /// Unsynced changes of the contents of all files.
    pub(super) fn unsynced(&self) -> usize {
        let unsynced = |inode: &Inode| match &inode.body {
            Body::File(content) => content.unsynced(),
            _ => 0,
        };
        self.slots.iter().map(unsynced).sum()
    }

    pub(super) fn link(&mut self, id: InodeId) {
        self.slots[id.0 as usize].links += 1;
    }

    pub(super) fn unlink(&mut self, id: InodeId) {
        self.slots[id.0 as usize].links -= 1;
        self.left(id);
    }

    pub(super) fn hold(&mut self, id: InodeId) {
        self.slots[id.0 as usize].handles += 1;
    }

    pub(super) fn let_go(&mut self, id: InodeId) {
        self.slots[id.0 as usize].handles -= 1;
        self.left(id);
    }

    pub(super) fn retain(&mut self, id: InodeId) {
        self.slots[id.0 as usize].retained += 1;
    }

    pub(super) fn release(&mut self, id: InodeId) {
        self.slots[id.0 as usize].retained -= 1;
        self.reclaim(id);
    }

    /// The process may have lost sight of the file; it then uses no space, even while a power failure could still
    /// bring it back.
    fn left(&mut self, id: InodeId) {
        let inode = &self.slots[id.0 as usize];
        if inode.links == 0 && inode.handles == 0 {
            if let Body::File(content) = &inode.body {
                self.bytes_used -= content.len() as u64;
            }
            self.reclaim(id);
        }
    }

    fn reclaim(&mut self, id: InodeId) {
        let inode = &mut self.slots[id.0 as usize];
        if inode.links == 0 && inode.handles == 0 && inode.retained == 0 {
            inode.body = Body::Free;
            // The next owner has a larger one, and until then no ticket may match.
            inode.generation = 0;
            self.free.push(id);
        }
    }

    /// Makes what the medium holds all there is: every name in the page cache comes from it, no handle is open,
    /// and what cannot be reached from the root is gone. Returns the files that are left, in a fixed order.
    pub(super) fn reload(&mut self) -> Vec<InodeId> {
        for inode in &mut self.slots {
            (inode.links, inode.handles, inode.retained) = (0, 0, 0);
        }
        self.slots[ROOT.0 as usize].links = 1;
        let mut files = Vec::new();
        let mut directories = vec![ROOT];
        while let Some(id) = directories.pop() {
            let directory = self.directory_mut(id);
            directory.cache.clone_from(&directory.medium);
            let entries: Vec<InodeId> = directory.medium.values().copied().collect();
            for entry in entries {
                let inode = &mut self.slots[entry.0 as usize];
                inode.links += 1;
                inode.retained += 1;
                if inode.links == 1 {
                    match inode.body {
                        Body::Directory(_) => directories.push(entry),
                        _ => files.push(entry),
                    }
                }
            }
        }
        self.free.clear();
        for (index, inode) in self.slots.iter_mut().enumerate().rev() {
            if inode.links == 0 {
                inode.body = Body::Free;
                inode.generation = 0;
                self.free.push(InodeId(index as u32));
            }
        }
        files
    }

    /// Counts the bytes of `files` anew, which are all there are.
    pub(super) fn recount(&mut self, files: &[InodeId]) {
        self.bytes_used = files.iter().map(|file| self.content(*file).len() as u64).sum();
    }
}
