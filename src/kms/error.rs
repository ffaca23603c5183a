//! What goes wrong in the KMS.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use super::store::StoreError;
use crate::crypto::RandomError;
use crate::error::Error;
use crate::kms::state::{KeyState, Operation};

/// The result of a call of the KMS.
pub type KmsResult<T> = Result<T, KmsError>;

/// A step that many calls have, on the heap: its code is compiled once, and not
/// into each of them.
pub(super) type KmsFuture<'a, T, E = KmsError> =
    Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// What went wrong in the KMS, and what to do about it. Where AWS KMS has an
/// exception for it, its name is given.
///
/// After an error nothing was changed, unless it is a
/// [`Store`](Self::Store) error that says that this is uncertain.
#[derive(Debug)]
#[non_exhaustive]
pub enum KmsError {
    /// There is no such key or alias, or the key was deleted
    /// (`NotFoundException`).
    NotFound {
        /// The id, ARN or alias that was given.
        key: String,
    },
    /// The key is disabled: enable it (`DisabledException`).
    Disabled {
        /// The key's ARN.
        key: String,
    },
    /// The key's state forbids the operation (`KMSInvalidStateException`).
    InvalidState {
        /// The key's ARN.
        key: String,
        /// Its state.
        state: KeyState,
        /// What was asked.
        operation: Operation,
    },
    /// The operation is not for keys of this kind: rotation or deletion of a
    /// service's key, import into a key of the KMS's own material
    /// (`UnsupportedOperationException`).
    Unsupported {
        /// The key's ARN.
        key: String,
        /// What was asked.
        operation: Operation,
        /// Why.
        reason: &'static str,
    },
    /// The ciphertext is none of this KMS's, is damaged, or belongs to another
    /// encryption context (`InvalidCiphertextException`).
    InvalidCiphertext,
    /// The ciphertext is another key's than the given one
    /// (`IncorrectKeyException`).
    IncorrectKey {
        /// The key that was given.
        key: String,
    },
    /// The ciphertext was made under a version of the backing key that may no
    /// longer decrypt: see
    /// [`set_minimum_version`](super::LocalKms::set_minimum_version).
    VersionCutOff {
        /// The key's ARN.
        key: String,
        /// The ciphertext's version.
        version: u32,
        /// The least version that may decrypt.
        minimum: u32,
    },
    /// There is such an alias already (`AlreadyExistsException`).
    AlreadyExists {
        /// The alias.
        alias: String,
    },
    /// Not an alias's name, or one that is kept for services' keys
    /// (`InvalidAliasNameException`).
    InvalidAlias {
        /// What was given.
        alias: String,
        /// Why not.
        reason: &'static str,
    },
    /// An argument is out of its range (`ValidationException`).
    InvalidArgument {
        /// Which, and what it may be.
        what: String,
    },
    /// There is no room for more (`LimitExceededException`).
    LimitExceeded {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
    /// The material is not what was imported before
    /// (`IncorrectKeyMaterialException`).
    IncorrectKeyMaterial {
        /// The key's ARN.
        key: String,
    },
    /// The import token is another key's, damaged, or was replaced by a newer
    /// one
    /// (`InvalidImportTokenException`).
    InvalidImportToken {
        /// The key's ARN.
        key: String,
    },
    /// The import token is older than 24 hours
    /// (`ExpiredImportTokenException`).
    ExpiredImportToken {
        /// The key's ARN.
        key: String,
    },
    /// The encryption context cannot be used.
    Context(Error),
    /// Others changed the same record all the time: retry later.
    Busy {
        /// The record.
        name: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// There is no KMS in this store, and none was to be made.
    NoKms,
    /// The root is not the one that the store was made with: another key, a
    /// wrong passphrase, another kind of root.
    WrongRoot {
        /// What is known of it.
        reason: String,
        /// The cause, where there is one.
        source: Option<Box<Error>>,
    },
    /// The root's provider could not be asked, or refused: a remote service
    /// that does not answer, for example, or a key that was disabled.
    Root(Box<Error>),
    /// A record is not what was written under its name. All others are usable.
    Record {
        /// The record.
        name: String,
        /// What is wrong with it.
        problem: RecordProblem,
    },
    /// A backup is not one, is damaged, or does not open with what was given.
    Backup {
        /// What is wrong with it.
        reason: String,
    },
    /// Neither a policy nor a grant lets the caller do it, or one forbids it
    /// (`AccessDeniedException`).
    AccessDenied {
        /// The ARN of who called.
        principal: String,
        /// The permission, without `kms:`.
        action: &'static str,
        /// The ARN of the key or alias; `*` where there is none.
        resource: String,
        /// What decided.
        reason: String,
    },
    /// The caller's account has made too many calls (`ThrottlingException`):
    /// retry, not before the time given.
    Throttled {
        /// How long to wait for the next one.
        retry_after: Duration,
    },
    /// The key policy cannot be read, or would lock its author out
    /// (`MalformedPolicyDocumentException`).
    MalformedPolicy {
        /// What is wrong with it.
        reason: String,
    },
    /// A grant token is none (`InvalidGrantTokenException`).
    InvalidGrantToken,
    /// It would have been done, had it not been a
    /// dry run (`DryRunOperationException`).
    DryRun,
    /// The call cannot be recorded in the audit trail, and is refused
    /// therefore. What it has changed stays changed; it gives nothing away.
    #[cfg(feature = "kms-policy")]
    Audit(super::audit::AuditError),
    /// The store failed.
    Store(StoreError),
    /// The random source failed.
    Random(RandomError),
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordProblem {
    /// It is damaged, truncated, a foreign file, or the record of another name
    /// or of another store. Restore it from a backup.
    Damaged,
    /// It is gone, and others are there that need it. Restore it from a copy of
    /// the store.
    Missing,
    /// A newer version of this library wrote it. Upgrade.
    NewerFormat {
        /// Its format.
        found: u32,
        /// The newest that is known here.
        supported: u32,
    },
    /// It is older than what this process has seen: an old copy was put back.
    OlderGeneration {
        /// Its generation.
        found: u64,
        /// The newest generation that was seen.
        seen: u64,
    },
}

impl KmsError {
    /// Whether the same call may succeed later, as it is.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Throttled { .. } => true,
            Self::Root(error) => error.is_retryable(),
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// AWS KMS's name of the exception. What has none there is
    /// `KMSInternalException`, with which a client tries again.
    pub fn exception(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "NotFoundException",
            Self::Disabled { .. } => "DisabledException",
            Self::InvalidState { .. } | Self::VersionCutOff { .. } => "KMSInvalidStateException",
            Self::Unsupported { .. } => "UnsupportedOperationException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::IncorrectKey { .. } => "IncorrectKeyException",
            Self::AlreadyExists { .. } => "AlreadyExistsException",
            Self::InvalidAlias { .. } => "InvalidAliasNameException",
            Self::InvalidArgument { .. } | Self::Context(_) => "ValidationException",
            Self::LimitExceeded { .. } => "LimitExceededException",
            Self::IncorrectKeyMaterial { .. } => "IncorrectKeyMaterialException",
            Self::InvalidImportToken { .. } => "InvalidImportTokenException",
            Self::ExpiredImportToken { .. } => "ExpiredImportTokenException",
            Self::AccessDenied { .. } => "AccessDeniedException",
            Self::Throttled { .. } => "ThrottlingException",
            Self::MalformedPolicy { .. } => "MalformedPolicyDocumentException",
            Self::InvalidGrantToken => "InvalidGrantTokenException",
            Self::DryRun => "DryRunOperationException",
            Self::Busy { .. }
            | Self::NoKms
            | Self::WrongRoot { .. }
            | Self::Root(_)
            | Self::Record { .. }
            | Self::Backup { .. }
            | Self::Store(_)
            | Self::Random(_) => "KMSInternalException",
            #[cfg(feature = "kms-policy")]
            Self::Audit(_) => "KMSInternalException",
        }
    }

    /// The same as CloudTrail has it.
    #[cfg(feature = "kms-policy")]
    pub(super) fn audit_code(&self) -> &'static str {
        match self {
            Self::AccessDenied { .. } => "AccessDenied",
            error => error.exception(),
        }
    }

    /// Whether somebody else has changed the record meanwhile.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Store(StoreError::Conflict { .. }))
    }

