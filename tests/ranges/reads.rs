//! How much is read of the source.

use std::io::{Read, Seek, SeekFrom};

use waxseal::{AlgorithmSuite, Client, EncryptionContext};

use crate::sources::{Counting, Synthetic};
use crate::support::craft::Craft;
use crate::support::providers::Fixed;
use crate::support::{builder, client, context, plaintext, ready};

const SUITE: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;

const GIB: u64 = 1 << 30;

fn synthetic(frame_length: u32, header_length: usize, plaintext_length: u64) -> Synthetic {
    let mut craft = Craft::new(SUITE);
    craft.frame_length = frame_length;
    Synthetic::new(craft, header_length, plaintext_length)
}

fn fixed() -> Client {
    builder(SUITE, Fixed).build().unwrap()
}

/// At the beginning, at the end, at and around frames' ends, and elsewhere.
fn places(length: u64, frame_length: u64) -> impl Iterator<Item = u64> {
    let last = length - 65_536;
    let middle = length / 2 / frame_length * frame_length;
    let elsewhere = (1..6_u64).map(move |at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) % last);
    [0, 1, last, last - 1, middle, middle - 1, middle + 1]
        .into_iter()
        .chain(elsewhere)
}

#[test]
fn a_read_in_a_long_message_is_three_at_most() {
    let none = EncryptionContext::new();
    for (frame_length, header_length) in [(4096, 300), (4096, 4096), (65_536, 4096), (1000, 4000)] {
        for length in [GIB + 5, 10 * GIB] {
            for place in places(length, frame_length.into()) {
                let synthetic = synthetic(frame_length, header_length, length);
                let expected = synthetic.plaintext(place..place + 65_536);
                let (source, log) = Counting::new(synthetic);
                let mut reader = fixed().blocking().seek_reader(source, &none).unwrap();
                let mut out = vec![0; 65_536];
                assert_eq!(reader.read_at(place, &mut out).unwrap(), out.len());
                assert!(out == expected);
                assert!(log.reads() <= 3, "{:?}", log.ranges());
                assert!(log.bytes() < 200_000, "{:?}", log.ranges());

                let synthetic = reader.into_inner().bytes;
                let (source, log) = Counting::new(synthetic);
                let reader = ready(fixed().range_reader(source, &none)).unwrap();
                let out = ready(reader.read(place..place + 65_536)).unwrap();
                assert!(out == expected);
                // One of them asks for the length.
                assert!(log.reads() <= 3, "{:?}", log.ranges());
                assert!(log.bytes() < 200_000, "{:?}", log.ranges());
            }
        }
    }
}

#[test]
fn the_end_of_a_long_message_is_one_read_more() {
    let none = EncryptionContext::new();
    let length = 10 * GIB + 77;
    let (source, log) = Counting::new(synthetic(4096, 300, length));
    let mut reader = fixed().blocking().seek_reader(source, &none).unwrap();
    let unverified = reader.header().plaintext_length(reader.source_length());
    assert_eq!(unverified, Some(length));
    assert_eq!(log.reads(), 1);
    assert_eq!(reader.seek(SeekFrom::End(0)).unwrap(), length);
    assert_eq!(log.reads(), 2);
    assert!(log.bytes() < 4096 + 4200);
    // It is kept, and known.
    assert_eq!(reader.seek(SeekFrom::End(-77)).unwrap(), length - 77);
    let mut out = Vec::new();
    reader.read_to_end(&mut out).unwrap();
    assert_eq!(out.len(), 77);
    assert_eq!(reader.verified_length().unwrap(), length);
    assert_eq!(log.reads(), 2);
}

/// A long message's last numbers.
#[test]
fn frame_numbers_to_the_last() {
    let none = EncryptionContext::new();
    let length = u64::from(u32::MAX) * 8;
    let (source, _) = Counting::new(synthetic(8, 300, length));
    let mut reader = fixed().blocking().seek_reader(source, &none).unwrap();
    let range = length - 20..length + 20;
    let expected = synthetic(8, 300, length).plaintext(length - 20..length);
    assert_eq!(reader.read_range(range).unwrap(), expected);
    assert_eq!(reader.verified_length().unwrap(), length);
}

