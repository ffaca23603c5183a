//! What each error says, and what it says is behind it.

use std::error::Error as StdError;

use super::*;
use crate::error::{FormatError, texts};
#[cfg(feature = "kms-policy")]
use crate::kms::audit::AuditError;

#[test]
fn each_text() {
    let key = || "k".to_owned();
    let name = || "a/b".to_owned();
    let reason = || "so it is".to_owned();
    for (error, text) in [
        (KmsError::NotFound { key: key() }, "there is no key 'k'"),
        (KmsError::Disabled { key: key() }, "the key 'k' is disabled"),
        (
            KmsError::InvalidState {
                key: key(),
                state: KeyState::PendingDeletion,
                operation: Operation::Encrypt,
            },
            "the key 'k' is pending deletion: Encrypt is not possible",
        ),
        (
            KmsError::Unsupported {
                key: key(),
                operation: Operation::RotateKey,
                reason: "so it is",
            },
            "RotateKey is not possible with the key 'k': so it is",
        ),
        (
            KmsError::InvalidCiphertext,
            "the ciphertext does not decrypt under this key and context",
        ),
        (
            KmsError::IncorrectKey { key: key() },
            "the ciphertext was not made under the key 'k'",
        ),
        (
            KmsError::VersionCutOff {
                key: key(),
                version: 2,
                minimum: 3,
            },
            "version 2 of the key 'k' may not decrypt: the minimum is 3",
        ),
        (
            KmsError::AlreadyExists {
                alias: "alias/x".into(),
            },
            "the alias 'alias/x' exists already",
        ),
        (
            KmsError::InvalidAlias {
                alias: "x".into(),
                reason: "so it is",
            },
            "'x' cannot be an alias: so it is",
        ),
        (KmsError::invalid("{so} it is"), "{so} it is"),
        (
            KmsError::LimitExceeded {
                what: "tags",
                limit: 50,
            },
            "no more than 50 tags",
        ),
        (
            KmsError::IncorrectKeyMaterial { key: key() },
            "this is no key material that the key 'k' has or had",
        ),
        (
            KmsError::InvalidImportToken { key: key() },
            "the import token is not valid for the key 'k'",
        ),
        (
            KmsError::ExpiredImportToken { key: key() },
            "the import token of the key 'k' has expired",
        ),
        (
            KmsError::busy("a/b", 4),
            "the record 'a/b' was changed by others 4 times meanwhile",
        ),
        (KmsError::NoKms, "there is no KMS in this store"),
        (
            KmsError::WrongRoot {
                reason: reason(),
                source: None,
            },
            "the store does not open with this root: so it is",
        ),
        (
            // Its text has it already.
            KmsError::Root(Box::new(FormatError::ReservedBytes.into())),
            "the root's provider failed: not a valid message: reserved bytes are not zero",
        ),
        (
            KmsError::Record {
                name: name(),
                problem: RecordProblem::Damaged,
            },
            "the record 'a/b' is damaged, or is not this store's record of this name",
        ),
        (
            KmsError::Backup { reason: reason() },
            "the backup cannot be read: so it is",
        ),
        (
            KmsError::AccessDenied {
                principal: "p".into(),
                action: "Encrypt",
                resource: "*".into(),
                reason: reason(),
            },
            "p may not call kms:Encrypt on '*': so it is",
        ),
        (
            KmsError::Throttled {
                retry_after: Duration::from_micros(1_500_900),
            },
            "too many calls: retry after 1500 ms",
        ),
        (
            KmsError::MalformedPolicy { reason: reason() },
            "the key policy is refused: so it is",
        ),
        (KmsError::InvalidGrantToken, "a grant token is not valid"),
        (
            KmsError::DryRun,
            "the call would have succeeded, but it was a dry run",
        ),
        #[cfg(feature = "kms-policy")]
        (
            KmsError::Audit(AuditError::other("no")),
            "the audit trail cannot be written: the event was not recorded: no",
        ),
    ] {
        assert_eq!(texts(&error), [text]);
    }
}

#[test]
fn what_is_behind_it() {
    let error = KmsError::WrongRoot {
        reason: "so it is".into(),
        source: Some(Box::new(FormatError::ReservedBytes.into())),
    };
    let whole = "not a valid message: reserved bytes are not zero";
    let form = "reserved bytes are not zero";
    assert_eq!(
        texts(&error),
        [
            "the store does not open with this root: so it is",
            whole,
            form
        ]
    );
    let source = error.source().unwrap();
    assert!(source.downcast_ref::<Box<Error>>().is_some());

    // Those that say what another error says have its sources, and not itself.
    let error = KmsError::Context(FormatError::ReservedBytes.into());
    assert_eq!(texts(&error), [whole, form]);
    let error = KmsError::from(StoreError::Io {
        operation: "read".into(),
        source: std::io::Error::other("no"),
    });
    assert!(matches!(error, KmsError::Store(_)));
    assert_eq!(texts(&error), ["could not read: no", "no"]);
    let error = KmsError::from(RandomError::new("dry"));
    assert!(matches!(error, KmsError::Random(_)));
    assert_eq!(texts(&error), ["the random source failed: dry"]);
}

#[test]
fn problems_of_records() {
    for (problem, text) in [
        (
            RecordProblem::Damaged,
            "is damaged, or is not this store's record of this name",
        ),
        (
            RecordProblem::Missing,
            "is missing, and other records are there",
        ),
        (
            RecordProblem::NewerFormat {
                found: 2,
                supported: 1,
            },
            "has format 2; this version reads up to 1",
        ),
        (
            RecordProblem::OlderGeneration { found: 3, seen: 4 },
            "is of generation 3; generation 4 was seen before",
        ),
    ] {
        assert_eq!(texts(&problem), [text]);
    }
}
