//! The embedded KMS's formats, written from their documentation and sharing no
//! code with the library: what is sealed, records, and what is under a root
//! key. With them a harness that knows the root key gets behind the seals.

use std::sync::Arc;

use hkdf::Hkdf;
use sha2::Sha512;
use waxseal::blocking::Client;
use waxseal::{CryptoBackend, EncryptionContext, RawAesProvider, SecretBytes};

use crate::postcard::{Reader, Writer};
use crate::primitives::{open, seal, sha256};
use crate::random::Seeded;

const DIGEST_LENGTH: usize = 32;
const ZERO_IV: [u8; 12] = [0; 12];

/// What something is sealed for, as the derivation has it.
pub const CIPHERTEXT: &[u8] = b"ciphertext";
pub const RECORD: &[u8] = b"record";

/// Something sealed, by its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub key_id: String,
    pub version: u32,
    salt: Vec<u8>,
    commitment: Vec<u8>,
    /// The ciphertext and its tag.
    body: Vec<u8>,
}

impl Sealed {
    pub fn parse(bytes: &[u8]) -> Option<Sealed> {
        let (&[format, length], rest) = bytes.split_first_chunk()?;
        if format != 1 || length == 0 {
            return None;
        }
        let (key_id, rest) = rest.split_at_checked(length.into())?;
        let (version, rest) = rest.split_first_chunk()?;
        let (salt, rest) = rest.split_at_checked(32)?;
        let (commitment, body) = rest.split_at_checked(32)?;
        Some(Sealed {
            key_id: String::from_utf8(key_id.to_vec()).ok()?,
            version: u32::from_be_bytes(*version),
            salt: salt.to_vec(),
            commitment: commitment.to_vec(),
            body: (body.len() >= 16).then(|| body.to_vec())?,
        })
    }

    pub fn plaintext_length(&self) -> usize {
        self.body.len() - 16
    }

    pub fn seal(
        purpose: &[u8],
        (key_id, version, key): (&str, u32, &[u8]),
        salt: [u8; 32],
        context: &[u8],
        plaintext: &[u8],
    ) -> Vec<u8> {
        let bound = bound(purpose, key_id, version, context);
        let (once, commitment) = derive(key, &salt, &bound);
        let mut out = vec![1, key_id.len() as u8];
        out.extend_from_slice(key_id.as_bytes());
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(&salt);
        out.extend_from_slice(&commitment);
        out.extend_from_slice(&seal(&once, &ZERO_IV, &bound, plaintext));
        out
    }

    pub fn open(&self, purpose: &[u8], key: &[u8], context: &[u8]) -> Option<Vec<u8>> {
        let bound = bound(purpose, &self.key_id, self.version, context);
        let (once, commitment) = derive(key, &self.salt, &bound);
        if commitment != self.commitment {
            return None;
        }
        open(&once, &ZERO_IV, &bound, &self.body)
    }
}

fn bound(purpose: &[u8], key_id: &str, version: u32, context: &[u8]) -> Vec<u8> {
    let version = version.to_be_bytes();
    let mut bound = Vec::new();
    for part in [
        b"waxseal local-kms",
        purpose,
        &[1],
        key_id.as_bytes(),
        &version,
        context,
    ] {
        bound.extend_from_slice(&(part.len() as u32).to_be_bytes());
        bound.extend_from_slice(part);
    }
    bound
}

fn derive(key: &[u8], salt: &[u8], bound: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut out = [0; 64];
    Hkdf::<Sha512>::new(Some(salt), key)
        .expand(bound, &mut out)
        .expect("a length");
    (out[..32].to_vec(), out[32..].to_vec())
}

/// What the root record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub store_id: String,
    pub generation: u64,
    pub current: u32,
    pub keys: Vec<(u32, Vec<u8>)>,
}

impl Root {
    pub fn open(blob: &[u8], root_key: &[u8]) -> Option<Root> {
        let (plaintext, _) = open_envelope(b"waxsroot", blob, root_key)?;
        let mut reader = Reader(&plaintext);
        let root = Root {
            store_id: reader.text()?,
            generation: reader.varint()?,
            current: reader.varint()? as u32,
            keys: (0..reader.varint()?)
                .map(|_| Some((reader.varint()? as u32, reader.bytes()?.to_vec())))
                .collect::<Option<_>>()?,
        };
        reader.0.is_empty().then_some(root)
    }

    pub fn seal(&self, root_key: &[u8]) -> Vec<u8> {
        let mut plain = Writer::default();
        plain.bytes(self.store_id.as_bytes());
        plain.varint(self.generation);
        plain.varint(self.current.into());
        plain.varint(self.keys.len() as u64);
        for (version, key) in &self.keys {
            plain.varint((*version).into());
            plain.bytes(key);
        }
        let generation = self.generation.to_string();
        let pairs = [("store", &*self.store_id), ("generation", &generation)];
        seal_envelope(b"waxsroot", root_key, &pairs, &plain.0)
    }

    pub fn key(&self, version: u32) -> Option<&[u8]> {
        let mut keys = self.keys.iter();
        keys.find_map(|(found, key)| (*found == version).then_some(&key[..]))
    }
}

