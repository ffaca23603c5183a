//! Stores of local keys: where they are, and opening and making them.

use std::cell::RefCell;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use waxseal::SecretBytes;
use waxseal::blocking::wait;
use waxseal::kms::store::{BlobStore, DirectoryStore, StoreError};
use waxseal::kms::{CreateKey, DueReport, KmsError, LocalKms, RootKey};

use crate::failure::{Failure, say};
use crate::files::{create_private, make_private_folder, quoted, read_key};
use crate::passphrase;

/// Names the store where no option does.
pub(crate) const STORE: &str = "WAXSEAL_STORE";
const PASSPHRASE: &str = "WAXSEAL_PASSPHRASE";
/// The key that is used where no other is named.
pub(crate) const DEFAULT_ALIAS: &str = "alias/default";
/// The file that says that a folder is a store.
pub(crate) const MARKER: &str = "waxseal-store";
/// The length of a root key in bytes.
const ROOT_KEY_LENGTH: usize = 32;
const WHAT: &str = "the passphrase of the store";

/// The options about stores.
#[derive(clap::Args)]
pub(crate) struct StoreOptions {
    /// The folder of the local keys' store [default: `waxseal/store` in your
    /// data folder, or the folder that the variable WAXSEAL_STORE names]
    ///
    /// The keys in it are sealed under a root key. That is, unless there is a
    /// passphrase, a key file beside the store, of the same name with `.key`
    /// added, made with it and readable by you only. WHOEVER HAS BOTH CAN USE
    /// THE KEYS, and whoever loses one of them loses the data: keep copies, and
    /// not together.
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) store: Option<PathBuf>,

    /// Ask on the terminal for the passphrase of the store
    ///
    /// A store that is made with a passphrase has no key file, and needs the
    /// passphrase each time. The variable WAXSEAL_PASSPHRASE can hold it too.
    #[arg(long, global = true, conflicts_with = "passphrase_file")]
    passphrase: bool,

    /// Read the passphrase of the store from a file
    ///
    /// A newline at its end is not part of it.
    #[arg(long, value_name = "FILE", global = true)]
    passphrase_file: Option<PathBuf>,
}

impl StoreOptions {
    /// The file that holds the passphrase.
    pub(crate) fn passphrase_file(&self) -> Option<&Path> {
        self.passphrase_file.as_deref()
    }

    /// Where the store is that these options name, or none does.
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        if let Some(folder) = &self.store {
            return Place::at(folder);
        }
        if let Some(folder) = env::var_os(STORE).filter(|folder| !folder.is_empty()) {
            return Place::at(Path::new(&folder));
        }
        let data = data_folder().ok_or_else(|| {
            Failure::usage(format!(
                "there is no home folder to keep keys in: give --store DIR, or set {STORE}=DIR"
            ))
        })?;
        let parent = data.join("waxseal");
        let mut place = Place::at(&parent.join("store"))?;
        place.own_parent = Some(parent);
        Ok(place)
    }
}

/// The user's data folder, as each system has it.
pub(crate) fn data_folder() -> Option<PathBuf> {
    // A relative path counts as not set (XDG Base Directory Specification).
    let folder = |variable| env::var_os(variable).map(PathBuf::from);
    let absolute = |variable| folder(variable).filter(|path| path.is_absolute());
    if cfg!(windows) {
        absolute("APPDATA")
    } else if cfg!(target_os = "macos") {
        Some(absolute("HOME")?.join("Library/Application Support"))
    } else {
        absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))
    }
}

/// Where a store is, or will be.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    /// Where its root key is, if that is a file.
    pub(crate) key_file: PathBuf,
    /// The folder around it, where that is the tool's to make.
    own_parent: Option<PathBuf>,
}

