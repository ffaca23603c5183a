//! What every back end must refuse, and what it must give, beyond the vectors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::random::SystemRandom;
use super::{
    CryptoBackend, Digest, HkdfOutput, IV_LENGTH, InvalidKey, NotAuthentic, RandomError,
    SecureRandom, TAG_LENGTH,
};
use crate::suite::{Curve, HashAlgorithm};

/// Every back end that is compiled in, and what they are put together to.
pub(super) fn backends() -> Vec<CryptoBackend> {
    let mut backends = CryptoBackend::available();
    // What FIPS is made of, which is not built everywhere.
    #[cfg(feature = "aws-lc-rs")]
    backends.push(CryptoBackend::aws_lc_alone());
    backends.push(CryptoBackend::default());
    backends
}

const HASHES: [(HashAlgorithm, usize); 3] = [
    (HashAlgorithm::Sha256, 32),
    (HashAlgorithm::Sha384, 48),
    (HashAlgorithm::Sha512, 64),
];

/// With as many signatures as a test has time for, unoptimised.
const CURVES: [(Curve, usize); 2] = [(Curve::P256, 300), (Curve::P384, 100)];

#[test]
fn aead_keys_of_other_lengths() {
    for backend in backends() {
        for length in (0..=65).chain([128, 256, 65_536]) {
            let accepted = backend.aead_key(&vec![1; length]).is_ok();
            assert_eq!(accepted, [16, 24, 32].contains(&length), "{length} bytes");
        }
    }
}

