//! The files of one run of `encrypt` or `decrypt`: what goes where is decided
//! and checked before anything is written; then each goes its own way.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf, is_separator};
use std::time::Duration;

use waxseal::{Caching, DataKeyCache};

use crate::failure::Failure;
use crate::files::{
    Contents, Destination, EXTENSION, FileId, Input, Output, identity_at, is_standard, quoted,
};
use crate::interrupt::NewFolder;
use crate::keys::Keys;

/// The files of one run share data keys where their messages allow it: one call
/// to the key store, and not one for each file.
pub(crate) fn caching() -> Caching {
    const DATA_KEYS: usize = 1_000;
    const MAX_AGE: Duration = Duration::from_secs(3_600);
    Caching::new(&DataKeyCache::new(DATA_KEYS), MAX_AGE)
}

/// Inputs and their outputs.
pub(crate) struct Batch {
    /// In the order of the command line. What cannot be is reported in its turn.
    files: Vec<Result<Planned, Failure>>,
    contents: Contents,
    /// The outputs' folder, where it is not there yet.
    new_folder: Option<PathBuf>,
}

/// One input and where its output will go.
struct Planned {
    path: PathBuf,
    /// Opened already if it is the only one; more might be too many at once.
    input: Option<Input>,
    destination: Destination,
}

impl Batch {
    /// Decides what `-o`, which is `out`, makes of the inputs. Refuses what the
    /// command line may not ask for, and writes nothing.
    pub(crate) fn plan(
        inputs: &[PathBuf],
        out: Option<&Path>,
        contents: Contents,
        keys: &Keys<'_>,
    ) -> Result<Self, Failure> {
        let target = Target::choose(inputs, out)?;
        target.refuse_one_name(inputs, contents)?;
        let several = inputs.len() > 1;
        let mut kept = HashMap::new();
        for key in keys.files() {
            kept.extend(identity_at(&key).map(|id| (id, Kept::Key(key))));
        }
        let mut files = Vec::with_capacity(inputs.len());
        for path in inputs {
            let opened = if several {
                Input::probe(path).map(|()| None)
            } else {
                Input::open(path).map(Some)
            };
            let id = match &opened {
                Ok(Some(input)) => input.id().cloned(),
                // What cannot be read is not replaced either.
                _ => identity_at(path),
            };
            kept.extend(id.map(|id| (id, Kept::Input(path))));
            files.push(opened.and_then(|input| {
                Ok(Planned {
                    path: path.clone(),
                    input,
                    destination: target.destination(path, contents, several)?,
                })
            }));
        }
        let mut taken = HashMap::new();
        for file in files.iter().flatten() {
            if contents == Contents::Message {
                file.destination.refuse_terminal()?;
            }
            if let Some(kept) = file.destination.id().and_then(|id| kept.get(&id)) {
                return Err(kept.refusal(&file.path, several));
            }
            // Other names may be links to one file.
            if let Some(place) = file.destination.path()
                && let Some(other) = taken.insert(place, &file.path)
            {
                return Err(one_output(other, &file.path, place));
            }
        }
        Ok(Batch {
            files,
            contents,
            new_folder: target.new_folder(),
        })
    }

    /// Makes each output with `each`, all from one client. An input that fails
    /// is reported, and the others go on; the result is the first failure then.
    pub(crate) fn run<C>(
        self,
        keys: &Keys<'_>,
        new_client: impl Fn() -> Result<C, Failure>,
        each: impl Fn(&C, Input, Output) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut failures = Failures::default();
        let ended = self.run_each(keys, new_client, each, &mut failures);
        failures.note(ended);
        failures.first.map_or(Ok(()), Err)
    }

    /// What keeps all from going on is the result.
    fn run_each<C>(
        self,
        keys: &Keys<'_>,
        new_client: impl Fn() -> Result<C, Failure>,
        each: impl Fn(&C, Input, Output) -> Result<(), Failure>,
        failures: &mut Failures,
    ) -> Result<(), Failure> {
        let _folder = match self.new_folder {
            Some(folder) if self.files.iter().any(Result::is_ok) => make_folder(folder)?,
            _ => None,
        };
        let mut client = None;
        let mut made = HashMap::new();
        let mut went_well = false;
        for file in self.files {
            let opened = file.and_then(|file| file.open(self.contents, &made));
            let Some(opened) = failures.note(opened) else {
                continue;
            };
            // Not before, so that no key is made, or asked for, in vain.
            let client = match &client {
                Some(client) => client,
                None => &*client.insert(new_client()?),
            };
            let done = each(client, opened.input, opened.output);
            if failures.note(done).is_some() {
                went_well = true;
                let id = opened.place.as_deref().and_then(identity_at);
                made.extend(id.map(|id| (id, opened.path)));
            }
        }
        if went_well {
            keys.finish();
        }
        Ok(())
    }
}

/// `None` if somebody else has made it meanwhile.
fn make_folder(folder: PathBuf) -> Result<Option<NewFolder>, Failure> {
    let name = quoted(&folder);
    match NewFolder::create(folder) {
        Ok(folder) => Ok(folder),
        Err(error) => Err(Failure::io(
            format_args!("cannot make the folder {name}"),
            error,
        )),
    }
}

/// An input and its output, open.
struct Opened {
    path: PathBuf,
    place: Option<PathBuf>,
    input: Input,
    output: Output,
}

impl Planned {
    /// `made` is what this run has written already, and from what.
    fn open(self, contents: Contents, made: &HashMap<FileId, PathBuf>) -> Result<Opened, Failure> {
        let input = match self.input {
            Some(input) => input,
            None => Input::open(&self.path)?,
        };
        let place = self.destination.path().map(Path::to_owned);
        // Names that differ may be one to the file system (in upper and lower
        // case, say), which tells only when the first is there.
        if let Some(place) = &place
            && let Some(other) = identity_at(place).and_then(|id| made.get(&id))
        {
            return Err(one_output(other, &self.path, place));
        }
        Ok(Opened {
            output: self.destination.create(contents)?,
            path: self.path,
            place,
            input,
        })
    }
}

