//! One message on several threads: the same bytes, the same errors after the
//! same plaintext, and no thread left.

mod support;

use std::io::{IoSlice, Read, Write};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use support::map::Map;
use support::{MODES, Mode, builder, context, plaintext, raw, ready, stream};
use waxseal::test_util::SequentialRandom;
use waxseal::{AlgorithmSuite, Client, CryptoBackend, Error, Parallelism};

const MIB: usize = 1 << 20;

/// Each way to work with others.
fn parallelisms() -> Vec<Parallelism> {
    vec![
        Parallelism::threads(2),
        Parallelism::threads(16),
        Parallelism::available(),
        #[cfg(feature = "rayon")]
        pool(1),
        #[cfg(feature = "rayon")]
        pool(3),
    ]
}

#[cfg(feature = "rayon")]
fn pool(threads: usize) -> Parallelism {
    let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads);
    Parallelism::pool(Arc::new(pool.build().unwrap()))
}

fn with(suite: AlgorithmSuite, frame_length: u32, parallelism: Parallelism) -> Client {
    let random = Arc::new(SequentialRandom::starting_at(1));
    builder(suite, raw("key", 7))
        .backend(CryptoBackend::rust_crypto().with_random(random))
        .frame_length(frame_length)
        .parallelism(parallelism)
        .build()
        .unwrap()
}

/// A message in every way to write one, of one client and its randomness each.
fn written(client: impl Fn() -> Client, plaintext: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let context = &context();
    let whole = ready(client().encrypt(plaintext, context)).unwrap();
    let mut into = vec![0; whole.len() + 1];
    let length = ready(client().encrypt_into(plaintext, context, &mut into)).unwrap();
    into.truncate(length);
    let mut in_place = plaintext.to_vec();
    ready(client().encrypt_in_place(&mut in_place, context)).unwrap();
    let mut encryptor = ready(client().encryptor(context, None)).unwrap();
    let mut pieces = Vec::new();
    for piece in plaintext.chunks(piece) {
        encryptor.update(piece, &mut pieces).unwrap();
    }
    encryptor.finish(&mut pieces).unwrap();
    let blocking = client().blocking();
    let mut writer = blocking.encrypt_writer(Vec::new(), context).unwrap();
    for piece in plaintext.chunks(piece) {
        writer.write_all(piece).unwrap();
    }
    let writer = writer.finish().unwrap();
    let blocking = client().blocking();
    let mut vectored = blocking.encrypt_writer(Vec::new(), context).unwrap();
    let mut rest = plaintext;
    while !rest.is_empty() {
        let slices: Vec<_> = rest.chunks(piece).take(3).map(IoSlice::new).collect();
        let taken = vectored.write_vectored(&slices).unwrap();
        assert!(taken > 0);
        rest = &rest[taken..];
        if rest.len().is_multiple_of(3) {
            vectored.flush().unwrap();
        }
    }
    let vectored = vectored.finish().unwrap();
    let mut reader = client()
        .blocking()
        .encrypt_reader(plaintext, context)
        .unwrap();
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    vec![whole, into, in_place, pieces, writer, vectored, read]
}

/// Reads a message in every way there is.
fn is_read(client: &Client, message: &[u8], plaintext: &[u8], piece: usize) {
    let context = &context();
    let whole = ready(client.decrypt(message, context)).unwrap();
    assert!(whole.plaintext == plaintext);
    let mut into = vec![1; message.len()];
    let (length, _) = ready(client.decrypt_into(message, context, &mut into)).unwrap();
    assert!(&into[..length] == plaintext);
    let mut exact = vec![1; plaintext.len()];
    let (length, _) = ready(client.decrypt_into(message, context, &mut exact)).unwrap();
    assert!(length == plaintext.len() && exact == plaintext);
    let mut in_place = message.to_vec();
    ready(client.decrypt_in_place(&mut in_place, context)).unwrap();
    assert!(in_place == plaintext);
    let several = [message, message].concat();
    let (first, rest) = ready(client.decrypt_prefix(&several, context)).unwrap();
    assert!(first.plaintext == plaintext && rest == message);
    for mode in MODES {
        let (found, outcome) = stream(client, context, message, piece, mode);
        outcome.unwrap();
        assert!(found == plaintext);
    }
    let blocking = client.blocking();
    let mut reader = blocking.decrypt_reader(message, context).unwrap();
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == plaintext);
    let mut writer = blocking.decrypt_writer(Vec::new(), context);
    for piece in message.chunks(piece) {
        writer.write_all(piece).unwrap();
    }
    assert!(writer.finish().unwrap().0 == plaintext);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_same_bytes_as_alone(
        suite in select(&AlgorithmSuite::ALL[..]),
        frame_length in prop_oneof![900..5000_u32, Just(4096), Just(65_536), 100_000..700_000_u32],
        length in prop_oneof![
            0..3 * MIB,
            // As many as fill frames and shares exactly, and one more or less.
            (1..22_usize, 0..3_usize).prop_map(|(shares, off)| shares * 131_072 + off - 1),
        ],
        parallelism in select(parallelisms()),
        piece in prop_oneof![1000..5000_usize, Just(65_536), 500_000..3 * MIB],
    ) {
        let plaintext = plaintext(length);
        let alone = with(suite, frame_length, Parallelism::none());
        let message = ready(alone.encrypt(&plaintext, &context())).unwrap();
        let client = || with(suite, frame_length, parallelism.clone());
        for (way, found) in written(client, &plaintext, piece).iter().enumerate() {
            assert!(*found == message, "another message, way {way}");
        }
        is_read(&client(), &message, &plaintext, piece);
    }
}

