//! Which primitives run.

use std::fmt;
use std::sync::Arc;

use super::{
    Aead, AeadKey, Ecdsa, Hash, Hasher, HkdfOutput, InvalidKey, Kdf, RandomError, SecureRandom,
    SigningKey, VerifyingKey, random, rust_crypto,
};
use crate::suite::{Curve, HashAlgorithm, UnknownName};

/// A set of primitives: AES-GCM, HKDF, hashes, ECDSA, and randomness from the
/// operating system.
///
/// [`default`](Self::default) is the fastest that is compiled in and suited to
/// the CPU, each primitive from where it is fastest. The others are fixed:
///
/// | | feature | AES-GCM | HKDF | hashes | ECDSA |
/// |---|---|---|---|---|---|
/// | [`rust_crypto`](Self::rust_crypto) | | `aes-gcm` | `hkdf` | `sha2` | `p256`, `p384` |
/// | `graviola` | `graviola` | `graviola`; AES-192: `aes-gcm` | `hkdf` | `sha2` | `p256`, `p384` |
/// | `ring` | `ring` | `ring`; AES-192: `aes-gcm` | `hkdf` | `ring` | `p256`, `p384` |
/// | `aws_lc_rs` | `aws-lc-rs` | `aws-lc-rs` | `hkdf` | `aws-lc-rs` | `aws-lc-rs` |
/// | the same, FIPS | `fips` | `aws-lc-rs` | `aws-lc-rs` | `aws-lc-rs` | `aws-lc-rs` |
///
/// Every back end reads and writes the same messages.
#[derive(Clone)]
pub struct CryptoBackend {
    name: &'static str,
    primitives: Primitives,
    aead: &'static dyn Aead,
    kdf: &'static dyn Kdf,
    hash: &'static dyn Hash,
    ecdsa: &'static dyn Ecdsa,
    pub(super) random: Arc<dyn SecureRandom>,
}

/// Which crates a [`CryptoBackend`]'s primitives come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Primitives {
    /// AES-GCM with keys of 128 and 256 bits.
    pub aead: &'static str,
    /// AES-GCM with keys of 192 bits.
    pub aes_192: &'static str,
    /// HKDF.
    pub kdf: &'static str,
    /// SHA-256, SHA-384 and SHA-512 of messages.
    pub hash: &'static str,
    /// ECDSA on P-256 and P-384: keys, signatures and their verification.
    pub ecdsa: &'static str,
}

impl fmt::Display for Primitives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Primitives {
            aead,
            aes_192,
            kdf,
            hash,
            ecdsa,
        } = self;
        write!(f, "AES-GCM: {aead}")?;
        if aes_192 != aead {
            write!(f, " (AES-192: {aes_192})")?;
        }
        write!(f, ", HKDF: {kdf}, hashes: {hash}, ECDSA: {ecdsa}")
    }
}

/// Where AWS-LC's FIPS module is built in, every primitive is its.
#[cfg(feature = "aws-lc-rs")]
const AWS_LC: &str = if cfg!(feature = "fips") {
    "aws-lc-rs-fips"
} else {
    "aws-lc-rs"
};

impl CryptoBackend {
    /// The pure-Rust back end: `aes-gcm`, `hkdf`, `sha2`, `p256` and `p384`.
    ///
    /// `aes-gcm` wipes its key schedules when they are dropped.
    pub fn rust_crypto() -> Self {
        CryptoBackend {
            name: "rust-crypto",
            primitives: Primitives {
                aead: "aes-gcm",
                aes_192: "aes-gcm",
                kdf: "hkdf",
                hash: "sha2",
                ecdsa: "p256, p384",
            },
            aead: &rust_crypto::RustCrypto,
            kdf: &rust_crypto::RustCrypto,
            hash: &rust_crypto::RustCrypto,
            ecdsa: &rust_crypto::RustCrypto,
            random: Arc::new(random::SystemRandom),
        }
    }

    /// `graviola`'s AES-GCM, or `None` where the CPU lacks what it needs: AES,
    /// AVX2, ADX, BMI2 and PCLMULQDQ on x86-64, AES, PMULL, SHA-2 and NEON on
    /// aarch64; always on other architectures. From the pure-Rust back end:
    /// AES-192, HKDF, hashes and ECDSA.
    ///
    /// graviola wipes its key schedules when they are dropped. With AVX-512,
    /// copies of the round keys are left on the stack.
    #[cfg(feature = "graviola")]
    pub fn graviola() -> Option<Self> {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if super::graviola::is_supported() {
            let mut backend = Self::rust_crypto();
            backend.name = "graviola";
            backend.aead = &super::graviola::Graviola;
            backend.primitives.aead = "graviola";
            return Some(backend);
        }
        None
    }

