//! Materials: a data key and all that a message needs beside it, and who gets
//! them.
//!
//! Specification: framework/structures.md, "Encryption Materials" and
//! "Decryption Materials"; framework/cmm-interface.md.

pub(crate) mod caching;
mod manager;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) use manager::{DefaultMaterialsManager, bound_only, check_encryption_context};

use caching::{CacheOutcome, CachingMaterialsManager};

use crate::context::EncryptionContext;
use crate::crypto::{Entropy, SecretBytes, SigningKey, VerifyingKey};
use crate::error::Result;
use crate::message::EncryptedDataKey;
use crate::provider::ProviderIdentity;
use crate::suite::{AlgorithmSuite, CommitmentPolicy};

/// Gets the materials of messages (the specification's CMM). The default one
/// asks a key provider; a caching one stands before it.
pub(crate) enum MaterialsManager {
    Default(DefaultMaterialsManager),
    Caching(Box<CachingMaterialsManager>),
}

impl MaterialsManager {
    pub(crate) async fn encryption_materials(
        &self,
        request: EncryptionRequest<'_>,
    ) -> Result<Obtained<EncryptionMaterials>> {
        match self {
            MaterialsManager::Default(manager) => {
                manager.encryption_materials(request).await.map(uncached)
            }
            // On the heap: else every message's future were as large as this one.
            MaterialsManager::Caching(manager) => {
                Box::pin(manager.encryption_materials(request)).await
            }
        }
    }

    pub(crate) async fn decryption_materials(
        &self,
        request: DecryptionRequest<'_>,
    ) -> Result<Obtained<DecryptionMaterials>> {
        match self {
            MaterialsManager::Default(manager) => {
                manager.decryption_materials(request).await.map(uncached)
            }
            MaterialsManager::Caching(manager) => {
                Box::pin(manager.decryption_materials(request)).await
            }
        }
    }

    /// How many random bytes a request for encryption materials is expected to
    /// take out of its [`Entropy`].
    pub(crate) fn entropy(&self, suite: AlgorithmSuite) -> usize {
        match self {
            MaterialsManager::Default(manager) => manager.entropy(suite),
            MaterialsManager::Caching(manager) => manager.entropy(suite),
        }
    }

    /// The partition of the cache, where there is one.
    pub(crate) fn partition(&self) -> Option<&str> {
        match self {
            MaterialsManager::Default(_) => None,
            MaterialsManager::Caching(manager) => Some(manager.partition()),
        }
    }
}

fn uncached<T>(materials: T) -> Obtained<T> {
    Obtained {
        materials,
        cache: None,
    }
}

/// Materials, and where they came from.
pub(crate) struct Obtained<T> {
    pub(crate) materials: T,
    /// `None` without a cache.
    pub(crate) cache: Option<CacheOutcome>,
}

/// How a request waits for what it asks: a cache never makes one kind wait for
/// what the other has to drive, because a thread that sleeps for an async call
/// may be the very one that would have driven it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// As a future, on any executor.
    Async,
    /// As a thread that sleeps.
    Blocking,
}

impl Caller {
    pub(crate) const BOTH: [Caller; 2] = [Caller::Async, Caller::Blocking];
}

/// What is asked when a message is to be written.
pub(crate) struct EncryptionRequest<'a> {
    pub(crate) suite: AlgorithmSuite,
    /// Whether the caller has named the suite; else it is the policy's.
    pub(crate) suite_is_named: bool,
    pub(crate) context: &'a EncryptionContext,
    pub(crate) required: &'a BTreeSet<String>,
    pub(crate) policy: CommitmentPolicy,
    pub(crate) caller: Caller,
    /// The most plaintext there will be; `None` where nobody knows.
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
    pub(crate) policy: CommitmentPolicy,
    pub(crate) caller: Caller,
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

impl ReusableMaterials {
    pub(crate) fn parts(&self) -> &EncryptionParts {
        &self.0
    }
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
#[derive(Clone)]
pub(crate) struct DecryptionMaterials {
    pub(crate) suite: AlgorithmSuite,
    /// The pairs that the message is bound to without storing them.
    pub(crate) bound_context: EncryptionContext,
    pub(crate) data_key: Arc<SecretBytes>,
    pub(crate) verifying_key: Option<Arc<dyn VerifyingKey>>,
    /// Which encrypted data key it was, and whose.
    pub(crate) index: usize,
    pub(crate) provider: ProviderIdentity,
    pub(crate) key: String,
    pub(crate) key_version: Option<String>,
}
