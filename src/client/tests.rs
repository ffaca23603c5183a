//! Materials that no provider behind a client's own manager can lead to: a
//! cache that several clients share could. And the last frames of all.

use std::sync::Arc;

use super::open::{Opener, Release};
use super::output::{Buffer, Output};
use super::seal::Sealer;
use super::settings::Settings;
use crate::context::EncryptionContext;
use crate::crypto::{CryptoBackend, Entropy, SecretBytes};
use crate::error::{Error, MaterialsError};
use crate::materials::{DecryptionMaterials, EncryptionMaterials, EncryptionParts};
use crate::message::{EncryptedDataKey, Header, HeaderLimits, HeaderParser, MessageId};
use crate::provider::ProviderIdentity;
use crate::suite::{AlgorithmSuite, CommitmentPolicy};

const V1: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha256;
const V1_SIGNED: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha384EcdsaP384;
const V2: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;

fn settings(suite: AlgorithmSuite) -> Settings {
    let policy = if suite.commits() {
        CommitmentPolicy::RequireEncryptRequireDecrypt
    } else {
        CommitmentPolicy::ForbidEncryptAllowDecrypt
    };
    Settings {
        policy,
        frame_length: 4,
        ..Settings::default()
    }
}

fn parts(suite: AlgorithmSuite) -> EncryptionParts {
    let signing_key = suite
        .signature()
        .map(|curve| CryptoBackend::default().signing_key(curve).unwrap());
    EncryptionParts {
        suite,
        stored_context: Vec::new(),
        bound_context: Vec::new(),
        edks: vec![EncryptedDataKey::new("p", *b"k", *b"c").unwrap()],
        data_key: SecretBytes::from(vec![7; suite.data_key_length()]),
        signing_key,
    }
}

fn start(
    settings: &Settings,
    suite: AlgorithmSuite,
    parts: EncryptionParts,
) -> Result<(Sealer, Vec<u8>), Error> {
    let mut entropy = Entropy::draw(settings.backend.random(), 32).unwrap();
    let materials = EncryptionMaterials::new(parts);
    let id = MessageId::zeroed(suite);
    Sealer::start(settings, suite, materials, id, &mut entropy)
}

fn refused(outcome: Result<(Sealer, Vec<u8>), Error>) -> Error {
    outcome.map(drop).unwrap_err()
}

#[test]
fn materials_to_write_with() {
    for suite in [V1, V1_SIGNED, V2] {
        assert!(start(&settings(suite), suite, parts(suite)).is_ok());
        let other = if suite == V2 { V1 } else { V2 };
        let error = refused(start(&settings(suite), suite, parts(other)));
        assert!(
            matches!(error, Error::InvalidMaterials(MaterialsError::Suite(found)) if found == other)
        );
        let error = refused(start(&settings(other), suite, parts(suite)));
        assert!(matches!(error, Error::SuiteForbidden { suite: found, .. } if found == suite));
        let mut wrong = parts(suite);
        wrong.signing_key = match suite.signature() {
            Some(_) => None,
            None => parts(V1_SIGNED).signing_key,
        };
        let error = refused(start(&settings(suite), suite, wrong));
        assert!(matches!(
            error,
            Error::InvalidMaterials(MaterialsError::SignatureKey)
        ));
        let mut long = parts(suite);
        long.stored_context = vec![0; 65_536];
        let error = refused(start(&settings(suite), suite, long));
        assert!(matches!(error, Error::ContextTooLong { length: 65_536 }));
    }
}

/// A message's header, as it was read.
fn header(suite: AlgorithmSuite) -> (Header, Vec<u8>) {
    let (_, bytes) = start(&settings(suite), suite, parts(suite)).unwrap();
    let mut parser = HeaderParser::new(HeaderLimits {
        max_edks: None,
        max_length: usize::MAX,
    });
    parser.advance(&bytes).unwrap();
    (parser.finish(), bytes)
}

