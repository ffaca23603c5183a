//! Too many, too long, too small: each limit holds exactly, with its own error,
//! on both sides, in one shot and streamed.

mod support;

use support::craft::Craft;
use support::map::Map;
use support::providers::{Answers, Fixed};
use support::{
    MODES, Mode, builder, client, context, plaintext, raw, ready, refuses_to_read,
    refuses_to_write, stream,
};
use waxseal::{
    AlgorithmSuite, Client, EncryptedDataKey, EncryptionContext, Error, MultiProvider, inspect,
};

const V2: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;

fn no_context() -> EncryptionContext {
    EncryptionContext::new()
}

/// As many encrypted data keys as there are keys.
fn wrapped_by(count: usize) -> MultiProvider {
    (1..count).fold(MultiProvider::new(Fixed), |multi, _| multi.with(Fixed))
}

#[test]
fn too_many_encrypted_data_keys() {
    for suite in [AlgorithmSuite::Aes256GcmHkdfSha256, V2] {
        for limit in [0, 1, 2, 16, 40] {
            let client = |count: usize| {
                builder(suite, wrapped_by(count))
                    .max_encrypted_data_keys(limit)
                    .build()
                    .unwrap()
            };
            let unlimited = |count: usize| {
                builder(suite, wrapped_by(count))
                    .max_encrypted_data_keys(None)
                    .build()
                    .unwrap()
            };
            let is_refused = |count: usize| {
                move |error: &Error| {
                    assert!(
                        matches!(error, Error::TooManyEncryptedDataKeys { found, limit: l }
                            if (*found, *l) == (count, limit)),
                        "{error:?}"
                    );
                }
            };
            if limit > 0 {
                let message = ready(client(limit).encrypt(b"text", &no_context())).unwrap();
                let header = inspect(&message).unwrap();
                assert_eq!(header.encrypted_data_keys().len(), limit);
                assert!(ready(client(1).decrypt(&message, &no_context())).is_ok());
            }
            let count = limit + 1;
            refuses_to_write(&client(count), &no_context(), is_refused(count));
            let message = ready(unlimited(count).encrypt(b"text", &no_context())).unwrap();
            assert!(ready(unlimited(1).decrypt(&message, &no_context())).is_ok());
            refuses_to_read(&client(1), &no_context(), &message, is_refused(count));
        }
    }
    // By default, 16.
    let default = |count: usize| Client::new(wrapped_by(count));
    assert!(ready(default(16).encrypt(b"text", &no_context())).is_ok());
    refuses_to_write(&default(17), &no_context(), |error| {
        assert!(matches!(
            error,
            Error::TooManyEncryptedDataKeys {
                found: 17,
                limit: 16
            }
        ));
    });
}

/// The format itself has room for 65,535.
#[test]
fn more_encrypted_data_keys_than_the_format_allows() {
    let edk = EncryptedDataKey::new("", *b"", *b"").unwrap();
    let client = |count: usize| {
        let provider = Answers {
            encrypted_data_keys: vec![edk.clone(); count],
            ..Answers::data_key(Fixed::data_key(32))
        };
        Client::builder(provider)
            .max_encrypted_data_keys(None)
            .build()
            .unwrap()
    };
    let message = ready(client(65_535).encrypt(b"text", &no_context())).unwrap();
    assert_eq!(
        inspect(&message).unwrap().encrypted_data_keys().len(),
        65_535
    );
    assert!(ready(client(1).decrypt(&message, &no_context())).is_ok());
    let refused = ready(client(65_536).encrypt(b"text", &no_context()));
    assert!(matches!(
        refused,
        Err(Error::TooManyEncryptedDataKeys {
            found: 65_536,
            limit: 65_535
        })
    ));
}

#[test]
fn headers_too_long() {
    for suite in [AlgorithmSuite::Aes256GcmHkdfSha256, V2] {
        let message = ready(client(suite).encrypt(b"text", &context())).unwrap();
        let length = Map::of(&message).header.end;
        let limited = |limit: usize| {
            builder(suite, raw("key", 7))
                .max_header_length(limit)
                .build()
                .unwrap()
        };
        assert!(ready(limited(length).decrypt(&message, &context())).is_ok());
        for limit in 0..length {
            refuses_to_read(&limited(limit), &context(), &message, |error| {
                assert!(matches!(error, Error::HeaderTooLong { limit: l } if *l == limit));
            });
        }
        // Known as soon as the length of a part is.
        let announced = Map::of(&message).lengths[0].at + 2;
        let mut decryptor = limited(announced + 1).decryptor(&context());
        let mut out = Vec::new();
        ready(decryptor.push(&message[..announced - 1], &mut out)).unwrap();
        let refused = ready(decryptor.push(&message[announced - 1..announced], &mut out));
        assert!(matches!(refused, Err(Error::HeaderTooLong { .. })));
    }
}

