//! Messages that do not have the form of one: each way has its own error, in
//! one shot, streamed and inspected.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use support::craft::{Craft, context_bytes};
use support::map::Map;
use support::providers::Fixed;
use support::{MODES, builder, client, context, ready, stream};
use waxseal::{AlgorithmSuite, EncryptionContext, Error, FormatError, inspect};

const V1: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha256;
const V1_SIGNED: AlgorithmSuite = AlgorithmSuite::Aes128GcmHkdfSha256EcdsaP256;
const V2: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
const V2_SIGNED: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384;

/// Refused for this reason however it is read, before a provider is asked.
#[track_caller]
fn refused_by_readers(suite: AlgorithmSuite, message: &[u8], expected: &FormatError) {
    let client = builder(suite, Fixed).build().unwrap();
    let none = EncryptionContext::new();
    let is_expected = |error: Error| match error {
        Error::Malformed(found) => assert_eq!(found, *expected),
        other => panic!("{other:?} instead of {expected:?}"),
    };
    is_expected(ready(client.decrypt(message, &none)).unwrap_err());
    is_expected(ready(client.decrypt_prefix(message, &none)).unwrap_err());
    let mut buffer = vec![0; message.len()];
    is_expected(ready(client.decrypt_into(message, &none, &mut buffer)).unwrap_err());
    for mode in MODES {
        for size in [1, 7, usize::MAX] {
            let (released, outcome) = stream(&client, &none, message, size, mode);
            assert!(released.is_empty());
            is_expected(outcome.unwrap_err());
        }
    }
}

/// The same, and `inspect` sees it too.
#[track_caller]
fn refused(suite: AlgorithmSuite, message: &[u8], expected: &FormatError) {
    refused_by_readers(suite, message, expected);
    match inspect(message) {
        Err(Error::Malformed(found)) => assert_eq!(found, *expected),
        other => panic!("{other:?} instead of {expected:?}"),
    }
}

/// A valid message of this suite with these bytes in this place.
fn with_bytes(suite: AlgorithmSuite, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut message = Craft::new(suite).whole(b"plaintext");
    message[at..at + bytes.len()].copy_from_slice(bytes);
    message
}

/// Where a length field of a valid message is.
fn field(suite: AlgorithmSuite, name: &str) -> usize {
    let map = Map::of(&Craft::new(suite).whole(b"plaintext"));
    let field = map.lengths.iter().find(|field| field.name == name);
    field.expect("such a field").at
}

#[test]
fn base64_text() {
    for suite in AlgorithmSuite::ALL {
        let message = ready(client(suite).encrypt(b"plaintext", &context())).unwrap();
        for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE] {
            let text = engine.encode(&message);
            refused(suite, text.as_bytes(), &FormatError::Base64Text);
            refused(suite, &text.as_bytes()[..2], &FormatError::Base64Text);
        }
    }
}

#[test]
fn unknown_version() {
    for version in (0..=255).filter(|version| ![1, 2].contains(version)) {
        let message = with_bytes(V2, 0, &[version]);
        refused(V2, &message, &FormatError::UnknownVersion(version));
    }
    // A text, but not of a message.
    refused(V2, b"Attack at dawn", &FormatError::UnknownVersion(b'A'));
    refused(V2, b"AAAA", &FormatError::UnknownVersion(b'A'));
}

#[test]
fn unknown_type() {
    for found in (0..=255).filter(|found| *found != 0x80) {
        let message = with_bytes(V1, 1, &[found]);
        refused(V1, &message, &FormatError::UnknownType(found));
    }
}

#[test]
fn unknown_suite() {
    for (suite, at) in [(V1, 2), (V2, 1)] {
        for id in [0, 0x0013, 0x0179, 0x0479, 0x7804, 0xffff_u16] {
            let message = with_bytes(suite, at, &id.to_be_bytes());
            refused(suite, &message, &FormatError::UnknownSuite(id));
        }
    }
}

#[test]
fn suite_of_the_other_version() {
    for suite in AlgorithmSuite::ALL {
        let (version, bytes) = match suite.message_version() {
            1 => (2, [&[2][..], &suite.id().to_be_bytes()].concat()),
            _ => (1, [&[1, 0x80][..], &suite.id().to_be_bytes()].concat()),
        };
        let other = if version == 1 { V1 } else { V2 };
        let message = with_bytes(other, 0, &bytes);
        refused(
            other,
            &message,
            &FormatError::WrongVersion { suite, version },
        );
    }
}

