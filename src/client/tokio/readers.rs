//! From a source: [`AsyncRead`].

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::Encrypting;
use crate::client::pieces::{CHUNK, Intake};
use crate::client::stream::{PlaintextQueue, ReleaseMode};
use crate::client::{Authenticated, DecryptionDetails, Decryptor, Encryptor, UnverifiedHeader};
use crate::crypto::CiphertextBuffer;
use crate::error::Error;

/// Reads plaintext from a source and gives the message.
pub struct EncryptReader<R> {
    source: R,
    stage: Encrypting,
    input: Intake<true>,
    out: CiphertextBuffer,
    read: usize,
}

impl<R: AsyncRead + Unpin> EncryptReader<R> {
    /// Reads what this encryptor makes.
    pub fn new(source: R, encryptor: Encryptor) -> Self {
        EncryptReader {
            source,
            input: Intake::new(encryptor.piece()),
            stage: Encrypting::Open(encryptor),
            out: CiphertextBuffer::default(),
            read: 0,
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for EncryptReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let ready = &this.out.as_slice()[this.read..];
            if !ready.is_empty() || buffer.remaining() == 0 {
                let length = ready.len().min(buffer.remaining());
                buffer.put_slice(&ready[..length]);
                this.read += length;
                return Poll::Ready(Ok(()));
            }
            match this.stage {
                Encrypting::Open(_) => {}
                Encrypting::Ended => return Poll::Ready(Ok(())),
                Encrypting::Failed => return Poll::Ready(Err(Error::StreamClosed.into())),
            }
            ready!(poll_fill(&mut this.source, &mut this.input, cx))?;
            this.out.clear();
            this.read = 0;
            if this.input.filled().is_empty() {
                this.stage.end(&mut this.out)?;
            } else {
                this.stage.update(this.input.filled(), &mut this.out)?;
                this.input.clear();
            }
        }
    }
}

/// Reads until there is enough to work on, or the source has ended, or has no
/// more for now.
fn poll_fill<const IS_SECRET: bool>(
    source: &mut (impl AsyncRead + Unpin),
    input: &mut Intake<IS_SECRET>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    if let Some(end) = input.take_end() {
        return Poll::Ready(end);
    }
    loop {
        let mut free = ReadBuf::new(input.free());
        let read = match Pin::new(&mut *source).poll_read(cx, &mut free) {
            Poll::Ready(read) => read.map(|()| free.filled().len()),
            Poll::Pending if input.filled().is_empty() => return Poll::Pending,
            Poll::Pending => return Poll::Ready(Ok(())),
        };
        if let Some(filled) = input.advance(read) {
            return Poll::Ready(filled);
        }
    }
}

impl<R> fmt::Debug for EncryptReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptReader").finish_non_exhaustive()
    }
}

/// Reads a message from a source and gives its plaintext; `M` says whether a
/// signed message's is verified by then.
///
/// The end (a read of 0 bytes) means that the message was whole and, where it
/// is signed, verified. An error comes after what was authentic before it.
pub struct DecryptReader<R, M = Authenticated> {
    source: R,
    queue: PlaintextQueue<M>,
    input: Intake<false>,
}

impl<R: AsyncRead + Unpin, M: ReleaseMode> DecryptReader<R, M> {
    pub(super) async fn open(mut source: R, decryptor: Decryptor<M>) -> io::Result<Self> {
        let mut queue = PlaintextQueue::new(decryptor);
        let mut first = vec![0; CHUNK];
        while !queue.is_open() {
            match source.read(&mut first).await? {
                0 => return Err(Error::Truncated.into()),
                length => queue.feed_header(&first[..length]).await?,
            }
        }
        let input = Intake::new(queue.decryptor().piece());
        Ok(DecryptReader {
            source,
            queue,
            input,
        })
    }

    /// What the message is and what opened it; `None` after an error. The
    /// header is authentic; the message is once it has been read to its end.
    pub fn details(&self) -> Option<&DecryptionDetails> {
        self.queue.decryptor().details()
    }

    /// The header; `None` after an error.
    pub fn header(&self) -> Option<&UnverifiedHeader> {
        self.queue.decryptor().header()
    }
}

impl<R: AsyncRead + Unpin, M: ReleaseMode> AsyncRead for DecryptReader<R, M> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if let Some(read) = this.queue.read(buffer.initialize_unfilled()) {
                buffer.advance(read?);
                return Poll::Ready(Ok(()));
            }
            ready!(poll_fill(&mut this.source, &mut this.input, cx))?;
            this.queue.feed(this.input.filled());
            this.input.clear();
        }
    }
}

impl<R, M> fmt::Debug for DecryptReader<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptReader").finish_non_exhaustive()
    }
}
