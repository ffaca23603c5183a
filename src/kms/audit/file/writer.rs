//! The one that appends lines.

use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::checkpoint::{self, AuditNotice, TornBytes};
use super::super::key::AuditKey;
use super::super::line::{self, AuditHead};
use super::super::sink::AuditError;
use super::AuditSync;
use super::disk::{Disk, Output};
use super::tail::{End, folder, rotated_path};
use crate::clock::Clock;
use crate::crypto::CryptoBackend;

/// How much room there must be before events are taken again: more than most
/// have.
const PROBE: usize = 16 * 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) sync: AuditSync,
    pub(super) checkpoint_lines: u64,
    pub(super) checkpoint_interval: Duration,
    pub(super) rotate_bytes: Option<u64>,
    pub(super) rotate_interval: Option<Duration>,
}

pub(super) struct Writer {
    path: PathBuf,
    key: AuditKey,
    backend: CryptoBackend,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    settings: Settings,
    /// `None` between the renaming of one file and the making of the next.
    file: Option<Box<dyn Output>>,
    /// How long the file is when it holds whole lines only.
    length: u64,
    /// Whether there may be a part of a line behind them.
    is_torn: bool,
    /// In which of the rotation's intervals the file was begun.
    interval: u64,
    /// The number that the file gets when it is rotated.
    next_number: u64,
    head: AuditHead,
    records: u64,
    /// Whether the last line is a checkpoint.
    is_signed: bool,
    signed_at: Duration,
    /// Events since the last notice that were not written.
    lost: u64,
    lines: Vec<u8>,
}

impl Writer {
    pub(super) fn open(
        path: PathBuf,
        key: AuditKey,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
        settings: Settings,
    ) -> Result<Self, AuditError> {
        let backend = CryptoBackend::default();
        let end = End::find(&backend, &*disk, &path)?;
        let mut writer = Writer {
            key,
            backend,
            signed_at: clock.elapsed(),
            clock,
            settings,
            file: None,
            length: end.current.whole,
            is_torn: false,
            interval: 0,
            next_number: end.next_number,
            head: end.head,
            records: 0,
            is_signed: end.is_signed,
            lost: 0,
            lines: Vec::new(),
            path,
            disk,
        };
        writer.file()?;
        if let Some(torn) = end.current.torn {
            writer.replace_torn(&torn)?;
        }
        if !end.is_signed {
            writer.notice(AuditNotice::Unclosed)?;
        }
        writer.checkpoint()?;
        Ok(writer)
    }

    pub(super) fn head(&self) -> AuditHead {
        self.head
    }

    /// Appends an event.
    pub(super) fn record(&mut self, payload: &[u8]) -> Result<(), AuditError> {
        if let Err(error) = self.append_event(payload) {
            self.lost = self.lost.saturating_add(1);
            return Err(error);
        }
        self.lost = 0;
        self.records += 1;
        self.is_signed = false;
        if self.settings.sync == AuditSync::EveryEvent {
            self.sync()?;
        }
        let age = self.clock.elapsed().saturating_sub(self.signed_at);
        if self.records >= self.settings.checkpoint_lines
            || age >= self.settings.checkpoint_interval
        {
            // The event is written; what fails here is tried again.
            let _ = self.checkpoint();
        }
        Ok(())
    }

    fn append_event(&mut self, payload: &[u8]) -> Result<(), AuditError> {
        self.mend()?;
        if self.is_to_rotate(payload.len()) {
            self.rotate()?;
        }
        // Before it and not after: so many stand between two at most.
        if self.records >= self.settings.checkpoint_lines {
            self.checkpoint()?;
        }
        match self.lost {
            0 => self.append(&[payload]),
            // In one write: a notice that alone fits would come again and again.
            events => {
                let notice = AuditNotice::Lost { events }.write(self.clock.now());
                self.append(&[&notice, payload])
            }
        }
    }

    /// Whether an event can be written, as far as can be told.
    pub(super) fn ready(&mut self) -> Result<(), AuditError> {
        if self.lost == 0 && !self.is_torn && self.file.is_some() {
            return Ok(());
        }
        self.mend()?;
        let probed = self.put(&[0; PROBE])?;
        self.cut()?;
        probed.map_err(AuditError::io(&self.path, "written"))
    }

    /// Writes what is still to be written, and a checkpoint.
    pub(super) fn close(&mut self) -> Result<AuditHead, AuditError> {
        self.mend()?;
        if self.lost > 0 {
            let events = self.lost;
            self.notice(AuditNotice::Lost { events })?;
            self.lost = 0;
        }
        if !self.is_signed {
            self.checkpoint()?;
        }
        Ok(self.head)
    }

    fn is_to_rotate(&self, more: usize) -> bool {
        let is_too_long = self
            .settings
            .rotate_bytes
            .is_some_and(|most| self.length.saturating_add(more as u64) > most);
        self.length > 0 && (is_too_long || self.interval != self.interval_of(self.clock.now()))
    }

    /// Takes a part of a line away that an earlier write has left.
    fn mend(&mut self) -> Result<(), AuditError> {
        match self.is_torn {
            true => self.cut(),
            false => self.file().map(|_| ()),
        }
    }

