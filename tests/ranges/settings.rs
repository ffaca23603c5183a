//! What a client refuses, random access refuses, and before anything is read.

use std::time::Duration;

use waxseal::{
    AlgorithmSuite, CacheOutcome, Caching, Client, CommitmentPolicy, DataKeyCache,
    EncryptionContext, Error,
};

use crate::inner;
use crate::sources::{Counting, cursor, remote};
use crate::support::craft::{Craft, context_bytes};
use crate::support::providers::Fixed;
use crate::support::{builder, client, context, plaintext, raw, ready};

const V2: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;

fn no_context() -> EncryptionContext {
    EncryptionContext::new()
}

/// Each way to open it is refused for this reason.
#[track_caller]
fn refused(
    client: &Client,
    context: &EncryptionContext,
    message: &[u8],
    expected: impl Fn(&Error) -> bool,
) {
    let blocking = client.blocking();
    let errors = [
        blocking.seek_reader(cursor(message), context).map(drop),
        blocking
            .seek_reader_unverified(cursor(message), context)
            .map(drop),
        ready(client.range_reader(remote(message), context)).map(drop),
        ready(client.range_reader_unverified(remote(message), context)).map(drop),
    ];
    for error in errors {
        let error = inner(error.unwrap_err());
        assert!(expected(&error), "{error:?}");
    }
}

#[test]
fn signed_messages_without_a_word() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, raw("key", 7)).build().unwrap();
        let message = ready(client.encrypt(&plaintext(100), &context())).unwrap();
        let seek = client.blocking().seek_reader(cursor(&message), &context());
        let range = ready(client.range_reader(remote(&message), &context()));
        if suite.is_signed() {
            for error in [seek.map(drop).unwrap_err(), range.map(drop).unwrap_err()] {
                let error = inner(error);
                assert!(
                    matches!(error, Error::SignedRangeRefused { suite: s } if s == suite),
                    "{error:?}"
                );
            }
        } else {
            assert_eq!(seek.unwrap().details().suite, suite);
            assert_eq!(range.unwrap().header().suite(), suite);
        }
        let strict = builder(suite, raw("key", 7)).refuse_signed_streams(true);
        if suite.is_signed() {
            refused(
                &strict.build().unwrap(),
                &context(),
                &message,
                |error| matches!(error, Error::SignedStreamRefused { suite: s } if *s == suite),
            );
        }
    }
}

/// Whoever relies on signatures reads no parts, in which none is verified.
#[test]
fn whoever_requires_signatures() {
    for suite in AlgorithmSuite::ALL.into_iter().filter(|s| s.is_signed()) {
        let client = builder(suite, raw("key", 7)).require_signed(true);
        let client = client.build().unwrap();
        let message = ready(client.encrypt(&plaintext(100), &context())).unwrap();
        refused(
            &client,
            &context(),
            &message,
            |error| matches!(error, Error::SignedRangeRefused { suite: s } if *s == suite),
        );
        // A stream verifies it at the end.
        let stream = crate::support::stream;
        let mode = crate::support::Mode::Unverified;
        let (_, outcome) = stream(&client, &context(), &message, usize::MAX, mode);
        outcome.unwrap();
    }
}

#[test]
fn suites_outside_the_policy() {
    let old = AlgorithmSuite::Aes256GcmHkdfSha256;
    let old_and_signed = AlgorithmSuite::Aes256GcmHkdfSha384EcdsaP384;
    let strict = Client::builder(Fixed)
        .commitment_policy(CommitmentPolicy::RequireEncryptRequireDecrypt)
        .build()
        .unwrap();
    for old in [old, old_and_signed] {
        let message = Craft::new(old).whole(b"text");
        refused(
            &strict,
            &no_context(),
            &message,
            |error| matches!(error, Error::SuiteForbidden { suite, .. } if *suite == old),
        );
    }
    let client = builder(V2, Fixed).require_signed(true);
    let message = Craft::new(V2).whole(b"text");
    let signed = AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384;
    let client = client.suite(signed).build().unwrap();
    refused(&client, &no_context(), &message, |error| {
        matches!(error, Error::UnsignedRefused { .. })
    });
}

