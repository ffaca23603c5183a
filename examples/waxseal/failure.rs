//! How a run fails: one line on standard error, and an exit code for scripts.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use waxseal::kms::store::StoreError;
use waxseal::kms::{KeyState, KmsError, RecordProblem};
use waxseal::{
    CommitmentPolicy, Error, FormatError, ProviderError, ProviderErrorKind, UnwrapFailures,
};

use crate::store::MARKER;

/// The record without which a store does not open.
const ROOT: &str = "root";
const MAKES_A_STORE: &str =
    "`waxseal keys create` makes a store, and so does a first `waxseal encrypt`";

/// What a run was doing with a message when the library refused it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Encrypt,
    Decrypt {
        /// Whether the command line says with which key, or of which store.
        names_keys: bool,
    },
    Inspect,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Encrypt => "encrypt",
            Action::Decrypt { .. } => "decrypt",
            Action::Inspect => "inspect",
        })
    }
}

/// The exit codes, as `waxseal --help` lists them.
#[derive(Clone, Copy)]
enum Code {
    Message = 1,
    Usage = 2,
    Io = 3,
}

/// Why a run failed. It names keys of the context and never values.
pub(crate) struct Failure {
    code: Code,
    /// `None` where nobody is there to read it.
    text: Option<String>,
}

impl Failure {
    /// The command line asks for what cannot be.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Failure {
            code: Code::Usage,
            text: Some(text.into()),
        }
    }

    /// The message or a key is wrong.
    pub(crate) fn message(text: impl Into<String>) -> Self {
        Failure {
            code: Code::Message,
            text: Some(text.into()),
        }
    }

    /// A file or the system is the cause; `what` begins with "cannot".
    pub(crate) fn io(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Failure {
            code: Code::Io,
            text: Some(format!("{what}: {error}")),
        }
    }

    /// What a write met: whoever reads a pipe may stop when they have enough,
    /// and wants no word about it.
    pub(crate) fn write(name: &str, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure {
                code: Code::Io,
                text: None,
            };
        }
        Failure::io(format_args!("cannot write {name}"), error)
    }

    /// What a reader of the library met: its own error, or the source's.
    pub(crate) fn read(action: Action, name: &str, error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(error) => Failure::library(action, name, &error),
            Err(error) => Failure::io(format_args!("cannot read {name}"), error),
        }
    }

    /// What the library refused. Its errors name their causes themselves.
    pub(crate) fn library(action: Action, name: &str, error: &Error) -> Self {
        let mut text = format!("cannot {action} {name}: {error}");
        if let Some(hint) = hint(action, error) {
            text.push_str("; ");
            text.push_str(&hint);
        }
        Failure {
            code: code(action, error),
            text: Some(text),
        }
    }

    /// What the embedded KMS refused; `what` begins with "cannot".
    pub(crate) fn kms(what: impl fmt::Display, error: &KmsError) -> Self {
        let mut text = format!("{what}: {error}");
        if let Some(hint) = kms_hint(error) {
            text.push_str("; ");
            text.push_str(hint);
        }
        Failure {
            code: kms_code(error),
            text: Some(text),
        }
    }

    /// Adds what to do about it.
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        if let Some(text) = &mut self.text {
            text.push_str("; ");
            text.push_str(hint);
        }
        self
    }

    /// Says it, now: what is left is its exit code.
    pub(crate) fn said(mut self) -> Self {
        if let Some(text) = self.text.take() {
            say(&text);
        }
        self
    }

    /// Says it, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        ExitCode::from(self.said().code as u8)
    }
}