#[test]
fn reading_on_opens_no_frame_twice() {
    for (frame_length, length, most_reads) in [
        // 15 frames at once, but for the first.
        (4096, 1_000_000, 3 + 1_000_000 / (15 * 4096)),
        (65_536, 1_000_000, 2 + 1_000_000 / 65_536),
        (100_000, 1_000_000, 2 + 1_000_000 / 100_000),
        (7, 20_000, 3 + 20_000 / (1680 * 7)),
    ] {
        let client = builder(SUITE, crate::support::raw("key", 7))
            .frame_length(frame_length)
            .build()
            .unwrap();
        let text = plaintext(length);
        let message = ready(client.encrypt(&text, &context())).unwrap();
        let total = message.len() as u64;
        let header = waxseal::inspect(&message).unwrap().header_length() as u64;
        for size in [100, 4096, 5000] {
            let (source, log) = Counting::new(message.clone());
            let mut reader = client.blocking().seek_reader(source, &context()).unwrap();
            log.clear();
            let mut found = Vec::new();
            let mut piece = vec![0; size];
            loop {
                match reader.read(&mut piece).unwrap() {
                    0 => break,
                    length => found.extend_from_slice(&piece[..length]),
                }
            }
            assert!(found == text);
            // Every byte behind the header once, in order: nothing twice.
            assert_eq!(log.bytes(), total - header);
            assert!(log.reads() <= most_reads, "{} reads", log.reads());
            let ranges = log.ranges();
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }
}

#[test]
fn what_is_open_is_kept() {
    let client = client(SUITE);
    let message = ready(client.encrypt(&plaintext(50_000), &context())).unwrap();
    let (source, log) = Counting::new(message);
    let mut reader = client.blocking().seek_reader(source, &context()).unwrap();
    let mut out = [0; 10];
    reader.read_at(10_000, &mut out).unwrap();
    let before = log.reads();
    for offset in (8192..12_278).rev() {
        reader.read_at(offset, &mut out).unwrap();
        assert_eq!(out, plaintext(50_000)[offset as usize..][..10]);
    }
    assert_eq!(log.reads(), before);
}

/// No frame that is not touched, where nobody reads on.
#[test]
fn a_short_read_is_a_frame() {
    let client = client(SUITE);
    let message = ready(client.encrypt(&plaintext(50_000), &context())).unwrap();
    let (source, log) = Counting::new(message);
    let mut reader = client.blocking().seek_reader(source, &context()).unwrap();
    for offset in [0, 20_000, 4095, 30_000] {
        log.clear();
        reader.read_at(offset, &mut [0; 1]).unwrap();
        assert_eq!(log.bytes(), 4096 + 32);
    }
}

#[test]
fn a_long_read_is_in_large_pieces() {
    let client = client(SUITE);
    let text = plaintext(3_000_000);
    let message = ready(client.encrypt(&text, &context())).unwrap();
    let (source, log) = Counting::new(message.clone());
    let mut reader = client.blocking().seek_reader(source, &context()).unwrap();
    let mut out = vec![0; text.len()];
    assert_eq!(reader.read_at(0, &mut out).unwrap(), text.len());
    assert!(out == text);
    assert_eq!(log.reads(), 1 + 3);
    let (source, log) = Counting::new(message);
    let reader = ready(client.range_reader(source, &context())).unwrap();
    assert!(ready(reader.read(0..u64::MAX)).unwrap() == text);
    assert_eq!(log.reads(), 2 + 1);
}

#[test]
fn a_message_behind_something_else() {
    let client = client(SUITE);
    let text = plaintext(10_000);
    let mut bytes = vec![9; 777];
    bytes.extend(ready(client.encrypt(&text, &context())).unwrap());
    let mut source = std::io::Cursor::new(bytes);
    source.set_position(777);
    let mut reader = client.blocking().seek_reader(source, &context()).unwrap();
    assert_eq!(reader.read_range(5000..6000).unwrap(), text[5000..6000]);
    assert_eq!(reader.seek(SeekFrom::End(0)).unwrap(), 10_000);
}
