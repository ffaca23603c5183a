//! What reviews have found, by the public interface: each was wrong once, or
//! was shown by no test.

mod common;

use std::io::Write;

use common::StaticDataKey;
use waxseal::blocking::Client;
use waxseal::{
    EncryptionContext, Error, FormatError, MultiProvider, ProviderErrorKind, RawAesProvider,
    SecretBytes, inspect,
};

fn provider(name: &str) -> RawAesProvider {
    RawAesProvider::new("ns", name, &SecretBytes::from(vec![7; 32])).unwrap()
}

/// What follows a message must not decide how much is allocated for it.
#[test]
fn a_prefix_takes_as_much_memory_as_its_plaintext() {
    let client = Client::new(provider("k"));
    let context = EncryptionContext::new();
    for length in [0, 1, 4096, 10_000] {
        let mut input = client.encrypt(&vec![5; length], &context).unwrap();
        input.resize(input.len() + 1_000_000, 0);
        let (decrypted, rest) = client.decrypt_prefix(&input, &context).unwrap();
        assert_eq!(rest.len(), 1_000_000);
        assert_eq!(decrypted.plaintext.len(), length);
        assert_eq!(decrypted.plaintext.capacity(), length);
    }
}

/// A provider that wraps nothing cannot open the message later.
#[test]
fn every_provider_of_several_must_wrap() {
    let context = EncryptionContext::new();
    let silent = MultiProvider::new(provider("k")).with(MultiProvider::decrypt_only());
    let Err(Error::Provider(error)) = Client::new(silent).encrypt(b"x", &context) else {
        panic!("encrypted with a provider that wrapped nothing");
    };
    assert_eq!(error.kind(), ProviderErrorKind::InvalidResponse);
    assert_eq!(error.provider(), "multi");
}

/// A message that nobody vouches for must not write into a log.
#[test]
fn a_hostile_context_key_is_shown_escaped_and_cut() {
    let key = "\u{1b}[2J\nERROR forged \u{202e}".repeat(50);
    let client = Client::new(StaticDataKey(vec![1; 32]));
    let genuine = Client::new(provider("k"));
    let context = EncryptionContext::from([(key.as_str(), "")]);
    let message = genuine.encrypt(b"", &context).unwrap();
    // The context once more behind itself, with a count of 2.
    let start = 1 + 2 + 32;
    let pairs = context.to_bytes().unwrap()[2..].to_vec();
    let mut twice = message[..start].to_vec();
    twice.extend((2 + 2 * pairs.len() as u16).to_be_bytes());
    twice.extend([0, 2]);
    twice.extend([&pairs[..], &pairs].concat());
    twice.extend(&message[start + 2 + 2 + pairs.len()..]);
    let error = client
        .decrypt(&twice, &EncryptionContext::new())
        .unwrap_err();
    assert!(matches!(
        &error,
        Error::Malformed(FormatError::DuplicateContextKey { .. })
    ));
    let text = error.to_string();
    assert!(!text.contains(['\u{1b}', '\n']), "{text:?}");
    assert!(text.chars().count() < 3000, "{}", text.len());
}

/// Lengths that a caller got wrong are an error, and never a wrong length.
#[test]
fn message_length_refuses_what_encrypt_refuses() {
    let client = Client::new(provider("k"));
    let context = EncryptionContext::from([("a", "b")]);
    for lengths in [&[usize::MAX, 1][..], &[usize::MAX - 4], &[usize::MAX; 16]] {
        let error = client.message_length(1, &context, lengths).unwrap_err();
        assert!(matches!(error, Error::HeaderTooLong { .. }), "{error}");
    }
    let error = client.message_length(1, &context, &[100; 17]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooManyEncryptedDataKeys {
                found: 17,
                limit: 16
            }
        ),
        "{error}"
    );
    let reserved = EncryptionContext::from([("aws-crypto-x", "b")]);
    let error = client.message_length(1, &reserved, &[100]).unwrap_err();
    assert!(matches!(error, Error::ReservedContextKey { .. }), "{error}");

    let builder = Client::builder(provider("k"))
        .signed(true)
        .required_context_keys(["k"]);
    let signed = builder.build().unwrap().blocking();
    let full = EncryptionContext::from([("k".to_owned(), "v".repeat(65_528))]);
    let told = signed.message_length(1, &full, &[100]).unwrap_err();
    let met = signed.encrypt(b"x", &full).unwrap_err();
    assert_eq!(told.to_string(), met.to_string());
    assert!(matches!(met, Error::ContextTooLong { .. }), "{met}");
    let error = signed.message_length(1, &context, &[100]).unwrap_err();
    assert!(
        matches!(error, Error::RequiredContextKeyMissing { .. }),
        "{error}"
    );
}

