//! Where bytes come from and where they go: standard streams, files, and a
//! file that is replaced only when all went well.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use waxseal::SecretBytes;

use crate::failure::{Action, Failure, say};
use crate::interrupt::Unfinished;
use crate::progress::Progress;

/// What is added to the name of an encrypted file.
pub(crate) const EXTENSION: &str = "waxseal";

/// How much is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;

/// Whether a path on the command line stands for a standard stream.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// A path as messages name it.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

/// An open input.
pub(crate) struct Input {
    file: File,
    name: String,
    id: Option<FileId>,
    length: Option<u64>,
    progress: Option<Progress>,
    is_empty: bool,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let standard = is_standard(path);
        let name = if standard {
            "standard input".to_owned()
        } else {
            quoted(path)
        };
        let opened = if standard {
            unbuffered(&io::stdin())
        } else {
            File::open(path)
        };
        let checked = opened.and_then(|file| {
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Ok((file, metadata))
        });
        let (file, metadata) =
            checked.map_err(|error| Failure::io(format_args!("cannot read {name}"), error))?;
        Ok(Input {
            length: rest_of(&file, &metadata),
            id: identity(path, &metadata),
            file,
            name,
            progress: None,
            is_empty: true,
        })
    }

    /// Whether [`Input::open`] could open it. A pipe or a device is left alone:
    /// opening it may wait, or take what the reader is to get.
    pub(crate) fn probe(path: &Path) -> Result<(), Failure> {
        match fs::metadata(path) {
            Ok(found) if !found.is_file() && !found.is_dir() => Ok(()),
            _ => Input::open(path).map(drop),
        }
    }

    /// How messages name it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Which file it is.
    pub(crate) fn id(&self) -> Option<&FileId> {
        self.id.as_ref()
    }

    /// How many bytes will come, where that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether any part of it can be read without the rest.
    pub(crate) fn is_seekable(&self) -> bool {
        self.length.is_some()
    }

    /// What it means that a message's header cannot be read from it.
    pub(crate) fn not_opened(&self, action: Action, error: io::Error) -> Failure {
        let ended = error.kind() == io::ErrorKind::UnexpectedEof;
        let failure = Failure::read(action, &self.name, error);
        if ended && self.is_empty {
            return failure.with_hint("the input is empty");
        }
        failure
    }

    /// Tells a user who may not know that a program waits for them.
    pub(crate) fn tell_if_terminal(&self) {
        if self.file.is_terminal() {
            say("reading from the terminal; Ctrl-D at the start of a line ends the input");
        }
    }

    /// Shows on the terminal how much has been read, where that is wanted.
    pub(crate) fn show_progress(&mut self, output: &Output) {
        if let Some(length) = self.length.filter(|_| !output.is_watched()) {
            self.progress = Progress::new(length);
        }
    }

    /// Takes the bar off the terminal.
    pub(crate) fn end_progress(&mut self) {
        self.progress = None;
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(out)?;
        self.is_empty &= read == 0;
        if let Some(progress) = &mut self.progress {
            progress.advance(read);
        }
        Ok(read)
    }
}

impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// A regular file's length from where it will be read. What claims to be empty
/// may be one of those whose length nobody knows beforehand (/proc).
fn rest_of(mut file: &File, metadata: &Metadata) -> Option<u64> {
    let position = Seek::stream_position(&mut file).ok()?;
    let length = metadata.len().checked_sub(position)?;
    (metadata.is_file() && length > 0).then_some(length)
}

/// What is written, which decides who may read the file, and its name where the
/// command line gives none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    Message,
    Plaintext,
}

impl Contents {
    /// The path of what is made from `input`: [`EXTENSION`] added, or taken
    /// off, where that leaves a name.
    pub(crate) fn default_path(self, input: &Path) -> Option<PathBuf> {
        if self == Contents::Message {
            let mut path = input.as_os_str().to_owned();
            path.push(".");
            path.push(EXTENSION);
            return Some(path.into());
        }
        let stem = input.file_stem()?;
        let is_name = stem != "." && stem != "..";
        let fits = is_name && input.extension() == Some(OsStr::new(EXTENSION));
        fits.then(|| input.with_file_name(stem))
    }
}

