//! What is damaged is refused where it is touched, with its error, and nowhere
//! else.

use std::time::Duration;

use waxseal::{
    AlgorithmSuite, Caching, Client, CryptoBackend, DataKeyCache, EncryptionContext, Error,
};

use crate::inner;
use crate::sources::{cursor, remote};
use crate::support::craft::Craft;
use crate::support::map::Map;
use crate::support::providers::Fixed;
use crate::support::{builder, context, plaintext, raw, ready};

const SUITES: [AlgorithmSuite; 4] = [
    AlgorithmSuite::Aes256GcmHkdfSha256,
    AlgorithmSuite::Aes128GcmHkdfSha256EcdsaP256,
    AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
    AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384,
];

const FRAME: usize = 16;
const FRAMES: usize = 5;
const LENGTH: usize = FRAMES * FRAME - 3;

struct Parts {
    client: Client,
    message: Vec<u8>,
    map: Map,
}

impl Parts {
    fn new(suite: AlgorithmSuite) -> Self {
        let client = builder(suite, raw("key", 7))
            .frame_length(FRAME as u32)
            .build()
            .unwrap();
        Self::of(client)
    }

    fn of(client: Client) -> Self {
        let message = ready(client.encrypt(&plaintext(LENGTH), &context())).unwrap();
        let map = Map::of(&message);
        assert_eq!(map.frames.len(), FRAMES);
        Parts {
            client,
            message,
            map,
        }
    }

    fn frame(&self, index: usize) -> &[u8] {
        &self.message[self.map.frames[index].bytes.clone()]
    }

    /// The header, these frames, and the footer.
    fn with(&self, frames: &[&[u8]]) -> Vec<u8> {
        let mut message = self.message[self.map.header.clone()].to_vec();
        message.extend(frames.concat());
        message.extend_from_slice(&self.message[self.map.footer.clone()]);
        message
    }

    /// The frames at these places can be read, the others not, and the end only
    /// with the last of them; an error leaves nothing behind.
    #[track_caller]
    fn only(&self, message: &[u8], good: &[usize], expected: impl Fn(&Error) -> bool) {
        let blocking = self.client.blocking();
        let expected_context = context();
        let mut seeking = blocking
            .seek_reader_unverified(cursor(message), &context())
            .unwrap();
        let ranged = self
            .client
            .range_reader_unverified(remote(message), &expected_context);
        let ranged = ready(ranged).unwrap();
        let text = plaintext(LENGTH);
        for index in (0..FRAMES).chain((0..FRAMES).rev()) {
            let places = index * FRAME..LENGTH.min((index + 1) * FRAME);
            // A part of the frame, and the whole.
            for cut in [0, 1] {
                let mut buffer = vec![0xee; places.len() - cut];
                let at = (places.start + cut) as u64;
                let reads = [
                    seeking.read_at(at, &mut buffer.clone()[..]).map(|_| {
                        seeking.read_at(at, &mut buffer).unwrap();
                        buffer.clone()
                    }),
                    ready(ranged.read(at..at + buffer.len() as u64)),
                ];
                for read in reads {
                    match read {
                        Ok(found) => {
                            assert!(good.contains(&index), "frame {index}");
                            assert_eq!(found, text[places.clone()][cut..]);
                        }
                        Err(error) => {
                            assert!(!good.contains(&index), "frame {index}: {error:?}");
                            let error = inner(error);
                            assert!(expected(&error), "frame {index}: {error:?}");
                        }
                    }
                }
                if !good.contains(&index) {
                    seeking.read_at(at, &mut buffer).unwrap_err();
                    let left = |byte: &u8| [0, 0xee].contains(byte);
                    assert!(buffer.iter().all(left), "{buffer:?}");
                }
            }
        }
        // All at once gives what is good before what is not.
        let mut all = vec![0xee; LENGTH];
        let read = seeking.read_at(0, &mut all);
        let before = (0..FRAMES).take_while(|index| good.contains(index)).count();
        let before = (before * FRAME).min(LENGTH);
        assert_eq!(read.is_ok(), before == LENGTH);
        assert_eq!(all[..before], text[..before]);
        assert!(all[before..].iter().all(|byte| [0, 0xee].contains(byte)));
        let ends = good.contains(&(FRAMES - 1));
        assert_eq!(seeking.verified_length().is_ok(), ends);
        assert_eq!(ready(ranged.verified_length()).is_ok(), ends);
    }
}