/// A client does not write a header that it would not read.
#[test]
fn the_header_limit_holds_on_both_sides() {
    let context = EncryptionContext::from([("a", "b")]);
    let exact = Client::new(provider("k")).encrypt(b"x", &context).unwrap();
    let length = inspect(&exact).unwrap().header_length();
    for (limit, fits) in [(length, true), (length - 1, false)] {
        let client = Client::builder(provider("k"))
            .max_header_length(limit)
            .build();
        let client = client.unwrap().blocking();
        match client.encrypt(b"x", &context) {
            Ok(message) => assert!(fits && client.decrypt(&message, &context).is_ok()),
            Err(error) => assert!(!fits && matches!(error, Error::HeaderTooLong { .. })),
        }
    }
}

/// A sink that took a part of the ciphertext cannot be gone on with.
#[test]
fn a_writer_whose_sink_failed_is_closed() {
    #[derive(Debug)]
    struct Failing(usize);
    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            match self.0.min(bytes.len()) {
                0 => Err(std::io::Error::other("no more")),
                taken => {
                    self.0 -= taken;
                    Ok(taken)
                }
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    fn is_closed(error: &std::io::Error) -> bool {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        matches!(cause, Some(Error::StreamClosed))
    }

    let client = Client::new(provider("k"));
    let context = EncryptionContext::new();
    let mut writer = client.encrypt_writer(Failing(5000), &context).unwrap();
    let failed = writer.write_all(&[1; 20_000]).unwrap_err();
    assert_eq!(failed.to_string(), "no more");
    assert!(is_closed(&writer.write(b"x").unwrap_err()));
    assert!(is_closed(&writer.finish().unwrap_err()));

    let message = client.encrypt(&[1; 20_000], &context).unwrap();
    let mut writer = client.decrypt_writer(Failing(5000), &context);
    let failed = writer.write_all(&message).unwrap_err();
    assert_eq!(failed.to_string(), "no more");
    assert!(is_closed(&writer.write(b"x").unwrap_err()));
    assert!(is_closed(&writer.finish().unwrap_err()));
}

/// A stream buffers a frame that is written like one that is read: by what it
/// holds, and not beyond the limit.
#[test]
fn writing_holds_back_no_more_than_reading() {
    let context = EncryptionContext::new();
    let builder = Client::builder(provider("k"))
        .frame_length(u32::MAX)
        .max_buffered(1000);
    let client = builder.build().unwrap().blocking();
    for (pieces, fits) in [
        (&[1000][..], true),
        (&[999, 1], true),
        (&[1001], false),
        (&[999, 2], false),
    ] {
        let mut writer = client.encrypt_writer(Vec::new(), &context).unwrap();
        let written = pieces
            .iter()
            .try_for_each(|length| writer.write_all(&vec![1; *length]));
        assert_eq!(written.is_ok(), fits, "{pieces:?}");
        let Err(error) = written else {
            let message = writer.finish().unwrap();
            let mut reader = client.decrypt_reader(&message[..], &context).unwrap();
            assert_eq!(
                std::io::copy(&mut reader, &mut std::io::sink()).unwrap(),
                1000
            );
            continue;
        };
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        assert!(
            matches!(
                cause,
                Some(Error::BufferLimit {
                    needed: 1001,
                    limit: 1000
                })
            ),
            "{error}"
        );
    }
}
