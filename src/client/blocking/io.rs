//! Messages through [`Read`] and [`Write`].

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};

use super::super::pieces::{CHUNK, Gathered, Intake};
use super::super::stream::{PlaintextQueue, ReleaseMode};
use super::block_on;
use crate::client::inspect::UnverifiedHeader;
use crate::client::{Authenticated, DecryptionDetails, Decryptor, Encryptor};
use crate::crypto::{CiphertextBuffer, SecretBuffer};
use crate::error::Error;

/// Encrypts what is written to it into a sink.
///
/// [`finish`](Self::finish) ends the message. One that is dropped without it
/// leaves a message in the sink that never verifies. Flushing passes on what
/// has been encrypted; what does not fill a frame yet stays back.
pub struct EncryptWriter<W> {
    sink: W,
    encryptor: Option<Encryptor>,
    gathered: Gathered<true>,
    out: CiphertextBuffer,
}

impl<W: Write> EncryptWriter<W> {
    /// Writes what this encryptor makes.
    pub fn new(sink: W, encryptor: Encryptor) -> Self {
        EncryptWriter {
            sink,
            gathered: Gathered::new(encryptor.piece()),
            encryptor: Some(encryptor),
            out: CiphertextBuffer::default(),
        }
    }

    /// Ends the message, flushes the sink and returns it.
    ///
    /// # Errors
    /// The sink's, [`Encryptor::finish`]'s, and [`Error::StreamClosed`] after
    /// an earlier error.
    pub fn finish(mut self) -> io::Result<W> {
        let mut encryptor = self.encryptor.take().ok_or(Error::StreamClosed)?;
        encryptor.update_into(self.gathered.rest(), &mut self.out)?;
        encryptor.finish_into(&mut self.out)?;
        self.sink.write_all(self.out.as_slice())?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// Encrypts of these slices what makes a piece at most, and writes what is
    /// ready at once.
    fn write_slices<'a>(
        &mut self,
        slices: impl IntoIterator<Item = &'a [u8]>,
    ) -> io::Result<usize> {
        // Put back only after all went well: a sink that took a part of the
        // ciphertext cannot be gone on with.
        let mut encryptor = self.encryptor.take().ok_or(Error::StreamClosed)?;
        let mut total = 0;
        for slice in slices {
            let (taken, piece) = self.gathered.take(slice);
            if let Some(piece) = piece {
                encryptor.update_into(piece, &mut self.out)?;
                self.gathered.clear();
            }
            total += taken;
            if taken < slice.len() || self.out.len() >= CHUNK {
                break;
            }
        }
        self.sink.write_all(self.out.as_slice())?;
        self.out.clear();
        self.encryptor = Some(encryptor);
        Ok(total)
    }
}

impl<W: Write> Write for EncryptWriter<W> {
    fn write(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        self.write_slices([plaintext])
    }

    /// Several slices are encrypted one after the other, and what comes out is
    /// written at once.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_slices(slices.iter().map(|slice| &**slice))
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.gathered.rest().is_empty() {
            let mut encryptor = self.encryptor.take().ok_or(Error::StreamClosed)?;
            encryptor.update_into(self.gathered.rest(), &mut self.out)?;
            self.gathered.clear();
            self.sink.write_all(self.out.as_slice())?;
            self.out.clear();
            self.encryptor = Some(encryptor);
        }
        self.sink.flush()
    }
}

impl<W> fmt::Debug for EncryptWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptWriter")
            .field("encryptor", &self.encryptor)
            .finish_non_exhaustive()
    }
}

/// Reads plaintext from a source and gives the message.
pub struct EncryptReader<R> {
    source: R,
    encryptor: Option<Encryptor>,
    input: Intake<true>,
    out: CiphertextBuffer,
    read: usize,
    failed: bool,
}

impl<R: Read> EncryptReader<R> {
    /// Reads what this encryptor makes.
    pub fn new(source: R, encryptor: Encryptor) -> Self {
        EncryptReader {
            source,
            input: Intake::new(encryptor.piece()),
            encryptor: Some(encryptor),
            out: CiphertextBuffer::default(),
            read: 0,
            failed: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let Some(mut encryptor) = self.encryptor.take() else {
            return if self.failed {
                Err(Error::StreamClosed.into())
            } else {
                Ok(())
            };
        };
        if let Err(error) = fill(&mut self.source, &mut self.input) {
            // Nothing was consumed: the caller may read on.
            self.encryptor = Some(encryptor);
            return Err(error);
        }
        self.out.clear();
        self.read = 0;
        self.failed = true;
        if self.input.filled().is_empty() {
            encryptor.finish_into(&mut self.out)?;
        } else {
            encryptor.update_into(self.input.filled(), &mut self.out)?;
            self.input.clear();
            self.encryptor = Some(encryptor);
        }
        self.failed = false;
        Ok(())
    }
}

impl<R: Read> Read for EncryptReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        while self.read == self.out.len() {
            self.fill()?;
            if self.encryptor.is_none() && self.read == self.out.len() {
                return Ok(0);
            }
        }
        let ready = &self.out.as_slice()[self.read..];
        let length = ready.len().min(out.len());
        out[..length].copy_from_slice(&ready[..length]);
        self.read += length;
        Ok(length)
    }
}