fn out_of_order(error: &Error) -> bool {
    matches!(error, Error::FrameSequence { .. })
}

fn not_authentic(error: &Error) -> bool {
    matches!(error, Error::FrameAuthentication { .. })
}

#[test]
fn frames_out_of_their_places() {
    for suite in SUITES {
        let parts = Parts::new(suite);
        let frame = |index| parts.frame(index);
        let whole = parts.with(&[frame(0), frame(1), frame(2), frame(3), frame(4)]);
        assert_eq!(whole, parts.message);
        parts.only(&whole, &[0, 1, 2, 3, 4], |_| false);
        let swapped = parts.with(&[frame(0), frame(2), frame(1), frame(3), frame(4)]);
        parts.only(&swapped, &[0, 3, 4], out_of_order);
        let repeated = parts.with(&[frame(0), frame(1), frame(1), frame(3), frame(4)]);
        parts.only(&repeated, &[0, 1, 3, 4], out_of_order);
        // All that follow are out of place.
        let dropped = parts.with(&[frame(0), frame(2), frame(3), frame(4)]);
        parts.only(&dropped, &[0], |error| {
            out_of_order(error) || matches!(error, Error::Truncated)
        });
        let inserted = parts.with(&[frame(0), frame(0), frame(1), frame(2), frame(3), frame(4)]);
        parts.only(&inserted, &[0], out_of_order);
        // Cut off at the end of a frame: nobody knows before that is touched.
        let cut = parts.with(&[frame(0), frame(1), frame(2), frame(3)]);
        parts.only(&cut, &[0, 1, 2, 3], |error| {
            out_of_order(error) || matches!(error, Error::Truncated | Error::Malformed(_))
        });
        // The final frame too early, with others behind it.
        let early = parts.with(&[frame(0), frame(1), frame(4), frame(3), frame(4)]);
        parts.only(&early, &[0, 1], |error| {
            out_of_order(error)
                || matches!(
                    error,
                    Error::TrailingBytes | Error::Truncated | Error::Malformed(_)
                )
        });
    }
}

/// A frame that says another number than it was sealed with.
#[test]
fn renumbered_frames() {
    for suite in SUITES {
        let parts = Parts::new(suite);
        let mut renumbered = parts.frame(2).to_vec();
        renumbered[..4].copy_from_slice(&2_u32.to_be_bytes());
        let frame = |index| parts.frame(index);
        let message = parts.with(&[frame(0), &renumbered, frame(2), frame(3), frame(4)]);
        parts.only(&message, &[0, 2, 3, 4], not_authentic);
    }
}

/// A regular frame that is said to be the final one, where the source ends.
#[test]
fn a_regular_frame_as_the_final_one() {
    for suite in SUITES {
        let parts = Parts::new(suite);
        let regular = parts.frame(3);
        let mut last = vec![0xff; 4];
        last.extend_from_slice(&regular[..16]);
        last.extend((FRAME as u32).to_be_bytes());
        last.extend_from_slice(&regular[16..]);
        let frame = |index| parts.frame(index);
        let message = parts.with(&[frame(0), frame(1), frame(2), &last]);
        // A fifth frame would begin where the rest of this one is.
        parts.only(&message, &[0, 1, 2], |error| {
            not_authentic(error) || matches!(error, Error::Truncated)
        });
        let mut reader = parts
            .client
            .blocking()
            .seek_reader_unverified(cursor(&message), &context())
            .unwrap();
        let error = inner(reader.verified_length().unwrap_err());
        assert!(not_authentic(&error), "{error:?}");
    }
}

