//! The trail in a file: one event a line, each bound to the one before.

mod disk;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::disk::{Disk, SystemDisk};
use self::writer::{Settings, Writer};
use super::event::AuditEvent;
use super::key::{AuditKey, AuditPublicKey, private};
use super::line::{AuditHead, Kind};
use super::sink::{AuditError, AuditSink};
use crate::clock::{Clock, SystemClock};

/// When lines are put on the disk, past the operating system's buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditSync {
    /// Never by this library: a power cut may lose what was written in the last
    /// half minute or so, a crash of the process nothing.
    Never,
    /// With each checkpoint: a power cut may lose the lines since the last one.
    #[default]
    AtCheckpoints,
    /// With each event, before the call gives its result.
    EveryEvent,
}

const DEFAULT_CHECKPOINT_LINES: u64 = 1000;
const DEFAULT_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// A sink that appends events to a file, as JSON lines in a chain of hashes
/// with signed checkpoints: see [the module](super) for what that shows.
///
/// One process writes a trail at a time, and holds a lock on `FILE.lock`
/// meanwhile. Threads may share it; the order of the lines is the order in
/// which it took the events. Dropping it closes the trail with a checkpoint.
///
/// When an event cannot be written (the disk is full), that is an error of
/// [`record`](AuditSink::record) and no part of the line stays; the next event
/// that can be written is preceded by a notice of how many are missing.
///
/// ```no_run
/// use waxseal::kms::audit::{AuditFile, AuditKey, AuditSettings};
///
/// let key = AuditKey::from_file("/etc/app/audit.key")?;
/// let file = AuditFile::builder("/var/log/app/audit.jsonl", key)
///     .rotate_at_bytes(100 << 20)
///     .open()?;
/// let settings = AuditSettings::new(file);
/// # let _ = settings;
/// # Ok::<(), waxseal::kms::audit::AuditError>(())
/// ```
pub struct AuditFile {
    path: PathBuf,
    public_key: AuditPublicKey,
    writer: Mutex<Writer>,
    /// Locked as long as it is open.
    _lock: Lock,
}

/// Settings of an [`AuditFile`], and opening it.
#[must_use]
pub struct AuditFileBuilder {
    path: PathBuf,
    key: AuditKey,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    settings: Settings,
}

impl AuditFile {
    /// Starts a trail in this file, or goes on with the one that is there. Its
    /// checkpoints are signed with this key.
    pub fn builder(path: impl Into<PathBuf>, key: AuditKey) -> AuditFileBuilder {
        AuditFileBuilder {
            path: path.into(),
            key,
            clock: Arc::new(SystemClock),
            disk: Arc::new(SystemDisk),
            settings: Settings {
                sync: AuditSync::default(),
                checkpoint_lines: DEFAULT_CHECKPOINT_LINES,
                checkpoint_interval: DEFAULT_CHECKPOINT_INTERVAL,
                rotate_bytes: None,
                rotate_interval: None,
            },
        }
    }

    /// The files of a trail, oldest first: those that `path` was rotated to,
    /// and `path`.
    ///
    /// # Errors
    /// When there is none, or the folder cannot be read.
    pub fn files(path: impl AsRef<Path>) -> Result<Vec<PathBuf>, AuditError> {
        tail::files(path.as_ref())
    }

    /// The head of a trail that is in files: its last line, which alone is
    /// looked at. Keep it elsewhere, to show later that nothing is missing.
    ///
    /// # Errors
    /// When there is no line, the last one is damaged or has no end, or the
    /// file cannot be read.
    pub fn head_of(path: impl AsRef<Path>) -> Result<AuditHead, AuditError> {
        tail::head(path.as_ref())
    }

    /// The last line that was written.
    pub fn head(&self) -> AuditHead {
        self.writer().head()
    }

    /// The key that the verifier needs.
    pub fn public_key(&self) -> AuditPublicKey {
        self.public_key
    }

    /// Writes a checkpoint now, if there are lines since the last one, and
    /// gives the head. A checkpoint that is due by time is otherwise written
    /// with the next event only: call this from a timer where events are rare.
    ///
    /// # Errors
    /// When it cannot be signed or written.
    pub fn checkpoint(&self) -> Result<AuditHead, AuditError> {
        self.writer().close()
    }

