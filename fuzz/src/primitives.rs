//! The suites and the primitives, past the library's own table and seam
//! (framework/algorithm-suites.md).

use std::sync::LazyLock;

use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::{Aes128, Aes192, Aes256};
use aes_gcm::{AesGcm, Nonce};
use hkdf::Hkdf;
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use sha2::{Digest, Sha256, Sha384, Sha512};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kdf {
    /// The data key itself encrypts.
    None,
    /// Version 1: HKDF with the suite and the message id as info.
    Sha256,
    Sha384,
    /// Version 2: HKDF-SHA-512 with the message id as salt, and a commitment.
    Commit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    pub id: u16,
    pub key_length: usize,
    pub kdf: Kdf,
    pub curve: Option<Curve>,
}

const fn suite(id: u16, key_length: usize, kdf: Kdf, curve: Option<Curve>) -> Suite {
    Suite {
        id,
        key_length,
        kdf,
        curve,
    }
}

/// The committing ones first: zeros on a tape give the default suite.
pub static SUITES: [Suite; 11] = [
    suite(0x0478, 32, Kdf::Commit, None),
    suite(0x0014, 16, Kdf::None, None),
    suite(0x0046, 24, Kdf::None, None),
    suite(0x0078, 32, Kdf::None, None),
    suite(0x0114, 16, Kdf::Sha256, None),
    suite(0x0146, 24, Kdf::Sha256, None),
    suite(0x0178, 32, Kdf::Sha256, None),
    suite(0x0214, 16, Kdf::Sha256, Some(Curve::P256)),
    suite(0x0346, 24, Kdf::Sha384, Some(Curve::P384)),
    suite(0x0378, 32, Kdf::Sha384, Some(Curve::P384)),
    suite(0x0578, 32, Kdf::Commit, Some(Curve::P384)),
];

impl Suite {
    pub fn by_id(id: u16) -> Option<&'static Suite> {
        SUITES.iter().find(|suite| suite.id == id)
    }

    pub fn commits(&self) -> bool {
        self.kdf == Kdf::Commit
    }

    pub fn version(&self) -> u8 {
        if self.commits() { 2 } else { 1 }
    }

    pub fn id_length(&self) -> usize {
        if self.commits() { 32 } else { 16 }
    }

    /// The message's key, and the commitment (empty where there is none).
    pub fn derive(&self, data_key: &[u8], message_id: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let id = self.id.to_be_bytes();
        let mut key = vec![0; self.key_length];
        let mut commitment = Vec::new();
        let info = [&id[..], message_id].concat();
        match self.kdf {
            Kdf::None => key.copy_from_slice(data_key),
            Kdf::Sha256 => Hkdf::<Sha256>::new(None, data_key)
                .expand(&info, &mut key)
                .expect("a length"),
            Kdf::Sha384 => Hkdf::<Sha384>::new(None, data_key)
                .expand(&info, &mut key)
                .expect("a length"),
            Kdf::Commit => {
                let hkdf = Hkdf::<Sha512>::new(Some(message_id), data_key);
                let info = [&id[..], b"DERIVEKEY"].concat();
                hkdf.expand(&info, &mut key).expect("a length");
                commitment = vec![0; 32];
                hkdf.expand(b"COMMITKEY", &mut commitment)
                    .expect("a length");
            }
        }
        (key, commitment)
    }
}

type Gcm<A> = AesGcm<A, U12, U16>;

/// AES-GCM: ciphertext and tag in one.
pub fn seal(key: &[u8], iv: &[u8], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let payload = Payload {
        msg: plaintext,
        aad,
    };
    let nonce = Nonce::try_from(iv).expect("12 bytes");
    match key.len() {
        16 => Gcm::<Aes128>::new_from_slice(key)
            .expect("a key")
            .encrypt(&nonce, payload),
        24 => Gcm::<Aes192>::new_from_slice(key)
            .expect("a key")
            .encrypt(&nonce, payload),
        _ => Gcm::<Aes256>::new_from_slice(key)
            .expect("a key")
            .encrypt(&nonce, payload),
    }
    .expect("a short plaintext")
}

