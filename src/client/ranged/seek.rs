//! Random access over [`Read`] and [`Seek`].

use std::fmt;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::marker::PhantomData;
use std::ops::Range;

use zeroize::Zeroizing;

use super::super::blocking::block_on;
use super::super::inspect::UnverifiedHeader;
use super::super::output::Output;
use super::super::stream::ReleaseMode;
use super::super::{Authenticated, Client, DecryptionDetails};
use super::message::{FETCHES, Fetch, Message, Step, Window};
use super::opening::Opening;
use crate::context::EncryptionContext;
use crate::crypto::CiphertextBuffer;
use crate::error::Error;

/// The most ciphertext that is worked on at once, in bytes, but for a longer
/// frame; and the most that is asked of the source in one read.
const MOST: u64 = 1 << 20;

/// Reads a message's plaintext anywhere, and decrypts only the frames that are
/// read: made by [`seek_reader`](crate::blocking::Client::seek_reader). `M`
/// says whether a signed message is accepted, whose signature is not verified.
///
/// ```
/// use std::io::{Cursor, Read, Seek, SeekFrom};
/// # use waxseal::{EncryptionContext, RawAesProvider, SecretBytes, blocking::Client};
/// # let key = SecretBytes::from(vec![7; 32]);
/// # let client = Client::new(RawAesProvider::new("example", "key-1", &key)?);
/// # let context = EncryptionContext::from([("tenant", "7")]);
/// # let message = client.encrypt(&[b'a'; 100_000], &context)?;
///
/// let file = Cursor::new(message); // or a file
/// let mut reader = client.seek_reader(file, &context)?;
/// reader.seek(SeekFrom::Start(50_000))?;
/// let mut out = [0; 16];
/// reader.read_exact(&mut out)?;
/// assert_eq!(out, [b'a'; 16]);
/// assert_eq!(reader.read_range(99_990..u64::MAX)?.len(), 10);
/// assert_eq!(reader.seek(SeekFrom::End(0))?, 100_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What is known when
///
/// - From the beginning: that the header is authentic, and commits to the data
///   key where the suite does; what [`details`](Self::details) says.
/// - Of each byte that was read: that it is the message's plaintext at this
///   place. Each frame is authenticated with its number, so that none can be
///   put in another's place or taken from another message.
/// - Not before the final frame has been read: how long the message is, and
///   that it is whole. Whoever stores it may have cut it off at the end of a
///   frame, which shows only there. A read that gives 0 bytes,
///   [`SeekFrom::End`] and [`verified_length`](Self::verified_length) read that
///   frame, and tell the length for sure. Until then only
///   [`plaintext_length`](UnverifiedHeader::plaintext_length) of the
///   [source's length](Self::source_length) says what it should be.
/// - Never: that frames which were not read are there and authentic; and of a
///   signed message, that its signature is right.
///
/// # What it reads
///
/// The source's length and 4 KiB for the header (more for a longer one); after
/// that for each read the frames that it touches, at most a MiB at once. Who
/// reads on where the last read ended gets up to 64 KiB of whole frames read
/// ahead. As much plaintext is kept, or one frame, and wiped when it is
/// dropped. An un-framed message is one frame: it is read, authenticated and
/// kept whole at the first read. What must be kept, a frame or such a body, is
/// bounded by [`max_buffered`](crate::ClientBuilder::max_buffered).
///
/// All of it is done on the thread that calls, whatever the client's
/// [`parallelism`](crate::ClientBuilder::parallelism).
///
/// After an error it may be read on, there or elsewhere: what is damaged in one
/// place harms no other. The source must not change meanwhile; nothing that is
/// not authentic comes of it if it does.
pub struct SeekReader<R, M = Authenticated> {
    source: R,
    /// Where in the source the message begins.
    base: u64,
    message: Message,
    window: Window,
    input: CiphertextBuffer,
    position: u64,
    mode: PhantomData<fn() -> M>,
}

impl<R: Read + Seek, M: ReleaseMode> SeekReader<R, M> {
    pub(in super::super) fn open(
        mut source: R,
        client: &Client,
        context: &EncryptionContext,
    ) -> io::Result<Self> {
        let base = source.stream_position()?;
        let length = source.seek(SeekFrom::End(0))?.saturating_sub(base);
        let mut opening = Opening::new(client, length);
        let mut input = CiphertextBuffer::default();
        loop {
            fill(&mut source, base, opening.fetch()?, &mut input)?;
            if opening.supply(input.as_slice())? {
                break;
            }
        }
        Ok(SeekReader {
            source,
            base,
            message: block_on(opening.finish::<M>(client, context))?,
            window: Window::default(),
            input,
            position: 0,
            mode: PhantomData,
        })
    }

