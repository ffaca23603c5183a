//! AES-256-GCM of each back end, bare: frame by frame from one buffer to
//! another, in the crates' own calls.
//!
//! A frame's place in the message is the library's: 16 bytes of its head, which
//! stay as they are, its ciphertext and its tag. Its additional data is as long
//! as the library's and always the same, so that building it is not counted.

use aes_gcm::aead::array::Array;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use aws_lc_rs::aead as aws_lc;
use ring::aead as ring;

use crate::bare::{IV_LENGTH, TAG_LENGTH};

/// Bytes of a frame before its ciphertext.
const HEAD: usize = 16;
/// As long as a regular frame's.
const AAD: [u8; 72] = [0x5a; 72];

/// A back end's prepared key.
pub enum Key {
    /// `aes-gcm`.
    RustCrypto(Box<Aes256Gcm>),
    /// `ring`.
    Ring(Box<ring::LessSafeKey>),
    /// `aws-lc-rs`.
    AwsLc(aws_lc::LessSafeKey),
    /// `graviola`.
    Graviola(Box<graviola::aead::AesGcm>),
}

/// How the bytes get from one buffer to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Copied, and then worked on in place.
    Copy,
    /// By the cipher itself, where the crate has such a call.
    Direct,
}

impl Key {
    /// A key of the back end of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(backend: &str, key: &[u8; 32]) -> Self {
        match backend {
            "rust-crypto" => Key::RustCrypto(Box::new(Aes256Gcm::new(&Array(*key)))),
            "ring" => {
                let key = ring::UnboundKey::new(&ring::AES_256_GCM, key).expect("a good key");
                Key::Ring(Box::new(ring::LessSafeKey::new(key)))
            }
            "aws-lc-rs" => {
                let key = aws_lc::UnboundKey::new(&aws_lc::AES_256_GCM, key).expect("a good key");
                Key::AwsLc(aws_lc::LessSafeKey::new(key))
            }
            "graviola" => Key::Graviola(Box::new(graviola::aead::AesGcm::new(key))),
            _ => panic!("no such back end: {backend}"),
        }
    }

    /// The ways that the crate has.
    pub fn ways(&self) -> &'static [Way] {
        match self {
            Key::RustCrypto(_) | Key::AwsLc(_) => &[Way::Copy, Way::Direct],
            Key::Ring(_) | Key::Graviola(_) => &[Way::Copy],
        }
    }

    /// Encrypts in place.
    pub fn seal(&self, iv: [u8; IV_LENGTH], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LENGTH] {
        let mut tag = [0; TAG_LENGTH];
        match self {
            Key::RustCrypto(key) => {
                let sealed = key.encrypt_inout_detached(&Array(iv), aad, data.into());
                tag = sealed.expect("short enough").0;
            }
            Key::Ring(key) => {
                let nonce = ring::Nonce::assume_unique_for_key(iv);
                let sealed = key.seal_in_place_separate_tag(nonce, ring::Aad::from(aad), data);
                tag.copy_from_slice(sealed.expect("short enough").as_ref());
            }
            Key::AwsLc(key) => {
                let nonce = aws_lc::Nonce::assume_unique_for_key(iv);
                key.seal_in_place_scatter(nonce, aws_lc::Aad::from(aad), data, &[], &mut tag)
                    .expect("short enough");
            }
            Key::Graviola(key) => key.encrypt(&iv, aad, data, &mut tag),
        }
        tag
    }

    /// Decrypts in place.
    pub fn open(&self, iv: [u8; IV_LENGTH], aad: &[u8], data: &mut [u8], tag: &[u8; TAG_LENGTH]) {
        let opened = match self {
            Key::RustCrypto(key) => key
                .decrypt_inout_detached(&Array(iv), aad, data.into(), &Array(*tag))
                .is_ok(),
            Key::Ring(key) => {
                let nonce = ring::Nonce::assume_unique_for_key(iv);
                let aad = ring::Aad::from(aad);
                key.open_in_place_separate_tag(nonce, aad, (*tag).into(), data, 0..)
                    .is_ok()
            }
            Key::AwsLc(key) => {
                let nonce = aws_lc::Nonce::assume_unique_for_key(iv);
                let aad = aws_lc::Aad::from(aad);
                key.open_in_place_separate_tag(nonce, aad, tag, data)
                    .is_ok()
            }
            Key::Graviola(key) => key.decrypt(&iv, aad, data, tag).is_ok(),
        };
        assert!(opened, "not authentic");
    }

    /// Encrypts from one buffer to another.
    fn seal_to(
        &self,
        way: Way,
        iv: [u8; IV_LENGTH],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> [u8; TAG_LENGTH] {
        match (self, way) {
            (Key::RustCrypto(key), Way::Direct) => {
                let data = InOutBuf::new(plaintext, out).expect("as long");
                let sealed = key.encrypt_inout_detached(&Array(iv), &AAD, data);
                sealed.expect("short enough").0
            }
            (Key::AwsLc(key), Way::Direct) => {
                let nonce = aws_lc::Nonce::assume_unique_for_key(iv);
                let mut tag = [0; TAG_LENGTH];
                let aad = aws_lc::Aad::from(&AAD);
                key.seal_out_of_place_scatter(nonce, aad, plaintext, out, &[], &mut tag)
                    .expect("short enough");
                tag
            }
            _ => {
                out.copy_from_slice(plaintext);
                self.seal(iv, &AAD, out)
            }
        }
    }

    /// Decrypts from one buffer to another.
    fn open_to(
        &self,
        way: Way,
        iv: [u8; IV_LENGTH],
        ciphertext: &[u8],
        tag: &[u8; TAG_LENGTH],
        out: &mut [u8],
    ) {
        match (self, way) {
            (Key::RustCrypto(key), Way::Direct) => {
                let data = InOutBuf::new(ciphertext, out).expect("as long");
                key.decrypt_inout_detached(&Array(iv), &AAD, data, &Array(*tag))
                    .expect("authentic");
            }
            (Key::AwsLc(key), Way::Direct) => {
                let nonce = aws_lc::Nonce::assume_unique_for_key(iv);
                key.open_separate_gather(nonce, aws_lc::Aad::from(&AAD), ciphertext, tag, out)
                    .expect("authentic");
            }
            _ => {
                out.copy_from_slice(ciphertext);
                self.open(iv, &AAD, out, tag);
            }
        }
    }
}

