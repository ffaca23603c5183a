//! Sources that lie.

use std::future::ready as at_once;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use waxseal::{AlgorithmSuite, Error, RangeSource, SourceFuture};

use crate::inner;
use crate::support::{builder, client, context, plaintext, raw, ready};

const SUITE: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;

/// A message, and what is made of its length and of each answer.
struct Lying<L, A> {
    message: Vec<u8>,
    length: L,
    answer: A,
    answers: AtomicUsize,
}

impl<L, A> RangeSource for Lying<L, A>
where
    L: Fn(u64) -> u64 + Send + Sync,
    A: Fn(usize, Vec<u8>) -> io::Result<Vec<u8>> + Send + Sync,
{
    fn length(&self) -> SourceFuture<'_, u64> {
        let length = (self.length)(self.message.len() as u64);
        Box::pin(at_once(Ok(length)))
    }

    fn read_range(&self, range: Range<u64>) -> SourceFuture<'_, Vec<u8>> {
        assert!(range.end - range.start <= 8 << 20, "{range:?}");
        let place = |at: u64| at.min(self.message.len() as u64) as usize;
        let bytes = self.message[place(range.start)..place(range.end)].to_vec();
        let count = self.answers.fetch_add(1, Ordering::Relaxed);
        Box::pin(at_once((self.answer)(count, bytes)))
    }
}

fn lying<L, A>(length: L, answer: A) -> Lying<L, A>
where
    L: Fn(u64) -> u64 + Send + Sync,
    A: Fn(usize, Vec<u8>) -> io::Result<Vec<u8>> + Send + Sync,
{
    Lying {
        message: ready(client(SUITE).encrypt(&plaintext(50_000), &context())).unwrap(),
        length,
        answer,
        answers: AtomicUsize::new(0),
    }
}

/// What a read of a middle frame and of the end come to.
fn tried(source: impl RangeSource) -> [io::Result<()>; 3] {
    let reader = match ready(client(SUITE).range_reader(source, &context())) {
        Ok(reader) => reader,
        Err(error) => return [Err(error), Ok(()), Ok(())],
    };
    let read = ready(reader.read(20_000..20_010)).map(|found| {
        assert_eq!(found, plaintext(50_000)[20_000..20_010]);
    });
    let end = ready(reader.verified_length()).map(|length| assert_eq!(length, 50_000));
    [Ok(()), read, end]
}

#[test]
fn the_truth_is_fine() {
    for result in tried(lying(|length| length, |_, bytes| Ok(bytes))) {
        result.unwrap();
    }
}

#[test]
fn answers_of_wrong_lengths() {
    for at in [0, 1] {
        let short = lying(
            |length| length,
            move |count, mut bytes| {
                bytes.truncate(bytes.len() - usize::from(count >= at));
                Ok(bytes)
            },
        );
        let results = tried(short);
        let error = results.into_iter().find_map(Result::err).unwrap();
        assert!(matches!(inner(error), Error::Truncated));
        let long = lying(
            |length| length,
            move |count, mut bytes| {
                bytes.extend(vec![0; usize::from(count >= at)]);
                Ok(bytes)
            },
        );
        let error = tried(long).into_iter().find_map(Result::err).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("asked for"), "{error}");
        let empty = lying(
            |length| length,
            move |count, bytes| Ok(if count >= at { Vec::new() } else { bytes }),
        );
        let error = tried(empty).into_iter().find_map(Result::err).unwrap();
        assert!(matches!(inner(error), Error::Truncated));
    }
}

/// Also one that ends with a frame: what is there would open.
#[test]
fn answers_without_all_frames() {
    let short = lying(
        |length| length,
        |count, mut bytes| {
            if count == 1 {
                bytes.truncate(2 * (4096 + 32));
            }
            Ok(bytes)
        },
    );
    let reader = ready(client(SUITE).range_reader(short, &context())).unwrap();
    let error = ready(reader.read(0..20_000)).unwrap_err();
    assert!(matches!(inner(error), Error::Truncated));
    let found = ready(reader.read(0..20_000)).unwrap();
    assert_eq!(found, plaintext(50_000)[..20_000]);
}

#[test]
fn answers_that_change() {
    let changing = lying(
        |length| length,
        |count, mut bytes| {
            if count == 1 {
                bytes[100] ^= 1;
            }
            Ok(bytes)
        },
    );
    let reader = ready(client(SUITE).range_reader(changing, &context())).unwrap();
    let error = ready(reader.read(20_000..20_010)).unwrap_err();
    assert!(matches!(inner(error), Error::FrameAuthentication { .. }));
    // The next answer is right, and so is the next read.
    let found = ready(reader.read(20_000..20_010)).unwrap();
    assert_eq!(found, plaintext(50_000)[20_000..20_010]);
}

