//! A store that lies: each bit of each blob flipped, each blob cut everywhere,
//! swapped with every other, and taken away. The errors name the record, the
//! rest goes on working, and nothing ever comes out wrong.

use waxseal::blocking::wait;
use waxseal::kms::store::{BlobStore, Expected, MemoryStore};
use waxseal::kms::{
    CreateKey, DataKeySpec, ImportOptions, KmsError, KmsResult, LocalKms, RecordProblem, RootKey,
};
use waxseal::{EncryptionContext, SecretBytes};

const PLAINTEXT: &[u8] = b"attack at dawn";

/// A small store with everything in it, and what was encrypted with it.
struct Small {
    blobs: Vec<(String, Vec<u8>)>,
    /// Key ids with a ciphertext of each.
    ciphertexts: Vec<(String, Vec<u8>)>,
}

fn root() -> RootKey {
    RootKey::bytes(SecretBytes::from(vec![9; 32]))
}

fn context() -> EncryptionContext {
    EncryptionContext::from([("tenant", "7")])
}

fn small() -> Small {
    let store = MemoryStore::new();
    let kms = wait(LocalKms::builder(store.clone(), root()).open()).unwrap();
    let one = wait(kms.create_key(CreateKey::new().alias("alias/one"))).unwrap();
    wait(kms.rotate(&one.id)).unwrap();
    let two = wait(kms.create_key(CreateKey::new().alias("alias/two").external())).unwrap();
    let material = SecretBytes::from(vec![7; 32]);
    wait(kms.import_key_material(&two.id, &material, ImportOptions::new())).unwrap();
    let mut ciphertexts = Vec::new();
    for key in [one, two] {
        let sealed = wait(kms.encrypt(&key.id, PLAINTEXT, &context())).unwrap();
        ciphertexts.push((key.id, sealed.blob));
    }
    wait(kms.flush_usage()).unwrap();
    let blobs = blobs(&store);
    assert_eq!(blobs.len(), 1 + 2 + 2 + 2);
    Small { blobs, ciphertexts }
}

fn blobs(store: &MemoryStore) -> Vec<(String, Vec<u8>)> {
    let names = wait(store.list("", None, 100)).unwrap();
    names
        .into_iter()
        .map(|entry| {
            let blob = wait(store.read(&entry.name)).unwrap().unwrap();
            (entry.name, blob.bytes)
        })
        .collect()
}

/// A store of these blobs.
fn store_of<'a>(blobs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> MemoryStore {
    let store = MemoryStore::new();
    for (name, bytes) in blobs {
        wait(store.write(name, bytes, Expected::Absent)).unwrap();
    }
    store
}

/// The store with one blob replaced, or taken away.
fn with(small: &Small, name: &str, bytes: Option<&[u8]>) -> MemoryStore {
    store_of(small.blobs.iter().filter_map(|(known, old)| {
        let content = if known == name { bytes } else { Some(&old[..]) };
        Some((known.as_str(), content?))
    }))
}

/// What uses of the store fail, and of which key: in the order of
/// [`Small::ciphertexts`].
fn use_all(small: &Small, store: MemoryStore) -> KmsResult<Vec<(usize, KmsError)>> {
    let kms = wait(LocalKms::builder(store, root()).create(false).open())?;
    let mut failures = Vec::new();
    let ids = small.ciphertexts.iter().map(|(id, _)| id);
    for (number, (id, blob)) in small.ciphertexts.iter().enumerate() {
        match wait(kms.decrypt(blob, None, &context())) {
            Ok(opened) => assert_eq!(opened.plaintext.expose(), PLAINTEXT),
            Err(error) => failures.push((number, error)),
        }
        if let Err(error) = wait(kms.usage(id)) {
            failures.push((number, error));
        }
        match wait(kms.resolve(["alias/one", "alias/two"][number])) {
            Ok(arn) => assert!(arn.ends_with(id.as_str()), "{number} is {arn}"),
            Err(error) => failures.push((number, error)),
        }
    }
    let page = wait(kms.list_keys(None, 100))?;
    for error in page.damaged {
        let number = ids
            .clone()
            .position(|id| error.to_string().contains(id.as_str()));
        failures.push((number.expect("a key's record"), error));
    }
    Ok(failures)
}

/// What failed is one key's, and names the blob that was changed.
fn assert_named(name: &str, result: KmsResult<Vec<(usize, KmsError)>>, what: &str) {
    let named = |error: &KmsError| match error {
        KmsError::Record { name, .. } => Some(name.clone()),
        _ => None,
    };
    if name == "root" {
        let error = result.expect_err(what);
        let is_named =
            named(&error).as_deref() == Some("root") || matches!(error, KmsError::WrongRoot { .. });
        assert!(is_named, "{what}: {error:?}");
        return;
    }
    let failures = result.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let (first, _) = failures
        .first()
        .unwrap_or_else(|| panic!("{what}: nothing failed"));
    for (key, error) in &failures {
        assert_eq!(key, first, "{what}: {error:?}");
        assert_eq!(named(error).as_deref(), Some(name), "{what}: {error:?}");
    }
}