/// What is wrong with one frame, in the middle of a long message.
fn damages(message: &[u8], map: &Map, number: usize, other: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let frame = |number: usize| map.frames[number].bytes.clone();
    let (this, next) = (frame(number), frame(number + 1));
    let splice = |at: std::ops::Range<usize>, with: &[u8]| {
        [&message[..at.start], with, &message[at.end..]].concat()
    };
    let mut changed = message.to_vec();
    changed[this.start + 100] ^= 1;
    let swapped = [&message[next.clone()], &message[this.clone()]].concat();
    let repeated = [&message[this.clone()], &message[this.clone()]].concat();
    let mut renumbered = message.to_vec();
    renumbered[this.start + 3] ^= 1;
    let as_final = [&[0xff; 4], &message[this.clone()]].concat();
    vec![
        ("changed", changed),
        ("swapped", splice(this.start..next.end, &swapped)),
        ("repeated", splice(this.clone(), &repeated)),
        ("dropped", splice(this.clone(), &[])),
        (
            "of another message",
            splice(this.clone(), &other[this.clone()]),
        ),
        ("renumbered", renumbered),
        ("as a final one", splice(this.clone(), &as_final)),
        ("cut", message[..this.start + 50].to_vec()),
    ]
}

#[test]
fn nothing_from_a_wrong_frame_on() {
    const FRAME: usize = 4096;
    let plaintext = plaintext(2 * MIB + 5);
    for suite in [
        AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
        AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384,
    ] {
        let alone = with(suite, FRAME as u32, Parallelism::none());
        let message = ready(alone.encrypt(&plaintext, &context())).unwrap();
        let other = ready(alone.encrypt(&plaintext, &context())).unwrap();
        let map = Map::of(&message);
        for parallelism in parallelisms() {
            let client = with(suite, FRAME as u32, parallelism);
            let mut longer = [&message[..], &[0]].concat();
            let error = ready(client.decrypt_in_place(&mut longer, &context())).unwrap_err();
            assert!(matches!(error, Error::TrailingBytes), "{error}");
            assert!(longer.is_empty());
        }
        for number in [0, 31, 200, 510] {
            for (what, damaged) in damages(&message, &map, number, &other) {
                let good = if what == "repeated" {
                    number + 1
                } else {
                    number
                } * FRAME;
                let expected = ready(alone.decrypt(&damaged, &context())).unwrap_err();
                let same = |error: &Error| {
                    assert_eq!(error.to_string(), expected.to_string(), "{what} {number}");
                };
                for parallelism in parallelisms() {
                    let client = with(suite, FRAME as u32, parallelism);
                    same(&ready(client.decrypt(&damaged, &context())).unwrap_err());
                    let mut out = vec![0; damaged.len()];
                    same(&ready(client.decrypt_into(&damaged, &context(), &mut out)).unwrap_err());
                    assert!(out.iter().all(|byte| *byte == 0), "{what}: left behind");
                    let mut buffer = damaged.clone();
                    same(&ready(client.decrypt_in_place(&mut buffer, &context())).unwrap_err());
                    assert!(buffer.is_empty());
                    for mode in MODES {
                        let (found, outcome) =
                            stream(&client, &context(), &damaged, usize::MAX, mode);
                        same(&outcome.unwrap_err());
                        let held = suite.is_signed() && mode == Mode::Authenticated;
                        let good = if held { 0 } else { good };
                        assert!(found == plaintext[..good], "{what} {number}, {mode:?}");
                    }
                    let blocking = client.blocking();
                    let mut read = Vec::new();
                    let opened = blocking.decrypt_reader_unverified(&damaged[..], &context());
                    let error = match opened.map(|mut reader| reader.read_to_end(&mut read)) {
                        Ok(Err(error)) | Err(error) => error,
                        Ok(Ok(_)) => panic!("{what} {number} was read"),
                    };
                    same(error.get_ref().unwrap().downcast_ref().unwrap());
                    assert!(read == plaintext[..read.len()] && read.len() <= good);
                }
            }
        }
    }
}

