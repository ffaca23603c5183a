//! Every range of a message equals the slice of its plaintext.

use std::io::{Cursor, Read, Seek, SeekFrom};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use waxseal::{AlgorithmSuite, Client, CryptoBackend, inspect};

use crate::sources::{cursor, remote};
use crate::support::craft::Craft;
use crate::support::providers::Fixed;
use crate::support::{builder, context, plaintext, raw, ready};

fn written(suite: AlgorithmSuite, frame_length: u32, length: usize) -> (Client, Vec<u8>) {
    let client = builder(suite, raw("key", 7))
        .frame_length(frame_length)
        .build()
        .unwrap();
    let message = ready(client.encrypt(&plaintext(length), &context())).unwrap();
    (client, message)
}

/// What there is of a range.
fn slice(text: &[u8], start: u64, end: u64) -> &[u8] {
    let at = |place: u64| place.min(text.len() as u64) as usize;
    text.get(at(start)..at(end)).unwrap_or_default()
}

/// Both readers give the same as the plaintext, in these ranges in this order.
fn equal(client: &Client, context: bool, message: &[u8], text: &[u8], ranges: &[(u64, u64)]) {
    let context = if context {
        context_of()
    } else {
        Default::default()
    };
    let blocking = client.blocking();
    let mut seeking = blocking
        .seek_reader_unverified(cursor(message), &context)
        .unwrap();
    let ranged = ready(client.range_reader_unverified(remote(message), &context)).unwrap();
    for (start, end) in ranges.iter().copied() {
        let expected = slice(text, start, end);
        let found = seeking.read_range(start..end).unwrap();
        assert_eq!(found, expected, "{start}..{end}");
        let found = ready(ranged.read(start..end)).unwrap();
        assert_eq!(found, expected, "{start}..{end}");
        // In a buffer with room around it.
        let mut buffer = vec![0xee; expected.len() + 3];
        let length = expected.len() + usize::from(end > start && end > text.len() as u64);
        let read = seeking.read_at(start, &mut buffer[..length]).unwrap();
        assert_eq!((read, &buffer[..read]), (expected.len(), expected));
        assert!(buffer[length..].iter().all(|byte| *byte == 0xee));
        let read = ready(ranged.read_at(start, &mut buffer[..length])).unwrap();
        assert_eq!((read, &buffer[..read]), (expected.len(), expected));
    }
    assert_eq!(seeking.verified_length().unwrap(), text.len() as u64);
    let length = ready(ranged.verified_length()).unwrap();
    assert_eq!(length, text.len() as u64);
}

fn context_of() -> waxseal::EncryptionContext {
    context()
}

fn all_ranges(length: u64) -> Vec<(u64, u64)> {
    (0..length + 3)
        .flat_map(|start| (start..length + 3).map(move |end| (start, end)))
        .collect()
}

#[test]
fn of_short_messages_of_every_suite() {
    for suite in AlgorithmSuite::ALL {
        for frame_length in [1, 2, 7, 16, 100] {
            for length in [0, 1, 15, 16, 17] {
                let (client, message) = written(suite, frame_length, length);
                let text = plaintext(length);
                equal(&client, true, &message, &text, &all_ranges(length as u64));
            }
        }
    }
}

/// What stands behind a final frame is where more frames would begin; each is
/// asked for before the end is known.
#[test]
fn behind_the_end() {
    for suite in AlgorithmSuite::ALL {
        for frame_length in [1, 2, 7, 16, 100] {
            for length in [0, 1, 16, 32, 100] {
                let (client, message) = written(suite, frame_length, length);
                for start in length as u64..length as u64 + 250 {
                    let ranges = [(start, start + 1)];
                    equal(&client, true, &message, &plaintext(length), &ranges);
                }
            }
        }
    }
}

/// Others end a message whose last frame is full with one of nothing.
#[test]
fn with_an_empty_final_frame() {
    for suite in AlgorithmSuite::ALL {
        let craft = Craft::new(suite);
        let text = plaintext(32);
        let mut message = craft.header();
        message.extend(craft.regular(1, &text[..16]));
        message.extend(craft.regular(2, &text[16..]));
        message.extend(craft.last(3, &[]));
        craft.sign(&mut message);
        let client = builder(suite, Fixed).build().unwrap();
        equal(&client, false, &message, &text, &all_ranges(32));
    }
}

#[test]
fn of_unframed_messages() {
    for suite in AlgorithmSuite::ALL {
        for length in [0, 1, 40] {
            let text = plaintext(length);
            let message = Craft::unframed_body(suite).whole(&text);
            let client = builder(suite, Fixed).build().unwrap();
            equal(&client, false, &message, &text, &all_ranges(length as u64));
        }
    }
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(count)
    }
}

