//! Materials: a data key and all that a message needs beside it, and who gets
//! them.
//!
//! Specification: framework/structures.md, "Encryption Materials" and
//! "Decryption Materials"; framework/cmm-interface.md.

mod manager;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub(crate) use manager::{DefaultMaterialsManager, check_encryption_context};

use crate::context::EncryptionContext;
use crate::crypto::{Entropy, SecretBytes, SigningKey, VerifyingKey};
use crate::error::Result;
use crate::message::EncryptedDataKey;
use crate::provider::ProviderIdentity;
use crate::suite::{AlgorithmSuite, CommitmentPolicy};

pub(crate) type MaterialsFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Gets the materials of messages (the specification's CMM). The default one
/// asks a key provider; a caching one stands before it.
pub(crate) trait MaterialsManager: Send + Sync {
    fn encryption_materials<'a>(
        &'a self,
        request: EncryptionRequest<'a>,
    ) -> MaterialsFuture<'a, EncryptionMaterials>;

    fn decryption_materials<'a>(
        &'a self,
        request: DecryptionRequest<'a>,
    ) -> MaterialsFuture<'a, DecryptionMaterials>;
}

/// What is asked when a message is to be written.
pub(crate) struct EncryptionRequest<'a> {
    pub(crate) suite: AlgorithmSuite,
    pub(crate) context: &'a EncryptionContext,
    pub(crate) required: &'a BTreeSet<String>,
    #[expect(dead_code, reason = "what a cache decides by")]
    pub(crate) policy: CommitmentPolicy,
    /// The most plaintext there will be; `None` where nobody knows.
    #[expect(dead_code, reason = "what a cache charges")]
    pub(crate) plaintext_bound: Option<u64>,
    pub(crate) entropy: &'a mut Entropy,
}

/// What is asked when a message is to be read.
pub(crate) struct DecryptionRequest<'a> {
    pub(crate) suite: AlgorithmSuite,
    /// The pairs that the message stores.
    pub(crate) stored: &'a EncryptionContext,
    /// The pairs that the caller expects.
    pub(crate) expected: &'a EncryptionContext,
    pub(crate) required: &'a BTreeSet<String>,
    pub(crate) edks: &'a [EncryptedDataKey],
    #[expect(dead_code, reason = "what a cache decides by")]
    pub(crate) policy: CommitmentPolicy,
}

/// Materials to write with. Their type says how often they may be used: with a
/// key derivation each message has its own key, and materials may be shared
/// (`Clone`) by as many messages as a cache's limits allow; without one the
/// data key itself encrypts with IVs that start at 0 in each message, so that
/// a second message under it would repeat every IV. Those cannot be cloned,
/// and writing a message takes materials by value.
pub(crate) enum EncryptionMaterials {
    Reusable(ReusableMaterials),
    SingleUse(SingleUseMaterials),
}

#[derive(Clone)]
pub(crate) struct ReusableMaterials(Arc<EncryptionParts>);

pub(crate) struct SingleUseMaterials(EncryptionParts);

pub(crate) struct EncryptionParts {
    pub(crate) suite: AlgorithmSuite,
    /// Canonical bytes of the pairs that the header stores.
    pub(crate) stored_context: Vec<u8>,
    /// Canonical bytes of the pairs that are bound and not stored.
    pub(crate) bound_context: Vec<u8>,
    pub(crate) edks: Vec<EncryptedDataKey>,
    pub(crate) data_key: SecretBytes,
    pub(crate) signing_key: Option<Arc<dyn SigningKey>>,
}

impl EncryptionMaterials {
    pub(crate) fn new(parts: EncryptionParts) -> Self {
        if parts.suite.derives_key() {
            EncryptionMaterials::Reusable(ReusableMaterials(Arc::new(parts)))
        } else {
            EncryptionMaterials::SingleUse(SingleUseMaterials(parts))
        }
    }

    pub(crate) fn parts(&self) -> &EncryptionParts {
        match self {
            EncryptionMaterials::Reusable(materials) => &materials.0,
            EncryptionMaterials::SingleUse(materials) => &materials.0,
        }
    }
}

/// Materials to read with. Reading repeats nothing, so that they may be shared.
pub(crate) struct DecryptionMaterials {
    pub(crate) suite: AlgorithmSuite,
    /// The pairs that the message is bound to without storing them.
    pub(crate) bound_context: EncryptionContext,
    pub(crate) data_key: SecretBytes,
    pub(crate) verifying_key: Option<Arc<dyn VerifyingKey>>,
    /// Which encrypted data key it was, and whose.
    pub(crate) index: usize,
    pub(crate) provider: ProviderIdentity,
    pub(crate) key: String,
    pub(crate) key_version: Option<String>,
}
