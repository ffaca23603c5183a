//! Frames dropped, repeated, swapped, renumbered, relabelled or taken from
//! another message: each its own error, after exactly the frames before it.

mod support;

use support::craft::Craft;
use support::map::{Frame, Map};
use support::providers::Fixed;
use support::{MODES, Mode, builder, client, context, plaintext, ready, stream};
use waxseal::{AlgorithmSuite, Client, EncryptionContext, Error, FormatError};

const SUITES: [AlgorithmSuite; 4] = [
    AlgorithmSuite::Aes256GcmHkdfSha256,
    AlgorithmSuite::Aes128GcmHkdfSha256EcdsaP256,
    AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
    AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384,
];

const FRAME: usize = 16;

/// A message of four full frames, in parts.
struct Parts {
    client: Client,
    plaintext: Vec<u8>,
    message: Vec<u8>,
    map: Map,
}

impl Parts {
    fn new(suite: AlgorithmSuite) -> Self {
        let client = builder(suite, support::raw("key", 7))
            .frame_length(FRAME as u32)
            .build()
            .unwrap();
        let plaintext = plaintext(4 * FRAME);
        let message = ready(client.encrypt(&plaintext, &context())).unwrap();
        let map = Map::of(&message);
        assert_eq!(map.frames.len(), 4);
        Parts {
            client,
            plaintext,
            message,
            map,
        }
    }

    fn frame(&self, number: usize) -> Vec<u8> {
        self.message[self.map.frames[number - 1].bytes.clone()].to_vec()
    }

    /// The header, these parts, and the footer.
    fn with(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut message = self.message[self.map.header.clone()].to_vec();
        for part in parts {
            message.extend_from_slice(part);
        }
        message.extend_from_slice(&self.message[self.map.footer.clone()]);
        message
    }

    /// The message is refused for this reason, after so many frames.
    #[track_caller]
    fn refused(&self, message: &[u8], frames: usize, expected: impl Fn(&Error) -> bool) {
        refused(
            &self.client,
            &context(),
            message,
            &self.plaintext[..frames * FRAME],
            expected,
        );
    }
}

/// Refused for this reason in every way; streams release these bytes first.
/// Those of a signed message are unverified, but where only what follows its
/// signature is wrong.
#[track_caller]
fn refused(
    client: &Client,
    context: &EncryptionContext,
    message: &[u8],
    released: &[u8],
    expected: impl Fn(&Error) -> bool,
) {
    let mut buffer = vec![0; message.len()];
    let error = ready(client.decrypt_into(message, context, &mut buffer)).unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert!(buffer.iter().all(|byte| *byte == 0));
    let mut buffer = message.to_vec();
    let error = ready(client.decrypt_in_place(&mut buffer, context)).unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert!(buffer.is_empty());
    let error = ready(client.decrypt(message, context)).unwrap_err();
    assert!(expected(&error), "{error:?}");
    let suite = waxseal::inspect(message).unwrap().suite();
    for mode in MODES {
        for size in [1, 5, usize::MAX] {
            let (found, outcome) = stream(client, context, message, size, mode);
            let error = outcome.unwrap_err();
            assert!(expected(&error), "{mode:?}, {size}: {error:?}");
            let is_verified = matches!(error, Error::TrailingBytes);
            if suite.is_signed() && mode == Mode::Authenticated && !is_verified {
                assert!(found.is_empty());
            } else {
                assert_eq!(found, released, "{mode:?}, {size}");
            }
        }
    }
}

fn out_of_order(expected: u32, found: u32) -> impl Fn(&Error) -> bool {
    move |error| {
        matches!(error, Error::FrameSequence { expected: e, found: f }
            if (*e, *f) == (expected, found))
    }
}

fn not_authentic(number: u32) -> impl Fn(&Error) -> bool {
    move |error| {
        matches!(error, Error::FrameAuthentication { sequence_number }
            if *sequence_number == number)
    }
}

#[test]
fn dropped() {
    for suite in SUITES {
        let parts = Parts::new(suite);
        let [one, two, three, four] = [1, 2, 3, 4].map(|number| parts.frame(number));
        parts.refused(&parts.with(&[&two, &three, &four]), 0, out_of_order(1, 2));
        parts.refused(&parts.with(&[&one, &three, &four]), 1, out_of_order(2, 3));
        parts.refused(&parts.with(&[&one, &two, &four]), 2, out_of_order(3, 4));
        let without_end = parts.with(&[&one, &two, &three]);
        if suite.is_signed() {
            // The footer stands where a frame should.
            parts.refused(&without_end, 3, |error| {
                matches!(error, Error::FrameSequence { expected: 4, .. })
            });
        } else {
            parts.refused(&without_end, 3, |error| matches!(error, Error::Truncated));
        }
    }
}

