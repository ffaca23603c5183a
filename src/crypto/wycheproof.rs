//! Project Wycheproof's vectors, through the seam, for every back end. What
//! the seam does not take (AES-GCM with IVs of other lengths, OAEP with labels)
//! is counted aloud.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use super::tests::backends;
use super::{CryptoBackend, HkdfOutput, IV_LENGTH, InvalidKey, TAG_LENGTH};
use crate::suite::{Curve, HashAlgorithm};

#[test]
fn aes_gcm() {
    run("aes_gcm_test.json", |backend, _, test| {
        let [key, iv, aad, plaintext, ciphertext, tag] =
            ["key", "iv", "aad", "msg", "ct", "tag"].map(|field| bytes(&test[field]));
        let Ok(iv) = <[u8; IV_LENGTH]>::try_from(iv) else {
            return Verdict::Skipped("IV not of 12 bytes");
        };
        let Ok(tag) = <[u8; TAG_LENGTH]>::try_from(tag) else {
            return Verdict::Skipped("tag not of 16 bytes");
        };
        let Ok(key) = backend.aead_key(&key) else {
            return Verdict::Rejected;
        };
        let mut opened = ciphertext.clone();
        let opens = key.open(&iv, &aad, &mut opened, &tag).is_ok() && opened == plaintext;
        let mut sealed = plaintext;
        let made = key.seal(&iv, &aad, &mut sealed).expect("a seal");
        let seals = sealed == ciphertext && made == tag;
        match (opens, seals) {
            (true, true) => Verdict::Accepted,
            (false, false) => Verdict::Rejected,
            _ => Verdict::Inconsistent("opening and sealing disagree"),
        }
    });
}

#[test]
fn hkdf_sha256() {
    hkdf("hkdf_sha256_test.json", HashAlgorithm::Sha256);
}

#[test]
fn hkdf_sha384() {
    hkdf("hkdf_sha384_test.json", HashAlgorithm::Sha384);
}

#[test]
fn hkdf_sha512() {
    hkdf("hkdf_sha512_test.json", HashAlgorithm::Sha512);
}

#[test]
fn ecdsa_p256() {
    ecdsa("ecdsa_secp256r1_sha256_test.json", Curve::P256);
}

#[test]
fn ecdsa_p384() {
    ecdsa("ecdsa_secp384r1_sha384_test.json", Curve::P384);
}

#[cfg(all(feature = "aws-lc-rs", feature = "kms"))]
#[test]
fn rsa_oaep() {
    use super::rsa::{WrappingAlgorithm, WrappingKeyPair};
    use crate::SecretBytes;

    for (file, algorithm) in [
        (
            "rsa_oaep_2048_sha1_mgf1sha1_test.json",
            WrappingAlgorithm::RsaesOaepSha1,
        ),
        (
            "rsa_oaep_2048_sha256_mgf1sha256_test.json",
            WrappingAlgorithm::RsaesOaepSha256,
        ),
        (
            "rsa_oaep_4096_sha256_mgf1sha256_test.json",
            WrappingAlgorithm::RsaesOaepSha256,
        ),
    ] {
        run_one(file, "aws-lc-rs", |group, test| {
            if test["label"] != "" {
                return Verdict::Skipped("a label");
            }
            let pkcs8 = SecretBytes::from(bytes(&group["privateKeyPkcs8"]));
            let Ok(key) = WrappingKeyPair::from_private_key(&pkcs8) else {
                return Verdict::Inconsistent("a valid private key was refused");
            };
            match key.unwrap(algorithm, &bytes(&test["ct"])) {
                Ok(material) if material.expose() == bytes(&test["msg"]) => Verdict::Accepted,
                _ => Verdict::Rejected,
            }
        });
    }
}