#[test]
fn frames_of_another_message_under_the_same_data_key() {
    let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
    let cache = DataKeyCache::new(10);
    let client = builder(suite, raw("key", 7))
        .frame_length(FRAME as u32)
        .caching(Caching::new(&cache, Duration::from_secs(1000)))
        .build()
        .unwrap();
    let (parts, other) = (Parts::of(client.clone()), Parts::of(client));
    let edk = |parts: &Parts| {
        let header = waxseal::inspect(&parts.message).unwrap();
        header.encrypted_data_keys()[0].ciphertext().to_vec()
    };
    assert_eq!(edk(&parts), edk(&other));
    let frame = |index| parts.frame(index);
    let message = parts.with(&[frame(0), other.frame(1), frame(2), frame(3), frame(4)]);
    parts.only(&message, &[0, 2, 3, 4], not_authentic);
    let message = parts.with(&[frame(0), frame(1), frame(2), frame(3), other.frame(4)]);
    parts.only(&message, &[0, 1, 2, 3], not_authentic);
}

/// What can be read of a changed message is the plaintext, and what the change
/// touches is refused.
fn is_refused_or_right(parts: &Parts, message: &[u8], changed: Option<usize>) {
    let text = plaintext(LENGTH);
    let blocking = parts.client.blocking();
    let opened = blocking.seek_reader_unverified(cursor(message), &context());
    let expected_context = context();
    let ranged = parts
        .client
        .range_reader_unverified(remote(message), &expected_context);
    let ranged = ready(ranged);
    let Ok(mut seeking) = opened else {
        assert!(ranged.is_err());
        return;
    };
    let ranged = ranged.unwrap();
    assert!(
        changed.is_none_or(|at| at >= parts.map.header.end),
        "a changed header was accepted"
    );
    for index in 0..FRAMES {
        let places = index * FRAME..LENGTH.min((index + 1) * FRAME);
        let range = places.start as u64..places.end as u64;
        let is_touched = changed.is_some_and(|at| parts.map.frames[index].bytes.contains(&at));
        for read in [
            seeking.read_range(range.clone()),
            ready(ranged.read(range.clone())),
        ] {
            match read {
                Ok(found) => {
                    assert!(!is_touched, "frame {index}");
                    assert_eq!(found, text[places.clone()]);
                }
                // A footer of another length is seen at the end.
                Err(_) => assert!(
                    changed.is_none() || is_touched || index == FRAMES - 1,
                    "frame {index}"
                ),
            }
        }
    }
    if changed.is_none() {
        seeking.verified_length().unwrap_err();
        ready(ranged.verified_length()).unwrap_err();
    }
}

#[test]
fn each_bit_flipped() {
    for suite in [SUITES[2], SUITES[1]] {
        let parts = Parts::new(suite);
        for at in 0..parts.message.len() {
            for bit in 0..8 {
                let mut message = parts.message.clone();
                message[at] ^= 1 << bit;
                is_refused_or_right(&parts, &message, Some(at));
            }
        }
    }
}

#[test]
fn cut_anywhere_and_longer() {
    for suite in SUITES {
        let parts = Parts::new(suite);
        for end in 0..parts.message.len() {
            is_refused_or_right(&parts, &parts.message[..end], None);
        }
        for behind in (1..50).chain([4096, 70_000]) {
            for byte in [0, 0xff] {
                let longer = [&parts.message[..], &vec![byte; behind]].concat();
                is_refused_or_right(&parts, &longer, None);
            }
        }
        let twice = [&parts.message[..], &parts.message].concat();
        is_refused_or_right(&parts, &twice, None);
    }
}

#[test]
fn trailing_bytes_have_their_error() {
    for suite in [SUITES[0], SUITES[2]] {
        let parts = Parts::new(suite);
        let longer = [&parts.message[..], &[0]].concat();
        let mut reader = parts
            .client
            .blocking()
            .seek_reader(cursor(&longer), &context())
            .unwrap();
        let error = inner(reader.verified_length().unwrap_err());
        assert!(matches!(error, Error::TrailingBytes), "{error:?}");
        let shorter = &parts.message[..parts.message.len() - 1];
        let mut reader = parts
            .client
            .blocking()
            .seek_reader(cursor(shorter), &context())
            .unwrap();
        let error = reader.verified_length().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        assert!(matches!(inner(error), Error::Truncated));
    }
}

