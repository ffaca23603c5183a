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
//! the root rewrites one record.

mod alias;
mod error;
mod key;
mod keyring;
mod local;
mod seal;
mod secret;
mod state;
pub mod store;
mod time;
mod vault;

#[cfg(feature = "aws-lc-rs")]
#[cfg_attr(docsrs, doc(cfg(feature = "aws-lc-rs")))]
pub use crate::crypto::{WrappingAlgorithm, WrappingKeySpec};
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
    MAX_PLAINTEXT_LENGTH, MessageCount, ScheduledDeletion, Scheduler, VersionUsage,
};
pub(crate) use local::{Call, Inner};
pub(crate) use seal::Sealed;
pub use state::{KeyState, Operation};
pub use vault::{ImportReport, PassphraseCost, RootKey};

/// The provider id of encrypted data keys that a [`LocalKms`] has wrapped.
pub const LOCAL_KMS_PROVIDER_ID: &str = "waxseal-local-kms";