#[test]
fn outputs_too_small() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, raw("key", 7))
            .frame_length(7)
            .build()
            .unwrap();
        let text = plaintext(20);
        let message = ready(client.encrypt(&text, &context())).unwrap();
        for available in (0..message.len()).step_by(if suite.is_signed() { 37 } else { 1 }) {
            let mut buffer = vec![0; available];
            let refused = ready(client.encrypt_into(&text, &context(), &mut buffer));
            let needed = message.len() as u64;
            assert!(
                matches!(refused, Err(Error::OutputTooSmall { needed: n, available: a })
                    if (n, a) == (needed, available))
            );
            assert!(
                buffer.iter().all(|byte| *byte == 0),
                "something was written"
            );
        }
        for available in 0..text.len() {
            let mut buffer = vec![0; available];
            let refused = ready(client.decrypt_into(&message, &context(), &mut buffer));
            assert!(
                matches!(refused, Err(Error::OutputTooSmall { needed, available: a })
                    if needed > available as u64 && needed <= 20 && a == available),
                "{refused:?}"
            );
            assert!(buffer.iter().all(|byte| *byte == 0), "plaintext was left");
        }
        let mut exact = vec![0; text.len()];
        let (length, _) = ready(client.decrypt_into(&message, &context(), &mut exact)).unwrap();
        assert_eq!((length, exact), (20, text));
    }
}

#[test]
fn more_plaintext_than_declared() {
    let client = client(V2);
    let is_refused = |refused: Result<(), Error>| {
        assert!(matches!(
            refused,
            Err(Error::PlaintextBoundExceeded { bound: 10 })
        ));
    };
    for length in [0, 9, 10] {
        let prepared = ready(client.prepare(&context(), Some(10))).unwrap();
        let message = prepared.encrypt(&plaintext(length)).unwrap();
        let decrypted = ready(client.decrypt(&message, &context())).unwrap();
        assert_eq!(decrypted.plaintext, plaintext(length));
    }
    let prepared = ready(client.prepare(&context(), Some(10))).unwrap();
    is_refused(prepared.encrypt(&plaintext(11)).map(drop));
    let prepared = ready(client.prepare(&context(), Some(10))).unwrap();
    let mut buffer = [0; 1000];
    is_refused(prepared.encrypt_into(&plaintext(11), &mut buffer).map(drop));
    assert_eq!(buffer, [0; 1000]);
    let prepared = ready(client.prepare(&context(), Some(10))).unwrap();
    let mut buffer = plaintext(11);
    is_refused(prepared.encrypt_in_place(&mut buffer));
    assert!(buffer.is_empty());
    let mut encryptor = ready(client.encryptor(&context(), Some(10))).unwrap();
    let mut out = Vec::new();
    encryptor.update(&plaintext(10), &mut out).unwrap();
    let before = out.len();
    is_refused(encryptor.update(&[0], &mut out));
    assert_eq!(out.len(), before);
    // The message is lost.
    let closed = encryptor.update(b"", &mut out);
    assert!(matches!(closed, Err(Error::StreamClosed)));
    let closed = encryptor.finish(&mut out);
    assert!(matches!(closed, Err(Error::StreamClosed)));
    assert_eq!(out.len(), before);
}

#[test]
fn more_frames_than_the_format_allows() {
    // Of frames of 4 GiB so many would make a message whose length 64 bits do
    // not hold: refused by the same name.
    for (frame_length, greatest) in [
        (1, u64::from(u32::MAX)),
        (4096, u64::from(u32::MAX) * 4096),
        (1 << 31, (u64::from(u32::MAX)) << 31),
        (u32::MAX, u64::MAX - (1 << 38)),
    ] {
        let client = builder(V2, Fixed)
            .frame_length(frame_length)
            .build()
            .unwrap();
        let lengths = [Fixed::encrypted_data_key().encoded_length()];
        let length = client.message_length(greatest, &context(), &lengths);
        // Each frame takes 32 bytes beside its content.
        let more_frames = greatest.div_ceil(frame_length.into()) - 1;
        let empty = client.message_length(0, &context(), &lengths).unwrap();
        assert_eq!(length.unwrap(), empty + greatest + more_frames * 32);
        let prepared = ready(client.prepare(&context(), Some(greatest))).unwrap();
        assert!(prepared.message_length(greatest).is_ok());
        for length in [greatest + (2 << 32), u64::MAX] {
            let refused = client.message_length(length, &context(), &lengths);
            assert!(matches!(refused, Err(Error::TooManyFrames)));
            let refused = prepared.message_length(length);
            assert!(matches!(refused, Err(Error::TooManyFrames)));
            let refused = ready(client.prepare(&context(), Some(length)));
            assert!(matches!(refused, Err(Error::TooManyFrames)));
            let refused = ready(client.encryptor(&context(), Some(length)));
            assert!(matches!(refused, Err(Error::TooManyFrames)));
        }
    }
}

