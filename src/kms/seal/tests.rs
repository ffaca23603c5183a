//! The sealing's own vectors, and what must not open.
//!
//! `tests/vectors/kms/seal.py` makes the vectors; it shares nothing with the
//! code but the construction as it is written down.

use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::crypto::SecureRandom;

fn material(byte: u8) -> SecretBytes {
    SecretBytes::from(vec![byte; BACKING_KEY_LENGTH])
}

fn sealed(purpose: Purpose, id: &str, version: u32, context: &[u8], text: &[u8]) -> Vec<u8> {
    let backend = CryptoBackend::default();
    let mut entropy = Entropy::draw(backend.random(), SALT_LENGTH).unwrap();
    let material = material(7);
    let key = SealingKey {
        id,
        version,
        material: &material,
    };
    let sealed = seal(&backend, &mut entropy, purpose, key, context, text).unwrap();
    assert_eq!(sealed.len(), sealed_length(id.len(), text.len()));
    // Had it grown, the plaintext would have been left behind.
    assert_eq!(sealed.capacity(), sealed.len());
    sealed
}

fn opened(sealed: &[u8], purpose: Purpose, byte: u8, context: &[u8]) -> Option<Vec<u8>> {
    let backend = CryptoBackend::default();
    let parsed = Sealed::parse(sealed)?;
    let opened = parsed
        .open(&backend, purpose, &material(byte), context)
        .ok()?;
    assert_eq!(opened.len(), parsed.plaintext_length());
    Some(opened.expose().to_vec())
}

#[test]
fn opens_under_the_same_and_nothing_else() {
    let blob = sealed(Purpose::Ciphertext, "id", 3, b"context", b"text");
    assert_eq!(
        opened(&blob, Purpose::Ciphertext, 7, b"context").as_deref(),
        Some(&b"text"[..])
    );
    assert_eq!(opened(&blob, Purpose::Record, 7, b"context"), None);
    assert_eq!(opened(&blob, Purpose::Ciphertext, 8, b"context"), None);
    assert_eq!(opened(&blob, Purpose::Ciphertext, 7, b"contexu"), None);
    assert_eq!(opened(&blob, Purpose::Ciphertext, 7, b""), None);
}

#[test]
fn every_bit_and_every_length_counts() {
    let blob = sealed(Purpose::Record, "id", 1, b"c", b"text");
    for bit in 0..blob.len() * 8 {
        let mut changed = blob.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            opened(&changed, Purpose::Record, 7, b"c"),
            None,
            "bit {bit}"
        );
    }
    for length in 0..blob.len() {
        assert_eq!(opened(&blob[..length], Purpose::Record, 7, b"c"), None);
    }
    let longer = [&blob[..], &[0]].concat();
    assert_eq!(opened(&longer, Purpose::Record, 7, b"c"), None);
}

#[test]
fn no_salt_twice() {
    let blobs: Vec<_> = (0..100)
        .map(|_| sealed(Purpose::Ciphertext, "id", 1, b"", b""))
        .collect();
    let salts: std::collections::BTreeSet<_> = blobs
        .iter()
        .map(|blob| Sealed::parse(blob).unwrap().salt)
        .collect();
    assert_eq!(salts.len(), 100);
}

#[test]
fn ids_have_one_to_255_bytes() {
    let backend = CryptoBackend::default();
    let material = material(7);
    for (length, fits) in [(0, false), (1, true), (255, true), (256, false)] {
        let mut entropy = Entropy::draw(backend.random(), SALT_LENGTH).unwrap();
        let key = SealingKey {
            id: &"x".repeat(length),
            version: 1,
            material: &material,
        };
        let purpose = Purpose::Ciphertext;
        let sealed = seal(&backend, &mut entropy, purpose, key, b"", b"");
        assert_eq!(sealed.is_ok(), fits, "{length}");
    }
}

/// These bytes, once.
struct Given(Mutex<Vec<u8>>);

impl SecureRandom for Given {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        let mut given = self.0.lock().unwrap();
        if given.len() < out.len() {
            return Err(RandomError::new("all was drawn"));
        }
        out.copy_from_slice(&given[..out.len()]);
        given.drain(..out.len());
        Ok(())
    }
}

fn given(bytes: Vec<u8>) -> Result<Entropy, RandomError> {
    let length = bytes.len();
    let source: Arc<dyn SecureRandom> = Arc::new(Given(Mutex::new(bytes)));
    Entropy::draw(&source, length)
}

fn vectors(list: &str) -> Vec<Value> {
    let text = include_str!("../../../tests/vectors/kms/seal.json");
    let mut file: Value = serde_json::from_str(text).unwrap();
    match file[list].take() {
        Value::Array(vectors) => vectors,
        other => panic!("{list}: {other}"),
    }
}

/// A vector's field, of hex.
fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    let text = vector[field].as_str().expect(field);
    assert!(text.len().is_multiple_of(2), "{field}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect(field))
        .collect()
}