/// One line on standard error. Names may come from a hostile message: no
/// control character reaches the terminal.
pub(crate) fn say(text: &str) {
    let mut line = String::from("waxseal: ");
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    // Where standard error is closed there is nobody to tell.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

fn code(action: Action, error: &Error) -> Code {
    match error {
        Error::ContextTooLong { .. }
        | Error::ReservedContextKey { .. }
        | Error::InvalidFrameLength
        | Error::TooManyFrames
        | Error::SuiteWithoutKeyDerivation { .. } => Code::Usage,
        // Writing, they are about the options given; reading, about the message.
        Error::SuiteForbidden { .. } | Error::TooManyEncryptedDataKeys { .. }
            if action == Action::Encrypt =>
        {
            Code::Usage
        }
        Error::PlaintextBoundExceeded { .. } | Error::Random(_) => Code::Io,
        Error::Provider(error) if error.kind() == ProviderErrorKind::Random => Code::Io,
        error => match of_kms(error) {
            Some(error) => kms_code(error),
            None if error.is_retryable() => Code::Io,
            None => Code::Message,
        },
    }
}

/// The embedded KMS's error that is behind it.
fn of_kms(error: &Error) -> Option<&KmsError> {
    match error {
        Error::Provider(error) => source(error),
        Error::Unwrap(failures) => failures
            .iter()
            .flat_map(|failure| &failure.causes)
            .find_map(source),
        _ => None,
    }
}

fn source(error: &ProviderError) -> Option<&KmsError> {
    std::error::Error::source(error)?.downcast_ref()
}

fn kms_code(error: &KmsError) -> Code {
    match error {
        KmsError::AlreadyExists { .. }
        | KmsError::InvalidAlias { .. }
        | KmsError::InvalidArgument { .. }
        | KmsError::LimitExceeded { .. }
        | KmsError::Unsupported { .. } => Code::Usage,
        KmsError::Store(
            StoreError::Damaged { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::TooLarge { .. },
        ) => Code::Message,
        KmsError::Busy { .. } | KmsError::NoKms | KmsError::Random(_) | KmsError::Store(_) => {
            Code::Io
        }
        _ => Code::Message,
    }
}

fn kms_hint(error: &KmsError) -> Option<&'static str> {
    Some(match error {
        KmsError::NotFound { .. } => {
            "`waxseal keys list` shows the keys of a store; one is named by its id, or as alias/NAME"
        }
        KmsError::Disabled { .. } => "`waxseal keys enable` allows its use again",
        KmsError::InvalidState {
            state: KeyState::PendingDeletion,
            ..
        } => "`waxseal keys cancel-deletion` keeps it, and then `waxseal keys enable` is needed",
        KmsError::InvalidState { .. } => "`waxseal keys describe` shows its state",
        KmsError::VersionCutOff { .. } => "somebody has cut that version off",
        KmsError::WrongRoot { .. } => {
            "a store opens with what it was made with: its key file, or a passphrase \
             (--passphrase, --passphrase-file FILE, WAXSEAL_PASSPHRASE)"
        }
        KmsError::Record {
            problem: RecordProblem::NewerFormat { .. },
            ..
        }
        | KmsError::Store(StoreError::NewerFormat { .. }) => "use a newer version of this program",
        KmsError::Record { name, .. } | KmsError::Store(StoreError::Damaged { name, .. })
            if name == ROOT =>
        {
            "no key of the store can be used without it: restore a copy of the store, or \
             `waxseal keys import` a backup into a new one, in another folder"
        }
        KmsError::Record { .. } | KmsError::Store(StoreError::Damaged { .. }) => {
            "the store's other records are not concerned; `waxseal keys import` of a backup \
             brings a damaged one back"
        }
        KmsError::NoKms => MAKES_A_STORE,
        KmsError::Store(StoreError::NotAStore { location, .. }) => not_a_store_hint(location),
        KmsError::Store(StoreError::Locked { .. }) => "see whether another run hangs",
        _ => return None,
    })
}

/// What to do, by what is there.
fn not_a_store_hint(place: &Path) -> &'static str {
    let holds = |folder: &Path, is_foreign: fn(&str) -> bool| {
        fs::read_dir(folder).is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| is_foreign(&entry.file_name().to_string_lossy()))
            })
        })
    };
    let has_marker = fs::symlink_metadata(place.join(MARKER)).is_ok();
    let blobs = place.join("blobs");
    match fs::metadata(place) {
        Ok(found) if !found.is_dir() => {
            "a store is a folder: give one that is a store, is empty, or is not there yet"
        }
        Ok(_) if has_marker && !blobs.is_dir() => {
            "the keys that the store had are gone: restore a copy of the store"
        }
        Ok(_) if has_marker || holds(&blobs, |_| true) => {
            "the keys are there, and the file 'waxseal-store' beside them, which says that the \
             folder is a store and of which format, is missing or damaged: bring it back from a \
             copy of this store, or of any other that the same version has made: it is the same \
             in all"
        }
        Ok(_) if holds(place, is_not_of_stores) => {
            "no store is made in a folder that holds something else: give a folder that is a \
             store, is empty, or is not there yet"
        }
        _ => MAKES_A_STORE,
    }
}

