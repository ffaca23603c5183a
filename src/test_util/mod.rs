//! For tests of code that uses this library, and of key providers (feature
//! `test-util`). Nothing here belongs into a program that protects anything.
//!
//! | to test | use |
//! |---|---|
//! | how often a provider is asked | [`CountingProvider`] |
//! | what happens when it fails | [`FailingProvider`] |
//! | what happens when it is slow, or several wait for it | [`DelayingProvider`] |
//! | what happens in a year | [`ManualClock`] |
//! | the very bytes that come out | [`SequentialRandom`], [`FixedRandom`] |
//! | what happens without randomness | [`FailingRandom`] |
//! | a provider of your own | [`check_provider`], [`check_provider_blocking`] |
//!
//! The providers wrap any other and each other, and are handles: keep a clone
//! of what is given to a client, and steer it or look at it from the test.
//!
//! # Checking a provider
//!
//! Every [`KeyProvider`](crate::KeyProvider) must show each [`Behaviour`]. This
//! one asks a key that it looks up by the context's tenant, and holds a
//! [`RawAesProvider`](crate::RawAesProvider) for each:
//!
//! ```
//! use std::sync::Arc;
//!
//! use waxseal::test_util::{CheckOptions, check_provider_blocking};
//! use waxseal::{
//!     EncryptedDataKey, GenerateDataKey, GeneratedDataKey, InvalidRawAesKey, KeyProvider,
//!     ProviderFuture, ProviderIdentity, RawAesProvider, SecretBytes, UnwrapDataKey,
//!     UnwrapFailures, UnwrappedDataKey, WrapDataKey,
//! };
//!
//! /// Wraps with one key for premium tenants, and with another for the rest.
//! struct Tiers {
//!     premium: RawAesProvider,
//!     rest: RawAesProvider,
//! }
//!
//! impl Tiers {
//!     fn new(premium: &SecretBytes, rest: &SecretBytes) -> Result<Self, InvalidRawAesKey> {
//!         Ok(Tiers {
//!             premium: RawAesProvider::new("tiers", "premium", premium)?,
//!             rest: RawAesProvider::new("tiers", "rest", rest)?,
//!         })
//!     }
//!
//!     fn choose(&self, context: &waxseal::EncryptionContext) -> &RawAesProvider {
//!         match context.get("tier") {
//!             Some("premium") => &self.premium,
//!             _ => &self.rest,
//!         }
//!     }
//! }
//!
//! impl KeyProvider for Tiers {
//!     // All that decides what it makes and opens: both keys' identities.
//!     fn identity(&self) -> ProviderIdentity {
//!         let (premium, rest) = (self.premium.identity(), self.rest.identity());
//!         ProviderIdentity::new("tiers", &[premium.as_bytes(), rest.as_bytes()])
//!     }
//!
//!     fn generate_data_key<'a>(
//!         &'a self,
//!         request: GenerateDataKey<'a>,
//!     ) -> ProviderFuture<'a, GeneratedDataKey> {
//!         self.choose(request.context()).generate_data_key(request)
//!     }
//!
//!     fn wrap_data_key<'a>(
//!         &'a self,
//!         request: WrapDataKey<'a>,
//!     ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
//!         self.choose(request.context()).wrap_data_key(request)
//!     }
//!
//!     fn unwrap_data_key<'a>(
//!         &'a self,
//!         request: UnwrapDataKey<'a>,
//!     ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
//!         self.choose(request.context()).unwrap_data_key(request)
//!     }
//! }
//!
//! let [premium, rest] = [1, 2].map(|byte| SecretBytes::from(vec![byte; 32]));
//! let provider = Tiers::new(&premium, &rest)?;
//! let parts = [provider.premium.identity(), provider.rest.identity()];
//!
//! let options = CheckOptions::new().wraps(true).made_of(parts);
//! # let options = options.most_calls(20);
//! let report = check_provider_blocking(Arc::new(provider), &options)?;
//! assert!(report.skipped.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where something is missing, the error says what. Had it compared the context
//! without its lengths:
//!
//! ```text
//! tiers fails 1 of the 17 behaviours that were checked:
//! - BindsContext: suite 0x0478 (AES_256_GCM_HKDF_SHA512_COMMIT_KEY), pairs cut elsewhere: it unwraps (index 0)
//! ```

mod behaviour;
mod clock;
mod counting;
mod delaying;
mod failing;
mod random;

pub use behaviour::{
    Behaviour, CheckFailures, CheckFuture, CheckOptions, CheckReport, check_provider,
    check_provider_blocking,
};
pub use clock::ManualClock;
pub use counting::{CallCounts, CountingProvider, ProviderCounts};
pub use delaying::{Delay, DelayingProvider};
pub use failing::FailingProvider;
pub use random::{FailingRandom, FixedRandom, SequentialRandom};
