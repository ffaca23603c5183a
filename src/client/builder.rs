//! Building a client.

use std::sync::Arc;

use super::parallel::Parallelism;
use super::settings::Settings;
use super::{Client, Inner};
use crate::crypto::CryptoBackend;
use crate::error::Result;
use crate::materials::caching::{Caching, CachingMaterialsManager};
use crate::materials::{Caller, DefaultMaterialsManager, MaterialsManager};
use crate::provider::{KeyProvider, ProviderIdentity};
use crate::suite::{AlgorithmSuite, CommitmentPolicy};

/// Builds a [`Client`]; made by [`Client::builder`].
///
/// ```
/// use waxseal::{AlgorithmSuite, Client, RawAesProvider, SecretBytes};
///
/// let key = SecretBytes::from(vec![7; 32]);
/// let client = Client::builder(RawAesProvider::new("example", "key-1", &key)?)
///     .signed(true)
///     .frame_length(64 * 1024)
///     .required_context_keys(["tenant"])
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct ClientBuilder {
    provider: Arc<dyn KeyProvider>,
    settings: Settings,
    caching: Option<Caching>,
}

impl ClientBuilder {
    pub(super) fn new(provider: Arc<dyn KeyProvider>) -> Self {
        ClientBuilder {
            provider,
            settings: Settings::default(),
            caching: None,
        }
    }

    /// Which suites are written and read, by key commitment. Required on both
    /// sides by default.
    pub fn commitment_policy(mut self, policy: CommitmentPolicy) -> Self {
        self.settings.policy = policy;
        self
    }

    /// The suite of the messages that are written. By default the policy's:
    /// 0x0478, or 0x0178 where the policy forbids commitment.
    pub fn suite(mut self, suite: AlgorithmSuite) -> Self {
        self.settings.suite = Some(suite);
        self
    }

    /// Whether the policy's signed suite is written when no suite is named:
    /// 0x0578, or 0x0378 where the policy forbids commitment. Off by default.
    ///
    /// Without a signature, whoever can decrypt a message can also make one
    /// that looks the same to every other reader. Where readers are less
    /// trusted than writers, sign; it costs a hundred times the rest of a
    /// small message, and a reader must hold all of a message back (or take
    /// it as unverified) until its end.
    pub fn signed(mut self, signed: bool) -> Self {
        self.settings.signed = signed;
        self
    }

    /// Whether only signed suites are written and read; off by default. A
    /// reader that relies on signatures turns it on: a message says by itself
    /// whether it is signed, so that without this an unsigned one by somebody
    /// who can merely decrypt passes too.
    ///
    /// Such a client reads no parts of messages, as that verifies no signature:
    /// [`range_reader_unverified`](Client::range_reader_unverified) and
    /// [`seek_reader_unverified`](crate::blocking::Client::seek_reader_unverified)
    /// give [`Error::SignedRangeRefused`](crate::Error::SignedRangeRefused) too.
    /// Unverified streams are accepted: they verify the signature at the end,
    /// and end in an error if it is wrong.
    pub fn require_signed(mut self, require: bool) -> Self {
        self.settings.require_signed = require;
        self
    }

    /// Bytes of plaintext in a frame, from 1 to 4,294,967,295; 4,096 by
    /// default, as the specification requires.
    ///
    /// Each frame costs 32 bytes and a fraction of a microsecond. Longer ones
    /// (64 KiB) pay for messages of megabytes; but both sides of a stream
    /// buffer one frame, and a message of `n` bytes needs at least
    /// `n / (2^32 − 1)`.
    pub fn frame_length(mut self, bytes: u32) -> Self {
        self.settings.frame_length = bytes;
        self
    }

    /// The most encrypted data keys that a message may have, written or read;
    /// `None` for as many as the format allows (65,535). 16 by default: each
    /// one that is read may cost a call to a provider, or a decryption with all
    /// of the context, before anything of the message is known to be authentic.
    pub fn max_encrypted_data_keys(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.settings.max_encrypted_data_keys = limit.into();
        self
    }

    /// The longest header that is read or written, in bytes; 4 MiB by default, enough
    /// for 16 encrypted data keys of the greatest length.
    pub fn max_header_length(mut self, bytes: usize) -> Self {
        self.settings.max_header_length = bytes;
        self
    }