#[test]
fn lengths_that_are_not_so() {
    for length in [0, 1, 10, 300, 4096, 30_000] {
        let shorter = lying(move |_| length, |_, bytes| Ok(bytes));
        let results = tried(shorter);
        assert!(results.iter().any(Result::is_err), "{length}");
    }
    for more in [1, 31, 32, 4096, 1 << 40, u64::MAX - (1 << 20)] {
        let longer = lying(move |length| length + more, |_, bytes| Ok(bytes));
        let [_, read, end] = tried(longer);
        // What is really there is not touched by that.
        read.unwrap();
        end.unwrap_err();
    }
    let endless = lying(|_| u64::MAX, |_, bytes| Ok(bytes));
    let reader = ready(client(SUITE).range_reader(endless, &context())).unwrap();
    ready(reader.read(0..u64::MAX)).unwrap_err();
    ready(reader.read(u64::MAX - 1..u64::MAX)).unwrap_err();
    ready(reader.read_at(u64::MAX, &mut [0; 9])).unwrap_err();
}

#[test]
fn errors_come_through() {
    let failing = lying(
        |length| length,
        |count, bytes| match count {
            1 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(bytes),
        },
    );
    let [_, read, end] = tried(failing);
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
    end.unwrap();
}

/// A stream that says it is longer than it is.
struct Boasting {
    inner: io::Cursor<Vec<u8>>,
    length: u64,
}

impl Read for Boasting {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.inner.read(out)
    }
}

impl Seek for Boasting {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::End(_) => Ok(self.length),
            to => self.inner.seek(to),
        }
    }
}

#[test]
fn streams_that_boast() {
    let message = ready(client(SUITE).encrypt(&plaintext(50_000), &context())).unwrap();
    for length in [message.len() as u64 + 1, 1 << 50, u64::MAX] {
        let inner = io::Cursor::new(message.clone());
        let source = Boasting { inner, length };
        let mut reader = client(SUITE)
            .blocking()
            .seek_reader(source, &context())
            .unwrap();
        let found = reader.read_range(0..40_000).unwrap();
        assert_eq!(found, plaintext(50_000)[..40_000]);
        reader.read_range(0..u64::MAX).unwrap_err();
        reader.seek(SeekFrom::End(0)).unwrap_err();
        reader.read_range(1 << 60..u64::MAX).unwrap_err();
    }
}

/// A whole frame is announced, and nothing comes: what is asked for at once is
/// short, whatever the frames' length.
#[test]
fn memory_grows_with_what_comes() {
    struct Watching(Boasting, Arc<AtomicUsize>);

    impl Read for Watching {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.1.fetch_max(out.len(), Ordering::Relaxed);
            self.0.read(out)
        }
    }

    impl Seek for Watching {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    let length = 64 << 20;
    let client = builder(SUITE, raw("key", 7)).frame_length(length);
    let client = client.build().unwrap();
    let message = ready(client.encrypt(&plaintext(9000), &context())).unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    let source = Boasting {
        inner: io::Cursor::new(message),
        length: 1 << 50,
    };
    let source = Watching(source, Arc::clone(&most));
    let mut reader = client.blocking().seek_reader(source, &context()).unwrap();
    for place in [0, 1 << 40] {
        let error = reader.read_at(place, &mut [0; 1]).unwrap_err();
        assert!(matches!(inner(error), Error::Truncated));
    }
    let most = most.load(Ordering::Relaxed);
    assert!(most <= 1 << 20, "{most}");
}

/// Frames longer than what is read at once.
#[test]
fn frames_of_mebibytes() {
    let client = builder(SUITE, raw("key", 7)).frame_length(2_500_000);
    let client = client.build().unwrap();
    let text = plaintext(6_000_000);
    let message = ready(client.encrypt(&text, &context())).unwrap();
    let mut reader = client
        .blocking()
        .seek_reader(io::Cursor::new(message), &context())
        .unwrap();
    for range in [2_499_990..2_500_010, 4_000_000..4_000_001, 0..6_000_000] {
        let found = reader.read_range(range.clone()).unwrap();
        assert!(found == text[range.start as usize..range.end as usize]);
    }
}

/// Futures can be sent to other threads, and readers shared.
#[test]
fn readers_are_for_threads() {
    fn sent<T: Send>(value: T) -> T {
        value
    }
    fn shared<T: Send + Sync>(_: &T) {}
    let (client, context) = (client(SUITE), context());
    let source = lying(|length| length, |_, bytes| Ok(bytes));
    let reader = ready(sent(client.range_reader(source, &context))).unwrap();
    shared(&reader);
    std::thread::scope(|scope| {
        for at in 0..4_u64 {
            let reader = &reader;
            scope.spawn(move || {
                for offset in (at * 1000..50_000).step_by(7001) {
                    let found = ready(sent(reader.read(offset..offset + 5000))).unwrap();
                    let text = plaintext(50_000);
                    let end = text.len().min(offset as usize + 5000);
                    assert_eq!(found, text[offset as usize..end]);
                }
            });
        }
    });
}
