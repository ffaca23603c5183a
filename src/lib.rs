//! Envelope encryption: an application hands over a plaintext and an
//! [`EncryptionContext`], and gets back one self-describing *message*: the data
//! under a fresh data key, and that data key wrapped by one or more
//! [key providers](KeyProvider). Messages are AWS Encryption SDK messages, bit
//! for bit: the official SDKs read what this library writes, and the other way
//! round.
//!
//! ```
//! use waxseal::{EncryptionContext, RawAesProvider, SecretBytes, blocking::Client};
//!
//! let key = SecretBytes::from(vec![7; 32]); // from a file or a vault, really
//! let client = Client::new(RawAesProvider::new("example", "key-1", &key)?);
//! let context = EncryptionContext::from([("tenant", "7")]);
//!
//! let message = client.encrypt(b"attack at dawn", &context)?;
//! assert_eq!(client.decrypt(&message, &context)?.plaintext, b"attack at dawn");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to find what
//!
//! | to | see |
//! |---|---|
//! | encrypt and decrypt | [`Client`] (async), [`blocking::Client`] |
//! | stream | [`blocking`] (`Read`, `Write`), `tokio_io` (feature `tokio`), [`Encryptor`] and [`Decryptor`] (no I/O) |
//! | read parts of a message | [`blocking::Client::seek_reader`] (`Read`, `Seek`), [`Client::range_reader`] (any [`RangeSource`]) |
//! | use several threads, or choose what does the cryptography | [`Parallelism`], [`CryptoBackend`] |
//! | look at a message without a key | [`inspect`] |
//! | choose a suite, a policy, limits | [`ClientBuilder`] |
//! | ask the provider less often | [`DataKeyCache`], [`Caching`] |
//! | hold keys | [`RawAesProvider`], [`MultiProvider`], or your own [`KeyProvider`] |
//! | have keys in AWS KMS | `AwsKmsProvider` (feature `aws-kms`) |
//! | ask again where that makes sense | [`KeyProvider::retrying`], [`RetryPolicy`] |
//! | have keys managed: rotated, disabled, deleted | the embedded KMS, [`kms::LocalKms`] |
//! | know what went wrong | [`Error`] |
//!
//! # Safe by default
//!
//! - Suite 0x0478: AES-256-GCM, a fresh key for each message by HKDF-SHA-512,
//!   and key commitment, so that a message has one plaintext only. Messages
//!   without commitment are refused unless the [`CommitmentPolicy`] says
//!   otherwise.
//! - The encryption context is bound to the data key and the message.
//! - Nothing is released that is not authentic. Where a stream of a signed
//!   message gives plaintext before its signature is verified, the type says
//!   [`Unverified`].
//! - Lengths in a message are checked against what is there before they are
//!   used; limits are finite, and settable.
//! - Secrets are in [`SecretBytes`], which wipes itself and prints nothing.
//! - Randomness is the operating system's; no caller gives a nonce. (With the
//!   feature `aws-lc-rs` signatures draw theirs from AWS-LC's own generator.)
//!
//! Whoever can unwrap a message's data key can also forge an unsigned message:
//! where readers are less trusted than writers, use a signed suite
//! ([`ClientBuilder::signed`]).
//!
//! # Features
//!
//! Features only add. On by default:
//!
//! - `kms`: the embedded KMS ([`kms`]).
//! - `graviola`: AES-GCM at hardware speed on x86-64 and aarch64 CPUs that suit
//!   it, without a C compiler ([`CryptoBackend`]).
//!
//! Off by default:
//!
//! - `aws-kms`: keys of AWS KMS (`AwsKmsProvider`), through its SDK; building
//!   it needs a C compiler.
//! - `aws-lc-rs`: the fastest back end on CPUs with AVX-512, and for signed
//!   messages ([`CryptoBackend`]); and, with `kms`, imports of key material that
//!   is wrapped under RSA, as AWS KMS does it. By the crate `aws-lc-rs`; building
//!   it needs a C compiler.
//! - `fips`: the same with AWS-LC's FIPS module, and every primitive of messages
//!   from it; building it needs CMake and Go too. `CryptoBackend::aws_lc_rs` says
//!   what that does not make of it.
//! - `kms-policy`: key policies, grants, quotas and the audit trail of the
//!   embedded KMS.
//! - `kms-server`: nothing here; the TLS of the example `kms_server`.
//! - `metrics`, `tracing`: what a [`DataKeyCache`] does, through the crates of
//!   these names.
//! - `object-store`: a KMS store for several machines, and random access to
//!   messages in object stores (`ObjectSource`), over the crate `object_store`.
//! - `rayon`: one message on the threads of a pool that the application has
//!   (`Parallelism::pool`).
//! - `ring`: the fastest back end on CPUs without AVX-512; building it needs a C
//!   compiler.
//! - `tokio`: messages through `AsyncRead` and `AsyncWrite`, and data keys
//!   refreshed in the background of the runtime that a request runs in.
//! - `test-util`: providers that count, fail and delay, a manual clock, a
//!   replaceable random source, and the suite of behaviour that every
//!   [`KeyProvider`] must pass.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod clock;
mod context;
mod crypto;
mod error;
#[cfg(feature = "kms")]
#[cfg_attr(docsrs, doc(cfg(feature = "kms")))]
pub mod kms;
mod materials;
mod message;
mod provider;
#[cfg(any(feature = "aws-kms", feature = "object-store"))]
mod runtime;
mod sort;
mod suite;
mod sync;
#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod test_util;
mod timer;

#[cfg(feature = "object-store")]
#[cfg_attr(docsrs, doc(cfg(feature = "object-store")))]
pub use client::ObjectSource;
#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
// Not `tokio`: a glob import of this crate must not hide that one.
pub use client::tokio as tokio_io;
pub use client::{
    Authenticated, Client, ClientBuilder, ContentLayout, Decrypted, DecryptionDetails, Decryptor,
    Encryptor, Parallelism, PreparedEncryption, RangePlan, RangeReader, RangeSource, ReleaseMode,
    SourceFuture, Unverified, UnverifiedHeader, blocking, inspect,
};
pub use clock::{Clock, SystemClock};
pub use context::{ContextIter, EncryptionContext};
pub use crypto::{CryptoBackend, Primitives, RandomError, SecretBytes, SecureRandom};
pub use error::{Error, FormatError, MaterialsError, Result};
pub use materials::caching::{
    BackgroundTask, CacheEvent, CacheEvictions, CacheOutcome, CacheStatistics, Caching,
    DataKeyCache, DataKeyCacheBuilder,
};
pub use message::EncryptedDataKey;
#[cfg(feature = "kms")]
#[cfg_attr(docsrs, doc(cfg(feature = "kms")))]
pub use provider::LocalKmsProvider;
#[cfg(feature = "aws-kms")]
#[cfg_attr(docsrs, doc(cfg(feature = "aws-kms")))]
pub use provider::{AwsKmsProvider, AwsKmsProviderBuilder, InvalidAwsKmsProvider};
pub use provider::{
    GenerateDataKey, GeneratedDataKey, InvalidRawAesKey, KeyProvider, MultiProvider, ProviderError,
    ProviderErrorKind, ProviderFuture, ProviderIdentity, ProviderOperation, RawAesProvider,
    RetryPolicy, RetryProvider, UnwrapDataKey, UnwrapFailure, UnwrapFailures, UnwrappedDataKey,
    WrapDataKey,
};
pub use suite::{AlgorithmSuite, CommitmentPolicy, UnknownName};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