    /// Takes away what is behind the whole lines.
    fn cut(&mut self) -> Result<(), AuditError> {
        let length = self.length;
        let truncated = self.file()?.truncate(length);
        self.is_torn = truncated.is_err();
        truncated.map_err(AuditError::io(&self.path, "truncated"))
    }

    /// The file; a new one where there is none.
    fn file(&mut self) -> Result<&mut dyn Output, AuditError> {
        let opened = match self.file.take() {
            Some(file) => file,
            None => self.open_file()?,
        };
        Ok(&mut **self.file.insert(opened))
    }

    fn open_file(&mut self) -> Result<Box<dyn Output>, AuditError> {
        if self.length > 0 || self.path.exists() {
            let opened = self.disk.open(&self.path);
            let mut file = opened.map_err(AuditError::io(&self.path, "opened"))?;
            let modified = file.modified();
            let modified = modified.map_err(AuditError::io(&self.path, "read"))?;
            self.interval = self.interval_of(modified);
            return Ok(file);
        }
        let created = self.disk.create(&self.path);
        let file = created.map_err(AuditError::io(&self.path, "created"))?;
        self.interval = self.interval_of(self.clock.now());
        if self.settings.sync != AuditSync::Never {
            let folder = folder(&self.path);
            let synced = self.disk.sync_folder(folder);
            synced.map_err(AuditError::io(folder, "synced"))?;
        }
        Ok(file)
    }

    fn interval_of(&self, time: SystemTime) -> u64 {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs());
        let interval = self.settings.rotate_interval;
        interval.map_or(0, |interval| seconds / interval.as_secs().max(1))
    }

    /// The rotated file ends with a checkpoint.
    fn rotate(&mut self) -> Result<(), AuditError> {
        if !self.is_signed {
            self.checkpoint()?;
        }
        let to = rotated_path(&self.path, self.next_number);
        // Renaming replaces what has that name.
        if to.exists() {
            return Err(AuditError::file(&to, "is in the way of the rotation"));
        }
        // Windows renames no file that is open.
        self.file = None;
        let renamed = self.disk.rename(&self.path, &to);
        renamed.map_err(AuditError::io(&self.path, "renamed"))?;
        self.next_number = self.next_number.saturating_add(1);
        self.length = 0;
        self.file().map(|_| ())
    }

    fn notice(&mut self, notice: AuditNotice) -> Result<(), AuditError> {
        self.append(&[&notice.write(self.clock.now())])?;
        self.is_signed = false;
        Ok(())
    }

    /// Writes a notice over a torn line, which is never just gone: until the
    /// notice is whole, there is a torn line.
    fn replace_torn(&mut self, torn: &TornBytes) -> Result<(), AuditError> {
        self.write(&[&torn.notice(self.clock.now())])?
            .map_err(AuditError::io(&self.path, "written"))?;
        self.is_signed = false;
        self.cut()
    }

    fn checkpoint(&mut self) -> Result<(), AuditError> {
        let payload = checkpoint::sign(
            &self.key,
            &self.backend,
            &self.head,
            self.clock.now(),
            self.settings.checkpoint_lines,
        )?;
        self.append(&[&payload])?;
        self.records = 0;
        self.is_signed = true;
        self.signed_at = self.clock.elapsed();
        match self.settings.sync {
            AuditSync::Never => Ok(()),
            AuditSync::AtCheckpoints | AuditSync::EveryEvent => self.sync(),
        }
    }

    fn sync(&mut self) -> Result<(), AuditError> {
        let synced = self.file()?.sync();
        synced.map_err(AuditError::io(&self.path, "synced"))
    }

    /// Writes lines, all or none.
    fn append(&mut self, payloads: &[&[u8]]) -> Result<(), AuditError> {
        let expected = self.length;
        let found = self.file()?.length();
        let found = found.map_err(AuditError::io(&self.path, "read"))?;
        if found != expected {
            let problem =
                format!("was changed by somebody else: it has {found} bytes instead of {expected}");
            return Err(AuditError::file(&self.path, problem));
        }
        let Err(error) = self.write(payloads)? else {
            return Ok(());
        };
        // No part of a line stays, so that the next one begins a line. Where
        // that fails too it is tried again before the next.
        let _ = self.cut();
        Err(AuditError::io(&self.path, "written")(error))
    }

    /// Writes lines behind the whole ones; after an inner error any part of
    /// them may be there.
    fn write(&mut self, payloads: &[&[u8]]) -> Result<io::Result<()>, AuditError> {
        let mut bytes = mem::take(&mut self.lines);
        bytes.clear();
        let mut head = self.head;
        for payload in payloads {
            head = line::write(&self.backend, &head, payload, &mut bytes);
        }
        let written = self.put(&bytes);
        let count = bytes.len() as u64;
        self.lines = bytes;
        let written = written?;
        if written.is_ok() {
            self.head = head;
            self.length = self.length.saturating_add(count);
        }
        Ok(written)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<io::Result<()>, AuditError> {
        let length = self.length;
        Ok(self.file()?.write_at(length, bytes))
    }
}
