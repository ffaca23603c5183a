//! Messages made byte by byte, apart from the library: sealed as a writer who
//! has the data key would, and wrong in whatever a test wants to be wrong.

use aes_gcm::AesGcm;
use aes_gcm::aead::array::Array;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::{Aes128, Aes192, Aes256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest, Sha256, Sha384, Sha512};
use waxseal::AlgorithmSuite;

use super::providers::Fixed;

/// A message's parts; all are public, to be changed before they are sealed.
#[derive(Clone)]
pub struct Craft {
    pub suite: AlgorithmSuite,
    pub data_key: Vec<u8>,
    pub message_id: Vec<u8>,
    /// The context's bytes as they stand in the header.
    pub context: Vec<u8>,
    /// What the header's tag is over beside the header.
    pub bound: Vec<u8>,
    /// Provider id, key info, ciphertext.
    pub edks: Vec<[Vec<u8>; 3]>,
    pub content_type: u8,
    pub frame_length: u32,
    /// Instead of the right one.
    pub commitment: Option<[u8; 32]>,
}

const SIGNING_KEY: [u8; 48] = [0x51; 48];

impl Craft {
    /// A framed message under [`Fixed`]'s data key, with one pair in its
    /// context, beside the public key of signed suites.
    pub fn new(suite: AlgorithmSuite) -> Self {
        let mut pairs = vec![("a".to_owned(), "b".to_owned())];
        if suite.is_signed() {
            let key = match suite {
                AlgorithmSuite::Aes128GcmHkdfSha256EcdsaP256 => p256_key()
                    .verifying_key()
                    .to_sec1_point(true)
                    .as_bytes()
                    .to_vec(),
                _ => p384_key()
                    .verifying_key()
                    .to_sec1_point(true)
                    .as_bytes()
                    .to_vec(),
            };
            pairs.push(("aws-crypto-public-key".to_owned(), STANDARD.encode(key)));
        }
        Craft {
            suite,
            data_key: Fixed::data_key(suite.data_key_length()),
            message_id: vec![0x1d; if suite.commits() { 32 } else { 16 }],
            context: context_bytes(&pairs),
            bound: Vec::new(),
            edks: vec![[b"fixed".into(), b"info".into(), b"wrapped".into()]],
            content_type: 2,
            frame_length: 16,
            commitment: None,
        }
    }

    /// The same with an un-framed body.
    pub fn unframed_body(suite: AlgorithmSuite) -> Self {
        Craft {
            content_type: 1,
            frame_length: 0,
            ..Craft::new(suite)
        }
    }

    /// The key that frames are sealed under, and the commitment.
    pub fn derived(&self) -> (Vec<u8>, [u8; 32]) {
        let mut key = vec![0; self.data_key.len()];
        let mut commitment = [0; 32];
        let id = self.suite.id().to_be_bytes();
        let info = [&id[..], &self.message_id].concat();
        match self.suite.id() {
            0x0014 | 0x0046 | 0x0078 => key.copy_from_slice(&self.data_key),
            0x0114 | 0x0146 | 0x0178 | 0x0214 => Hkdf::<Sha256>::new(None, &self.data_key)
                .expand(&info, &mut key)
                .expect("a length"),
            0x0346 | 0x0378 => Hkdf::<Sha384>::new(None, &self.data_key)
                .expand(&info, &mut key)
                .expect("a length"),
            _ => {
                let hkdf = Hkdf::<Sha512>::new(Some(&self.message_id), &self.data_key);
                let info = [&id[..], b"DERIVEKEY"].concat();
                hkdf.expand(&info, &mut key).expect("a length");
                hkdf.expand(b"COMMITKEY", &mut commitment)
                    .expect("a length");
            }
        }
        (key, commitment)
    }

