//! The default back end: `aes-gcm`, `hkdf`, `sha2`, `p256`, `p384`.

use std::sync::Arc;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::array::Array;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use aes_gcm::{AesGcm, KeyInit};
use hkdf::HkdfExtract;
use p256::ecdsa::signature::hazmat::{PrehashVerifier, RandomizedPrehashSigner};
use p256::elliptic_curve::Generate;
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use zeroize::Zeroize;

use super::{
    Aead, AeadKey, Digest, Ecdsa, Hash, Hasher, HkdfOutput, InvalidKey, Iv, Kdf, NotAuthentic,
    RandomError, SecureRandom, SigningKey, Tag, VerifyingKey,
};
use crate::suite::{Curve, HashAlgorithm};

pub(super) struct RustCrypto;

// GCM only ever encrypts blocks: `…Enc` keeps no schedule for decrypting them.
type Gcm<Aes> = AesGcm<Aes, U12>;

impl Aead for RustCrypto {
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, InvalidKey> {
        fn boxed<Aes>(key: &[u8]) -> Result<Box<dyn AeadKey>, InvalidKey>
        where
            Gcm<Aes>: KeyInit + AeadKey + 'static,
        {
            let key = key.try_into().map_err(|_| InvalidKey)?;
            Ok(Box::new(Gcm::<Aes>::new(key)))
        }
        match key.len() {
            16 => boxed::<Aes128Enc>(key),
            24 => boxed::<Aes192Enc>(key),
            32 => boxed::<Aes256Enc>(key),
            _ => Err(InvalidKey),
        }
    }
}