/// Well sealed, so that nothing else is wrong.
#[test]
fn context_length() {
    for suite in [V1, V2] {
        for context in [
            &b"\0"[..],                 // no room for the count
            b"\0\0\0",                  // a byte behind no pairs
            b"\0\x01",                  // a pair announced, none there
            b"\0\x01\0\x01a",           // no value
            b"\0\x01\0\x01a\0\x02b",    // a value cut short
            b"\0\x01\0\x01a\0\x01bc",   // a byte behind the pairs
            b"\0\x02\0\x01a\0\x01b",    // one pair of two
            b"\xff\xff\0\x01a\0\x01b",  // one of many
            b"\0\x01\xff\xffa\0\x01b",  // a key beyond the context
            b"\0\x01\0\x01a\xff\xff b", // a value beyond it
        ] {
            let craft = Craft {
                context: context.to_vec(),
                ..Craft::new(suite)
            };
            let message = craft.whole(b"plaintext");
            refused(suite, &message, &FormatError::ContextLength);
        }
        // Both ways to write an empty one are read.
        for empty in [&b""[..], b"\0\0"] {
            let craft = Craft {
                context: empty.to_vec(),
                ..Craft::new(suite)
            };
            let client = builder(suite, Fixed).build().unwrap();
            let message = craft.whole(b"plaintext");
            let decrypted = ready(client.decrypt(&message, &EncryptionContext::new())).unwrap();
            assert!(decrypted.details.context.is_empty());
        }
    }
}

#[test]
fn duplicate_context_key() {
    for suite in [V1, V2] {
        for pairs in [
            [("a", "1"), ("a", "2"), ("b", "3")],
            [("a", "1"), ("b", "2"), ("a", "1")],
        ] {
            let craft = Craft {
                context: context_bytes(&pairs),
                ..Craft::new(suite)
            };
            let expected = FormatError::DuplicateContextKey { key: "a".into() };
            refused(suite, &craft.whole(b"plaintext"), &expected);
        }
    }
}

#[test]
fn not_utf8() {
    for suite in [V1, V2] {
        for context in [
            &b"\0\x01\0\x01\xff\0\x01b"[..],
            b"\0\x01\0\x01a\0\x02\xc3\x28",
        ] {
            let craft = Craft {
                context: context.to_vec(),
                ..Craft::new(suite)
            };
            let expected = FormatError::NotUtf8("encryption context");
            refused(suite, &craft.whole(b"plaintext"), &expected);
        }
        let craft = Craft {
            edks: vec![[vec![0xc0, 0x80], Vec::new(), Vec::new()]],
            ..Craft::new(suite)
        };
        let expected = FormatError::NotUtf8("key provider id");
        refused(suite, &craft.whole(b"plaintext"), &expected);
        // Key info and ciphertext are any bytes.
        let craft = Craft {
            edks: vec![[Vec::new(), vec![0xc0, 0x80], vec![0xff]]],
            ..Craft::new(suite)
        };
        let client = builder(suite, Fixed).build().unwrap();
        let message = craft.whole(b"plaintext");
        assert!(ready(client.decrypt(&message, &EncryptionContext::new())).is_ok());
    }
}

#[test]
fn no_encrypted_data_keys() {
    for suite in [V1, V2] {
        let craft = Craft {
            edks: Vec::new(),
            ..Craft::new(suite)
        };
        let message = craft.whole(b"plaintext");
        refused(suite, &message, &FormatError::NoEncryptedDataKeys);
    }
}

#[test]
fn unknown_content_type() {
    for suite in [V1, V2] {
        for content_type in (0..=255).filter(|found| ![1, 2].contains(found)) {
            let craft = Craft {
                content_type,
                ..Craft::new(suite)
            };
            let expected = FormatError::UnknownContentType(content_type);
            refused(suite, &craft.whole(b"plaintext"), &expected);
        }
    }
}