fn hkdf(file: &str, hash: HashAlgorithm) {
    run(file, |backend, _, test| {
        let [secret, salt, info, expected] =
            ["ikm", "salt", "info", "okm"].map(|field| bytes(&test[field]));
        let size = test["size"].as_u64().expect("a size") as usize;
        // The seam takes an info in parts and several outputs: both must be
        // the same as one of each.
        let (front, back) = info.split_at(info.len() / 3);
        let (mut whole, mut parted) = (vec![0; size], vec![0; size]);
        let mut outputs = [
            HkdfOutput {
                info: &[&info],
                out: &mut whole,
            },
            HkdfOutput {
                info: &[front, &[], back],
                out: &mut parted,
            },
        ];
        match backend.hkdf(hash, &salt, &secret, &mut outputs) {
            Err(InvalidKey) => Verdict::Rejected,
            Ok(()) if whole != parted => Verdict::Inconsistent("parts change the output"),
            Ok(()) if whole == expected => Verdict::Accepted,
            Ok(()) => Verdict::Rejected,
        }
    });
}

fn ecdsa(file: &str, curve: Curve) {
    run(file, |backend, group, test| {
        // The format, and so the seam, has compressed points only (SEC 1, 2.3.3).
        let uncompressed = bytes(&group["publicKey"]["uncompressed"]);
        let (x, y) = uncompressed[1..].split_at(curve.public_key_length() - 1);
        assert_eq!((uncompressed[0], x.len()), (4, y.len()), "a public key");
        let compressed = [&[2 | (y[y.len() - 1] & 1)], x].concat();
        let Ok(key) = backend.verifying_key(curve, &compressed) else {
            return Verdict::Inconsistent("a valid public key was refused");
        };
        let mut hasher = backend.hasher(curve.hash());
        hasher.update(&bytes(&test["msg"]));
        match key.verify(&hasher.finish(), &bytes(&test["sig"])) {
            Ok(()) => Verdict::Accepted,
            Err(_) => Verdict::Rejected,
        }
    });
}

enum Verdict {
    Accepted,
    Rejected,
    /// Wrong whatever the vector says.
    Inconsistent(&'static str),
    /// Not for the seam, and why.
    Skipped(&'static str),
}

/// Holds every test of a file against what it says, for every back end.
fn run(name: &str, judge: impl Fn(&CryptoBackend, &Value, &Value) -> Verdict) {
    for backend in backends() {
        run_one(name, backend.name(), |group, test| {
            judge(&backend, group, test)
        });
    }
}

fn run_one(name: &str, implementation: &str, judge: impl Fn(&Value, &Value) -> Verdict) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/vectors/wycheproof")
        .join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        return say(&format!("wycheproof {name}: SKIPPED, the file is absent"));
    };
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let (mut passed, mut failed) = (0, Vec::new());
    let mut skipped = BTreeMap::<_, usize>::new();
    for group in list(&file["testGroups"]) {
        for test in list(&group["tests"]) {
            let expected = match test["result"].as_str() {
                Some("valid") => true,
                Some("invalid") => false,
                other => panic!("{name}: a result {other:?}, for which no rule was made"),
            };
            let problem = match judge(group, test) {
                Verdict::Skipped(why) => {
                    *skipped.entry(why).or_default() += 1;
                    continue;
                }
                Verdict::Accepted if !expected => "accepted",
                Verdict::Rejected if expected => "rejected",
                Verdict::Inconsistent(why) => why,
                _ => {
                    passed += 1;
                    continue;
                }
            };
            failed.push(format!(
                "tcId {} ({}): {problem}",
                test["tcId"], test["comment"]
            ));
        }
    }
    let mut line = format!(
        "wycheproof {name} [{implementation}]: {passed} passed, {} failed, {} skipped",
        failed.len(),
        skipped.values().sum::<usize>()
    );
    for (why, count) in &skipped {
        write!(line, " ({why}: {count})").expect("a string");
    }
    say(&line);
    assert!(failed.is_empty(), "{name}:\n{}", failed.join("\n"));
    let counted = passed + skipped.values().sum::<usize>();
    assert_eq!(file["numberOfTests"].as_u64(), Some(counted as u64));
    assert!(passed > 0, "{name}: nothing was tested");
}

/// Past libtest, which captures what passing tests print.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr");
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("hex");
    assert!(text.len().is_multiple_of(2), "hex");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}
