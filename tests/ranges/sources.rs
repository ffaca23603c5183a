//! Sources that count what is read of them.

use std::future::ready;
use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use waxseal::{RangeSource, SourceFuture};

use crate::support::craft::Craft;
use crate::support::plaintext;

/// The ranges that were read, and how often the length was asked for.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Range<u64>>>>);

impl Log {
    pub(crate) fn reads(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        let reads = self.0.lock().unwrap();
        reads.iter().map(|read| read.end - read.start).sum()
    }

    pub(crate) fn ranges(&self) -> Vec<Range<u64>> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    fn note(&self, range: Range<u64>) {
        self.0.lock().unwrap().push(range);
    }
}

/// Bytes that can be had by ranges.
pub(crate) trait Bytes: Send + Sync {
    fn length(&self) -> u64;
    fn read(&self, at: u64, out: &mut [u8]);
}

impl Bytes for Vec<u8> {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, at: u64, out: &mut [u8]) {
        let at = at as usize;
        out.copy_from_slice(&self[at..at + out.len()]);
    }
}

/// Those, counting, for both readers.
pub(crate) struct Counting<B> {
    pub(crate) bytes: B,
    pub(crate) log: Log,
    position: u64,
}

impl<B> Counting<B> {
    pub(crate) fn new(bytes: B) -> (Self, Log) {
        let log = Log::default();
        let source = Counting {
            bytes,
            log: log.clone(),
            position: 0,
        };
        (source, log)
    }
}

impl<B: Bytes> Read for Counting<B> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.bytes.length().saturating_sub(self.position);
        let length = left.min(out.len() as u64);
        self.bytes.read(self.position, &mut out[..length as usize]);
        self.log.note(self.position..self.position + length);
        self.position += length;
        Ok(length as usize)
    }
}

impl<B: Bytes> Seek for Counting<B> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::Current(0) => self.position,
            SeekFrom::End(0) => self.bytes.length(),
            _ => return Err(ErrorKind::Unsupported.into()),
        };
        Ok(self.position)
    }
}

impl<B: Bytes> RangeSource for Counting<B> {
    fn length(&self) -> SourceFuture<'_, u64> {
        // It is a request, too.
        self.log.note(0..0);
        Box::pin(ready(Ok(self.bytes.length())))
    }

    fn read_range(&self, range: Range<u64>) -> SourceFuture<'_, Vec<u8>> {
        assert!(!range.is_empty() && range.end <= self.bytes.length());
        self.log.note(range.clone());
        let mut out = vec![0; (range.end - range.start) as usize];
        self.bytes.read(range.start, &mut out);
        Box::pin(ready(Ok(out)))
    }
}

/// Both sources over the same bytes.
pub(crate) fn cursor(message: &[u8]) -> Cursor<Vec<u8>> {
    Cursor::new(message.to_vec())
}

pub(crate) fn remote(message: &[u8]) -> Counting<Vec<u8>> {
    Counting::new(message.to_vec()).0
}

/// A message too long to be made: its frames are sealed when they are read.
pub(crate) struct Synthetic {
    pub(crate) craft: Craft,
    pub(crate) header: Vec<u8>,
    pub(crate) plaintext_length: u64,
}

impl Synthetic {
    /// A header of about so many bytes.
    pub(crate) fn new(mut craft: Craft, header_length: usize, plaintext_length: u64) -> Self {
        let missing = header_length - craft.header().len();
        craft.edks[0][2].extend(vec![7; missing]);
        Synthetic {
            header: craft.header(),
            craft,
            plaintext_length,
        }
    }

    fn frame_length(&self) -> u64 {
        self.craft.frame_length.into()
    }

    fn last_frame(&self) -> u64 {
        self.plaintext_length.saturating_sub(1) / self.frame_length()
    }

    /// What stands in the plaintext.
    pub(crate) fn plaintext(&self, range: Range<u64>) -> Vec<u8> {
        range.map(|at| (at * 7 % 251) as u8).collect()
    }

    fn frame(&self, index: u64) -> Vec<u8> {
        let start = index * self.frame_length();
        let end = (start + self.frame_length()).min(self.plaintext_length);
        let number = u32::try_from(index + 1).unwrap();
        let content = self.plaintext(start..end);
        if index == self.last_frame() {
            self.craft.last(number, &content)
        } else {
            self.craft.regular(number, &content)
        }
    }
}

impl Bytes for Synthetic {
    fn length(&self) -> u64 {
        let last = self.last_frame();
        let content = self.plaintext_length - last * self.frame_length();
        self.header.len() as u64 + last * (self.frame_length() + 32) + content + 40
    }

    fn read(&self, mut at: u64, mut out: &mut [u8]) {
        let header = self.header.len() as u64;
        while !out.is_empty() {
            let (bytes, skipped);
            if at < header {
                (bytes, skipped) = (self.header.clone(), at);
            } else {
                let wire = self.frame_length() + 32;
                // The final frame is longer than its place.
                let index = ((at - header) / wire).min(self.last_frame());
                bytes = self.frame(index);
                skipped = at - header - index * wire;
            }
            let bytes = &bytes[skipped as usize..];
            let length = bytes.len().min(out.len());
            out[..length].copy_from_slice(&bytes[..length]);
            out = &mut out[length..];
            at += length as u64;
        }
    }
}

#[test]
fn a_synthetic_message_is_one() {
    use waxseal::{AlgorithmSuite, EncryptionContext};
    let craft = Craft::new(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey);
    let synthetic = Synthetic::new(craft, 500, 100);
    let mut message = vec![0; synthetic.length() as usize];
    synthetic.read(0, &mut message);
    let client = crate::support::builder(
        AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
        crate::support::providers::Fixed,
    )
    .build()
    .unwrap();
    let decrypted = client
        .blocking()
        .decrypt(&message, &EncryptionContext::new())
        .unwrap();
    assert_eq!(decrypted.plaintext, plaintext(100));
}