/// A final frame as long on the wire as a regular one, so that what was fetched
/// ends with it, and the source does not.
#[test]
fn a_short_final_frame_too_early() {
    let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
    let craft = Craft::new(suite);
    let mut message = craft.header();
    message.extend(craft.regular(1, &plaintext(16)));
    message.extend(craft.last(2, &plaintext(8)));
    message.extend([0; 200]);
    let client = builder(suite, Fixed).build().unwrap();
    let nothing = EncryptionContext::new();
    let mut reader = client
        .blocking()
        .seek_reader(cursor(&message), &nothing)
        .unwrap();
    let error = inner(reader.read_range(16..20).unwrap_err());
    assert!(matches!(error, Error::TrailingBytes), "{error:?}");
    assert_eq!(reader.read_range(0..16).unwrap(), plaintext(16));
}

/// Where a message is cut off, its frames up to there are all to be had, though
/// they stand where a final frame or a signature would.
#[test]
fn each_whole_frame_of_what_was_cut_off() {
    for suite in SUITES {
        for frame_length in [1, 16] {
            let mut craft = Craft::new(suite);
            craft.frame_length = frame_length;
            let text = plaintext(6 * frame_length as usize);
            let mut message = craft.header();
            for (number, content) in (1..).zip(text.chunks(frame_length as usize)) {
                message.extend(craft.regular(number, content));
            }
            let client = builder(suite, Fixed).build().unwrap();
            for at in (0..text.len()).rev() {
                let mut reader = client
                    .blocking()
                    .seek_reader_unverified(cursor(&message), &EncryptionContext::new())
                    .unwrap();
                let at = at as u64;
                assert_eq!(
                    reader.read_range(at..at + 1).unwrap(),
                    text[at as usize..][..1]
                );
                reader.verified_length().unwrap_err();
            }
        }
    }
}

/// With each back end nothing of a frame that is not authentic is in the
/// caller's buffer, wherever its frames are opened.
#[test]
fn nothing_of_a_wrong_frame_stays() {
    const FRAME: usize = 64;
    let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
    for backend in CryptoBackend::available() {
        let client = builder(suite, raw("key", 7))
            .frame_length(FRAME as u32)
            .backend(backend.clone())
            .build()
            .unwrap();
        let good = ready(client.encrypt(&[0xab; 10 * FRAME], &context())).unwrap();
        let frames = Map::of(&good).frames;
        for number in [0, 3, 9] {
            for at in [
                frames[number].content.start,
                frames[number].content.end - 1,
                frames[number].bytes.end - 1,
            ] {
                let mut message = good.clone();
                message[at] ^= 1;
                let blocking = client.blocking();
                let mut seeking = blocking.seek_reader(cursor(&message), &context()).unwrap();
                let ranged = ready(client.range_reader(remote(&message), &context())).unwrap();
                let wrong = number * FRAME..(number + 1) * FRAME;
                for start in [0, wrong.start] {
                    let mut outs = [[0xee; 10 * FRAME]; 2];
                    let [out, other] = &mut outs;
                    let errors = [
                        seeking
                            .read_at(start as u64, &mut out[start..])
                            .unwrap_err(),
                        ready(ranged.read_at(start as u64, &mut other[start..])).unwrap_err(),
                    ];
                    for error in errors {
                        let error = inner(error);
                        assert!(
                            matches!(error, Error::FrameAuthentication { sequence_number }
                                if sequence_number as usize == number + 1),
                            "{}: {error}",
                            backend.name()
                        );
                    }
                    for out in outs {
                        let authentic = &out[start..wrong.start];
                        assert!(authentic.iter().all(|byte| *byte == 0xab));
                        let rest = &out[wrong.start..];
                        assert!(rest.iter().all(|byte| [0, 0xee].contains(byte)));
                    }
                }
            }
        }
    }
}
