//! Into a sink: [`AsyncWrite`].

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::Encrypting;
use crate::client::pieces::{CHUNK, Gathered};
use crate::client::stream::ReleaseMode;
use crate::client::{Authenticated, DecryptionDetails, Decryptor, Encryptor};
use crate::crypto::{ReusedBuffer, SecretBuffer};
use crate::error::{Error, Result};

/// Bytes on their way into a sink.
#[derive(Default)]
struct Outgoing<const IS_SECRET: bool> {
    bytes: ReusedBuffer<IS_SECRET>,
    written: usize,
}

impl<const IS_SECRET: bool> Outgoing<IS_SECRET> {
    /// Writes what there is, and empties the buffer then.
    fn poll_drain<W: AsyncWrite + Unpin>(
        &mut self,
        sink: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let rest = &self.bytes.as_slice()[self.written..];
            match ready!(Pin::new(&mut *sink).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                length => self.written += length,
            }
        }
        self.bytes.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// Encrypts what is written to it into a sink.
///
/// [`finish`](Self::finish) ends the message, and so does shutting it down
/// ([`AsyncWriteExt::shutdown`](tokio::io::AsyncWriteExt::shutdown)), which
/// shuts the sink down too. One that is dropped without either leaves a
/// message in the sink that never verifies. Flushing passes on what has been
/// encrypted; what does not fill a frame yet stays back.
pub struct EncryptWriter<W> {
    sink: W,
    stage: Encrypting,
    gathered: Gathered<true>,
    out: Outgoing<false>,
}

impl<W: AsyncWrite + Unpin> EncryptWriter<W> {
    /// Writes what this encryptor makes.
    pub fn new(sink: W, encryptor: Encryptor) -> Self {
        EncryptWriter {
            sink,
            gathered: Gathered::new(encryptor.piece()),
            stage: Encrypting::Open(encryptor),
            out: Outgoing::default(),
        }
    }

    /// Ends the message, flushes the sink and returns it.
    ///
    /// # Errors
    /// The sink's, [`Encryptor::finish`]'s, and [`Error::StreamClosed`] after
    /// an earlier error.
    pub async fn finish(mut self) -> io::Result<W> {
        poll_fn(|cx| self.poll_end(cx)).await?;
        poll_fn(|cx| Pin::new(&mut self.sink).poll_flush(cx)).await?;
        Ok(self.sink)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.out.poll_drain(&mut self.sink, cx))?;
        if !matches!(self.stage, Encrypting::Ended) {
            let rest = self.gathered.rest();
            self.stage.update(rest, &mut self.out.bytes)?;
            self.gathered.clear();
            self.stage.end(&mut self.out.bytes)?;
        }
        self.out.poll_drain(&mut self.sink, cx)
    }
}

impl<W: AsyncWrite + Unpin> EncryptWriter<W> {
    /// Encrypts of these slices what makes a piece at most, once what was
    /// ready before has been written.
    fn poll_slices<'a>(
        &mut self,
        cx: &mut Context<'_>,
        slices: impl IntoIterator<Item = &'a [u8]>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.out.poll_drain(&mut self.sink, cx))?;
        let mut total = 0;
        for slice in slices {
            let (taken, piece) = self.gathered.take(slice);
            if let Some(piece) = piece {
                self.stage.update(piece, &mut self.out.bytes)?;
                self.gathered.clear();
            } else if !matches!(self.stage, Encrypting::Open(_)) {
                return Poll::Ready(Err(Error::StreamClosed.into()));
            }
            total += taken;
            if taken < slice.len() || self.out.bytes.len() >= CHUNK {
                break;
            }
        }
        Poll::Ready(Ok(total))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for EncryptWriter<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        plaintext: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_slices(cx, [plaintext])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_slices(cx, slices.iter().map(|slice| &**slice))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.out.poll_drain(&mut this.sink, cx))?;
        if !this.gathered.rest().is_empty() {
            this.stage
                .update(this.gathered.rest(), &mut this.out.bytes)?;
            this.gathered.clear();
            ready!(this.out.poll_drain(&mut this.sink, cx))?;
        }
        Pin::new(&mut this.sink).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_end(cx))?;
        Pin::new(&mut this.sink).poll_shutdown(cx)
    }
}

impl<W> fmt::Debug for EncryptWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptWriter").finish_non_exhaustive()
    }
}

/// Decrypts the message that is written to it into a sink; `M` says whether a
/// signed message's plaintext is verified by then.
///
/// [`finish`](Self::finish) says whether the message was whole; what reached
/// the sink before may be the beginning of one that was not. An error of the
/// message comes with the call after the one that wrote the damaged piece, or
/// with `finish`.
pub struct DecryptWriter<W, M = Authenticated> {
    sink: W,
    stage: DecryptStage<M>,
    gathered: Gathered<false>,
    out: Outgoing<true>,
}

