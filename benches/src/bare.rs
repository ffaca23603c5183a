//! The bare primitives that the library's default back end is built on, and
//! what of a message they need: what the library cannot be faster than.

use aes_gcm::aead::array::Array;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use sha2::Sha512;
use waxseal::{
    Client, CryptoBackend, EncryptedDataKey, EncryptionContext, RawAesProvider, SecretBytes,
    inspect,
};

/// A frame's IV.
pub const IV_LENGTH: usize = 12;
/// A frame's tag.
pub const TAG_LENGTH: usize = 16;

const KEY: [u8; 32] = [0x5a; 32];
/// The suite's id, as the key derivation binds it.
const SUITE: [u8; 2] = [0x04, 0x78];
const REGULAR: &[u8] = b"AWSKMSEncryptionClient Frame";
const FINAL: &[u8] = b"AWSKMSEncryptionClient Final Frame";

/// The provider that all benches use: one raw AES key of 32 bytes.
pub fn provider() -> RawAesProvider {
    RawAesProvider::new("bench", "key-1", &SecretBytes::copy_from(&KEY)).expect("a good key")
}

/// A client of that provider, with the back end that these primitives are.
pub fn client(frame_length: u32, signed: bool) -> Client {
    Client::builder(provider())
        .backend(CryptoBackend::rust_crypto())
        .frame_length(frame_length)
        .signed(signed)
        .build()
        .expect("good settings")
}

/// The provider's wrapping key, prepared.
pub fn wrapping_key() -> Aes256Gcm {
    Aes256Gcm::new(&Array(KEY))
}

/// Encrypts in place.
pub fn seal(key: &Aes256Gcm, iv: [u8; IV_LENGTH], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LENGTH] {
    seal_between(key, iv, aad, data.into())
}

fn seal_between(
    key: &Aes256Gcm,
    iv: [u8; IV_LENGTH],
    aad: &[u8],
    data: InOutBuf<'_, '_, u8>,
) -> [u8; TAG_LENGTH] {
    key.encrypt_inout_detached(&Array(iv), aad, data)
        .expect("short enough")
        .0
}

/// Decrypts in place.
pub fn open(
    key: &Aes256Gcm,
    iv: [u8; IV_LENGTH],
    aad: &[u8],
    data: &mut [u8],
    tag: [u8; TAG_LENGTH],
) {
    open_between(key, iv, aad, data.into(), tag);
}

fn open_between(
    key: &Aes256Gcm,
    iv: [u8; IV_LENGTH],
    aad: &[u8],
    data: InOutBuf<'_, '_, u8>,
    tag: [u8; TAG_LENGTH],
) {
    key.decrypt_inout_detached(&Array(iv), aad, data, &Array(tag))
        .expect("authentic");
}

/// A message's own key and its commitment from its data key: one extract and
/// two expands.
pub fn derive(data_key: &[u8; 32], message_id: &[u8; 32]) -> ([u8; 32], [u8; 32]) {
    let hkdf = Hkdf::<Sha512>::new(Some(message_id), data_key);
    let (mut key, mut commitment) = ([0; 32], [0; 32]);
    hkdf.expand_multi_info(&[&SUITE, b"DERIVEKEY"], &mut key)
        .expect("short enough");
    hkdf.expand(b"COMMITKEY", &mut commitment)
        .expect("short enough");
    (key, commitment)
}

/// What is wrapped in a message's header: the wrap's IV, the data key's
/// ciphertext, and its tag.
#[derive(Clone)]
pub struct Wrapped {
    /// The IV.
    pub iv: [u8; IV_LENGTH],
    /// The data key's ciphertext.
    pub data_key: [u8; 32],
    /// The tag.
    pub tag: [u8; TAG_LENGTH],
    /// The additional data: the context's canonical bytes.
    pub aad: Vec<u8>,
}

impl Wrapped {
    fn of(edk: &EncryptedDataKey, context: &EncryptionContext) -> Self {
        let (_, iv) = edk.key_info().split_last_chunk().expect("ends in the IV");
        let (data_key, tag) = edk.ciphertext().split_last_chunk().expect("has a tag");
        Wrapped {
            iv: *iv,
            data_key: data_key.try_into().expect("32 bytes"),
            tag: *tag,
            aad: context.to_bytes().expect("short enough"),
        }
    }

    /// The data key.
    pub fn open(&self, wrapping_key: &Aes256Gcm) -> [u8; 32] {
        let mut data_key = self.data_key;
        open(wrapping_key, self.iv, &self.aad, &mut data_key, self.tag);
        data_key
    }
}

/// What the primitives need of one message of suite 0x0478.
pub struct BareMessage {
    /// Its id.
    pub message_id: [u8; 32],
    /// Its data key, wrapped.
    pub wrapped: Wrapped,
    /// Its header's bytes before the tag.
    pub header: Vec<u8>,
    /// Its header's tag.
    pub header_tag: [u8; TAG_LENGTH],
    frame_length: usize,
    key: Aes256Gcm,
}