#[test]
fn reserved_bytes_and_iv_length() {
    let iv_length = field(V1, "IV length");
    for at in 1..=4 {
        let message = with_bytes(V1, iv_length - at, &[1]);
        refused(V1, &message, &FormatError::ReservedBytes);
    }
    for found in (0..=255).filter(|found| *found != 12) {
        let message = with_bytes(V1, iv_length, &[found]);
        refused(V1, &message, &FormatError::IvLength(found));
    }
}

#[test]
fn frame_length() {
    for suite in [V1, V2] {
        let craft = Craft {
            frame_length: 0,
            ..Craft::new(suite)
        };
        refused(suite, &craft.whole(b""), &FormatError::FrameLength(0));
        for frame_length in [1, 16, u32::MAX] {
            let craft = Craft {
                frame_length,
                ..Craft::unframed_body(suite)
            };
            let expected = FormatError::FrameLength(frame_length);
            refused(suite, &craft.whole(b"plaintext"), &expected);
        }
    }
}

#[test]
fn body_length() {
    const GREATEST: u64 = (1 << 36) - 32;
    for suite in AlgorithmSuite::ALL {
        let craft = Craft::unframed_body(suite);
        for length in [GREATEST + 1, 1 << 36, u64::MAX] {
            let mut message = craft.header();
            message.extend([0; 12]);
            message.extend(length.to_be_bytes());
            refused_by_readers(suite, &message, &FormatError::BodyLength(length));
        }
        let mut message = craft.header();
        message.extend([0; 12]);
        message.extend(GREATEST.to_be_bytes());
        let client = builder(suite, Fixed).build().unwrap();
        let outcome = ready(client.decrypt(&message, &EncryptionContext::new()));
        assert!(matches!(outcome, Err(Error::Truncated)));
    }
}

#[test]
fn public_key_where_none_belongs_or_none_where_one_does() {
    for suite in [V1_SIGNED, V2_SIGNED] {
        let craft = Craft {
            context: context_bytes(&[("a", "b")]),
            ..Craft::new(suite)
        };
        refused_by_readers(suite, &craft.whole(b"plaintext"), &FormatError::PublicKey);
    }
    for suite in [V1, V2] {
        let craft = Craft {
            context: Craft::new(V2_SIGNED).context,
            ..Craft::new(suite)
        };
        refused_by_readers(suite, &craft.whole(b"plaintext"), &FormatError::PublicKey);
    }
    // The other curve's key.
    for (suite, other) in [(V1_SIGNED, V2_SIGNED), (V2_SIGNED, V1_SIGNED)] {
        let craft = Craft {
            context: Craft::new(other).context,
            ..Craft::new(suite)
        };
        refused_by_readers(suite, &craft.whole(b"plaintext"), &FormatError::PublicKey);
    }
}

#[test]
fn public_key_that_is_none() {
    for (suite, length) in [(V1_SIGNED, 33), (V2_SIGNED, 49)] {
        let key = STANDARD.decode(public_key(suite)).unwrap();
        assert_eq!(key.len(), length);
        let mut wrong = vec![
            String::new(),
            "*not base64*".to_owned(),
            // Padding where none belongs, or too little.
            public_key(suite).trim_end_matches('=').to_owned() + "=",
            STANDARD.encode(&key[..length - 1]),
            STANDARD.encode([&key[..], &[0]].concat()),
            STANDARD.encode(&key[1..]),
            // The point at infinity, and a coordinate beyond the field.
            STANDARD.encode([0]),
            STANDARD.encode(vec![0xff; length]),
            STANDARD.encode([&[2][..], &vec![0xff; length - 1]].concat()),
        ];
        for tag in [0, 1, 4, 5, 6, 7] {
            wrong.push(STANDARD.encode([&[tag], &key[1..]].concat()));
        }
        for value in wrong {
            let pairs = [("a", "b"), ("aws-crypto-public-key", &value)];
            let craft = Craft {
                context: context_bytes(&pairs),
                ..Craft::new(suite)
            };
            let message = craft.whole(b"plaintext");
            refused_by_readers(suite, &message, &FormatError::PublicKey);
        }
    }
}

fn public_key(suite: AlgorithmSuite) -> String {
    let message = Craft::new(suite).whole(b"");
    let header = inspect(&message).unwrap();
    header
        .context()
        .get("aws-crypto-public-key")
        .unwrap()
        .into()
}