#[test]
fn repeated() {
    for suite in SUITES {
        let parts = Parts::new(suite);
        let [one, two, three, four] = [1, 2, 3, 4].map(|number| parts.frame(number));
        let twice = parts.with(&[&one, &one, &two, &three, &four]);
        parts.refused(&twice, 1, out_of_order(2, 1));
        let again = parts.with(&[&one, &two, &one, &three, &four]);
        parts.refused(&again, 2, out_of_order(3, 1));
        let two_ends = parts.with(&[&one, &two, &three, &four, &four]);
        if suite.is_signed() {
            // A final frame starts like the footer of a long signature.
            parts.refused(&two_ends, 3, |error| matches!(error, Error::Truncated));
        } else {
            parts.refused(&two_ends, 4, |error| matches!(error, Error::TrailingBytes));
        }
    }
}

#[test]
fn swapped() {
    for suite in SUITES {
        let parts = Parts::new(suite);
        let [one, two, three, four] = [1, 2, 3, 4].map(|number| parts.frame(number));
        let first = parts.with(&[&two, &one, &three, &four]);
        parts.refused(&first, 0, out_of_order(1, 2));
        let last = parts.with(&[&one, &two, &four, &three]);
        parts.refused(&last, 2, out_of_order(3, 4));
    }
}

/// With the number that fits put in, so that only the tag can tell.
#[test]
fn renumbered() {
    for suite in SUITES {
        let parts = Parts::new(suite);
        let [one, two, three, four] = [1, 2, 3, 4].map(|number| parts.frame(number));
        let mut other = three.clone();
        other[..4].copy_from_slice(&2u32.to_be_bytes());
        parts.refused(
            &parts.with(&[&one, &other, &three, &four]),
            1,
            not_authentic(2),
        );
        let mut end = four.clone();
        end[4..8].copy_from_slice(&3u32.to_be_bytes());
        parts.refused(&parts.with(&[&one, &two, &end]), 2, not_authentic(3));
        // A frame number of 0 belongs to the header's IV.
        let mut zero = one.clone();
        zero[..4].fill(0);
        parts.refused(&parts.with(&[&zero, &two]), 0, out_of_order(1, 0));
    }
}

#[test]
fn of_another_message() {
    for suite in SUITES {
        let parts = Parts::new(suite);
        let stranger = ready(parts.client.encrypt(&parts.plaintext, &context())).unwrap();
        let map = Map::of(&stranger);
        let foreign = |number: usize| &stranger[map.frames[number - 1].bytes.clone()];
        let [one, two, three, four] = [1, 2, 3, 4].map(|number| parts.frame(number));
        let first = parts.with(&[foreign(1), &two, &three, &four]);
        parts.refused(&first, 0, not_authentic(1));
        let third = parts.with(&[&one, &two, foreign(3), &four]);
        parts.refused(&third, 2, not_authentic(3));
        let last = parts.with(&[&one, &two, &three, foreign(4)]);
        parts.refused(&last, 3, not_authentic(4));
        // Its whole body, footer included, behind this header.
        let body = [
            &parts.message[parts.map.header.clone()],
            &stranger[map.header.end..],
        ]
        .concat();
        parts.refused(&body, 0, not_authentic(1));
        if suite.is_signed() {
            let mut signed_elsewhere = parts.message[..parts.map.footer.start].to_vec();
            signed_elsewhere.extend(&stranger[map.footer.clone()]);
            parts.refused(&signed_elsewhere, 3, |error| {
                matches!(error, Error::Signature)
            });
        }
    }
}

/// Two messages under one data key share nothing either: the message id is in
/// each frame's additional data and, with a key derivation, in the key.
#[test]
fn of_another_message_under_the_same_data_key() {
    for suite in AlgorithmSuite::ALL {
        let one = Craft::new(suite);
        let two = Craft {
            message_id: vec![0x2e; one.message_id.len()],
            ..one.clone()
        };
        let client = builder(suite, Fixed).build().unwrap();
        let mut message = one.header();
        message.extend(one.regular(1, &[1; FRAME]));
        message.extend(two.last(2, &[2; 3]));
        one.sign(&mut message);
        let none = EncryptionContext::new();
        refused(&client, &none, &message, &[1; FRAME], not_authentic(2));
    }
}

fn as_final(message: &[u8], frame: &Frame) -> Vec<u8> {
    let bytes = &message[frame.bytes.clone()];
    let length = (frame.content.len() as u32).to_be_bytes();
    [&[0xff; 4], &bytes[..16], &length, &bytes[16..]].concat()
}

#[test]
fn relabelled() {
    for suite in SUITES {
        let parts = Parts::new(suite);
        let [one, two, three, four] = [1, 2, 3, 4].map(|number| parts.frame(number));
        // A regular frame as the final one would cut the message short.
        let cut = as_final(&parts.message, &parts.map.frames[1]);
        parts.refused(&parts.with(&[&one, &cut]), 1, not_authentic(2));
        // The final one as a regular one would let another follow.
        let open = [&four[4..20], &four[24..]].concat();
        parts.refused(
            &parts.with(&[&one, &two, &three, &open, &four]),
            3,
            not_authentic(4),
        );
        // The marker where a regular frame's number is.
        let mut marked = two.clone();
        marked[..4].fill(0xff);
        parts.refused(&parts.with(&[&one, &marked, &three, &four]), 1, |error| {
            matches!(error, Error::FrameSequence { expected: 2, .. })
                || matches!(
                    error,
                    Error::Malformed(FormatError::FinalFrameLength { .. })
                )
        });
    }
}