/// A record, open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub generation: u64,
    /// All that is sealed: the birth, the schema, and the value.
    pub plaintext: Vec<u8>,
}

impl Record {
    pub fn open(root: &Root, name: &str, blob: &[u8]) -> Option<Record> {
        let (&[1], rest) = blob.split_first_chunk()? else {
            return None;
        };
        let (generation, sealed) = rest.split_first_chunk()?;
        let generation = u64::from_be_bytes(*generation);
        let sealed = Sealed::parse(sealed)?;
        let key = root.key(sealed.version)?;
        if sealed.key_id != root.store_id {
            return None;
        }
        Some(Record {
            generation,
            plaintext: sealed.open(RECORD, key, &record_context(name, generation))?,
        })
    }

    /// The blob under this name and version of the store key.
    pub fn seal(&self, root: &Root, version: u32, name: &str) -> Vec<u8> {
        let key = root.key(version).expect("a store key");
        let salt = sha256(&[name.as_bytes(), &self.plaintext].concat());
        let context = record_context(name, self.generation);
        let key = (&*root.store_id, version, key);
        let mut blob = vec![1];
        blob.extend_from_slice(&self.generation.to_be_bytes());
        blob.extend(Sealed::seal(RECORD, key, salt, &context, &self.plaintext));
        blob
    }
}

fn record_context(name: &str, generation: u64) -> Vec<u8> {
    let mut context = (name.len() as u32).to_be_bytes().to_vec();
    context.extend_from_slice(name.as_bytes());
    context.extend_from_slice(&generation.to_be_bytes());
    context.push(1);
    context
}

/// What a backup holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    pub store_id: String,
    pub records: Vec<BackupRecord>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupRecord {
    pub name: String,
    pub generation: u64,
    /// The schema and the value.
    pub payload: Vec<u8>,
}

impl Backup {
    pub fn open(file: &[u8], key: &[u8]) -> Option<Backup> {
        let (plaintext, context) = open_envelope(b"waxsback", file, key)?;
        let backup = Backup::decode(&plaintext)?;
        (context.get("store") == Some(&backup.store_id)).then_some(backup)
    }

    pub fn decode(plaintext: &[u8]) -> Option<Backup> {
        let mut reader = Reader(plaintext);
        let backup = Backup {
            store_id: reader.text()?,
            records: (0..reader.varint()?)
                .map(|_| {
                    Some(BackupRecord {
                        name: reader.text()?,
                        generation: reader.varint()?,
                        payload: reader.bytes()?.to_vec(),
                    })
                })
                .collect::<Option<_>>()?,
        };
        reader.0.is_empty().then_some(backup)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut plain = Writer::default();
        plain.bytes(self.store_id.as_bytes());
        plain.varint(self.records.len() as u64);
        for record in &self.records {
            plain.bytes(record.name.as_bytes());
            plain.varint(record.generation);
            plain.bytes(&record.payload);
        }
        plain.0
    }
}

/// A backup's file of this plaintext, for this store.
pub fn seal_backup(key: &[u8], store_id: &str, plaintext: &[u8]) -> Vec<u8> {
    seal_envelope(b"waxsback", key, &[("store", store_id)], plaintext)
}

fn client(root_key: &[u8]) -> Client {
    let key = SecretBytes::copy_from(root_key);
    let provider = RawAesProvider::new("waxseal-kms-root", "key", &key);
    let random = Arc::new(Seeded::new(0, None));
    Client::builder(provider.expect("32 bytes"))
        .backend(CryptoBackend::default().with_random(random))
        .build()
        .expect("settings that are right")
        .blocking()
}

fn envelope_context(magic: &[u8; 8], prefix: &[u8]) -> EncryptionContext {
    let purpose = match magic {
        b"waxsroot" => "root",
        _ => "backup",
    };
    let header: String = sha256(prefix)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    EncryptionContext::from([("waxseal-kms", purpose), ("header", &*header)])
}

/// Under a root key of 32 bytes: the header is the one byte 0.
fn seal_envelope(
    magic: &[u8; 8],
    root_key: &[u8],
    pairs: &[(&str, &str)],
    plaintext: &[u8],
) -> Vec<u8> {
    let mut bytes = [&magic[..], &[1, 0, 1, 0]].concat();
    let mut context = envelope_context(magic, &bytes);
    context.extend(pairs.iter().copied());
    let message = client(root_key).encrypt(plaintext, &context);
    bytes.extend(message.expect("a message"));
    let digest = sha256(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

fn open_envelope(
    magic: &[u8; 8],
    bytes: &[u8],
    root_key: &[u8],
) -> Option<(Vec<u8>, EncryptionContext)> {
    let prefix = [&magic[..], &[1, 0, 1, 0]].concat();
    let end = bytes.len().checked_sub(DIGEST_LENGTH)?;
    let (before, digest) = bytes.split_at(end);
    if sha256(before) != *digest {
        return None;
    }
    let message = before.strip_prefix(&prefix[..])?;
    let context = envelope_context(magic, &prefix);
    let decrypted = client(root_key).decrypt(message, &context).ok()?;
    Some((decrypted.plaintext, decrypted.details.context))
}
