//! Stores that were damaged, mixed up or forged.

use proptest::prelude::*;

use super::provider::Remote;
use super::*;
use crate::crypto::Entropy;
use crate::kms::codec::encode;
use crate::kms::digest::{digest, hex};
use crate::kms::vault::envelope::{self, Content};
use crate::kms::vault::passphrase::Derivation;
use crate::kms::vault::root_key::Way;

const DAMAGED: RecordProblem = RecordProblem::Damaged;

/// A store with two records.
fn small(root: RootKey) -> Store {
    let store = FaultyStore::new();
    let vault = open_with(&store, root, Creation::IfMissing).unwrap();
    create(&vault, "a", "1");
    create(&vault, "keys/b", "2");
    store
}

/// All ways in which one bit is another, or bytes are missing or too many.
fn damages(blob: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let flipped = (0..blob.len() * 8).map(|bit| {
        let mut changed = blob.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    });
    let cut = (0..blob.len()).map(|length| blob[..length].to_vec());
    let longer = std::iter::once([blob, &[0]].concat());
    flipped.chain(cut).chain(longer)
}

/// The digest at an envelope's end, as it should be.
fn with_digest(mut envelope: Vec<u8>) -> Vec<u8> {
    let Some(end) = envelope.len().checked_sub(32) else {
        return envelope;
    };
    let digest = digest(&CryptoBackend::default(), &envelope[..end]);
    envelope[end..].copy_from_slice(&digest);
    envelope
}

#[test]
fn every_bit_and_every_length_of_a_record() {
    let store = small(key(7));
    for (name, other, of_other) in [("a", "keys/b", "2"), ("keys/b", "a", "1")] {
        let blob = store.bytes(name);
        for (number, damaged) in damages(&blob).enumerate() {
            store.put(name, &damaged);
            let vault = open(&store);
            let problem = problem(read(&vault, name), name);
            let is_format = matches!(problem, RecordProblem::NewerFormat { .. });
            assert!(problem == DAMAGED || (is_format && number < 8), "{number}");
            assert_eq!(text(&vault, other), of_other);
        }
        store.put(name, &blob);
    }
}

#[test]
fn every_bit_and_every_length_of_the_root() {
    for root in [key(7), passphrase("p"), RootKey::provider(Remote::new(7))] {
        let store = small(root.clone());
        let blob = store.bytes("root");
        for (number, damaged) in damages(&blob).enumerate() {
            store.put("root", &damaged);
            let opened = open_with(&store, root.clone(), Creation::IfMissing);
            match problem(opened, "root") {
                RecordProblem::Damaged => {}
                RecordProblem::NewerFormat { .. } if number / 8 == 8 => {}
                problem => panic!("{number}: {problem:?}"),
            }
        }
        store.put("root", &blob);
        open_with(&store, root, Creation::Never).unwrap();
    }
}

/// Whoever forges it sees to its digest.
#[test]
fn a_forged_root_does_not_open() {
    for root in [key(7), passphrase("p")] {
        let store = small(root.clone());
        let vault = open_with(&store, root.clone(), Creation::Never).unwrap();
        let blob = store.bytes("root");
        let before = blob.len() - 32;
        for damaged in damages(&blob[..before]) {
            store.put("root", &with_digest([&damaged[..], &[0; 32]].concat()));
            match open_with(&store, root.clone(), Creation::IfMissing) {
                Err(KmsError::WrongRoot { .. }) => {}
                opened => drop(problem(opened, "root")),
            }
            assert_eq!(text(&vault, "a"), "1");
        }
    }
}

/// The root record with another header, and a message that names it.
fn with_way(blob: &[u8], way: &Way) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes([blob[9], blob[10]]));
    let header = encode(&[], way);
    let length_bytes = (header.len() as u16).to_be_bytes();
    let (before, message) = blob.split_at(11 + length);
    let prefix = [&before[..9], &length_bytes, header.as_slice()].concat();
    let (old, new) = (hex_digest(before), hex_digest(&prefix));
    let place = message.windows(64).position(|text| text == old.as_bytes());
    let (start, rest) = message.split_at(place.unwrap());
    with_digest([&prefix, start, new.as_bytes(), &rest[64..]].concat())
}

fn hex_digest(bytes: &[u8]) -> String {
    hex(&digest(&CryptoBackend::default(), bytes))
}

