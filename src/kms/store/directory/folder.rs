//! What a directory store does, step by step.
//!
//! # The folder
//!
//! | name | what |
//! |---|---|
//! | `waxseal-store` | the marker: the format, in text |
//! | `lock` | locked by whoever changes something |
//! | `changes` | what happens here, for readers: see `changes.rs` |
//! | `blobs/blob.NAME` | a blob, with `.` for each `/` in its name |
//! | `blobs/tmp.RANDOM` | a blob that is being written |
//! | `blobs/old` | content that is being overwritten |
//!
//! All blobs are in one folder, whatever their names: so a name can be a
//! prefix of another's path, nothing is made or removed but files, and one
//! sync of the folder covers every rename before it.
//!
//! # Writing
//!
//! Under the lock: write and sync a temporary file; raise the flag; give the
//! blob's old file, if there is one, a second name, `old`; rename; sync the
//! folder; lower the flag; overwrite `old` with zeros, sync, remove it.
//! Deleting is the same with a rename to `old`. Before the sync of the folder
//! the old content is untouched, since a power cut may bring it back. After it
//! only a reader that opened the file earlier sees the zeros: it finds the
//! file damaged, and reads again under the lock, where nothing is overwritten.
//! The second name is for whoever comes after a crash, who would else not
//! find the content. It is overwritten only if it is the content's last name:
//! not where the rename did not happen, nor in a copy that a backup made of
//! hard links.
//!
//! # Reading
//!
//! Without the lock: read, and then look at the flag.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::format::{self, Header, MAX_HEADER, VersionBytes};
use super::super::{
    Blob, BlobEntry, BlobVersion, ChangeToken, Expected, StoreError, check_length, check_name,
};
use super::changes::{self, Changes};
use super::files::{Files, Kind, LockMode, OpenFile, SyncPoint};
use super::lock::{Gate, Held, lock};
use crate::crypto::CryptoBackend;
use crate::kms::digest::hex;

pub(super) struct Folder {
    pub(super) files: Box<dyn Files>,
    pub(super) root: PathBuf,
    pub(super) blobs: PathBuf,
    pub(super) max_blob_length: usize,
    pub(super) lock_timeout: Duration,
    pub(super) gate: Gate,
    pub(super) crypto: CryptoBackend,
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

impl Folder {
    pub(super) fn read(&self, name: &str) -> Result<Option<Blob>> {
        check_name(name)?;
        if let Ok(found) = self.load(name)
            && self.settled()?
        {
            return Ok(found);
        }
        // Somebody is at work or was killed at it, or the blob is damaged:
        // under the lock it is what it seems.
        let _lock = self.lock_for_reading()?;
        self.load(name)
    }

    pub(super) fn write(
        &self,
        name: &str,
        bytes: &[u8],
        expected: Expected<'_>,
    ) -> Result<BlobVersion> {
        check_name(name)?;
        check_length(name, bytes, self.max_blob_length)?;
        let _lock = self.lock()?;
        let path = self.path(name);
        let current = self.current_version(name)?;
        if !expected.fits(current.as_ref()) {
            return Err(StoreError::conflict(name));
        }
        let version = self.draw()?;
        let temporary = self.blobs.join(format!("tmp.{}", hex(&self.draw()?)));
        let file = Header::encode(&self.crypto, name, &version, bytes);
        let placed = self
            .write_new(&temporary, &file, SyncPoint::Content)
            .map_err(|error| StoreError::io(format!("write the blob '{name}'"), error))
            .and_then(|()| self.raise())
            .and_then(|()| match current {
                Some(_) => self.keep_old(&path),
                None => Ok(()),
            })
            .and_then(|()| {
                let renamed = self.files.rename(&temporary, &path);
                renamed.map_err(|error| rename_error("give the blob its name", name, error))
            });
        if let Err(error) = placed {
            // Where the rename happened after all, there is nothing to remove.
            let _ = self.files.remove(&temporary);
            return Err(error);
        }
        self.files
            .sync_folder(&self.blobs, SyncPoint::Name)
            .map_err(|error| StoreError::io("put the blob's name on the disk", error))
            .and_then(|()| self.lower(name, &version))
            .and_then(|()| self.wipe(&self.old()))
            .map_err(|error| uncertain(name, error))?;
        Ok(format::version(&version))
    }

