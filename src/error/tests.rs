//! What each error says, and what it says is behind it.

use std::io;

use super::*;
use crate::provider::{ProviderErrorKind, ProviderOperation};

const SUITE: AlgorithmSuite = AlgorithmSuite::Aes128GcmNoKdf;

#[test]
fn of_the_caller() {
    let key = || "k".to_owned();
    for (error, text) in [
        (
            Error::ContextTooLong { length: 70_000 },
            "the encryption context takes 70000 bytes; at most 65535 are possible",
        ),
        (
            Error::ReservedContextKey { key: key() },
            "the context key 'k' starts with the reserved prefix 'aws-crypto-'",
        ),
        (
            Error::ContextMismatch { key: key() },
            "the message has another value for the context key 'k' than expected",
        ),
        (
            Error::ContextKeyNotInMessage { key: key() },
            "the message does not hold the context key 'k'",
        ),
        (
            Error::RequiredContextKeyMissing { key: key() },
            "the required context key 'k' was not given",
        ),
        (
            Error::RequiredContextKeyInMessage { key: key() },
            "the message stores the context key 'k', which the client requires to be bound only",
        ),
        (
            Error::SuiteForbidden {
                suite: SUITE,
                policy: CommitmentPolicy::RequireEncryptRequireDecrypt,
            },
            "the commitment policy require-encrypt-require-decrypt forbids suite \
             0x0014 (AES_128_GCM_IV12_TAG16_NO_KDF)",
        ),
        (
            Error::UnsignedRefused { suite: SUITE },
            "the client requires a signed suite, and this is \
             0x0014 (AES_128_GCM_IV12_TAG16_NO_KDF)",
        ),
        (
            Error::SuiteWithoutKeyDerivation { suite: SUITE },
            "suite 0x0014 (AES_128_GCM_IV12_TAG16_NO_KDF) derives no key; \
             writing it needs an explicit opt-in",
        ),
        (
            Error::InvalidFrameLength,
            "a frame length must be from 1 to 4294967295 bytes",
        ),
        (Error::InvalidCacheSetting { setting: "so {it}" }, "so {it}"),
        (
            Error::TooManyFrames,
            "a message has at most 4294967295 frames; choose longer frames",
        ),
        (
            Error::PlaintextBoundExceeded { bound: 7 },
            "more than the declared 7 bytes of plaintext",
        ),
        (
            Error::OutputTooSmall {
                needed: 8,
                available: 7,
            },
            "the output needs 8 bytes and the buffer has 7",
        ),
        (
            Error::StreamClosed,
            "the stream has failed or ended already",
        ),
        (
            Error::SignedStreamRefused { suite: SUITE },
            "the client refuses signed suites when streaming, and this is \
             0x0014 (AES_128_GCM_IV12_TAG16_NO_KDF)",
        ),
        (
            Error::SignedRangeRefused { suite: SUITE },
            "parts of a signed message cannot be verified, and this is \
             0x0014 (AES_128_GCM_IV12_TAG16_NO_KDF)",
        ),
    ] {
        assert_eq!(texts(&error), [text]);
    }
}

#[test]
fn of_the_message() {
    for (error, text) in [
        (Error::Truncated, "the message ends early"),
        (
            Error::TrailingBytes,
            "there are bytes after the end of the message",
        ),
        (
            Error::TooManyEncryptedDataKeys { found: 3, limit: 2 },
            "3 encrypted data keys; the client allows 2",
        ),
        (
            Error::HeaderTooLong { limit: 9 },
            "the header is longer than the 9 bytes that the client allows",
        ),
        (
            Error::BufferLimit {
                needed: 10,
                limit: 9,
            },
            "10 bytes would have to be buffered; the client allows 9",
        ),
        (
            Error::Commitment,
            "the message does not commit to this data key",
        ),
        (
            Error::HeaderAuthentication,
            "the message's header is not authentic",
        ),
        (
            Error::FrameAuthentication { sequence_number: 5 },
            "frame 5 is not authentic",
        ),
        (
            Error::FrameSequence {
                expected: 4,
                found: 5,
            },
            "frame 5 stands where frame 4 should be",
        ),
        (Error::Signature, "the message's signature is wrong"),
    ] {
        assert_eq!(texts(&error), [text]);
    }
    // Its form is the source, too.
    let error = Error::from(FormatError::ReservedBytes);
    assert!(matches!(error, Error::Malformed(_)));
    assert_eq!(
        texts(&error),
        [
            "not a valid message: reserved bytes are not zero",
            "reserved bytes are not zero",
        ]
    );
    let source = error.source().unwrap();
    assert!(source.downcast_ref::<FormatError>().is_some());
}