/// A frame length and how long a plaintext is, often near a multiple.
fn lengths() -> impl Strategy<Value = (u32, usize)> {
    let frame_length = prop_oneof![1_u32..100, 1000_u32..70_000, Just(4096)];
    (frame_length, 0_usize..5, 0_usize..3, any::<bool>()).prop_flat_map(
        |(frame_length, frames, around, is_near)| {
            let near = (frames * frame_length as usize + around).saturating_sub(1);
            let any = 0..frames * frame_length as usize + 40;
            let length = if is_near {
                Just(near).boxed()
            } else {
                any.boxed()
            };
            (Just(frame_length), length)
        },
    )
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn of_random_messages(
        suite in select(AlgorithmSuite::ALL.to_vec()),
        (frame_length, length) in lengths(),
        places in vec((0.0..1.1_f64, 0.0..1.1_f64), 1..20),
    ) {
        let (client, message) = written(suite, frame_length, length);
        let place = |share: f64| (share * length as f64) as u64;
        let ranges: Vec<_> = places
            .iter()
            .map(|(start, end)| (place(start.min(*end)), place(start.max(*end))))
            .chain([(0, u64::MAX), (u64::MAX, u64::MAX), (7, 3)])
            .collect();
        equal(&client, true, &message, &plaintext(length), &ranges);
    }
}

proptest! {
    #![proptest_config(cases(60))]

    /// The plans are enough: what they name opens without the rest.
    #[test]
    fn of_what_a_plan_names(
        (frame_length, length) in lengths(),
        start in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(),
    ) {
        let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
        let (client, message) = written(suite, frame_length, length);
        let header = inspect(&message).unwrap();
        prop_assert_eq!(header.plaintext_length(message.len() as u64), Some(length as u64));
        let (a, b) = (start.index(length + 1), end.index(length + 1));
        let (start, end) = (a.min(b), a.max(b));
        let plan = header.plan_range(start as u64..end as u64);
        let mut rest = vec![0; message.len()];
        let head = header.header_length();
        rest[..head].copy_from_slice(&message[..head]);
        let kept = plan.message.start as usize..message.len().min(plan.message.end as usize);
        rest[kept.clone()].copy_from_slice(&message[kept]);
        let mut reader = client.blocking().seek_reader(cursor(&rest), &context()).unwrap();
        let found = reader.read_range(start as u64..end as u64).unwrap();
        prop_assert_eq!(found, &plaintext(length)[start..end]);
    }
}

proptest! {
    #![proptest_config(cases(30))]

    /// What one back end writes each reads.
    #[test]
    fn by_each_back_end(
        suite in select(AlgorithmSuite::ALL.to_vec()),
        (frame_length, length) in lengths(),
        start in 0.0..1.1_f64,
        end in 0.0..1.1_f64,
    ) {
        let (_, message) = written(suite, frame_length, length);
        let place = |share: f64| (share * length as f64) as u64;
        let ranges = [(place(start.min(end)), place(start.max(end))), (0, u64::MAX)];
        for backend in CryptoBackend::available() {
            let client = builder(suite, raw("key", 7)).backend(backend).build().unwrap();
            equal(&client, true, &message, &plaintext(length), &ranges);
        }
    }
}

#[derive(Clone, Debug)]
enum Move {
    Read(usize),
    Start(u64),
    Current(i64),
    End(i64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0_usize..300).prop_map(Move::Read),
        1 => (0_usize..200_000).prop_map(Move::Read),
        1 => prop_oneof![0_u64..400, 0_u64..200_000, any::<u64>()].prop_map(Move::Start),
        1 => prop_oneof![-50_i64..50, any::<i64>()].prop_map(Move::Current),
        1 => prop_oneof![-300_i64..50, any::<i64>()].prop_map(Move::End),
    ];
    vec(one, 1..40)
}

proptest! {
    #![proptest_config(cases(150))]

    /// Seeks and reads do what they do over the plaintext itself.
    #[test]
    fn walks(
        suite in select(vec![
            AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
            AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384,
        ]),
        (frame_length, length) in lengths(),
        moves in moves(),
    ) {
        let (client, message) = written(suite, frame_length, length);
        let mut model = Cursor::new(plaintext(length));
        let mut reader = client
            .blocking()
            .seek_reader_unverified(cursor(&message), &context())
            .unwrap();
        for step in moves {
            let to = match step {
                Move::Read(size) => {
                    let (mut expected, mut found) = (Vec::new(), Vec::new());
                    model.by_ref().take(size as u64).read_to_end(&mut expected).unwrap();
                    reader.by_ref().take(size as u64).read_to_end(&mut found).unwrap();
                    prop_assert_eq!(found, expected);
                    continue;
                }
                Move::Start(to) => SeekFrom::Start(to),
                Move::Current(by) => SeekFrom::Current(by),
                Move::End(by) => SeekFrom::End(by),
            };
            let expected = model.seek(to);
            let found = reader.seek(to);
            prop_assert_eq!(found.as_ref().ok(), expected.as_ref().ok());
            prop_assert_eq!(
                found.err().map(|error| error.kind()),
                expected.err().map(|error| error.kind())
            );
            prop_assert_eq!(reader.stream_position().unwrap(), model.position());
        }
    }
}
