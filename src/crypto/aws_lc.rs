//! AWS-LC, by `aws-lc-rs`: every primitive.
//!
//! # Memory
//!
//! AWS-LC keeps key schedules and private keys in memory that it allocates
//! itself, and wipes it when it frees it; `aws-lc-rs` wipes its own copies of
//! secrets. Not in our hands: what is left in registers and on the stack, and
//! an application that replaces AWS-LC's allocator.
//!
//! # Randomness
//!
//! Signing keys and the numbers that signatures draw come from AWS-LC's own
//! generator; see `rsa`.

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest;
use aws_lc_rs::hkdf::{HKDF_SHA256, HKDF_SHA384, HKDF_SHA512, KeyType, Salt};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, KeyPair as _, ParsedPublicKey,
};

use super::rust_crypto::{ATTEMPTS, der_of_fixed_length};
use super::{
    Aead, AeadKey, Digest, Ecdsa, Hash, Hasher, HkdfOutput, InvalidKey, Iv, Kdf, NotAuthentic,
    RandomError, SecureRandom, SigningKey, TAG_LENGTH, Tag, VerifyingKey,
};
use crate::suite::{Curve, HashAlgorithm};
use std::sync::Arc;

pub(super) struct AwsLc;

impl Aead for AwsLc {
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, InvalidKey> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            32 => &AES_256_GCM,
            _ => return Err(InvalidKey),
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| InvalidKey)?;
        Ok(Box::new(GcmKey(LessSafeKey::new(key))))
    }
}

struct GcmKey(LessSafeKey);

impl AeadKey for GcmKey {
    fn seal(&self, iv: &Iv, aad: &[u8], data: &mut [u8]) -> Result<Tag, InvalidKey> {
        let nonce = Nonce::assume_unique_for_key(*iv);
        let mut tag = [0; TAG_LENGTH];
        self.0
            .seal_in_place_scatter(nonce, Aad::from(aad), data, &[], &mut tag)
            .map_err(|_| InvalidKey)?;
        Ok(tag)
    }

    fn open(&self, iv: &Iv, aad: &[u8], data: &mut [u8], tag: &Tag) -> Result<(), NotAuthentic> {
        let nonce = Nonce::assume_unique_for_key(*iv);
        let opened = self
            .0
            .open_in_place_separate_tag(nonce, Aad::from(aad), tag, data);
        opened.map(|_| ()).map_err(|_| NotAuthentic)
    }

    // From one buffer to another it is nearly as fast as in place: the copy
    // would halve it.
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
        let nonce = Nonce::assume_unique_for_key(*iv);
        let mut tag = [0; TAG_LENGTH];
        self.0
            .seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, out, &[], &mut tag)
            .map_err(|_| InvalidKey)?;
        Ok(tag)
    }

    fn open_to(
        &self,
        iv: &Iv,
        aad: &[u8],
        ciphertext: &[u8],
        tag: &Tag,
        out: &mut [u8],
    ) -> Result<(), NotAuthentic> {
        let nonce = Nonce::assume_unique_for_key(*iv);
        self.0
            .open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, out)
            .map_err(|_| NotAuthentic)
    }
}

impl Kdf for AwsLc {
    fn hkdf(
        &self,
        hash: HashAlgorithm,
        salt: &[u8],
        secret: &[u8],
        outputs: &mut [HkdfOutput<'_>],
    ) -> Result<(), InvalidKey> {
        struct Length(usize);

        impl KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }

        let algorithm = match hash {
            HashAlgorithm::Sha256 => HKDF_SHA256,
            HashAlgorithm::Sha384 => HKDF_SHA384,
            HashAlgorithm::Sha512 => HKDF_SHA512,
        };
        let prk = Salt::new(algorithm, salt).extract(secret);
        for output in outputs {
            let okm = prk.expand(output.info, Length(output.out.len()));
            okm.and_then(|okm| okm.fill(output.out))
                .map_err(|_| InvalidKey)?;
        }
        Ok(())
    }
}

fn digest_algorithm(hash: HashAlgorithm) -> &'static digest::Algorithm {
    match hash {
        HashAlgorithm::Sha256 => &digest::SHA256,
        HashAlgorithm::Sha384 => &digest::SHA384,
        HashAlgorithm::Sha512 => &digest::SHA512,
    }
}