impl<R> fmt::Debug for EncryptReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptReader")
            .field("encryptor", &self.encryptor)
            .finish_non_exhaustive()
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

impl<R: Read, M: ReleaseMode> DecryptReader<R, M> {
    pub(super) fn open(mut source: R, decryptor: Decryptor<M>) -> io::Result<Self> {
        let mut queue = PlaintextQueue::new(decryptor);
        let mut first = vec![0; CHUNK];
        while !queue.is_open() {
            match read_some(&mut source, &mut first)? {
                0 => return Err(Error::Truncated.into()),
                length => block_on(queue.feed_header(&first[..length]))?,
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

impl<R: Read, M: ReleaseMode> Read for DecryptReader<R, M> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(read) = self.queue.read(out) {
                return Ok(read?);
            }
            fill(&mut self.source, &mut self.input)?;
            self.queue.feed(self.input.filled());
            self.input.clear();
        }
    }
}

impl<R, M> fmt::Debug for DecryptReader<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptReader").finish_non_exhaustive()
    }
}

/// Decrypts the message that is written to it into a sink; `M` says whether a
/// signed message's plaintext is verified by then.
///
/// [`finish`](Self::finish) says whether the message was whole; what reached
/// the sink before may be the beginning of one that was not.
pub struct DecryptWriter<W, M = Authenticated> {
    sink: W,
    decryptor: Option<Decryptor<M>>,
    gathered: Gathered<false>,
    out: SecretBuffer,
}

impl<W: Write, M: ReleaseMode> DecryptWriter<W, M> {
    pub(super) fn new(sink: W, decryptor: Decryptor<M>) -> Self {
        DecryptWriter {
            sink,
            gathered: Gathered::new(decryptor.piece()),
            decryptor: Some(decryptor),
            out: SecretBuffer::default(),
        }
    }

    /// Says that the message ends here, flushes the sink and returns it with
    /// what the message was.
    ///
    /// # Errors
    /// [`Error::Truncated`], the sink's, and [`Error::StreamClosed`] after an
    /// earlier error; with several threads also the message's, of what had been
    /// gathered.
    pub fn finish(mut self) -> io::Result<(W, DecryptionDetails)> {
        if !self.gathered.rest().is_empty() {
            self.write_gathered()?;
        }
        let decryptor = self.decryptor.take().ok_or(Error::StreamClosed)?;
        let details = decryptor.finish()?;
        self.sink.flush()?;
        Ok((self.sink, details))
    }

    fn write_gathered(&mut self) -> io::Result<()> {
        let mut decryptor = self.decryptor.take().ok_or(Error::StreamClosed)?;
        let pushed = block_on(decryptor.push_into(self.gathered.rest(), &mut self.out));
        self.gathered.clear();
        self.gathered.set_piece(decryptor.piece());
        write_authentic(&mut self.sink, &mut self.out, pushed)?;
        self.decryptor = Some(decryptor);
        Ok(())
    }
}

/// What is authentic goes out before the error does.
fn write_authentic(
    sink: &mut impl Write,
    out: &mut SecretBuffer,
    pushed: Result<(), Error>,
) -> io::Result<()> {
    let written = sink.write_all(out.as_slice());
    out.clear();
    pushed?;
    written
}

impl<W: Write, M: ReleaseMode> Write for DecryptWriter<W, M> {
    fn write(&mut self, input: &[u8]) -> io::Result<usize> {
        let mut decryptor = self.decryptor.take().ok_or(Error::StreamClosed)?;
        let (taken, piece) = self.gathered.take(input);
        if let Some(piece) = piece {
            let pushed = block_on(decryptor.push_into(piece, &mut self.out));
            self.gathered.clear();
            self.gathered.set_piece(decryptor.piece());
            write_authentic(&mut self.sink, &mut self.out, pushed)?;
        }
        self.decryptor = Some(decryptor);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.gathered.rest().is_empty() {
            self.write_gathered()?;
        }
        self.sink.flush()
    }
}

impl<W, M> fmt::Debug for DecryptWriter<W, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptWriter").finish_non_exhaustive()
    }
}

/// Reads until there is enough to work on, or the source has ended.
fn fill<const IS_SECRET: bool>(
    source: &mut impl Read,
    input: &mut Intake<IS_SECRET>,
) -> io::Result<()> {
    if let Some(end) = input.take_end() {
        return end;
    }
    loop {
        let read = read_some(source, input.free());
        if let Some(filled) = input.advance(read) {
            return filled;
        }
    }
}

/// One read that is not interrupted.
fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
