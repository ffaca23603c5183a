//! What is allocated: nothing from a declared length alone, a message's output
//! once, and no more for more frames.
#![allow(unsafe_code)] // reason: a global allocator that counts

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Read;

use support::craft::Craft;
use support::map::Map;
use support::providers::Fixed;
use support::{MODES, builder, client, context, plaintext, ready, stream, vector};
use waxseal::{AlgorithmSuite, Client, EncryptionContext, Error, inspect};

/// The system's allocator, and counts for the thread that asked for them: the
/// tests run side by side.
struct Counting;

#[derive(Clone, Copy)]
struct Counts {
    /// Bytes allocated since the counts began, less those freed.
    current: usize,
    peak: usize,
    calls: usize,
    /// Calls for at least `large` bytes.
    large_calls: usize,
    large: usize,
}

impl Counts {
    const fn none(large: usize) -> Self {
        Counts {
            current: 0,
            peak: 0,
            calls: 0,
            large_calls: 0,
            large,
        }
    }
}

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts::none(usize::MAX)) };
}

fn count(allocated: usize, freed: usize) {
    // While a thread ends there is nothing to count into.
    let _ = COUNTS.try_with(|counts| {
        let mut now = counts.get();
        if allocated > 0 {
            now.calls += 1;
            now.large_calls += usize::from(allocated >= now.large);
        }
        now.current = (now.current + allocated).saturating_sub(freed);
        now.peak = now.peak.max(now.current);
        counts.set(now);
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting
// allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }

    // Both blocks are there while one is copied to the other.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, 0);
        count(0, layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs this, and says what it allocated.
fn counted<T>(large: usize, run: impl FnOnce() -> T) -> (T, Counts) {
    COUNTS.set(Counts::none(large));
    let value = run();
    (value, COUNTS.get())
}

const MIB: usize = 1 << 20;

#[track_caller]
fn small<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let (value, counts) = counted(usize::MAX, run);
    assert!(counts.peak < MIB, "{what}: {} bytes at once", counts.peak);
    value
}

#[test]
fn the_allocator_counts() {
    let (_, counts) = counted(1000, || {
        let mut grown = vec![0u8; 500];
        grown.reserve_exact(1500);
        drop(grown);
        drop(vec![1u8; 100]);
    });
    assert_eq!((counts.calls, counts.large_calls), (3, 1));
    assert_eq!((counts.peak, counts.current), (2500, 0));
}

fn set_to_maximum(message: &[u8], at: usize, width: usize) -> Vec<u8> {
    let mut message = message.to_vec();
    message[at..at + width].fill(0xff);
    message
}

/// Every way to read the message fails, and none allocates a mebibyte.
fn fails_small(client: &Client, context: &EncryptionContext, message: &[u8], what: &str) {
    let mut buffer = vec![0; message.len()];
    small(what, || ready(client.decrypt(message, context)).map(drop)).expect_err(what);
    small(what, || {
        ready(client.decrypt_into(message, context, &mut buffer)).map(drop)
    })
    .expect_err(what);
    small(what, || {
        ready(client.decrypt_prefix(message, context)).map(drop)
    })
    .expect_err(what);
    for mode in MODES {
        for size in [1, 64, usize::MAX] {
            let (_, outcome) = small(what, || stream(client, context, message, size, mode));
            outcome.expect_err(what);
        }
    }
    let blocking = client.blocking();
    small(what, || {
        let mut reader = blocking.decrypt_reader(message, context)?;
        reader.read_to_end(&mut Vec::new())
    })
    .expect_err(what);
}

#[test]
fn every_length_field_at_its_maximum() {
    let mut samples = Vec::new();
    for suite in AlgorithmSuite::ALL {
        let unlimited = |provider| {
            builder(suite, provider)
                .max_encrypted_data_keys(None)
                .build()
                .unwrap()
        };
        let message = ready(client(suite).encrypt(&plaintext(20), &context())).unwrap();
        samples.push((client(suite), context(), message));
        // Nothing but the message's own form and tags are in the way.
        for craft in [Craft::new(suite), Craft::unframed_body(suite)] {
            let message = craft.whole(&plaintext(20));
            samples.push((unlimited(Fixed), EncryptionContext::new(), message));
        }
    }
    for id in [
        "own/unframed-0178",
        "own/unframed-0478",
        "own/unframed-0578",
    ] {
        let case = vector(id);
        samples.push((case.client, case.context, case.message));
    }
    let mut seen = std::collections::BTreeSet::new();
    for (client, context, message) in samples {
        let map = Map::of(&message);
        for field in &map.lengths {
            let what = format!("{} of {:?}", field.name, inspect(&message).unwrap().suite());
            seen.insert(field.name.clone());
            let damaged = set_to_maximum(&message, field.at, field.width);
            fails_small(&client, &context, &damaged, &what);
            let inspected = small(&what, || inspect(&damaged));
            // What comes behind the header is not looked at, and a framed
            // message may have any frame length but 0.
            let is_valid_header =
                field.at >= map.header.end || (field.name == "frame length" && map.framed);
            assert_eq!(inspected.is_ok(), is_valid_header, "{what}");
        }
    }
    for name in [
        "context length",
        "pair count",
        "length of key 0",
        "length of value 0",
        "count of encrypted data keys",
        "length of provider id 0",
        "length of key info 0",
        "length of ciphertext 0",
        "IV length",
        "frame length",
        "final frame length",
        "un-framed body length",
        "signature length",
    ] {
        assert!(seen.contains(name), "{name} was not tried");
    }
}

/// The same where the header says so authentically: a frame length of 4 GiB,
/// and an un-framed body of AES-GCM's greatest length, with little behind.
#[test]
fn authentic_and_without_bounds() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, Fixed)
            .frame_length(u32::MAX)
            .max_buffered(usize::MAX)
            .build()
            .unwrap();
        let none = EncryptionContext::new();
        let message = ready(client.encrypt(&[7; 20], &none)).unwrap();
        let whole = small("a short message in a long frame", || {
            ready(client.decrypt(&message, &none))
        });
        assert_eq!(whole.unwrap().plaintext, [7; 20]);
        for mode in MODES {
            for size in [1, 64, usize::MAX] {
                let (found, outcome) =
                    small("streamed", || stream(&client, &none, &message, size, mode));
                outcome.unwrap();
                assert_eq!(found, [7; 20]);
            }
        }

        // A regular frame of 4 GiB that ends soon.
        let craft = Craft {
            frame_length: u32::MAX,
            ..Craft::new(suite)
        };
        let mut regular = craft.header();
        regular.extend([0, 0, 0, 1]);
        regular.extend([0; 12 + 100]);
        fails_small(&client, &none, &regular, "a frame of 4 GiB");

        let craft = Craft::unframed_body(suite);
        let mut unframed = craft.header();
        unframed.extend([0; 12]);
        unframed.extend(((1u64 << 36) - 32).to_be_bytes());
        unframed.extend([0; 100]);
        fails_small(&client, &none, &unframed, "a body of 64 GiB");
    }
}