/// The plaintext, if the tag at the end is right.
pub fn open(key: &[u8], iv: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let payload = Payload { msg: sealed, aad };
    let nonce = Nonce::try_from(iv).expect("12 bytes");
    match key.len() {
        16 => Gcm::<Aes128>::new_from_slice(key)
            .ok()?
            .decrypt(&nonce, payload),
        24 => Gcm::<Aes192>::new_from_slice(key)
            .ok()?
            .decrypt(&nonce, payload),
        _ => Gcm::<Aes256>::new_from_slice(key)
            .ok()?
            .decrypt(&nonce, payload),
    }
    .ok()
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl Curve {
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Curve::P256 => Sha256::digest(bytes).to_vec(),
            Curve::P384 => Sha384::digest(bytes).to_vec(),
        }
    }

    pub fn point_length(self) -> usize {
        match self {
            Curve::P256 => 33,
            Curve::P384 => 49,
        }
    }

    /// Whether the bytes are a compressed point of the curve.
    pub fn is_point(self, bytes: &[u8]) -> bool {
        bytes.len() == self.point_length()
            && match self {
                Curve::P256 => p256::PublicKey::from_sec1_bytes(bytes).is_ok(),
                Curve::P384 => p384::PublicKey::from_sec1_bytes(bytes).is_ok(),
            }
    }

    /// The public key of signing key number `which`, as a point.
    pub fn point(self, which: u8, compressed: bool) -> Vec<u8> {
        macro_rules! point {
            ($key:expr) => {{
                let point = $key.verifying_key().to_sec1_point(compressed);
                point.as_bytes().to_vec()
            }};
        }
        match self {
            Curve::P256 => point!(p256_key(which)),
            Curve::P384 => point!(p384_key(which)),
        }
    }

    /// Signs a digest with signing key number `which`, in DER; `negate` gives
    /// the other one of the two signatures that differ in the sign of s.
    pub fn sign(self, which: u8, digest: &[u8], negate: bool) -> Vec<u8> {
        macro_rules! sign {
            ($curve:ident, $key:expr) => {{
                let mut signature: $curve::ecdsa::Signature =
                    $key.sign_prehash(digest).expect("a signature");
                if negate {
                    let (r, s) = signature.split_scalars();
                    signature = $curve::ecdsa::Signature::from_scalars(r, -s).expect("a signature");
                }
                signature.to_der().as_bytes().to_vec()
            }};
        }
        match self {
            Curve::P256 => sign!(p256, p256_key(which)),
            Curve::P384 => sign!(p384, p384_key(which)),
        }
    }

    pub fn verify(self, point: &[u8], digest: &[u8], signature: &[u8]) -> bool {
        macro_rules! verify {
            ($curve:ident) => {
                $curve::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok_and(|key| {
                    $curve::ecdsa::Signature::from_der(signature)
                        .is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok())
                })
            };
        }
        match self {
            Curve::P256 => verify!(p256),
            Curve::P384 => verify!(p384),
        }
    }
}

// Made once: in a fuzzer's build, a multiplication takes milliseconds.
fn p256_key(which: u8) -> &'static p256::ecdsa::SigningKey {
    static KEYS: LazyLock<[p256::ecdsa::SigningKey; 2]> = LazyLock::new(|| {
        [1, 2].map(|byte| p256::ecdsa::SigningKey::from_slice(&[byte; 32]).expect("a scalar"))
    });
    &KEYS[usize::from(which) % 2]
}

fn p384_key(which: u8) -> &'static p384::ecdsa::SigningKey {
    static KEYS: LazyLock<[p384::ecdsa::SigningKey; 2]> = LazyLock::new(|| {
        [1, 2].map(|byte| p384::ecdsa::SigningKey::from_slice(&[byte; 48]).expect("a scalar"))
    });
    &KEYS[usize::from(which) % 2]
}