    pub(super) fn busy(name: &str, attempts: u32) -> Self {
        Self::Busy {
            name: name.to_owned(),
            attempts,
        }
    }

    pub(super) fn record(name: &str, problem: RecordProblem) -> Self {
        Self::Record {
            name: name.to_owned(),
            problem,
        }
    }

    #[cfg(feature = "kms-policy")]
    pub(super) fn denied(
        principal: &str,
        action: &'static str,
        resource: &str,
        reason: impl Into<String>,
    ) -> Self {
        Self::AccessDenied {
            principal: principal.to_owned(),
            action,
            resource: resource.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn invalid(what: impl Into<String>) -> Self {
        Self::InvalidArgument { what: what.into() }
    }
}

impl fmt::Display for KmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { key } => write!(f, "there is no key '{key}'"),
            Self::Disabled { key } => write!(f, "the key '{key}' is disabled"),
            Self::InvalidState {
                key,
                state,
                operation,
            } => write!(f, "the key '{key}' is {state}: {operation} is not possible"),
            Self::Unsupported {
                key,
                operation,
                reason,
            } => write!(
                f,
                "{operation} is not possible with the key '{key}': {reason}"
            ),
            Self::InvalidCiphertext => {
                f.write_str("the ciphertext does not decrypt under this key and context")
            }
            Self::IncorrectKey { key } => {
                write!(f, "the ciphertext was not made under the key '{key}'")
            }
            Self::VersionCutOff {
                key,
                version,
                minimum,
            } => write!(
                f,
                "version {version} of the key '{key}' may not decrypt: the minimum is {minimum}"
            ),
            Self::AlreadyExists { alias } => write!(f, "the alias '{alias}' exists already"),
            Self::InvalidAlias { alias, reason } => {
                write!(f, "'{alias}' cannot be an alias: {reason}")
            }
            Self::InvalidArgument { what } => f.write_str(what),
            Self::LimitExceeded { what, limit } => write!(f, "no more than {limit} {what}"),
            Self::IncorrectKeyMaterial { key } => {
                write!(f, "this is no key material that the key '{key}' has or had")
            }
            Self::InvalidImportToken { key } => {
                write!(f, "the import token is not valid for the key '{key}'")
            }
            Self::ExpiredImportToken { key } => {
                write!(f, "the import token of the key '{key}' has expired")
            }
            Self::Context(error) => fmt::Display::fmt(error, f),
            Self::Busy { name, attempts } => write!(
                f,
                "the record '{name}' was changed by others {attempts} times meanwhile"
            ),
            Self::NoKms => f.write_str("there is no KMS in this store"),
            Self::WrongRoot { reason, .. } => {
                write!(f, "the store does not open with this root: {reason}")
            }
            Self::Root(error) => write!(f, "the root's provider failed: {error}"),
            Self::Record { name, problem } => write!(f, "the record '{name}' {problem}"),
            Self::Backup { reason } => write!(f, "the backup cannot be read: {reason}"),
            Self::AccessDenied {
                principal,
                action,
                resource,
                reason,
            } => write!(
                f,
                "{principal} may not call kms:{action} on '{resource}': {reason}"
            ),
            Self::Throttled { retry_after } => {
                let milliseconds = retry_after.as_millis();
                write!(f, "too many calls: retry after {milliseconds} ms")
            }
            Self::MalformedPolicy { reason } => write!(f, "the key policy is refused: {reason}"),
            Self::InvalidGrantToken => f.write_str("a grant token is not valid"),
            Self::DryRun => f.write_str("the call would have succeeded, but it was a dry run"),
            #[cfg(feature = "kms-policy")]
            Self::Audit(error) => write!(f, "the audit trail cannot be written: {error}"),
            Self::Store(error) => fmt::Display::fmt(error, f),
            Self::Random(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl StdError for KmsError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::WrongRoot {
                source: Some(source),
                ..
            } => Some(source),
            // The text is theirs already: next comes what is behind them.
            Self::Context(error) => error.source(),
            Self::Store(error) => error.source(),
            Self::Random(error) => error.source(),
            _ => None,
        }
    }
}

impl From<StoreError> for KmsError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<RandomError> for KmsError {
    fn from(error: RandomError) -> Self {
        Self::Random(error)
    }
}

impl fmt::Display for RecordProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("is damaged, or is not this store's record of this name"),
            Self::Missing => f.write_str("is missing, and other records are there"),
            Self::NewerFormat { found, supported } => write!(
                f,
                "has format {found}; this version reads up to {supported}"
            ),
            Self::OlderGeneration { found, seen } => write!(
                f,
                "is of generation {found}; generation {seen} was seen before"
            ),
        }
    }
}

impl StdError for RecordProblem {}

#[cfg(test)]
mod tests;
