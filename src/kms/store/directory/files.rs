//! The file operations that the directory store is made of: the operating
//! system's, and in tests simulated ones that fail, fill up and lose power.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Why something must be on the disk before the next step. Each is used in one
/// place of the code; tests leave out each in turn and must find a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SyncPoint {
    /// A blob's content, before it gets its name.
    Content,
    /// A blob's name, before the write is acknowledged, seen by others, or
    /// what it replaces is overwritten.
    Name,
    /// A blob's absence, before the same.
    Absence,
    /// The zeros over old content, before its last name is removed.
    Zeros,
    /// What a killed process may have left unsynced, before anybody builds on
    /// it.
    Leftover,
    /// The folder of the blobs, before the marker says that there is a store.
    Blobs,
    /// The marker's content, before it gets its name.
    Marker,
    /// The marker's name, before the first write.
    MarkerName,
    /// The store's folder and those made for it, before the first write.
    Folders,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Absent,
    File {
        length: u64,
        /// How many names the file has, where the platform says.
        links: Option<u64>,
    },
    Folder,
    Symlink,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockMode {
    /// Needs a file that can be written; makes it.
    Exclusive,
    /// Needs no more than reading.
    Shared,
}

pub(super) trait Files: Send + Sync {
    /// The folder's absolute path without symbolic links; `NotFound` where
    /// there is none.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
    /// What is there, itself and not what it links to.
    fn kind(&self, path: &Path) -> io::Result<Kind>;
    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>>;
    /// The file from its start, at most `limit` bytes.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;
    /// A new folder that nobody else may enter.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// A new, empty file that nobody else may read.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    /// An existing file, to be overwritten in place.
    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn sync_folder(&self, folder: &Path, point: SyncPoint) -> io::Result<()>;
    /// Opens the file that is locked. Each opening excludes all others, of the
    /// same process too.
    fn open_lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn LockFile>>;
}

pub(super) trait OpenFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self, point: SyncPoint) -> io::Result<()>;
}

/// Dropping it unlocks it.
pub(super) trait LockFile: Send {
    /// Locks it if nobody else has.
    fn try_lock(&mut self) -> io::Result<bool>;
}

/// The operating system's files.
pub(super) struct SystemFiles {
    /// Whether anything is synced. Off in tests and benchmarks only.
    pub(super) sync: bool,
}

impl Files for SystemFiles {
    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Kind> {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kind::Absent),
            Err(error) => return Err(error),
        };
        let kind = metadata.file_type();
        Ok(if kind.is_symlink() {
            Kind::Symlink
        } else if kind.is_dir() {
            Kind::Folder
        } else if kind.is_file() {
            Kind::File {
                length: metadata.len(),
                links: links(&metadata),
            }
        } else {
            Kind::Other
        })
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect()
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        // One more, so that the end is seen without growing.
        let mut bytes = Vec::with_capacity(length.min(limit).saturating_add(1));
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        #[cfg_attr(not(unix), expect(unused_mut))]
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let file = private().write(true).create_new(true).open(path)?;
        Ok(Box::new(SystemFile(file, self.sync)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let file = OpenOptions::new().write(true).open(path)?;
        Ok(Box::new(SystemFile(file, self.sync)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path, _: SyncPoint) -> io::Result<()> {
        // Windows opens no folder as a file, and keeps its names in a journal.
        if !cfg!(unix) || !self.sync {
            return Ok(());
        }
        match File::open(folder)?.sync_all() {
            // Some network and FUSE file systems know no such thing; on a
            // read-only one nothing waits for the disk.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput
                        | io::ErrorKind::Unsupported
                        | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    fn open_lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn LockFile>> {
        let file = match mode {
            LockMode::Exclusive => private()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?,
            LockMode::Shared => File::open(path)?,
        };
        Ok(Box::new(SystemLock(file, mode)))
    }
}

fn private() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn links(metadata: &fs::Metadata) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::nlink(metadata))
}

#[cfg(not(unix))]
fn links(_: &fs::Metadata) -> Option<u64> {
    None
}

struct SystemFile(File, bool);

impl OpenFile for SystemFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.write_all(bytes)
    }

    fn sync(&mut self, _: SyncPoint) -> io::Result<()> {
        if self.1 { self.0.sync_all() } else { Ok(()) }
    }
}

struct SystemLock(File, LockMode);

impl LockFile for SystemLock {
    fn try_lock(&mut self) -> io::Result<bool> {
        let result = match self.1 {
            LockMode::Exclusive => self.0.try_lock(),
            LockMode::Shared => self.0.try_lock_shared(),
        };
        match result {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for SystemLock {
    fn drop(&mut self) {
        // Closing unlocks too, but not while a child that is being started
        // still has the file, and on Windows at a time of its own.
        let _ = self.0.unlock();
    }
}
