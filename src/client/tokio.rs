//! Messages through [`AsyncRead`] and [`AsyncWrite`] (feature `tokio`).
//!
//! Only opening one waits for the key provider. After that a reader or writer
//! waits for nothing but the I/O beneath it, so that nothing is lost when a
//! future over it is dropped.

mod readers;
mod writers;

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

pub use readers::{DecryptReader, EncryptReader};
pub use writers::{DecryptWriter, EncryptWriter};

use super::{Authenticated, Client, Encryptor, Unverified};
use crate::context::EncryptionContext;
use crate::crypto::CiphertextBuffer;
use crate::error::{Error, Result};

impl Client {
    /// Encrypts what is written to it into `sink`, in constant memory. It
    /// must be [finished](EncryptWriter::finish).
    ///
    /// Its length is unknown, so that it goes past a data-key cache; where a
    /// bound is known, use [`EncryptWriter::new`] with an
    /// [`encryptor`](Self::encryptor) of that bound.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub async fn encrypt_writer<W: AsyncWrite + Unpin>(
        &self,
        sink: W,
        context: &EncryptionContext,
    ) -> Result<EncryptWriter<W>> {
        Ok(EncryptWriter::new(
            sink,
            self.encryptor(context, None).await?,
        ))
    }

    /// Encrypts what `source` gives, in constant memory: the message is read
    /// from what is returned.
    ///
    /// Its length is unknown, so that it goes past a data-key cache; where a
    /// bound is known, use [`EncryptReader::new`] with an
    /// [`encryptor`](Self::encryptor) of that bound.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub async fn encrypt_reader<R: AsyncRead + Unpin>(
        &self,
        source: R,
        context: &EncryptionContext,
    ) -> Result<EncryptReader<R>> {
        Ok(EncryptReader::new(
            source,
            self.encryptor(context, None).await?,
        ))
    }

    /// Decrypts the message that `source` gives, in constant memory for an
    /// unsigned one. A signed one is held back until its signature is
    /// verified: see [`decryptor`](Self::decryptor). Reads the header at once.
    ///
    /// The end of what is read means that the message was whole; an error
    /// comes after the frames that were authentic before it.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt) for the header and what was read with it;
    /// the source's errors.
    pub async fn decrypt_reader<R: AsyncRead + Unpin>(
        &self,
        source: R,
        context: &EncryptionContext,
    ) -> io::Result<DecryptReader<R, Authenticated>> {
        DecryptReader::open(source, self.decryptor(context)).await
    }

    /// Decrypts the message that `source` gives, in constant memory. What it
    /// gives of a signed message is not verified before it has ended: see
    /// [`decryptor_unverified`](Self::decryptor_unverified).
    ///
    /// # Errors
    /// As [`decrypt_reader`](Self::decrypt_reader).
    pub async fn decrypt_reader_unverified<R: AsyncRead + Unpin>(
        &self,
        source: R,
        context: &EncryptionContext,
    ) -> io::Result<DecryptReader<R, Unverified>> {
        DecryptReader::open(source, self.decryptor_unverified(context)).await
    }

    /// Decrypts the message that is written to it into `sink`. It must be
    /// [finished](DecryptWriter::finish), which says whether the message was
    /// whole.
    pub fn decrypt_writer<W: AsyncWrite + Unpin>(
        &self,
        sink: W,
        context: &EncryptionContext,
    ) -> DecryptWriter<W, Authenticated> {
        DecryptWriter::new(sink, self.decryptor(context))
    }

    /// The same with what [`decryptor_unverified`](Self::decryptor_unverified)
    /// says.
    pub fn decrypt_writer_unverified<W: AsyncWrite + Unpin>(
        &self,
        sink: W,
        context: &EncryptionContext,
    ) -> DecryptWriter<W, Unverified> {
        DecryptWriter::new(sink, self.decryptor_unverified(context))
    }
}

/// Where the encryption of a stream is, written to or read from.
#[expect(
    clippy::large_enum_variant,
    reason = "one a message; a box would gain nothing"
)]
enum Encrypting {
    Open(Encryptor),
    Ended,
    Failed,
}

impl Encrypting {
    /// After an error nothing more is encrypted.
    fn update(&mut self, plaintext: &[u8], out: &mut CiphertextBuffer) -> Result<()> {
        let Encrypting::Open(encryptor) = self else {
            return Err(Error::StreamClosed);
        };
        let updated = encryptor.update_into(plaintext, out);
        if updated.is_err() {
            *self = Encrypting::Failed;
        }
        updated
    }

    /// Ends the message.
    fn end(&mut self, out: &mut CiphertextBuffer) -> Result<()> {
        let Encrypting::Open(encryptor) = std::mem::replace(self, Encrypting::Failed) else {
            return Err(Error::StreamClosed);
        };
        encryptor.finish_into(out)?;
        *self = Encrypting::Ended;
        Ok(())
    }
}