    /// `ring`'s AES-GCM and hashes. From the pure-Rust back end: AES-192, HKDF
    /// and ECDSA.
    ///
    /// ring wipes nothing; its key schedules are overwritten when they are
    /// dropped, copies that it left on the stack are not, nor are the unused
    /// bytes of its keys, which hold what was on the stack.
    #[cfg(feature = "ring")]
    pub fn ring() -> Self {
        let mut backend = Self::rust_crypto();
        backend.name = "ring";
        backend.aead = &super::ring::Ring;
        backend.primitives.aead = "ring";
        backend.hash = &super::ring::Ring;
        backend.primitives.hash = "ring";
        backend
    }

    /// AWS-LC's AES-GCM, hashes and ECDSA, by `aws-lc-rs`. From the pure-Rust
    /// back end: HKDF, which is faster there. With the feature `fips`, HKDF too
    /// comes from AWS-LC, and this is its FIPS module.
    ///
    /// AWS-LC wipes key schedules and private keys when it frees them. Signing
    /// keys and signatures draw from its own random generator.
    ///
    /// # FIPS
    ///
    /// The FIPS module's code runs; that alone is no approved service of it. The
    /// format sets AES-GCM's IVs (a counter under a key for one message) and
    /// signs digests, which the module's policy does not take as approved; the
    /// embedded KMS uses `argon2` for passphrases, and the data-key cache `sha2`
    /// for its identifiers. Whether it meets a requirement is for who has the
    /// requirement to judge.
    #[cfg(feature = "aws-lc-rs")]
    pub fn aws_lc_rs() -> Self {
        if cfg!(feature = "fips") {
            return Self::aws_lc_alone();
        }
        let mut backend = Self::aws_lc_alone();
        let other = Self::rust_crypto();
        backend.kdf = other.kdf;
        backend.primitives.kdf = other.primitives.kdf;
        backend
    }

    /// Nothing but AWS-LC.
    #[cfg(feature = "aws-lc-rs")]
    pub(super) fn aws_lc_alone() -> Self {
        CryptoBackend {
            name: AWS_LC,
            primitives: Primitives {
                aead: AWS_LC,
                aes_192: AWS_LC,
                kdf: AWS_LC,
                hash: AWS_LC,
                ecdsa: AWS_LC,
            },
            aead: &super::aws_lc::AwsLc,
            kdf: &super::aws_lc::AwsLc,
            hash: &super::aws_lc::AwsLc,
            ecdsa: &super::aws_lc::AwsLc,
            random: Arc::new(random::SystemRandom),
        }
    }

    /// Every back end that is compiled in and suited to this CPU, by what is
    /// measured to be the fastest at AES-GCM: with AVX-512 (its AES and
    /// carry-less multiplication), `aws_lc_rs`, `graviola`, `ring`,
    /// `rust_crypto`; without, `ring`, `aws_lc_rs`, `graviola`, `rust_crypto`.
    /// AWS-LC's FIPS module is always the first.
    #[allow(clippy::vec_init_then_push)] // reason: which are pushed depends on the features
    pub fn available() -> Vec<Self> {
        let mut backends = Vec::new();
        #[cfg(feature = "aws-lc-rs")]
        backends.push(Self::aws_lc_rs());
        #[cfg(feature = "graviola")]
        backends.extend(Self::graviola());
        #[cfg(feature = "ring")]
        {
            let is_first = !cfg!(feature = "fips") && !has_wide_aes();
            let last = backends.len();
            backends.insert(if is_first { 0 } else { last }, Self::ring());
        }
        backends.push(Self::rust_crypto());
        backends
    }

    /// The back end with this [`name`](Self::name), for tools.
    ///
    /// # Errors
    /// When there is none, it is not compiled in, or the CPU does not suit it:
    /// the error lists the [`available`](Self::available) ones.
    pub fn by_name(name: &str) -> Result<Self, UnknownName> {
        let available = Self::available();
        let names: Vec<_> = available.iter().map(Self::name).collect();
        let found = available.iter().find(|backend| backend.name == name);
        found.cloned().ok_or_else(|| UnknownName::new(name, &names))
    }

