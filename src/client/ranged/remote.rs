//! Random access over anything that gives ranges of bytes.

use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::marker::PhantomData;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::super::inspect::UnverifiedHeader;
use super::super::output::Output;
use super::super::stream::ReleaseMode;
use super::super::{Authenticated, Client, DecryptionDetails, Unverified};
use super::message::{FETCHES, Fetch, Message, Step, Window};
use super::opening::Opening;
use crate::context::EncryptionContext;
use crate::error::Error;

/// The most ciphertext that is asked for at once, in bytes; one frame at least.
const MOST: u64 = 8 << 20;

/// What a [`RangeSource`] returns.
pub type SourceFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Something that gives ranges of a message's bytes: a service that answers
/// HTTP range requests, an object store (`ObjectSource`, with the feature
/// `object-store`), a database.
///
/// What it says is trusted in nothing: wrong bytes are not authentic, and wrong
/// lengths are errors.
///
/// ```
/// use std::future::ready;
/// use std::io;
/// use std::ops::Range;
/// use waxseal::{RangeSource, SourceFuture};
///
/// struct Memory(Vec<u8>);
///
/// impl RangeSource for Memory {
///     fn length(&self) -> SourceFuture<'_, u64> {
///         Box::pin(ready(Ok(self.0.len() as u64)))
///     }
///
///     fn read_range(&self, range: Range<u64>) -> SourceFuture<'_, Vec<u8>> {
///         let bytes = self.0.get(range.start as usize..range.end as usize);
///         let bytes = bytes.ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
///         Box::pin(ready(bytes.map(<[u8]>::to_vec)))
///     }
/// }
/// ```
pub trait RangeSource: Send + Sync {
    /// The message's length in bytes (an HTTP `HEAD` request, say). Asked for
    /// once.
    fn length(&self) -> SourceFuture<'_, u64>;

    /// The bytes of this range, which is not empty and within
    /// [`length`](Self::length): exactly so many. At most 8 MiB are asked for
    /// at once, or one frame where that is longer.
    fn read_range(&self, range: Range<u64>) -> SourceFuture<'_, Vec<u8>>;
}

impl<S: RangeSource + ?Sized> RangeSource for Arc<S> {
    fn length(&self) -> SourceFuture<'_, u64> {
        (**self).length()
    }

    fn read_range(&self, range: Range<u64>) -> SourceFuture<'_, Vec<u8>> {
        (**self).read_range(range)
    }
}

impl<S: RangeSource + ?Sized> RangeSource for Box<S> {
    fn length(&self) -> SourceFuture<'_, u64> {
        (**self).length()
    }

    fn read_range(&self, range: Range<u64>) -> SourceFuture<'_, Vec<u8>> {
        (**self).read_range(range)
    }
}

impl<S: RangeSource + ?Sized> RangeSource for &S {
    fn length(&self) -> SourceFuture<'_, u64> {
        (**self).length()
    }

    fn read_range(&self, range: Range<u64>) -> SourceFuture<'_, Vec<u8>> {
        (**self).read_range(range)
    }
}

impl Client {
    /// Opens the message that `source` gives, to be read anywhere without the
    /// rest of it: asks for its length and its header at once, and verifies
    /// that. Signed messages are refused, as a part of one cannot be verified.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt) for the header,
    /// [`Error::SignedRangeRefused`], and the source's.
    pub async fn range_reader<S: RangeSource>(
        &self,
        source: S,
        context: &EncryptionContext,
    ) -> io::Result<RangeReader<S, Authenticated>> {
        RangeReader::open(source, self, context).await
    }

    /// The same for signed messages too, whose signature **is never
    /// verified** this way: what is read is authentic under the data key only,
    /// and whoever can decrypt the message could have made it.
    ///
    /// # Errors
    /// As [`range_reader`](Self::range_reader), but that signed messages are
    /// only refused by a client that
    /// [refuses them in streams](crate::ClientBuilder::refuse_signed_streams)
    /// or that [relies on signatures](crate::ClientBuilder::require_signed).
    pub async fn range_reader_unverified<S: RangeSource>(
        &self,
        source: S,
        context: &EncryptionContext,
    ) -> io::Result<RangeReader<S, Unverified>> {
        RangeReader::open(source, self, context).await
    }
}

/// Reads ranges of a message's plaintext, and asks the source only for the
/// frames that hold them: made by [`Client::range_reader`]. `M` says whether a
/// signed message is accepted, whose signature is not verified.
///
/// It needs no runtime but what the source needs. Any number of reads may be
/// under way at once, and a read that is dropped leaves nothing half-done.
///
/// What is known of a message when, and what is read ahead and kept, is as with
/// a [`SeekReader`](crate::blocking::SeekReader), but that at most 8 MiB are
/// asked for at once: decryption is where the future is polled, on one thread.
/// The length of the plaintext and that it is whole are not
/// known before the final frame has been read: by a read that reaches it or by
/// [`verified_length`](Self::verified_length).
pub struct RangeReader<S, M = Authenticated> {
    source: S,
    message: Message,
    /// That of the read that ended last. A read under way has it, or its own.
    window: Mutex<Window>,
    mode: PhantomData<fn() -> M>,
}