    pub(super) fn delete(&self, name: &str, expected: &BlobVersion) -> Result<()> {
        check_name(name)?;
        let _lock = self.lock()?;
        if self.current_version(name)?.as_ref() != Some(expected) {
            return Err(StoreError::conflict(name));
        }
        // One may hold what a killed process was about to make of this blob.
        self.remove_temporary_files()?;
        let token = self.draw()?;
        self.raise()?;
        self.files
            .rename(&self.path(name), &self.old())
            .map_err(|error| rename_error("take the blob's name away", name, error))?;
        self.files
            .sync_folder(&self.blobs, SyncPoint::Absence)
            .map_err(|error| StoreError::io("put the blob's absence on the disk", error))
            .and_then(|()| self.lower(name, &token))
            .and_then(|()| self.wipe(&self.old()))
            .map_err(|error| uncertain(name, error))
    }

    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>> {
        // What the system lists while files come and go is anything: so
        // nothing may have come or gone.
        let before = self.changes()?;
        if let Some(before) = before
            && before.settled()
            && let Ok(entries) = self.entries(prefix, after, limit)
            && self.changes()? == Some(before)
        {
            return Ok(entries);
        }
        let _lock = self.lock_for_reading()?;
        self.entries(prefix, after, limit)
    }

    pub(super) fn change_token(&self, prefix: &str) -> Result<ChangeToken> {
        if let Some(changes) = self.changes()? {
            return Ok(changes.token(&self.crypto, prefix));
        }
        // Where this process may not mend the file, it cannot tell: each token
        // is another.
        let _lock = self.lock_for_reading()?;
        Ok(match self.changes()? {
            Some(changes) => changes.token(&self.crypto, prefix),
            None => ChangeToken(hex(&self.draw()?)),
        })
    }

    /// Where a blob's file is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.blobs.join(file_name(name))
    }

    fn old(&self) -> PathBuf {
        self.blobs.join("old")
    }

    fn draw(&self) -> Result<VersionBytes> {
        let mut bytes = VersionBytes::default();
        self.crypto.random().fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The blob, as it is at this moment.
    pub(super) fn load(&self, name: &str) -> Result<Option<Blob>> {
        let longest = MAX_HEADER.saturating_add(self.max_blob_length);
        let Some(file) = self.read_blob_file(name, longest.saturating_add(1))? else {
            return Ok(None);
        };
        if let Ok(header) = Header::read(&self.crypto, &file) {
            let limit = self.max_blob_length as u64;
            if header.content_length > limit {
                return Err(StoreError::TooLarge {
                    name: name.to_owned(),
                    length: header.content_length,
                    limit,
                });
            }
        }
        match Header::open(&self.crypto, name, file) {
            Ok(blob) => Ok(Some(blob)),
            Err(flaw) => Err(StoreError::damaged(name, flaw.0)),
        }
    }

    /// The version of the blob or, where its header is damaged, of what is in
    /// its place.
    fn current_version(&self, name: &str) -> Result<Option<BlobVersion>> {
        let Some(start) = self.read_blob_file(name, MAX_HEADER)? else {
            return Ok(None);
        };
        if let Ok(header) = Header::read(&self.crypto, &start)
            && header.name == name
        {
            return Ok(Some(format::version(&header.version)));
        }
        let longest = MAX_HEADER.saturating_add(self.max_blob_length);
        let file = self.read_blob_file(name, longest)?;
        Ok(file.map(|file| format::damaged_version(&self.crypto, &file)))
    }

    /// The start of a blob's file, if there is one.
    fn read_blob_file(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        let failed = |error| StoreError::io(format!("read the blob '{name}'"), error);
        match self.files.kind(&path).map_err(failed)? {
            Kind::Absent => return Ok(None),
            Kind::File { .. } => {}
            Kind::Symlink => return Err(StoreError::damaged(name, "it is a symbolic link")),
            Kind::Folder => return Err(StoreError::damaged(name, "it is a folder")),
            Kind::Other => return Err(StoreError::damaged(name, "it is not a file")),
        }
        read_if_there(&*self.files, &path, limit).map_err(failed)
    }

    fn entries(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<BlobEntry>> {
        let file_prefix = file_name(prefix);
        let mut names: Vec<String> = self
            .files
            .names(&self.blobs)
            .map_err(|error| StoreError::io("list the store's folder", error))?
            .iter()
            .filter_map(|file| file.to_str()?.starts_with(&file_prefix).then_some(file))
            .filter_map(|file| blob_name(file))
            .filter(|name| name.starts_with(prefix) && after.is_none_or(|after| **name > *after))
            .collect();
        names.sort_unstable();
        let mut entries = Vec::with_capacity(limit.min(names.len()));
        for name in names {
            if entries.len() == limit {
                break;
            }
            let version = match self.current_version(&name) {
                Ok(Some(version)) => version,
                Ok(None) => continue,
                // Not a file: reading it says so.
                Err(StoreError::Damaged { .. }) => BlobVersion("irregular".into()),
                Err(error) => return Err(error),
            };
            entries.push(BlobEntry::new(name, version));
        }
        Ok(entries)
    }

    // The lock, and what is done first by whoever gets it.

    pub(super) fn lock(&self) -> Result<Held<'_>> {
        let held = self.lock_as(LockMode::Exclusive, self.lock_timeout)?;
        self.settle()?;
        Ok(held)
    }

    pub(super) fn lock_as(&self, mode: LockMode, wait: Duration) -> Result<Held<'_>> {
        let path = self.root.join(LOCK);
        if self.kind(&path)? == Kind::Symlink {
            return Err(StoreError::NotAStore {
                location: self.root.clone(),
                reason: format!("'{LOCK}' is a symbolic link"),
            });
        }
        lock(&self.gate, &*self.files, &path, mode, wait)
    }