fn materials(suite: AlgorithmSuite) -> DecryptionMaterials {
    let backend = CryptoBackend::default();
    let verifying_key = suite.signature().map(|curve| {
        let signing_key = backend.signing_key(curve).unwrap();
        let key = backend.verifying_key(curve, &signing_key.public_key());
        key.unwrap_or_else(|_| panic!("no key"))
    });
    DecryptionMaterials {
        suite,
        bound_context: EncryptionContext::new(),
        data_key: Arc::new(SecretBytes::from(vec![7; suite.data_key_length()])),
        verifying_key,
        index: 0,
        provider: ProviderIdentity::new("p", &[]),
        key: "k".to_owned(),
        key_version: None,
    }
}

#[test]
fn materials_to_read_with() {
    for suite in [V1, V1_SIGNED, V2] {
        let (header, raw) = header(suite);
        let open = |settings: &Settings, materials: &DecryptionMaterials| {
            let release = Release::EachFrame;
            Opener::start(settings, &header, &raw, materials, release, 0).map(drop)
        };
        open(&settings(suite), &materials(suite)).unwrap();
        let other = if suite == V2 { V1 } else { V2 };
        let error = open(&settings(suite), &materials(other)).unwrap_err();
        assert!(
            matches!(error, Error::InvalidMaterials(MaterialsError::Suite(found)) if found == other)
        );
        let strict = settings(V2);
        match open(&strict, &materials(suite)) {
            Ok(()) => assert_eq!(suite, V2),
            Err(error) => assert!(
                matches!(error, Error::SuiteForbidden { suite: found, .. } if found == suite)
            ),
        }
        let mut wrong = materials(suite);
        wrong.verifying_key = match suite.signature() {
            Some(_) => None,
            None => materials(V1_SIGNED).verifying_key,
        };
        let error = open(&settings(suite), &wrong).unwrap_err();
        assert!(matches!(
            error,
            Error::InvalidMaterials(MaterialsError::SignatureKey)
        ));
        // A header that is said to be longer than it is.
        let error = Opener::start(
            &settings(suite),
            &header,
            &raw[..header.body_length - 1],
            &materials(suite),
            Release::EachFrame,
            0,
        )
        .map(drop)
        .unwrap_err();
        assert!(matches!(error, Error::Truncated));
    }
}

/// Frame 4,294,967,295 is a final one, and the last.
#[test]
fn the_last_frame_number() {
    for suite in [V1, V2] {
        let (mut sealer, _) = start(&settings(suite), suite, parts(suite)).unwrap();
        let mut out = Vec::new();
        sealer.skip_to(u32::MAX - 2);
        let refused = sealer.regular(b"text and more", &mut out);
        assert!(matches!(refused, Err(Error::TooManyFrames)));
        assert!(out.is_empty(), "it was written");
        sealer.regular(b"text and", &mut out).unwrap();
        assert_eq!(out[..4], (u32::MAX - 2).to_be_bytes());
        assert_eq!(out[36..40], (u32::MAX - 1).to_be_bytes());
        out.clear();
        let refused = sealer.regular(b"text", &mut out);
        assert!(matches!(refused, Err(Error::TooManyFrames)));
        assert!(out.is_empty(), "it was written");
        sealer.last(b"end", &mut out).unwrap();
        assert_eq!(out[..8], [0xff; 8]);
    }
}

/// Nothing of a frame's content stays in a buffer that has no room for its tag.
#[test]
fn no_room_for_a_tag() {
    for available in 0..24 + 4 + 16 {
        let (sealer, _) = start(&settings(V2), V2, parts(V2)).unwrap();
        let mut bytes = [0; 48];
        let mut buffer = Buffer::new(&mut bytes[..available]);
        let refused = sealer.last(b"text", &mut buffer);
        assert!(matches!(refused, Err(Error::OutputTooSmall { .. })));
        assert_eq!(bytes[24..], [0; 24]);
    }
    let mut bytes = [0; 44];
    let mut buffer = Buffer::new(&mut bytes);
    let (sealer, _) = start(&settings(V2), V2, parts(V2)).unwrap();
    sealer.last(b"text", &mut buffer).unwrap();
    assert_eq!(buffer.length(), 44);
}
