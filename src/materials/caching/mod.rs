//! The caching materials manager, and the cache that several may share.
//!
//! Specification: framework/caching-cmm.md and
//! framework/cryptographic-materials-cache.md.
//!
//! | rule | where |
//! |---|---|
//! | what goes past the cache | here |
//! | what an entry is found by | `id.rs` |
//! | how often and how long one serves; who goes when the cache is full | `state.rs` |
//! | one call for all who want it | `flight.rs` |

mod cache;
mod flight;
#[cfg(feature = "kms")]
mod follow;
mod id;
mod limits;
mod report;
#[cfg(all(test, shuttle))]
mod shuttle;
mod state;
mod statistics;

use std::sync::Arc;

pub use cache::{BackgroundTask, DataKeyCache, DataKeyCacheBuilder};
pub use limits::Caching;
pub use statistics::{CacheEvent, CacheEvictions, CacheOutcome, CacheStatistics};

use super::{
    Caller, DecryptionMaterials, DecryptionRequest, DefaultMaterialsManager, EncryptionMaterials,
    EncryptionRequest, Obtained, ReusableMaterials, bound_only, check_encryption_context,
};
use crate::crypto::{CryptoBackend, Entropy};
use crate::error::{Error, MaterialsError, Result};
use crate::message::EncryptedDataKey;
use crate::provider::{ProviderError, ProviderErrorKind, ProviderIdentity, ProviderOperation};
use crate::suite::AlgorithmSuite;
use cache::Answer;
use flight::{Call, Flight};
use id::{EntryId, IdPrefix};
use limits::Limits;
use state::Need;

/// How often a request goes on when a call failed that another had started.
const HANDOVERS: u32 = 2;

/// What an entry holds, and a call brings.
///
/// Encryption materials are of suites with a key derivation only: their type
/// says so. What is shared is the data key; each message derives its own key
/// from it and its own random id (see `MessageKeys`), and that one is never kept
/// here.
#[derive(Clone)]
enum Materials {
    Encryption(ReusableMaterials),
    Decryption(Arc<(DecryptionMaterials, EncryptedDataKey)>),
}

impl Materials {
    /// Whether this wrapping key, by the provider's name for it, has wrapped or
    /// unwrapped the data key.
    fn is_under(&self, key: &str) -> bool {
        match self {
            Materials::Encryption(materials) => {
                materials.parts().edks.iter().any(|edk| edk.is_under(key))
            }
            Materials::Decryption(opened) => opened.0.key == key || opened.1.is_under(key),
        }
    }
}

pub(crate) struct CachingMaterialsManager {
    inner: Arc<DefaultMaterialsManager>,
    cache: DataKeyCache,
    limits: Arc<Limits>,
    prefix: IdPrefix,
    provider: ProviderIdentity,
    backend: CryptoBackend,
}

impl CachingMaterialsManager {
    pub(crate) fn new(
        caching: Caching,
        inner: DefaultMaterialsManager,
        provider: ProviderIdentity,
        backend: CryptoBackend,
    ) -> Result<Self> {
        let (cache, limits) = caching.limits(&backend)?;
        Ok(CachingMaterialsManager {
            inner: Arc::new(inner),
            cache,
            prefix: IdPrefix::new(&limits.partition, &provider),
            limits: Arc::new(limits),
            provider,
            backend,
        })
    }

    pub(super) async fn encryption_materials(
        &self,
        request: EncryptionRequest<'_>,
    ) -> Result<Obtained<EncryptionMaterials>> {
        let cacheable = request
            .plaintext_bound
            .filter(|bound| request.suite.derives_key() && *bound <= self.limits.max_bytes);
        let Some(bound) = cacheable else {
            let bypass = self.inner.encryption_materials(request);
            return Ok(bypassed(self.cache.shared().bypass(bypass).await?));
        };
        check_encryption_context(request.context, request.required)?;
        let id = self.prefix.of_encryption(&request)?;
        let call = || self.encryption_call(&request);
        let (materials, outcome) = self.obtain(id, request.caller, Some(bound), &call).await?;
        match materials {
            Materials::Encryption(materials) => Ok(Obtained {
                materials: EncryptionMaterials::Reusable(materials),
                cache: Some(outcome),
            }),
            Materials::Decryption(_) => Err(mixed_up()),
        }
    }

    /// A hit needs none, and a call draws its own.
    pub(super) fn entropy(&self, suite: AlgorithmSuite) -> usize {
        if suite.derives_key() {
            0
        } else {
            self.inner.entropy(suite)
        }
    }

    pub(super) fn partition(&self) -> &str {
        &self.limits.partition
    }

    fn encryption_call(&self, request: &EncryptionRequest<'_>) -> Call {
        let inner = self.inner.clone();
        let (suite, suite_is_named) = (request.suite, request.suite_is_named);
        let (policy, caller) = (request.policy, request.caller);
        let (context, required) = (request.context.clone(), request.required.clone());
        let random = self.backend.random().clone();
        Box::pin(async move {
            let mut entropy = Entropy::draw(&random, inner.entropy(suite))?;
            let request = EncryptionRequest {
                suite,
                suite_is_named,
                context: &context,
                required: &required,
                policy,
                caller,
                // The data key is for other messages, too.
                plaintext_bound: None,
                entropy: &mut entropy,
            };
            match inner.encryption_materials(request).await? {
                EncryptionMaterials::Reusable(materials) => Ok(Materials::Encryption(materials)),
                EncryptionMaterials::SingleUse(_) => Err(mixed_up()),
            }
        })
    }

