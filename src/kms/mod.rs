//! The embedded KMS: logical keys that rotate under an id that never changes,
//! with the life cycle that AWS KMS users know, in the process, in a store of
//! your choice. Start at [`LocalKms`].
//!
//! # How keys are kept
//!
//! ```text
//! root        32 bytes, a passphrase, or any other KeyProvider: outside the store
//!  └─ store key    versioned; its versions are in the record `root`, a message of
//!      │           this library's own under the root
//!      └─ record   one for each key, alias and usage; sealed, bound to its name and
//!          │       generation
//!          └─ backing key    one for each rotation of a key; all are kept
//!              └─ a key for one use, derived; it seals a data key or a ciphertext
//! ```
//!
//! Opening makes one call to the root, however many keys there are, and changing
//! the root rewrites one record. Backing keys never leave the KMS but sealed.
//!
//! # How a key seals
//!
//! A backing key never encrypts. From it and a fresh 32-byte salt, HKDF-SHA-512
//! gives an AES-256-GCM key that encrypts once (so that its IV is zero, and no
//! number of wraps comes near AES-GCM's limits) and a 32-byte commitment, which
//! is compared first, in constant time:
//!
//! ```text
//! bound  = L("waxseal local-kms") ‖ L(purpose) ‖ L(format) ‖
//!          L(key id) ‖ L(version) ‖ L(context)          L(x): length (4) ‖ x
//! key ‖ commitment = HKDF-Expand(HKDF-Extract(salt, backing key), bound, 64)
//! sealed = format (1) ‖ length of key id (1) ‖ key id ‖ version (4) ‖ salt (32) ‖
//!          commitment (32) ‖ AES-256-GCM(key, IV = 0, AAD = bound, plaintext)
//! ```
//!
//! This is AWS KMS's derived-key mode (Campagna and Gueron, "Key Management
//! Systems at the Cloud Scale", 2019) with HKDF for the counter mode of NIST SP
//! 800-108, and a commitment added: AES-GCM alone does not commit, and whoever
//! imported material knows it. The whole argument is in `kms/seal.rs`, and test
//! vectors made by another program in `tests/vectors/kms`.
//!
//! # When an old copy is put back
//!
//! Whoever can write to the store cannot read, make, move or change a record,
//! and can put back old ones. A process that has seen a newer state of a record
//! (or of the root) refuses an older one: [`RecordProblem::OlderGeneration`].
//! *Not* noticed, because nothing outside the store keeps count:
//! - an old copy of the whole store, or of one record, by a process that starts
//!   later or has not read the record. Keys that were rotated, disabled or
//!   deleted since are as they were. Putting a copy back *is* how a store of
//!   files is restored; restart the processes that have it open;
//! - a record that is taken away: the key or alias is not found;
//! - a record from before a deletion or an [import](LocalKms::import), in the
//!   place of one that came after it.
//!
//! [`import`](LocalKms::import) of a backup is the safe way back: there the
//! newer generation of each record wins.

mod access;
mod alias;
#[cfg(feature = "kms-policy")]
#[cfg_attr(docsrs, doc(cfg(feature = "kms-policy")))]
pub mod audit;
mod codec;
mod digest;
mod error;
mod key;
mod keyring;
mod local;
#[cfg_attr(not(feature = "kms-policy"), expect(unreachable_pub))]
mod parameter;
mod seal;
mod state;
pub mod store;
mod time;
mod vault;

#[cfg(feature = "aws-lc-rs")]
#[cfg_attr(docsrs, doc(cfg(feature = "aws-lc-rs")))]
pub use crate::crypto::{WrappingAlgorithm, WrappingKeySpec};
#[cfg(feature = "kms-policy")]
#[cfg_attr(docsrs, doc(cfg(feature = "kms-policy")))]
pub use access::{Caller, CreateGrant, CreatedGrant, Grant, GrantOperation, Quotas, policy};
pub use access::{InvalidPrincipal, Principal, PrincipalKind};
pub use error::{KmsError, KmsResult, RecordProblem};
pub use key::{
    BackingKeyCause, DEFAULT_ROTATION_DAYS, DELETION_DAYS, Origin, Owner, ROTATION_DAYS,
};
pub use keyring::{BackingKeyInfo, Keyring, RotationStatus};
#[cfg(feature = "aws-lc-rs")]
#[cfg_attr(docsrs, doc(cfg(feature = "aws-lc-rs")))]
pub use local::ImportParameters;
pub use local::{
    Alias, AliasList, Ciphertext, CreateKey, DataKeySpec, DecryptedBlob, DeletedKey, DueReport,
    GeneratedKey, ImportOptions, ImportType, KeyPage, KeyUsage, LocalKms, LocalKmsBuilder,
    MAX_PLAINTEXT_LENGTH, MessageCount, ReEncrypted, ScheduledDeletion, Scheduler, VersionUsage,
};
pub(crate) use seal::Sealed;
pub use state::{KeyState, Operation};
pub use vault::{ImportReport, PassphraseCost, RootKey};

/// The provider id of encrypted data keys that a [`LocalKms`] has wrapped.
pub const LOCAL_KMS_PROVIDER_ID: &str = "waxseal-local-kms";