    pub fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let version = self.suite.message_version();
        out.push(version);
        if version == 1 {
            out.push(0x80);
        }
        out.extend(self.suite.id().to_be_bytes());
        out.extend(&self.message_id);
        out.extend((self.context.len() as u16).to_be_bytes());
        out.extend(&self.context);
        out.extend((self.edks.len() as u16).to_be_bytes());
        for field in self.edks.iter().flatten() {
            out.extend((field.len() as u16).to_be_bytes());
            out.extend(field);
        }
        out.push(self.content_type);
        if version == 1 {
            out.extend([0, 0, 0, 0, 12]);
        }
        out.extend(self.frame_length.to_be_bytes());
        if version == 2 {
            out.extend(self.commitment.unwrap_or(self.derived().1));
        }
        let (_, tag) = self.seal([0; 12], &[&out[..], &self.bound].concat(), &[]);
        if version == 1 {
            out.extend([0; 12]);
        }
        out.extend(tag);
        out
    }

    /// A regular frame.
    pub fn regular(&self, number: u32, content: &[u8]) -> Vec<u8> {
        self.frame(number, "Frame", &number.to_be_bytes(), &[], content)
    }

    /// A final frame.
    pub fn last(&self, number: u32, content: &[u8]) -> Vec<u8> {
        let mut start = vec![0xff; 4];
        start.extend(number.to_be_bytes());
        let length = (content.len() as u32).to_be_bytes();
        self.frame(number, "Final Frame", &start, &length, content)
    }

    /// An un-framed body.
    pub fn unframed(&self, content: &[u8]) -> Vec<u8> {
        let length = (content.len() as u64).to_be_bytes();
        self.frame(1, "Single Block", &[], &length, content)
    }

    /// What stands before the IV, and between it and the content.
    fn frame(
        &self,
        number: u32,
        kind: &str,
        before: &[u8],
        after: &[u8],
        content: &[u8],
    ) -> Vec<u8> {
        let mut iv = [0; 12];
        iv[8..].copy_from_slice(&number.to_be_bytes());
        let mut aad = self.message_id.clone();
        aad.extend(b"AWSKMSEncryptionClient ");
        aad.extend(kind.as_bytes());
        aad.extend(number.to_be_bytes());
        aad.extend((content.len() as u64).to_be_bytes());
        let (sealed, tag) = self.seal(iv, &aad, content);
        [before, &iv, after, &sealed, &tag].concat()
    }

    /// The whole message, in frames of 16 bytes or un-framed.
    pub fn whole(&self, plaintext: &[u8]) -> Vec<u8> {
        let mut out = self.header();
        if self.content_type == 1 {
            out.extend(self.unframed(plaintext));
        } else {
            let mut chunks = plaintext.chunks(16).peekable();
            let mut number = 0;
            loop {
                number += 1;
                let chunk = chunks.next().unwrap_or(&[]);
                if chunks.peek().is_none() {
                    out.extend(self.last(number, chunk));
                    break;
                }
                out.extend(self.regular(number, chunk));
            }
        }
        self.sign(&mut out);
        out
    }

    /// Appends the footer, where the suite has one.
    pub fn sign(&self, message: &mut Vec<u8>) {
        let signature = match self.suite.id() {
            0x0214 => {
                let digest = Sha256::digest(&*message);
                let signature: p256::ecdsa::Signature =
                    p256_key().sign_prehash(&digest).expect("a signature");
                signature.to_der().as_bytes().to_vec()
            }
            0x0346 | 0x0378 | 0x0578 => {
                let digest = Sha384::digest(&*message);
                let signature: p384::ecdsa::Signature =
                    p384_key().sign_prehash(&digest).expect("a signature");
                signature.to_der().as_bytes().to_vec()
            }
            _ => return,
        };
        message.extend((signature.len() as u16).to_be_bytes());
        message.extend(signature);
    }

    fn seal(&self, iv: [u8; 12], aad: &[u8], content: &[u8]) -> (Vec<u8>, [u8; 16]) {
        fn with<A: AeadInOut<NonceSize = U12> + KeyInit>(
            key: &[u8],
            iv: [u8; 12],
            aad: &[u8],
            data: &mut [u8],
        ) -> [u8; 16] {
            let tag = A::new_from_slice(key)
                .expect("a key length")
                .encrypt_inout_detached(&Array(iv), aad, data.into())
                .expect("a short text");
            tag.as_slice().try_into().expect("a tag")
        }
        let (key, _) = self.derived();
        let mut data = content.to_vec();
        let tag = match key.len() {
            16 => with::<AesGcm<Aes128, U12>>(&key, iv, aad, &mut data),
            24 => with::<AesGcm<Aes192, U12>>(&key, iv, aad, &mut data),
            _ => with::<AesGcm<Aes256, U12>>(&key, iv, aad, &mut data),
        };
        (data, tag)
    }
}

fn p256_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&SIGNING_KEY[..32]).expect("a scalar")
}

fn p384_key() -> p384::ecdsa::SigningKey {
    p384::ecdsa::SigningKey::from_slice(&SIGNING_KEY).expect("a scalar")
}

/// Pairs in the order given, as a header holds them.
pub fn context_bytes<T: AsRef<[u8]>>(pairs: &[(T, T)]) -> Vec<u8> {
    if pairs.is_empty() {
        return Vec::new();
    }
    let mut out = (pairs.len() as u16).to_be_bytes().to_vec();
    for text in pairs.iter().flat_map(|(key, value)| [key, value]) {
        out.extend((text.as_ref().len() as u16).to_be_bytes());
        out.extend(text.as_ref());
    }
    out
}