    /// Closes the trail with a checkpoint, and gives its head. Dropping does
    /// the same and tells nobody about errors.
    ///
    /// # Errors
    /// When it cannot be signed or written; the file is closed none the less.
    pub fn close(self) -> Result<AuditHead, AuditError> {
        self.checkpoint()
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // After each step of a write the state is whole.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuditSink for AuditFile {
    fn record(&self, event: &AuditEvent<'_>) -> Result<(), AuditError> {
        let mut payload = Vec::with_capacity(1024);
        payload.extend_from_slice(Kind::Record.name().as_bytes());
        event.write_json(&mut payload);
        self.writer().record(&payload)
    }

    /// Asks the disk only when events have been lost.
    fn ready(&self) -> Result<(), AuditError> {
        self.writer().ready()
    }
}

impl Drop for AuditFile {
    fn drop(&mut self) {
        let _ = self.checkpoint();
    }
}

impl fmt::Debug for AuditFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditFile")
            .field("path", &self.path)
            .field("public_key", &self.public_key)
            .finish_non_exhaustive()
    }
}

impl AuditFileBuilder {
    /// When lines are put on the disk: with each checkpoint by default.
    pub fn sync(mut self, sync: AuditSync) -> Self {
        self.settings.sync = sync;
        self
    }

    /// After how many events a checkpoint is written: 1,000 by default, at least
    /// 1. Signing costs about a millisecond.
    pub fn checkpoint_every(mut self, events: u64) -> Self {
        self.settings.checkpoint_lines = events.max(1);
        self
    }

    /// After what time the next event is followed by a checkpoint: 60 seconds
    /// by default.
    pub fn checkpoint_interval(mut self, interval: Duration) -> Self {
        self.settings.checkpoint_interval = interval;
        self
    }

    /// From what length on the file is rotated: renamed to `FILE.000001` (or
    /// the next free number), and begun anew, the chain going on. By default
    /// never. The library deletes no file; nothing else may rename or shorten
    /// the one that is written.
    pub fn rotate_at_bytes(mut self, bytes: u64) -> Self {
        self.settings.rotate_bytes = Some(bytes.max(1));
        self
    }

    /// The time after which the file is rotated, counted from 1970-01-01 UTC
    /// on: a day rotates with the first event after midnight UTC. By default
    /// never.
    pub fn rotate_every(mut self, interval: Duration) -> Self {
        self.settings.rotate_interval = Some(interval.max(Duration::from_secs(1)));
        self
    }

    /// Where time comes from.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    #[cfg(test)]
    fn disk(mut self, disk: impl Disk + 'static) -> Self {
        self.disk = Arc::new(disk);
        self
    }

    /// Opens the trail, and writes a checkpoint.
    ///
    /// A line without an end that a crash has left is replaced by a notice that
    /// keeps what there was of it; a trail that was not closed gets a notice
    /// too. Only the end of the trail is read: verifying it is the verifier's.
    ///
    /// # Errors
    /// When another process has it open, a file cannot be read or written, or
    /// the last whole line is none of a trail.
    pub fn open(self) -> Result<AuditFile, AuditError> {
        let lock = Lock::take(&self.path)?;
        let public_key = self.key.public_key();
        let writer = Writer::open(
            self.path.clone(),
            self.key,
            self.clock,
            self.disk,
            self.settings,
        )?;
        Ok(AuditFile {
            path: self.path,
            public_key,
            writer: Mutex::new(writer),
            _lock: lock,
        })
    }
}

impl fmt::Debug for AuditFileBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditFileBuilder")
            .field("path", &self.path)
            .field("key", &self.key)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// `FILE.lock`, locked. The file itself is renamed when it is rotated.
struct Lock(File);

impl Lock {
    fn take(path: &Path) -> Result<Self, AuditError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let lock = path.with_file_name(name);
        let file = private()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock)
            .map_err(AuditError::io(&lock, "opened"))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(std::fs::TryLockError::WouldBlock) => Err(AuditError::file(
                path,
                "is open in another process, or twice in this one",
            )),
            Err(std::fs::TryLockError::Error(error)) => Err(AuditError::io(&lock, "locked")(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing unlocks too, but not while a child that is being started
        // still has the file.
        let _ = self.0.unlock();
    }
}