    pub(super) async fn decryption_materials(
        &self,
        request: DecryptionRequest<'_>,
    ) -> Result<Obtained<DecryptionMaterials>> {
        if !request.suite.derives_key() {
            let bypass = self.inner.decryption_materials(request);
            return Ok(bypassed(self.cache.shared().bypass(bypass).await?));
        }
        // What the caller expects is held against the message before the cache
        // is asked, and against the materials that come back.
        let bound = bound_only(&request)?;
        let id = self.prefix.of_decryption(&request)?;
        let call = || self.decryption_call(&request);
        let (materials, outcome) = self.obtain(id, request.caller, None, &call).await?;
        let Materials::Decryption(opened) = materials else {
            return Err(mixed_up());
        };
        let (materials, edk) = &*opened;
        // The identifier holds these pairs already: this is for the day that it
        // does not.
        if materials.bound_context != bound {
            return Err(Error::InvalidMaterials(MaterialsError::Context));
        }
        let index = request.edks.iter().position(|found| found == edk);
        let index = index.ok_or(Error::InvalidMaterials(MaterialsError::Index))?;
        Ok(Obtained {
            materials: DecryptionMaterials {
                index,
                ..materials.clone()
            },
            cache: Some(outcome),
        })
    }

    fn decryption_call(&self, request: &DecryptionRequest<'_>) -> Call {
        let inner = self.inner.clone();
        let (suite, policy, caller) = (request.suite, request.policy, request.caller);
        let (stored, expected) = (request.stored.clone(), request.expected.clone());
        let (required, edks) = (request.required.clone(), request.edks.to_vec());
        Box::pin(async move {
            let request = DecryptionRequest {
                suite,
                stored: &stored,
                expected: &expected,
                required: &required,
                edks: &edks,
                policy,
                caller,
            };
            let materials = inner.decryption_materials(request).await?;
            let edk = edks.get(materials.index).cloned();
            let edk = edk.ok_or(Error::InvalidMaterials(MaterialsError::Index))?;
            Ok(Materials::Decryption(Arc::new((materials, edk))))
        })
    }

    /// From the cache, or from a call.
    async fn obtain(
        &self,
        id: EntryId,
        caller: Caller,
        charge: Option<u64>,
        make_call: &(dyn Fn() -> Call + Sync),
    ) -> Result<(Materials, CacheOutcome)> {
        let operation = match charge {
            Some(_) => ProviderOperation::Generate,
            None => ProviderOperation::Unwrap,
        };
        let mut need = Need {
            id,
            caller,
            charge,
            limits: &self.limits,
            is_first: true,
            may_refresh: true,
            after: None,
        };
        let (mut call, mut failures) = (None, 0);
        loop {
            match self.cache.shared().decide(&need, &mut call) {
                Answer::Ready(materials) => return Ok((materials, CacheOutcome::Hit)),
                Answer::Refused(error) => return Err(error),
                // Made outside of the cache's lock.
                Answer::NeedsCall => {
                    call = Some((make_call(), self.panicked(operation)));
                    continue;
                }
                Answer::Wait(ticket, outcome) => {
                    let flight = ticket.flight().clone();
                    match (ticket.await, outcome) {
                        (Ok(Some(materials)), outcome) => return Ok((materials, outcome)),
                        // Polled so late that another is needed.
                        (Ok(None), _) => {}
                        // The entry that was there goes on serving, if it can,
                        // and however short the pause after the failure is.
                        (Err(error), CacheOutcome::Refresh) if error.is_retryable() => {
                            need.may_refresh = false;
                        }
                        (Err(error), CacheOutcome::Coalesced) => {
                            need.after = Some(hand_over(flight, error, &mut failures)?);
                        }
                        (Err(error), _) => return Err(error),
                    }
                }
            }
            need.is_first = false;
        }
    }

    fn panicked(&self, operation: ProviderOperation) -> Error {
        let (kind, provider) = (ProviderErrorKind::Other, self.provider.label());
        let error = ProviderError::new(operation, kind, provider);
        error.with_source("its call panicked").into()
    }
}

/// Goes on from a call that failed, and from those that others have made since
/// and that failed as well: so that a provider that is down is asked a few
/// times, and not once by each who waits.
fn hand_over(flight: Arc<Flight>, mut error: Error, failures: &mut u32) -> Result<Arc<Flight>> {
    *failures += 1;
    if let Some((more, last)) = flight.failed_after() {
        *failures = failures.saturating_add(more);
        error = last;
    }
    if *failures > HANDOVERS {
        return Err(error);
    }
    Ok(flight)
}

/// An identifier's scope keeps the two kinds of materials apart.
fn mixed_up() -> Error {
    Error::InvalidMaterials(MaterialsError::Context)
}

fn bypassed<T>(materials: T) -> Obtained<T> {
    Obtained {
        materials,
        cache: Some(CacheOutcome::Bypass),
    }
}
