//! Back ends against each other: what one seals, signs or derives, the others
//! open, verify and derive alike. And what each lacks, by name.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::tests::{backends, digest};
use super::{CryptoBackend, HkdfOutput, IV_LENGTH, NotAuthentic};
use crate::suite::{Curve, HashAlgorithm};

const CURVES: [Curve; 2] = [Curve::P256, Curve::P384];

/// Name, AES-GCM, AES-192, HKDF, hashes, ECDSA.
const TABLE: [[&str; 6]; 5] = [
    [
        "rust-crypto",
        "aes-gcm",
        "aes-gcm",
        "hkdf",
        "sha2",
        "p256, p384",
    ],
    [
        "graviola",
        "graviola",
        "aes-gcm",
        "hkdf",
        "sha2",
        "p256, p384",
    ],
    ["ring", "ring", "aes-gcm", "hkdf", "ring", "p256, p384"],
    [
        "aws-lc-rs",
        "aws-lc-rs",
        "aws-lc-rs",
        "hkdf",
        "aws-lc-rs",
        "aws-lc-rs",
    ],
    [
        "aws-lc-rs-fips",
        "aws-lc-rs-fips",
        "aws-lc-rs-fips",
        "aws-lc-rs-fips",
        "aws-lc-rs-fips",
        "aws-lc-rs-fips",
    ],
];

fn row(backend: &CryptoBackend) -> [&'static str; 6] {
    let of = backend.primitives();
    [
        backend.name(),
        of.aead,
        of.aes_192,
        of.kdf,
        of.hash,
        of.ecdsa,
    ]
}

#[test]
fn what_each_is_made_of() {
    let available = CryptoBackend::available();
    for backend in &available {
        assert!(TABLE.contains(&row(backend)), "{backend:?}");
        let found = CryptoBackend::by_name(backend.name()).unwrap();
        assert_eq!(row(&found), row(backend));
    }
    let mut names: Vec<_> = available.iter().map(CryptoBackend::name).collect();
    assert_eq!(names.last(), Some(&"rust-crypto"));
    names.sort_unstable();
    let mut expected = vec!["rust-crypto"];
    if cfg!(feature = "fips") {
        expected.push("aws-lc-rs-fips");
    } else if cfg!(feature = "aws-lc-rs") {
        expected.push("aws-lc-rs");
    }
    if cfg!(feature = "ring") {
        expected.push("ring");
    }
    #[cfg(feature = "graviola")]
    expected.extend(CryptoBackend::graviola().map(|backend| backend.name()));
    expected.sort_unstable();
    assert_eq!(names, expected);

    for unknown in ["", "Ring", "openssl", "rust-crypto "] {
        let error = CryptoBackend::by_name(unknown).unwrap_err().to_string();
        for name in &names {
            assert!(error.contains(name), "{error}");
        }
    }
}

#[test]
fn what_the_default_is_made_of() {
    let default = row(&CryptoBackend::default());
    let first = row(&CryptoBackend::available()[0]);
    assert_eq!(default[..4], first[..4]);
    let [.., hash, ecdsa] = default;
    if cfg!(feature = "fips") {
        assert_eq!(default, ["aws-lc-rs-fips"; 6]);
    } else if cfg!(feature = "aws-lc-rs") {
        assert_eq!([hash, ecdsa], ["aws-lc-rs"; 2]);
    } else if cfg!(feature = "ring") {
        assert_eq!([hash, ecdsa], ["ring", "p256, p384"]);
    } else {
        assert_eq!([hash, ecdsa], ["sha2", "p256, p384"]);
    }
    let printed = CryptoBackend::default().primitives().to_string();
    assert!(printed.contains(&format!("ECDSA: {ecdsa}")), "{printed}");
}

#[cfg(feature = "fips")]
#[test]
fn the_module_is_the_fips_one() {
    assert_eq!(aws_lc_rs::try_fips_mode(), Ok(()));
}

/// What is drawn for tests is drawn from the test's source only.
#[test]
fn with_a_source_of_its_own() {
    for backend in backends() {
        let random = backend.random().clone();
        let of = backend.with_random(random).primitives();
        assert_eq!(of.ecdsa, "p256, p384");
    }
}