#[test]
fn headers_that_are_wrong() {
    let client = builder(V2, Fixed).build().unwrap();
    let mut craft = Craft::new(V2);
    craft.commitment = Some([3; 32]);
    refused(&client, &no_context(), &craft.whole(b"text"), |error| {
        matches!(error, Error::Commitment)
    });
    let mut message = Craft::new(V2).whole(b"text");
    let length = Craft::new(V2).header().len();
    message[length - 1] ^= 1;
    refused(&client, &no_context(), &message, |error| {
        matches!(error, Error::HeaderAuthentication)
    });
    refused(&client, &no_context(), &message[..length - 1], |error| {
        matches!(error, Error::Truncated)
    });
    refused(&client, &no_context(), &[], |error| {
        matches!(error, Error::Truncated)
    });
    let wrong = EncryptionContext::from([("a", "c")]);
    refused(&client, &wrong, &Craft::new(V2).whole(b"text"), |error| {
        matches!(error, Error::ContextMismatch { .. })
    });
}

#[test]
fn limits_of_headers() {
    let mut craft = Craft::new(V2);
    let edk = craft.edks[0].clone();
    craft.edks = vec![edk; 17];
    let client = builder(V2, Fixed).build().unwrap();
    refused(&client, &no_context(), &craft.whole(b"text"), |error| {
        matches!(error, Error::TooManyEncryptedDataKeys { .. })
    });
    let client = builder(V2, Fixed).max_header_length(200).build().unwrap();
    let mut craft = Craft::new(V2);
    craft.context = context_bytes(&[("a", &"b".repeat(300)[..])]);
    refused(&client, &no_context(), &craft.whole(b"text"), |error| {
        matches!(error, Error::HeaderTooLong { limit: 200 })
    });
}

/// Longer than what is read first.
#[test]
fn long_headers() {
    for length in [3700, 4000, 9000, 60_000] {
        let mut craft = Craft::new(V2);
        craft.context = context_bytes(&[("a", &"b".repeat(length)[..])]);
        let mut message = craft.header();
        message.extend(craft.regular(1, &plaintext(16)));
        message.extend(craft.last(2, b"end"));
        let client = builder(V2, Fixed).build().unwrap();
        let mut reader = client
            .blocking()
            .seek_reader(cursor(&message), &no_context())
            .unwrap();
        assert_eq!(
            reader.read_range(15..20).unwrap(),
            [&plaintext(16)[15..], b"end"].concat()
        );
        let reader = ready(client.range_reader(remote(&message), &no_context())).unwrap();
        assert_eq!(ready(reader.read(16..19)).unwrap(), b"end");
    }
}

#[test]
fn bound_context() {
    let client = builder(V2, raw("key", 7))
        .required_context_keys(["tenant"])
        .build()
        .unwrap();
    let message = ready(client.encrypt(&plaintext(100), &context())).unwrap();
    let mut reader = client
        .blocking()
        .seek_reader(cursor(&message), &context())
        .unwrap();
    assert_eq!(reader.details().context.get("tenant"), Some("7"));
    assert_eq!(reader.read_range(50..60).unwrap(), plaintext(100)[50..60]);
    refused(&client, &no_context(), &message, |error| {
        matches!(error, Error::RequiredContextKeyMissing { .. })
    });
    let other = EncryptionContext::from([("tenant", "8")]);
    refused(&client, &other, &message, |error| {
        matches!(error, Error::Unwrap(_) | Error::HeaderAuthentication)
    });
}