fn purpose(vector: &Value) -> Purpose {
    match vector["purpose"].as_str() {
        Some("ciphertext") => Purpose::Ciphertext,
        Some("record") => Purpose::Record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn vectors_open_and_are_sealed_alike() {
    let backend = CryptoBackend::default();
    let vectors = vectors("opens");
    assert_eq!(vectors.len(), 27);
    for vector in &vectors {
        let name = &vector["name"];
        let [material, context, plaintext, salt, blob] =
            ["material", "context", "plaintext", "salt", "sealed"].map(|f| bytes(vector, f));
        let material = SecretBytes::from(material);
        let id = vector["key_id"].as_str().unwrap();
        let version = u32::try_from(vector["version"].as_u64().unwrap()).unwrap();

        let parsed = Sealed::parse(&blob).expect("a sealed format");
        assert_eq!((parsed.key_id, parsed.version), (id, version), "{name}");
        let opened = parsed.open(&backend, purpose(vector), &material, &context);
        let opened = opened.unwrap_or_else(|_| panic!("{name} does not open"));
        assert_eq!(opened.expose(), plaintext, "{name}");

        let key = SealingKey {
            id,
            version,
            material: &material,
        };
        let mut entropy = given(salt).unwrap();
        let seal = |entropy: &mut _| {
            let purpose = purpose(vector);
            seal(&backend, entropy, purpose, key, &context, &plaintext)
        };
        assert_eq!(seal(&mut entropy).unwrap(), blob, "{name}");
        // The salt, no byte of which was drawn twice, was all it had.
        let again = seal(&mut entropy);
        assert!(matches!(again, Err(SealError::Random(_))), "{name}");
    }
}

#[test]
fn vectors_with_one_thing_wrong_do_not_open() {
    let backend = CryptoBackend::default();
    let vectors = vectors("refused");
    assert_eq!(vectors.len(), 50);
    for vector in &vectors {
        let name = &vector["name"];
        let [material, context, blob] = ["material", "context", "sealed"].map(|f| bytes(vector, f));
        let Some(parsed) = Sealed::parse(&blob) else {
            assert_eq!(vector["refused_by"], "format", "{name}");
            continue;
        };
        assert_ne!(vector["refused_by"], "format", "{name}");
        let material = SecretBytes::from(material);
        let opened = parsed.open(&backend, purpose(vector), &material, &context);
        assert_eq!(opened.err(), Some(NotOpened), "{name}");
    }
}

#[test]
fn backing_keys_have_32_bytes() {
    let backend = CryptoBackend::default();
    for length in [0, 16, 31, 33, 64] {
        let material = SecretBytes::from(vec![7; length]);
        let mut entropy = Entropy::draw(backend.random(), SALT_LENGTH).unwrap();
        let key = SealingKey {
            id: "id",
            version: 1,
            material: &material,
        };
        let sealed = seal(&backend, &mut entropy, Purpose::Record, key, b"", b"");
        assert!(matches!(sealed, Err(SealError::TooLong)), "{length} bytes");
    }
}

/// A key id: any text of 1 to 255 bytes.
fn key_id() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[a-z0-9-]{1,255}",
        vec(any::<char>(), 1..64).prop_map(String::from_iter)
    ];
    text.prop_filter("an id of up to 255 bytes", |id| id.len() <= 255)
}

/// Bytes, and what looks like the format from its first bytes on.
fn like_sealed() -> impl Strategy<Value = Vec<u8>> {
    let formatted =
        (key_id(), vec(any::<u8>(), 0..200), any::<u8>()).prop_map(|(id, rest, length)| {
            // Half of the lengths are right.
            let length = if length < 128 { id.len() as u8 } else { length };
            [&[FORMAT, length], id.as_bytes(), &rest].concat()
        });
    prop_oneof![vec(any::<u8>(), 0..400), formatted]
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn what_is_sealed_opens(
        id in key_id(),
        version in any::<u32>(),
        record in any::<bool>(),
        context in vec(any::<u8>(), 0..300),
        text in vec(any::<u8>(), 0..300),
    ) {
        let (purpose, other) = match record {
            true => (Purpose::Record, Purpose::Ciphertext),
            false => (Purpose::Ciphertext, Purpose::Record),
        };
        let blob = sealed(purpose, &id, version, &context, &text);
        let parsed = Sealed::parse(&blob).unwrap();
        prop_assert_eq!((parsed.key_id, parsed.version), (&id[..], version));
        prop_assert_eq!(opened(&blob, purpose, 7, &context), Some(text));
        prop_assert_eq!(opened(&blob, other, 7, &context), None);
        prop_assert_eq!(opened(&blob, purpose, 8, &context), None);
        let longer = [&context[..], &[0]].concat();
        prop_assert_eq!(opened(&blob, purpose, 7, &longer), None);
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn bytes_have_one_reading_or_none(bytes in like_sealed()) {
        if let Some(parsed) = Sealed::parse(&bytes) {
            let Sealed { key_id, version, salt, commitment, ciphertext, tag } = parsed;
            prop_assert_eq!(salt.len(), SALT_LENGTH);
            prop_assert_eq!(commitment.len(), COMMITMENT_LENGTH);
            let again = [
                &[FORMAT, key_id.len() as u8],
                key_id.as_bytes(),
                &version.to_be_bytes(),
                salt,
                commitment,
                ciphertext,
                tag,
            ]
            .concat();
            prop_assert_eq!(again.len(), sealed_length(key_id.len(), parsed.plaintext_length()));
            prop_assert_eq!(again, &bytes[..]);
            prop_assert_eq!(opened(&bytes, Purpose::Record, 7, b""), None);
        }
    }
}