#[test]
fn aead_opens_only_what_was_sealed() {
    let (iv, aad) = ([3; IV_LENGTH], b"additional");
    for backend in backends() {
        for (key_length, length) in [(16, 0), (24, 1), (32, 16), (32, 100)] {
            let key = backend.aead_key(&vec![9; key_length]).unwrap();
            let plaintext = vec![0x5a; length];
            let mut sealed = plaintext.clone();
            let tag = key.seal(&iv, aad, &mut sealed).unwrap();
            let open = |iv: &[u8; IV_LENGTH], aad: &[u8], data: &[u8], tag: &[u8; TAG_LENGTH]| {
                let mut data = data.to_vec();
                key.open(iv, aad, &mut data, tag).map(|()| data)
            };
            assert_eq!(open(&iv, aad, &sealed, &tag), Ok(plaintext));

            for bit in 0..8 * TAG_LENGTH {
                let mut other = tag;
                other[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(open(&iv, aad, &sealed, &other), Err(NotAuthentic));
            }
            for bit in 0..8 * IV_LENGTH {
                let mut other = iv;
                other[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(open(&other, aad, &sealed, &tag), Err(NotAuthentic));
            }
            for bit in 0..8 * sealed.len() {
                let mut other = sealed.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(open(&iv, aad, &other, &tag), Err(NotAuthentic));
            }
            for other in [&b""[..], b"additiona", b"additional\0", b"Additional"] {
                assert_eq!(open(&iv, other, &sealed, &tag), Err(NotAuthentic));
            }
            for cut in 0..sealed.len() {
                assert_eq!(open(&iv, aad, &sealed[..cut], &tag), Err(NotAuthentic));
            }
            let longer = [&sealed[..], &[0]].concat();
            assert_eq!(open(&iv, aad, &longer, &tag), Err(NotAuthentic));
            for other in [16, 24, 32].map(|length| vec![8; length]) {
                let other = backend.aead_key(&other).unwrap();
                let opened = other.open(&iv, aad, &mut sealed.clone(), &tag);
                assert_eq!(opened, Err(NotAuthentic));
            }
        }
    }
}

#[test]
fn aead_out_of_place_is_as_in_place() {
    let (iv, aad) = ([3; IV_LENGTH], b"additional");
    for backend in backends() {
        for (key_length, length) in [(16, 0), (24, 1), (32, 16), (16, 4_096), (32, 70_001)] {
            let key = backend.aead_key(&vec![9; key_length]).unwrap();
            let plaintext: Vec<_> = (0..=255).cycle().take(length).collect();
            let mut sealed = plaintext.clone();
            let tag = key.seal(&iv, aad, &mut sealed).unwrap();
            let mut out = vec![0xee; length];
            assert_eq!(key.seal_to(&iv, aad, &plaintext, &mut out), Ok(tag));
            assert_eq!(out, sealed);
            out.fill(0xee);
            assert_eq!(key.open_to(&iv, aad, &sealed, &tag, &mut out), Ok(()));
            assert_eq!(out, plaintext);
            let mut other = tag;
            other[15] ^= 1;
            let opened = key.open_to(&iv, aad, &sealed, &other, &mut out);
            assert_eq!(opened, Err(NotAuthentic));

            let mut out = vec![0; length + 2];
            for wrong in [0, 1, length.saturating_sub(1), length + 1, length + 2] {
                if wrong == length {
                    continue;
                }
                let out = &mut out[..wrong];
                assert_eq!(key.seal_to(&iv, aad, &plaintext, out), Err(InvalidKey));
                let opened = key.open_to(&iv, aad, &sealed, &tag, out);
                assert_eq!(opened, Err(NotAuthentic));
            }
        }
    }
}

#[test]
fn hkdf_limits() {
    for backend in backends() {
        for (hash, length) in HASHES {
            let derive = |salt: &[u8], secret: &[u8], size: usize| {
                let mut out = vec![0; size];
                let output = HkdfOutput {
                    info: &[],
                    out: &mut out,
                };
                backend
                    .hkdf(hash, salt, secret, &mut [output])
                    .map(|()| out)
            };
            // RFC 5869, 2.3: at most 255 blocks.
            let longest = derive(b"salt", b"secret", 255 * length).unwrap();
            assert_eq!(
                derive(b"salt", b"secret", 255 * length + 1),
                Err(InvalidKey)
            );
            assert_eq!(derive(b"salt", b"secret", 65_536), Err(InvalidKey));
            assert_eq!(derive(b"salt", b"secret", 0), Ok(Vec::new()));
            assert_eq!(derive(b"salt", b"secret", 40).unwrap(), longest[..40]);
            // 2.2: no salt is one of as many zeros as the hash has bytes.
            assert_eq!(
                derive(b"", b"secret", 32),
                derive(&vec![0; length], b"secret", 32)
            );
            assert!(derive(b"", b"", 32).is_ok());
            assert_ne!(derive(b"", b"a", 32), derive(b"a", b"", 32));
            assert_eq!(backend.hkdf(hash, b"", b"", &mut []), Ok(()));

            // One output too long among others fails the whole call.
            let (mut short, mut long) = ([0; 8], vec![0; 255 * length + 1]);
            let mut outputs = [&mut short[..], &mut long].map(|out| HkdfOutput { info: &[], out });
            assert_eq!(
                backend.hkdf(hash, b"", b"", &mut outputs),
                Err(InvalidKey),
                "{hash:?}"
            );
        }
    }
}

#[test]
fn hashes_in_pieces() {
    for backend in backends() {
        for (hash, length) in HASHES {
            let data: Vec<_> = (0..=255u8).cycle().take(1_000).collect();
            let mut whole = backend.hasher(hash);
            whole.update(&data);
            let whole = whole.finish();
            assert_eq!(whole.as_ref().len(), length);
            let mut pieces = backend.hasher(hash);
            for piece in data.chunks(77) {
                pieces.update(piece);
                pieces.update(&[]);
            }
            assert_eq!(pieces.finish().as_ref(), whole.as_ref());
        }
    }
}

#[test]
fn points_that_are_none() {
    for backend in backends() {
        for (curve, _) in CURVES {
            let key = backend.signing_key(curve).unwrap();
            let point = key.public_key();
            assert_eq!(point.len(), curve.public_key_length());
            assert!(backend.verifying_key(curve, &point).is_ok());
            let refused = |point: &[u8]| backend.verifying_key(curve, point).is_err();
            for length in (0..=140).filter(|length| *length != point.len()) {
                let other: Vec<_> = point.iter().copied().cycle().take(length).collect();
                assert!(refused(&other), "{length} bytes");
            }
            for prefix in (0..=255).filter(|prefix| ![2, 3].contains(prefix)) {
                assert!(refused(&[&[prefix], &point[1..]].concat()), "{prefix:#x}");
            }
            // Not below the field's prime.
            assert!(refused(&[&[2], &vec![0xff; point.len() - 1][..]].concat()));
            // About every second x has no point.
            let mut other = point.clone();
            let without = (0..64).filter(|_| {
                let last = other.len() - 1;
                other[last] = other[last].wrapping_add(1);
                refused(&other)
            });
            assert!((8..56).contains(&without.count()), "{curve:?}");
            // Of another curve.
            for (other, _) in CURVES {
                assert_eq!(
                    backend.verifying_key(other, &point).is_ok(),
                    other == curve,
                    "{other:?}"
                );
            }
        }
    }
}

#[test]
fn signatures_have_one_length() {
    for backend in backends() {
        for (curve, times) in CURVES {
            let key = backend.signing_key(curve).unwrap();
            let verifying = backend.verifying_key(curve, &key.public_key()).unwrap();
            let (mut high, mut low) = (0, 0);
            for number in 0..times {
                let digest = digest(&backend, curve, &number.to_be_bytes());
                let signature = key.sign(&digest, &**backend.random()).unwrap();
                let fixed = match curve {
                    Curve::P256 => 71,
                    Curve::P384 => 103,
                };
                assert_eq!(signature.len(), fixed);
                assert_eq!(verifying.verify(&digest, &signature), Ok(()));
                let s = &signature[signature.len() - curve.public_key_length() + 1..];
                let half = if s[0] & 0x80 == 0 {
                    &mut low
                } else {
                    &mut high
                };
                *half += 1;
            }
            // Both forms of s are legal here, and both come out.
            assert!(low > 0 && high > 0, "{curve:?}: {low} low, {high} high");
        }
    }
}

#[test]
fn signatures_that_are_none() {
    for backend in backends() {
        for (curve, _) in CURVES {
            let key = backend.signing_key(curve).unwrap();
            let public = key.public_key();
            let verifying = backend.verifying_key(curve, &public).unwrap();
            let signed = digest(&backend, curve, b"signed");
            let signature = key.sign(&signed, &**backend.random()).unwrap();
            let refused = |signature: &[u8]| verifying.verify(&signed, signature).is_err();
            assert!(!refused(&signature));

            for cut in 0..signature.len() {
                assert!(refused(&signature[..cut]), "{cut} bytes");
            }
            assert!(refused(&[&signature[..], &[0]].concat()));
            // One bit of each byte; every bit of the DER around the numbers.
            for at in 0..signature.len() {
                let bits = if at < 5 { 0..8 } else { at % 8..at % 8 + 1 };
                for bit in bits {
                    let mut other = signature.clone();
                    other[at] ^= 1 << bit;
                    assert!(refused(&other), "byte {at}, bit {bit}");
                }
            }
            for (r, s) in [(&[0][..], &[1][..]), (&[1], &[0]), (&[0], &[0]), (&[], &[])] {
                let (r, s) = (
                    [&[2, r.len() as u8], r].concat(),
                    [&[2, s.len() as u8], s].concat(),
                );
                let der = [&[0x30, (r.len() + s.len()) as u8], &r[..], &s].concat();
                assert!(refused(&der), "{der:?}");
            }

            let other = digest(&backend, curve, b"other");
            assert!(verifying.verify(&other, &signature).is_err());
            // A digest of another hash, or of none.
            for length in [0, 1, 16, 31, 33, 47, 64] {
                let other = Digest::new(&vec![0xab; length]);
                assert!(verifying.verify(&other, &signature).is_err());
            }
            // Another key, of this curve and of the other.
            for (other, _) in CURVES {
                let other_key = backend.signing_key(other).unwrap();
                let other_key = backend.verifying_key(other, &other_key.public_key());
                assert!(other_key.unwrap().verify(&signed, &signature).is_err());
            }
        }
    }
}

/// Fails from a call on.
struct Failing(AtomicUsize);

impl SecureRandom for Failing {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        let left = self.0.load(Ordering::Relaxed).checked_sub(1);
        let left = left.ok_or_else(|| RandomError::new("no more"))?;
        self.0.store(left, Ordering::Relaxed);
        SystemRandom.fill(out)
    }
}

#[test]
fn random_sources_that_fail() {
    for backend in backends() {
        for (curve, _) in CURVES {
            let failing = Arc::new(Failing(AtomicUsize::new(0)));
            let failing = backend.clone().with_random(failing);
            assert_eq!(
                failing.signing_key(curve).err(),
                Some(RandomError::new("no more"))
            );
            let backend = backend.clone().with_random(Arc::new(SystemRandom));
            let key = backend.signing_key(curve).unwrap();
            let digest = digest(&backend, curve, b"signed");
            let signed = key.sign(&digest, &Failing(AtomicUsize::new(0)));
            assert!(signed.is_err());
        }
    }
}

/// A source that gives the same each time cannot sign anew: an error at last,
/// or a signature that happens to fit.
#[test]
fn random_sources_that_repeat() {
    struct Repeating;

    impl SecureRandom for Repeating {
        fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
            out.fill(7);
            Ok(())
        }
    }

    for backend in backends() {
        let backend = backend.with_random(Arc::new(SystemRandom));
        let key = backend.signing_key(Curve::P256).unwrap();
        for number in 0..20u8 {
            let digest = digest(&backend, Curve::P256, &[number]);
            if let Ok(signature) = key.sign(&digest, &Repeating) {
                assert_eq!(signature.len(), Curve::P256.signature_length());
            }
        }
    }
}

pub(super) fn digest(backend: &CryptoBackend, curve: Curve, data: &[u8]) -> Digest {
    let mut hasher = backend.hasher(curve.hash());
    hasher.update(data);
    hasher.finish()
}

#[test]
fn equal_is_equal_in_each_byte() {
    for length in 0..40 {
        let a: Vec<u8> = (0..length).collect();
        assert!(super::constant_time_eq(&a, &a));
        for index in 0..a.len() {
            let mut b = a.clone();
            b[index] ^= 0x80;
            assert!(!super::constant_time_eq(&a, &b));
            assert!(!super::constant_time_eq(&a, &a[..index]));
            assert!(!super::constant_time_eq(&a[..index], &a));
        }
    }
}