#[test]
fn headers_cost_no_more_than_the_limits() {
    let store = small(passphrase("p"));
    let blob = store.bytes("root");
    let way = |memory, passes, lanes, salt| {
        let cost = PassphraseCost {
            memory,
            passes,
            lanes,
        };
        let salt = vec![1; salt];
        Way::Passphrase(Derivation { cost, salt })
    };
    for beyond in [
        way(u32::MAX, 1, 1, 16),
        way(262_145, 1, 1, 16),
        way(8, u32::MAX, 1, 16),
        way(8, 17, 1, 16),
        way(1024, 1, 5, 16),
        way(u32::MAX, 1, u32::MAX, 16),
        way(0, 1, 1, 16),
        way(8, 0, 1, 16),
        way(8, 1, 0, 16),
        way(8, 1, 1, 15),
        way(8, 1, 1, 33),
    ] {
        store.put("root", &with_way(&blob, &beyond));
        let opened = open_with(&store, passphrase("p"), Creation::IfMissing);
        assert_eq!(problem(opened, "root"), DAMAGED, "{beyond:?}");
    }
    store.put("root", &with_way(&blob, &way(8, 1, 1, 16)));
    let opened = open_with(&store, passphrase("p"), Creation::IfMissing);
    assert!(matches!(opened, Err(KmsError::WrongRoot { .. })));
}

/// The header says how to get the same key in another way.
#[test]
fn the_header_is_bound_to_the_message() {
    // The provider has the key and the names of a key of 32 bytes.
    let secret = SecretBytes::from(vec![7; 32]);
    let raw = crate::RawAesProvider::new("waxseal-kms-root", "key", &secret).unwrap();
    let store = small(RootKey::bytes(secret));
    let blob = store.bytes("root");
    let root = RootKey::provider(raw);
    store.put("root", &with_way(&blob, &Way::Provider));
    let opened = open_with(&store, root.clone(), Creation::IfMissing);
    assert!(matches!(opened, Err(KmsError::WrongRoot { .. })));
    // The header alone: 11 bytes, and the kind.
    let mut header_only = blob.clone();
    header_only[11] = encode(&[], &Way::Provider).as_slice()[0];
    store.put("root", &with_digest(header_only));
    let opened = open_with(&store, root, Creation::IfMissing);
    assert_eq!(problem(opened, "root"), DAMAGED);
    store.put("root", &with_way(&blob, &Way::Bytes));
    open(&store);
}

#[test]
fn the_roots_content_is_what_its_message_names() {
    let store = small(key(7));
    let vault = open(&store);
    let root = vault.root();
    let backend = CryptoBackend::default();
    let blob = store.bytes("root");
    let (root_key, content) = (key(7), Content::Root);
    let opened = envelope::open(content, &blob, &root_key, None, &backend);
    let plaintext = block_on(opened).ok().unwrap().plaintext;
    let forge = |pairs: &[(&str, &str)], plaintext: &[u8]| {
        let sealed = envelope::seal(Content::Root, &root.unlocked, &backend, pairs, plaintext);
        store.put("root", &block_on(sealed).unwrap());
        open_with(&store, key(7), Creation::IfMissing)
    };
    let (id, plaintext) = (vault.store_id(), plaintext.expose());
    assert!(forge(&[("store", id), ("generation", "1")], plaintext).is_ok());
    for pairs in [
        &[("store", id), ("generation", "2")][..],
        &[("store", "another"), ("generation", "1")],
        &[("store", id)],
        &[("generation", "1")],
    ] {
        assert_eq!(problem(forge(pairs, plaintext), "root"), DAMAGED);
    }
    let pairs = [("store", id), ("generation", "1")];
    for length in 0..plaintext.len() {
        assert_eq!(
            problem(forge(&pairs, &plaintext[..length]), "root"),
            DAMAGED
        );
    }
    let longer = [plaintext, &[0]].concat();
    assert_eq!(problem(forge(&pairs, &longer), "root"), DAMAGED);
}

/// Whoever has the root key can make one store look like another's.
#[test]
fn a_root_of_another_id_with_the_same_store_keys() {
    let store = small(key(7));
    let vault = open(&store);
    let root = vault.root();
    let mut content = root.content.next(root.content.store_keys.copy()).unwrap();
    content.store_id = "another".to_owned();
    let backend = CryptoBackend::default();
    let sealed = content.seal(&root.unlocked, &backend);
    store.put("root", &block_on(sealed).unwrap());
    assert_eq!(problem(block_on(vault.contact_root()), "root"), DAMAGED);
    assert_eq!(open(&store).store_id(), "another");
}