enum DecryptStage<M> {
    Idle(Decryptor<M>),
    /// A provider is being asked; the future owns what it works on.
    Asking(Pin<Box<dyn Future<Output = Asked<M>> + Send>>),
    Failed(Option<Error>),
}

impl<M: ReleaseMode> DecryptStage<M> {
    /// Decrypts a piece, or begins to ask for what the header needs.
    fn push(&mut self, input: &[u8], out: &mut SecretBuffer) {
        *self = match std::mem::replace(self, DecryptStage::Failed(None)) {
            DecryptStage::Idle(mut decryptor) if decryptor.has_header() => {
                match decryptor.push_body(input, out) {
                    Ok(()) => DecryptStage::Idle(decryptor),
                    Err(error) => DecryptStage::Failed(Some(error)),
                }
            }
            DecryptStage::Idle(mut decryptor) => {
                let input = input.to_vec();
                DecryptStage::Asking(Box::pin(async move {
                    let mut out = SecretBuffer::default();
                    let outcome = decryptor.push_into(&input, &mut out).await;
                    Asked {
                        decryptor,
                        out,
                        outcome,
                    }
                }))
            }
            stage => stage,
        };
    }
}

struct Asked<M> {
    decryptor: Decryptor<M>,
    out: SecretBuffer,
    outcome: Result<()>,
}

impl<W: AsyncWrite + Unpin, M: ReleaseMode> DecryptWriter<W, M> {
    pub(super) fn new(sink: W, decryptor: Decryptor<M>) -> Self {
        DecryptWriter {
            sink,
            gathered: Gathered::new(decryptor.piece()),
            stage: DecryptStage::Idle(decryptor),
            out: Outgoing::default(),
        }
    }

    /// Says that the message ends here, flushes the sink and returns it with
    /// what the message was.
    ///
    /// # Errors
    /// [`Error::Truncated`], the sink's, the message's, and
    /// [`Error::StreamClosed`] after an earlier error.
    pub async fn finish(mut self) -> io::Result<(W, DecryptionDetails)> {
        poll_fn(|cx| self.poll_gathered(cx)).await?;
        let closed = DecryptStage::Failed(None);
        let DecryptStage::Idle(decryptor) = std::mem::replace(&mut self.stage, closed) else {
            return Err(Error::StreamClosed.into());
        };
        let details = decryptor.finish()?;
        poll_fn(|cx| Pin::new(&mut self.sink).poll_flush(cx)).await?;
        Ok((self.sink, details))
    }

    /// Decrypts what has been gathered, too.
    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_settle(cx))?;
        if !self.gathered.rest().is_empty() {
            self.stage.push(self.gathered.rest(), &mut self.out.bytes);
            self.gathered.clear();
            ready!(self.poll_settle(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for the provider if it is being asked, then for the sink, and
    /// only then gives the error that there was: what is authentic goes first.
    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let DecryptStage::Asking(asking) = &mut self.stage {
            let asked = ready!(asking.as_mut().poll(cx));
            self.out = Outgoing {
                bytes: asked.out,
                written: 0,
            };
            self.stage = match asked.outcome {
                Ok(()) => {
                    self.gathered.set_piece(asked.decryptor.piece());
                    DecryptStage::Idle(asked.decryptor)
                }
                Err(error) => DecryptStage::Failed(Some(error)),
            };
        }
        ready!(self.out.poll_drain(&mut self.sink, cx))?;
        Poll::Ready(match &mut self.stage {
            DecryptStage::Failed(error) => Err(error.take().unwrap_or(Error::StreamClosed).into()),
            _ => Ok(()),
        })
    }
}

impl<W: AsyncWrite + Unpin, M: ReleaseMode> AsyncWrite for DecryptWriter<W, M> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        input: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_settle(cx))?;
        let (taken, piece) = this.gathered.take(input);
        if let Some(piece) = piece {
            this.stage.push(piece, &mut this.out.bytes);
            this.gathered.clear();
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_gathered(cx))?;
        Pin::new(&mut this.sink).poll_flush(cx)
    }

    /// Shuts the sink down. Whether the message was whole is for
    /// [`finish`](DecryptWriter::finish) to say; an error here says that it
    /// was not.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_gathered(cx))?;
        if let DecryptStage::Idle(decryptor) = &this.stage {
            decryptor.check_end()?;
        }
        Pin::new(&mut this.sink).poll_shutdown(cx)
    }
}

impl<W, M> fmt::Debug for DecryptWriter<W, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptWriter").finish_non_exhaustive()
    }
}