impl<Aes: Send + Sync> AeadKey for Gcm<Aes>
where
    Gcm<Aes>: AeadInOut<NonceSize = U12, TagSize = U16>,
{
    fn seal(&self, iv: &Iv, aad: &[u8], data: &mut [u8]) -> Result<Tag, InvalidKey> {
        seal_in_out(self, iv, aad, data.into())
    }

    fn open(&self, iv: &Iv, aad: &[u8], data: &mut [u8], tag: &Tag) -> Result<(), NotAuthentic> {
        open_in_out(self, iv, aad, data.into(), tag)
    }

    fn is_direct(&self) -> bool {
        true
    }

    fn seal_to(
        &self,
        iv: &Iv,
        aad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<Tag, InvalidKey> {
        let data = InOutBuf::new(plaintext, out).map_err(|_| InvalidKey)?;
        seal_in_out(self, iv, aad, data)
    }

    fn open_to(
        &self,
        iv: &Iv,
        aad: &[u8],
        ciphertext: &[u8],
        tag: &Tag,
        out: &mut [u8],
    ) -> Result<(), NotAuthentic> {
        let data = InOutBuf::new(ciphertext, out).map_err(|_| NotAuthentic)?;
        open_in_out(self, iv, aad, data, tag)
    }
}

fn seal_in_out(
    key: &impl AeadInOut<NonceSize = U12, TagSize = U16>,
    iv: &Iv,
    aad: &[u8],
    data: InOutBuf<'_, '_, u8>,
) -> Result<Tag, InvalidKey> {
    let tag = key.encrypt_inout_detached(&Array(*iv), aad, data);
    tag.map(|tag| tag.0).map_err(|_| InvalidKey)
}

fn open_in_out(
    key: &impl AeadInOut<NonceSize = U12, TagSize = U16>,
    iv: &Iv,
    aad: &[u8],
    data: InOutBuf<'_, '_, u8>,
    tag: &Tag,
) -> Result<(), NotAuthentic> {
    key.decrypt_inout_detached(&Array(*iv), aad, data, &Array(*tag))
        .map_err(|_| NotAuthentic)
}

impl Kdf for RustCrypto {
    fn hkdf(
        &self,
        hash: HashAlgorithm,
        salt: &[u8],
        secret: &[u8],
        outputs: &mut [HkdfOutput<'_>],
    ) -> Result<(), InvalidKey> {
        macro_rules! derive {
            ($hash:ty) => {{
                let mut extract = HkdfExtract::<$hash>::new(Some(salt));
                extract.input_ikm(secret);
                let (mut prk, hkdf) = extract.finalize();
                prk.zeroize();
                for output in outputs {
                    hkdf.expand_multi_info(output.info, output.out)
                        .map_err(|_| InvalidKey)?;
                }
            }};
        }
        match hash {
            HashAlgorithm::Sha256 => derive!(Sha256),
            HashAlgorithm::Sha384 => derive!(Sha384),
            HashAlgorithm::Sha512 => derive!(Sha512),
        }
        Ok(())
    }
}

impl Hasher for Sha256 {
    fn update(&mut self, data: &[u8]) {
        sha2::Digest::update(self, data);
    }

    fn finish(self: Box<Self>) -> Digest {
        Digest::new(&self.finalize())
    }
}

impl Hasher for Sha384 {
    fn update(&mut self, data: &[u8]) {
        sha2::Digest::update(self, data);
    }

    fn finish(self: Box<Self>) -> Digest {
        Digest::new(&self.finalize())
    }
}

impl Hasher for Sha512 {
    fn update(&mut self, data: &[u8]) {
        sha2::Digest::update(self, data);
    }

    fn finish(self: Box<Self>) -> Digest {
        Digest::new(&self.finalize())
    }
}

impl Hash for RustCrypto {
    fn hasher(&self, hash: HashAlgorithm) -> Box<dyn Hasher> {
        match hash {
            HashAlgorithm::Sha256 => Box::new(Sha256::new()),
            HashAlgorithm::Sha384 => Box::new(Sha384::new()),
            HashAlgorithm::Sha512 => Box::new(Sha512::new()),
        }
    }
}

impl Ecdsa for RustCrypto {
    fn signing_key(
        &self,
        curve: Curve,
        random: &dyn SecureRandom,
    ) -> Result<Arc<dyn SigningKey>, RandomError> {
        let mut rng = Rng(random);
        Ok(match curve {
            Curve::P256 => Arc::new(p256::ecdsa::SigningKey::try_generate_from_rng(&mut rng)?),
            Curve::P384 => Arc::new(p384::ecdsa::SigningKey::try_generate_from_rng(&mut rng)?),
        })
    }

    #[cfg(feature = "kms-policy")]
    fn signing_key_from(
        &self,
        curve: Curve,
        secret: &[u8],
    ) -> Result<Arc<dyn SigningKey>, InvalidKey> {
        // The curves' crate would pad a short one.
        if secret.len() + 1 != curve.public_key_length() {
            return Err(InvalidKey);
        }
        Ok(match curve {
            Curve::P256 => {
                Arc::new(p256::ecdsa::SigningKey::from_slice(secret).map_err(|_| InvalidKey)?)
            }
            Curve::P384 => {
                Arc::new(p384::ecdsa::SigningKey::from_slice(secret).map_err(|_| InvalidKey)?)
            }
        })
    }

    fn verifying_key(
        &self,
        curve: Curve,
        compressed: &[u8],
    ) -> Result<Arc<dyn VerifyingKey>, InvalidKey> {
        Ok(match curve {
            Curve::P256 => Arc::new(
                p256::ecdsa::VerifyingKey::from_sec1_bytes(compressed).map_err(|_| InvalidKey)?,
            ),
            Curve::P384 => Arc::new(
                p384::ecdsa::VerifyingKey::from_sec1_bytes(compressed).map_err(|_| InvalidKey)?,
            ),
        })
    }
}

/// How often signing anew may miss the fixed length. One attempt hits it with
/// a probability above 0.99 (r must not start with a zero byte; s or −s fits
/// then), so that reaching this bound means that the random source is broken.
pub(super) const ATTEMPTS: usize = 64;

/// The DER form of a signature that is r and s, each of the curve's length,
/// where it or its twin (r, −s) has the curve's
/// [`signature_length`](Curve::signature_length).
#[cfg(feature = "aws-lc-rs")]
pub(super) fn der_of_fixed_length(curve: Curve, signature: &[u8]) -> Option<Vec<u8>> {
    match curve {
        Curve::P256 => p256_der(p256::ecdsa::Signature::from_slice(signature).ok()?),
        Curve::P384 => p384_der(p384::ecdsa::Signature::from_slice(signature).ok()?),
    }
}

macro_rules! curve {
    ($crate_name:ident, $curve:expr, $fixed_length:ident) => {
        fn $fixed_length(signature: $crate_name::ecdsa::Signature) -> Option<Vec<u8>> {
            let (r, s) = signature.split_scalars();
            let negated = $crate_name::ecdsa::Signature::from_scalars(r, -s).ok();
            let mut candidates = [Some(signature), negated].into_iter().flatten();
            candidates.find_map(|candidate| {
                let der = candidate.to_der();
                let fits = der.as_bytes().len() == $curve.signature_length();
                fits.then(|| der.as_bytes().to_vec())
            })
        }

        impl SigningKey for $crate_name::ecdsa::SigningKey {
            fn public_key(&self) -> Vec<u8> {
                self.verifying_key().to_sec1_point(true).as_bytes().to_vec()
            }

            fn sign(
                &self,
                digest: &Digest,
                random: &dyn SecureRandom,
            ) -> Result<Vec<u8>, RandomError> {
                for _ in 0..ATTEMPTS {
                    // Randomized, so that the next attempt gives another
                    // signature: RFC 6979 with additional entropy (3.6).
                    let signature: $crate_name::ecdsa::Signature = self
                        .sign_prehash_with_rng(&mut Rng(random), digest.as_ref())
                        .map_err(|_| RandomError::new("no signature could be made"))?;
                    if let Some(der) = $fixed_length(signature) {
                        return Ok(der);
                    }
                }
                Err(RandomError::new(
                    "no signature of the fixed length came out",
                ))
            }
        }

        impl VerifyingKey for $crate_name::ecdsa::VerifyingKey {
            fn verify(&self, digest: &Digest, signature: &[u8]) -> Result<(), NotAuthentic> {
                let signature =
                    $crate_name::ecdsa::Signature::from_der(signature).map_err(|_| NotAuthentic)?;
                self.verify_prehash(digest.as_ref(), &signature)
                    .map_err(|_| NotAuthentic)
            }
        }
    };
}

curve!(p256, Curve::P256, p256_der);
curve!(p384, Curve::P384, p384_der);

/// Lends a [`SecureRandom`] to the curves, which want `rand_core`'s traits.
struct Rng<'a>(&'a dyn SecureRandom);

impl TryRng for Rng<'_> {
    type Error = RandomError;

    fn try_next_u32(&mut self) -> Result<u32, RandomError> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, RandomError> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        self.0.fill(out)
    }
}

impl TryCryptoRng for Rng<'_> {}