/// The frames of one message, from the first of them or from another one.
#[derive(Clone, Copy)]
pub struct Frames<'a> {
    /// The message's key.
    pub key: &'a Key,
    /// The bytes of plaintext in each but the last.
    pub length: usize,
    /// The first one's number.
    pub first: u32,
}

impl<'a> Frames<'a> {
    /// The bytes that the frames of so much plaintext take.
    pub fn message_length(&self, plaintext: usize) -> usize {
        plaintext + plaintext.div_ceil(self.length) * (HEAD + TAG_LENGTH)
    }

    /// Where the second half of them begins: in the plaintext and in the
    /// message; and that half.
    pub fn halve(&self, plaintext: usize) -> (usize, usize, Frames<'a>) {
        let frames = plaintext.div_ceil(self.length) / 2;
        let half = Frames {
            first: self.first + frames as u32,
            ..*self
        };
        let at = frames * self.length;
        (at, self.message_length(at), half)
    }

    fn numbers(&self) -> impl Iterator<Item = [u8; IV_LENGTH]> {
        (self.first..).map(|number| {
            let mut iv = [0; IV_LENGTH];
            iv[8..].copy_from_slice(&number.to_be_bytes());
            iv
        })
    }

    /// Encrypts into a message, which may be longer.
    pub fn encrypt(&self, way: Way, plaintext: &[u8], message: &mut [u8]) {
        let message = &mut message[..self.message_length(plaintext.len())];
        let places = message.chunks_mut(HEAD + self.length + TAG_LENGTH);
        let frames = plaintext.chunks(self.length).zip(places);
        for ((plaintext, place), iv) in frames.zip(self.numbers()) {
            let (data, tag) = place[HEAD..].split_at_mut(plaintext.len());
            tag.copy_from_slice(&self.key.seal_to(way, iv, plaintext, data));
        }
    }

    /// Decrypts a message.
    pub fn decrypt(&self, way: Way, message: &[u8], plaintext: &mut [u8]) {
        let places = message.chunks(HEAD + self.length + TAG_LENGTH);
        let frames = plaintext.chunks_mut(self.length).zip(places);
        for ((plaintext, place), iv) in frames.zip(self.numbers()) {
            let (data, tag) = place[HEAD..].split_last_chunk().expect("has a tag");
            self.key.open_to(way, iv, data, tag, plaintext);
        }
    }

    /// Encrypts into a new message, after a header of so many bytes: appended to
    /// it and worked on in place, or into one that is zero before, whichever the
    /// way is.
    pub fn encrypt_fresh(&self, way: Way, header: usize, plaintext: &[u8]) -> Vec<u8> {
        let length = header + self.message_length(plaintext.len());
        if way == Way::Direct {
            let mut message = vec![0; length];
            self.encrypt(way, plaintext, &mut message[header..]);
            return message;
        }
        let mut message = Vec::with_capacity(length);
        message.resize(header, 0);
        for (frame, iv) in plaintext.chunks(self.length).zip(self.numbers()) {
            message.extend_from_slice(&[0; HEAD]);
            let start = message.len();
            message.extend_from_slice(frame);
            let tag = self.key.seal(iv, &AAD, &mut message[start..]);
            message.extend_from_slice(&tag);
        }
        message
    }

    /// Decrypts a message into a new plaintext of this length.
    pub fn decrypt_fresh(&self, way: Way, message: &[u8], length: usize) -> Vec<u8> {
        if way == Way::Direct {
            let mut plaintext = vec![0; length];
            self.decrypt(way, message, &mut plaintext);
            return plaintext;
        }
        let mut plaintext = Vec::with_capacity(length);
        let places = message.chunks(HEAD + self.length + TAG_LENGTH);
        for (place, iv) in places.zip(self.numbers()) {
            let (data, tag) = place[HEAD..].split_last_chunk().expect("has a tag");
            let start = plaintext.len();
            plaintext.extend_from_slice(data);
            self.key.open(iv, &AAD, &mut plaintext[start..], tag);
        }
        plaintext
    }
}