impl Place {
    /// A store in this folder, which need not be there.
    pub(crate) fn at(folder: &Path) -> Result<Self, Failure> {
        let unusable =
            |error: io::Error| Failure::io(format_args!("cannot use {}", quoted(folder)), error);
        // The same key file, by whatever path the folder is named.
        let found = match fs::canonicalize(folder) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::path::absolute(folder).map_err(unusable)?
            }
            Err(error) => return Err(unusable(error)),
        };
        let Some(name) = found.file_name() else {
            return Err(Failure::usage(format!(
                "{} cannot be a store: it has no name, for the key file beside it",
                quoted(folder)
            )));
        };
        let mut name = name.to_owned();
        name.push(".key");
        Ok(Place {
            key_file: found.with_file_name(name),
            folder: found,
            own_parent: None,
        })
    }

    fn failed(&self, error: &KmsError) -> Failure {
        Failure::kms(
            format_args!("cannot open the store {}", quoted(&self.folder)),
            error,
        )
    }

    /// The folder's store, if there is one that holds anything.
    fn look(&self) -> Result<Option<DirectoryStore>, Failure> {
        let store = match DirectoryStore::builder(&self.folder).create(false).open() {
            Ok(store) => store,
            // Whether it can be made into one, making it finds out.
            Err(StoreError::NotAStore { .. }) => return Ok(None),
            Err(error) => return Err(self.failed(&error.into())),
        };
        let first = wait(store.list("", None, 1)).map_err(|error| self.failed(&error.into()))?;
        Ok((!first.is_empty()).then_some(store))
    }

    /// Why it cannot be opened, where [`look`](Self::look) finds nothing.
    fn missing(&self) -> Failure {
        match DirectoryStore::builder(&self.folder).create(false).open() {
            Ok(_) => self.failed(&KmsError::NoKms),
            Err(error) => self.failed(&error.into()),
        }
    }
}

/// Opens the stores of one run: each once, with one passphrase for all.
pub(crate) struct Stores<'a> {
    options: &'a StoreOptions,
    passphrase: RefCell<Option<RootKey>>,
    open: RefCell<Vec<(PathBuf, LocalKms)>>,
}

impl<'a> Stores<'a> {
    pub(crate) fn new(options: &'a StoreOptions) -> Self {
        Stores {
            options,
            passphrase: RefCell::default(),
            open: RefCell::default(),
        }
    }

    /// Whether there is a store.
    pub(crate) fn is_there(&self, place: &Place) -> Result<bool, Failure> {
        Ok(place.look()?.is_some())
    }

    /// Opens a store that is there.
    pub(crate) fn open(&self, place: &Place) -> Result<LocalKms, Failure> {
        if let Some(kms) = self.opened(place) {
            return Ok(kms);
        }
        let Some(store) = place.look()? else {
            return Err(place.missing());
        };
        let root = match self.passphrase(false)? {
            Some(passphrase) => passphrase,
            None => RootKey::bytes(root_key(&place.key_file)?),
        };
        self.finish(place, store, root, false)
    }

    /// Opens a store, and makes it where there is none.
    pub(crate) fn open_or_make(&self, place: &Place) -> Result<LocalKms, Failure> {
        if let Some(kms) = self.opened(place) {
            return Ok(kms);
        }
        if place.look()?.is_some() {
            return self.open(place);
        }
        // Before anything is made.
        let passphrase = self.passphrase(true)?;
        if let Some(parent) = &place.own_parent {
            make_private_folder(parent).map_err(|error| {
                Failure::io(
                    format_args!("cannot make the folder {}", quoted(parent)),
                    error,
                )
            })?;
        }
        let store = DirectoryStore::open(&place.folder);
        let store = store.map_err(|error| place.failed(&error.into()))?;
        let kept = match &passphrase {
            None => format!(
                "sealed under the root key in {}; whoever has both can use the keys, and whoever \
                 loses one of them loses the data: keep copies, and not together",
                quoted(&place.key_file)
            ),
            Some(_) => "sealed under your passphrase; whoever forgets it, or loses the store, \
                        loses the data: keep a copy of the store"
                .to_owned(),
        };
        let root = match passphrase {
            Some(passphrase) => passphrase,
            None => {
                make_root_key(&place.key_file)?;
                RootKey::bytes(root_key(&place.key_file)?)
            }
        };
        let kms = self.finish(place, store, root, true)?;
        if kms.was_created() {
            say(&format!(
                "made the store of your keys, {}, {kept}",
                quoted(&place.folder)
            ));
        }
        Ok(kms)
    }

    fn opened(&self, place: &Place) -> Option<LocalKms> {
        let open = self.open.borrow();
        let found = open.iter().find(|(folder, _)| *folder == place.folder);
        found.map(|(_, kms)| kms.clone())
    }

    fn finish(
        &self,
        place: &Place,
        store: DirectoryStore,
        root: RootKey,
        create: bool,
    ) -> Result<LocalKms, Failure> {
        let opened = wait(LocalKms::builder(store, root).create(create).open());
        let kms = opened.map_err(|error| place.failed(&error))?;
        let mut open = self.open.borrow_mut();
        open.push((place.folder.clone(), kms.clone()));
        Ok(kms)
    }