impl BareMessage {
    /// Opens the header of a message that the benches' client has made.
    pub fn new(message: &[u8], frame_length: u32) -> Self {
        let header = inspect(message).expect("a message");
        let message_id = header.message_id().try_into().expect("version 2");
        let wrapped = Wrapped::of(&header.encrypted_data_keys()[0], header.context());
        let (key, _) = derive(&wrapped.open(&wrapping_key()), &message_id);
        let (body, tag) = message[..header.header_length()]
            .split_last_chunk()
            .expect("has a tag");
        let bare = BareMessage {
            message_id,
            wrapped,
            header: body.to_vec(),
            header_tag: *tag,
            frame_length: frame_length as usize,
            key: Aes256Gcm::new(&Array(key)),
        };
        open(&bare.key, [0; IV_LENGTH], body, &mut [], *tag);
        bare
    }

    /// Where the body begins.
    fn start(&self) -> usize {
        self.header.len() + TAG_LENGTH
    }

    /// Encrypts frame by frame, to where the frames stand in the message.
    /// Returns where it ends.
    pub fn encrypt(&self, plaintext: &[u8], message: &mut [u8]) -> usize {
        let mut aad = Aad::new(&self.message_id);
        let mut position = self.start();
        let mut frames = Frames::new(plaintext.len(), self.frame_length);
        let mut rest = plaintext;
        while let Some(frame) = frames.next() {
            let (content, after) = rest.split_at(frame.length);
            rest = after;
            position += frame.head();
            let out = &mut message[position..position + frame.length + TAG_LENGTH];
            let (data, tag) = out.split_at_mut(frame.length);
            let data = InOutBuf::new(content, data).expect("as long");
            tag.copy_from_slice(&seal_between(&self.key, frame.iv(), aad.of(&frame), data));
            position += frame.length + TAG_LENGTH;
        }
        position
    }

    /// Decrypts a message's frames, one by one. The plaintext is as long as
    /// `out`.
    pub fn decrypt(&self, message: &[u8], out: &mut [u8]) {
        let mut aad = Aad::new(&self.message_id);
        let mut position = self.start();
        let mut frames = Frames::new(out.len(), self.frame_length);
        let mut rest = out;
        while let Some(frame) = frames.next() {
            let (data, after) = rest.split_at_mut(frame.length);
            rest = after;
            position += frame.head();
            let sealed = &message[position..position + frame.length];
            position += frame.length;
            let tag = message[position..].first_chunk().expect("has a tag");
            let data = InOutBuf::new(sealed, data).expect("as long");
            open_between(&self.key, frame.iv(), aad.of(&frame), data, *tag);
            position += TAG_LENGTH;
        }
    }
}

struct Frame {
    number: u32,
    length: usize,
    is_last: bool,
}

impl Frame {
    /// Bytes before the ciphertext.
    fn head(&self) -> usize {
        if self.is_last { 24 } else { 16 }
    }

    fn iv(&self) -> [u8; IV_LENGTH] {
        let mut iv = [0; IV_LENGTH];
        iv[8..].copy_from_slice(&self.number.to_be_bytes());
        iv
    }
}

struct Frames {
    left: usize,
    frame_length: usize,
    number: u32,
}

impl Frames {
    fn new(plaintext: usize, frame_length: usize) -> Self {
        Frames {
            left: plaintext,
            frame_length,
            number: 0,
        }
    }

    fn next(&mut self) -> Option<Frame> {
        if self.left == 0 {
            return None;
        }
        self.number += 1;
        let length = self.left.min(self.frame_length);
        self.left -= length;
        Some(Frame {
            number: self.number,
            length,
            is_last: self.left == 0,
        })
    }
}

/// The additional data of a message's frames.
pub struct Aad([u8; 32 + FINAL.len() + 12]);

impl Aad {
    fn new(message_id: &[u8; 32]) -> Self {
        let mut bytes = [0; _];
        bytes[..32].copy_from_slice(message_id);
        Aad(bytes)
    }

    /// That of a message's only frame.
    pub fn of_only(message_id: &[u8; 32], length: usize) -> Self {
        let mut aad = Aad::new(message_id);
        aad.of(&Frame {
            number: 1,
            length,
            is_last: true,
        });
        aad
    }

    /// All of it: a final frame's.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn of(&mut self, frame: &Frame) -> &[u8] {
        let content = if frame.is_last { FINAL } else { REGULAR };
        let (id, rest) = self.0.split_at_mut(32);
        let end = content.len() + 12;
        rest[..content.len()].copy_from_slice(content);
        rest[content.len()..end - 8].copy_from_slice(&frame.number.to_be_bytes());
        rest[end - 8..end].copy_from_slice(&(frame.length as u64).to_be_bytes());
        let end = id.len() + end;
        &self.0[..end]
    }
}