/// Well sealed and in the wrong place: no tag tells, only the number does.
#[test]
fn sealed_with_wrong_numbers() {
    for suite in SUITES {
        let craft = Craft::new(suite);
        let client = builder(suite, Fixed).build().unwrap();
        let message = |frames: &[Vec<u8>]| {
            let mut message = craft.header();
            message.extend(frames.concat());
            craft.sign(&mut message);
            message
        };
        let full = [7; FRAME];
        let none = EncryptionContext::new();
        let valid = message(&[craft.regular(1, &full), craft.last(2, b"end")]);
        assert!(ready(client.decrypt(&valid, &none)).is_ok());
        for (frames, released, expected, found) in [
            (vec![craft.last(0, b"end")], 0, 1, 0),
            (vec![craft.last(2, b"end")], 0, 1, 2),
            (
                vec![craft.regular(2, &full), craft.last(3, b"end")],
                0,
                1,
                2,
            ),
            (
                vec![craft.regular(1, &full), craft.last(1, b"end")],
                1,
                2,
                1,
            ),
            (
                vec![craft.regular(1, &full), craft.last(3, b"end")],
                1,
                2,
                3,
            ),
            (
                vec![craft.regular(1, &full), craft.last(0xffff_ffff, b"end")],
                1,
                2,
                0xffff_ffff,
            ),
            (
                vec![
                    craft.regular(1, &full),
                    craft.regular(1, &full),
                    craft.last(2, b"end"),
                ],
                1,
                2,
                1,
            ),
        ] {
            let released = &full.repeat(released);
            let sequence = out_of_order(expected, found);
            refused(&client, &none, &message(&frames), released, sequence);
        }
    }
}

/// Also well sealed: a final frame longer than the frame length, one behind
/// the final one, and one that an older writer leaves empty (which is valid).
#[test]
fn sealed_with_odd_ends() {
    for suite in SUITES {
        let craft = Craft::new(suite);
        let client = builder(suite, Fixed).build().unwrap();
        let none = EncryptionContext::new();
        let full = [7; FRAME];
        let mut long = craft.header();
        long.extend(craft.regular(1, &full));
        long.extend(craft.last(2, &[8; FRAME + 1]));
        craft.sign(&mut long);
        refused(&client, &none, &long, &full, |error| {
            matches!(
                error,
                Error::Malformed(FormatError::FinalFrameLength {
                    length: 17,
                    frame_length: 16
                })
            )
        });

        let mut behind = craft.header();
        behind.extend(craft.last(1, &full));
        craft.sign(&mut behind);
        behind.extend(craft.last(2, &full));
        refused(&client, &none, &behind, &full, |error| {
            matches!(error, Error::TrailingBytes)
        });

        let mut empty = craft.header();
        empty.extend(craft.regular(1, &full));
        empty.extend(craft.last(2, b""));
        craft.sign(&mut empty);
        assert_eq!(
            ready(client.decrypt(&empty, &none)).unwrap().plaintext,
            full
        );
        for mode in MODES {
            let (found, outcome) = stream(&client, &none, &empty, 3, mode);
            outcome.unwrap();
            assert_eq!(found, full);
        }
    }
}

/// The signature is over every byte before it: sealed anew with the data key,
/// but not signed anew, nothing passes.
#[test]
fn sealed_anew_and_not_signed_anew() {
    for suite in SUITES.into_iter().filter(|suite| suite.is_signed()) {
        for unframed in [false, true] {
            let craft = if unframed {
                Craft::unframed_body(suite)
            } else {
                Craft::new(suite)
            };
            let client = builder(suite, Fixed).build().unwrap();
            let none = EncryptionContext::new();
            let genuine = craft.whole(&[1; 20]);
            let footer = &genuine[Map::of(&genuine).footer];
            let mut forged = craft.whole(&[2; 20]);
            forged.truncate(Map::of(&forged).footer.start);
            forged.extend(footer);
            let released = if unframed { &[][..] } else { &[2; FRAME] };
            refused(&client, &none, &forged, released, |error| {
                matches!(error, Error::Signature)
            });
        }
    }
}

/// Where two valid messages follow each other, each is one message's end.
#[test]
fn one_message_behind_another() {
    for suite in SUITES {
        let client = client(suite);
        let one = ready(client.encrypt(b"one", &context())).unwrap();
        let two = ready(client.encrypt(b"two", &context())).unwrap();
        let both = [one, two].concat();
        refused(&client, &context(), &both, b"one", |error| {
            matches!(error, Error::TrailingBytes)
        });
    }
}