/// Frames "judged by what they really hold": 4 GiB may be declared.
#[test]
fn beyond_what_a_stream_may_hold() {
    for suite in AlgorithmSuite::ALL {
        let craft = Craft::new(suite);
        let limited = |limit: usize| builder(suite, Fixed).max_buffered(limit).build().unwrap();
        let is_refused = |outcome: Result<(), Error>, needed: u64, limit: usize| {
            assert!(
                matches!(outcome, Err(Error::BufferLimit { needed: n, limit: l })
                    if (n, l) == (needed, limit)),
                "{outcome:?}"
            );
        };
        for size in [1, 5, 16, usize::MAX] {
            // A regular frame of 16 bytes, then a final one of 4.
            let mut message = craft.header();
            message.extend(craft.regular(1, &[1; 16]));
            message.extend(craft.last(2, &[2; 4]));
            craft.sign(&mut message);
            let unverified = |limit, message: &[u8]| {
                stream(
                    &limited(limit),
                    &no_context(),
                    message,
                    size,
                    Mode::Unverified,
                )
            };
            let (released, outcome) = unverified(16, &message);
            outcome.unwrap();
            assert_eq!(released.len(), 20);
            let (released, outcome) = unverified(15, &message);
            assert!(released.is_empty());
            is_refused(outcome, 16, 15);

            // A final frame holds what it says, whatever the frame length.
            let long = Craft {
                frame_length: u32::MAX,
                ..craft.clone()
            };
            let mut message = long.header();
            message.extend(long.last(1, &[2; 4]));
            long.sign(&mut message);
            let (released, outcome) = unverified(4, &message);
            outcome.unwrap();
            assert_eq!(released, [2; 4]);
            let (released, outcome) = unverified(3, &message);
            assert!(released.is_empty());
            is_refused(outcome, 4, 3);

            // A regular one is as long as declared.
            let mut message = long.header();
            message.extend([0, 0, 0, 1]);
            message.extend([0; 12]);
            let (released, outcome) = unverified(64 << 20, &message);
            assert!(released.is_empty());
            is_refused(outcome, u32::MAX.into(), 64 << 20);

            let unframed = Craft::unframed_body(suite);
            let message = unframed.whole(&[3; 50]);
            let (released, outcome) = unverified(50, &message);
            outcome.unwrap();
            assert_eq!(released, [3; 50]);
            let (released, outcome) = unverified(49, &message);
            assert!(released.is_empty());
            is_refused(outcome, 50, 49);
        }
    }
}

#[test]
fn signed_messages_beyond_what_may_be_held_back() {
    for suite in AlgorithmSuite::ALL {
        let client = |limit: usize| {
            builder(suite, Fixed)
                .frame_length(16)
                .max_buffered(limit)
                .build()
                .unwrap()
        };
        let text = plaintext(100);
        let message = ready(client(0).encrypt(&text, &no_context())).unwrap();
        for size in [1, 7, usize::MAX] {
            let held = |limit, mode| stream(&client(limit), &no_context(), &message, size, mode);
            let (released, outcome) = held(100, Mode::Authenticated);
            outcome.unwrap();
            assert_eq!(released, text);
            let (released, outcome) = held(99, Mode::Authenticated);
            if suite.is_signed() {
                assert!(released.is_empty());
                assert!(matches!(
                    outcome,
                    Err(Error::BufferLimit {
                        needed: 100,
                        limit: 99
                    })
                ));
            } else {
                outcome.unwrap();
                assert_eq!(released, text);
            }
            let (released, outcome) = held(16, Mode::Unverified);
            outcome.unwrap();
            assert_eq!(released, text);
        }
        // One-shot calls hold the whole message anyway.
        assert!(ready(client(0).decrypt(&message, &no_context())).is_ok());
    }
}

/// However much comes at once: it is refused at the first frame that there is
/// no room for, and not at the message's end.
#[test]
fn no_more_is_held_back_than_may_be() {
    for suite in AlgorithmSuite::ALL.into_iter().filter(|s| s.is_signed()) {
        let client = builder(suite, Fixed)
            .frame_length(16)
            .max_buffered(100)
            .build()
            .unwrap();
        let message = ready(client.encrypt(&plaintext(1000), &no_context())).unwrap();
        let frames = Map::of(&message).frames;
        // The seventh of 16 bytes is one too many.
        for end in [frames[6].bytes.end, frames[30].bytes.end, message.len()] {
            for size in [1, 333, usize::MAX] {
                let mut decryptor = client.decryptor(&no_context());
                let mut out = Vec::new();
                let refused = message[..end]
                    .chunks(size)
                    .find_map(|piece| ready(decryptor.push(piece, &mut out)).err());
                let is_right = matches!(
                    refused,
                    Some(Error::BufferLimit {
                        needed: 112,
                        limit: 100
                    })
                );
                assert!(is_right, "{end}, {size}: {refused:?}");
                assert!(out.is_empty());
            }
        }
    }
}

/// Also where many whole ones come at once.
#[test]
fn frames_longer_than_may_be_held() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, Fixed)
            .frame_length(16)
            .max_buffered(15)
            .build()
            .unwrap();
        let message = ready(client.encrypt(&plaintext(1000), &no_context())).unwrap();
        for mode in MODES {
            for size in [1, 333, usize::MAX] {
                let (released, outcome) = stream(&client, &no_context(), &message, size, mode);
                let is_right = matches!(
                    outcome,
                    Err(Error::BufferLimit {
                        needed: 16,
                        limit: 15
                    })
                );
                assert!(is_right, "{mode:?}, {size}: {outcome:?}");
                assert!(released.is_empty());
            }
        }
    }
}
