//! What goes wrong in the KMS.

use std::time::Duration;

use super::store::StoreError;
use crate::crypto::RandomError;
use crate::error::Error;
use crate::kms::state::{KeyState, Operation};

/// The result of a call of the KMS.
pub type KmsResult<T> = Result<T, KmsError>;

/// What went wrong in the KMS, and what to do about it. Where AWS KMS has an
/// exception for it, its name is given.
///
/// After an error nothing was changed, unless it is a
/// [`Store`](Self::Store) error that says that this is uncertain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KmsError {
    /// There is no such key or alias, or the key was deleted
    /// (`NotFoundException`).
    #[error("there is no key '{key}'")]
    NotFound {
        /// The id, ARN or alias that was given.
        key: String,
    },
    /// The key is disabled: enable it (`DisabledException`).
    #[error("the key '{key}' is disabled")]
    Disabled {
        /// The key's ARN.
        key: String,
    },
    /// The key's state forbids the operation (`KMSInvalidStateException`).
    #[error("the key '{key}' is {state}: {operation} is not possible")]
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
    #[error("{operation} is not possible with the key '{key}': {reason}")]
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
    #[error("the ciphertext does not decrypt under this key and context")]
    InvalidCiphertext,
    /// The ciphertext is another key's than the given one
    /// (`IncorrectKeyException`).
    #[error("the ciphertext was not made under the key '{key}'")]
    IncorrectKey {
        /// The key that was given.
        key: String,
    },
    /// The ciphertext was made under a version of the backing key that may no
    /// longer decrypt: see
    /// [`set_minimum_version`](super::LocalKms::set_minimum_version).
    #[error("version {version} of the key '{key}' may not decrypt: the minimum is {minimum}")]
    VersionCutOff {
        /// The key's ARN.
        key: String,
        /// The ciphertext's version.
        version: u32,
        /// The least version that may decrypt.
        minimum: u32,
    },
    /// There is such an alias already (`AlreadyExistsException`).
    #[error("the alias '{alias}' exists already")]
    AlreadyExists {
        /// The alias.
        alias: String,
    },
    /// Not an alias's name, or one that is kept for services' keys
    /// (`InvalidAliasNameException`).
    #[error("'{alias}' cannot be an alias: {reason}")]
    InvalidAlias {
        /// What was given.
        alias: String,
        /// Why not.
        reason: &'static str,
    },
    /// An argument is out of its range (`ValidationException`).
    #[error("{what}")]
    InvalidArgument {
        /// Which, and what it may be.
        what: String,
    },
    /// There is no room for more (`LimitExceededException`).
    #[error("no more than {limit} {what}")]
    LimitExceeded {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
    /// The material is not what was imported before
    /// (`IncorrectKeyMaterialException`).
    #[error("this is no key material that the key '{key}' has or had")]
    IncorrectKeyMaterial {
        /// The key's ARN.
        key: String,
    },
    /// The import token is another key's, damaged, or was replaced by a newer
    /// one
    /// (`InvalidImportTokenException`).
    #[error("the import token is not valid for the key '{key}'")]
    InvalidImportToken {
        /// The key's ARN.
        key: String,
    },
    /// The import token is older than 24 hours
    /// (`ExpiredImportTokenException`).
    #[error("the import token of the key '{key}' has expired")]
    ExpiredImportToken {
        /// The key's ARN.
        key: String,
    },
    /// The encryption context cannot be used.
    #[error(transparent)]
    Context(Error),
    /// Others changed the same record all the time: retry later.
    #[error("the record '{name}' was changed by others {attempts} times meanwhile")]
    Busy {
        /// The record.
        name: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// There is no KMS in this store, and none was to be made.
    #[error("there is no KMS in this store")]
    NoKms,
    /// The root is not the one that the store was made with: another key, a
    /// wrong passphrase, another kind of root.
    #[error("the store does not open with this root: {reason}")]
    WrongRoot {
        /// What is known of it.
        reason: String,
        /// The cause, where there is one.
        source: Option<Box<Error>>,
    },
    /// The root's provider could not be asked, or refused: a remote service
    /// that does not answer, for example, or a key that was disabled.
    #[error("the root's provider failed: {0}")]
    Root(Box<Error>),
    /// A record is not what was written under its name. All others are usable.
    #[error("the record '{name}' {problem}")]
    Record {
        /// The record.
        name: String,
        /// What is wrong with it.
        problem: RecordProblem,
    },
    /// A backup is not one, is damaged, or does not open with what was given.
    #[error("the backup cannot be read: {reason}")]
    Backup {
        /// What is wrong with it.
        reason: String,
    },
    /// Neither a policy nor a grant lets the caller do it, or one forbids it
    /// (`AccessDeniedException`).
    #[error("{principal} may not call kms:{action} on '{resource}': {reason}")]
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
    #[error("too many calls: retry after {} ms", .retry_after.as_millis())]
    Throttled {
        /// How long to wait for the next one.
        retry_after: Duration,
    },
    /// The key policy cannot be read, or would lock its author out
    /// (`MalformedPolicyDocumentException`).
    #[error("the key policy is refused: {reason}")]
    MalformedPolicy {
        /// What is wrong with it.
        reason: String,
    },
    /// A grant token is none (`InvalidGrantTokenException`).
    #[error("a grant token is not valid")]
    InvalidGrantToken,
    /// It would have been done, had it not been a
    /// dry run (`DryRunOperationException`).
    #[error("the call would have succeeded, but it was a dry run")]
    DryRun,
    /// The call cannot be recorded in the audit trail, and is refused
    /// therefore. What it has changed stays changed; it gives nothing away.
    #[cfg(feature = "kms-policy")]
    #[error("the audit trail cannot be written: {0}")]
    Audit(super::audit::AuditError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The random source failed.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordProblem {
    /// It is damaged, truncated, a foreign file, or the record of another name
    /// or of another store. Restore it from a backup.
    #[error("is damaged, or is not this store's record of this name")]
    Damaged,
    /// It is gone, and others are there that need it. Restore it from a copy of
    /// the store.
    #[error("is missing, and other records are there")]
    Missing,
    /// A newer version of this library wrote it. Upgrade.
    #[error("has format {found}; this version reads up to {supported}")]
    NewerFormat {
        /// Its format.
        found: u32,
        /// The newest that is known here.
        supported: u32,
    },
    /// It is older than what this process has seen: an old copy was put back.
    #[error("is of generation {found}; generation {seen} was seen before")]
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

#[cfg(test)]
mod tests;