/// Says each failure, and keeps the first.
#[derive(Default)]
struct Failures {
    first: Option<Failure>,
}

impl Failures {
    fn note<T>(&mut self, result: Result<T, Failure>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(failure) => {
                let said = failure.said();
                self.first.get_or_insert(said);
                None
            }
        }
    }
}

/// What `-o` asks for.
enum Target<'a> {
    /// It was not given.
    Default,
    Standard,
    File(&'a Path),
    Folder {
        folder: &'a Path,
        is_new: bool,
    },
}

impl<'a> Target<'a> {
    fn choose(inputs: &[PathBuf], out: Option<&'a Path>) -> Result<Self, Failure> {
        let several = inputs.len() > 1;
        let has_standard = inputs.iter().any(|input| is_standard(input));
        if several && has_standard {
            return Err(Failure::usage(
                "standard input (-) cannot be one of several inputs: it has no file name",
            ));
        }
        let Some(out) = out else {
            return match several {
                false => Ok(Target::Default),
                true => Err(Failure::usage(
                    "several inputs need -o FOLDER, for their outputs; see --help",
                )),
            };
        };
        if is_standard(out) {
            return match several {
                false => Ok(Target::Standard),
                true => Err(Failure::usage(
                    "the outputs of several inputs cannot go to standard output: \
                     give a folder to -o",
                )),
            };
        }
        let names_folder = several || ends_in_separator(out);
        let is_new = match fs::metadata(out) {
            Ok(found) if found.is_dir() => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound && names_folder => true,
            Ok(_) if names_folder => return Err(no_folder(out)),
            Err(error)
                if error.kind() == io::ErrorKind::NotADirectory && ends_in_separator(out) =>
            {
                return Err(no_folder(out));
            }
            Err(error) if names_folder => return Err(Failure::write(&quoted(out), &error)),
            _ => return Ok(Target::File(out)),
        };
        if has_standard {
            return Err(Failure::usage(format!(
                "{} is a folder, and standard input has no file name that its output there could \
                 have: give the name of a file to -o",
                quoted(out)
            )));
        }
        Ok(Target::Folder {
            folder: out,
            is_new,
        })
    }

    /// No output may take another's place.
    fn refuse_one_name(&self, inputs: &[PathBuf], contents: Contents) -> Result<(), Failure> {
        let Target::Folder { folder, .. } = self else {
            return Ok(());
        };
        let mut taken = HashMap::new();
        for input in inputs {
            if let Some(place) = place_in(folder, input, contents)
                && let Some(other) = taken.insert(place.clone(), input)
            {
                return Err(one_output(other, input, &place));
            }
        }
        Ok(())
    }

    fn destination(
        &self,
        input: &Path,
        contents: Contents,
        several: bool,
    ) -> Result<Destination, Failure> {
        let named = |place: Option<PathBuf>| match place {
            Some(place) => Destination::at(&place),
            None => Err(no_name(input, several)),
        };
        match self {
            Target::Default if is_standard(input) => Destination::standard(false),
            Target::Default => named(contents.default_path(input)),
            Target::Standard => Destination::standard(true),
            Target::File(path) => Destination::at(path),
            Target::Folder { folder, .. } => named(place_in(folder, input, contents)),
        }
    }

    fn new_folder(&self) -> Option<PathBuf> {
        match self {
            Target::Folder {
                folder,
                is_new: true,
            } => Some((*folder).to_owned()),
            _ => None,
        }
    }
}

/// Where the output goes in a folder.
fn place_in(folder: &Path, input: &Path, contents: Contents) -> Option<PathBuf> {
    let name = contents.default_path(Path::new(input.file_name()?))?;
    Some(folder.join(name))
}

fn ends_in_separator(path: &Path) -> bool {
    let last = path.as_os_str().as_encoded_bytes().last();
    last.is_some_and(|byte| is_separator(char::from(*byte)))
}

fn no_folder(out: &Path) -> Failure {
    Failure::usage(format!("{} is not a folder: give one to -o", quoted(out)))
}

fn no_name(input: &Path, several: bool) -> Failure {
    let remedy = match several {
        false => "give the name of the output with -o",
        true => "decrypt it alone, with the name of the output after -o",
    };
    Failure::usage(format!(
        "{} does not end in .{EXTENSION}; {remedy}",
        quoted(input)
    ))
}

fn one_output(one: &Path, other: &Path, place: &Path) -> Failure {
    if one == other {
        return Failure::usage(format!("the input {} is given twice", quoted(one)));
    }
    Failure::usage(format!(
        "the outputs of {} and {} would both be {}; give them a folder each, in two runs",
        quoted(one),
        quoted(other),
        quoted(place)
    ))
}

/// A file that no output may replace.
enum Kept<'a> {
    Input(&'a Path),
    Key(PathBuf),
}

impl Kept<'_> {
    fn refusal(&self, input: &Path, several: bool) -> Failure {
        let (path, what) = match self {
            Kept::Input(path) if is_standard(path) => ("standard input".to_owned(), "the input"),
            Kept::Input(path) if several => (quoted(path), "an input"),
            Kept::Input(path) => (quoted(path), "the input"),
            Kept::Key(path) => (quoted(path), "a key file"),
        };
        Failure::usage(match several {
            false => format!("{path} is {what} and the output; give another file to -o"),
            true => format!(
                "{path} is {what} and the output of {}; give another folder to -o",
                quoted(input)
            ),
        })
    }
}