/// A header may be long, and costs no more than it is.
#[test]
fn many_encrypted_data_keys() {
    let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
    let craft = Craft {
        edks: vec![Default::default(); 65_535],
        ..Craft::new(suite)
    };
    let message = craft.whole(b"plaintext");
    let client = builder(suite, Fixed).build().unwrap();
    let none = EncryptionContext::new();
    for mode in MODES {
        let (_, outcome) = small("too many encrypted data keys", || {
            stream(&client, &none, &message, 1000, mode)
        });
        assert!(matches!(
            outcome,
            Err(Error::TooManyEncryptedDataKeys {
                found: 65_535,
                limit: 16
            })
        ));
    }
    let unlimited = builder(suite, Fixed)
        .max_encrypted_data_keys(None)
        .build()
        .unwrap();
    assert!(ready(unlimited.decrypt(&message, &none)).is_ok());
    let (header, counts) = counted(usize::MAX, || inspect(&message));
    assert_eq!(header.unwrap().encrypted_data_keys().len(), 65_535);
    assert!(counts.peak < 40 * message.len(), "{}", counts.peak);
}

#[test]
fn one_shot_encryption_allocates_its_output_once() {
    for suite in AlgorithmSuite::ALL {
        for frame_length in [64, 4096, u32::MAX] {
            let client = builder(suite, support::raw("key", 7))
                .frame_length(frame_length)
                .build()
                .unwrap();
            let plaintext = plaintext(100_000);
            let context = context();
            let (message, counts) = counted(plaintext.len(), || {
                ready(client.encrypt(&plaintext, &context)).unwrap()
            });
            assert_eq!(counts.large_calls, 1, "{suite}, frames of {frame_length}");
            assert_eq!(message.capacity(), message.len());
            // What remains allocated is the message, and nothing was freed and
            // allocated anew beside it.
            assert_eq!(counts.current, message.len());
            assert!(counts.peak < message.len() + 8 * 1024, "{}", counts.peak);

            let mut buffer = vec![0; message.len()];
            let (written, counts) = counted(4096, || {
                ready(client.encrypt_into(&plaintext, &context, &mut buffer)).unwrap()
            });
            assert_eq!(written, message.len());
            assert_eq!(counts.large_calls, 0, "{suite}, frames of {frame_length}");
            assert_eq!(counts.current, 0);
        }
    }
}