    /// The most bytes that a stream holds back before it can release
    /// anything: one frame or un-framed body, or a whole signed message where
    /// only verified plaintext is asked for. 64 MiB by default; at its peak a
    /// stream takes about twice as much, since what is released is copied out.
    /// One-shot
    /// calls hold the whole message anyway and have no such limit.
    pub fn max_buffered(mut self, bytes: usize) -> Self {
        self.settings.max_buffered = bytes;
        self
    }

    /// Keys of the context that are bound to the message and not stored in it:
    /// each call must give their values, on both sides
    /// (framework/required-encryption-context-cmm.md). None by default.
    pub fn required_context_keys<K: Into<String>>(
        mut self,
        keys: impl IntoIterator<Item = K>,
    ) -> Self {
        self.settings.required_context_keys = keys.into_iter().map(Into::into).collect();
        self
    }

    /// Allows writing the suites 0x0014, 0x0046 and 0x0078, where the policy
    /// does. They encrypt with the data key itself and are there for old
    /// readers only. Reading them needs no more than the policy.
    pub fn allow_suites_without_key_derivation(mut self, allow: bool) -> Self {
        self.settings.allow_suites_without_key_derivation = allow;
        self
    }

    /// Whether streams refuse to read signed suites, by
    /// [`Error::SignedStreamRefused`](crate::Error::SignedStreamRefused); off
    /// by default.
    pub fn refuse_signed_streams(mut self, refuse: bool) -> Self {
        self.settings.refuse_signed_streams = refuse;
        self
    }

    /// The primitives for messages; the fastest that is compiled in and suits
    /// the processor by default. Providers have their own, which this does not
    /// reach: see
    /// [`RawAesProvider::with_backend`](crate::RawAesProvider::with_backend),
    /// and `LocalKmsBuilder::crypto` of the embedded KMS.
    pub fn backend(mut self, backend: CryptoBackend) -> Self {
        self.settings.backend = backend;
        self
    }

    /// How many threads work on one message; one, the caller's, by default.
    /// Readers of parts ([`SeekReader`](crate::blocking::SeekReader),
    /// [`RangeReader`](crate::RangeReader)) always work on the one that calls.
    pub fn parallelism(mut self, parallelism: Parallelism) -> Self {
        self.settings.parallelism = parallelism;
        self
    }

    /// Puts a data-key cache before the provider: one data key then serves
    /// several messages of the same context, and only getting a new one costs
    /// a call. Off by default.
    pub fn caching(mut self, caching: Caching) -> Self {
        self.caching = Some(caching);
        self
    }

    /// The client.
    ///
    /// # Errors
    /// [`Error::InvalidFrameLength`](crate::Error::InvalidFrameLength) for a
    /// frame length of 0,
    /// [`Error::ReservedContextKey`](crate::Error::ReservedContextKey) for a
    /// required key that starts with `aws-crypto-`,
    /// [`Error::InvalidCacheSetting`](crate::Error::InvalidCacheSetting) for a
    /// limit of the cache's that cannot be, and
    /// [`Error::Random`](crate::Error::Random) where its partition needs
    /// randomness.
    pub fn build(mut self) -> Result<Client> {
        self.settings.check()?;
        let Some(caching) = self.caching.take() else {
            return Ok(self.build_checked());
        };
        let (provider, manager) = self.manager();
        let backend = self.settings.backend.clone();
        let manager = CachingMaterialsManager::new(caching, manager, provider.clone(), backend)?;
        let manager = MaterialsManager::Caching(Box::new(manager));
        Ok(client(self.settings, manager, provider))
    }

    /// With settings that were checked, and no cache.
    pub(super) fn build_checked(self) -> Client {
        let (provider, manager) = self.manager();
        client(self.settings, MaterialsManager::Default(manager), provider)
    }

    fn manager(&self) -> (ProviderIdentity, DefaultMaterialsManager) {
        let backend = self.settings.backend.clone();
        let manager = DefaultMaterialsManager::new(self.provider.clone(), backend);
        (self.provider.identity(), manager)
    }
}

fn client(settings: Settings, manager: MaterialsManager, provider: ProviderIdentity) -> Client {
    let inner = Inner {
        settings,
        manager,
        provider,
    };
    Client {
        inner: Arc::new(inner),
        caller: Caller::Async,
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("provider", &self.provider.identity())
            .field("settings", &self.settings)
            .field("caching", &self.caching)
            .finish()
    }
}