/// Whether a file keeps a folder from being made into a store.
fn is_not_of_stores(name: &str) -> bool {
    !name.starts_with('.')
        && ![
            "blobs",
            "changes",
            "lock",
            "waxseal-store.new",
            "lost+found",
        ]
        .contains(&name)
}

fn hint(action: Action, error: &Error) -> Option<String> {
    Some(match error {
        Error::SuiteForbidden { suite, .. } => {
            let encrypting = action == Action::Encrypt;
            let allows = |policy: CommitmentPolicy| {
                if encrypting {
                    policy.allows_encrypt(*suite)
                } else {
                    policy.allows_decrypt(*suite)
                }
            };
            let policies = CommitmentPolicy::ALL.into_iter().filter(|p| allows(*p));
            let policies: Vec<_> = policies.map(|policy| policy.to_string()).collect();
            let verb = if encrypting { "allowed" } else { "read" };
            format!("it is {verb} with --policy {}", policies.join(" or "))
        }
        Error::PlaintextBoundExceeded { .. } => "the input grew while it was read".into(),
        Error::SignedRangeRefused { .. } => "decrypt all of it, or give --allow-unverified".into(),
        Error::Malformed(FormatError::Base64Text) => {
            "for example: base64 -d < INPUT | waxseal decrypt".into()
        }
        Error::ContextKeyNotInMessage { .. } => {
            "`waxseal inspect` shows the context that it holds".into()
        }
        Error::Unwrap(failures) => {
            let names_keys = matches!(action, Action::Decrypt { names_keys: true });
            unwrap_hint(error, failures, names_keys)?.into()
        }
        Error::Provider(_) => of_kms(error).and_then(kms_hint)?.into(),
        Error::BufferLimit { .. } => "--max-buffered sets another limit".into(),
        _ => return None,
    })
}

/// `None` where a service has said why itself.
fn unwrap_hint(error: &Error, failures: &UnwrapFailures, names_keys: bool) -> Option<&'static str> {
    let refused = of_kms(error);
    if let Some(KmsError::NotFound { .. }) = refused {
        return Some(match names_keys {
            true => "the key was deleted, or is in another store than the one that was given",
            false => "the key was deleted, or is in another store: give its --store or --key",
        });
    }
    if let Some(hint) = refused.and_then(kms_hint) {
        return Some(hint);
    }
    let mut kinds = failures
        .iter()
        .flat_map(|failure| &failure.causes)
        .map(ProviderError::kind)
        .filter(|kind| *kind != ProviderErrorKind::NotConfigured)
        .peekable();
    if kinds.peek().is_none() {
        return Some(if names_keys {
            "it was encrypted with another key than what was given: `waxseal inspect` shows which"
        } else {
            "give the --key or the --store that it was encrypted with: `waxseal inspect` shows which"
        });
    }
    kinds
        .any(|kind| kind == ProviderErrorKind::InvalidCiphertext)
        .then_some("the key is another one, or the message was changed")
}
