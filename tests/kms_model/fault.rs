//! Errors without their texts, and how two outcomes are compared.

use std::error::Error as _;
use std::fmt::Debug;

use waxseal::kms::{KeyState, KmsError, KmsResult};
use waxseal::{Error, ProviderError, ProviderErrorKind};

/// What went wrong, if the KMS and the model differ.
pub(crate) type Checked<T = ()> = Result<T, String>;

macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

pub(crate) use ensure;

/// An error, without its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    NotFound,
    Disabled,
    InvalidState(&'static str),
    Unsupported,
    InvalidCiphertext,
    IncorrectKey,
    VersionCutOff {
        version: u32,
        minimum: u32,
    },
    AlreadyExists,
    InvalidAlias,
    InvalidArgument,
    IncorrectKeyMaterial,
    WrongRoot,
    /// A message's: its context is not the expected one.
    Context,
    /// A message's: it is another key's than the provider's.
    OtherKey,
}

pub(crate) type Outcome<T> = Result<T, Fault>;

pub(crate) fn state_name(state: KeyState) -> &'static str {
    match state {
        KeyState::Enabled => "Enabled",
        KeyState::Disabled => "Disabled",
        KeyState::PendingImport => "PendingImport",
        KeyState::PendingDeletion => "PendingDeletion",
        KeyState::Unavailable => "Unavailable",
        _ => "?",
    }
}

impl Fault {
    /// `None` for an error that no operation here may give.
    pub(crate) fn of(error: &KmsError) -> Option<Fault> {
        Some(match error {
            KmsError::NotFound { .. } => Fault::NotFound,
            KmsError::Disabled { .. } => Fault::Disabled,
            KmsError::InvalidState { state, .. } => Fault::InvalidState(state_name(*state)),
            KmsError::Unsupported { .. } => Fault::Unsupported,
            KmsError::InvalidCiphertext => Fault::InvalidCiphertext,
            KmsError::IncorrectKey { .. } => Fault::IncorrectKey,
            KmsError::VersionCutOff {
                version, minimum, ..
            } => Fault::VersionCutOff {
                version: *version,
                minimum: *minimum,
            },
            KmsError::AlreadyExists { .. } => Fault::AlreadyExists,
            KmsError::InvalidAlias { .. } => Fault::InvalidAlias,
            KmsError::InvalidArgument { .. } => Fault::InvalidArgument,
            KmsError::IncorrectKeyMaterial { .. } => Fault::IncorrectKeyMaterial,
            KmsError::WrongRoot { .. } => Fault::WrongRoot,
            _ => return None,
        })
    }

    /// Its name in the statistics.
    pub(crate) fn name(self) -> String {
        match self {
            Fault::InvalidState(state) => format!("InvalidState({state})"),
            Fault::VersionCutOff { .. } => "VersionCutOff".to_owned(),
            fault => format!("{fault:?}"),
        }
    }
}

/// The same outcome, as a value: an error that the model does not know is told.
pub(crate) fn outcome<T>(result: KmsResult<T>) -> Checked<Outcome<T>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => match Fault::of(&error) {
            Some(fault) => Ok(Err(fault)),
            None => Err(format!("{error:?}")),
        },
    }
}

pub(crate) fn same<T: Debug + PartialEq>(what: &str, found: T, expected: T) -> Checked {
    ensure!(
        found == expected,
        "{what}: the KMS has\n  {found:?}\nand the model\n  {expected:?}"
    );
    Ok(())
}

/// Both succeed, or fail alike.
pub(crate) fn agree<T, U>(found: KmsResult<T>, expected: Outcome<U>) -> Checked<Outcome<(T, U)>> {
    match (outcome(found)?, expected) {
        (Ok(found), Ok(expected)) => Ok(Ok((found, expected))),
        (Err(found), Err(expected)) if found == expected => Ok(Err(found)),
        (found, expected) => Err(format!(
            "the KMS gives {:?}, the model {:?}",
            found.map(drop),
            expected.map(drop)
        )),
    }
}

/// What a message's error is.
pub(crate) fn message_fault(error: &Error) -> Checked<Fault> {
    let of_provider = |error: &ProviderError| {
        use ProviderErrorKind as Kind;
        let kms = error.source().and_then(|source| source.downcast_ref());
        let fault = match kms {
            Some(error) => Fault::of(error),
            None if error.kind() == Kind::NotConfigured => Some(Fault::OtherKey),
            None => None,
        };
        let kind = match fault {
            Some(Fault::NotFound) => Kind::NotFound,
            Some(Fault::Disabled | Fault::InvalidState(_) | Fault::VersionCutOff { .. }) => {
                Kind::KeyDisabled
            }
            Some(Fault::OtherKey) => Kind::NotConfigured,
            _ => return Err(format!("{error:?}")),
        };
        ensure!(error.kind() == kind, "{error:?}");
        fault.ok_or_else(|| format!("{error:?}"))
    };
    match error {
        Error::ContextMismatch { .. } | Error::ContextKeyNotInMessage { .. } => Ok(Fault::Context),
        Error::Provider(error) => of_provider(error),
        Error::Unwrap(failures) => match failures.iter().next() {
            Some(failure) if failure.causes.len() == 1 => of_provider(&failure.causes[0]),
            _ => Err(format!("{failures:?}")),
        },
        error => Err(format!("{error:?}")),
    }
}