impl Hash for AwsLc {
    fn hasher(&self, hash: HashAlgorithm) -> Box<dyn Hasher> {
        Box::new(Running(digest::Context::new(digest_algorithm(hash))))
    }
}

struct Running(digest::Context);

impl Hasher for Running {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finish(self: Box<Self>) -> Digest {
        Digest::new(self.0.finish().as_ref())
    }
}

impl Curve {
    fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        }
    }

    fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Curve::P256 => &ECDSA_P256_SHA256_ASN1,
            Curve::P384 => &ECDSA_P384_SHA384_ASN1,
        }
    }

    fn import(self, digest: &Digest) -> Option<digest::Digest> {
        let algorithm = digest_algorithm(self.hash());
        digest::Digest::import_less_safe(digest.as_ref(), algorithm).ok()
    }
}

impl Ecdsa for AwsLc {
    fn signing_key(
        &self,
        curve: Curve,
        _random: &dyn SecureRandom,
    ) -> Result<Arc<dyn SigningKey>, RandomError> {
        let pair = EcdsaKeyPair::generate(curve.signing())
            .map_err(|_| RandomError::new("AWS-LC could not make a signing key"))?;
        Ok(Arc::new(Pair { curve, pair }))
    }

    #[cfg(feature = "kms-policy")]
    fn signing_key_from(
        &self,
        curve: Curve,
        secret: &[u8],
    ) -> Result<Arc<dyn SigningKey>, InvalidKey> {
        if secret.len() + 1 != curve.public_key_length() {
            return Err(InvalidKey);
        }
        // An ECPrivateKey (RFC 5915, 3) with neither parameters nor public key,
        // which AWS-LC computes: an INTEGER, 1, and an OCTET STRING.
        let length = u8::try_from(secret.len()).map_err(|_| InvalidKey)?;
        let mut der = zeroize::Zeroizing::new(Vec::with_capacity(secret.len() + 7));
        der.extend_from_slice(&[0x30, length + 5, 0x02, 1, 1, 0x04, length]);
        der.extend_from_slice(secret);
        let pair = EcdsaKeyPair::from_private_key_der(curve.signing(), &der);
        let pair = pair.map_err(|_| InvalidKey)?;
        Ok(Arc::new(Pair { curve, pair }))
    }

    fn verifying_key(
        &self,
        curve: Curve,
        compressed: &[u8],
    ) -> Result<Arc<dyn VerifyingKey>, InvalidKey> {
        let key = ParsedPublicKey::new(curve.verification(), compressed);
        let key = key.map_err(|_| InvalidKey)?;
        Ok(Arc::new(Point { curve, key }))
    }
}

struct Pair {
    curve: Curve,
    pair: EcdsaKeyPair,
}

impl SigningKey for Pair {
    fn public_key(&self) -> Vec<u8> {
        // 04, x and y: what is left of y is whether it is odd.
        let uncompressed = self.pair.public_key().as_ref();
        let length = self.curve.public_key_length().min(uncompressed.len());
        let mut point = uncompressed[..length].to_vec();
        if let (Some(first), Some(last)) = (point.first_mut(), uncompressed.last()) {
            *first = 2 | (last & 1);
        }
        point
    }

    fn sign(&self, digest: &Digest, _random: &dyn SecureRandom) -> Result<Vec<u8>, RandomError> {
        let failed = |_| RandomError::new("no signature could be made");
        let digest = self.curve.import(digest).ok_or(()).map_err(failed)?;
        for _ in 0..ATTEMPTS {
            let signature = self.pair.sign_digest(&digest).map_err(|_| failed(()))?;
            if let Some(der) = der_of_fixed_length(self.curve, signature.as_ref()) {
                return Ok(der);
            }
        }
        Err(RandomError::new(
            "no signature of the fixed length came out",
        ))
    }
}

struct Point {
    curve: Curve,
    key: ParsedPublicKey,
}

impl VerifyingKey for Point {
    fn verify(&self, digest: &Digest, signature: &[u8]) -> Result<(), NotAuthentic> {
        let digest = self.curve.import(digest).ok_or(NotAuthentic)?;
        self.key
            .verify_digest_sig(&digest, signature)
            .map_err(|_| NotAuthentic)
    }
}