    /// Keeps writers out, also where this process may not write.
    fn lock_for_reading(&self) -> Result<Option<Held<'_>>> {
        match self.lock() {
            Ok(held) => return Ok(Some(held)),
            Err(StoreError::AccessDenied { .. } | StoreError::Full { .. }) => {}
            Err(error) => return Err(error),
        }
        let held = match self.lock_as(LockMode::Shared, self.lock_timeout) {
            Ok(held) => Some(held),
            // Nobody has ever written here, or all of it was copied to where
            // nobody can.
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if !self.settled()? {
            self.sync_leftovers()?;
        }
        Ok(held)
    }

    /// Under the lock: finishes what a killed process has left.
    pub(super) fn settle(&self) -> Result<()> {
        let changes = match self.kind(&self.root.join(CHANGES))? {
            Kind::File { .. } => self.changes()?,
            // A link would have writers write elsewhere.
            _ => None,
        };
        if !changes.as_ref().is_some_and(Changes::settled) {
            if changes.is_none() {
                self.sync_folders()?;
            }
            self.sync_leftovers()?;
            self.reset_changes()?;
        }
        let old = self.old();
        if self.kind(&old)? != Kind::Absent && self.wipe(&old).is_err() {
            // It has failed twice now, and the first time was reported. What
            // cannot be overwritten must not block the store.
            self.remove(&old)?;
        }
        Ok(())
    }

    fn sync_leftovers(&self) -> Result<()> {
        self.files
            .sync_folder(&self.blobs, SyncPoint::Leftover)
            .map_err(|error| StoreError::io("put earlier changes on the disk", error))
    }