#[test]
fn records_cannot_stand_in_for_each_other() {
    let (store, other) = (small(key(7)), small(key(7)));
    let vault = open(&store);
    let (a, b) = (store.bytes("a"), store.bytes("keys/b"));
    // Swapped, renamed, of another store.
    store.put("a", &b);
    store.put("keys/b", &a);
    store.put("c", &a);
    store.put("d", &other.bytes("a"));
    for name in ["a", "keys/b", "c", "d"] {
        assert_eq!(problem(read(&vault, name), name), DAMAGED);
    }
    // Also under the other store's name and keys.
    store.put("a", &a);
    store.put("root", &other.bytes("root"));
    assert_eq!(problem(block_on(vault.contact_root()), "root"), DAMAGED);
    assert_eq!(text(&vault, "a"), "1");
    assert_eq!(problem(read(&open(&store), "a"), "a"), DAMAGED);
    store.put("a", &other.bytes("a"));
    assert_eq!(text(&open(&store), "a"), "1");
    assert_eq!(problem(read(&vault, "a"), "a"), DAMAGED);
    // A record is no root, and a root no record.
    store.put("c", &store.bytes("root"));
    store.put("root", &a);
    assert!(read(&vault, "c").is_err());
    assert_eq!(
        problem(open_with(&store, key(7), Creation::IfMissing), "root"),
        DAMAGED
    );
}

/// The id in the record says whose it is, and the key whether that is so.
#[test]
fn a_record_with_another_stores_id() {
    let store = small(key(7));
    let vault = open(&store);
    let (backend, root) = (CryptoBackend::default(), vault.root());
    let mut entropy = Entropy::draw(backend.random(), 32).unwrap();
    let key = crate::kms::seal::SealingKey {
        id: "another",
        ..root.sealing_key()
    };
    let payload = encode(&[1], &value("x"));
    let payload = payload.as_slice();
    let record = crate::kms::vault::record::seal_record;
    let blob = record(&backend, &mut entropy, key, "a", 1, &[0; 8], payload).unwrap();
    store.put("a", &blob);
    assert_eq!(problem(read(&vault, "a"), "a"), DAMAGED);
}

#[test]
fn newer_formats_say_so() {
    let store = small(key(7));
    let newer = |found| RecordProblem::NewerFormat {
        found,
        supported: 1,
    };
    let vault = open(&store);
    for found in [2, 255] {
        let mut blob = store.bytes("a");
        blob[0] = found;
        store.put("a", &blob);
        assert_eq!(problem(read(&vault, "a"), "a"), newer(found.into()));
        // Whatever comes after it.
        store.put("a", &[found]);
        assert_eq!(problem(read(&vault, "a"), "a"), newer(found.into()));
        let mut blob = store.bytes("root");
        blob[8] = found;
        store.put("root", &blob[..9]);
        let opened = open_with(&store, key(7), Creation::IfMissing);
        assert_eq!(problem(opened, "root"), newer(found.into()));
        store.put("root", &blob);
    }
    assert_eq!(text(&vault, "keys/b"), "2");
}

/// A copy of the store that went on by itself is no successor.
#[test]
fn a_root_that_lacks_a_store_key() {
    let store = small(key(7));
    let fork = store.copy();
    let vault = open(&store);
    block_on(vault.rotate_store_key()).unwrap();
    let forked = open(&fork);
    block_on(forked.change_root(key(7))).unwrap();
    block_on(forked.rotate_store_key()).unwrap();
    store.put("root", &fork.bytes("root"));
    assert_eq!(problem(block_on(vault.contact_root()), "root"), DAMAGED);
    assert_eq!(text(&vault, "a"), "1");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), format: bool) {
        let store = small(passphrase("p"));
        let vault = open_with(&store, passphrase("p"), Creation::Never).unwrap();
        let record = if format { [&[1], &bytes[..]].concat() } else { bytes.clone() };
        store.put("a", &record);
        prop_assert!(read(&vault, "a").is_err());
        prop_assert_eq!(text(&vault, "keys/b"), "2");
        let start: &[u8] = if format { b"waxsroot\x01\x00\x15" } else { b"" };
        store.put("root", &with_digest([start, &bytes].concat()));
        prop_assert!(open_with(&store, passphrase("p"), Creation::IfMissing).is_err());
        let start: &[u8] = if format { b"waxsback\x01\x00\x15" } else { b"" };
        let backup = with_digest([start, &bytes].concat());
        prop_assert!(block_on(vault.import(&backup, &passphrase("p"), &AnyKind)).is_err());
    }
}