/// A message so long that the threads take longer shares of it.
#[test]
fn long_messages_have_longer_shares() {
    let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
    let plaintext = plaintext(17 * MIB + 5);
    let alone = with(suite, 4096, Parallelism::none());
    let message = ready(alone.encrypt(&plaintext, &context())).unwrap();
    let mut damaged = message.clone();
    damaged[Map::of(&message).frames[3000].bytes.start + 100] ^= 1;
    for parallelism in parallelisms() {
        let client = || with(suite, 4096, parallelism.clone());
        assert!(ready(client().encrypt(&plaintext, &context())).unwrap() == message);
        let decrypted = ready(client().decrypt(&message, &context())).unwrap();
        assert!(decrypted.plaintext == plaintext);
        let mut out = vec![0; message.len()];
        let error = ready(client().decrypt_into(&damaged, &context(), &mut out)).unwrap_err();
        let Error::FrameAuthentication { sequence_number } = error else {
            panic!("{error}");
        };
        assert_eq!(sequence_number, 3001);
        assert!(out.iter().all(|byte| *byte == 0));
    }
}

/// What a caller's buffer has no room for is said as alone, and nothing stays.
#[test]
fn buffers_that_are_too_small() {
    let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
    let plaintext = plaintext(MIB + 77);
    let alone = with(suite, 4096, Parallelism::none());
    let message = ready(alone.encrypt(&plaintext, &context())).unwrap();
    for parallelism in parallelisms() {
        let client = with(suite, 4096, parallelism);
        for room in [0, 4095, 4096, MIB / 2, MIB, MIB + 76] {
            let mut out = vec![0; room];
            let error = ready(client.decrypt_into(&message, &context(), &mut out)).unwrap_err();
            assert!(matches!(error, Error::OutputTooSmall { .. }), "{error:?}");
            assert!(out.iter().all(|byte| *byte == 0));
        }
    }
}

/// Calls from within the pool, also from all of its threads at once, end.
#[cfg(feature = "rayon")]
#[test]
fn from_within_the_pool() {
    let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384;
    let pool = rayon_core::ThreadPoolBuilder::new().num_threads(2);
    let pool = Arc::new(pool.build().unwrap());
    let client = with(suite, 4096, Parallelism::pool(pool.clone()));
    let plaintext = plaintext(2 * MIB);
    pool.scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|_| {
                let message = ready(client.encrypt(&plaintext, &context())).unwrap();
                let decrypted = ready(client.decrypt(&message, &context())).unwrap();
                assert!(decrypted.plaintext == plaintext);
            });
        }
    });
}

/// Its threads end with the call, after success and after errors.
#[cfg(target_os = "linux")]
#[test]
fn no_thread_is_left() {
    // A process of its own, since other tests' threads come and go in this one.
    if std::env::var_os("WAXSEAL_TEST_THREADS").is_none() {
        let program = std::env::current_exe().unwrap();
        let child = std::process::Command::new(program)
            .args(["--exact", "no_thread_is_left", "--test-threads=1"])
            .env("WAXSEAL_TEST_THREADS", "1")
            .status();
        assert!(child.unwrap().success());
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    // A thread that has been waited for is seen for a moment more.
    let none_left = || {
        let none = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            threads() == before
        });
        assert!(none, "{} threads", threads());
    };
    let client = with(
        AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
        4096,
        Parallelism::threads(4),
    );
    let mut message = ready(client.encrypt(&plaintext(4 * MIB), &context())).unwrap();
    none_left();
    let middle = message.len() / 2;
    message[middle] ^= 1;
    ready(client.decrypt(&message, &context())).unwrap_err();
    none_left();
    let mut reader = client
        .blocking()
        .decrypt_reader(&message[..], &context())
        .unwrap();
    reader.read_to_end(&mut Vec::new()).unwrap_err();
    none_left();
    drop(reader);
    let mut writer = client
        .blocking()
        .encrypt_writer(std::io::sink(), &context())
        .unwrap();
    writer.write_all(&plaintext(4 * MIB)).unwrap();
    drop(writer);
    none_left();
}