/// Where the output will go: chosen and checked before anything is made.
pub(crate) enum Destination {
    Standard {
        file: File,
        asked_for: bool,
    },
    /// A pipe or a device: nothing that could be replaced.
    Stream {
        path: PathBuf,
    },
    File {
        path: PathBuf,
        replaced: Option<Metadata>,
    },
}

impl Destination {
    /// Standard output.
    pub(crate) fn standard(asked_for: bool) -> Result<Self, Failure> {
        match unbuffered(&io::stdout()) {
            Ok(file) => Ok(Destination::Standard { file, asked_for }),
            Err(error) => Err(Failure::write("standard output", &error)),
        }
    }

    /// What is at this path, or will be.
    pub(crate) fn at(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::write(&quoted(path), &error);
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
            // The file itself is replaced, not a link to it.
            Ok(found) if found.is_file() => Ok(Destination::File {
                path: fs::canonicalize(path).map_err(failed)?,
                replaced: Some(found),
            }),
            Ok(_) => Ok(Destination::Stream {
                path: path.to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Destination::File {
                path: path.to_owned(),
                replaced: None,
            }),
            Err(error) => Err(failed(error)),
        }
    }

    /// Refuses to pour binary bytes on a terminal that was not asked for.
    pub(crate) fn refuse_terminal(&self) -> Result<(), Failure> {
        match self {
            Destination::Standard { file, asked_for } if !asked_for && file.is_terminal() => {
                Err(Failure::usage(
                    "a message is binary and standard output is a terminal: \
                     use -o FILE, or -o - to write it there anyway",
                ))
            }
            _ => Ok(()),
        }
    }

    /// The file that is written to or replaced, if it is there yet.
    pub(crate) fn id(&self) -> Option<FileId> {
        match self {
            Destination::Standard { file, .. } => identity(Path::new("-"), &file.metadata().ok()?),
            Destination::Stream { .. } => None,
            Destination::File { path, replaced } => identity(path, replaced.as_ref()?),
        }
    }

    /// The file's path, where that is what will be replaced.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Destination::File { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Opens it.
    pub(crate) fn create(self, contents: Contents) -> Result<Output, Failure> {
        match self {
            Destination::Standard { file, .. } => Ok(Output {
                name: "standard output".to_owned(),
                sink: Sink::Stream(file),
            }),
            Destination::Stream { path } => {
                let name = quoted(&path);
                let opened = fs::OpenOptions::new().write(true).open(&path);
                let file = opened.map_err(|error| Failure::write(&name, &error))?;
                let sink = Sink::Stream(file);
                Ok(Output { name, sink })
            }
            Destination::File { path, replaced } => {
                let name = quoted(&path);
                let mode = match contents {
                    Contents::Message => 0o666, // less the umask
                    Contents::Plaintext => 0o600,
                };
                let unfinished =
                    Unfinished::create(|| temporary(&path, mode)).map_err(|error| {
                        let what = format_args!("cannot make a temporary file beside {name}");
                        Failure::io(what, error)
                    })?;
                let sink = Sink::File(Box::new(Replacement {
                    unfinished,
                    path,
                    replaced,
                }));
                Ok(Output { name, sink })
            }
        }
    }
}

/// An open output.
pub(crate) struct Output {
    name: String,
    sink: Sink,
}

enum Sink {
    Stream(File),
    File(Box<Replacement>),
}

impl Output {
    /// Whether what is written is out of reach at once, so that it cannot be
    /// taken back when the end turns out wrong.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.sink, Sink::Stream(_))
    }

    /// Whether somebody may be looking at what comes out, or at what another
    /// program in a pipe makes of it.
    fn is_watched(&self) -> bool {
        match &self.sink {
            Sink::Stream(file) => !file.metadata().is_ok_and(|found| found.is_file()),
            Sink::File(_) => false,
        }
    }

    /// Writes all that `source` gives. Errors of the source go through
    /// `failed`.
    pub(crate) fn copy_from(
        &mut self,
        mut source: impl Read,
        failed: impl FnOnce(io::Error) -> Failure,
    ) -> Result<(), Failure> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let length = match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            let written = match &mut self.sink {
                Sink::Stream(file) => file.write_all(&buffer[..length]),
                Sink::File(replacement) => replacement.unfinished.file.write_all(&buffer[..length]),
            };
            written.map_err(|error| Failure::write(&self.name, &error))?;
        }
    }

    /// Says that all went well: now, and not before, the file is there.
    pub(crate) fn commit(self) -> Result<(), Failure> {
        let committed = match self.sink {
            Sink::Stream(mut file) => file.flush(),
            Sink::File(replacement) => replacement.commit(),
        };
        committed.map_err(|error| Failure::write(&self.name, &error))
    }
}