    /// The folder's own name, and those of the folders above, any of which
    /// this store may have made. What this process may not open, it has not
    /// made.
    fn sync_folders(&self) -> Result<()> {
        self.files
            .sync_folder(&self.root, SyncPoint::MarkerName)
            .map_err(|error| StoreError::io("put the store's folder on the disk", error))?;
        for folder in self.root.ancestors().skip(1) {
            match self.files.sync_folder(folder, SyncPoint::Folders) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                    let operation = format!("put the folder {} on the disk", folder.display());
                    return Err(StoreError::io(operation, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    // The file `changes`.

    fn changes(&self) -> Result<Option<Changes>> {
        let file = read_if_there(&*self.files, &self.root.join(CHANGES), changes::LENGTH + 1)
            .map_err(|error| StoreError::io(format!("read the file '{CHANGES}'"), error))?;
        Ok(file.and_then(Changes::read))
    }

    fn settled(&self) -> Result<bool> {
        Ok(self.changes()?.as_ref().is_some_and(Changes::settled))
    }

    /// Tells the others that something is about to change.
    fn raise(&self) -> Result<()> {
        self.write_changes(&[changes::RAISE])
    }

    /// Tells the others that this blob has changed. Not before: who asked for
    /// the token and still read the old content must find another token next.
    fn lower(&self, name: &str, token: &VersionBytes) -> Result<()> {
        self.write_changes(&[
            (changes::slot_offset(name), token.as_slice()),
            changes::LOWER,
        ])
    }

    fn reset_changes(&self) -> Result<()> {
        let path = self.root.join(CHANGES);
        let fresh = Changes::fresh(&**self.crypto.random())?;
        let failed = |error| StoreError::io(format!("make the file '{CHANGES}'"), error);
        if let Kind::File { length, .. } = self.kind(&path)?
            && length == changes::LENGTH as u64
        {
            return self.write_changes(&[(0, &fresh)]);
        }
        if self.kind(&path)? != Kind::Absent {
            self.files.remove(&path).map_err(failed)?;
        }
        let mut file = self.files.create(&path).map_err(failed)?;
        file.write_at(0, &fresh).map_err(failed)
    }

    fn write_changes(&self, writes: &[(u64, &[u8])]) -> Result<()> {
        let write = || -> io::Result<()> {
            let mut file = self.files.open(&self.root.join(CHANGES))?;
            writes
                .iter()
                .try_for_each(|(offset, bytes)| file.write_at(*offset, bytes))
        };
        write().map_err(|error| StoreError::io(format!("write the file '{CHANGES}'"), error))
    }

    // Files.

    pub(super) fn kind(&self, path: &Path) -> Result<Kind> {
        self.files
            .kind(path)
            .map_err(|error| StoreError::io(format!("look at {}", path.display()), error))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.files
            .remove(path)
            .map_err(|error| StoreError::io(format!("remove {}", path.display()), error))
    }

    pub(super) fn write_new(&self, path: &Path, bytes: &[u8], point: SyncPoint) -> io::Result<()> {
        let mut file = self.files.create(path)?;
        file.write_at(0, bytes)?;
        file.sync(point)
    }

    /// Gives the content that is about to be replaced a second name. File
    /// systems without hard links do without: there the content is unlinked
    /// and not overwritten.
    fn keep_old(&self, path: &Path) -> Result<()> {
        match self.files.link(path, &self.old()) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::Unsupported
                        | io::ErrorKind::PermissionDenied
                        | io::ErrorKind::TooManyLinks
                ) =>
            {
                Err(StoreError::io("keep the blob's old content", error))
            }
            _ => Ok(()),
        }
    }

    /// Overwrites a file with zeros if this is its last name, and removes it.
    /// Under the lock, and after what led here is on the disk.
    pub(super) fn wipe(&self, path: &Path) -> Result<()> {
        let length = match self.kind(path)? {
            Kind::Absent => return Ok(()),
            Kind::File { length, links } if self.is_last_name(path, links) => length,
            _ => return self.remove(path),
        };
        let overwrite = || -> io::Result<()> {
            let mut file = self.files.open(path)?;
            write_zeros(&mut *file, length)?;
            file.sync(SyncPoint::Zeros)
        };
        overwrite().map_err(|error| {
            StoreError::io(format!("overwrite {} with zeros", path.display()), error)
        })?;
        self.remove(path)
    }

    fn is_last_name(&self, path: &Path, links: Option<u64>) -> bool {
        if let Some(links) = links {
            return links == 1;
        }
        // The platform does not say. A version is of one write only.
        let Ok(Some(start)) = read_if_there(&*self.files, path, MAX_HEADER) else {
            return false;
        };
        Header::read(&self.crypto, &start).is_ok_and(|header| {
            let version = format::version(&header.version);
            self.current_version(&header.name)
                .is_ok_and(|current| current != Some(version))
        })
    }

    /// Under the lock: removes what killed writers have left.
    pub(super) fn remove_temporary_files(&self) -> Result<()> {
        let names = self
            .files
            .names(&self.blobs)
            .map_err(|error| StoreError::io("list the store's folder", error))?;
        for name in names {
            if name.to_str().is_some_and(|name| name.starts_with("tmp.")) {
                self.wipe(&self.blobs.join(name))?;
            }
        }
        Ok(())
    }
}

pub(super) const LOCK: &str = "lock";
pub(super) const CHANGES: &str = "changes";
const BLOB_PREFIX: &str = "blob.";

fn file_name(blob: &str) -> String {
    format!("{BLOB_PREFIX}{}", blob.replace('/', "."))
}

fn blob_name(file: &OsStr) -> Option<String> {
    let name = file.to_str()?.strip_prefix(BLOB_PREFIX)?.replace('.', "/");
    check_name(&name).is_ok().then_some(name)
}

pub(super) fn read_if_there(
    files: &dyn Files,
    path: &Path,
    limit: usize,
) -> io::Result<Option<Vec<u8>>> {
    match files.read(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_zeros(file: &mut dyn OpenFile, length: u64) -> io::Result<()> {
    const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
    let mut offset = 0;
    while offset < length {
        let piece = (length - offset).min(ZEROS.len() as u64);
        file.write_at(offset, &ZEROS[..piece as usize])?;
        offset += piece;
    }
    Ok(())
}

/// A rename that failed has not happened, unless the disk itself failed.
fn rename_error(operation: &str, name: &str, error: io::Error) -> StoreError {
    match StoreError::io(operation, error) {
        error @ StoreError::Io { .. } => uncertain(name, error),
        error => error,
    }
}

fn uncertain(name: &str, error: StoreError) -> StoreError {
    StoreError::Uncertain {
        name: name.to_owned(),
        source: Box::new(error),
    }
}
