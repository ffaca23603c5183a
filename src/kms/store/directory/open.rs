//! Opening and making a directory store.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::StoreError;
use super::DirectoryStoreBuilder;
use super::files::{Files, Kind, LockMode, SyncPoint};
use super::folder::{CHANGES, Folder, LOCK, read_if_there};
use super::lock::Gate;
use crate::crypto::CryptoBackend;

const MARKER: &str = "waxseal-store";
const NEW_MARKER: &str = "waxseal-store.new";
const MARKER_START: &str = "waxseal store, format ";
const BLOBS: &str = "blobs";
const FORMAT: u32 = 1;

pub(super) fn open(builder: DirectoryStoreBuilder) -> Result<Folder, StoreError> {
    let files = &*builder.files;
    let root = match files.canonical(&builder.folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && builder.create => {
            create_folders(files, &builder.folder)?;
            files.canonical(&builder.folder)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(not_a_store(&builder.folder, "there is no such folder"));
        }
        found => found,
    }
    .map_err(|error| {
        StoreError::io(
            format!("find the folder {}", builder.folder.display()),
            error,
        )
    })?;
    let folder = Folder {
        blobs: root.join(BLOBS),
        root,
        files: builder.files,
        max_blob_length: builder.max_blob_length,
        lock_timeout: builder.lock_timeout,
        gate: Gate::default(),
        crypto: CryptoBackend::default(),
    };
    if folder.kind(&folder.root)? != Kind::Folder {
        return Err(not_a_store(&folder.root, "it is not a folder"));
    }
    if !folder.has_marker()? {
        folder.make(builder.create)?;
    }
    match folder.kind(&folder.blobs)? {
        Kind::Folder => {}
        Kind::Absent => return Err(not_a_store(&folder.root, "the folder 'blobs' is missing")),
        _ => return Err(not_a_store(&folder.root, "'blobs' is not a folder")),
    }
    folder.tidy()?;
    Ok(folder)
}

impl Folder {
    /// Whether this is a store, of a format that is known here.
    fn has_marker(&self) -> Result<bool, StoreError> {
        let path = self.root.join(MARKER);
        match self.kind(&path)? {
            Kind::Absent => return Ok(false),
            Kind::File { .. } => {}
            _ => {
                return Err(not_a_store(
                    &self.root,
                    &format!("'{MARKER}' is not a file"),
                ));
            }
        }
        let marker = read_if_there(&*self.files, &path, 100)
            .map_err(|error| StoreError::io(format!("read {}", path.display()), error))?;
        let Some(marker) = marker else {
            return Ok(false);
        };
        let format = std::str::from_utf8(&marker)
            .ok()
            .and_then(|text| text.strip_prefix(MARKER_START)?.strip_suffix('\n'))
            .and_then(|number| number.parse::<u32>().ok());
        match format {
            Some(FORMAT) => Ok(true),
            Some(found) if found > FORMAT => Err(StoreError::NewerFormat {
                location: self.root.clone(),
                found,
                supported: FORMAT,
            }),
            _ => Err(not_a_store(&self.root, &format!("'{MARKER}' is damaged"))),
        }
    }

    /// Makes a store of an empty folder, or of one where somebody else has
    /// begun to.
    fn make(&self, create: bool) -> Result<(), StoreError> {
        // Before the lock, so that nothing is put into a foreign folder.
        self.check_unused()?;
        if !create {
            return Err(not_a_store(&self.root, &format!("there is no '{MARKER}'")));
        }
        let _lock = self.lock_as(LockMode::Exclusive, self.lock_timeout)?;
        if self.has_marker()? {
            return Ok(());
        }
        self.check_unused()?;
        let failed = |operation: &str| {
            let operation = operation.to_owned();
            |error| StoreError::io(operation, error)
        };
        create_folder(&*self.files, &self.blobs)?;
        // A marker without it is a store that has lost its blobs, and must not
        // be what a power cut leaves.
        self.files
            .sync_folder(&self.root, SyncPoint::Blobs)
            .map_err(failed("put the store's folder on the disk"))?;
        let new_marker = self.root.join(NEW_MARKER);
        if self.kind(&new_marker)? != Kind::Absent {
            self.files
                .remove(&new_marker)
                .map_err(failed("remove an unfinished marker"))?;
        }
        let marker = format!("{MARKER_START}{FORMAT}\n");
        self.write_new(&new_marker, marker.as_bytes(), SyncPoint::Marker)
            .map_err(failed("write the store's marker"))?;
        self.files
            .rename(&new_marker, &self.root.join(MARKER))
            .map_err(failed("give the store's marker its name"))?;
        // `changes` is not there yet, so this syncs the rest.
        self.settle()
    }

    /// Whether there is nothing here but what an unfinished making leaves, and
    /// what systems put into every folder.
    fn check_unused(&self) -> Result<(), StoreError> {
        let names = |folder: &Path| -> Result<Vec<OsString>, StoreError> {
            self.files
                .names(folder)
                .map_err(|error| StoreError::io(format!("list {}", folder.display()), error))
        };
        let own = [BLOBS, LOCK, CHANGES, NEW_MARKER];
        for name in names(&self.root)? {
            let shown = name.to_string_lossy();
            if shown == MARKER {
                // Somebody was faster.
                return Ok(());
            }
            if !own.contains(&&*shown) && !shown.starts_with('.') && shown != "lost+found" {
                let reason = format!("it holds other files ('{shown}'), and no '{MARKER}'");
                return Err(not_a_store(&self.root, &reason));
            }
        }
        if self.kind(&self.blobs)? == Kind::Folder && !names(&self.blobs)?.is_empty() {
            let reason = format!("its file '{MARKER}' is missing");
            // Unless somebody was faster.
            return match self.has_marker()? {
                true => Ok(()),
                false => Err(not_a_store(&self.root, &reason)),
            };
        }
        Ok(())
    }

    /// Finishes what killed processes have left, where that does not need
    /// waiting: who uses the store does it too.
    fn tidy(&self) -> Result<(), StoreError> {
        let tidied = self
            .lock_as(LockMode::Exclusive, Duration::ZERO)
            .and_then(|_lock| {
                self.settle()?;
                self.remove_temporary_files()
            });
        match tidied {
            Err(
                StoreError::Locked { .. }
                | StoreError::AccessDenied { .. }
                | StoreError::Full { .. },
            ) => Ok(()),
            tidied => tidied,
        }
    }
}

/// Makes a folder and those above it.
fn create_folders(files: &dyn Files, folder: &Path) -> Result<(), StoreError> {
    let mut missing: Vec<PathBuf> = Vec::new();
    for ancestor in folder.ancestors() {
        // The empty path is where a relative one starts.
        if ancestor.as_os_str().is_empty() || files.canonical(ancestor).is_ok() {
            break;
        }
        missing.push(ancestor.to_owned());
    }
    missing
        .iter()
        .rev()
        .try_for_each(|folder| create_folder(files, folder))
}

fn create_folder(files: &dyn Files, folder: &Path) -> Result<(), StoreError> {
    match files.create_folder(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(StoreError::io(
            format!("make the folder {}", folder.display()),
            error,
        )),
        _ => Ok(()),
    }
}

fn not_a_store(location: &Path, reason: &str) -> StoreError {
    StoreError::NotAStore {
        location: location.to_owned(),
        reason: reason.to_owned(),
    }
}