impl<S: RangeSource, M: ReleaseMode> RangeReader<S, M> {
    async fn open(source: S, client: &Client, context: &EncryptionContext) -> io::Result<Self> {
        let mut opening = Opening::new(client, source.length().await?);
        while !opening.supply(&fetch(&source, opening.fetch()?).await?)? {}
        Ok(RangeReader {
            source,
            message: opening.finish::<M>(client, context).await?,
            window: Mutex::default(),
            mode: PhantomData,
        })
    }

    /// Reads a range of the plaintext: all that there is of it. That less came
    /// than was asked for means that the plaintext ends there, which is
    /// verified then. Memory is taken as plaintext comes.
    ///
    /// # Errors
    /// The message's and the source's.
    pub async fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::new());
        let mut at = range.start;
        while at < range.end {
            let most = (range.end - at).min(MOST).min(self.message.source_length());
            let before = out.length();
            let length = self.read_at(at, out.grow(most as usize)?).await?;
            out.retreat(before + length);
            if length == 0 {
                break;
            }
            at += length as u64;
        }
        Ok(std::mem::take(&mut out))
    }

    /// Reads at this place into the caller's buffer. Less than what there is
    /// room for comes only where the plaintext ends, which is verified then.
    ///
    /// # Errors
    /// The message's and the source's. In the buffer is authentic plaintext
    /// then, or zeros, beside what was there.
    pub async fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut window = std::mem::take(&mut *self.window());
        let mut filled = 0;
        while filled < out.len() {
            let Some(at) = offset.checked_add(filled as u64) else {
                break;
            };
            match self.read_some(&mut window, at, &mut out[filled..]).await? {
                0 => break,
                length => filled += length,
            }
        }
        *self.window() = window;
        Ok(filled)
    }

    /// The plaintext's length in bytes: reads the final frame, unless that has
    /// been read before, and with it verifies that the message ends where the
    /// source does.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::TrailingBytes`] where the source goes on
    /// behind the message, other errors of the message and the source's.
    pub async fn verified_length(&self) -> io::Result<u64> {
        if let Some(fetch) = self.message.find_end()? {
            let mut window = std::mem::take(&mut *self.window());
            self.supply(&mut window, &fetch, 0, &mut []).await?;
            *self.window() = window;
        }
        // It is known now.
        self.message.end().ok_or_else(|| Error::Truncated.into())
    }

    async fn read_some(
        &self,
        window: &mut Window,
        offset: u64,
        out: &mut [u8],
    ) -> io::Result<usize> {
        for _ in 0..FETCHES {
            match self.message.read(window, offset, out, MOST)? {
                Step::Read(length) => return Ok(length),
                Step::Fetch(fetch) => {
                    if let Some(length) = self.supply(window, &fetch, offset, out).await? {
                        return Ok(length);
                    }
                }
            }
        }
        // By then the end was known, and frames were there.
        Err(Error::Truncated.into())
    }

    async fn supply(
        &self,
        window: &mut Window,
        wanted: &Fetch,
        offset: u64,
        out: &mut [u8],
    ) -> io::Result<Option<usize>> {
        let bytes = fetch(&self.source, wanted.range.clone()).await?;
        Ok(self.message.supply(window, wanted, &bytes, offset, out)?)
    }

    fn window(&self) -> impl std::ops::DerefMut<Target = Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, M> RangeReader<S, M> {
    /// What the message is and what opened it: its header is authentic.
    pub fn details(&self) -> &DecryptionDetails {
        &self.message.details
    }

    /// The header, which has been verified.
    pub fn header(&self) -> &UnverifiedHeader {
        &self.message.header
    }

    /// What the source said its length was, in bytes. Nothing of it is
    /// authentic.
    pub fn source_length(&self) -> u64 {
        self.message.source_length()
    }

    /// The source.
    pub fn source(&self) -> &S {
        &self.source
    }
}

/// Exactly what was asked for, or an error.
async fn fetch(source: &impl RangeSource, range: Range<u64>) -> io::Result<Vec<u8>> {
    let expected = range.end - range.start;
    let bytes = source.read_range(range).await?;
    let found = bytes.len() as u64;
    if found < expected {
        return Err(Error::Truncated.into());
    }
    if found > expected {
        let text = format!("the source gave {found} bytes where {expected} were asked for");
        return Err(io::Error::new(ErrorKind::InvalidData, text));
    }
    Ok(bytes)
}

impl<S, M> fmt::Debug for RangeReader<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeReader")
            .field("header", &self.message.header)
            .finish_non_exhaustive()
    }
}