/// Those that say what another error says have its sources, and not itself.
#[test]
fn of_the_provider() {
    let (operation, kind) = (ProviderOperation::Wrap, ProviderErrorKind::Other);
    let provider = ProviderError::new(operation, kind, "p").with_source("behind it");
    let text = provider.to_string();
    let error = Error::from(provider);
    assert!(matches!(error, Error::Provider(_)));
    assert_eq!(texts(&error), [&*text, "behind it"]);

    let failures = UnwrapFailures::new();
    let text = failures.to_string();
    let error = Error::from(failures);
    assert!(matches!(error, Error::Unwrap(_)));
    assert_eq!(texts(&error), [text]);

    let error = Error::from(RandomError::new("dry"));
    assert!(matches!(error, Error::Random(_)));
    assert_eq!(texts(&error), ["the random source failed: dry"]);

    let error = Error::InvalidMaterials(MaterialsError::Index);
    assert_eq!(
        texts(&error),
        [
            "the key provider gave back the index of an encrypted data key that the message does not \
         hold"
        ]
    );
}

#[test]
fn of_the_form() {
    let long = format!("\n'{}", "x".repeat(200));
    let shown = format!(r"the context key '\n\'{}…' stands twice", "x".repeat(198));
    for (error, text) in [
        (
            FormatError::Base64Text,
            "this looks like base64 text; decode it first",
        ),
        (FormatError::UnknownVersion(3), "unknown version 3"),
        (FormatError::UnknownType(9), "unknown message type 0x09"),
        (
            FormatError::UnknownSuite(0xab),
            "unknown algorithm suite 0x00ab",
        ),
        (
            FormatError::WrongVersion {
                suite: SUITE,
                version: 2,
            },
            "suite 0x0014 (AES_128_GCM_IV12_TAG16_NO_KDF) cannot stand in a message of version 2",
        ),
        (
            FormatError::ContextLength,
            "the encryption context's length does not agree with its pairs",
        ),
        (FormatError::DuplicateContextKey { key: long }, &*shown),
        (
            FormatError::NotUtf8("key provider id"),
            "the key provider id is not UTF-8",
        ),
        (FormatError::NoEncryptedDataKeys, "no encrypted data keys"),
        (FormatError::UnknownContentType(4), "unknown content type 4"),
        (FormatError::ReservedBytes, "reserved bytes are not zero"),
        (FormatError::IvLength(11), "the IV length is 11 and not 12"),
        (
            FormatError::FrameLength(16),
            "a frame length of 16 does not fit the content type",
        ),
        (
            FormatError::FinalFrameLength {
                length: 17,
                frame_length: 16,
            },
            "the final frame holds 17 bytes and the frame length is 16",
        ),
        (
            FormatError::BodyLength(1 << 36),
            "an un-framed body of 68719476736 bytes is more than AES-GCM allows",
        ),
        (
            FormatError::PublicKey,
            "the context key 'aws-crypto-public-key' does not fit the suite",
        ),
    ] {
        assert_eq!(texts(&error), [text]);
    }
}

#[test]
fn of_the_materials() {
    for (error, text) in [
        (
            MaterialsError::DataKeyLength {
                expected: 32,
                found: 16,
            },
            "a data key of 16 bytes where 32 are needed",
        ),
        (MaterialsError::NoEncryptedDataKeys, "no encrypted data key"),
        (
            MaterialsError::Suite(SUITE),
            "materials for suite 0x0014 (AES_128_GCM_IV12_TAG16_NO_KDF), which was not asked for",
        ),
        (
            MaterialsError::Index,
            "the index of an encrypted data key that the message does not hold",
        ),
        (
            MaterialsError::Context,
            "materials for another encryption context",
        ),
        (
            MaterialsError::SignatureKey,
            "a signature key that does not fit the suite",
        ),
    ] {
        assert_eq!(texts(&error), [text]);
    }
}

/// As a file or a socket gives it: with the text and the chain of the error.
#[test]
fn within_an_io_error() {
    let error = io::Error::from(Error::from(FormatError::ContextLength));
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let text = FormatError::ContextLength.to_string();
    let whole = format!("not a valid message: {text}");
    assert_eq!(texts(&error), [whole, text]);
}