#[test]
fn every_bit() {
    let small = small();
    assert!(use_all(&small, with(&small, "", None)).unwrap().is_empty());
    for (name, bytes) in &small.blobs {
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let result = use_all(&small, with(&small, name, Some(&changed)));
            assert_named(name, result, &format!("{name}, bit {bit}"));
        }
    }
}

#[test]
fn every_truncation() {
    let small = small();
    for (name, bytes) in &small.blobs {
        for length in 0..bytes.len() {
            let result = use_all(&small, with(&small, name, Some(&bytes[..length])));
            assert_named(name, result, &format!("{name}, {length} bytes"));
        }
        let longer = [&bytes[..], &[0]].concat();
        let result = use_all(&small, with(&small, name, Some(&longer)));
        assert_named(name, result, &format!("{name}, a byte more"));
    }
}

#[test]
fn every_swap() {
    let small = small();
    for (name, _) in &small.blobs {
        for (other, bytes) in small.blobs.iter().filter(|(other, _)| other != name) {
            let result = use_all(&small, with(&small, name, Some(bytes)));
            assert_named(name, result, &format!("{other} in the place of {name}"));
        }
    }
}

/// What is taken away is missing, and no more.
#[test]
fn every_absence() {
    let small = small();
    for (name, _) in &small.blobs {
        let result = use_all(&small, with(&small, name, None));
        if name == "root" {
            assert_named(name, result, "no root");
            continue;
        }
        let failures = result.unwrap();
        for (key, error) in &failures {
            assert_eq!(*key, failures[0].0, "without {name}: {error:?}");
            assert!(
                matches!(error, KmsError::NotFound { .. }),
                "without {name}: {error:?}"
            );
        }
    }
}

/// The records of another store, of the same names and under the same root.
#[test]
fn another_stores_records() {
    let (small, other) = (small(), small());
    for (name, _) in &small.blobs {
        for (_, bytes) in &other.blobs {
            let result = use_all(&small, with(&small, name, Some(bytes)));
            if name == "root" {
                // Another store's root opens, and none of the records does.
                if let Ok(failures) = result {
                    assert_eq!(failures.len(), 2 * 4);
                    continue;
                }
            }
            assert_named(
                name,
                result,
                &format!("another's record in the place of {name}"),
            );
        }
    }
}

/// An exhaustive look at one ciphertext: no change of it opens.
#[test]
fn every_bit_of_a_ciphertext() {
    let kms = LocalKms::in_memory().unwrap();
    let key = wait(kms.create_key(CreateKey::new())).unwrap();
    let generated = wait(kms.generate_data_key(&key.id, DataKeySpec::Aes128, &context())).unwrap();
    let blob = generated.ciphertext.blob;
    for bit in 0..blob.len() * 8 {
        let mut changed = blob.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let error = wait(kms.decrypt(&changed, None, &context())).unwrap_err();
        let is_refused = matches!(
            error,
            KmsError::InvalidCiphertext | KmsError::NotFound { .. }
        );
        assert!(is_refused, "bit {bit}: {error:?}");
    }
    for length in 0..blob.len() {
        let error = wait(kms.decrypt(&blob[..length], None, &context())).unwrap_err();
        assert!(
            matches!(error, KmsError::InvalidCiphertext),
            "{length}: {error:?}"
        );
    }
}

/// An old copy of one record that is put back under a process that has read a
/// newer one.
#[test]
fn an_older_generation() {
    let store = MemoryStore::new();
    let kms = wait(
        LocalKms::builder(store.clone(), root())
            .max_staleness(std::time::Duration::ZERO)
            .open(),
    )
    .unwrap();
    let key = wait(kms.create_key(CreateKey::new())).unwrap();
    let name = format!("keys/{}", key.id);
    let old = wait(store.read(&name)).unwrap().unwrap();
    wait(kms.rotate(&key.id)).unwrap();
    let new = wait(store.read(&name)).unwrap().unwrap();
    wait(store.write(&name, &old.bytes, Expected::Version(&new.version))).unwrap();
    let error = wait(kms.describe_key(&key.id)).unwrap_err();
    let expected = RecordProblem::OlderGeneration { found: 1, seen: 2 };
    match error {
        KmsError::Record {
            name: found,
            problem,
        } => {
            assert_eq!((found, problem), (name, expected));
        }
        other => panic!("{other:?}"),
    }
}
