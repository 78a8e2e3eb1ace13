//! Operations on names.

use super::error::{DiskError, Operation};
use super::faults::IoKind;
use super::inodes::{InodeId, ROOT};
use super::names::{NameChange, Unit};
use super::{Disk, path};

impl Disk {
    /// Creates an empty directory; its parent must exist.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](DiskError::AlreadyExists), [`NotFound`](DiskError::NotFound) (the parent),
    /// [`NotADirectory`](DiskError::NotADirectory), [`InvalidPath`](DiskError::InvalidPath), [`Io`](DiskError::Io).
    pub fn create_directory(&mut self, path: &str) -> Result<(), DiskError> {
        let operation = Operation::CreateDirectory;
        match self.find(operation, path) {
            Ok(_) => return Err(DiskError::AlreadyExists { operation, path: path.to_owned() }),
            Err(DiskError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let (directory, name) = self.find_place(operation, path)?;
        self.check_names(operation, path)?;
        let inode = self.inodes.create_directory();
        self.inodes.link(inode);
        self.inodes.directory_mut(directory).cache.insert(name.into(), inode);
        let change = NameChange { directory, name: name.into(), target: Some(inode) };
        self.names.push(Unit::new(change), &mut self.inodes);
        Ok(())
    }

    /// Whether there is a file or directory at `path`.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.find(Operation::List, path).is_ok()
    }

    /// The length of the file at `path`, in bytes; nothing if there is none.
    #[must_use]
    pub fn length_of(&self, path: &str) -> Option<u64> {
        let inode = self.find(Operation::Length, path).ok()?;
        let is_file = self.inodes.directory(inode).is_none();
        is_file.then(|| self.inodes.content(inode).len() as u64)
    }

    /// Whether there is a directory at `path`.
    #[must_use]
    pub fn is_directory(&self, path: &str) -> bool {
        self.find_directory(Operation::List, path).is_ok()
    }

    /// The names in the directory at `path`, sorted by their bytes.
    ///
    /// # Errors
    ///
    /// [`NotFound`](DiskError::NotFound), [`NotADirectory`](DiskError::NotADirectory),
    /// [`InvalidPath`](DiskError::InvalidPath).
    pub fn list(&self, path: &str) -> Result<Vec<String>, DiskError> {
        let inode = self.find_directory(Operation::List, path)?;
        let directory = self.inodes.directory(inode);
        Ok(directory
            .map_or_else(Vec::new, |directory| directory.cache.keys().map(|name| (**name).into()).collect()))
    }

    /// Removes the file or empty directory at `path`. An open file lives on, without a name, until it is closed.
    ///
    /// # Errors
    ///
    /// [`NotFound`](DiskError::NotFound), [`DirectoryNotEmpty`](DiskError::DirectoryNotEmpty),
    /// [`NotADirectory`](DiskError::NotADirectory); [`InvalidPath`](DiskError::InvalidPath), which the root is too;
    /// [`Io`](DiskError::Io).
    pub fn remove(&mut self, path: &str) -> Result<(), DiskError> {
        let operation = Operation::Remove;
        let inode = self.find(operation, path)?;
        let (directory, name) = self.find_place(operation, path)?;
        let emptied = self.check_empty(operation, path, inode)?;
        self.check_names(operation, path)?;
        self.inodes.directory_mut(directory).cache.remove(name);
        let change = NameChange { directory, name: name.into(), target: None };
        self.names.push(Unit { emptied, ..Unit::new(change) }, &mut self.inodes);
        self.inodes.unlink(inode);
        Ok(())
    }

    /// Gives the file or directory at `from` the path `to`, in another directory too. What was at `to`, a file, or an
    /// empty directory if `from` is a directory, is replaced: at no moment would another process see neither.
    /// Nothing happens when both are names of the same file.
    ///
    /// # Errors
    ///
    /// [`NotFound`](DiskError::NotFound) (`from`, or the parent of `to`);
    /// [`IsADirectory`](DiskError::IsADirectory) or [`NotADirectory`](DiskError::NotADirectory) if `to` is a directory
    /// and `from` a file, or the reverse; [`DirectoryNotEmpty`](DiskError::DirectoryNotEmpty) (`to`);
    /// [`InvalidPath`](DiskError::InvalidPath), which the root is, and a path `to` within the directory `from`;
    /// [`Io`](DiskError::Io).
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        let operation = Operation::Rename;
        let inode = self.find(operation, from)?;
        let (old_directory, old_name) = self.find_place(operation, from)?;
        let (new_directory, new_name) = self.find_place(operation, to)?;
        let through = self.way_to(to);
        let replaced = self.inodes.directory_mut(new_directory).cache.get(new_name).copied();
        if replaced == Some(inode) {
            return Ok(());
        }
        if through.contains(&inode) {
            let reason = "it would be moved into itself";
            return Err(DiskError::InvalidPath { operation, path: to.to_owned(), reason });
        }
        let moves_directory = self.inodes.directory(inode).is_some();
        let mut emptied = None;
        if let Some(replaced) = replaced {
            match (moves_directory, self.inodes.directory(replaced).is_some()) {
                (true, false) => return Err(DiskError::NotADirectory { operation, path: to.to_owned() }),
                (false, true) => return Err(DiskError::IsADirectory { operation, path: to.to_owned() }),
                _ => emptied = self.check_empty(operation, to, replaced)?,
            }
        }
        self.check_names(operation, from)?;

        self.inodes.directory_mut(old_directory).cache.remove(old_name);
        self.inodes.directory_mut(new_directory).cache.insert(new_name.into(), inode);
        let end = NameChange { directory: old_directory, name: old_name.into(), target: None };
        let start = NameChange { directory: new_directory, name: new_name.into(), target: Some(inode) };
        if old_directory == new_directory {
            let unit = Unit { second: Some(start), emptied, ..Unit::new(end) };
            self.names.push(unit, &mut self.inodes);
        } else if moves_directory {
            let unit = Unit { second: Some(start), emptied, through, ..Unit::new(end) };
            self.names.push(unit, &mut self.inodes);
        } else {
            let after = Some(self.names.push(Unit::new(start), &mut self.inodes));
            self.names.push(Unit { after, through, ..Unit::new(end) }, &mut self.inodes);
        }
        if let Some(replaced) = replaced {
            self.inodes.unlink(replaced);
        }
        Ok(())
    }