    /// The passphrase, if there is to be one: asked for once in a run.
    fn passphrase(&self, is_new: bool) -> Result<Option<RootKey>, Failure> {
        if let Some(passphrase) = &*self.passphrase.borrow() {
            return Ok(Some(passphrase.clone()));
        }
        let passphrase = if self.options.passphrase {
            let instead = format!("give --passphrase-file FILE, or set {PASSPHRASE}");
            Some(passphrase::ask(WHAT, is_new, &instead)?)
        } else if let Some(file) = &self.options.passphrase_file {
            Some(passphrase::from_file(file, WHAT)?)
        } else {
            passphrase::from_variable(PASSPHRASE)?
        };
        let root = passphrase.map(RootKey::passphrase);
        self.passphrase.borrow_mut().clone_from(&root);
        Ok(root)
    }

    /// Writes how often each key was used. That it fails is worth a word, and
    /// no more; who may only read a store is not told each time.
    pub(crate) fn count_uses(&self) {
        for (folder, kms) in &*self.open.borrow() {
            match wait(kms.flush_usage()) {
                Ok(()) | Err(KmsError::Store(StoreError::AccessDenied { .. })) => {}
                Err(error) => say(&format!(
                    "warning: the store {} does not know of this use of its keys: {error}",
                    quoted(folder)
                )),
            }
        }
    }
}

/// Reads a root key.
fn root_key(file: &Path) -> Result<SecretBytes, Failure> {
    let what = format_args!("cannot read the store's root key {}", quoted(file)).to_string();
    let key = match read_key(file, ROOT_KEY_LENGTH) {
        Ok(key) => key,
        Err(error) => {
            let failure = Failure::io(what, &error);
            return Err(match error.kind() {
                io::ErrorKind::NotFound => failure.with_hint(&format!(
                    "bring it back from a copy; or, if the store has a passphrase, give \
                     --passphrase, --passphrase-file FILE or {PASSPHRASE}"
                )),
                _ => failure,
            });
        }
    };
    match key.len() {
        ROOT_KEY_LENGTH => Ok(key),
        length => {
            let found = match length {
                0 => "it is empty".to_owned(),
                1 => "it holds 1 byte".to_owned(),
                _ if length > ROOT_KEY_LENGTH => "it holds more".to_owned(),
                _ => format!("it holds {length} bytes"),
            };
            Err(Failure::message(format!(
                "{what}: a root key is exactly {ROOT_KEY_LENGTH} bytes, and {found}"
            )))
        }
    }
}

/// Makes it, unless another run was faster or a store of before has left one.
fn make_root_key(file: &Path) -> Result<(), Failure> {
    let key = SecretBytes::random(ROOT_KEY_LENGTH);
    let key = key.map_err(|error| Failure::io("cannot make a key", error))?;
    match create_private(file, key.expose()) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Failure::io(
            format_args!("cannot make the store's root key {}", quoted(file)),
            error,
        )),
        _ => Ok(()),
    }
}

/// Does what has become due: nothing else does, as the tool does not stay.
pub(crate) fn run_due(kms: &LocalKms) {
    match wait(kms.run_due()) {
        Ok(report) => tell_due(&report),
        Err(error) => say(&format!(
            "warning: rotations and deletions that are due were not done: {error}"
        )),
    }
}

fn tell_due(report: &DueReport) {
    for (key, version) in &report.rotated {
        say(&format!(
            "rotated the key {key}, which was due: its version is {version} now"
        ));
    }
    for key in &report.expired {
        say(&format!("material of the key {key} has expired"));
    }
    for key in &report.deleted {
        say(&format!("deleted the key {key}, which was due"));
    }
    for error in &report.failed {
        say(&format!(
            "warning: what is due of a key, a rotation or its deletion, is not done: {error}"
        ));
    }
}

/// The key that is used where none is named: made where it is not there yet.
/// Of several runs that make it at once, one does.
pub(crate) fn make_default_key(kms: &LocalKms) -> Result<(), KmsError> {
    match wait(kms.resolve(DEFAULT_ALIAS)) {
        Err(KmsError::NotFound { .. }) => {}
        found => return found.map(drop),
    }
    match wait(kms.create_key(CreateKey::new().alias(DEFAULT_ALIAS))) {
        Ok(key) => {
            say(&format!("made the key {DEFAULT_ALIAS} in it, {}", key.id));
            Ok(())
        }
        Err(KmsError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