    /// What does AES-GCM: `rust-crypto`, `graviola`, `ring`, `aws-lc-rs` or
    /// `aws-lc-rs-fips`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where each primitive comes from.
    pub fn primitives(&self) -> Primitives {
        self.primitives
    }

    /// The same primitives with another random source; ECDSA becomes the
    /// pure-Rust back end's, which draws from it alone. For tests only: a
    /// message made with predictable randomness protects nothing.
    #[cfg(any(test, feature = "test-util"))]
    pub fn with_random(mut self, random: Arc<dyn SecureRandom>) -> Self {
        let other = Self::rust_crypto();
        self.ecdsa = other.ecdsa;
        self.primitives.ecdsa = other.primitives.ecdsa;
        self.random = random;
        self
    }

    /// An AES-GCM key of 16, 24 or 32 bytes.
    pub(crate) fn aead_key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, InvalidKey> {
        self.aead.key(key)
    }

    /// HKDF (RFC 5869): one extract, and an expand for each output.
    pub(crate) fn hkdf(
        &self,
        hash: HashAlgorithm,
        salt: &[u8],
        secret: &[u8],
        outputs: &mut [HkdfOutput<'_>],
    ) -> Result<(), InvalidKey> {
        self.kdf.hkdf(hash, salt, secret, outputs)
    }

    pub(crate) fn hasher(&self, hash: HashAlgorithm) -> Box<dyn Hasher> {
        self.hash.hasher(hash)
    }

    pub(crate) fn signing_key(&self, curve: Curve) -> Result<Arc<dyn SigningKey>, RandomError> {
        self.ecdsa.signing_key(curve, &*self.random)
    }

    /// A signing key from its secret: a number below the curve's order and not
    /// zero, in big-endian bytes of the order's length.
    #[cfg(feature = "kms-policy")]
    pub(crate) fn signing_key_from(
        &self,
        curve: Curve,
        secret: &[u8],
    ) -> Result<Arc<dyn SigningKey>, InvalidKey> {
        self.ecdsa.signing_key_from(curve, secret)
    }

    /// A verification key from a compressed point.
    pub(crate) fn verifying_key(
        &self,
        curve: Curve,
        compressed: &[u8],
    ) -> Result<Arc<dyn VerifyingKey>, InvalidKey> {
        // The curves' crate also takes 05 and x, which is no form of SEC 1's.
        let is_compressed = matches!(compressed, [2 | 3, ..]);
        if !is_compressed || compressed.len() != curve.public_key_length() {
            return Err(InvalidKey);
        }
        self.ecdsa.verifying_key(curve, compressed)
    }

    pub(crate) fn random(&self) -> &Arc<dyn SecureRandom> {
        &self.random
    }
}

impl Default for CryptoBackend {
    /// The first of the [`available`](Self::available) ones, with hashes and
    /// ECDSA from `aws-lc-rs` or else `ring` where that is compiled in. Which
    /// these are is asked by [`primitives`](Self::primitives).
    fn default() -> Self {
        let fastest = Self::available().into_iter().next();
        let backend = fastest.unwrap_or_else(Self::rust_crypto);
        backend.with_fastest_signing()
    }
}

impl CryptoBackend {
    #[cfg(feature = "aws-lc-rs")]
    fn with_fastest_signing(mut self) -> Self {
        let other = Self::aws_lc_rs();
        (self.hash, self.ecdsa) = (other.hash, other.ecdsa);
        self.primitives.hash = other.primitives.hash;
        self.primitives.ecdsa = other.primitives.ecdsa;
        self
    }

    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    fn with_fastest_signing(mut self) -> Self {
        let other = Self::ring();
        self.hash = other.hash;
        self.primitives.hash = other.primitives.hash;
        self
    }

    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    fn with_fastest_signing(self) -> Self {
        self
    }
}

/// Whether the CPU encrypts four blocks of AES by one instruction, for which
/// ring has no code.
#[cfg(feature = "ring")]
fn has_wide_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        has!("avx512f")
            && has!("avx512bw")
            && has!("avx512vl")
            && has!("vaes")
            && has!("vpclmulqdq")
    }
    // There AWS-LC goes first: it has more code for such CPUs than ring.
    #[cfg(not(target_arch = "x86_64"))]
    {
        true
    }
}

impl fmt::Debug for CryptoBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CryptoBackend")
            .field("name", &self.name)
            .field("primitives", &self.primitives)
            .finish_non_exhaustive()
    }
}