#[test]
fn the_same_bytes_from_each() {
    let backends = backends();
    let lengths = prop_oneof![
        4 => 0..=300usize,
        2 => (0..=17usize, -17..=17isize)
            .prop_map(|(blocks, off)| (blocks * 4096).saturating_add_signed(off)),
        1 => 0..=71_000usize,
    ];
    let inputs = (
        prop_oneof![Just(16), Just(24), Just(32)],
        any::<[u8; 32]>(),
        any::<[u8; IV_LENGTH]>(),
        proptest::collection::vec(any::<u8>(), 0..200),
        lengths,
        any::<u8>(),
    );
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&inputs, |(key_length, key, iv, aad, length, first)| {
        let plaintext: Vec<u8> = (0..length)
            .map(|at| first.wrapping_add((at % 251) as u8))
            .collect();
        let mut expected = None;
        for backend in &backends {
            let key = backend.aead_key(&key[..key_length]).unwrap();
            let mut sealed = vec![0xee; length];
            let tag = key.seal_to(&iv, &aad, &plaintext, &mut sealed).unwrap();
            let mut in_place = plaintext.clone();
            prop_assert_eq!(key.seal(&iv, &aad, &mut in_place), Ok(tag));
            let (sealed, tag) = &*expected.get_or_insert((sealed, tag));
            // Not by prop_assert_eq, which would print both.
            prop_assert!(*sealed == in_place, "{backend:?}");

            let mut out = vec![0xee; length];
            prop_assert_eq!(key.open_to(&iv, &aad, sealed, tag, &mut out), Ok(()));
            prop_assert!(out == plaintext, "{backend:?}");
            prop_assert_eq!(key.open(&iv, &aad, &mut in_place, tag), Ok(()));
            prop_assert!(in_place == plaintext, "{backend:?}");

            let mut other = *tag;
            other[usize::from(first) % 16] ^= 1;
            let opened = key.open_to(&iv, &aad, sealed, &other, &mut out);
            prop_assert_eq!(opened, Err(NotAuthentic));
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn the_same_keys_and_hashes_from_each() {
    let data: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    for hash in [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ] {
        for length in [0, 1, 31, 32, 64, 111, 128, 500, 10_000] {
            let of = |backend: &CryptoBackend| {
                let (mut long, mut short) = (vec![0; 100], [0; 32]);
                let info = [&data[..length / 2], &data[length / 2..length]];
                let mut outputs = [
                    HkdfOutput {
                        info: &info,
                        out: &mut long,
                    },
                    HkdfOutput {
                        info: &[b"COMMITKEY"],
                        out: &mut short,
                    },
                ];
                let (salt, secret) = (&data[..length], &data[length / 3..length]);
                backend.hkdf(hash, salt, secret, &mut outputs).unwrap();
                let mut hasher = backend.hasher(hash);
                hasher.update(&data[..length]);
                (long, short, hasher.finish().as_ref().to_vec())
            };
            let expected = of(&CryptoBackend::rust_crypto());
            for backend in backends() {
                assert_eq!(of(&backend), expected, "{backend:?}");
            }
        }
    }
}

#[test]
fn signatures_of_each_verify_under_each() {
    for signer in backends() {
        for curve in CURVES {
            for number in 0..20u8 {
                let key = signer.signing_key(curve).unwrap();
                let digest = digest(&signer, curve, &[number]);
                let signature = key.sign(&digest, &**signer.random()).unwrap();
                for verifier in backends() {
                    let of = verifier.verifying_key(curve, &key.public_key()).unwrap();
                    assert_eq!(
                        of.verify(&digest, &signature),
                        Ok(()),
                        "{signer:?}, {verifier:?}"
                    );
                }
            }
        }
    }
}

#[cfg(feature = "kms-policy")]
#[test]
fn signing_keys_from_the_same_secret() {
    for curve in CURVES {
        let length = curve.public_key_length() - 1;
        for first in [0, 1, 0x7f] {
            let mut secret = vec![0x5a; length];
            secret[0] = first;
            let expected = CryptoBackend::rust_crypto().signing_key_from(curve, &secret);
            let expected = expected.unwrap().public_key();
            for backend in backends() {
                let key = backend.signing_key_from(curve, &secret).unwrap();
                assert_eq!(key.public_key(), expected, "{backend:?}");
                let digest = digest(&backend, curve, b"signed");
                let signature = key.sign(&digest, &**backend.random()).unwrap();
                let point = backend.verifying_key(curve, &expected).unwrap();
                assert_eq!(point.verify(&digest, &signature), Ok(()));
            }
        }
        for backend in backends() {
            let refused = |secret: &[u8]| backend.signing_key_from(curve, secret).is_err();
            // Zero, not below the order, and other lengths.
            assert!(refused(&vec![0; length]), "{backend:?}");
            assert!(refused(&vec![0xff; length]), "{backend:?}");
            for wrong in [0, 1, 31, 33, 47, 49, 64] {
                if wrong != length {
                    assert!(refused(&vec![1; wrong]), "{backend:?}: {wrong}");
                }
            }
        }
    }
}