#[test]
fn one_shot_decryption_allocates_its_output_once() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, support::raw("key", 7)).build().unwrap();
        let plaintext = plaintext(100_000);
        let context = context();
        let message = ready(client.encrypt(&plaintext, &context)).unwrap();
        let (decrypted, counts) = counted(plaintext.len(), || {
            ready(client.decrypt(&message, &context)).unwrap()
        });
        assert_eq!(decrypted.plaintext, plaintext);
        assert_eq!(counts.large_calls, 1, "{suite}");
        let mut buffer = vec![0; message.len()];
        let (_, counts) = counted(4096, || {
            ready(client.decrypt_into(&message, &context, &mut buffer)).unwrap()
        });
        assert_eq!(counts.large_calls, 0, "{suite}");
    }
}

/// As many allocations for a thousand frames as for one.
#[test]
fn frames_allocate_nothing() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, support::raw("key", 7))
            .frame_length(64)
            .build()
            .unwrap();
        let context = context();
        let calls = |length: usize| {
            let plaintext = plaintext(length);
            // The fewest of many: a signature of another length is made again.
            let fewest = |run: &mut dyn FnMut()| {
                let counts = (0..30).map(|_| counted(usize::MAX, &mut *run).1.calls);
                counts.min()
            };
            let message = ready(client.encrypt(&plaintext, &context)).unwrap();
            let mut buffer = vec![0; message.len()];
            (
                fewest(&mut || drop(ready(client.encrypt(&plaintext, &context)).unwrap())),
                fewest(&mut || {
                    ready(client.encrypt_into(&plaintext, &context, &mut buffer)).unwrap();
                }),
                fewest(&mut || drop(ready(client.decrypt(&message, &context)).unwrap())),
            )
        };
        assert_eq!(calls(64), calls(64_000), "{suite}");
    }
}

/// A stream holds one frame, however long the message.
#[test]
fn streams_hold_one_frame() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, Fixed).frame_length(4096).build().unwrap();
        let none = EncryptionContext::new();
        let plaintext = plaintext(MIB / 4);
        let message = ready(client.encrypt(&plaintext, &none)).unwrap();
        let mut encryptor = ready(client.encryptor(&none, None)).unwrap();
        let mut decryptor = client.decryptor_unverified(&none);
        let mut out = Vec::with_capacity(64 * 1024);
        let ((), counts) = counted(usize::MAX, || {
            for piece in plaintext.chunks(10_000) {
                encryptor.update(piece, &mut out).unwrap();
                out.clear();
            }
            encryptor.finish(&mut out).unwrap();
        });
        assert!(counts.peak < 16 * 1024, "{suite}: {}", counts.peak);
        out.clear();
        let ((), counts) = counted(usize::MAX, || {
            for piece in message.chunks(10_000) {
                ready(decryptor.push(piece, &mut out)).unwrap();
                out.clear();
            }
            decryptor.finish().unwrap();
        });
        assert!(counts.peak < 32 * 1024, "{suite}: {}", counts.peak);
    }
}