    /// The directory `inode`, which must be empty; nothing for a file.
    fn check_empty(
        &self,
        operation: Operation,
        path: &str,
        inode: InodeId,
    ) -> Result<Option<InodeId>, DiskError> {
        match self.inodes.directory(inode) {
            None => Ok(None),
            Some(directory) if directory.cache.is_empty() => Ok(Some(inode)),
            Some(_) => Err(DiskError::DirectoryNotEmpty { operation, path: path.to_owned() }),
        }
    }

    /// Whether the device lets a name change now.
    pub(super) fn check_names(&mut self, operation: Operation, path: &str) -> Result<(), DiskError> {
        match self.faults.strikes(IoKind::Names) {
            true => Err(DiskError::Io { operation, path: path.to_owned() }),
            false => Ok(()),
        }
    }

    /// What is at `path`.
    pub(super) fn find(&self, operation: Operation, path: &str) -> Result<InodeId, DiskError> {
        let mut inode = ROOT;
        for name in path::names(path::checked(operation, path)?) {
            let Some(directory) = self.inodes.directory(inode) else {
                return Err(DiskError::NotADirectory { operation, path: path.to_owned() });
            };
            inode = match directory.cache.get(name) {
                Some(inode) => *inode,
                None => return Err(DiskError::NotFound { operation, path: path.to_owned() }),
            };
        }
        Ok(inode)
    }

    /// The directory at `path`.
    pub(super) fn find_directory(&self, operation: Operation, path: &str) -> Result<InodeId, DiskError> {
        let inode = self.find(operation, path)?;
        match self.inodes.directory(inode) {
            Some(_) => Ok(inode),
            None => Err(DiskError::NotADirectory { operation, path: path.to_owned() }),
        }
    }

    /// The directory that holds, or would hold, the last name of `path`, and that name.
    pub(super) fn find_place<'a>(
        &self,
        operation: Operation,
        path: &'a str,
    ) -> Result<(InodeId, &'a str), DiskError> {
        let Some((parent, name)) = path::parent_and_name(path::checked(operation, path)?) else {
            let reason = "the root is always there";
            return Err(DiskError::InvalidPath { operation, path: path.to_owned(), reason });
        };
        // An error names the whole path that was asked for, and not the parent that is missing.
        match self.find_directory(operation, parent) {
            Ok(directory) => Ok((directory, name)),
            Err(DiskError::NotFound { .. }) => Err(DiskError::NotFound { operation, path: path.to_owned() }),
            Err(_) => Err(DiskError::NotADirectory { operation, path: path.to_owned() }),
        }
    }

    /// The directories from the root to the parent of `path`, which exist.
    fn way_to(&self, path: &str) -> Vec<InodeId> {
        let (parent, _) = path::parent_and_name(path).unwrap_or_default();
        let mut way = vec![ROOT];
        for name in path::names(parent) {
            let here = way[way.len() - 1];
            way.extend(self.inodes.directory(here).and_then(|directory| directory.cache.get(name)));
        }
        way
    }
}