    /// Reads at this place, without moving. Less than what there is room for
    /// comes only where the plaintext ends, which is verified then.
    ///
    /// # Errors
    /// The message's and the source's. In the buffer is authentic plaintext
    /// then, or zeros, beside what was there.
    pub fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            let Some(at) = offset.checked_add(filled as u64) else {
                break;
            };
            match self.read_some(at, &mut out[filled..])? {
                0 => break,
                length => filled += length,
            }
        }
        Ok(filled)
    }

    /// Reads a range of the plaintext: all that there is of it. That less came
    /// than was asked for means that the plaintext ends there, which is
    /// verified then. Memory is taken as plaintext comes.
    ///
    /// # Errors
    /// The message's and the source's.
    pub fn read_range(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::new());
        let mut at = range.start;
        while at < range.end {
            let most = (range.end - at).min(MOST).min(self.message.source_length());
            let before = out.length();
            let length = self.read_at(at, out.grow(most as usize)?)?;
            out.retreat(before + length);
            if length == 0 {
                break;
            }
            at += length as u64;
        }
        Ok(std::mem::take(&mut out))
    }

    /// The plaintext's length in bytes: reads the final frame, unless that has
    /// been read before, and with it verifies that the message ends where the
    /// source does.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::TrailingBytes`] where the source goes on
    /// behind the message, other errors of the message and the source's.
    pub fn verified_length(&mut self) -> io::Result<u64> {
        if let Some(fetch) = self.message.find_end()? {
            self.supply(&fetch, 0, &mut [])?;
        }
        // It is known now.
        self.message.end().ok_or_else(|| Error::Truncated.into())
    }

    fn read_some(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        for _ in 0..FETCHES {
            match self.message.read(&mut self.window, offset, out, MOST)? {
                Step::Read(length) => return Ok(length),
                Step::Fetch(fetch) => {
                    if let Some(length) = self.supply(&fetch, offset, out)? {
                        return Ok(length);
                    }
                }
            }
        }
        // By then the end was known, and frames were there.
        Err(Error::Truncated.into())
    }

    fn supply(&mut self, fetch: &Fetch, offset: u64, out: &mut [u8]) -> io::Result<Option<usize>> {
        let range = fetch.range.clone();
        fill(&mut self.source, self.base, range, &mut self.input)?;
        let input = self.input.as_slice();
        Ok(self
            .message
            .supply(&mut self.window, fetch, input, offset, out)?)
    }
}

impl<R, M> SeekReader<R, M> {
    /// What the message is and what opened it: its header is authentic.
    pub fn details(&self) -> &DecryptionDetails {
        &self.message.details
    }

    /// The header, which has been verified.
    pub fn header(&self) -> &UnverifiedHeader {
        &self.message.header
    }

    /// The length of the source when it was opened, in bytes from where the
    /// message begins. Nothing of it is authentic.
    pub fn source_length(&self) -> u64 {
        self.message.source_length()
    }

    /// The source, which stands anywhere.
    pub fn get_ref(&self) -> &R {
        &self.source
    }

    /// Gives the source back, which stands anywhere.
    pub fn into_inner(self) -> R {
        self.source
    }
}

impl<R: Read + Seek, M: ReleaseMode> Read for SeekReader<R, M> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.read_some(self.position, out)?;
        self.position += length as u64;
        Ok(length)
    }
}

/// [`SeekFrom::End`] reads the final frame, as
/// [`verified_length`](SeekReader::verified_length) does; the others read
/// nothing. Any place may be sought; behind the end there is nothing to be
/// read.
impl<R: Read + Seek, M: ReleaseMode> Seek for SeekReader<R, M> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let sought = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
            SeekFrom::End(distance) => self.verified_length()?.checked_add_signed(distance),
        };
        self.position = sought.ok_or_else(|| {
            let text = "a seek to before the beginning, or beyond 64 bits";
            io::Error::new(ErrorKind::InvalidInput, text)
        })?;
        Ok(self.position)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        Ok(self.position)
    }
}

/// Reads a range of the message; all of it is there, or it ends early. Memory is
/// taken as bytes come: the source's length is only its word.
fn fill(
    source: &mut (impl Read + Seek),
    base: u64,
    range: Range<u64>,
    input: &mut CiphertextBuffer,
) -> io::Result<()> {
    // A message's range is within the source, so that its place is too.
    source.seek(SeekFrom::Start(base.saturating_add(range.start)))?;
    let mut left = usize::try_from(range.end - range.start)
        .map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
    input.clear();
    while left > 0 {
        let step = left.min(MOST as usize);
        source
            .read_exact(input.grow(step))
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => Error::Truncated.into(),
                _ => error,
            })?;
        left -= step;
    }
    Ok(())
}

impl<R, M> fmt::Debug for SeekReader<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeekReader")
            .field("header", &self.message.header)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