/// A file that takes its name, and the place of another, when it is whole.
struct Replacement {
    unfinished: Unfinished,
    path: PathBuf,
    replaced: Option<Metadata>,
}

impl Replacement {
    fn commit(self) -> io::Result<()> {
        let file = self.unfinished.file;
        if let Some(replaced) = &self.replaced {
            keep_permissions(file.as_file(), replaced)?;
        }
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        sync_folder(&self.path)
    }
}

/// Makes a new file that holds these bytes, for this user only: whole or not
/// at all, and never in the place of another.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = Unfinished::create(|| temporary(path, 0o600))?;
    unfinished.file.write_all(bytes)?;
    unfinished.file.as_file().sync_all()?;
    unfinished.file.persist_noclobber(path)?;
    sync_folder(path)
}

/// Makes a folder, and those above it, for this user only.
pub(crate) fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Reads a key, as [`read_secret`] does, and warns where others may read it too.
pub(crate) fn read_key(path: &Path, longest: usize) -> io::Result<SecretBytes> {
    let key = read_secret(path, longest)?;
    #[cfg(unix)]
    if let Ok(found) = fs::metadata(path)
        && found.is_file()
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&found) & 0o7777;
        if mode & 0o077 != 0 {
            say(&format!(
                "warning: the key file {} is not for you only (its mode is {mode:04o}), and \
                 whoever can read it has the key: `chmod 600` mends that",
                quoted(path)
            ));
        }
    }
    Ok(key)
}

/// Reads a secret, and of what is longer than `longest` bytes no more than
/// tells that it is.
pub(crate) fn read_secret(path: &Path, longest: usize) -> io::Result<SecretBytes> {
    let mut bytes = vec![0; longest + 1];
    let mut length = 0;
    let mut file = File::open(path)?;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    // Wipes the vector.
    Ok(SecretBytes::from(bytes))
}

/// An empty file beside `path`, to be renamed to it.
fn temporary(path: &Path, mode: u32) -> io::Result<tempfile::NamedTempFile> {
    // The whole name must stay below the usual 255 bytes.
    let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy();
    let mut end = name.len().min(200);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let prefix = format!(".{}.", &name[..end]);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".waxseal-tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    // Asked first, because the builder's own error names the temporary file.
    let folder = folder_of(path);
    fs::metadata(folder)?;
    builder.tempfile_in(folder)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Brings the new name to the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder_of(path))?.sync_all()?;
    }
    Ok(())
}

/// Gives a file the permissions of the one that it replaces.
#[cfg(unix)]
fn keep_permissions(file: &File, replaced: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let mut mode = replaced.permissions().mode() & 0o777;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (replaced.uid(), replaced.gid()) {
        let all = fchown(file, Some(replaced.uid()), Some(replaced.gid()));
        if all.is_err() && fchown(file, None, Some(replaced.gid())).is_err() {
            // What that group was allowed is not for this file's.
            mode &= !0o070;
        }
    }
    file.set_permissions(Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn keep_permissions(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// What a regular file has in common with itself by another name, and with no
/// other: device and inode.
#[cfg(unix)]
pub(crate) type FileId = (u64, u64);

/// The same where metadata alone do not tell: the path without links.
#[cfg(not(unix))]
pub(crate) type FileId = PathBuf;

#[cfg(unix)]
fn identity(_: &Path, metadata: &Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path, metadata: &Metadata) -> Option<FileId> {
    let is_named = metadata.is_file() && !is_standard(path);
    is_named.then(|| fs::canonicalize(path).ok()).flatten()
}

/// Which regular file is at this path.
pub(crate) fn identity_at(path: &Path) -> Option<FileId> {
    identity(path, &fs::metadata(path).ok()?)
}

/// A standard stream without the library's buffer: what is read and written
/// here is binary and comes in large pieces.
#[cfg(unix)]
fn unbuffered(stream: &impl std::os::fd::AsFd) -> io::Result<File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn unbuffered(stream: &impl std::os::windows::io::AsHandle) -> io::Result<File> {
    Ok(stream.as_handle().try_clone_to_owned()?.into())
}