/// A signature leaves open by a few frames which is the final one. That it is
/// longer than may be held is said, and not what the bytes of the signature
/// would be as a frame.
#[test]
fn a_final_frame_of_a_signed_message_longer_than_may_be_held() {
    let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384;
    let writer = builder(suite, raw("key", 7))
        .frame_length(16)
        .build()
        .unwrap();
    let message = ready(writer.encrypt(&plaintext(20 * 16 + 9), &context())).unwrap();
    for limit in [8, 9] {
        let reader = builder(suite, raw("key", 7))
            .max_buffered(limit)
            .build()
            .unwrap()
            .blocking();
        let source = cursor(&message);
        let mut reader = reader.seek_reader_unverified(source, &context()).unwrap();
        match reader.verified_length() {
            Ok(length) => assert_eq!((limit, length), (9, 20 * 16 + 9)),
            Err(error) => {
                let error = inner(error);
                let is_right = matches!(
                    error,
                    Error::BufferLimit {
                        needed: 9,
                        limit: 8
                    }
                );
                assert!(is_right, "{error:?}");
            }
        }
    }
}

#[test]
fn frames_longer_than_may_be_held() {
    let writer = builder(V2, raw("key", 7))
        .frame_length(1000)
        .build()
        .unwrap();
    let reader = builder(V2, raw("key", 7))
        .max_buffered(999)
        .build()
        .unwrap();
    let open = |message: &[u8]| {
        let blocking = reader.blocking();
        blocking.seek_reader(cursor(message), &context()).unwrap()
    };
    let long = ready(writer.encrypt(&plaintext(5000), &context())).unwrap();
    for result in [
        open(&long).read_range(2000..2001).map(drop),
        open(&long).read_range(0..5000).map(drop),
        open(&long).verified_length().map(drop),
    ] {
        let error = inner(result.unwrap_err());
        assert!(
            matches!(
                error,
                Error::BufferLimit {
                    needed: 1000,
                    limit: 999
                }
            ),
            "{error:?}"
        );
    }
    // That is known before such a frame is fetched.
    let (source, log) = Counting::new(long);
    let blocking = reader.blocking();
    let mut opened = blocking.seek_reader(source, &context()).unwrap();
    opened.read_range(0..5000).unwrap_err();
    opened.read_range(2000..2001).unwrap_err();
    assert_eq!(log.reads(), 1);
    // What is there is shorter than a frame could be.
    let short = ready(writer.encrypt(&plaintext(999), &context())).unwrap();
    assert_eq!(open(&short).read_range(0..1000).unwrap(), plaintext(999));
    // An un-framed body is one.
    let client = builder(V2, Fixed).max_buffered(100).build().unwrap();
    for (length, fits) in [(100, true), (101, false)] {
        let message = Craft::unframed_body(V2).whole(&plaintext(length));
        let blocking = client.blocking();
        let mut reader = blocking
            .seek_reader(cursor(&message), &no_context())
            .unwrap();
        match reader.read_range(0..1) {
            Ok(found) => assert!(fits && found == plaintext(1)),
            Err(error) => assert!(!fits && matches!(inner(error), Error::BufferLimit { .. })),
        }
    }
}

#[test]
fn the_cache_serves() {
    let cache = DataKeyCache::new(10);
    let client = builder(V2, raw("key", 7))
        .caching(Caching::new(&cache, Duration::from_secs(1000)))
        .build()
        .unwrap();
    let message = ready(client.encrypt(&plaintext(100), &context())).unwrap();
    let open = || {
        let blocking = client.blocking();
        let reader = blocking.seek_reader(cursor(&message), &context()).unwrap();
        reader.details().cache_outcome.unwrap()
    };
    assert_ne!(open(), CacheOutcome::Hit);
    assert_eq!(open(), CacheOutcome::Hit);
}

#[test]
fn nothing_is_printed() {
    let client = client(V2);
    let message = ready(client.encrypt(b"secret text", &context())).unwrap();
    let mut reader = client
        .blocking()
        .seek_reader(cursor(&message), &context())
        .unwrap();
    reader.read_range(0..5).unwrap();
    let debug = format!("{reader:?}");
    assert!(
        !debug.contains("secret") && !debug.contains("115, 101"),
        "{debug}"
    );
}
